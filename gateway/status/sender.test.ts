import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { gunzipSync } from 'node:zlib';
import { pino } from 'pino';
import { startReceiver, type Receiver } from '../../test/support/receiver.js';
import type { StatusConfig } from '../config/index.js';
import { Sender } from './sender.js';

let receiver: Receiver;
let sender: Sender;
let document: unknown;
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(async () => {
  await sender?.close();
  await receiver?.close();
});

const limits = { pause_ms_min: 1, retry_ms_min: 1, retry_ms_max: 4 };

function open(config: Partial<StatusConfig> = {}, more: Partial<typeof limits> = {}): Sender {
  const full = { url: receiver.url, ca: receiver.ca, gzip: false, interval_ms: 3_600_000, labels: {}, ...config };
  const log = pino({ level: 'silent' });
  sender = new Sender({ config: full, document: () => document, log, limits: { ...limits, ...more } });
  return sender;
}

/** What a change is told by. */
function change(to: unknown): void {
  document = to;
  sender.changed();
}
const text = ({ body }: { body: Buffer }) => JSON.parse(body.toString('utf8')) as unknown;
const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

test('what is new is posted where OPA posts it, with the token', async () => {
  open({ token: 'abc' });
  change({ a: 1 });
  const received = await receiver.next();
  expect(received.path).toBe('/status');
  expect(received.headers).toMatchObject({ authorization: 'Bearer abc', 'content-type': 'application/json' });
  expect(received.headers['content-encoding']).toBeUndefined();
  expect(text(received)).toEqual({ a: 1 });
  await until(() => sender.sending.sent === 1);
});

test('a partition stands behind it, and it may be packed', async () => {
  open({ url: `${receiver.url}/opa`, partition: 'eu/one', gzip: true });
  change({ a: 1 });
  const received = await receiver.next();
  expect(received.path).toBe('/opa/status/eu/one');
  expect(received.headers).toMatchObject({ 'content-encoding': 'gzip' });
  expect(received.headers.authorization).toBeUndefined();
  expect(JSON.parse(gunzipSync(received.body).toString('utf8'))).toEqual({ a: 1 });
});

test('where nothing changes it is sent again after the interval', async () => {
  open({ interval_ms: 1 });
  change({ a: 1 });
  expect([text(await receiver.next()), text(await receiver.next())]).toEqual([{ a: 1 }, { a: 1 }]);
});

test('what fails is sent anew, as it is then, and where a redirect leads nothing is sent', async () => {
  receiver.answers.push({ status: 503 }, { status: 302, location: `${receiver.url}/elsewhere` }, { status: 401 });
  open();
  change({ a: 1 });
  for (let attempt = 0; attempt < 3; attempt++) expect((await receiver.next()).path).toBe('/status');
  change({ a: 2 });
  await until(() => sender.sending.sent === 1);
  expect(text(receiver.received.at(-1)!)).toEqual({ a: 2 });
  expect(sender.sending).toEqual({ sent: 1, failed: 3 });
});

test('a failure says why and since when, and no address', async () => {
  await receiver.close();
  open();
  change({});
  await until(() => sender.sending.failed > 2);
  expect(sender.sending).toMatchObject({ sent: 0, failure: { why: 'ECONNREFUSED', since_ms: expect.any(Number) } });
});

test('any number of changes while one is on its way come to one more', async () => {
  open();
  change({ a: 0 });
  const first = receiver.next();
  await first;
  for (let number = 1; number <= 50; number++) change({ a: number });
  await until(() => receiver.received.some((one) => JSON.stringify(text(one)) === '{"a":50}'));
  expect(receiver.received.length).toBeLessThanOrEqual(3);
});

test('changes do not shorten the pause after a failure', async () => {
  receiver.answers.push({ status: 500 });
  open({}, { retry_ms_min: 3_600_000, retry_ms_max: 3_600_000 });
  change({ a: 1 });
  await until(() => sender.sending.failed === 1);
  for (let number = 0; number < 50; number++) change({ a: number });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(receiver.received.length).toBe(1);
});

test('closing ends an attempt that nobody answers', async () => {
  receiver.answers.push({ status: 0 });
  open();
  change({ a: 1 });
  await receiver.next();
  await sender.close();
  expect(sender.sending).toEqual({ sent: 0, failed: 0 });
});

test('a document that cannot be written fails as an attempt does, and ends nothing', async () => {
  open();
  change({ a: 1n });
  await until(() => sender.sending.failed > 0);
  change({ a: 1 });
  expect(text(await receiver.next())).toEqual({ a: 1 });
});
