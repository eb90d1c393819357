import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Principal } from '#engine';
import { pino } from 'pino';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.js';
import { openDatabase, type Database } from '../state/database.js';
import { givenHome } from '../state/home.js';
import { openReplica } from '../state/replica.js';
import { keepHouse } from '../state/housekeeping.js';
import { Ledger } from './ledger.js';
import { SharedUsage, usageChores } from './shared.js';

/** Counters and labels of gateways that share a database. */

const log = pino({ level: 'silent' });
const noon = Date.UTC(2026, 10, 22, 12, 0, 30);
let now = noon;
let home: TestDatabase;
const opened: { database: Database; shared: SharedUsage }[] = [];

beforeAll(async () => {
  home = await createDatabase();
});
afterAll(async () => {
  for (const { shared, database } of opened) {
    await shared.close();
    await database.close();
  }
  await home.drop();
});

/** A gateway as far as usage goes; a new one knows nothing of what those before it did. */
async function gateway() {
  const { host, port, database: name, user, password } = home;
  const database = openDatabase({ home: givenHome({ host, port, database: name, user, password }), log });
  await database.ready(20_000);
  const shared = new SharedUsage({ database, log, now: () => now, active: () => true });
  opened.push({ database, shared });
  const ledger = new Ledger(() => now);
  const account = (subject: string, purpose = 'report', target = 'postgres/orders') =>
    ledger.account({ subject, issuer: 'https://idp.example', purpose } as Principal, target);
  return { database, shared, account };
}

test('a budget lets exactly that many through, however many come at once on two gateways, for any target', async () => {
  const sides = [await gateway(), await gateway()];
  let passed = 0;
  let judged = 0;
  const all = Array.from({ length: 200 }, (_, index) => {
    const { shared, account } = sides[index % 2]!;
    return shared.take(account('many', 'report', `postgres/${String(index % 3)}`), ({ operations }) => {
      expect(operations.day).toBe(judged++);
      if (operations.day < 100) passed++;
      return { spent: { operations: 1 } };
    });
  });
  await Promise.all(all);
  expect(passed).toBe(100);
  const later = await gateway();
  await later.shared.take(later.account('many', 'other'), (usage) => {
    expect(usage).toMatchObject({ operations: { day: 200 }, purpose: { operations: { day: 0 } } });
    return { spent: {} };
  });
});

test('what was used without a judgement is written down, and minutes and days begin anew', async () => {
  const one = await gateway();
  const other = await gateway();
  one.shared.spend(one.account('ada'), { operations: 1, rows: 7, bytes: 70 });
  one.shared.spend(one.account('ada'), { rows: 3, cost: 0.5 });
  await one.shared.close();
  const seen = async () => {
    let found: unknown;
    await other.shared.take(other.account('ada'), (usage) => {
      found = {
        minute: usage.operations.minute,
        day: usage.operations.day,
        rows: usage.rows.day,
        cost: usage.cost.day,
      };
      return { spent: {} };
    });
    return found;
  };
  expect(await seen()).toEqual({ minute: 1, day: 1, rows: 10, cost: 0.5 });
  now = noon + 60_000;
  expect(await seen()).toEqual({ minute: 0, day: 1, rows: 10, cost: 0.5 });
  now = noon + 24 * 3_600_000;
  expect(await seen()).toEqual({ minute: 0, day: 0, rows: 0, cost: 0 });
  // Another gateway's clock is behind: nothing begins anew a second time.
  await other.shared.take(other.account('ada'), () => ({ spent: { operations: 2 } }));
  now = noon;
  expect(await seen()).toEqual({ minute: 2, day: 2, rows: 0, cost: 0 });
});

test('a label is on the work everywhere once it is taken, until it ends, and on no other work', async () => {
  const one = await gateway();
  const other = await gateway();
  await one.shared.take(one.account('bo'), () => ({
    spent: {},
    taints: [{ label: 'pii', for_ms: 60_000, code: 'seen' }],
  }));
  const labels = async (purpose: string) => {
    let found: readonly string[] = [];
    await other.shared.take(other.account('bo', purpose, 'ssh/build'), (_, taint) => {
      found = taint;
      return { spent: {} };
    });
    return found;
  };
  expect(await labels('report')).toEqual(['pii']);
  expect(await labels('another')).toEqual([]);
  expect(other.account('bo', 'report', 'ssh/build').taint()).toEqual(['pii']);
  now += 60_000;
  expect(await labels('report')).toEqual([]);
});

test('rows name nobody, and go when they can say nothing any more', async () => {
  const { database } = await gateway();
  const keys = await database.query<{ key: string }>('select key from sallyport.usage');
  expect(keys.length).toBeGreaterThan(0);
  expect(keys.every(({ key }) => /^[\w-]{43}$/.test(key))).toBe(true);
  await database.query(`update sallyport.usage set day = 20000`);
  await database.query(`update sallyport.taints set until = 1`);
  const beats: (() => Promise<void>)[] = [];
  const replica = openReplica({ database, log });
  keepHouse({
    database,
    replica: { ...replica, onBeat: (work) => beats.push(work) },
    chores: usageChores,
    rows_max: 3,
  });
  // A few at a time, and on at once while there is more.
  const left = async () => (await database.query('select 1 from sallyport.usage')).length;
  const before = await left();
  await beats[0]!();
  expect(await left()).toBe(Math.max(0, before - 3));
  for (let beat = 0; beat < before; beat++) await beats[0]!();
  expect(await left()).toBe(0);
  expect(await database.query('select 1 from sallyport.taints')).toEqual([]);
  await replica.close();
});

test('without its database nothing is judged', async () => {
  const { database, shared, account } = await gateway();
  await database.close();
  await expect(shared.take(account('ada'), () => ({ spent: {} }))).rejects.toMatchObject({ code: 'state' });
});
