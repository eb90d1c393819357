import { describe, expect, test } from '@jest/globals';
import type { Principal } from '#engine';
import { pino } from 'pino';
import { inputOf } from '../../test/support/policy.js';
import { StateError } from '../errors.js';
import type { Identity } from '../protocol.js';
import type { Database } from '../state/database.js';
import { Revocations } from './revocations.js';

const start_ms = Date.parse('2026-11-27T10:00:00Z');
const hour_ms = 3_600_000;

/** One replica, with a state that is there or not. */
function replica(options: { strict?: boolean; state?: boolean } = {}) {
  const at = { now_ms: start_ms, state: options.state ?? true };
  const beats: (() => Promise<void>)[] = [];
  const rows: unknown[][] = [];
  const ended: ((principal: Principal) => boolean)[] = [];
  const query = async (text: string, values: readonly unknown[] = []) => {
    if (!at.state) throw new StateError('out of reach');
    if (text.startsWith('insert')) rows.push([...values]);
    return [];
  };
  const database = {
    query,
    transaction: async (work: (queries: { query: typeof query }) => unknown) => work({ query }),
    listen: () => () => undefined,
    ready: async () => {
      if (!at.state) throw new StateError('out of reach');
    },
    started: true,
    get healthy() {
      return at.state;
    },
  } as unknown as Database;
  const revocations = new Revocations({
    database,
    replica: { id: 'r', onBeat: (work) => beats.push(work), beat: async () => undefined, close: async () => undefined },
    log: pino({ level: 'silent' }),
    now: () => at.now_ms,
    tokenLifetimeMax_ms: hour_ms,
    strict: options.strict ?? false,
  });
  revocations.subscribe((fits) => ended.push(fits));
  return { at, rows, ended, revocations, beat: () => Promise.all(beats.map((work) => work())) };
}

function identity(changes: { subject?: string; issuer?: string; id?: string; issued_ms?: number } = {}): Identity {
  const { subject = 'agent:a', issuer = 'https://idp.example', id = 't-1', issued_ms = start_ms - 60_000 } = changes;
  const token = { id, issued: new Date(issued_ms).toISOString(), expires: new Date(start_ms + hour_ms).toISOString() };
  return { principal: { ...inputOf().principal, subject, issuer, token }, expires_ms: start_ms + hour_ms };
}
const administrator = identity({ subject: 'root' });
const isRefused = ({ revocations }: ReturnType<typeof replica>, who: Identity) => {
  try {
    revocations.check(who);
    return undefined;
  } catch (error) {
    return (error as { reason?: string }).reason;
  }
};

describe('a revocation', () => {
  test('of a token refuses that token, of that issuer where one is named, and no other', async () => {
    const one = replica();
    await one.revocations.revoke({ jti: 't-1', issuer: 'https://idp.example' }, administrator);
    expect(isRefused(one, identity())).toBe('revoked');
    expect(isRefused(one, identity({ id: 't-2' }))).toBeUndefined();
    expect(isRefused(one, identity({ issuer: 'https://other.example' }))).toBeUndefined();
  });

  test('of a subject refuses what was issued until then, and what does not say when', async () => {
    const one = replica();
    await one.revocations.revoke({ subject: 'agent:a', issuedBefore_ms: start_ms - 30_000 }, administrator);
    expect(isRefused(one, identity())).toBe('revoked');
    expect(isRefused(one, identity({ issued_ms: start_ms - 29_000 }))).toBeUndefined();
    const { issued: _, ...token } = identity().principal.token;
    expect(isRefused(one, { ...identity(), principal: { ...identity().principal, token } })).toBe('revoked');
    // A later one reaches further; an earlier one takes nothing back.
    await one.revocations.revoke({ subject: 'agent:a' }, administrator);
    await one.revocations.revoke({ subject: 'agent:a', issuedBefore_ms: start_ms - 50_000 }, administrator);
    expect(isRefused(one, identity({ issued_ms: start_ms - 29_000 }))).toBe('revoked');
  });

  test('of the future does not refuse what will be issued', async () => {
    const one = replica();
    await one.revocations.revoke({ subject: 'agent:a', issuedBefore_ms: start_ms + hour_ms }, administrator);
    expect(isRefused(one, identity({ issued_ms: start_ms + 1_000 }))).toBeUndefined();
  });

  test('is told to whoever is signed in, and forgotten when no such token can be valid', async () => {
    const one = replica();
    await one.revocations.revoke({ jti: 't-1' }, administrator);
    expect(one.ended.map((fits) => fits(identity().principal))).toEqual([true]);
    one.at.now_ms += hour_ms;
    expect(isRefused(one, identity())).toBeUndefined();
  });

  test('names a token or a subject', async () => {
    const one = replica();
    for (const query of [{}, { issuer: 'x' }, { jti: 'a', subject: 'b' }]) {
      await expect(one.revocations.revoke(query, administrator)).rejects.toMatchObject({ reason: 'malformed' });
    }
  });
});

describe('while the state is out of reach', () => {
  test('a revocation is in force here, says that it is not kept, and is kept when the state is back', async () => {
    const one = replica({ state: false });
    expect(await one.revocations.revoke({ jti: 't-1' }, administrator)).toMatchObject({ kept: false });
    expect(isRefused(one, identity())).toBe('revoked');
    expect(one.rows).toEqual([]);
    one.at.state = true;
    await one.beat();
    expect(one.rows.length).toBe(1);
    await one.beat();
    expect(one.rows.length).toBe(1);
  });

  test('who is not known to be revoked signs in, unless it is strict', async () => {
    for (const [strict, reason] of [
      [false, undefined],
      [true, 'revocation_unknown'],
    ] as const) {
      const one = replica({ strict });
      await one.revocations.load(1);
      expect(isRefused(one, identity())).toBeUndefined();
      one.at.state = false;
      expect(isRefused(one, identity())).toBe(reason);
      one.at.state = true;
      expect(isRefused(one, identity())).toBeUndefined();
    }
  });

  test('a strict gateway that has never read what was revoked lets nobody in until it has', async () => {
    const one = replica({ strict: true, state: false });
    await one.revocations.load(1);
    one.at.state = true;
    expect(isRefused(one, identity())).toBe('revocation_unknown');
    await one.beat();
    expect(isRefused(one, identity())).toBeUndefined();
  });
});
