import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import type { AuditRecord } from '../../gateway/audit/index.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller } from '../support/https.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startReceiver, type Receiver } from '../support/receiver.js';

/** A gateway whose audit goes to an HTTP server and into the state that replicas share, besides its file. */

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

mask contains {"resource": "app.people.email", "with": "redact", "code": "pii"} if input.version == 1
`;
const canary = 'ada.canary@example.com';

let database: TestDatabase;
let state: TestDatabase;
let receiver: Receiver;
let gateway: TestGateway;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-sinks-'));
  [database, state, receiver] = await Promise.all([
    createDatabase({ sql: 'create schema app; create table app.people (id int primary key, email text)' }),
    createDatabase(),
    startReceiver(),
  ]);
  writeFileSync(path.join(folder, 'ca.pem'), receiver.ca);
  const http = { url: `${receiver.url}/logs`, ca: { file: path.join(folder, 'ca.pem') } };
  gateway = await startTestGateway({
    database,
    policy: { 'postgres.rego': policy },
    config: {
      listen: { postgres: '127.0.0.1:0', https: '127.0.0.1:0' },
      state: { directory: path.join(folder, 'state'), postgres: state.url },
      audit: {
        sinks: [{ file: './audit.jsonl' }, { http, buffer: { records: 20 }, name: 'siem' }, { postgres: 'state' }],
      },
    },
  });
}, 120_000);
afterAll(async () => {
  await gateway?.close();
  await receiver?.close();
  await Promise.all([database?.drop(), state?.drop()]);
  rmSync(folder, { recursive: true });
});

/** What the gateway says to whoever watches it. */
async function ready(): Promise<[number, Record<string, unknown>]> {
  const { host, port } = gateway.gateway.listeners.find(({ protocol }) => protocol === 'https')!.address;
  const call = caller({ host, port, ca: readFileSync(path.join(folder, 'state/https.pem'), 'utf8') });
  const { status, text } = await call('/readyz');
  return [status, JSON.parse(text)];
}

interface Event {
  readonly custom: { readonly sequence: number };
}
const events = () => receiver.received.flatMap(({ body }) => JSON.parse(gunzipSync(body).toString()) as Event[]);

test('what is refused while a sink is away goes on by itself; what arrives is what the file has, values withheld', async () => {
  const client = new pg.Client({ ...(await gateway.connection()), ssl: false });
  await client.connect();
  const statement = `select id from app.people where email = '${canary}'`;
  await client.query(statement);

  const away = Array.from({ length: 100_000 }, () => ({ status: 503 }));
  receiver.answers.push(...away);
  let refusal: unknown;
  while (refusal === undefined) await client.query(statement).catch((error: unknown) => (refusal = error));
  expect((refusal as Error).message).toContain('could not be recorded');
  // Refused as soon as too much waits; that the sink takes nothing is known with the answer to the first attempt.
  let [status, health] = await ready();
  while (health['warnings'] === undefined) [status, health] = await ready();
  expect(status).toBe(503);
  expect(health).toMatchObject({
    status: 'not ready',
    reasons: ['the audit cannot be brought to its sink "siem", so nothing that has to be recorded may go on'],
    warnings: expect.arrayContaining(['the audit\'s sink "siem" (fail: closed) does not take records']),
  });

  receiver.answers.length = 0;
  while (
    !(await client.query(statement).then(
      () => true,
      () => false,
    ))
  )
    await new Promise((resolve) => setTimeout(resolve, 20));
  await client.end();
  while (!isDeepStrictEqual(await ready(), [200, { status: 'ready' }]))
    await new Promise((resolve) => setTimeout(resolve, 20));
  const records = (await gateway.records()).map(({ sequence }) => Number(sequence));
  const arrived = () => new Set(events().map(({ custom }) => custom.sequence));
  while (!arrived().has(records.at(-1)!)) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(records.filter((sequence) => !arrived().has(sequence))).toEqual([]);
  expect(JSON.stringify(events())).not.toContain(canary);
  expect(JSON.stringify(events())).toContain("email = '***'");

  const rows = async () =>
    (await state.sql('select record::text as line from sallyport.audit_records')).map(({ line }) => String(line));
  let found = await rows();
  while (found.length < records.length) found = await rows();
  const lines = new Set(readFileSync(path.join(gateway.folder, 'audit.jsonl'), 'utf8').split('\n'));
  expect(found.filter((line) => !lines.has(line))).toEqual([]);
  const kinds = new Set(found.map((line) => (JSON.parse(line) as AuditRecord).kind));
  expect([...kinds]).toEqual(expect.arrayContaining(['audit', 'session_open', 'intent', 'outcome']));
  expect(await state.sql('select store from sallyport.audit_heads')).toHaveLength(1);
});
