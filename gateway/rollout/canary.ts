import { createHash } from 'node:crypto';
import type { Principal } from '#engine';
import type { CanaryConfig } from '../config/index.js';

/**
 * For whom the revision that is tried is enforced. It depends on who asks and of what, and on nothing else: whoever is in it
 * once is in it with every connection, on every gateway, over restarts.
 */
export class Canary {
  readonly #config: CanaryConfig;

  constructor(config: CanaryConfig) {
    this.#config = config;
  }

  /** All that is given has to fit: a part of the agents, at one target. */
  has({ issuer, subject }: Pick<Principal, 'issuer' | 'subject'>, target: string): boolean {
    const { principals, targets, percent } = this.#config;
    return (
      (principals === undefined || principals.includes(subject) || principals.includes(`${issuer}#${subject}`)) &&
      (targets === undefined || targets.includes(target)) &&
      (percent === undefined || placeOf(issuer, subject) < percent)
    );
  }
}

/** 0 to 99.99: where a principal stands among all, the same for ever. */
function placeOf(issuer: string, subject: string): number {
  const hash = createHash('sha256')
    .update(JSON.stringify([issuer, subject]))
    .digest();
  return (hash.readUInt32BE(0) % 10_000) / 100;
}
