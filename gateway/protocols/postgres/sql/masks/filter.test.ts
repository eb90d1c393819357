import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { parse as parseYaml } from 'yaml';
import { createDatabase, type TestDatabase } from '../../../../../test/support/postgres.js';
import { readAnswer } from '../answers.js';
import { readCatalog, wantedKey, type Relation } from '../catalog.js';
import { loadParser } from '../parse.js';
import { filterExpression, filterProblem, where_chars_max } from './filter.js';

/** Filters as they are written into statements, and as a real server reads them under a search_path full of traps. */

interface Case {
  readonly where: string;
  readonly gives?: string;
  /** ids of the rows that are left. */
  readonly rows?: readonly number[];
  readonly problem?: string;
}

const cases = parseYaml(readFileSync(join(import.meta.dirname, 'cases', 'filters.yaml'), 'utf8')) as readonly Case[];

const schema = `
create extension citext;
create schema app;
create type app.mood as enum ('sad', 'happy');
create table app.orders (id integer, region text, active boolean, placed date, seen timestamptz, tags text[], detail jsonb, mail citext, mood app.mood, "Straße" text);
insert into app.orders values
  (1, 'EU', true, '2024-05-01', '2024-05-01 00:00+00', '{vip}', '{"tier": "gold"}', 'Ada@example.com', 'happy', 'Bahnhofstraße 1'),
  (2, 'US', false, '2025-05-01', '2024-05-02 00:00+00', '{}', '{}', null, null, null);
create schema trap;
create function trap.yes(text, text) returns boolean language sql as 'select true';
create function trap.lower(text) returns text language sql as $$select 'eu'$$;
create operator trap.= (leftarg = text, rightarg = text, function = trap.yes);
create operator trap.~~ (leftarg = text, rightarg = text, function = trap.yes);
create operator trap.~ (leftarg = text, rightarg = text, function = trap.yes);
create domain trap.date as text;`;

let database: TestDatabase;
let client: pg.Client;
let relation: Relation;

beforeAll(async () => {
  await loadParser();
  database = await createDatabase({ sql: schema });
  client = new pg.Client({
    connectionString: database.url,
    options: '-c search_path=trap,pg_catalog -c transform_null_equals=on',
  });
  await client.connect();
  const wanted = { kind: 'relation', schema: 'app', name: 'orders' } as const;
  const ask = async (text: string, parameters: readonly unknown[]) =>
    (await client.query<(string | null)[]>({ text, values: [...parameters], rowMode: 'array' })).rows.map((row) =>
      row.map((value) => (value === null ? null : String(value))),
    );
  const { answers } = await readCatalog(ask, [wanted]);
  relation = readAnswer('relation', answers.get(wantedKey(wanted)) ?? '') as Relation;
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

describe('a filter', () => {
  test.each(cases)('$where', async ({ where, gives, rows, problem }) => {
    const write = (): string => filterExpression(where, relation, '"o"');
    if (problem !== undefined) {
      expect(write).toThrow(problem);
      expect(write).toThrow(expect.objectContaining({ name: 'MaskError', code: 'filter_invalid' }));
      return;
    }
    const sql = write();
    if (gives !== undefined) expect(sql).toBe(`(${gives})`);
    expect(sql).not.toContain('\n');
    expect(filterProblem(where, 'app.orders')).toBeUndefined();
    for (const style of ['ISO, DMY', 'German', 'SQL, MDY']) {
      await client.query(`set datestyle to '${style}'`);
      const found = await client.query<{ id: number }>(
        `select o.id from app.orders o where ${sql} and (true) order by 1`,
      );
      expect(found.rows.map(({ id }) => id)).toEqual(rows);
    }
  });

  test('is refused at build for what can be known without its relation', () => {
    expect(filterProblem('nope = 1', 'app.orders')).toBeUndefined();
    expect(filterProblem('region', 'app.orders')).toBeUndefined();
    expect(filterProblem('id + 1', 'app.orders')).toContain('not a condition');
    expect(filterProblem('customers.id = 1', 'app.orders')).toContain('no column of app.orders');
    expect(filterProblem('1=1) or (1=1')).toContain('syntax error');
  });

  test('is bounded in length and depth', () => {
    expect(filterProblem(`${'('.repeat(60)}true${')'.repeat(60)}`)).toBeUndefined();
    expect(filterProblem(`${'NOT '.repeat(200)}true`)).toContain('nested too deep');
    expect(filterProblem(`id = ${'9'.repeat(where_chars_max)}`)).toContain('longer than');
  });
});
