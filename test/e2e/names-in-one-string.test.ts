import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message, rows } from '../support/wire.js';

const policy = {
  'postgres.rego': `package policy.postgres

allow contains {"code": "understood"} if not input.operation.opaque

mask contains {"code": "contact", "resource": "app.customers.email", "with": "redact"} if {
	some resource in input.operation.resources
	resource.name == "app.customers.email"
}
`,
};

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
  database = await createDatabase({
    sql: `create schema app;
      create table app.customers (id int, email text); insert into app.customers values (1, 'clear@example.com');
      create table public.customers (id int, email text); insert into public.customers values (1, 'anybody')`,
  });
  gateway = await startTestGateway({ database, policy });
});

afterAll(async () => {
  await gateway?.close();
  await database?.drop();
});

/** What a statement of the same string ends took another meaning from: the name stands for the masked table then. */
test.each([
  [['begin', 'set local search_path = public'], 'commit; execute p'],
  [['begin', 'set local search_path = public'], 'rollback; execute p'],
  [['begin', 'set local search_path = public'], 'rollback and chain; select 1; execute p'],
  [['begin', "select set_config('search_path', 'public', true)"], 'commit; explain analyze execute p'],
  [['begin', 'savepoint a', 'set local search_path = public'], 'rollback to a; execute p'],
  [['set search_path = pg_temp, app', 'begin', 'create temp table customers (id int, email text) on commit drop'], 'commit; execute p'], // prettier-ignore
])('%j, prepare, then %s: an EXECUTE is not run under the names of before', async (before, last) => {
  const client = await gateway.open();
  for (const sql of ['set search_path = app', ...before, 'prepare p as select email from customers'])
    expect(errorOf(await client.query(sql))).toBeUndefined();
  const answer = await client.query(last);
  expect(rows(answer).flat()).not.toContain('clear@example.com');
  expect(errorOf(answer)?.['C']).toBe('0A000');
  await client.end();
});

test.each([
  "execute p(set_config('search_path', 'app', false))",
  "explain analyze execute p(set_config('search_path', 'app', false))",
])('an argument of EXECUTE that moves the path is refused: %s', async (last) => {
  const client = await gateway.open();
  for (const sql of ['prepare p(text) as select email from customers where $1 is not null', "execute p('a')"])
    expect(errorOf(await client.query(sql))).toBeUndefined();
  const answer = await client.query(last);
  expect(rows(answer).flat()).not.toContain('clear@example.com');
  expect(errorOf(answer)?.['C']).toBe('0A000');
  await client.end();
});

test.each(['fetch c; execute p', 'move c; execute p', 'fetch c; select email from customers'])(
  'what stands behind a FETCH from a cursor that moves the path is refused: %s',
  async (last) => {
    const client = await gateway.open();
    for (const sql of [
      'prepare p as select email from customers',
      'begin',
      "declare c cursor for select set_config('search_path', 'app', false)",
    ])
      expect(errorOf(await client.query(sql))).toBeUndefined();
    const answer = await client.query(last);
    expect(rows(answer).flat()).not.toContain('clear@example.com');
    expect(errorOf(answer)?.['C']).toBe('0A000');
    await client.end();
  },
);

test('a temporary table that the path puts behind hides nothing', async () => {
  const client = await gateway.open();
  await client.query('set search_path = app, pg_temp');
  const create = 'create temp table customers (id int, email text)';
  // Understood for another path, and never run.
  const other = await gateway.open();
  await other.query('set search_path = app');
  await other.exchange(message.parse(`${create}; select email from customers`), message.sync());
  await other.end();
  const answer = await client.query(`${create}; select email from customers`);
  expect(rows(answer)).toEqual([]);
  expect(errorOf(answer)?.['C']).toBe('42501');
  expect(errorOf(await client.query(create))).toBeUndefined();
  expect(rows(await client.query('select email from customers'))).toEqual([['***']]);
  await client.end();
});

test('where nothing was local to the transaction, it runs', async () => {
  const client = await gateway.open();
  for (const sql of ['set search_path = app', 'begin', 'prepare p as select email from customers'])
    expect(errorOf(await client.query(sql))).toBeUndefined();
  expect(rows(await client.query('commit; execute p'))).toEqual([['***']]);
  await client.end();
});
