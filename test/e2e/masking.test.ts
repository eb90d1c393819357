import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import postgres from 'postgres';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, fields, message, row, rows, shape, WireClient, type Frame } from '../support/wire.js';

/** Masks and filters in a live session: whatever the road, and whenever policy changes on it. */

const base = `package policy.postgres

allow contains {"code": "everything"} if {
	input.operation.action != "connect"
	not needs_key
}

allow contains {"code": "connect"} if input.operation.action == "connect"

touches(name) if {
	some resource in input.operation.resources
	resource.name == name
}

needs_key if {
	touches("app.keyed")
	not input.operation.postgres.parameters[0] == "open sesame"
}
`;

const masks = `
mask contains {"resource": "app.customers.email", "with": "redact", "code": "pii"} if touches("app.customers.email")

mask contains {"resource": "app.customers.token", "with": "null", "code": "pii"} if touches("app.customers.token")

mask contains {"resource": "app.keyed.email", "with": "redact", "code": "pii"} if touches("app.keyed.email")
`;

const filter = `
filter contains {"resource": "app.customers", "where": "region = 'EU'", "code": "eu"} if touches("app.customers")
`;

const revision = (...parts: string[]) => ({ 'postgres.rego': [base, ...parts].join('') });

describe('masks and filters', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let agent: WireClient;
  let inForce = '';

  /** Changes policy, where it is not this one already. */
  const become = async (...parts: string[]) => {
    const policy = revision(...parts);
    if (policy['postgres.rego'] === inForce) return;
    const event = await gateway.changePolicy(policy);
    expect(event.type).toBe('activated');
    inForce = policy['postgres.rego'];
  };

  beforeAll(async () => {
    database = await createDatabase({
      sql: `create schema app;
        create table app.customers (id int primary key, email varchar(40), token int, region text check (region <> 'XX'));
        insert into app.customers select n, 'canary' || n || '@example.com', 4711000 + n, case when n % 2 = 0 then 'EU' else 'US' end
          from generate_series(1, 6) n;
        create table app.keyed (id int, email text); insert into app.keyed values (1, 'canary@keyed');
        create table app.plain (id int primary key, note text);`,
    });
    inForce = revision(masks)['postgres.rego'];
    gateway = await startTestGateway({ database, policy: revision(masks) });
  });
  beforeEach(async () => {
    await become(masks);
    agent = await gateway.open();
    agentClosed = agent.end.bind(agent);
  });
  let agentClosed: () => Promise<void> = () => Promise.resolve();
  afterAll(async () => {
    await agentClosed();
    await gateway?.close();
    await database?.drop();
  });

  /** All that was written so far: a record that has to be on disk is written behind those that need not. */
  const recorded = async () => {
    await agent.query('insert into app.plain select 1 where false');
    return gateway.records();
  };
  const bytes = (frames: readonly Frame[]) => Buffer.concat(frames.map(({ body }) => body)).toString('latin1');
  const masked = ['***', null];
  const clear = ['canary1@example.com', '4711001'];
  const one = 'select email, token from app.customers where id = 1';

  test.each([
    ['a simple query', (sql: string) => agent.query(sql)],
    [
      'the extended protocol',
      (sql: string) =>
        agent.exchange(message.parse(sql), message.bind(), message.describe('P'), message.execute(), message.sync()),
    ],
    [
      'a prepared statement',
      (sql: string) =>
        agent.exchange(
          message.parse(sql, 's'),
          message.describe('S', 's'),
          message.bind([], { statement: 's' }),
          message.execute(),
          message.close('S', 's'),
          message.sync(),
        ),
    ],
    [
      'SQL PREPARE',
      async (sql: string) => [...(await agent.query(`prepare p as ${sql}`)), ...(await agent.query('execute p'))],
    ],
    ['a cursor', (sql: string) => agent.query(`begin; declare c cursor for ${sql}; fetch all from c; commit`)],
  ])('a masked column is masked by %s', async (_road, run) => {
    const frames = await run(one);
    expect(errorOf(frames)).toBeUndefined();
    expect(rows(frames)).toEqual([masked]);
    expect(bytes(frames)).not.toContain('canary');
  });

  test('in binary', async () => {
    const frames = await agent.exchange(
      message.parse('select id, email, token from app.customers where id = $1'),
      message.bind(['1'], { results: [1] }),
      message.describe('P'),
      message.execute(),
      message.sync(),
    );
    const values = row(frames.find(({ type }) => type === 'D')!.body);
    expect(values).toEqual([Buffer.from([0, 0, 0, 1]), Buffer.from('***'), null]);
  });

  test('COPY is masked', async () => {
    const frames = await agent.query('copy app.customers (id, email) to stdout');
    expect(frames.filter(({ type }) => type === 'd').map(({ body }) => body.toString())).toEqual(
      [1, 2, 3, 4, 5, 6].map((n) => `${String(n)}\t***\n`),
    );
  });

  test('types, names and row shapes stay as they were', async () => {
    const description = async (client: WireClient) => {
      const frames = await client.query('select * from app.customers');
      const { body } = frames.find(({ type }) => type === 'T')!;
      const fields: unknown[] = [];
      for (let at = 2, left = body.readInt16BE(0); left > 0; left--) {
        const zero = body.indexOf(0, at);
        fields.push([
          body.toString('utf8', at, zero),
          body.readUInt32BE(zero + 7),
          body.readInt16BE(zero + 11),
          body.readInt32BE(zero + 13),
        ]);
        at = zero + 19;
      }
      return fields;
    };
    const direct = await WireClient.open({ ...database });
    expect(await description(agent)).toEqual(await description(direct));
    await direct.end();
  });

  test('the record says what was masked, and what left instead', async () => {
    await agent.query(`${one} limit 987`);
    const found = (await recorded()).find(
      (record) => record['kind'] === 'intent' && JSON.stringify(record).includes('limit 987'),
    );
    expect(found).toMatchObject({
      result: {
        outcome: 'allow',
        masks: [
          { resource: 'app.customers.email', with: 'redact', scope: 'source', code: 'pii' },
          { resource: 'app.customers.token', with: 'null', scope: 'source', code: 'pii' },
        ],
        sent: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
      },
    });
  });

  test('what is said of names, where no row is looked at, is said; other notices are withheld under their own word', async () => {
    const notices = async (text: string) =>
      (await agent.query(text)).filter(({ type }) => type === 'N').map(({ body }) => fields(body));
    expect(await notices('drop table if exists app.absent')).toMatchObject([
      { M: 'table "absent" does not exist, skipping' },
    ]);
    expect(errorOf(await agent.query('drop view absent'))?.['M']).toBe('view "absent" does not exist');
    await agent.query('create schema gone; create table gone.one (); create table gone.two ()');
    const [dropped] = await notices('drop schema gone cascade');
    expect(dropped?.['D']).toBe('drop cascades to table gone.one\ndrop cascades to table gone.two');
    expect(await notices('alter table if exists absent alter n type text')).toMatchObject([
      { M: 'relation "absent" does not exist, skipping' },
    ]);
    expect(errorOf(await agent.query('create index on absent (n)'))?.['M']).toBe('relation "absent" does not exist');
    expect(await notices('alter table app.customers drop constraint if exists none')).toMatchObject([
      { M: 'a notice of SQLSTATE 00000 is withheld: it may hold values that are masked' },
    ]);
  });

  test('what cannot be masked is refused, in words of policy, and recorded so', async () => {
    const frames = await agent.query('create view app.way_around as select email from app.customers');
    const error = errorOf(frames);
    expect(error?.['C']).toBe('42501');
    const detail = JSON.parse(error?.['D'] ?? '{}') as { decision: string; reasons: { code: string }[] };
    expect(detail.reasons.map(({ code }) => code)).toEqual(['mask_unenforceable']);
    const record = (await recorded()).find((each) => JSON.stringify(each).includes(`"${detail.decision}"`));
    expect(record).toMatchObject({ kind: 'intent', result: { outcome: 'deny' } });
    expect(await database.sql("select 1 from pg_class where relname = 'way_around'")).toEqual([]);
  });

  test('a plan of a prepared statement tells nothing', async () => {
    await agent.query(`prepare p as ${one}`);
    const plan = JSON.stringify(rows(await agent.query('explain execute p')));
    expect(plan).toContain('customers');
    expect(plan).not.toMatch(/cost|rows|width|canary/);
    await agent.query('deallocate p');
  });

  test("nothing of the gateway's own reads is shown", async () => {
    await agent.query('set client_min_messages = debug5');
    const frames = await agent.query('select email from app.customers where id = 2');
    expect(rows(frames)).toEqual([['***']]);
    expect(bytes(frames)).not.toContain('sallyport_');
    await agent.query('reset client_min_messages');
  });

  test('a name that may be another is looked at anew, and stays masked', async () => {
    await agent.exchange(message.parse(one, 's'), message.sync());
    // What runs here is not known: names may have been given in it.
    await agent.query('do $$ begin end $$');
    const frames = await agent.exchange(message.bind([], { statement: 's' }), message.execute(), message.sync());
    expect(rows(frames)).toEqual([masked]);
  });

  test('what somebody else changed since is not run, and looked at anew', async () => {
    await database.sql('create view app.shown as select id, region as name, email from app.customers');
    try {
      const sql = 'select name, email from app.shown where id = 1';
      expect(rows(await agent.query(sql))).toEqual([['US', '***']]);
      await database.sql(
        'create or replace view app.shown as select id, token::text as name, email from app.customers',
      );
      expect(errorOf(await agent.query(sql))).toMatchObject({
        C: '40001',
        M: 'the meaning of a name has changed since the statement was judged: send the transaction again',
      });
      expect(rows(await agent.query(sql))).toEqual([[null, '***']]);
    } finally {
      await database.sql('drop view app.shown');
    }
  });

  test('errors stand where the client wrote what they are about', async () => {
    const sql = 'select email, id + true from app.customers';
    const direct = await WireClient.open({ ...database });
    const expected = errorOf(await direct.query(sql));
    await direct.end();
    const simple = errorOf(await agent.query(sql));
    const extended = errorOf(await agent.exchange(message.parse(sql), message.sync()));
    expect(expected?.['P']).toBe('18');
    for (const error of [simple, extended])
      expect([error?.['C'], error?.['P'], error?.['M']]).toEqual(['42883', '18', expected?.['M']]);
  });

  test('an error shows no row of a relation in which something is masked', async () => {
    const failing = errorOf(await agent.query("update app.customers set region = 'XX' where id = 1"));
    expect(failing).toMatchObject({ C: '23514', t: 'customers' });
    expect(failing).not.toHaveProperty('D');
    await agent.query("insert into app.plain values (1, 'x')");
    expect(errorOf(await agent.query("insert into app.plain values (1, 'x')"))).toMatchObject({
      C: '23505',
      D: 'Key (id)=(1) already exists.',
    });
    // What fails at the end of the transaction as well.
    await agent.query('truncate app.plain');
  });

  describe('when policy changes', () => {
    const execute = (options: { rows?: number; portal?: string } = {}) =>
      message.execute(options.portal ?? '', options.rows ?? 0);

    test('a prepared statement is prepared again, unseen', async () => {
      await become();
      const run = (...more: Buffer[]) =>
        agent.exchange(
          ...more,
          message.bind(['1'], { statement: 's' }),
          message.describe('P'),
          execute(),
          message.sync(),
        );
      expect(rows(await run(message.parse('select email, token from app.customers where id = $1', 's')))).toEqual([
        clear,
      ]);
      for (const round of [1, 2]) {
        await become(masks);
        for (const again of ['first', 'second']) {
          const frames = await run();
          expect({ round, again, shape: shape(frames), rows: rows(frames) }).toEqual({
            round,
            again,
            shape: '2 T D C Z',
            rows: [masked],
          });
        }
        await become();
        for (const again of ['first', 'second']) {
          const frames = await run();
          expect({ round, again, shape: shape(frames), rows: rows(frames) }).toEqual({
            round,
            again,
            shape: '2 T D C Z',
            rows: [clear],
          });
        }
      }
      expect(shape(await agent.exchange(message.close('S', 's'), message.sync()))).toBe('3 Z');
      const left = await database.sql(
        "select count(*)::int as n from pg_stat_activity where query like '%canary%' and pid <> pg_backend_pid()",
      );
      expect(left).toEqual([{ n: 0 }]);
    });

    test('also where its batches are pipelined', async () => {
      await become();
      await agent.exchange(message.parse('select email, token from app.customers where id = $1', 's'), message.sync());
      await become(masks);
      const batch = [
        message.bind(['1'], { statement: 's', portal: 'p' }),
        message.describe('P', 'p'),
        execute({ portal: 'p' }),
        message.close('P', 'p'),
        message.sync(),
      ];
      agent.sendRaw(...batch, ...batch, ...batch);
      for (const turn of [1, 2, 3]) {
        const frames = await agent.readUntil('Z');
        expect({ turn, shape: shape(frames), rows: rows(frames) }).toEqual({
          turn,
          shape: '2 T D C 3 Z',
          rows: [masked],
        });
      }
    });

    test('a portal of which nothing was seen is made anew', async () => {
      await become();
      await agent.exchange(message.parse('begin'), message.bind(), execute(), message.sync());
      await agent.exchange(message.parse(one), message.bind([], { portal: 'p' }), message.sync());
      await become(masks);
      expect(rows(await agent.exchange(execute({ portal: 'p' }), message.sync()))).toEqual([masked]);
      await agent.query('rollback');
    });

    test('a portal that has been read from is not', async () => {
      await become();
      await agent.query('begin');
      const sql = 'select email from app.customers order by id';
      await agent.exchange(message.parse(sql), message.bind([], { portal: 'p' }), message.sync());
      expect(rows(await agent.exchange(execute({ portal: 'p', rows: 1 }), message.sync()))).toEqual([
        ['canary1@example.com'],
      ]);
      await become(masks);
      const frames = await agent.exchange(execute({ portal: 'p' }), message.sync());
      expect([errorOf(frames)?.['C'], errorOf(frames)?.['D']]).toEqual([
        '0A000',
        expect.stringContaining('"policy_changed"'),
      ]);
      expect(bytes(frames)).not.toContain('canary');
      await agent.query('rollback');
    });

    test.each([
      ['a cursor', 'begin; declare c cursor for select email from app.customers', 'fetch 1 from c'],
      ['what SQL prepared', 'prepare p as select email from app.customers where id = 1', 'execute p'],
    ])('%s is to be made again', async (_what, make, use) => {
      await become();
      await agent.query(make);
      expect(rows(await agent.query(use))).toEqual([['canary1@example.com']]);
      await become(masks);
      const frames = await agent.query(use);
      expect([errorOf(frames)?.['C'], errorOf(frames)?.['D']]).toEqual([
        '0A000',
        expect.stringContaining('"policy_changed"'),
      ]);
      expect(bytes(frames)).not.toContain('canary');
      await agent.query('rollback; deallocate all; close all');
      await agent.query(make);
      expect(rows(await agent.query(use))).toEqual([['***']]);
      await agent.query('rollback; deallocate all; close all');
    });

    test('drivers with prepared statements of their own notice nothing', async () => {
      await become();
      const client = new pg.Client(await gateway.connection());
      await client.connect();
      const { host, port, user, password, database: target } = await gateway.connection();
      const sql = postgres({ host, port, user, password, database: target, max: 1 });
      const ask = async () => [
        (await client.query({ name: 'one', text: 'select email from app.customers where id = $1', values: [1] })).rows,
        [...(await sql`select email from app.customers where id = ${1}`)],
      ];
      const shown = (email: string) => [[{ email }], [{ email }]];
      expect(await ask()).toEqual(shown('canary1@example.com'));
      await become(masks);
      expect(await ask()).toEqual(shown('***'));
      expect(await ask()).toEqual(shown('***'));
      await become();
      expect(await ask()).toEqual(shown('canary1@example.com'));
      await client.end();
      await sql.end();
    });
  });

  test('a Parse that waits for its parameters is masked as well', async () => {
    const sql = 'select email from app.keyed where $1 = $1::text';
    const run = (value: string) =>
      agent.exchange(
        message.parse(sql, 'k'),
        message.bind([value], { statement: 'k' }),
        message.execute(),
        message.close('S', 'k'),
        message.sync(),
      );
    const denied = await run('please');
    expect(errorOf(denied)?.['C']).toBe('42501');
    await agent.exchange(message.close('S', 'k'), message.sync());
    const frames = await run('open sesame');
    expect(shape(frames)).toBe('1 2 D C 3 Z');
    expect(rows(frames)).toEqual([['***']]);
  });

  test('a filter hides rows, and the messages that would tell of them', async () => {
    await become(masks, filter);
    expect(rows(await agent.query('select id from app.customers order by id'))).toEqual([['2'], ['4'], ['6']]);
    expect(rows(await agent.query('select count(*), max(email) from app.customers'))).toEqual([['3', '***']]);
    const prepared = await agent.exchange(
      message.parse('select id from app.customers where id = $1'),
      message.bind(['1']),
      message.execute(),
      message.sync(),
    );
    expect(shape(prepared)).toBe('1 2 C Z');
    const frames = await agent.query('select region::int from app.customers');
    expect(errorOf(frames)?.['C']).toBe('22P02');
    expect(errorOf(frames)?.['M']).not.toContain('EU');
    expect(errorOf(await agent.query('insert into app.customers values (7)'))?.['D']).toContain('filter_unenforceable');
  });

  test("a key of masks is nobody's to set or to see", async () => {
    await expect(gateway.open({ parameters: { 'sallyport.mask_key': '00' } })).rejects.toThrow(/0A000/);
    await expect(gateway.open({ parameters: { options: '-c sallyport.mask_key=00' } })).rejects.toThrow(/0A000/);
    for (const sql of [
      'show sallyport.mask_key',
      "select current_setting('sallyport.mask_key')",
      "set sallyport.mask_key = '00'",
    ])
      expect([sql, errorOf(await agent.query(sql))?.['C']]).toEqual([sql, '42501']);
  });

  test('a keyed mask keeps equality, and shows nothing else', async () => {
    await become(`
mask contains {"resource": "app.customers.region", "with": "hash", "code": "pii"} if touches("app.customers.region")
`);
    const frames = await agent.query('select region, count(*) from app.customers group by region');
    const found = rows(frames);
    expect(found).toHaveLength(2);
    for (const [region, count] of found) expect([count, region]).toEqual(['3', expect.not.stringMatching(/^(EU|US)$/)]);
  });
});
