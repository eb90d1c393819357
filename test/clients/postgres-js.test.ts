import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import postgres from 'postgres';
import { openWorld, type World } from './world.js';

describe('postgres.js', () => {
  let world: World;
  let sql: postgres.Sql;

  beforeAll(async () => {
    world = await openWorld();
    sql = postgres({ ...(await world.gateway.connection()), max: 4, onnotice: () => undefined });
  });
  afterAll(async () => {
    await sql?.end();
    await world?.close();
  });

  test('queries are pipelined over few connections', async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) => sql<{ n: number }[]>`select ${n}::int + 1 as n`),
    );
    expect(answers.map(([row]) => row?.n)).toEqual(Array.from({ length: 200 }, (_, n) => n + 1));
  });

  test('parameters are typed by the server', async () => {
    const [row] = await sql`
      insert into app.notes (body, tags, data, mood)
      values (${'it'}, ${['a', 'b c']}, ${sql.json({ deep: [1, null] })}, ${'happy'})
      returning body, tags, data, mood`;
    expect(row).toEqual({ body: 'it', tags: ['a', 'b c'], data: { deep: [1, null] }, mood: 'happy' });
  });

  test('lists, identifiers and fragments', async () => {
    const rows =
      await sql`select ${sql('id', 'region')} from ${sql('app.orders')} where id in ${sql([1, 2])} order by id`;
    expect([...rows]).toEqual([
      { id: 1, region: 'US' },
      { id: 2, region: 'EU' },
    ]);
  });

  test('statements without preparing, and the simple protocol', async () => {
    expect([...(await sql.unsafe('select $1::int as n', [7], { prepare: false }))]).toEqual([{ n: 7 }]);
    const results = await sql`select 1 as a; select 2 as b`.simple();
    expect(results.map((rows) => [...(rows as unknown as object[])])).toEqual([[{ a: 1 }], [{ b: 2 }]]);
  });

  test('transactions and savepoints', async () => {
    await sql.begin(async (transaction) => {
      await transaction`insert into app.notes (body) values ('kept')`;
      await expect(
        transaction.savepoint(async (savepoint) => {
          await savepoint`insert into app.notes (body) values ('undone')`;
          await savepoint`select 1 / 0`;
        }),
      ).rejects.toMatchObject({ code: '22012' });
    });
    const rows = await sql`select body from app.notes where body in ('kept', 'undone')`;
    expect([...rows]).toEqual([{ body: 'kept' }]);
  });

  test('a cursor', async () => {
    const sizes: number[] = [];
    for await (const rows of sql`select * from generate_series(1, 25)`.cursor(10)) sizes.push(rows.length);
    expect(sizes).toEqual([10, 10, 5]);
  });

  test('a cursor that is left early', async () => {
    for await (const _ of sql`select * from generate_series(1, 25)`.cursor(10)) break;
    expect([...(await sql`select 1 as one`)]).toEqual([{ one: 1 }]);
  });

  test('COPY in and out', async () => {
    const lines = Array.from({ length: 2_000 }, (_, n) => `note ${n}\n`);
    await pipeline(Readable.from(lines), await sql`copy app.notes (body) from stdin`.writable());
    let text = '';
    for await (const chunk of await sql`copy (select body from app.notes where body like 'note %' order by id) to stdout`.readable()) {
      text += String(chunk);
    }
    expect(text).toBe(lines.join(''));
  });

  test('listen and notify', async () => {
    const heard: string[] = [];
    let tell: () => void = () => undefined;
    const both = new Promise<void>((settle) => (tell = settle));
    const { unlisten } = await sql.listen('news', (payload) => {
      heard.push(payload);
      if (heard.length === 2) tell();
    });
    await sql.notify('news', 'one');
    await sql.notify('news', 'two');
    await both;
    expect(heard).toEqual(['one', 'two']);
    await unlisten();
  });

  test('a query that is cancelled', async () => {
    const query = sql`select pg_sleep(60)`;
    const refused = expect(query.execute()).rejects.toMatchObject({ code: '57014' });
    const sleeping = () =>
      world.database.sql("select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()");
    while ((await sleeping()).length === 0);
    query.cancel();
    await refused;
  });

  test('describe', async () => {
    // On a connection of its own: behind other queries of a pool, this version of the driver waits for ever, at the server too.
    const alone = postgres({ ...(await world.gateway.connection()), max: 1 });
    const { types, columns } = await alone`select ${1}::int as n, ${'a'}::text as t`.describe();
    await alone.end();
    expect(types).toEqual([23, 25]);
    expect(columns.map(({ name }) => name)).toEqual(['n', 't']);
  });
});
