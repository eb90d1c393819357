import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from 'jose';
import type { Logger } from 'pino';
import { ConfigError, IdentityError } from '../errors.js';

/** The public keys of one issuer. */
export interface Keys {
  /** Differs between any two sets of keys that were in force one after the other. */
  readonly generation: string;
  /** Brings the keys up to date where that is due. Throws IdentityError where there are none to rely on. */
  refresh(): Promise<void>;
  /** Finds the key that a token says it is signed with; looks again once where it is not among those known. */
  readonly find: JWTVerifyGetKey;
  close(): void;
}

/** How often the file is looked at for a change. */
const look_ms = 1_000;
/** Keys whose source cannot be read any more serve this long, as keys from the network do. */
export const stale_ms_max = 600_000;
/** Between two looks that were caused by a token naming an unknown key. */
const cooldown_ms = 1_000;
const keys_max = 100;
export const jwks_bytes_max = 1_048_576;

/**
 * The public part of the asymmetric keys of a JWK Set (RFC 7517); the rest is dropped: a secret key among public ones
 * must never be what a signature is checked with. Throws an Error that says what is wrong.
 */
export function publicKeys(source: string): JSONWebKeySet {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    throw new Error('is not JSON');
  }
  const keys = (value as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new Error('is no JWK Set: it has no list "keys"');
  if (keys.length > keys_max) throw new Error(`has more than ${keys_max} keys`);
  return { keys: keys.flatMap((key: JWK | null) => publicKey(key)) };
}

const members = { RSA: ['n', 'e'], EC: ['crv', 'x', 'y'], OKP: ['crv', 'x'] } as const;

function publicKey(key: JWK | null): JWK[] {
  const kind = key?.kty as keyof typeof members | undefined;
  if (key === null || kind === undefined || !Object.hasOwn(members, kind)) return [];
  const open = new Set<string>(['kty', 'kid', 'alg', 'use', ...members[kind]]);
  const kept = Object.entries(key).filter(([member, value]) => open.has(member) && typeof value === 'string');
  return [Object.fromEntries(kept)];
}

/** Keys in a file, read again when it changes. The constructor throws ConfigError where it cannot be read. */
export class FileKeys implements Keys {
  generation: string;
  readonly #file: string;
  readonly #now: () => number;
  readonly #log: Logger | undefined;
  #local: ReturnType<typeof createLocalJWKSet>;
  /** Of the file that was read last: a new file in its place has another. */
  #stamp = '';
  #looked_ms: number;
  #good_ms: number;
  #warned = false;

  constructor(file: string, options: { now: () => number; log: Logger | undefined }) {
    this.#file = file;
    this.#now = options.now;
    this.#log = options.log;
    try {
      const source = readFileSync(file, 'utf8');
      this.#local = createLocalJWKSet(publicKeys(source));
      this.generation = hash('sha256', source);
    } catch (error) {
      throw new ConfigError(`the keys in ${file} cannot be used: ${(error as Error).message}`, { cause: error });
    }
    this.#looked_ms = Number.NEGATIVE_INFINITY;
    this.#good_ms = this.#now();
  }

  readonly find: JWTVerifyGetKey = async (header, token) => {
    const local = this.#local;
    try {
      return await local(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      if (this.#now() - this.#looked_ms >= cooldown_ms) await this.#look();
      if (this.#local === local) throw error;
      return await this.#local(header, token);
    }
  };

  async refresh(): Promise<void> {
    const now_ms = this.#now();
    if (now_ms - this.#looked_ms >= look_ms) await this.#look();
    if (now_ms - this.#good_ms > stale_ms_max) {
      throw new IdentityError('keys', "the issuer's keys cannot be read at the moment; try again later", {
        detail: `${this.#file} could not be read for ${stale_ms_max} ms`,
      });
    }
  }

  async #look(): Promise<void> {
    this.#looked_ms = this.#now();
    try {
      const { mtimeMs, ctimeMs, size, ino } = await stat(this.#file);
      const stamp = `${mtimeMs} ${ctimeMs} ${size} ${ino}`;
      if (stamp !== this.#stamp) {
        if (size > jwks_bytes_max) throw new Error(`has more than ${jwks_bytes_max} bytes`);
        const source = await readFile(this.#file, 'utf8');
        const generation = hash('sha256', source);
        if (generation !== this.generation) {
          this.#local = createLocalJWKSet(publicKeys(source));
          this.generation = generation;
          this.#log?.info({ file: this.#file }, 'identity: the keys changed');
        }
        this.#stamp = stamp;
      }
      this.#good_ms = this.#now();
      this.#warned = false;
    } catch (error) {
      // Half a file, or none, is what a careless rotation looks like: the keys that were good stay for a while.
      if (!this.#warned) this.#log?.warn({ file: this.#file, err: error }, 'identity: keys cannot be read');
      this.#warned = true;
    }
  }

  close(): void {}
}
