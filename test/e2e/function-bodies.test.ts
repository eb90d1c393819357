import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message, rows, WireClient, type Frame } from '../support/wire.js';

/** What functions in SQL do is judged by their bodies: somebody who goes around the gateway may replace them at any time. */

const policy = `package policy.postgres

allow contains {"code": "everything"} if {
	input.operation.action != "connect"
	not input.operation.opaque
}

allow contains {"code": "connect"} if input.operation.action == "connect"

deny contains {"code": "secret"} if {
	some resource in input.operation.resources
	resource.name == "app.people.secret"
}

mask contains {"resource": "app.people.email", "with": "redact", "code": "pii"} if {
	some resource in input.operation.resources
	resource.name == "app.people.email"
}
`;

/** Bodies of app.shown(int): plain, or with what policy masks or denies in it. */
const bodies = {
  plain: 'select name from app.people where id = $1',
  masked: 'select email from app.people where id = $1',
  denied: 'select secret from app.people where id = $1',
} as const;

const replaced = (body: string) =>
  `create or replace function app.shown(int) returns text language sql stable as $$ ${body} $$`;

let database: TestDatabase;
let gateway: TestGateway;
let agent: WireClient;

beforeAll(async () => {
  database = await createDatabase({
    sql: `create schema app;
      create table app.people (id int primary key, name text, email text, secret text);
      insert into app.people select n, 'name' || n, 'canary' || n, 'canary' || n from generate_series(1, 3) n;
      ${replaced(bodies.plain)};
      create view app.inside as select id, name as told from app.people;
      create view app.alone as select id, name as told from app.people;
      create function app.by_view(int) returns text language sql stable as 'select told from app.inside where id = $1';
      create function app.outer(int) returns text language sql stable as 'select app.shown($1)'`,
  });
  gateway = await startTestGateway({ database, policy: { 'postgres.rego': policy } });
});
beforeEach(async () => {
  await database.sql(replaced(bodies.plain));
  agent = await gateway.open();
});
afterAll(async () => {
  await agent?.end();
  await gateway?.close();
  await database?.drop();
});

const bytes = (frames: readonly Frame[]) => Buffer.concat(frames.map(({ body }) => body)).toString('latin1');
/** Refused: by policy, or since it was judged as something else. */
const expectRefused = (frames: readonly Frame[], sqlstate = '42501') => {
  expect(bytes(frames)).not.toContain('canary');
  expect(errorOf(frames)?.['C']).toBe(sqlstate);
};
const bound = (statement: string, portal = '') => message.bind(['1'], { statement, portal });

const call = 'select app.shown(1)';

describe('a body that comes to read what is masked', () => {
  const replace = () => database.sql(replaced(bodies.masked));

  test.each([
    ['is called', call],
    ['is called with another literal', 'select app.shown(2)', 'select app.shown(3)'],
    ['is called within another', 'select app.outer(1)'],
    ['stands in a condition', "select 1 from app.people where app.shown(id) like 'canary%'"],
  ])('where it %s', async (_how, text, next = text) => {
    expect(errorOf(await agent.query(text))).toBeUndefined();
    await replace();
    expectRefused(await agent.query(next));
    await database.sql(replaced(bodies.plain));
    expect(errorOf(await agent.query(next))).toBeUndefined();
  });

  test('where it was prepared', async () => {
    const sql = 'select app.shown($1)';
    await agent.exchange(message.parse(sql, 's'), message.sync());
    expect(rows(await agent.exchange(bound('s'), message.execute(), message.sync()))).toEqual([['name1']]);
    await replace();
    // Drivers prepare it again then.
    expectRefused(await agent.exchange(bound('s'), message.execute(), message.sync()), '0A000');
    expectRefused(await agent.exchange(message.parse(sql), bound(''), message.execute(), message.sync()));
  });

  test('where it was prepared by SQL', async () => {
    await agent.query(`prepare p as ${call}`);
    expect(rows(await agent.query('execute p'))).toEqual([['name1']]);
    await replace();
    expectRefused(await agent.query('execute p'), '0A000');
    await agent.query('deallocate p');
  });

  test('where it was bound before', async () => {
    await agent.query('begin');
    const sql = 'select app.shown(id) from app.people where id >= $1 order by id';
    await agent.exchange(message.parse(sql, 's'), bound('s', 'p'), message.sync());
    await replace();
    expectRefused(await agent.exchange(message.execute('p', 1), message.sync()), '40001');
    await agent.query('rollback');
  });

  test('where a cursor was opened before', async () => {
    await agent.query('begin; declare c cursor for select app.shown(id) from app.people order by id');
    await replace();
    expectRefused(await agent.query('fetch all from c'), '40001');
    await agent.query('rollback');
  });

  test.each(['repeatable read', 'serializable'])(
    'in a transaction that is %s, whose snapshot is older',
    async (level) => {
      await agent.query(`begin isolation level ${level}; select 1 from app.people`);
      await replace();
      expectRefused(await agent.query(call));
      await agent.query('rollback');
      // Nobody else was told what the snapshot showed.
      const other = await gateway.open();
      expectRefused(await other.query(call));
      await other.end();
    },
  );

  test('while somebody is replacing it', async () => {
    const somebody = await WireClient.open({ ...database });
    expect(rows(await agent.query(call))).toEqual([['name1']]);
    await somebody.query(`begin; ${replaced(bodies.masked)}`);
    expectRefused(await agent.query(call));
    await somebody.query('rollback');
    await somebody.end();
    expect(rows(await agent.query(call))).toEqual([['name1']]);
  });
});

test('a body that comes to read what is denied', async () => {
  expect(errorOf(await agent.query(call))).toBeUndefined();
  await database.sql(replaced(bodies.denied));
  expectRefused(await agent.query(call));
});

test('a view below a body is looked at with it', async () => {
  expect(rows(await agent.query('select app.by_view(1)'))).toEqual([['name1']]);
  await database.sql('create or replace view app.inside as select id, secret as told from app.people');
  expectRefused(await agent.query('select app.by_view(1)'));
  await database.sql('create or replace view app.inside as select id, name as told from app.people');
});

test('a view that was replaced since the snapshot of a transaction does not run as it was judged', async () => {
  await agent.query('begin isolation level repeatable read; select 1 from app.people');
  await database.sql('create or replace view app.alone as select id, secret as told from app.people');
  const frames = await agent.query('select told from app.alone');
  await agent.query('rollback');
  await database.sql('create or replace view app.alone as select id, name as told from app.people');
  expectRefused(frames);
  expect(rows(await agent.query('select told from app.alone where id = 1'))).toEqual([['name1']]);
});
