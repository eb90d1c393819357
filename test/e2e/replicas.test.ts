import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Identity } from '../../gateway/protocol.js';
import { inputOf } from '../support/policy.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';

/** Two gateways over one state: what is ended on one ends on the other. */

let database: TestDatabase;
let state: TestDatabase;
let one: TestGateway;
let other: TestGateway;
let watch: pg.Client;
const administrator: Identity = { principal: inputOf().principal, expires_ms: Date.now() + 3_600_000 };

beforeAll(async () => {
  [database, state] = await Promise.all([createDatabase(), createDatabase()]);
  const config = { state: { directory: './.sallyport', postgres: state.url } };
  // One after the other: the first migrates.
  one = await startTestGateway({ database, config });
  other = await startTestGateway({ database, config });
  watch = new pg.Client({ ...database });
  await watch.connect();
});
afterAll(async () => {
  await watch?.end();
  await one?.close();
  await other?.close();
  await Promise.all([database?.drop(), state?.drop()]);
});

/** By a token that was issued a minute ago. */
async function agent(at: TestGateway, subject: string) {
  const client = new pg.Client(await at.connection({ subject, issuedIn: -60 }));
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
}

async function sleeping(seconds: number): Promise<number> {
  const { rows } = await watch.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity where query like '%pg_sleep(${String(seconds)})%' and state = 'active' and pid <> pg_backend_pid()`,
  );
  return rows[0]!.n;
}

/** Runs what sleeps for so long, and waits until the server does. */
async function asleep(client: pg.Client, seconds: number): Promise<{ ended: Promise<unknown> }> {
  const running = client.query(`select pg_sleep(${String(seconds)})`).catch((error: Error) => error.message);
  await until(async () => (await sleeping(seconds)) > 0);
  // In an object: a promise that is returned as it is would be waited for.
  return { ended: running };
}

test('a subject that is killed on one gateway ends on the other, and in the server, within a second', async () => {
  const [bad, good] = [await agent(other, 'agent:bad'), await agent(other, 'agent:good')];
  const running = await asleep(bad, 62);
  await until(async () => (await one.gateway.sessions.list()).length === 2);
  const listed = await one.gateway.sessions.list();
  expect(new Set(listed.map(({ gateway }) => gateway)).size).toBe(1);
  expect(listed.map(({ principal }) => principal.subject).sort()).toEqual(['agent:bad', 'agent:good']);

  const begun_ms = performance.now();
  const answer = one.gateway.sessions.kill({ subject: 'agent:bad' }, administrator, 'drill');
  await until(async () => (await sleeping(62)) === 0);
  const took_ms = performance.now() - begun_ms;
  expect(await answer).toEqual({ killed: 1 });
  expect(await running.ended).toContain('ended by an administrator: drill');
  expect(took_ms).toBeLessThan(1_000);
  expect((await good.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await good.end();
});

test('a token that is revoked on one gateway is refused by both, and its sessions end', async () => {
  const session = await agent(other, 'agent:revoked');
  const running = await asleep(session, 63);
  expect(await one.gateway.revocations.revoke({ subject: 'agent:revoked' }, administrator)).toMatchObject({
    kept: true,
  });
  expect(await running.ended).toContain('the token was revoked');
  await until(async () => (await sleeping(63)) === 0);
  for (const at of [one, other]) {
    await expect(agent(at, 'agent:revoked')).rejects.toMatchObject({
      code: '28P01',
      message: expect.stringContaining('revoked'),
    });
  }
  // Of another issuer, nobody is meant by one that names its issuer.
  await one.gateway.revocations.revoke({ subject: 'agent:elsewhere', issuer: 'https://other.example' }, administrator);
  await (await agent(one, 'agent:elsewhere')).end();
});

test('what was revoked is known to a gateway that starts afterwards', async () => {
  const config = { state: { directory: './.sallyport', postgres: state.url } };
  const later = await startTestGateway({ database, config });
  try {
    await expect(agent(later, 'agent:revoked')).rejects.toThrow('revoked');
  } finally {
    await later.close();
  }
});

test('a prompt that is registered on one gateway is in the record of an operation on the other', async () => {
  const identity: Identity = {
    ...administrator,
    principal: { ...administrator.principal, subject: 'agent:prompted', issuer: other.idp.issuer },
  };
  const { id } = await one.gateway.prompts.register(identity, { text: 'Count to one.' });
  await until(async () => other.gateway.prompts.known(id) !== undefined);
  const client = new pg.Client({
    ...(await other.connection({ subject: 'agent:prompted' })),
    application_name: `prompt:${id}`,
  });
  await client.connect();
  await client.query('select 1');
  await client.end();
  const records = async () => (await other.records()).filter(({ kind }) => kind === 'intent');
  const text = () =>
    records().then((all) => JSON.stringify(all.map(({ personal }) => (personal as { prompt?: unknown }).prompt)));
  await until(async () => (await text()).includes(id));
  expect(await text()).toContain('Count to one.');
});
