import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { parse, stringify } from 'yaml';
import type { AnswerInput, ApprovalRequest } from '../../gateway/approvals/index.js';
import type { Effect } from '../../gateway/protocol.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startRelay, type Witness } from '../support/relay.js';
import { errorOf, message, shape } from '../support/wire.js';

type Shown = ApprovalRequest & { readonly effect: Effect };

/** Approving by effect: a write runs in a transaction that nobody has committed, and people see what it did. */

const policy = {
  'data.yaml': `masks: {contact: partial, secret: "null"}
classification:
  orders:
    app.customers.email: contact
    app.customers.note: secret
`,
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

mask contains {"resource": resource.name, "with": data.masks[data.classification[input.target.name][resource.name]]} if {
	some resource in input.operation.resources
	resource.type == "column"
}

approval contains {"code": "writes_wait", "groups": ["dba"], "preview": "effect", "expires": "1h"} if {
	input.operation.action in {"write", "delete"}
	not _briefly
}

_briefly if {
	some resource in input.operation.resources
	resource.name == "app.brief"
}

approval contains {"code": "briefly", "groups": ["dba"], "preview": "effect", "expires": "3s"} if {
	input.operation.action in {"write", "delete"}
	_briefly
}
`,
};

const schema = `create schema app;
  create table app.customers (id int primary key, name text, email text, note text);
  create table app.orders (id serial primary key, customer int references app.customers on delete cascade, total int);
  create table app.log (what text);
  create function app.noted() returns trigger language plpgsql as $$ begin insert into app.log values (old.email); return old; end $$;
  create trigger noted after delete on app.customers for each row execute function app.noted();
  create table app.plain (id int primary key, v text);
  create table app.brief (id int primary key);
  create table app.later (id int primary key, up int references app.later deferrable initially deferred);
  create function app.outside() returns trigger language plpgsql as $$ begin execute 'select 1'; return new; end $$;
  create table app.parted (region text, n int) partition by list (region);
  create table app.parted_eu partition of app.parted for values in ('eu');
  create table app.parted_us partition of app.parted for values in ('us');
  create view app.short as select id, v from app.plain where id <= 5;
  create table app.unsafe (id int primary key);
  create trigger outside after insert on app.unsafe for each row execute function app.outside();
  create function app."Loud"() returns int language plpgsql stable as $$ begin execute 'select 1'; return 1; end $$;
  create function app."Über"() returns int language sql as 'select app."Loud"()';
  create view app.look as select app."Loud"() as n;
  create table app.filled (id int, n int default app."Loud"());`;

/** Ways in which a trigger may come to a function that no word of it names plainly. */
const behind = {
  quoted: `-- one " in a comment
    perform app."Loud"();`,
  escaped: 'perform app.U&"L\\006fud"();',
  accented: 'perform app.Über();',
  viewed: 'perform n from app.look;',
  filled: 'insert into app.filled (id) values (1);',
};
const hidden = Object.entries(behind).map(
  ([name, body]) => `create table app.${name}_t (id int);
    create function app.${name}_f() returns trigger language plpgsql as $$ begin ${body} return new; end $$;
    create trigger outside after insert on app.${name}_t for each row execute function app.${name}_f();`,
);

const rows = `truncate app.parted, app.customers, app.orders, app.log, app.plain, app.brief, app.later, app.unsafe;
  insert into app.customers select n, 'name ' || n, 'canary' || n || '@canary.example', 'canary note' from generate_series(1, 20) n;
  insert into app.orders (customer, total) select 1 + n % 20, n from generate_series(0, 59) n;
  insert into app.plain select n, 'v' || n from generate_series(1, 20) n;
  insert into app.parted values ('eu', 1), ('us', 1), ('us', 2);
  insert into app.brief values (1);`;

describe('the effect of a write', () => {
  let database: TestDatabase;
  let home: TestDatabase;
  let relay: Witness;
  let gateway: TestGateway;
  let agent: pg.Client;

  beforeAll(async () => {
    database = await createDatabase({ sql: [schema, ...hidden].join('\n') });
    home = await createDatabase();
    relay = await startRelay(() => database);
    gateway = await startTestGateway({
      database: { ...database, host: relay.host, port: relay.port },
      policy,
      config: { state: { directory: './.sallyport', postgres: home.url } },
    });
  });
  beforeEach(async () => {
    await database.sql(rows);
    agent = await connected();
  });
  afterEach(async () => {
    await agent.end().catch(() => undefined);
  });
  afterAll(async () => {
    await gateway?.close();
    await relay?.close();
    await database?.drop();
    await home?.drop();
  });

  async function connected(): Promise<pg.Client> {
    const client = new pg.Client(await gateway.connection({ subject: 'agent:bot', groups: ['agents'] }));
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** The request that waits, once its effect is there. */
  async function shown(): Promise<Shown> {
    const { approvers } = gateway.gateway;
    let told: () => void = () => undefined;
    const stop = approvers.subscribe(() => told());
    try {
      for (;;) {
        const event = new Promise<void>((resolve) => (told = resolve));
        const [request] = await approvers.list({ status: 'waiting' });
        if (request?.effect !== undefined) return { ...request, effect: request.effect };
        await event;
      }
    } finally {
      stop();
    }
  }

  async function answer(kind: AnswerInput['kind'], id: string): Promise<void> {
    const principal = {
      subject: 'ada@example.com',
      issuer: gateway.idp.issuer,
      kind: 'human' as const,
      groups: ['dba'],
      roles: [],
      attributes: {},
      token: { expires: new Date(Date.now() + 60_000).toISOString() },
    };
    await gateway.gateway.approvers.answer(
      id,
      { principal, expires_ms: Date.now() + 60_000 },
      { kind, through: 'api' },
    );
  }

  /** The transaction that the agent's session has open in the server, which has written. */
  async function transaction(): Promise<string> {
    const [found] = await database.sql(
      `select backend_xid::text::int8::text as id from pg_stat_activity where datname = current_database() and state = 'idle in transaction' and backend_xid is not null`,
    );
    return String(found?.['id']);
  }

  /** What the server's commit log has of it, once it is over. */
  async function verdict(id: string): Promise<unknown> {
    for (;;) {
      const [found] = await database.sql(`select pg_xact_status('${id}'::xid8) as verdict`);
      if (found?.['verdict'] !== 'in progress') return found?.['verdict'];
    }
  }

  const failure = (work: Promise<unknown>) =>
    work.then(() => undefined).catch((error: unknown) => error as pg.DatabaseError);
  const count = async (table: string) =>
    Number((await database.sql(`select count(*)::int as n from app.${table}`))[0]?.['n']);
  const counts = ({ relations }: Effect) =>
    relations.map(({ relation, inserted, updated, deleted, indirect }) => [
      relation,
      inserted,
      updated,
      deleted,
      indirect === true,
    ]);

  const deletion = 'delete from app.customers where id = 1';

  test('is counted with cascades and triggers, shown in masked rows, and committed once it is approved', async () => {
    const done = agent.query(deletion);
    const { id, effect } = await shown();
    const open = await transaction();
    expect(effect).toMatchObject({ basis: 'measured', held_until_ms: expect.any(Number) });
    expect(counts(effect)).toEqual([
      ['app.customers', 0, 0, 1, false],
      ['app.log', 1, 0, 0, true],
      ['app.orders', 0, 0, 3, true],
    ]);
    expect(effect.relations[0]?.sample).toEqual([
      { before: { id: '1', name: 'name 1', email: 'c***@***', note: null } },
    ]);
    expect(effect.relations[2]?.sample).toHaveLength(3);
    // Not even where a trigger copies it into a column that is not masked.
    expect(JSON.stringify(effect)).not.toContain('canary');
    expect(effect.notes.join()).toContain('triggers or functions');
    expect(await count('customers')).toBe(20);
    await answer('approve', id);
    expect(await done).toMatchObject({ command: 'DELETE', rowCount: 1 });
    expect([await verdict(open), await count('customers'), await count('orders')]).toEqual(['committed', 19, 57]);
    const records = await gateway.records();
    const told = records.filter((one) => one['hold_id'] === id);
    expect(told.filter(({ kind }) => kind === 'hold').map(({ step }) => step ?? 'asked')).toEqual([
      'asked',
      'preview',
      'effect',
    ]);
    expect(JSON.stringify(told)).not.toMatch(/canary|sample|c\*\*\*@/);
    expect(told.some(({ kind }) => kind === 'intent')).toBe(true);
  });

  test('with parameters, and rows that its client gets after the answer alone', async () => {
    const done = agent.query('update app.plain set v = $1 where id <= $2 returning id', ['new', 7]);
    const { id, effect } = await shown();
    expect(counts(effect)).toEqual([['app.plain', 0, 7, 0, false]]);
    expect(effect.relations[0]?.sample).toHaveLength(5);
    expect(effect.relations[0]?.sample?.[0]).toEqual({ before: { id: '1', v: 'v1' }, after: { id: '1', v: 'new' } });
    await answer('approve', id);
    expect(await done).toMatchObject({ rowCount: 7, rows: Array.from({ length: 7 }, (_, n) => ({ id: n + 1 })) });
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test.each([
    ['refused', 'delete from app.plain', async ({ id }: Shown) => answer('refuse', id), '42501'],
    ['expired', 'delete from app.brief', async () => undefined, '42501'],
    [
      'refused, with parameters',
      { text: 'delete from app.plain where id = $1', values: [1] },
      async ({ id }: Shown) => answer('refuse', id),
      '42501',
    ],
  ])('is undone where it is %s, and the session goes on', async (_how, statement, end, code) => {
    const done = failure(agent.query(statement));
    const request = await shown();
    const open = await transaction();
    await end(request);
    expect(await done).toMatchObject({ code });
    expect([await verdict(open), await count('plain'), await count('brief')]).toEqual(['aborted', 20, 1]);
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test('is undone where its client cancels', async () => {
    const wire = await gateway.open({ token: { subject: 'agent:bot', groups: ['agents'] } });
    wire.sendRaw(message.query('delete from app.plain'));
    await shown();
    const open = await transaction();
    connect({ host: gateway.host, port: gateway.port }).end(message.cancel(wire.processId, wire.secretKey));
    expect(errorOf(await wire.readUntil('Z'))?.['C']).toBe('57014');
    expect([await verdict(open), await count('plain')]).toEqual(['aborted', 20]);
    await wire.end();
  });

  test('is undone where its client goes', async () => {
    const other = await connected();
    void failure(other.query('delete from app.plain'));
    const { id } = await shown();
    const open = await transaction();
    await other.end();
    expect([await verdict(open), await count('plain')]).toEqual(['aborted', 20]);
    await expect(answer('approve', id)).rejects.toThrow();
  });

  test("stands behind a savepoint in its client's own transaction, and COMMIT is still to come", async () => {
    await agent.query('begin');
    const done = agent.query('delete from app.plain where id = 1');
    const { id, effect } = await shown();
    expect(counts(effect)).toEqual([['app.plain', 0, 0, 1, false]]);
    expect(effect.relations[0]?.sample).toEqual([{ before: { id: '1', v: 'v1' } }]);
    await answer('approve', id);
    expect((await done).rowCount).toBe(1);
    expect(await count('plain')).toBe(20);
    expect((await agent.query("select current_setting('lock_timeout') as t")).rows).toEqual([{ t: '0' }]);
    await agent.query('commit');
    expect(await count('plain')).toBe(19);
  });

  test('refused there, the transaction has failed, and nothing of it is left', async () => {
    await agent.query('begin');
    const done = failure(agent.query('delete from app.plain where id = $1', [1]));
    const { id } = await shown();
    await answer('refuse', id);
    expect(await done).toMatchObject({ code: '42501' });
    expect(await failure(agent.query('select 1'))).toMatchObject({ code: '25P02' });
    expect((await agent.query('commit')).command).toBe('ROLLBACK');
    expect(await count('plain')).toBe(20);
  });

  test('forces what is deferred to the end, and in a transaction leaves it deferred', async () => {
    const done = failure(agent.query('insert into app.later values (1, 2)'));
    const first = await shown();
    expect(first.effect).toMatchObject({ basis: 'estimated', reason: expect.stringContaining('checked at the end') });
    await answer('refuse', first.id);
    await done;
    await agent.query('begin');
    const inside = agent.query('insert into app.later values (1, 2)');
    const second = await shown();
    expect(second.effect).toMatchObject({ basis: 'measured', notes: [expect.stringContaining('not met so far')] });
    await answer('approve', second.id);
    await inside;
    await agent.query('rollback');
  });

  test.each([
    [
      'a trigger that runs what nobody knows',
      'insert into app.unsafe values (1)',
      /EXECUTE in it/,
      [['app.unsafe', 1, 0, 0, false]],
    ],
    [
      'a function with effects outside',
      'delete from app.plain where pg_advisory_lock(1) is null',
      /pg_advisory_lock/,
      [['app.plain', 0, 0, 20, false]],
    ],
    ['what fails', 'insert into app.plain values (1)', /it fails: .*23505/, [['app.plain', 1, 0, 0, false]]],
  ])('is estimated for %s, and nothing has run', async (_name, statement, reason, expected) => {
    const done = failure(agent.query(statement));
    const { id, effect } = await shown();
    expect(effect).toMatchObject({ basis: 'estimated', reason: expect.stringMatching(reason) });
    expect(effect.relations.map(({ relation }) => relation)).toEqual(expected.map(([relation]) => relation));
    expect(await transaction()).toBe('undefined');
    await answer('refuse', id);
    expect(await done).toMatchObject({ code: '42501' });
  });

  test.each(Object.keys(behind))('is estimated for a trigger behind which EXECUTE is hidden: %s', async (name) => {
    const done = failure(agent.query(`insert into app.${name}_t values (1)`));
    const { id, effect } = await shown();
    const reason = name === 'escaped' ? /U&"…" in it/ : /^app\.Loud\(\) has EXECUTE in it/;
    expect(effect).toMatchObject({ basis: 'estimated', reason: expect.stringMatching(reason) });
    await answer('refuse', id);
    await done;
  });

  test('says which sequences go on, and runs once more where it was only estimated and is approved', async () => {
    const first = agent.query('insert into app.orders (customer, total) values (2, 5)');
    const one = await shown();
    expect(one.effect.notes).toEqual([expect.stringContaining('app.orders_id_seq goes on counting')]);
    await answer('approve', one.id);
    await first;
    const second = agent.query('insert into app.unsafe values (1)');
    await answer('approve', (await shown()).id);
    expect((await second).rowCount).toBe(1);
    expect([await count('orders'), await count('unsafe')]).toEqual([61, 1]);
  });

  test.each([
    [
      'MERGE',
      `merge into app.plain p using (values (1, 'changed'), (99, 'new')) n (id, v) on p.id = n.id
         when matched then update set v = n.v when not matched then insert values (n.id, n.v)`,
      [['app.plain', 1, 1, 0, false]],
    ],
    ['what is written through a view', 'delete from app.short where id < 3', [['app.plain', 0, 0, 2, true]]],
    ['partitions', 'delete from app.parted where n = 1', [['app.parted', 0, 0, 2, false]]],
  ])('counts %s', async (_name, statement, expected) => {
    const done = failure(agent.query(statement));
    const { id, effect } = await shown();
    expect({ basis: effect.basis, counts: counts(effect), reason: effect.reason }).toEqual({
      basis: 'measured',
      counts: expected,
      reason: undefined,
    });
    await answer('refuse', id);
    expect(await done).toMatchObject({ code: '42501' });
    expect([await count('plain'), await count('parted')]).toEqual([20, 3]);
  });

  test('is undone where policy changes meanwhile, and whoever is asked by the new one sees it anew', async () => {
    const done = failure(agent.query('delete from app.plain where id = 1'));
    const first = await shown();
    const open = await transaction();
    const event = await gateway.changePolicy({ 'postgres.rego': `${policy['postgres.rego']}\n# As before.\n` });
    expect(event.type).toBe('activated');
    expect(await verdict(open)).toBe('aborted');
    const second = await shown();
    expect(second.id).not.toBe(first.id);
    expect(counts(second.effect)).toEqual([['app.plain', 0, 0, 1, false]]);
    await answer('approve', second.id);
    expect(await done).toBeUndefined();
    expect(await count('plain')).toBe(19);
  });

  test('in a batch with others it is estimated, as the batch is one transaction', async () => {
    const wire = await gateway.open({ token: { subject: 'agent:bot', groups: ['agents'] } });
    wire.sendRaw(
      message.parse('delete from app.plain where id = 1'),
      message.bind(),
      message.execute(),
      message.parse('select 1'),
      message.bind(),
      message.execute(),
      message.sync(),
    );
    const { id, effect } = await shown();
    expect(effect).toMatchObject({ basis: 'estimated', reason: expect.stringContaining('batch') });
    await answer('approve', id);
    expect(shape(await wire.readUntil('Z'))).toBe('1 2 N C 1 2 D C Z');
    expect(await count('plain')).toBe(19);
    await wire.end();
  });

  test('is undone by the server where its gateway is killed, and another takes the request back', async () => {
    const config = parse(await readFile(join(gateway.folder, 'sallyport.yaml'), 'utf8')) as Record<string, unknown>;
    const file = join(gateway.folder, 'killed.yaml');
    const other = {
      state: { directory: './.killed', postgres: home.url },
      audit: { sinks: [{ file: './killed.jsonl' }] },
    };
    await writeFile(file, stringify({ ...config, ...other }), { mode: 0o600 });
    const root = join(import.meta.dirname, '../..');
    const child = spawn(process.execPath, [join(root, 'bin/sallyport.js'), 'run', '-c', file], {
      env: { ...process.env, UPSTREAM_PASSWORD: database.password },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      let port = 0;
      for await (const line of createInterface({ input: child.stdout })) {
        port = Number(/postgres on 127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? port);
        if (line.includes('ready')) break;
      }
      const client = new pg.Client({
        ...(await gateway.connection({ subject: 'agent:bot', groups: ['agents'] })),
        port,
      });
      client.on('error', () => undefined);
      await client.connect();
      const lost = failure(client.query('delete from app.plain'));
      const { id } = await shown();
      const open = await transaction();
      const ended = new Promise<void>((resolve) => {
        const stop = gateway.gateway.approvers.subscribe((event) => {
          if (event.id !== id || event.type !== 'ended') return;
          stop();
          resolve();
        });
      });
      child.kill('SIGKILL');
      expect(await lost).toBeInstanceOf(Error);
      expect([await verdict(open), await count('plain')]).toEqual(['aborted', 20]);
      await ended;
      expect((await gateway.gateway.approvers.get(id))?.status).toBe('withdrawn');
      await expect(answer('approve', id)).rejects.toThrow();
    } finally {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
  }, 120_000);
});
