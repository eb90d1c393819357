import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { parse as parseYaml } from 'yaml';
import { maskFunctions, type MaskFunction } from '#engine';
import { createDatabase, type TestDatabase } from '../../../../../test/support/postgres.js';
import { readAnswer } from '../answers.js';
import { readCatalog, wantedKey, type Relation } from '../catalog.js';
import { asMaskColumn } from '../rewrite/rules.js';
import type { MaskColumn } from './column.js';
import { maskExpression } from './expression.js';

/** Masks as a real server evaluates them: over every type, under a search_path full of traps. */

interface TypeCase {
  readonly type: string;
  readonly values: readonly (string | null)[];
  readonly unfit: readonly MaskFunction[];
}

interface ValueCase {
  readonly with: MaskFunction;
  readonly type: string;
  readonly parameters?: Record<string, unknown>;
  readonly value: string | null;
  readonly gives?: string | null;
  /** In place of what it gives: what that looks like. */
  readonly matches?: string;
  readonly unfit?: boolean;
}

const read = <T>(file: string): readonly T[] =>
  parseYaml(readFileSync(join(import.meta.dirname, 'cases', file), 'utf8')) as readonly T[];
const types = read<TypeCase>('types.yaml');
const values = read<ValueCase>('values.yaml');

const schema = `
create extension citext schema public;
create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create domain email as text check (value ~ '@');
create domain required as text not null check (value <> '***');
create domain bigint_list as bigint[];
create type mood as enum ('sad', 'happy', 'it''s \\ so-so é');
create domain nickname as varchar(20);
create domain short_code as char(3);
create domain badge as integer;
create domain price as numeric(12,2);
create domain birthday as date;
create domain document as jsonb;
create domain thing_id as uuid;
create domain feeling as mood;
create domain numbers as integer[];
create domain strict_nickname as nickname check (value <> 'root');
create domain given as nickname not null;
create type address as (street varchar(10), code integer);
create schema trap;
create function trap.length(text) returns int language plpgsql as $$begin raise exception 'trapped'; end$$;
create function trap.textcat(text, text) returns text language plpgsql as $$begin raise exception 'trapped'; end$$;
create function trap.trap(text, text) returns boolean language plpgsql as $$begin raise exception 'trapped'; end$$;
create operator trap.= (leftarg = text, rightarg = text, function = trap.trap);
create operator trap.< (leftarg = text, rightarg = text, function = trap.trap);
create domain trap.text as int;`;

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase({ sql: schema });
  client = new pg.Client({
    connectionString: database.url,
    options: `-c sallyport.mask_key=${'5c'.repeat(32)} -c search_path=trap,pg_catalog,public`,
  });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

/** Made under a path without traps; described by the gateway's own reading of the catalog, in the session with them. */
async function makeTable(name: string, columns: readonly string[]): Promise<MaskColumn[]> {
  await database.sql(`create table public.${name} (${columns.map((type, i) => `c${i} ${type}`).join(', ')})`);
  const wanted = { kind: 'relation', schema: 'public', name } as const;
  const { answers } = await readCatalog(async (text, parameters) => (await select(text, parameters)).rows, [wanted]);
  const relation = readAnswer('relation', answers.get(wantedKey(wanted)) ?? '') as Relation;
  return relation.columns.map(asMaskColumn);
}

/** More than a megabyte. */
const long = 'Lorem ipsum 😀 '.repeat(75_000);

/** The rows as texts, with what RowDescription says of the columns. */
async function select(
  text: string,
  parameters: readonly unknown[] = [],
): Promise<{ rows: (string | null)[][]; fields: { type: number; typmod: number }[] }> {
  const result = await client.query<(string | null)[]>({
    text,
    values: [...parameters],
    rowMode: 'array',
    types: { getTypeParser: () => (value: string | Buffer) => String(value) },
  });
  return {
    rows: result.rows,
    fields: result.fields.map(({ dataTypeID, dataTypeModifier }) => ({ type: dataTypeID, typmod: dataTypeModifier })),
  };
}

describe.each(types.map((entry, index) => ({ ...entry, table: `t${index}` })))(
  'over $type',
  ({ type, values, unfit, table }) => {
    let column: MaskColumn;

    beforeAll(async () => {
      [column] = (await makeTable(table, [type])) as [MaskColumn];
      for (const value of values)
        await client.query(`insert into public.${table} values ($1)`, [
          value === 'NULL' ? null : value === '$long' ? long : value,
        ]);
    });

    test.each(maskFunctions)('%s fits, or says that it does not', async (name) => {
      const expression = (): string => maskExpression({ with: name }, column, 'c.c0');
      if (unfit.includes(name)) {
        expect(expression).toThrow(expect.objectContaining({ name: 'MaskError', code: 'mask_unfit' }));
        return;
      }
      expect(expression()).not.toMatch(/[\n\\]/);
      const direct = await select(`select c.c0 from public.${table} c`);
      for (const zone of ['UTC', 'Pacific/Kiritimati']) {
        await client.query(`set timezone to '${zone}'`);
        const masked = await select(`select c.c0 from (select ${expression()} as c0 from public.${table} c) c`);
        expect(masked.fields).toEqual(direct.fields);
        expect(masked.rows).toHaveLength(direct.rows.length);
        masked.rows.forEach(([value], index) => {
          const clear = direct.rows[index]?.[0];
          if (name === 'null') expect(value).toBeNull();
          else if (name === 'redact')
            expect((value ?? null) === null || String(value).replace(/[*" ]/g, '') === '').toBe(true);
          else if (clear === null) expect(value).toBeNull();
          else if (
            name === 'hash' ||
            (name === 'partial' && !/^[* ]*$/.test(String(clear)) && clear !== 'a*' && clear !== 'a***')
          )
            expect(value).not.toBe(clear);
        });
      }
      // The collation is the column's own, so that comparisons mean what they meant.
      if (column.collation !== undefined || /^(text|character|name)/.test(column.typeText)) {
        const of = async (from: string) =>
          (await select(`select pg_catalog.pg_collation_for(c.c0) from ${from} c limit 1`)).rows[0]?.[0];
        expect(await of(`(select ${expression()} as c0 from public.${table} c)`)).toBe(await of(`public.${table}`));
      }
    });
  },
);

describe('what masks make of values', () => {
  beforeAll(async () => {
    await client.query("set timezone to 'UTC'");
  });

  let made = 0;

  test.each(values.map((entry) => ({ ...entry, title: JSON.stringify(entry) })))('$title', async (entry) => {
    const table = `v${(made += 1)}`;
    const [column] = (await makeTable(table, [entry.type])) as [MaskColumn];
    await client.query(`insert into public.${table} values ($1)`, [entry.value === '$long' ? long : entry.value]);
    const mask = { with: entry.with, ...(entry.parameters === undefined ? {} : { parameters: entry.parameters }) };
    if (entry.unfit === true) {
      expect(() => maskExpression(mask, column, 'c.c0')).toThrow(expect.objectContaining({ code: 'mask_unfit' }));
      return;
    }
    const { rows } = await select(`select ${maskExpression(mask, column, 'c.c0')} from public.${table} c`);
    if (entry.matches === undefined) expect(rows).toEqual([[entry.gives]]);
    else expect(rows[0]?.[0]).toMatch(new RegExp(entry.matches));
  });
});

/** The built-in types that a column can have: all but pseudo-types, and what the catalog is made of. */
const builtIn = `select pg_catalog.format_type(t.oid, null) as name
  from pg_catalog.pg_type t where t.oid < 16384 and t.typnamespace = 'pg_catalog'::regnamespace and t.typtype in ('b', 'r', 'm')
    and not exists (select from pg_catalog.pg_type e where e.oid = t.typelem and e.typtype in ('c', 'p')) order by 1`;

/** Fit in whole families: what types.yaml has to say more of. */
const keyedTypes = /^(smallint|integer|bigint|numeric|date|uuid|bytea|text|character varying|character|name)$/;
const truncatedTypes = /^(smallint|integer|bigint|numeric|real|double precision|date|timestamp with(out)? time zone)$/;
const textTypes = /^(text|character varying|character|name)$/;
const searchedTypes = /^((text|character varying|character|name)(\[\])?|json|jsonb|xml)$/;

test('over every built-in type, each mask fits and keeps the type, or says that it does not fit', async () => {
  const all = (await database.sql(builtIn)).map(({ name }) => String(name));
  expect(all.length).toBeGreaterThan(150);
  const columns = await makeTable('built_in', all);
  await client.query('insert into public.built_in default values');
  const fits: Record<MaskFunction, (type: string) => boolean> = {
    null: () => true,
    redact: () => true,
    partial: () => true,
    hash: (type) => keyedTypes.test(type) && type !== 'character',
    tokenize: (type) => textTypes.test(type),
    truncate: (type) => truncatedTypes.test(type),
    pattern: (type) => searchedTypes.test(type),
  };
  for (const name of maskFunctions) {
    const expressions: string[] = [];
    for (const [index, column] of columns.entries()) {
      const type = all[index]!;
      let expression = `CAST(NULL AS ${column.typeText})`;
      try {
        expression = maskExpression({ with: name }, column, `c.c${index}`);
        expect(`${name} of ${type}: ${fits[name](type)}`).toBe(`${name} of ${type}: true`);
      } catch (error) {
        if ((error as { code?: string }).code !== 'mask_unfit') throw error;
        expect(`${name} of ${type}: ${fits[name](type)}`).toBe(`${name} of ${type}: false`);
      }
      expressions.push(`${expression} as c${index}`);
    }
    const masked = await select(`select ${expressions.join(', ')} from public.built_in c`);
    expect(masked.fields).toEqual((await select('select * from public.built_in')).fields);
  }
});

describe('hash', () => {
  const extremes: Readonly<Record<string, readonly string[]>> = {
    smallint: ['-32768', '-1', '0', '1', '32767'],
    integer: ['-2147483648', '-65536', '-1', '0', '1', '65535', '65536', '2147483647'],
    bigint: ['-9223372036854775808', '-1', '0', '1', '9223372036854775807'],
    numeric: ['NaN', 'Infinity', '-Infinity', '0', '1e300', '-1e-300', '1', '-1'],
    'numeric(12,2)': ['NaN', '0', '9999999999.99', '-9999999999.99', '0.01'],
    date: [
      'infinity',
      '-infinity',
      '4713-01-01 BC',
      '1929-12-31',
      '1930-01-01',
      '2109-06-06',
      '2109-06-07',
      '5874897-12-31',
    ],
  };

  test.each(Object.entries(extremes))(
    'of %s keeps apart what is extreme, and a second look is the same',
    async (type, values) => {
      const table = `extreme${Object.keys(extremes).indexOf(type)}`;
      const [column] = (await makeTable(table, [type])) as [MaskColumn];
      for (const value of values) await client.query(`insert into public.${table} values ($1)`, [value]);
      const text = `select ${maskExpression({ with: 'hash' }, column, 'c.c0')} from public.${table} c`;
      const { rows } = await select(text);
      expect(new Set(rows.map(([value]) => value)).size).toBe(values.length);
      expect((await select(text)).rows).toEqual(rows);
    },
  );

  test('of smallint and date gives no two values one hash', async () => {
    const [small, day] = (await makeTable('permuted', ['smallint', 'date'])) as [MaskColumn, MaskColumn];
    await client.query(
      "insert into public.permuted select g - 32768, date '1930-01-01' + g from generate_series(0, 65535, 16) g",
    );
    const { rows } = await select(
      `select count(distinct a), count(distinct b), min(b) >= date '1930-01-01', max(b) <= date '2109-06-06', count(*) filter (where a = c0) < 20 from (select c0, ${maskExpression({ with: 'hash' }, small, 'c.c0')} as a, ${maskExpression({ with: 'hash' }, day, 'c.c1')} as b from public.permuted c) x`,
    );
    expect(rows).toEqual([['4096', '4096', 't', 't', 't']]);
  });

  test('of numbers is equal for equal values however they are written, and joins on it are exact', async () => {
    const [whole, exact, badge] = (await makeTable('numbered', ['integer', 'numeric', 'badge'])) as [
      MaskColumn,
      MaskColumn,
      MaskColumn,
    ];
    await client.query('insert into public.numbered select g, g / 2.0 + 0.000, g from generate_series(1, 2000) g');
    const of = (column: MaskColumn, reference: string): string => maskExpression({ with: 'hash' }, column, reference);
    const { rows } = await select(
      `select count(*) from (select ${of(whole, 'c.c0')} as h, ${of(exact, 'c.c1')} as x from public.numbered c) a
        join (select ${of(badge, 'c.c2')} as h, ${of(exact, 'c.c1::numeric(20,7)')} as x from public.numbered c) b using (h, x)`,
    );
    expect(rows).toEqual([['2000']]);
  });

  const texts = ['text', 'varchar(40)', 'varchar(16)', 'char(20)', 'name', 'citext', 'text collate "ci"'];

  test('is equal for equal values over all text-like types, and joins on it work', async () => {
    const columns = await makeTable('texts', texts);
    await client.query("insert into public.texts values ('ada', 'ada', 'ada', 'ada', 'ada', 'Ada', 'ada')");
    const { rows } = await select(
      `select ${columns.map((column) => `pg_catalog.btrim(${maskExpression({ with: 'hash' }, column, `c.${column.name}`)}::pg_catalog.text)`).join(', ')} from public.texts c`,
    );
    expect(new Set(rows[0]).size).toBe(1);
    expect(rows[0]?.[0]).toMatch(/^[A-Za-z0-9_-]{16}$/);
  });

  test('depends on the key, and there is none without one', async () => {
    const [column] = (await makeTable('keyed', ['text'])) as [MaskColumn];
    await client.query("insert into public.keyed values ('ada')");
    const text = `select ${maskExpression({ with: 'hash' }, column, 'c.c0')} from public.keyed c`;
    const before = (await select(text)).rows[0]?.[0];
    await client.query('begin');
    await client.query(`set local sallyport.mask_key to '${'6d'.repeat(32)}'`);
    expect((await select(text)).rows[0]?.[0]).not.toBe(before);
    await client.query('rollback');
    for (const key of ['', 'aabb', 'zz']) {
      await client.query('begin');
      await client.query(`set local sallyport.mask_key to '${key}'`);
      await expect(select(text)).rejects.toThrow();
      await client.query('rollback');
    }
    const keyless = new pg.Client({ connectionString: database.url });
    await keyless.connect();
    await expect(keyless.query(text)).rejects.toThrow('unrecognized configuration parameter');
    await keyless.end();
  });

  test('shows no key in a plan', async () => {
    const [column] = (await makeTable('planned', ['text'])) as [MaskColumn];
    const { rows } = await select(
      `explain (verbose) select ${maskExpression({ with: 'hash' }, column, 'c.c0')} from public.planned c where ${maskExpression({ with: 'hash' }, column, 'c.c0')} = 'x'`,
    );
    expect(JSON.stringify(rows)).not.toMatch(/5c5c/);
  });
});
