import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { parse as parseYaml } from 'yaml';
import { createDatabase, type TestDatabase } from '../../../../../test/support/postgres.js';
import type { Ask } from '../../judging/statement.js';
import { readAnswer } from '../answers.js';
import { isShort, readCatalog, wantedKey, type Named, type Relation, type Wanted } from '../catalog.js';
import { contextOf } from '../context.js';
import { Facts } from '../facts.js';
import { namesIn, viewLineage } from '../lineage.js';
import { Answers, wantedOf } from '../names.js';
import { loadParser, parse } from '../parse.js';
import type { Derived } from '../scope.js';
import { statement } from '../statements.js';

/**
 * What each output of a statement is made of. `outputs.yaml` says it; where the server itself tells in its description of
 * the rows which column an output is a copy of, that must be the same. `views.yaml` is about views' queries.
 */

interface OutputCase {
  readonly statement: string;
  /** "name = column" for a copy, "name < columns" for what is made of them, "name" for what is made of none. */
  readonly outputs: readonly string[];
  /** True where not all outputs are known. */
  readonly open?: boolean;
}

interface ViewCase {
  readonly view: string;
  readonly as: string;
  readonly columns?: readonly string[];
  readonly uses?: readonly string[];
}

const read = <T>(file: string): T => parseYaml(readFileSync(join(import.meta.dirname, file), 'utf8')) as T;
const outputCases = read<OutputCase[]>('outputs.yaml');
const viewCases = read<ViewCase[]>('views.yaml');

let database: TestDatabase;
let client: pg.Client;
const columns = new Map<string, string>();

beforeAll(async () => {
  await loadParser();
  const views = viewCases.map(({ view, as }) => `create ${view} as ${as};`).join('\n');
  database = await createDatabase({
    sql: `${readFileSync(join(import.meta.dirname, 'schema.sql'), 'utf8')}\nset search_path = app;\n${views}`,
  });
  client = new pg.Client(database.url);
  await client.connect();
  await client.query('set search_path = app');
  for (const row of await database.sql(
    `select attrelid::int8 || '.' || attnum as key, format('%s.%s.%s', n.nspname, c.relname, attname) as name
     from pg_attribute a join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace`,
  ))
    columns.set(String(row['key']), String(row['name']));
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const ask: Ask = async (text, values) =>
  (
    await client.query<(string | null)[]>({
      text,
      values: [...values],
      rowMode: 'array',
      types: { getTypeParser: () => (value: string) => value },
    })
  ).rows;

/** The catalog's answers to all names of a text, those in its views' queries among them. */
async function answers(wanted: readonly Wanted[]): Promise<Answers> {
  const named = new Map<string, Named>();
  let missing = [...wanted];
  for (;;) {
    const { path, answers: raws } = await readCatalog(ask, missing);
    for (const want of missing) {
      const raw = raws.get(wantedKey(want)) ?? '';
      named.set(wantedKey(want), { raw, value: readAnswer(want.kind, raw), read_ms: 0, since_ms: 0, reading: 0 });
    }
    const all = [...wanted];
    for (const want of all) {
      const value = named.get(wantedKey(want))?.value;
      const definition = want.kind === 'relation' ? (value as Relation | undefined)?.definition : undefined;
      if (definition !== undefined && all.length < 1_000) all.push(...namesIn(definition));
    }
    missing = [...new Map(all.map((want) => [wantedKey(want), want])).values()]
      .filter((want) => {
        const known = named.get(wantedKey(want));
        return known === undefined || isShort(want, known.value);
      })
      .map((want) => (named.has(wantedKey(want)) ? { ...want, full: true } : want));
    if (missing.length === 0) return new Answers(named, path);
  }
}

async function outputsOf(text: string): Promise<Derived | undefined> {
  const parsed = parse(text);
  const names = await answers(wantedOf(parsed));
  const facts = new Facts((relation) => viewLineage(relation, names));
  statement(contextOf(facts, names), parsed.statements[0]!.stmt!, () => {
    throw new Error('no statement with another inside here');
  });
  expect(facts.isResolved).toBe(true);
  return facts.outputs;
}

const said = (outputs: Derived): string[] =>
  outputs.columns.map(({ name, copyOf, origins }) =>
    copyOf !== undefined
      ? `${name} = ${copyOf}`
      : origins.length > 0
        ? `${name} < ${[...new Set(origins)].sort().join(', ')}`
        : name,
  );

describe('outputs', () => {
  for (const each of outputCases) {
    test(each.statement, async () => {
      const outputs = await outputsOf(each.statement);
      expect(said(outputs!)).toEqual(each.outputs);
      expect(outputs!.open).toBe(each.open === true);
      if (each.open === true) return;
      await client.query('begin');
      const { fields } = await client
        .query({ text: each.statement, rowMode: 'array' })
        .finally(() => client.query('rollback'));
      expect(outputs!.columns.map(({ name }) => name)).toEqual(fields.map(({ name }) => name));
      const told = fields.map(({ tableID, columnID }) => columns.get(`${tableID}.${columnID}`));
      const copies = outputs!.columns.map(({ copyOf }, index) => (told[index] === undefined ? undefined : copyOf));
      expect(copies).toEqual(told);
    });
  }
});

describe('views', () => {
  for (const each of viewCases) {
    const name = each.view.replace(/^.* (\w+)( \(.*)?$/, '$1');
    test(`${each.view} as ${each.as}`, async () => {
      const names = await answers([{ kind: 'relation', schema: 'app', name }]);
      const relation = names.relation('app', name)!;
      const lineage = viewLineage(relation, names);
      expect(viewLineage(relation, names)).toBe(lineage);
      const through = (list: readonly { name: string; via: string }[]): string =>
        list.map((each) => (each.via === `app.${name}` ? each.name : `${each.name} by ${each.via}`)).join(', ');
      expect({
        columns:
          lineage &&
          [...lineage.columns].map(([column, { copies, derived }]) =>
            [
              column,
              ...(copies.length > 0 ? [`= ${through(copies)}`] : []),
              ...(derived.length > 0 ? [`< ${through(derived)}`] : []),
            ].join(' '),
          ),
        uses: lineage?.uses.map(({ use, ...rest }) => `${use} ${through([rest])}`),
      }).toEqual({ columns: each.columns, uses: each.columns && (each.uses ?? []) });
    });
  }
});
