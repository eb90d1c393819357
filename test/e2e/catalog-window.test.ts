import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message, rows, WireClient, type Frame } from '../support/wire.js';

/**
 * Somebody changes the catalog around the gateway between the judging of a statement and its run, or just before it comes again. It does not
 * run as what it was judged as: no clear value comes out, and nothing is refused where nothing has changed.
 */

const policy = `package policy.postgres

allow contains {"code": "everything"} if {
	input.operation.action != "connect"
	not input.operation.opaque
}

allow contains {"code": "connect"} if input.operation.action == "connect"

masked := {"app.people.ssn", "app.masked.note", "app.kid.note"}

mask contains {"resource": name, "with": "redact", "code": "pii"} if {
	some resource in input.operation.resources
	name := resource.name
	name in masked
}
`;

let database: TestDatabase;
let gateway: TestGateway;
let agent: WireClient;
/** Goes around the gateway. */
let somebody: WireClient;

beforeAll(async () => {
  database = await createDatabase({
    sql: `create schema app;
      create schema mine;
      create table app.people (id int primary key, name varchar, ssn text);
      insert into app.people select n, 'name' || n, 'canary' || n from generate_series(1, 3) n;
      create table app.plain (id int not null, note text);
      insert into app.plain values (1, 'plain');
      create table app.masked (id int, note text);
      insert into app.masked values (1, 'canary');
      create table app.kid (id int not null, note text);
      insert into app.kid values (1, 'canary');
      create view app.v as select id, note from app.plain;
      create view app.over as select id, note from app.v;
      create function mine.other(text) returns text language sql as 'select $1';
      create type app.pair as (a int, b int)`,
  });
  gateway = await startTestGateway({ database, policy: { 'postgres.rego': policy } });
  somebody = await WireClient.open({ ...database });
});
beforeEach(async () => {
  agent = await gateway.open();
  // The server's own come first only where nothing fits better.
  await agent.query('set search_path = mine, app, public');
});
afterEach(() => agent.end());
afterAll(async () => {
  await somebody?.end();
  await gateway?.close();
  await database?.drop();
});

const around = async (sql: string): Promise<void> => {
  expect(errorOf(await somebody.query(sql))).toBeUndefined();
};
const bytes = (frames: readonly Frame[]) => Buffer.concat(frames.map(({ body }) => body)).toString('latin1');
const leaks = (frames: readonly Frame[]) => bytes(frames).includes('canary');

/** A statement, what somebody makes of it around the gateway, and how that is undone. */
const changes: readonly (readonly [what: string, statement: string, change: string, back: string])[] = [
  [
    'a function that fits better',
    'select lower(name) from app.people',
    `create function mine.lower(varchar) returns text language sql as 'select ssn from app.people limit 1'`,
    'drop function mine.lower',
  ],
  [
    'an operator that fits better',
    'select name || name from app.people',
    `create function mine.glue(varchar, varchar) returns text language sql as 'select ssn from app.people limit 1';
     create operator mine.|| (leftarg = varchar, rightarg = varchar, function = mine.glue)`,
    'drop function mine.glue cascade',
  ],
  [
    'a cast',
    'select row(1, 2)::app.pair::text from app.people',
    `create function mine.shown(app.pair) returns text language sql as 'select ssn from app.people limit 1';
     create cast (app.pair as text) with function mine.shown(app.pair)`,
    'drop function mine.shown cascade',
  ],
  [
    'a view that reads something else',
    'select note from app.v',
    'create or replace view app.v as select id, note from app.masked',
    'create or replace view app.v as select id, note from app.plain',
  ],
  [
    'a view below a view',
    'select note from app.over',
    'create or replace view app.v as select id, note from app.masked',
    'create or replace view app.v as select id, note from app.plain',
  ],
  [
    'a name that is found earlier',
    'select note from plain',
    'create view mine.plain as select * from app.masked',
    'drop view mine.plain',
  ],
  [
    'a view in the place of a table',
    'select note from app.plain',
    'alter table app.plain rename to before; create view app.plain as select * from app.masked',
    'drop view app.plain; alter table app.before rename to plain',
  ],
  [
    'a column of another name',
    'select name from app.people',
    'alter table app.people rename column name to alias; alter table app.people rename column ssn to name',
    'alter table app.people rename column name to ssn; alter table app.people rename column alias to name',
  ],
  [
    'a child',
    'select note from app.plain',
    'alter table app.kid inherit app.plain',
    'alter table app.kid no inherit app.plain',
  ],
  [
    'a policy of rows',
    'select note from app.plain',
    `create function mine.told() returns bool language plpgsql as $$ begin raise notice '%', (select ssn from app.people limit 1); return true; end $$;
     alter table app.plain force row level security, enable row level security;
     create policy p on app.plain using (mine.told())`,
    `drop policy p on app.plain; alter table app.plain no force row level security, disable row level security; drop function mine.told`,
  ],
  [
    'a trigger',
    `update app.plain set id = id returning note`,
    `create function mine.put() returns trigger language plpgsql as $$ begin new.note := (select ssn from app.people limit 1); return new; end $$;
     create trigger t before update on app.plain for each row execute function mine.put()`,
    `drop function mine.put cascade; update app.plain set note = 'plain'`,
  ],
  [
    'a rule',
    `update app.plain set id = id returning note`,
    `create rule r as on update to app.plain do instead update app.people set name = name returning id, ssn`,
    'drop rule r on app.plain',
  ],
]; // prettier-ignore

/** How a statement is sent, and how it is sent again. */
type Way = readonly [how: string, send: (text: string) => Promise<readonly Frame[]>, again?: (text: string) => Promise<readonly Frame[]>]; // prettier-ignore
const queries = (text: string): boolean => text.startsWith('select');
const ways: readonly Way[] = [
  ['simple', (text) => agent.query(text)],
  ['several in a string', (text) => agent.query(`select 1; ${text}`)],
  ['in a transaction', (text) => agent.query('begin').then(() => agent.query(text))],
  ['extended', (text) => agent.exchange(message.parse(text), message.bind([]), message.execute(), message.sync())],
  [
    'prepared',
    (text) => agent.exchange(message.parse(text, 's'), message.bind([], { statement: 's' }), message.execute(), message.sync()), // prettier-ignore
    () => agent.exchange(message.bind([], { statement: 's' }), message.execute(), message.sync()),
  ],
  ['prepared by SQL', (text) => agent.query(`prepare p as ${text}; execute p`), () => agent.query('execute p')],
  ['copied', (text) => agent.query(`copy (${text}) to stdout`)],
  ['by a cursor', (text) => agent.query(`begin; declare c cursor for ${text}; fetch all from c`)],
  ['explained', (text) => agent.query(`explain (analyze, verbose, costs off, timing off, summary off) ${text}`)],
];

test.each(changes)('%s', async (_what, text, change, back) => {
  for (const [how, send, again = send] of ways) {
    if (!queries(text) && how === 'by a cursor') continue;
    const told = async (frames: Promise<readonly Frame[]>): Promise<readonly Frame[]> => {
      const came = await frames;
      await agent.query('rollback');
      expect([how, leaks(came)]).toEqual([how, false]);
      return came;
    };
    // Definitions that come by the gateway end what it remembers: what was undone around it is known.
    expect(errorOf(await agent.query('alter table app.kid set (fillfactor = 90)'))).toBeUndefined();
    expect([how, errorOf(await told(send(text)))]).toEqual([how, undefined]);
    await around(change);
    const came = await told(again(text));
    if (how === 'simple' || how === 'extended')
      expect([how, ['40001', '42501'].includes(errorOf(came)?.['C'] ?? '')]).toEqual([how, true]);
    await around(back);
    await agent.query('deallocate all');
  }
});

/** What is new to a name is not seen by an older snapshot, which docs/masking.md says; all that was there and is otherwise is. */
const seen = changes.filter(([what]) => /^(a view|a name|a column|a policy)/.test(what));
test.each(seen)('%s, since the snapshot of a transaction was taken', async (_what, text, change, back) => {
  expect(errorOf(await agent.query('alter table app.kid set (fillfactor = 90)'))).toBeUndefined();
  expect(errorOf(await agent.query(text))).toBeUndefined();
  await agent.query('begin isolation level repeatable read');
  await agent.query('select id from app.kid');
  await around(change);
  const came = await agent.query(text);
  await agent.query('rollback');
  await around(back);
  expect(leaks(came)).toBe(false);
});

test('nothing is refused where others change what it has no part in', async () => {
  for (const change of [
    'analyze app.people',
    'truncate app.kid',
    'create index on app.people (name)',
    'grant select on app.people to public',
    'create table app.fresh (id int)',
    'vacuum full app.people',
    'create function mine.other(int) returns int language sql as $$ select $1 $$',
    'reindex table app.people',
  ]) {
    await agent.query('select name, ssn from app.people order by id');
    await around(change);
    expect([change, rows(await agent.query('select name, ssn from app.people order by id'))[0]]).toEqual([
      change,
      ['name1', '***'],
    ]);
  }
});

test('the first operator that anybody makes refuses nothing that means another', async () => {
  const text = 'select name from app.people where id = 1';
  expect(rows(await agent.query(text))).toEqual([['name1']]);
  await around('create operator mine.@#@ (leftarg = int, rightarg = int, function = pg_catalog.int4eq)');
  try {
    expect(rows(await agent.query(text))).toEqual([['name1']]);
  } finally {
    await around('drop operator mine.@#@ (int, int)');
  }
});

test('a name of the server itself, with its schema, is not met by another of that name on the path', async () => {
  const text = 'select pg_catalog.lower(name) from app.people where id = 1';
  await around(`create function mine.lower(int) returns text language sql as 'select $1::text'`);
  try {
    for (let again = 0; again < 2; again++) expect(rows(await agent.query(text))).toEqual([['name1']]);
  } finally {
    await around('drop function mine.lower(int)');
  }
});

test('how a session has its names quoted says nothing of what they mean, to itself or to others', async () => {
  const other = await gateway.open();
  await other.query('set quote_all_identifiers = on');
  for (const session of [other, agent, other, agent]) {
    expect(rows(await session.query('select name, ssn from app.people order by id'))[0]).toEqual(['name1', '***']);
    expect(rows(await session.query('select note from app.over'))).toEqual([['plain']]);
  }
  await other.end();
});
