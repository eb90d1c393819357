import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.js';
import { openDatabase, type Database } from '../state/database.js';
import { givenHome } from '../state/home.js';
import type { Replica } from '../state/replica.js';
import { Revisions, skew_ms_max } from './revisions.js';

const log = pino({ level: 'silent' });
let home: TestDatabase;
let database: Database;
let now = 1_000_000;

beforeAll(async () => {
  home = await createDatabase();
  database = openDatabase({ home: givenHome(home), log });
  database.start();
  await database.query('select 1');
});
afterAll(async () => {
  await database?.close();
  await home?.drop();
});

/** A replica whose heart the test beats. */
function side(id: string, revision: { now: string | undefined }) {
  const works: (() => Promise<void>)[] = [];
  const pulse = () =>
    database
      .query('insert into sallyport.replicas (id) values ($1) on conflict (id) do update set beat = now()', [id])
      .then(() => undefined);
  const replica: Replica = { id, onBeat: (work) => works.push(work), beat: pulse, close: () => Promise.resolve() };
  const revisions = new Revisions({ database, replica, current: () => revision.now, now: () => now });
  const beat = async () => {
    await pulse();
    for (const work of works) await work();
  };
  return { revisions, beat };
}

test('each knows what the others enforce, and says so where one stays behind', async () => {
  const first = { now: 'git:1' as string | undefined };
  const second = { now: undefined as string | undefined };
  const one = side('one', first);
  const two = side('two', second);
  await one.beat();
  await two.beat();
  expect(await one.revisions.others()).toEqual([]);
  expect(await two.revisions.others()).toEqual([
    { replica: 'one', revision: 'git:1', since: expect.stringMatching(/^\d{4}-.*Z$/) as unknown },
  ]);

  second.now = 'git:1';
  await two.beat();
  first.now = 'git:2';
  await one.beat();
  expect(await two.revisions.others()).toMatchObject([{ revision: 'git:2' }]);
  await two.beat();
  expect(two.revisions.warnings()).toEqual([]);
  now += skew_ms_max;
  await two.beat();
  expect(two.revisions.warnings()).toEqual([
    expect.stringMatching(/^replica one has enforced another policy .*: git:2$/),
  ]);

  second.now = 'git:2';
  await two.beat();
  expect(two.revisions.warnings()).toEqual([]);
});

test('who is silent for long is not listed, and comes back with its next beat', async () => {
  const here = side('here', { now: 'git:3' });
  const gone = side('gone', { now: 'git:0' });
  await here.beat();
  await gone.beat();
  const listed = async () => (await here.revisions.others()).map(({ replica }) => replica);
  expect(await listed()).toContain('gone');
  await home.sql("update sallyport.replicas set beat = now() - interval '1 minute' where id = 'gone'");
  expect(await listed()).not.toContain('gone');
  await home.sql("delete from sallyport.replicas where id = 'gone'");
  await gone.beat();
  expect(await listed()).toContain('gone');
});
