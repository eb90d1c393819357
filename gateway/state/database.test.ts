import { afterEach, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import { pino } from 'pino';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.js';
import { startValve, type Valve } from '../../test/support/valve.js';
import { StateError } from '../errors.js';
import { openDatabase, type Database } from './database.js';
import { givenHome } from './home.js';
import { migrate, shippedMigrations, type Migration } from './migrate.js';

/** The gateway's own database, with a real one behind a valve. */

let home: TestDatabase;
let valve: Valve;
let database: Database;
const said: { level: number; msg: string }[] = [];
const log = pino({}, { write: (line: string) => said.push(JSON.parse(line) as { level: number; msg: string }) });

beforeEach(async () => {
  said.length = 0;
  home = await createDatabase();
  valve = await startValve(home);
  database = openDatabase({ home: place(), log, wait_ms_max: 500, migrations });
});
afterEach(async () => {
  await database.close();
  await valve.close();
  await home.drop();
});

const place = () => givenHome({ ...home, host: valve.host, port: valve.port, database: home.database });
const migrations: readonly Migration[] = [{ number: 1, name: 'one', sql: 'create table sallyport.one (n int)' }];

/** Asks until it answers. */
async function isBack(): Promise<void> {
  while (
    !(await database.query('select 1').then(
      () => true,
      () => false,
    ))
  )
    await new Promise(setImmediate);
}

test.each(['shut', 'stuck'] as const)(
  '%s, it refuses in time and says why; open again, it is back by itself',
  async (how) => {
    await database.ready(20_000);
    valve.set(how);
    const started = performance.now();
    await expect(database.query('select 1')).rejects.toThrow(StateError);
    expect(performance.now() - started).toBeLessThan(5_000);
    // By now it is known, and nobody waits to find it out again.
    await expect(database.query('select 1')).rejects.toThrow('the state database cannot be used');
    expect(database.healthy).toBe(false);
    valve.set('open');
    await isBack();
    expect(said.filter(({ level }) => level >= 50).map(({ msg }) => msg)).toEqual([
      'the state database cannot be used: what needs it is refused until it can',
    ]);
    expect(said.map(({ msg }) => msg)).toContain('the state database is back');
  },
);

test('who listens hears again after a loss, and is told that something may have been missed', async () => {
  const heard: string[] = [];
  let missed = 0;
  let told: () => void = () => undefined;
  database.listen(
    'news',
    (payload) => {
      heard.push(payload);
      told();
    },
    () => {
      missed++;
      told();
    },
  );
  const next = () => new Promise<void>((resolve) => (told = resolve));
  const first = next();
  await database.ready(20_000);
  await first;
  expect(missed).toBe(1);
  valve.set('shut');
  await home.sql(`select pg_notify('news', 'while nobody listened')`);
  const again = next();
  valve.set('open');
  await again;
  expect(missed).toBe(2);
  const last = next();
  await home.sql(`select pg_notify('news', 'after it')`);
  await last;
  expect(heard).toEqual(['after it']);
});

test('a statement that waits for a lock is refused, and the others go on', async () => {
  await database.ready(20_000);
  const other = new pg.Client({ connectionString: home.url });
  await other.connect();
  await other.query('begin; lock table sallyport.one in access exclusive mode');
  await expect(database.query('select n from sallyport.one')).rejects.toThrow(StateError);
  expect(await database.query('select 1 as n')).toEqual([{ n: 1 }]);
  await other.query('rollback');
  expect(await database.query('select n from sallyport.one')).toEqual([]);
  await other.end();
});

async function client(): Promise<pg.Client> {
  const made = new pg.Client({ connectionString: home.url });
  await made.connect();
  return made;
}

test('of gateways that find an empty database at once, one migrates it', async () => {
  const shipped = await shippedMigrations();
  const clients = await Promise.all(Array.from({ length: 4 }, client));
  const applied = await Promise.all(clients.map((one) => migrate(one, shipped)));
  expect(applied.map(({ length }) => length).sort()).toEqual([0, 0, 0, shipped.length]);
  expect(await home.sql('select number from sallyport.migrations order by 1')).toEqual(
    shipped.map(({ number }) => ({ number })),
  );
  await Promise.all(clients.map((one) => one.end()));
});

test('a database of a newer version is refused, and so is a migration that was changed; nothing is touched', async () => {
  const one = await client();
  const second: Migration = { number: 2, name: 'two', sql: 'create table sallyport.two (n int)' };
  await migrate(one, [...migrations, second]);
  await expect(migrate(one, migrations)).rejects.toThrow(
    'migrated to version 2, and this gateway knows none after 1: run the newer version',
  );
  const changed = { ...second, sql: 'create table sallyport.other (n int)' };
  await expect(migrate(one, [...migrations, changed])).rejects.toThrow(
    'migration 2 of the state database is not the one',
  );
  // One that fails leaves nothing of itself, and none after it is tried.
  const third = { number: 3, name: 'three', sql: 'create table sallyport.three (n int); select 1 / 0' };
  await expect(migrate(one, [...migrations, second, third])).rejects.toThrow('division by zero');
  expect(
    await home.sql(`select to_regclass('sallyport.three') as three, to_regclass('sallyport.other') as other`),
  ).toEqual([{ three: null, other: null }]);
  await one.end();
  await expect(database.ready(3_000)).rejects.toThrow(StateError);
  expect(said.find(({ level }) => level >= 50)).toBeDefined();
});
