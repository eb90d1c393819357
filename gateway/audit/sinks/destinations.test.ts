import { gunzipSync } from 'node:zlib';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import { createDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { startReceiver, type Receiver } from '../../../test/support/receiver.js';
import { openAudit } from '../log.js';
import { unseal } from '../chain.js';
import type { NotDelivered } from './destination.js';
import { givenRows } from './given-rows.js';
import { httpDestination } from './http.js';
import { otlpDestination } from './otlp.js';
import { postgresDestination } from './postgres.js';

/** What arrives at the other side, over real connections. */

let receiver: Receiver;
let home: TestDatabase;
let lines: Buffer[];

beforeAll(async () => {
  [receiver, home, lines] = await Promise.all([startReceiver(), createDatabase(), someLines()]);
});
afterAll(async () => {
  await receiver?.close();
  await home?.drop();
});
beforeEach(() => {
  receiver.answers.length = 0;
});

/** An intent and its outcome, whose statement's values were withheld. */
async function someLines(): Promise<Buffer[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-destinations-'));
  const file = join(folder, 'audit.jsonl');
  const now = () => Date.UTC(2026, 10, 22, 9);
  const audit = await openAudit({ sinks: [{ file }], durability: 'memory', writer: 'w', version: '1.2.3', now });
  const where = { decision_id: 'd-1', session_id: 's', target: 'orders', protocol: 'postgres' };
  audit.write({
    kind: 'intent',
    fields: { ...where, action: 'read', revision: 'git:1', result: { outcome: 'deny', reasons: [{ code: 'x' }] } },
    personal: { principal: { subject: 'ada' }, operation: { statement: "select '***', '\u0000 é'", withheld: true } },
  });
  audit.write({
    kind: 'outcome',
    fields: { ...where, result: { status: 'ok', rows: 1 }, metrics: { duration_ms: 2 } },
  });
  await audit.close();
  const found = readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => Buffer.from(line));
  rmSync(folder, { recursive: true });
  return found;
}

const to = (path = '/logs') => ({
  url: `${receiver.url}${path}`,
  ca: receiver.ca,
  headers: { authorization: 'Bearer secret' },
  timeout_ms: 20_000,
});
const signal = new AbortController().signal;

test("http: what OPA's decision log has, compressed, without salts", async () => {
  await httpDestination(to()).deliver(lines, signal);
  const { path, headers, body } = await receiver.next();
  expect(path).toBe('/logs');
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    'content-encoding': 'gzip',
    authorization: 'Bearer secret',
  });
  const text = gunzipSync(body).toString();
  expect(text).not.toContain('"salt"');
  const chain = (index: number) => (JSON.parse(String(lines[index])) as { chain: unknown }).chain;
  expect(JSON.parse(text)).toEqual([
    {
      labels: { id: 'w', version: '1.2.3' },
      decision_id: 'd-1',
      path: 'sallyport/decision',
      timestamp: '2026-11-22T09:00:00.000Z',
      bundles: { sallyport: { revision: 'git:1' } },
      input: {
        ...{ version: 1, kind: 'intent', writer: 'w', sequence: 1 },
        ...{ session_id: 's', target: 'orders', protocol: 'postgres', action: 'read' },
        principal: { subject: 'ada' },
        operation: { statement: "select '***', '\u0000 é'", withheld: true },
      },
      result: { outcome: 'deny', reasons: [{ code: 'x' }] },
      custom: { writer: 'w', sequence: 1, chain: chain(0) },
    },
    expect.objectContaining({
      decision_id: 'd-1',
      path: 'sallyport/outcome',
      result: { status: 'ok', rows: 1 },
      metrics: { duration_ms: 2 },
      custom: { writer: 'w', sequence: 2, chain: chain(1) },
    }),
  ]);
});

test('otlp: log records whose body is the record, and whose attributes name nobody', async () => {
  await otlpDestination(to('/v1/logs'), '1.2.3').deliver(lines, signal);
  const { path, body } = await receiver.next();
  expect(path).toBe('/v1/logs');
  const request = JSON.parse(gunzipSync(body).toString()) as {
    resourceLogs: [{ scopeLogs: [{ logRecords: object[] }] }];
  };
  const [first, second] = request.resourceLogs[0].scopeLogs[0].logRecords as {
    body: { stringValue: string };
    attributes: unknown[];
  }[];
  expect(first).toMatchObject({
    timeUnixNano: '1795338000000000000',
    severityNumber: 13,
    severityText: 'WARN',
    eventName: 'sallyport.intent',
    body: { stringValue: String(lines[0]) },
  });
  expect(first!.attributes).toContainEqual({ key: 'sallyport.sequence', value: { intValue: '1' } });
  expect(first!.attributes).toContainEqual({ key: 'sallyport.outcome', value: { stringValue: 'deny' } });
  expect(JSON.stringify(first!.attributes)).not.toContain('ada');
  expect(second).toMatchObject({ severityText: 'INFO', eventName: 'sallyport.outcome' });
});

test('otlp: what was taken in part is not taken', async () => {
  receiver.answers.push({ status: 200, body: '{"partialSuccess":{"rejectedLogRecords":"1"}}' });
  await expect(otlpDestination(to(), '1').deliver(lines, signal)).rejects.toMatchObject({
    message: '1 of 2 rejected',
    refused: true,
  });
  await receiver.next();
});

test.each([
  [400, true],
  [413, true],
  [401, false],
  [429, false],
  [503, false],
  [302, false],
])('HTTP %d: nothing is delivered; about the records themselves: %s', async (status, refused) => {
  receiver.answers.push({ status, location: `${receiver.url}/elsewhere`, retry_after: '7' });
  await expect(httpDestination(to()).deliver(lines, signal)).rejects.toMatchObject({
    message: `HTTP ${status}`,
    refused,
    retry_after_ms: 7_000,
  });
  expect((await receiver.next()).path).toBe('/logs');
});

test('a server that nobody has vouched for, or that says nothing, gets no record that counts', async () => {
  const { ca, ...stranger } = to();
  void ca;
  await expect(httpDestination(stranger).deliver(lines, signal)).rejects.toThrow('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  receiver.answers.push({ status: 0 });
  await expect(httpDestination({ ...to(), timeout_ms: 50 }).deliver(lines, signal)).rejects.toThrow('timeout');
});

test('postgres: a row each, whose text is the line and can be checked; twice is once', async () => {
  const sink = postgresDestination(givenRows(home));
  await sink.deliver(lines, signal);
  await sink.deliver(lines, signal);
  await sink.close();
  const client = new pg.Client(home);
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>(
    'select *, record::text as line from sallyport.audit_records order by sequence',
  );
  await client.end();
  expect(rows).toHaveLength(2);
  expect(rows[0]).toMatchObject({ writer: 'w', sequence: '1', kind: 'intent', decision_id: 'd-1', target: 'orders' });
  for (const [index, { line, hash }] of rows.entries()) {
    expect(line).toBe(String(lines[index]));
    expect(unseal(Buffer.from(String(line)))?.hash).toBe(hash);
  }
});

test('postgres: the table of a given database is that of the state', async () => {
  const columns = async (prepare: (client: pg.Client) => Promise<unknown>) => {
    const client = new pg.Client(home);
    await client.connect();
    try {
      await client.query('drop schema if exists sallyport cascade; create schema sallyport');
      await prepare(client);
      const { rows } = await client.query(
        "select column_name, data_type, is_nullable from information_schema.columns where table_name = 'audit_records' order by ordinal_position",
      );
      return rows;
    } finally {
      await client.end();
    }
  };
  const migration = readFileSync(join(import.meta.dirname, '../../state/migrations/0007-audit.sql'), 'utf8');
  const ofState = await columns((client) => client.query(migration));
  const given = await columns((client) =>
    client.query('select 1').then(async () => {
      const sink = givenRows(home);
      await sink.query('select 1', []);
      await sink.close();
    }),
  );
  expect(given).toEqual(ofState);
  expect(given).toHaveLength(8);
});

test('postgres: a database that is away is tried again with the next batch', async () => {
  const sink = postgresDestination(givenRows({ ...home, port: 1 }));
  await expect(sink.deliver(lines, signal)).rejects.toMatchObject({ message: 'ECONNREFUSED', refused: false });
  const error: NotDelivered = await sink.deliver(lines, signal).then(
    () => Promise.reject(new Error('it was delivered')),
    (failure: NotDelivered) => failure,
  );
  expect(error.message).toBe('ECONNREFUSED');
  await sink.close();
});
