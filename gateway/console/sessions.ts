import { createHash, randomBytes } from 'node:crypto';
import type { Identity } from '../protocol.js';

/** So many people may be signed in at once; beyond that, who was there longest makes room. */
const sessions_max = 10_000;
const perPerson_max = 20;

interface ConsoleSession {
  readonly identity: Identity;
  readonly person: string;
}

/**
 * Who is signed in to the console, in this process's memory: a session lives no longer than the token it was made from,
 * and a restart ends all. The browser holds 256 random bits; here stands only their hash.
 */
export class ConsoleSessions {
  readonly #sessions = new Map<string, ConsoleSession>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Always a new value, never one that the browser brought: nobody can prepare a session for somebody else. */
  open(identity: Identity): string {
    const value = randomBytes(32).toString('base64url');
    const { issuer, subject } = identity.principal;
    const person = JSON.stringify([issuer, subject]);
    this.#makeRoom(person);
    this.#sessions.set(keyOf(value), { identity, person });
    return value;
  }

  find(value: string | undefined): Identity | undefined {
    if (value === undefined) return undefined;
    const key = keyOf(value);
    const session = this.#sessions.get(key);
    if (session === undefined) return undefined;
    if (session.identity.expires_ms > this.#now()) return session.identity;
    this.#sessions.delete(key);
    return undefined;
  }

  close(value: string | undefined): void {
    if (value !== undefined) this.#sessions.delete(keyOf(value));
  }

  /** A Map keeps the order of insertion: the first is the oldest. */
  #makeRoom(person: string): void {
    const now_ms = this.#now();
    for (const [key, { identity }] of this.#sessions) if (identity.expires_ms <= now_ms) this.#sessions.delete(key);
    const theirs = [...this.#sessions].filter(([, session]) => session.person === person);
    if (theirs.length >= perPerson_max) this.#sessions.delete(theirs[0]![0]);
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size >= sessions_max && oldest !== undefined) this.#sessions.delete(oldest);
  }
}

export const keyOf = (value: string): string => createHash('sha256').update(value).digest('base64');
