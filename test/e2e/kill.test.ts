import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Identity } from '../../gateway/protocol.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';

/** The kill switch: sessions end with what they run, and only those that were meant. */

let database: TestDatabase;
let gateway: TestGateway;
const administrator = {} as Identity;

beforeAll(async () => {
  database = await createDatabase({ sql: 'create table public.t (id int)' });
  gateway = await startTestGateway({ database });
});
afterAll(async () => {
  await gateway?.close();
  await database?.drop();
});

async function agent(subject: string): Promise<{ client: pg.Client; ended: Promise<string> }> {
  const client = new pg.Client(await gateway.connection({ subject }));
  const ended = new Promise<string>((resolve) => client.on('error', (error) => resolve(error.message)));
  await client.connect();
  return { client, ended };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
}

async function sleeping(): Promise<number> {
  const direct = new pg.Client({ ...database });
  await direct.connect();
  const { rows } = await direct.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity where query like '%pg_sleep(61)%' and state = 'active' and pid <> pg_backend_pid()`,
  );
  await direct.end();
  return rows[0]!.n;
}

test('a subject is killed: its client hears why, its statement ends in the server, others go on', async () => {
  const [bad, good] = [await agent('agent:bad'), await agent('agent:good')];
  const running = bad.client.query('select pg_sleep(61)').catch((error: Error) => error.message);
  await until(async () => (await sleeping()) === 1);

  const live = await gateway.gateway.sessions.list();
  expect(live.map(({ principal }) => principal.subject).sort()).toEqual(['agent:bad', 'agent:good']);
  expect(await gateway.gateway.sessions.kill({ subject: 'agent:bad' }, administrator, 'drill')).toEqual({ killed: 1 });

  expect(await running).toContain('ended by an administrator: drill');
  await until(async () => (await sleeping()) === 0);
  expect((await good.client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await good.client.end();
});

test('a query has to fit whole, and one that names nothing ends nobody', async () => {
  const { client } = await agent('agent:stays');
  const { sessions } = gateway.gateway;
  expect(await sessions.kill({}, administrator)).toEqual({ killed: 0 });
  expect(await sessions.kill({ subject: 'agent:stays', target: 'elsewhere' }, administrator)).toEqual({ killed: 0 });
  expect(await sessions.kill({ purpose: 'nobody has this' }, administrator)).toEqual({ killed: 0 });
  expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await client.end();
});
