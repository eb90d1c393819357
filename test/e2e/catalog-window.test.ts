import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { changes, furthers, policy, sql } from '../support/window.js';
import { errorOf, message, rows, WireClient, type Frame } from '../support/wire.js';

/**
 * Somebody changes the catalog around the gateway between the judging of a statement and its run, or just before it comes again. It does not
 * run as what it was judged as: no clear value comes out, and nothing is refused where nothing has changed.
 */

let database: TestDatabase;
let gateway: TestGateway;
let agent: WireClient;
/** Goes around the gateway. */
let somebody: WireClient;

beforeAll(async () => {
  database = await createDatabase({
    sql,
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
const seen = changes.filter(([what]) => /^(a view|a name|a column)/.test(what));
test.each(seen)('%s, since the snapshot of a transaction was taken', async (_what, text, change, back) => {
  expect(errorOf(await agent.query('alter table app.kid set (fillfactor = 90)'))).toBeUndefined();
  expect(errorOf(await agent.query(text))).toBeUndefined();
  await agent.query('begin isolation level repeatable read');
  await agent.query('select 1');
  await around(change);
  const came = await agent.query(text);
  await agent.query('rollback');
  await around(back);
  expect([errorOf(came)?.['C'], leaks(came)]).toEqual(['40001', false]);
});

/** The row of a table that had none of a kind is another with its first, whatever else it has. */
const firsts = changes.filter(([what]) => /^(a child|a policy|a trigger|a rule)/.test(what));
const besides: readonly (readonly [has: string, sql: string])[] = [
  ['nothing', ''],
  ['a child', 'create table app.sprout () inherits (app.bare)'],
  ['a trigger', 'alter table app.bare add foreign key (id) references app.people'],
  ['a rule', 'create rule other as on delete to app.bare do also notify nobody'],
  ['a policy', 'create policy other on app.bare using (true)'],
];
const ofAnother = besides.flatMap(([has, made]) =>
  firsts.flatMap(([what, ...told]) => (what.startsWith(has) ? [] : [{ what, has, made, told }])),
);
test.each(ofAnother)(
  '$what, the first of a table that has $has, since the snapshot of a transaction was taken',
  async ({ what, made, told }) => {
    const [text, change, back] = told.map((sql) => sql.replaceAll('app.plain', 'app.bare')) as [string, string, string];
    for (const level of ['repeatable read', 'serializable']) {
      await around(
        `create table app.bare (id int not null, note text); insert into app.bare values (1, 'plain'); ${made}`,
      );
      try {
        expect(errorOf(await agent.query(text))).toBeUndefined();
        await agent.query(`begin isolation level ${level}`);
        await agent.query('select 1');
        await around(change);
        const came = await agent.query(text);
        await agent.query('rollback');
        expect([what, level, errorOf(came)?.['C'], leaks(came)]).toEqual([what, level, '40001', false]);
        await around(back);
      } finally {
        await agent.query('rollback');
        await around('drop table app.bare cascade; drop table if exists app.sprout');
      }
    }
  },
);

test.each(furthers)(
  '%s of a table, since the snapshot of a transaction was taken',
  async (what, text, change, back) => {
    expect(errorOf(await agent.query('alter table app.kid set (fillfactor = 90)'))).toBeUndefined();
    for (const begin of [
      'begin isolation level repeatable read',
      'begin; set transaction isolation level serializable',
    ]) {
      expect(errorOf(await agent.query(text))).toBeUndefined();
      await agent.query(begin);
      await agent.query('select 1');
      await around(change);
      const came = await agent.query(text);
      await agent.query('rollback');
      await around(back);
      expect([what, begin, errorOf(came)?.['C'], leaks(came)]).toEqual([what, begin, '40001', false]);
    }
  },
);

test('where nobody can be asked what a snapshot does not show, the statement is refused', async () => {
  const apart = await createDatabase();
  const fresh = await startTestGateway({ database, policy: { 'postgres.rego': policy } });
  const client = await fresh.open();
  const connections = (how: string) => apart.sql(`alter database ${database.database} allow_connections ${how}`);
  try {
    await client.query('begin isolation level repeatable read');
    await connections('false');
    const refused = await client.query('select note from app.rich');
    expect([errorOf(refused)?.['C'], rows(refused)]).toEqual(['55000', []]);
    await connections('true');
    await client.query('rollback; begin isolation level repeatable read');
    expect(rows(await client.query('select note from app.rich'))).toEqual([['plain']]);
  } finally {
    await connections('true');
    await client.end();
    await fresh.close();
    await apart.drop();
  }
});

test('what a transaction with a snapshot does to a table itself is no change by another', async () => {
  for (const step of [
    'begin isolation level repeatable read',
    'select note from app.rich',
    'alter table app.rich add constraint own foreign key (id) references app.people',
    'update app.rich set id = id',
    'alter table app.rich drop constraint rich_id_fkey',
    'update app.rich set id = id',
    'create table app.early (id int references app.people)',
    'insert into app.early values (1)',
    'rollback',
  ])
    expect([step, errorOf(await agent.query(step))]).toEqual([step, undefined]);
});

/** Lists of tables and of names are filled up to a few lengths, and beyond these are another text. */
test.each([1, 2, 3, 4, 5, 6, 7])('the last of %i tables becomes another', async (count) => {
  const names = Array.from({ length: count }, (_, at) => `t${String(at)}`);
  const last = names.at(-1)!;
  await around(names.map((name) => `create table app.${name} (id int, note text)`).join('; '));
  try {
    for (const from of [names, names.map((name) => `app.${name}`)]) {
      const text = `select ${last}.note from ${from.join(', ')}`;
      expect(errorOf(await agent.query(text))).toBeUndefined();
      await around(`alter table app.${last} rename to before; create view app.${last} as select * from app.masked`);
      const came = await agent.query(text);
      expect([errorOf(came)?.['C'], leaks(came)]).toEqual(['40001', false]);
      await around(`drop view app.${last}; alter table app.before rename to ${last}`);
      expect(errorOf(await agent.query('alter table app.kid set (fillfactor = 90)'))).toBeUndefined();
    }
  } finally {
    await around(names.map((name) => `drop table app.${name}`).join('; '));
  }
});

test.each([1, 2, 3, 5, 6, 7])('another fits the last of %i names better', async (count) => {
  const names = ['upper', 'btrim', 'initcap', 'reverse', 'md5', 'length', 'lower'].slice(-count);
  const text = `select ${names.map((name) => `${name}(name)::text`).join(', ')} from app.people`;
  expect(errorOf(await agent.query(text))).toBeUndefined();
  await around(`create function mine.lower(varchar) returns text language sql as 'select ssn from app.people limit 1'`);
  const came = await agent.query(text);
  await around('drop function mine.lower');
  expect([errorOf(came)?.['C'], leaks(came)]).toEqual(['40001', false]);
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
