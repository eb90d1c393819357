import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Mask } from '#engine';
import { createDatabase, type TestDatabase } from '../../../../../test/support/postgres.js';
import { createInterpreter, loadParser, SharedCatalog } from '../../judging/interpreter.js';
import { RewriteRefusal } from '../../enforcing/rewriting.js';
import type { Ask } from '../../judging/statement.js';

/** What is judged by one catalog does not run by another: between the two stands what somebody else does. */

const schema = `
create schema app;
create table app.customers (id int primary key, name text, email text, ssn text);
insert into app.customers values (1, 'Ada', 'ada@example.com', 'canary');
create view app.inner_view as select id, name, email from app.customers;
create view app.outer_view as select id, name, email from app.inner_view;
create table app.people (id int, name text, ssn text);
create table app.staff (salary int) inherits (app.people);
insert into app.staff values (1, 'Bob', 'canary', 5);
create table app.loners (id int, name text, ssn text);
insert into app.loners values (1, 'Eve', 'canary');
create table app.computed (id int, email text, ssn text, loud text generated always as (upper(email)) stored);
insert into app.computed values (1, 'a', 'canary')`;

const masks = ['customers.email', 'customers.ssn', 'people.ssn', 'computed.email', 'computed.ssn', 'loners.ssn'].map(
  (name): Mask => ({ resource: `app.${name}`, with: 'redact', scope: 'source', code: 'test_mask' }),
);

const read = {
  table: 'select id, name from app.customers where email is not null',
  view: 'select id, name, email from app.inner_view',
  deep: 'select id, name, email from app.outer_view',
  child: 'select id, name from app.staff where ssn is not null',
  computed: 'select id, loud from app.computed',
  write: `update app.customers set name = 'x' where id = 1 returning id, name, email`,
  insert: `insert into app.customers (id, name) values (77, 'x') returning id, name, email`,
  merge: `merge into app.customers c using (values (1)) as v(i) on c.id = v.i when matched then update set name = 'x' returning c.id, c.name`,
  fully: `merge into app.inner_view c using (values (99)) as v(i) on c.id = v.i when not matched by source then delete when not matched then do nothing returning c.id, c.email`,
  bare: 'delete from app.loners returning name, ssn',
};

/** A statement, what somebody does before it runs, and whether it still may. */
const changes: readonly (readonly [statement: keyof typeof read, change: string, outcome: 'fails' | 'runs'])[] = [
  ['table', '', 'runs'],
  ['table', 'alter table app.customers rename to clients; create table app.customers (like app.clients)', 'fails'],
  ['table', 'alter table app.customers set schema public; create view app.customers as table public.customers', 'fails'],
  ['table', 'alter table app.customers rename column name to called', 'fails'],
  ['table', 'alter table app.customers add column secret text', 'runs'],
  ['table', 'grant select on app.customers to public; analyze app.customers', 'runs'],
  ['view', '', 'runs'],
  ['view', 'create or replace view app.inner_view as select id, ssn as name, email from app.customers', 'fails'],
  ['view', `alter view app.inner_view rename name to n; alter view app.inner_view rename email to name; alter view app.inner_view rename n to email`, 'fails'],
  ['view', 'alter table app.customers rename column name to called', 'fails'],
  ['view', 'alter table app.customers rename to clients', 'fails'],
  ['view', 'analyze app.customers; create index on app.customers (name)', 'runs'],
  ['view', 'drop view app.outer_view, app.inner_view; create table app.inner_view (like app.customers)', 'fails'],
  ['deep', '', 'runs'],
  ['deep', 'create or replace view app.inner_view as select id, ssn as name, email from app.customers', 'fails'],
  ['deep', 'alter table app.customers rename column ssn to number', 'fails'],
  ['child', '', 'runs'],
  ['child', 'create table app.more (name text); alter table app.staff inherit app.more', 'fails'],
  ['child', 'alter table app.people rename to persons', 'fails'],
  ['child', 'create table app.others (like app.people); alter table app.staff no inherit app.people, inherit app.others', 'fails'],
  ['child', 'alter table app.staff no inherit app.people', 'fails'],
  ['child', 'analyze app.staff', 'runs'],
  ['computed', '', 'runs'],
  ['computed', 'alter table app.computed drop column loud, add column loud text generated always as (upper(ssn)) stored', 'fails'],
  ['computed', 'alter table app.computed alter column loud set expression as (lower(ssn))', 'fails'],
  ['write', '', 'runs'],
  ['write', 'alter table app.customers set schema public; create view app.customers as table public.customers', 'fails'],
  ['insert', '', 'runs'],
  ['insert', 'alter table app.customers set schema public; create view app.customers as table public.customers', 'fails'],
  ['merge', '', 'runs'],
  ['merge', 'alter table app.customers set schema public; create view app.customers as table public.customers', 'fails'],
  ['merge', 'alter table app.customers rename to clients; create table app.customers (like app.clients)', 'fails'],
  ['fully', 'create or replace view app.inner_view as select id, ssn as name, email from app.customers', 'fails'],
  ['bare', '', 'runs'],
  ['bare', 'alter table app.loners rename to before; alter table app.before rename to loners', 'runs'],
  ['bare', 'alter table app.loners rename to before; create view app.loners as select id, ssn as name, ssn from app.before', 'fails'],
]; // prettier-ignore

let database: TestDatabase;
let client: pg.Client;
let somebody: pg.Client;
beforeAll(async () => {
  await loadParser();
  database = await createDatabase({ sql: schema });
  client = new pg.Client({ connectionString: database.url });
  somebody = new pg.Client({ connectionString: database.url });
  await Promise.all([client.connect(), somebody.connect()]);
});
beforeEach(async () => {
  await client.query('rollback');
  await somebody.query(`drop schema app cascade; drop table if exists public.customers; ${schema}`);
});
afterAll(async () => {
  await Promise.all([client.end(), somebody.end()]);
  await database.drop();
});

/** What a statement would leave as, by the catalog that this session sees. */
async function leaves(text: string): Promise<string> {
  const types = { getTypeParser: () => (value: string) => value };
  const ask: Ask = async (sql, values) =>
    (await client.query<(string | null)[]>({ text: sql, values: [...values], rowMode: 'array', types })).rows;
  const interpreter = createInterpreter({ shared: new SharedCatalog(), ask, database: 'orders', user: 'postgres' });
  return (await interpreter.rewrite(await interpreter.interpret(text), { masks, filters: [] })).text;
}

/** Rows, or the error that it ended with. */
const outcome = async (text: string): Promise<string> => {
  try {
    return JSON.stringify((await client.query(text)).rows);
  } catch (error) {
    return `fails: ${(error as Error).message}`;
  }
};

describe.each([
  ['read committed', 'judged before the change'],
  ['repeatable read', 'judged before the change'],
  ['repeatable read', 'judged by the snapshot from before the change'],
])('in a transaction that is %s, %s', (level, judged) => {
  test.each(changes)('%s, %s: %s', async (statement, change, expected) => {
    const begin = `begin isolation level ${level}; select 1`;
    let text: string | undefined;
    if (judged === 'judged before the change') {
      await client.query(begin);
      text = await leaves(read[statement]);
      await client.query('rollback');
    }
    await client.query(begin);
    if (change !== '') await somebody.query(change);
    const came = await leadsTo(text, read[statement]);
    expect(came).not.toMatch('canary');
    if (expected === 'runs') expect(came).toMatch(/^\[\{/);
    else expect(came).toMatch(/^fails: (.*sallyport: .* has changed|column .* does not exist|refused|could not open)/);
  });
});

/** The same, or judged only now. */
async function leadsTo(text: string | undefined, statement: string): Promise<string> {
  try {
    return await outcome(text ?? (await leaves(statement)));
  } catch (error) {
    return `fails: ${error instanceof RewriteRefusal ? 'refused: ' : ''}${(error as Error).message}`;
  }
}

test('a change that was undone is none', async () => {
  await somebody.query(
    'begin; create or replace view app.inner_view as select id, ssn as name, email from app.customers; rollback',
  );
  await client.query('begin isolation level repeatable read');
  expect(await outcome(await leaves(read.view))).toMatch(/^\[\{/);
  expect(await outcome(await leaves(read.deep))).toMatch(/^\[\{/);
});

test('what is only planned compares no catalog, by which its plan would be told from others', async () => {
  await client.query('begin');
  for (const statement of [read.view, read.deep, read.child, read.computed, read.write]) {
    for (const explain of ['explain', 'explain (costs off, analyze false)', 'explain verbose']) {
      const text = await leaves(`${explain} ${statement}`);
      expect(text).toContain('AS pg_catalog.regclass');
      expect(text).not.toContain('sallyport.v');
      expect(await outcome(text)).not.toContain('sallyport');
    }
  }
  for (const explain of ['explain analyze', 'explain (analyze, costs off)'])
    expect(await leaves(`${explain} ${read.view}`)).toContain('sallyport.v');
});
