import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { parse as parseYaml, stringify } from 'yaml';
import type { Filter, Mask } from '#engine';
import { createDatabase, type TestDatabase } from '../../../../../test/support/postgres.js';
import { createInterpreter, loadParser, SharedCatalog } from '../../judging/interpreter.js';
import { RewriteRefusal, type Obligations, type Plan } from '../../enforcing/rewriting.js';
import { StatementError, type Ask, type Interpreter } from '../../judging/statement.js';
import { maskExpression } from '../masks/expression.js';

/**
 * `cases/*.yaml`: statements, and what leaves in their place under the masks and filters at the head of each file. RECORD_REWRITES=1
 * writes down what leaves now.
 *
 * What it must do is shown on two databases. In the second, every masked column was overwritten with its mask, and what a filter
 * hides was deleted: the client's own statement says there what the rewritten one says here, to the last cell, but for what
 * a case names under `differs`.
 */

interface Case {
  readonly text: string;
  readonly sent?: string;
  readonly refused?: string;
  /** What the second database is asked instead: there clear.customers_email(id) is the value that conditions see. */
  readonly says?: string;
  /** Why the answers may not be the same. */
  readonly differs?: string;
  /** The server refuses both. */
  readonly fails?: string;
}

interface Group {
  readonly masks?: Readonly<Record<string, string | Partial<Mask>>>;
  /** `unseen`: what a policy beneath it masks. */
  readonly filters?: Readonly<Record<string, string | Pick<Filter, 'where' | 'unseen'>>>;
  readonly cases: Case[];
}

const folder = join(import.meta.dirname, 'cases');
const groups = readdirSync(folder)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => ({ file, group: parseYaml(readFileSync(join(folder, file), 'utf8')) as Group }));

const obligationsOf = ({ masks = {}, filters = {} }: Group): Obligations => ({
  masks: Object.entries(masks).map(([resource, mask]): Mask => {
    const base = { resource, scope: 'source', code: 'test_mask' } as const;
    return (typeof mask === 'string' ? { ...base, with: mask } : { ...base, ...mask }) as Mask;
  }),
  filters: Object.entries(filters).map(([resource, filter]): Filter => ({
    ...(typeof filter === 'string' ? { where: filter } : filter),
    ...{ resource, code: 'test_filter' },
  })),
});

let real: TestDatabase;
let client: pg.Client;
let interpreter: Interpreter;
const shadows: TestDatabase[] = [];

const text = { getTypeParser: () => (value: string) => value };

const asking =
  (of: pg.Client): Ask =>
  async (sql, values) =>
    (await of.query<(string | null)[]>({ text: sql, values: [...values], rowMode: 'array', types: text })).rows;

async function connect(database: TestDatabase): Promise<pg.Client> {
  const made = new pg.Client({
    connectionString: database.url,
    options: `-c sallyport.mask_key=${'5a'.repeat(32)} -c search_path=app,public`,
  });
  await made.connect();
  return made;
}

beforeAll(async () => {
  await loadParser();
  real = await createDatabase({ sql: readFileSync(join(folder, 'schema.sql'), 'utf8') });
  for (const { group } of groups) shadows.push(await shadow(group));
  client = await connect(real);
  interpreter = createInterpreter({
    shared: new SharedCatalog({ catalog_ms: 600_000 }),
    ask: asking(client),
    database: 'orders',
    user: 'postgres',
  });
});

afterAll(async () => {
  await client.end();
  for (const each of shadows) await each.drop();
  await real.drop();
  if (process.env['RECORD_REWRITES'] !== '1') return;
  for (const { file, group } of groups)
    writeFileSync(
      join(folder, file),
      stringify({ ...group, cases: recorded.get(file) ?? group.cases }, { lineWidth: 0 }),
    );
});

const recorded = new Map<string, Case[]>();

/** A copy of the database in which masks and filters are facts. */
async function shadow(group: Group): Promise<TestDatabase> {
  const made = await createDatabase({ copyOf: real });
  const { masks, filters } = obligationsOf(group);
  for (const { resource, where } of filters)
    await made.sql(`set session_replication_role = replica; delete from ${resource} where (${where}) is not true`);
  for (const mask of masks) {
    const [schema = '', table = '', column = ''] = mask.resource.split('.');
    const [row] =
      await made.sql(`select a.atttypid::int as type, a.atttypmod as typmod, format_type(a.atttypid, a.atttypmod) as name
      from pg_attribute a where a.attrelid = '${schema}.${table}'::regclass and a.attname = '${column}'`);
    if (mask.scope === 'output')
      await made.sql(`create schema if not exists clear;
        create table if not exists clear.${table} as select * from ${schema}.${table};
        create function clear.${table}_${column}(int) returns text language sql as 'select ${column} from clear.${table} where id = $1'`);
    const expression = maskExpression(
      mask,
      {
        name: column,
        typeOid: Number(row?.['type']),
        baseTypeOid: Number(row?.['type']),
        typmod: Number(row?.['typmod']),
        typeText: String(row?.['name']),
      },
      `"${column}"`,
    );
    await made.sql(
      `set sallyport.mask_key = '${'5a'.repeat(32)}'; update ${schema}.${table} set "${column}" = ${expression}`,
    );
  }
  for (const view of ['frozen', 'frozen_staff', 'frozen_found'])
    await made.sql(`refresh materialized view app.${view}`);
  return made;
}

async function outcome(each: Case, obligations: Obligations): Promise<Plan | string> {
  try {
    return await interpreter.rewrite(await interpreter.interpret(each.text), obligations);
  } catch (error) {
    if (error instanceof RewriteRefusal) return `${error.code}: ${error.message}`;
    if (error instanceof StatementError) return `${error.sqlstate}: ${error.message}`;
    throw error;
  }
}

/** What makes a statement fail where something has changed is looked at in unchanged.test.ts. */
const settled = (sent: string): string =>
  sent.replace(
    /([( ])CAST\(CASE WHEN CAST\(CAST\([^)]* AS pg_catalog\.regclass\)[^']*?(?:\(SELECT .*?)? THEN 'true' ELSE 'sallyport: (\S+) has changed' END AS pg_catalog\.bool\)/g,
    '$1unchanged($2)',
  );

/** What a statement says and does, in a transaction that is rolled back. */
async function effect(of: pg.Client, sql: string, after: readonly string[]): Promise<unknown> {
  await of.query('begin');
  try {
    const result = await of.query<(string | null)[]>({ text: sql, rowMode: 'array', types: text });
    const last = Array.isArray(result) ? (result.at(-1) as pg.QueryArrayResult<(string | null)[]>) : result;
    const fields = last.fields.map((field) => ({
      name: field.name,
      type: field.dataTypeID,
      modifier: (field as unknown as { dataTypeModifier: number }).dataTypeModifier,
    }));
    const later: unknown[] = [];
    for (const query of after)
      later.push((await of.query({ text: query, rowMode: 'array', types: text })).rows.map(String).sort());
    return { fields, rows: last.rows.map((row) => JSON.stringify(row)).sort(), count: last.rowCount, later };
  } catch (error) {
    return { failed: (error as pg.DatabaseError).code, message: (error as Error).message };
  } finally {
    await of.query('rollback; deallocate all');
  }
}

const canary = /canary|yranac|CANARY|9000000|63616e617279/;

for (const [index, { file, group }] of groups.entries()) {
  describe(file, () => {
    const obligations = obligationsOf(group);
    const masked = new Set(obligations.masks.map(({ resource }) => resource));
    let other: pg.Client;
    beforeAll(async () => {
      other = await connect(shadows[index]!);
    });
    afterAll(async () => {
      await other.end();
    });
    const after = [
      'select id, name, tenant, balance from app.customers',
      'select * from app.orders',
      'select * from app.plain',
      'select id from app.people',
    ].map((query) => query.replace(/\btenant, /, masked.has('app.customers.tenant') ? '' : 'tenant, '));

    for (const each of group.cases) {
      test(each.text, async () => {
        const plan = await outcome(each, obligations);
        const sent = typeof plan === 'string' ? '' : settled(plan.text);
        const said = typeof plan === 'string' ? { refused: plan } : plan.text === each.text ? {} : { sent };
        recorded.set(file, [
          ...(recorded.get(file) ?? []),
          {
            text: each.text,
            ...said,
            ...(each.says === undefined ? {} : { says: each.says }),
            ...(each.differs === undefined ? {} : { differs: each.differs }),
            ...(each.fails === undefined ? {} : { fails: each.fails }),
          },
        ]);
        if (process.env['RECORD_REWRITES'] !== '1')
          expect(said).toEqual({
            ...(each.refused === undefined ? {} : { refused: each.refused }),
            ...(each.sent === undefined ? {} : { sent: each.sent }),
          });
        if (typeof plan === 'string') return;
        const [here, there] = [
          await effect(client, plan.text, filtered(after, group)),
          await effect(other, each.says ?? each.text, after),
        ];
        expect(JSON.stringify({ ...(here as object), later: undefined })).not.toMatch(canary);
        const failures = [here, there].map((said) => (said as { failed?: string }).failed);
        if (failures.some((code) => code !== undefined)) {
          expect({ failures, here, there }).toMatchObject({ failures: [each.fails, each.fails] });
          return;
        }
        expect(each.fails).toBeUndefined();
        if (each.differs === undefined) expect(here).toEqual(there);
        else expect((here as { fields: unknown }).fields).toEqual((there as { fields: unknown }).fields);
      });
    }
  });
}

/** What is in the tables afterwards, but for what the filters hide. */
const filtered = (after: readonly string[], { filters = {} }: Group): readonly string[] =>
  after.map((query) => {
    const [, relation = ''] = /from (\S+)$/.exec(query) ?? [];
    const filter = filters[relation];
    const where = typeof filter === 'object' ? filter.where : filter;
    return where === undefined ? query : `${query} where ${where}`;
  });
