import { ConfigError } from '../../../errors.js';
import { RequestRefusal } from '../../../web/index.js';
import type { Services, Target } from '../../../protocol.js';
import type { HttpUpstream } from '../config.js';
import type { Egress } from './config.js';
import { closeness, writePlace, type Place } from './hosts.js';

/** Which target a place belongs to. */

export interface Route {
  readonly target: Target;
  readonly egress: Egress;
}

/**
 * What a target named when it could last be used. Hosts stand in the file and stay what they are; a credential that is gone must not
 * make them another target's, with other rules.
 */
const named = new WeakMap<Target, Egress | 'nothing'>();

/**
 * The target that names a place most closely, whether it can be used or not; undefined where none does. Throws RequestRefusal where
 * one that was never ready might name it more closely.
 */
export function routeTo(place: Place, services: Services): Route | undefined {
  let best: (Route & { readonly how: number }) | undefined;
  let unknown: Target | undefined;
  for (const target of services.targets?.('http') ?? []) {
    const upstream = target.upstream as HttpUpstream | undefined;
    if (upstream !== undefined) named.set(target, upstream.egress ?? 'nothing');
    const egress = named.get(target);
    if (egress === undefined) unknown = target;
    if (egress === undefined || egress === 'nothing') continue;
    for (const host of egress.hosts) {
      const how = closeness(host, place);
      if (how !== undefined && (best === undefined || how > best.how)) best = { target, egress, how };
    }
  }
  if (best !== undefined && best.how !== Infinity && unknown !== undefined) throw undecided(place, unknown);
  return best;
}

const undecided = (place: Place, { input }: Target) =>
  new RequestRefusal(
    503,
    'target_unavailable',
    `target "${input.name}" is not available, and may be the one that names ${writePlace(place)}: no other's rules hold for it meanwhile`,
  );

/** Tunnels that are to be looked into, where there is nothing to do so with. Throws ConfigError. */
export function refuseBlind(services: Services): void {
  for (const { input, upstream } of services.targets?.('http') ?? []) {
    if ((upstream as HttpUpstream | undefined)?.egress?.intercept !== true) continue;
    throw new ConfigError(
      `target "${input.name}" has egress.intercept, which takes listen.egress.authority: the authority that clients trust, as {certificate: {file: …}, key: {file: …}}`,
    );
  }
}

/** Two targets for one place: nobody could say which of them is meant. Throws ConfigError. */
export function refuseTwice(services: Services): void {
  const taken = new Map<string, string>();
  for (const { input, upstream } of services.targets?.('http') ?? []) {
    for (const host of (upstream as HttpUpstream | undefined)?.egress?.hosts ?? []) {
      const key = `${host.below ? '*.' : ''}${writePlace(host)}`;
      const other = taken.get(key);
      if (other !== undefined && other !== input.name) {
        throw new ConfigError(
          `targets "${other}" and "${input.name}" both name ${key} for listen.egress: it has to belong to one of them`,
        );
      }
      taken.set(key, input.name);
    }
  }
}
