import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import pg from 'pg';
import { parse as parseYaml } from 'yaml';
import type { Filter, Mask } from '#engine';
import { anotherLiteral, withLiterals } from '../../../../../test/support/literals.js';
import { createDatabase, type TestDatabase } from '../../../../../test/support/postgres.js';
import { createInterpreter, loadParser, SharedCatalog } from '../../judging/interpreter.js';
import { RewriteRefusal, type Obligations } from '../../enforcing/rewriting.js';
import { StatementError, type Ask, type Interpreter } from '../../judging/statement.js';
import { formOf } from '../literals.js';

/** What is carried from one text to the others of its form is, to the byte, what each would have become by itself. */

interface Group {
  readonly masks?: Readonly<Record<string, string | Partial<Mask>>>;
  readonly filters?: Readonly<Record<string, string>>;
  readonly cases: readonly { readonly text: string }[];
}

const folder = join(import.meta.dirname, 'cases');
const groups = readdirSync(folder)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => ({ file, group: parseYaml(readFileSync(join(folder, file), 'utf8')) as Group }));

/** Literals beside masks and filters, and where the rewriting takes the text itself or a position in it. */
const more = [
  "select id, email, 1, 'x', 2.5 from app.customers where id in (1, 22, 333) and name <> 'it''s' order by name",
  "select email as e, name from app.customers c where c.id = 7 and c.email like 'a%' limit 10",
  'select email, name from app.customers where id=1or balance>2.5',
  'select * from app.customers tablesample system (10) repeatable (7) where id > 5',
  'select id, name, email from app.customers group by 1 having count(*) > 3',
  'select name, email from app.customers group by id order by 1, 2',
  "update app.customers set name = 'a', balance = 1.5 where id = 3 returning id, email, 'x'",
  "update app.customers set balance = 5 where name = 'returning' or id = 1",
  "delete from app.customers where id = 3 and name in ('where', '(', ')') returning email",
  "insert into app.customers (id, name) values (1, 'a'), (2, 'b') on conflict (id) do update set name = 'c' returning email",
  "insert into app.plain select id, 'x' from app.customers where id < 100",
  "with c as (select id, email from app.customers where id = 1) select c.email, '1', 1 from c where c.id = 1",
  'select (select email from app.customers where id = 5), 5, 5 from app.plain where id = 5',
  "select * from app.contacts where id = 4 and name = 'n'",
  "select * from app.shouted where id = 4 and name = 'n'",
  "select 'app.customers'::regclass, id from app.customers where id = 1",
  'select email -1 from app.customers',
];

/** Counts how often somebody goes through the masks: once each time that a text is rewritten anew. */
class Counted {
  times = 0;
  readonly obligations: Obligations;

  constructor({ masks, filters }: Obligations) {
    const count = (): void => void this.times++;
    this.obligations = {
      filters,
      masks: new Proxy([...masks], {
        get(target, key, receiver): unknown {
          if (key === Symbol.iterator) count();
          return Reflect.get(target, key, receiver);
        },
      }),
    };
  }
}

const obligationsOf = ({ masks = {}, filters = {} }: Group): Obligations => ({
  masks: Object.entries(masks).map(([resource, mask]): Mask => {
    const base = { resource, scope: 'source', code: 'test_mask' } as const;
    return (typeof mask === 'string' ? { ...base, with: mask } : { ...base, ...mask }) as Mask;
  }),
  filters: Object.entries(filters).map(([resource, where]): Filter => ({ resource, where, code: 'test_filter' })),
});

let database: TestDatabase;
let client: pg.Client;
const answers = new Map<string, Promise<(string | null)[][]>>();
/** The catalog stands still: what was asked once is not asked again. */
const ask: Ask = (sql, values) => {
  const key = JSON.stringify([sql, values]);
  let answer = answers.get(key);
  if (answer === undefined) {
    const types = { getTypeParser: () => (value: string) => value };
    answer = client
      .query<(string | null)[]>({ text: sql, values: [...values], rowMode: 'array', types })
      .then(({ rows }) => rows);
    answers.set(key, answer);
  }
  return answer;
};

const createOne = (): Interpreter =>
  createInterpreter({
    shared: new SharedCatalog({ catalog_ms: 600_000 }),
    ask,
    database: 'orders',
    user: 'postgres',
  });

beforeAll(async () => {
  await loadParser();
  database = await createDatabase({ sql: readFileSync(join(folder, 'schema.sql'), 'utf8') });
  client = new pg.Client({ connectionString: database.url, options: '-c search_path=app,public' });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

/** All that there is to a plan, with the positions that it tells. */
async function outcome(of: Interpreter, text: string, obligations: Obligations): Promise<unknown> {
  try {
    const { position, hidden, ...rest } = await of.rewrite(await of.interpret(text), obligations);
    const positions = [...rest.text].map((_, index) => position(index + 1));
    return { ...rest, hidden: [...hidden].sort(), positions };
  } catch (error) {
    if (error instanceof RewriteRefusal) return { refused: error.code, message: error.message };
    if (error instanceof StatementError) return { failed: error.sqlstate, message: error.message };
    throw error;
  }
}

const variations_count = 4;

describe.each(groups)('under the masks and filters of $file', ({ group }) => {
  test('a text that differs in literals only becomes what it would have become alone', async () => {
    const obligations = obligationsOf(group);
    const experienced = createOne();
    const texts = [...group.cases.map(({ text }) => text), ...more].filter((text) => formOf(text) !== undefined);
    expect(texts.length).toBeGreaterThan(15);
    for (const text of texts) {
      const { literals } = formOf(text)!;
      await outcome(experienced, text, obligations);
      const values = fc.sample(fc.tuple(...literals.map(anotherLiteral)), { numRuns: variations_count, seed: 7 });
      for (const variation of values.map((others) => withLiterals(text, literals, others))) {
        const found = await outcome(experienced, variation, obligations);
        expect({ variation, found }).toEqual({
          variation,
          found: await outcome(createOne(), variation, obligations),
        });
      }
    }
  }, 120_000);
});

describe('a form', () => {
  const masked = obligationsOf({ masks: { 'app.customers.email': 'partial' }, cases: [] });

  test('is rewritten for its first text and once more for the proof, however many texts there are', async () => {
    const { obligations } = new Counted(masked);
    const one = createOne();
    const counted = new Counted(masked);
    const text = (id: number): string =>
      `select id, email from app.customers where id = ${String(id)} and name = 'n${String(id)}'`;
    for (let id = 0; id < 100; id++) await outcome(one, text(id), counted.obligations);
    expect(counted.times).toBe(2);
    expect(await outcome(one, text(5), counted.obligations)).toEqual(await outcome(createOne(), text(5), obligations));
  });

  test('is not shared over what the rewriting takes out of the text', async () => {
    const counted = new Counted(masked);
    const one = createOne();
    const sent = async (percent: number): Promise<unknown> =>
      outcome(one, `select email from app.customers tablesample system (${String(percent)})`, counted.obligations);
    expect(JSON.stringify(await sent(10))).toContain('system (10)');
    expect(JSON.stringify(await sent(20))).toContain('system (20)');
    expect(JSON.stringify(await sent(10))).toContain('system (10)');
    expect(counted.times).toBe(2);
  });

  test('has other plans under other masks', async () => {
    const one = createOne();
    const other = obligationsOf({ masks: { 'app.customers.email': 'null' }, cases: [] });
    for (const id of [1, 2, 3, 4]) {
      const text = `select email from app.customers where id = ${String(id)}`;
      expect(await outcome(one, text, masked)).toEqual(await outcome(createOne(), text, masked));
      expect(await outcome(one, text, other)).toEqual(await outcome(createOne(), text, other));
    }
  });

  test('shares a refusal too', async () => {
    const one = createOne();
    const counted = new Counted(masked);
    const refusals = new Set<string>();
    for (let id = 0; id < 20; id++)
      refusals.add(
        JSON.stringify(
          await outcome(one, `update app.customers set email = 'x' where id = ${String(id)}`, counted.obligations),
        ),
      );
    expect([...refusals]).toEqual([expect.stringContaining('masked_write')]);
    expect(counted.times).toBe(2);
  });
});
