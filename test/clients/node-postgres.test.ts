import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { openWorld, type World } from './world.js';

describe('pg', () => {
  let world: World;
  let pool: pg.Pool;
  const ends: Promise<void>[] = [];

  beforeAll(async () => {
    world = await openWorld();
    pool = new pg.Pool({ ...(await world.gateway.connection()), max: 8 });
    pool.on('connect', (client) => ends.push(new Promise((settle) => client.once('end', () => settle()))));
  });
  afterAll(async () => {
    await pool?.end();
    // The pool's own end does not wait for that of its clients.
    await Promise.all(ends);
    await world?.close();
  });

  async function withClient<T>(run: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    try {
      return await run(client);
    } finally {
      client.release();
    }
  }

  test('a pool answers many queries at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        pool.query<{ id: number }>('select id from app.orders where id = $1', [n + 1]),
      ),
    );
    expect(answers.map(({ rows }) => rows[0]?.id)).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
  });

  test('types come as the driver makes them', async () => {
    const { rows, fields } = await pool.query(
      `select 1::int4 i, 9007199254740993::int8 b, 1.50::numeric n, true t, '\\x00ff'::bytea y, '{"a": [1]}'::jsonb j,
        array[1, 2] a, timestamptz '2026-01-01 00:00:00Z' z, null::text e, 'happy'::app.mood m, 1.5::float8 f`,
    );
    expect(rows).toEqual([
      {
        i: 1,
        b: '9007199254740993',
        n: '1.50',
        t: true,
        y: Buffer.from([0, 255]),
        j: { a: [1] },
        a: [1, 2],
        z: new Date('2026-01-01T00:00:00Z'),
        e: null,
        m: 'happy',
        f: 1.5,
      },
    ]);
    expect(fields.map(({ name }) => name)).toEqual(['i', 'b', 'n', 't', 'y', 'j', 'a', 'z', 'e', 'm', 'f']);
  });

  test('named statements are prepared once and executed often', () =>
    withClient(async (client) => {
      const named = { name: 'by-region', text: 'select count(*)::int as n from app.orders where region = $1' };
      for (let round = 0; round < 5; round++) {
        expect((await client.query({ ...named, values: ['EU'] })).rows).toEqual([{ n: 50 }]);
        expect((await client.query({ ...named, values: ['XX'] })).rows).toEqual([{ n: 0 }]);
      }
      expect((await client.query('select name from pg_prepared_statements')).rows).toEqual([{ name: 'by-region' }]);
    }));

  test('a portal is read by rows at a time', () =>
    withClient(async (client) => {
      // `rows`: the driver executes the portal again while the server says that it is suspended.
      const query = { text: 'select n from generate_series(1, 1000) n where n > $1', values: [0], rows: 64 };
      const { rows } = await client.query<{ n: number }>(query);
      expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 1_000 }, (_, n) => n + 1));
    }));

  test('results in binary', () =>
    withClient(async (client) => {
      const query = { text: 'select $1::int4 as n, $2::text as t', values: [42, 'é'], binary: true };
      expect((await client.query<{ n: number; t: string }>(query)).rows).toEqual([{ n: 42, t: 'é' }]);
    }));

  test('several statements in one query', async () => {
    const results = (await pool.query('select 1 as a; select 2 as b')) as unknown as pg.QueryResult[];
    expect(results.map(({ rows }) => rows)).toEqual([[{ a: 1 }], [{ b: 2 }]]);
  });

  test('a transaction, an error in it, and a client that goes on', () =>
    withClient(async (client) => {
      await client.query('begin');
      await client.query("insert into app.notes (body) values ('gone')");
      await expect(client.query('select 1 / 0')).rejects.toMatchObject({ code: '22012', severity: 'ERROR' });
      await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
      await client.query('rollback');
      expect((await client.query("select count(*)::int n from app.notes where body = 'gone'")).rows).toEqual([
        { n: 0 },
      ]);
    }));

  test('an error carries its fields', async () => {
    const error = await pool.query("insert into app.orders values (1, 'EU')").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: '23505', schema: 'app', table: 'orders', constraint: 'orders_pkey' });
  });

  test('notifications and notices arrive', () =>
    withClient(async (client) => {
      const heard = new Promise<pg.Notification>((settle) => client.once('notification', settle));
      const noticed = new Promise<string | undefined>((settle) =>
        client.once('notice', (notice) => settle(notice.message)),
      );
      await client.query('listen news');
      await pool.query("select pg_notify('news', 'extra')");
      expect(await heard).toMatchObject({ channel: 'news', payload: 'extra' });
      await client.query("do $$ begin raise notice 'so it is'; end $$");
      expect(await noticed).toBe('so it is');
      await client.query('unlisten *');
    }));

  test('a result of ten megabytes', async () => {
    const { rows } = await pool.query<{ v: string }>(
      "select repeat('x', 1000) || n as v from generate_series(1, 10000) n",
    );
    expect(rows).toHaveLength(10_000);
    expect(rows.at(-1)?.v).toHaveLength(1_005);
  });
});
