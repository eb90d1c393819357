import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import postgres from 'postgres';
import { clientTest, runProgram, throughGateway } from '../clients/support.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startCounting, startTrickle } from '../support/relay.js';
import { errorOf, message, rows, shape, type Frame, type WireClient } from '../support/wire.js';

/** A mask on whatever is returned: patterns in every answer, whatever column and road they come by. */

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

mask contains {"resource": "*", "with": "pattern", "parameters": {"kinds": ["email", "card", "iban"]}, "code": "content"} if {
	not "unmasked" in input.principal.roles
}

mask contains {"resource": "app.notes.secret", "with": "redact", "code": "secret"} if {
	some resource in input.operation.resources
	resource.name == "app.notes.secret"
}

limit contains {"rows": 3} if {
	some resource in input.operation.resources
	resource.name == "app.limited"
}
`;

const card = '4111 1111 1111 1111';
const canaries = ['ada@example.com', '4111', 'DE89'];

/** 64 MB in all. */
const rows_of_1_kB = 64_000;

const group = 'patterns in whatever is returned';

describe(group, () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let agent: WireClient;

  beforeAll(async () => {
    database = await createDatabase({
      sql: `create schema app;
        create table app.notes (id int primary key, note text, doc jsonb, tags text[], digits bigint, amount numeric, secret text);
        insert into app.notes values
          (1, 'write to ada@example.com', '{"a": "ada@example.com", "n": 4111111111111111, "b": [1, 2]}', array['x', 'ada@example.com', null], 4111111111111111, 4111111111111111.00, 'hidden'),
          (2, 'nothing', '{"b": 2}', '{}', 17, 1.5, 'hidden'),
          (3, 'card ${card}, IBAN DE89 3704 0044 0532 0130 00', null, null, null, null, 'hidden');
        create type app.pair as (n int, t text);
        create table app.limited (t text);
        insert into app.limited select 'ada@example.com' from generate_series(1, 10);
        create function app.tell(t text) returns text language plpgsql as $$
          begin raise notice 'told: %', t; raise exception 'no: %', t using detail = t, hint = t; end $$;`,
    });
    gateway = await startTestGateway({ database, policy: { 'postgres.rego': policy } });
  });
  beforeEach(async () => {
    agent = await gateway.open();
    opened.push(agent);
  });
  const opened: WireClient[] = [];
  afterAll(async () => {
    for (const client of opened) await client.end();
    await gateway?.close();
    await database?.drop();
  });

  const bytes = (frames: readonly Frame[]) => Buffer.concat(frames.map(({ body }) => body)).toString('latin1');
  const clean = (frames: readonly Frame[]) => {
    for (const canary of canaries) expect(bytes(frames)).not.toContain(canary);
  };
  const sql = 'select id, note, doc, tags, digits, amount, secret from app.notes order by id';
  const masked = [
    ['1', 'write to ***', '{"a": "***", "b": [1, 2], "n": 0}', '{x,***,NULL}', '0', '0.00', '***'],
    ['2', 'nothing', '{"b": 2}', '{}', '17', '1.5', '***'],
    ['3', 'card ***, IBAN ***', null, null, null, null, '***'],
  ];

  test('by a simple query, beside masks of columns', async () => {
    const frames = await agent.query(sql);
    expect(rows(frames)).toEqual(masked);
    expect(shape(frames)).toBe('T D×3 C Z');
  });

  test.each([
    ['described', [message.parse(sql), message.bind(), message.describe('P'), message.execute(), message.sync()]],
    ['not described', [message.parse(sql), message.bind(), message.execute(), message.sync()]],
  ])('by the extended protocol, %s', async (what, messages) => {
    const frames = await agent.exchange(...messages);
    expect(rows(frames)).toEqual(masked);
    expect(shape(frames)).toBe(what === 'described' ? '1 2 T D×3 C Z' : '1 2 D×3 C Z');
  });

  test('by a portal in pieces, and a cursor', async () => {
    await agent.query('begin');
    await agent.exchange(message.parse(sql), message.bind([], { portal: 'p' }), message.sync());
    const first = await agent.exchange(message.execute('p', 2), message.sync());
    const second = await agent.exchange(message.execute('p', 2), message.sync());
    expect([...rows(first), ...rows(second)]).toEqual(masked);
    await agent.query(`declare c binary cursor for select note, tags from app.notes order by id`);
    clean(await agent.query('fetch all from c'));
    await agent.query('rollback');
  });

  test('in binary', async () => {
    const frames = await agent.exchange(
      message.parse(
        `select note, doc, tags, digits, amount, row(1, note)::app.pair, array[row(2, note)::app.pair] from app.notes where id = 1`,
      ),
      message.bind([], { results: [1] }),
      message.execute(),
      message.sync(),
    );
    expect(errorOf(frames)).toBeUndefined();
    clean(frames);
    const text = bytes(frames);
    expect(text.split('***')).toHaveLength(6);
    expect(text).toContain('{"a": "***", "b": [1, 2], "n": 0}');
  });

  test.each([
    ['text', 'copy (select id, note, doc from app.notes order by id) to stdout'],
    ['csv', 'copy (select id, note, doc from app.notes order by id) to stdout (format csv, header)'],
  ])('by COPY in %s', async (_format, copy) => {
    const frames = await agent.query(copy);
    expect(errorOf(frames)).toBeUndefined();
    clean(frames);
    expect(bytes(frames)).toContain('write to ***');
    expect(bytes(frames)).toContain('card ***, IBAN ***');
  });

  test('COPY in binary is refused, and nothing of it is sent', async () => {
    const frames = await agent.query('copy app.notes (note) to stdout (format binary)');
    expect([errorOf(frames)?.['C'], shape(frames)]).toEqual(['42501', 'E Z']);
    expect(errorOf(frames)?.['M']).toContain('COPY in binary');
  });

  test('in errors, notices and notifications', async () => {
    const frames = await agent.query(`select app.tell(note) from app.notes where id = 1`);
    clean(frames);
    expect(errorOf(frames)).toMatchObject({ C: 'P0001', M: 'no: write to ***', D: 'write to ***', H: 'write to ***' });
    expect(bytes(frames)).toContain('told: write to ***');
    clean(await agent.query(`select note::int from app.notes where id = 1`));
    await agent.query('listen news');
    const told = await agent.query(`select pg_notify('news', note) from app.notes where id = 1`);
    clean(told);
    expect(bytes(told)).toContain('write to ***');
  });

  test('with limits', async () => {
    const frames = await agent.query('select t from app.limited');
    expect(shape(frames)).toBe('T D×3 E Z');
    expect(rows(frames)).toEqual([['***'], ['***'], ['***']]);
  });

  test('in a field of 8 MB', async () => {
    const frames = await agent.query(
      `select repeat('lorem ipsum ', 700000) || note || repeat(' dolor', 1000) from app.notes where id = 1`,
    );
    const [[field] = []] = rows(frames);
    expect(field?.length).toBeGreaterThan(8_000_000);
    expect(field).toContain('ipsum write to *** dolor');
  });

  test('however the server cuts its answer: a byte at a time', async () => {
    const trickle = await startTrickle(() => database, 1);
    const behind = await startTestGateway({
      database: { ...database, host: trickle.host, port: trickle.port },
      policy: { 'postgres.rego': policy },
    });
    const client = await behind.open();
    try {
      expect(rows(await client.query(sql))).toEqual(masked);
      const copied = await client.query('copy (select id, note from app.notes order by id) to stdout');
      expect(copied.filter(({ type }) => type === 'd').map(({ body }) => body.toString())).toEqual([
        '1\twrite to ***\n',
        '2\tnothing\n',
        '3\tcard ***, IBAN ***\n',
      ]);
      const told = await client.query(`select app.tell('ada@example.com')`);
      clean(told);
      expect(errorOf(told)?.['M']).toBe('no: ***');
    } finally {
      await client.end();
      await behind.close();
      await trickle.close();
    }
  });

  test('a client that does not read has the server wait, not the gateway keep', async () => {
    const counting = await startCounting(() => database);
    const behind = await startTestGateway({
      database: { ...database, host: counting.host, port: counting.port },
      policy: { 'postgres.rego': policy },
    });
    try {
      for (const [index, sql] of [
        `select n, 'write to ada@example.com ' || repeat('lorem ipsum ', 80) as note from generate_series(1, ${rows_of_1_kB}) n`,
        `copy (select n, 'write to ada@example.com ' || repeat('lorem ipsum ', 80) from generate_series(1, ${rows_of_1_kB}) n) to stdout`,
      ].entries()) {
        const slow = await behind.open();
        slow.send('Q', Buffer.from(`${sql}\0`));
        slow.socket.pause();
        const passed = await counting.settled(index);
        // What the kernel keeps of two connections, and what streams do, is a few megabytes each.
        expect(passed).toBeGreaterThan(0);
        expect(passed).toBeLessThan((rows_of_1_kB * 1_000) / 2);
        slow.socket.destroy();
      }
    } finally {
      await behind.close();
      await counting.close();
    }
  });

  test('drivers read what is left', async () => {
    const client = new pg.Client(await gateway.connection());
    await client.connect();
    const { rows: found } = await client.query('select note, doc, tags, digits from app.notes where id = $1', [1]);
    expect(found).toEqual([{ note: 'write to ***', doc: { a: '***', b: [1, 2], n: 0 }, tags: ['x', '***', null], digits: '0' }]); // prettier-ignore
    await client.end();
    const { host, port, user, password, database: target } = await gateway.connection();
    const db = postgres({ host, port, user, password, database: target, max: 1 });
    expect([...(await db`select note, doc from app.notes where id = ${1}`)]).toEqual([
      { note: 'write to ***', doc: { a: '***', b: [1, 2], n: 0 } },
    ]);
    await db.end();
  });

  clientTest(group, 'psql shows what is left, by queries, cursors, COPY and errors', async () => {
    const { code, stdout, stderr } = await runProgram('psql', ['-X', '--csv', '-t'], {
      env: await throughGateway(gateway),
      input: `select note from app.notes where id = 1;
\\copy (select note from app.notes where id = 3) to stdout
\\set FETCH_COUNT 1
select doc from app.notes where id = 1;
select app.tell('ada@example.com');
`,
    });
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: 'write to ***\ncard ***, IBAN ***\n"{""a"": ""***"", ""b"": [1, 2], ""n"": 0}"\n',
    });
    expect(stderr).toMatch(/NOTICE: {2}told: \*\*\*\nERROR: {2}no: \*\*\*/);
    for (const canary of canaries) expect(stdout + stderr).not.toContain(canary);
  });
});
