import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import postgres from 'postgres';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message, rows, shape, type Frame, type WireClient } from '../support/wire.js';

/** Limits stop a statement in the server, and its client is told: a result is whole, or ends in an error. */

const limit = (relation: string, what: string) => `limit contains ${what} if {
	some resource in input.operation.resources
	resource.name == "${relation}"
}
`;

const policy = {
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

${limit('app.few', '{"rows": 10}')}
${limit('app.small', '{"bytes": 1000}')}
${limit('app.quick', '{"seconds": 0.4}')}
`,
};

/** Where anything is masked, the catalog is compared with each statement, and a simple query leaves in other messages. */
const masking = `
mask contains {"resource": "app.masked.n", "with": "null"} if {
	some resource in input.operation.resources
	resource.name == "app.masked.n"
}
`;

describe.each([
  ['limits', '', 'E Z'],
  ['limits under masks', masking, 'T E Z'],
])('%s', (_what, further, late) => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let agent: WireClient;

  beforeAll(async () => {
    database = await createDatabase({
      sql: `create schema app;
        create table app.key (n int primary key);
        create table app.few (n int); insert into app.few select generate_series(1, 100000);
        create table app.exact (n int); insert into app.exact select generate_series(1, 10);
        create table app.small (t text); insert into app.small select repeat('x', 90) from generate_series(1, 50);
        create table app.written (n int);
        create table app.later (n int references app.key deferrable initially deferred);
        create table app.quick (n int); insert into app.quick values (1);
        create table app.other (n int); insert into app.other select generate_series(1, 50);`,
    });
    gateway = await startTestGateway({
      database,
      policy: { 'postgres.rego': `${policy['postgres.rego']}${further}` },
    });
    agent = await gateway.open();
  });
  afterAll(async () => {
    await agent?.end();
    await gateway?.close();
    await database?.drop();
  });

  const exceeded = (frames: readonly Frame[]) => {
    const error = errorOf(frames);
    const detail = JSON.parse(error?.['D'] ?? '{}') as {
      limit?: unknown;
      reasons?: { code: string }[];
      decision?: string;
    };
    return {
      code: error?.['C'],
      reason: detail.reasons?.[0]?.code,
      limit: detail.limit,
      decided: typeof detail.decision,
    };
  };
  const of = (limit: object) => ({ code: '54000', reason: 'limit_exceeded', limit, decided: 'string' });

  test.each([
    ['a simple query', 'select n from app.few', 'T D×10 E Z', { rows: 10 }],
    ['a result that fits', 'select n from app.few limit 10', 'T D×10 C Z', undefined],
    ['a result of one row too many', 'select n from app.few limit 11', 'T D×10 E Z', { rows: 10 }],
    [
      'several statements: one operation',
      'select n from app.few limit 6; select n from app.few limit 6',
      'T D×6 C T D×4 E Z',
      { rows: 10 },
    ],
    ['bytes', 'select t from app.small', 'T D×9 E Z', { bytes: 1000 }],
    ['bytes of rows that fit', 'select t from app.small limit 9', 'T D×9 C Z', undefined],
    ['COPY', 'copy app.few to stdout', 'H d×10 E Z', { rows: 10 }],
    ['COPY in binary', 'copy app.few to stdout (format binary)', 'H d×10 E Z', { rows: 10 }],
    ['COPY that fits', 'copy (select n from app.few limit 10) to stdout (format binary)', 'H d×11 c C Z', undefined],
    ['time', 'select n, pg_catalog.pg_sleep(20) from app.quick', late, { seconds: 0.4 }],
    ['time enough', 'select n from app.quick', 'T D C Z', undefined],
    ['what has no limit', 'select n from app.other', 'T D×50 C Z', undefined],
  ])('%s', async (_name, sql, answer, stopped) => {
    const frames = await agent.query(sql);
    expect(shape(frames)).toBe(answer);
    if (stopped === undefined) expect(errorOf(frames)).toBeUndefined();
    else expect(exceeded(frames)).toEqual(of(stopped));
    // The session goes on, and nothing that was sent to stop one statement stops another.
    expect(rows(await agent.query('select count(*) from app.other'))).toEqual([['50']]);
  });

  test.each(['I', 'T'])('a transaction fails as with any other error (it was %s)', async (status) => {
    if (status === 'T') await agent.query('begin; insert into app.other values (51)');
    const frames = await agent.query('select n from app.few limit 11');
    expect(exceeded(frames)).toEqual(of({ rows: 10 }));
    expect(frames.at(-1)?.body.toString()).toBe(status === 'T' ? 'E' : 'I');
    if (status === 'T') expect(errorOf(await agent.query('select 1'))?.['C']).toBe('25P02');
    await agent.query('rollback');
    expect(rows(await agent.query('select count(*) from app.other'))).toEqual([['50']]);
  });

  test('in a batch what comes behind is skipped, and what came before is undone', async () => {
    const frames = await agent.exchange(
      message.parse('insert into app.other values (52)'),
      message.bind(),
      message.execute(),
      message.parse('select n from app.few limit 11'),
      message.bind(),
      message.execute(),
      message.parse('insert into app.other values (53)'),
      message.bind(),
      message.execute(),
      message.sync(),
    );
    expect(shape(frames)).toBe('1 2 C 1 2 D×10 E Z');
    expect(exceeded(frames)).toEqual(of({ rows: 10 }));
    expect(rows(await agent.query('select count(*) from app.other'))).toEqual([['50']]);
  });

  test('pipelined batches wait for a statement under a limit', async () => {
    agent.sendRaw(
      ...[11, 5, 20].flatMap((n) => [
        message.parse(`select n from app.few limit ${String(n)}`),
        message.bind(),
        message.describe('P'),
        message.execute(),
        message.sync(),
      ]),
      message.query('select count(*) from app.other'),
    );
    const answers = [];
    for (let batch = 0; batch < 4; batch++) answers.push(shape(await agent.readUntil('Z')));
    expect(answers).toEqual(['1 2 T D×10 E Z', '1 2 T D×5 C Z', '1 2 T D×10 E Z', 'T D C Z']);
  });

  test('a portal counts over all its fetches', async () => {
    await agent.query('begin');
    await agent.exchange(message.parse('select n from app.few'), message.bind([], { portal: 'p' }), message.sync());
    expect(shape(await agent.exchange(message.execute('p', 6), message.sync()))).toBe('D×6 s Z');
    const frames = await agent.exchange(message.execute('p', 6), message.sync());
    expect(shape(frames)).toBe('D×4 E Z');
    expect(exceeded(frames)).toEqual(of({ rows: 10 }));
    expect(frames.at(-1)?.body.toString()).toBe('E');
    await agent.query('rollback');
  });

  test('a cursor counts over all its fetches', async () => {
    await agent.query('begin; declare c cursor for select n from app.few');
    expect(shape(await agent.query('fetch 6 from c'))).toBe('T D×6 C Z');
    expect(shape(await agent.query('fetch 4 from c'))).toBe('T D×4 C Z');
    const frames = await agent.query('fetch 1 from c');
    expect(shape(frames)).toBe('T E Z');
    expect(exceeded(frames)).toEqual(of({ rows: 10 }));
    await agent.query('rollback');
  });

  test('a prepared statement is under the limits of what it runs', async () => {
    await agent.query('prepare few as select n from app.few');
    expect(exceeded(await agent.query('execute few'))).toEqual(of({ rows: 10 }));
    await agent.query('deallocate few');
  });

  test('a write that was finished before it could be stopped is undone', async () => {
    const insert = (count: number) =>
      `insert into app.written select n from app.few limit ${String(count)} returning n`;
    const frames = await agent.query(insert(11));
    expect(shape(frames)).toBe('T D×10 E Z');
    expect(exceeded(frames)).toEqual(of({ rows: 10 }));
    expect(frames.at(-1)?.body.toString()).toBe('I');
    expect(rows(await agent.query('select count(*) from app.written'))).toEqual([['0']]);
    expect(shape(await agent.query(insert(3)))).toBe('T D×3 C Z');
    expect(rows(await agent.query('select count(*) from app.written'))).toEqual([['3']]);
    // What fails by itself says so, and leaves the session where it was.
    const failed = await agent.query('insert into app.written select n / 0 from app.few limit 1');
    expect([errorOf(failed)?.['C'], frames.at(-1)?.body.toString()]).toEqual(['22012', 'I']);
    // Deferred constraints are looked at when the client hears of success, not later.
    const late = await agent.query('insert into app.later select n from app.few limit 1 returning n');
    expect([errorOf(late)?.['C'], late.at(-1)?.body.toString()]).toEqual(['23503', 'I']);
    expect(rows(await agent.query('select count(*) from app.written'))).toEqual([['3']]);
  });

  test('a write that is too slow is undone', async () => {
    const frames = await agent.query('insert into app.other select n from app.quick, pg_catalog.pg_sleep(20)');
    expect(exceeded(frames)).toEqual(of({ seconds: 0.4 }));
    expect(rows(await agent.query('select count(*) from app.other'))).toEqual([['50']]);
  });

  test('the outcome says how much went out', async () => {
    const frames = await agent.query('select n from app.few /* recorded */');
    const { decision } = JSON.parse(errorOf(frames)?.['D'] ?? '{}') as { decision: string };
    // A record that has to be on disk is written behind those that need not.
    await agent.query('insert into app.other select 1 where false');
    const records = await gateway.records();
    const mine = records.filter((record) => JSON.stringify(record).includes(`"${decision}"`));
    expect(mine).toHaveLength(2);
    expect(mine[0]).toMatchObject({ kind: 'intent', result: { outcome: 'allow', limits: { rows: 10 } } });
    expect(mine[1]).toMatchObject({ kind: 'outcome', result: { status: 'cancelled', code: '54000', rows: 10 } });
  });

  test('drivers see an error, never a short result', async () => {
    const client = new pg.Client(await gateway.connection());
    await client.connect();
    await expect(client.query('select n from app.few')).rejects.toMatchObject({ code: '54000' });
    await expect(client.query('select n from app.few where n > $1', [0])).rejects.toMatchObject({ code: '54000' });
    expect((await client.query('select n from app.few where n <= $1', [10])).rows).toHaveLength(10);
    await client.end();
    const { host, port, user, password, database: target } = await gateway.connection();
    const sql = postgres({ host, port, user, password, database: target, max: 1 });
    expect(await sql`select n from app.few where n <= ${7}`).toHaveLength(7);
    await expect(sql`select n from app.few`).rejects.toMatchObject({ code: '54000' });
    await sql.end();
  });
});
