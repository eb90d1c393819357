import { ConfigError } from '../../../errors.js';
import type { Services, Target } from '../../../protocol.js';
import type { HttpUpstream } from '../config.js';
import { closeness, writePlace, type Place } from './hosts.js';

/** Which target a place belongs to. */

export interface Route {
  readonly target: Target;
  readonly upstream: HttpUpstream;
}

/** The one that names it most closely; undefined where none does. Looked up anew each time: credentials change. */
export function routeTo(place: Place, services: Services): Route | undefined {
  let best: (Route & { readonly how: number }) | undefined;
  for (const target of services.targets?.('http') ?? []) {
    const upstream = target.upstream as HttpUpstream | undefined;
    for (const host of upstream?.egress?.hosts ?? []) {
      const how = closeness(host, place);
      if (how !== undefined && (best === undefined || how > best.how)) best = { target, upstream: upstream!, how };
    }
  }
  return best;
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
