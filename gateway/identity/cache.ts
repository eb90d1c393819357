import { hash } from 'node:crypto';
import type { Identity } from '../protocol.js';
import type { Keys } from './keys.js';

/** Verified tokens that are remembered; the least recently used one makes room. */
const entries_max = 10_000;

/** A token that was verified, and the keys that vouched for it. */
export interface Verified {
  readonly identity: Identity;
  readonly keys: Keys;
  /** What `keys.generation` was then. */
  readonly generation: string;
}

/**
 * Tokens that were verified, so that the next connection with the same token costs a hash and not a signature, and has
 * the very same principal object. Keyed by digest: the cache holds no token that a memory dump could give away.
 */
export class VerifiedTokens {
  readonly #entries = new Map<string, Verified>();

  static key(token: string): string {
    return hash('sha256', token, 'base64');
  }

  /** The identity behind the token, if it still holds and its issuer still has the same keys. */
  async get(key: string, now: () => number): Promise<Identity | undefined> {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    await entry.keys.refresh();
    // A Map keeps the order of insertion: put last, it is the one that was used last.
    this.#entries.delete(key);
    if (entry.keys.generation !== entry.generation || entry.identity.expires_ms <= now()) return undefined;
    this.#entries.set(key, entry);
    return entry.identity;
  }

  set(key: string, entry: Verified): void {
    this.#entries.set(key, entry);
    if (this.#entries.size <= entries_max) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  clear(): void {
    this.#entries.clear();
  }
}
