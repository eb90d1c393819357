import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { ApprovalRequest } from '../../gateway/approvals/index.js';
import type { Effect } from '../../gateway/protocol.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { approve, person, refuse, whenAsked } from '../support/replicas.js';

/** Where approving by effect is delicate: locks that have had their time, a COMMIT that fails, rows elsewhere, rows that are hidden. */

type Shown = ApprovalRequest & { readonly effect: Effect };

const policy = {
  'data.yaml': `masks: {contact: partial}
classification: {orders: {app.people.email: contact}}
`,
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

mask contains {"resource": resource.name, "with": data.masks[data.classification[input.target.name][resource.name]]} if {
	some resource in input.operation.resources
	resource.type == "column"
}

filter contains {"resource": "app.people", "where": "region = 'EU'"} if {
	_touches("app.people")
	not _touches("app.teams")
}

_touches(name) if {
	some resource in input.operation.resources
	resource.name == name
}

approval contains {"code": "writes_wait", "groups": ["dba"], "preview": "effect"} if {
	input.operation.action in {"write", "delete"}
}
`,
};

const schema = `create schema app; create extension postgres_fdw;
  create table app.plain (id int primary key, v text);
  create table app.later (id int primary key, up int references app.later deferrable initially deferred);
  create table app.teams (id int primary key, name text);
  create table app.people (id int primary key, team int references app.teams on delete cascade, region text, email text);
  create server itself foreign data wrapper postgres_fdw;
  create foreign table app.away (id int, v text) server itself options (schema_name 'app', table_name 'plain');
  create table app.parted (region text, id int) partition by list (region);
  create table app.parted_here partition of app.parted for values in ('here');
  create foreign table app.parted_away partition of app.parted for values in ('away') server itself;
  create table app.noted (id int);
  create function app.note() returns trigger language plpgsql as $$ begin insert into app.parted values ('here', new.id); return new; end $$;
  create trigger note after insert on app.noted for each row execute function app.note();
  create view app.seen as select region, id from app.parted;
  create table app.viewed (id int);
  create function app.view() returns trigger language plpgsql as $$ begin insert into app.seen values ('here', new.id); return new; end $$;
  create trigger note after insert on app.viewed for each row execute function app.view();`;

const rows = `truncate app.plain, app.later, app.teams, app.people, app.parted_here, app.noted;
  insert into app.plain select n, 'v' || n from generate_series(1, 20) n;
  insert into app.teams values (1, 'one');
  insert into app.people select n, 1, case when n <= 2 then 'EU' else 'US' end, 'canary' || n || '@canary.example' from generate_series(1, 6) n;
  insert into app.parted values ('here', 1);`;

const ada = person('https://people.example', 'ada', 'dba');

describe('approving by effect', () => {
  let database: TestDatabase;
  let home: TestDatabase;
  let gateway: TestGateway;
  let agent: pg.Client;

  beforeAll(async () => {
    [database, home] = await Promise.all([createDatabase({ sql: schema }), createDatabase()]);
    gateway = await startTestGateway({
      database,
      policy,
      config: {
        state: { directory: './.sallyport', postgres: home.url },
        approvals: { preview_locks: '1s' },
      },
    });
  });
  beforeEach(async () => {
    await database.sql(rows);
    agent = new pg.Client(await gateway.connection({ subject: 'agent:bot', groups: ['agents'] }));
    agent.on('error', () => undefined);
    await agent.connect();
  });
  afterEach(async () => {
    await agent.end().catch(() => undefined);
  });
  afterAll(async () => {
    await gateway?.close();
    await database?.drop();
    await home?.drop();
  });

  /** The request that waits, once its effect is there and says this; rejects where the statement is answered before. */
  const shown = (statement: Promise<unknown>, saying = ''): Promise<Shown> =>
    Promise.race([looked(saying), statement.then(answeredUnasked, answeredUnasked)]);
  const answeredUnasked = (how: unknown) => Promise.reject<never>(new Error(`nobody was asked: ${String(how)}`));
  const looked = (saying: string): Promise<Shown> =>
    whenAsked(gateway.gateway.approvers, async () => {
      const [request] = await gateway.gateway.approvers.list({ status: 'waiting' });
      return request?.effect?.notes.join().includes(saying) === true
        ? { ...request, effect: request.effect }
        : undefined;
    });
  const undone = 'it was undone meanwhile';
  const answer = (id: string, how = approve) => gateway.gateway.approvers.answer(id, ada, how);
  const failure = (work: Promise<unknown>) =>
    work.then(() => undefined).catch((error: unknown) => error as pg.DatabaseError);
  const ids = async (table = 'plain') =>
    (await database.sql(`select id from app.${table} order by id`)).map((row) => row['id']);

  test('keeps locks for as long as it may: then others go on, and approved it runs again', async () => {
    const done = agent.query("update app.plain set v = 'new' where id <= 2");
    const { id } = await shown(done);
    // It waits for the lock, and for no longer than that is kept.
    await database.sql("update app.plain set v = 'of others' where id = 1");
    expect((await shown(done, undone)).id).toBe(id);
    await answer(id);
    expect((await done).rowCount).toBe(2);
    expect(await database.sql('select id, v from app.plain where id <= 3 order by id')).toEqual([
      { id: 1, v: 'new' },
      { id: 2, v: 'new' },
      { id: 3, v: 'v3' },
    ]);
  });

  test('does not keep what has another effect by then than the one that was shown', async () => {
    const done = failure(agent.query('delete from app.plain where id <= 2'));
    const { id } = await shown(done, undone);
    await database.sql('delete from app.plain where id = 1');
    await answer(id);
    expect(await done).toMatchObject({ code: '42501', message: expect.stringContaining('something else by now') });
    expect((await ids()).slice(0, 2)).toEqual([2, 3]);
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test("is undone and run again within its client's own transaction, which goes on to its COMMIT", async () => {
    await agent.query('begin');
    await agent.query('select 1');
    const done = agent.query('delete from app.plain where id = 1');
    const { id } = await shown(done, undone);
    // Nothing is locked by it while it is undone.
    await database.sql("update app.plain set v = 'of others' where id = 1");
    await answer(id);
    expect((await done).rowCount).toBe(1);
    expect(await ids()).toContain(1);
    await agent.query('commit');
    expect(await ids()).not.toContain(1);
  });

  test("where it has another effect by then, its client's transaction has failed, and nothing of it is kept", async () => {
    await agent.query('begin');
    const done = failure(agent.query('delete from app.plain where id in (1, 2)'));
    const { id } = await shown(done, undone);
    await database.sql('delete from app.plain where id = 2');
    await answer(id);
    expect(await done).toMatchObject({ code: '42501' });
    expect(await failure(agent.query('select 1'))).toMatchObject({ code: '25P02' });
    expect((await agent.query('commit')).command).toBe('ROLLBACK');
    expect((await ids()).slice(0, 2)).toEqual([1, 3]);
  });

  test('a COMMIT that fails at what is deferred to it is told to the client, and nothing is kept', async () => {
    await agent.query('begin');
    const done = agent.query('insert into app.later values (1, 2)');
    const { id, effect } = await shown(done);
    expect(effect.notes.join()).toContain('not met so far');
    await answer(id);
    expect((await done).rowCount).toBe(1);
    expect(await failure(agent.query('commit'))).toMatchObject({ code: '23503' });
    expect(await ids('later')).toEqual([]);
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test("the gateway's own COMMIT that fails is told to the client in place of the answer, and nothing is kept", async () => {
    await agent.query("set default_transaction_isolation = 'serializable'");
    const done = failure(agent.query('insert into app.plain select 100, count(*) from app.teams'));
    const { id } = await shown(done);
    // What the other reads is what this one writes, and the other way round: one of the two has to fail.
    await database.sql(`begin isolation level serializable;
      insert into app.teams select 100, count(*)::text from app.plain; commit`);
    await answer(id);
    expect(await done).toMatchObject({ code: '40001' });
    expect(await ids()).not.toContain(100);
    expect(await ids('teams')).toContain(100);
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test.each([
    ['a foreign table', 'delete from app.away where id = 1', 'app.away'],
    ['a table with a partition elsewhere', 'delete from app.parted where id = 1', 'app.parted_away'],
    ['a trigger that writes elsewhere', 'insert into app.noted values (50)', 'app.parted'],
    ['a trigger that writes elsewhere through a view', 'insert into app.viewed values (50)', 'app.seen'],
  ])('is estimated for %s, says why, and nothing has run', async (_what, statement, where) => {
    const done = failure(agent.query(statement));
    const { id, effect } = await shown(done);
    expect(effect).toMatchObject({
      basis: 'estimated',
      reason: expect.stringMatching(new RegExp(`^${where} lies in another database`)),
    });
    const open = await database.sql(
      `select 1 from pg_stat_activity where datname = current_database() and backend_xid is not null and pid <> pg_backend_pid()`,
    );
    expect(open).toEqual([]);
    await answer(id, refuse);
    expect(await done).toMatchObject({ code: '42501' });
    expect(await ids()).toHaveLength(20);
    expect(await ids('parted_here')).toEqual([1]);
  });

  test('of rows that go along, those that the requester could not read are counted and not shown, and masks stay on', async () => {
    const done = failure(agent.query('delete from app.teams where id = 1'));
    const { id, effect } = await shown(done);
    const people = effect.relations.find(({ relation }) => relation === 'app.people');
    expect(people).toMatchObject({ deleted: 6, indirect: true });
    expect(people?.sample?.map(({ before }) => [before?.['id'], before?.['region'], before?.['email']])).toEqual([
      ['1', 'EU', 'c***@***'],
      ['2', 'EU', 'c***@***'],
    ]);
    expect(JSON.stringify(effect)).not.toMatch(/canary|US/);
    await answer(id, refuse);
    await done;
  });

  test('what the statement itself cannot reach for its filter is not in its effect either', async () => {
    const done = agent.query('update app.people set team = 1 where id in (2, 3) returning id, email');
    const { id, effect } = await shown(done);
    expect(effect.relations).toMatchObject([{ relation: 'app.people', updated: 1 }]);
    expect(effect.relations[0]?.sample).toEqual([
      {
        before: { id: '2', team: '1', region: 'EU', email: 'c***@***' },
        after: { id: '2', team: '1', region: 'EU', email: 'c***@***' },
      },
    ]);
    await answer(id);
    expect((await done).rows).toEqual([{ id: 2, email: 'c***@***' }]);
  });
});
