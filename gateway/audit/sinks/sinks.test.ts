import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { AuditError } from '../../errors.js';
import { eraseIn } from '../erasing.js';
import { filesOf } from '../files.js';
import { fileHeadStore } from '../heads.js';
import type { AuditOptions } from '../log.js';
import type { AuditRecord, Entry } from '../record.js';
import { openSigner } from '../signing.js';
import { NotDelivered, type Destination } from './destination.js';
import type { SinkNews } from './forwarder.js';
import { openForwardedAudit, type ForwardedAudit, type SinkOptions } from './forwarding.js';
import { filePosition } from './positions.js';
import { Tail } from './tail.js';

/** Sinks that follow the files, with a destination in memory that fails where the test wants it. */

let folder: string;
let file: string;
const open: ForwardedAudit[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-sinks-'));
  file = join(folder, 'audit.jsonl');
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((audit) => audit.close()));
  rmSync(folder, { recursive: true });
});

class Memory implements Destination {
  lines: string[] = [];
  largest = 0;
  /** What is thrown for these records. */
  problem: (records: readonly Buffer[]) => Error | undefined = () => undefined;

  deliver(records: readonly Buffer[]): Promise<void> {
    const problem = this.problem(records);
    if (problem !== undefined) return Promise.reject(problem);
    this.largest = Math.max(this.largest, records.length);
    this.lines.push(...records.map(String));
    return Promise.resolve();
  }
  close = () => Promise.resolve();
  get records() {
    return this.lines.map((line) => JSON.parse(line) as AuditRecord);
  }
}
const down = () => new NotDelivered('ECONNREFUSED');
const timing = { linger_ms: 1, retry_first_ms: 2, retry_last_ms: 10, look_ms: 20, keep_ms: 0 };

async function start(destination: Destination, changes: Partial<SinkOptions> = {}, more: Partial<AuditOptions> = {}) {
  const news: SinkNews[] = [];
  const sink: SinkOptions = {
    name: 'siem',
    fail: 'closed',
    limits: { records_max: 50, bytes_max: 10_000_000 },
    destination,
    positions: filePosition(folder, 'siem'),
    onNews: (one) => news.push(one),
    timing,
    ...changes,
  };
  const audit = await openForwardedAudit({ sinks: [{ file }], durability: 'by_action', ...more }, [sink]);
  open.push(audit);
  return { audit, news };
}

async function stop(audit: ForwardedAudit): Promise<void> {
  open.splice(open.indexOf(audit), 1);
  await audit.close();
}

const intent = (id: number, subject = 'ada'): Entry => ({
  kind: 'intent',
  fields: { decision_id: `d${id}` },
  personal: { principal: { subject } },
});
const write = async (audit: ForwardedAudit, from: number, to: number) => {
  for (let id = from; id <= to; id += 1) await audit.write(intent(id), { durable: true });
};
async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}
async function linesOfFiles(): Promise<string[]> {
  return (await filesOf(file)).flatMap((one) => readFileSync(one, 'utf8').split('\n').slice(0, -1));
}
const ids = (records: readonly AuditRecord[]) => records.map(({ decision_id }) => decision_id).filter(Boolean);

test('each record arrives once, in order, as it stands in the file', async () => {
  const memory = new Memory();
  const { audit } = await start(memory);
  await write(audit, 1, 30);
  await stop(audit);
  expect(memory.lines).toEqual(await linesOfFiles());
  expect(memory.lines).toHaveLength(30);
});

test('a sink that is down and fails closed: what has to be recorded is refused, what has happened is not; it recovers by itself', async () => {
  const memory = new Memory();
  memory.problem = down;
  const { audit, news } = await start(memory);
  await write(audit, 1, 51);
  await expect((async () => audit.write(intent(52), { durable: true }))()).rejects.toThrow(AuditError);
  expect(() => audit.write(intent(52))).toThrow('the audit cannot be brought to its sink "siem"');
  audit.write({ kind: 'outcome', fields: { decision_id: 'd51' } });
  await until(() => news.some(({ event }) => event === 'full'));
  memory.problem = () => undefined;
  await until(() => audit.sinks[0]!.records === 0);
  await write(audit, 52, 60);
  await stop(audit);
  expect(memory.lines).toEqual(await linesOfFiles());
  expect(news.map(({ event }) => event)).toEqual(['failing', 'full', 'delivering', 'caught_up']);
});

test('bytes count as records do', async () => {
  const memory = new Memory();
  memory.problem = down;
  const { audit } = await start(memory, { limits: { records_max: 1_000, bytes_max: 2_000 } });
  await expect(write(audit, 1, 100)).rejects.toThrow('cannot be brought to its sink');
  expect(audit.sinks[0]!.records).toBeLessThan(20);
});

test('a sink that is down and fails open: everything goes on, and what is left out of it is counted and recorded', async () => {
  const memory = new Memory();
  memory.problem = down;
  const { audit, news } = await start(memory, { fail: 'open' });
  await write(audit, 1, 400);
  await until(() => news.some(({ event }) => event === 'gap'));
  // However long it lasts, it is no further behind than it may be, once it was looked at.
  await until(() => audit.sinks[0]!.records <= 50);
  memory.problem = () => undefined;
  await until(() => audit.sinks[0]!.records === 0);
  await write(audit, 401, 410);
  await stop(audit);
  const { records } = memory;
  // The record of a gap may be in the next one.
  const lines = await linesOfFiles();
  const gaps = lines.map((line) => JSON.parse(line) as AuditRecord).filter(({ event }) => event === 'gap');
  const left_out = gaps.reduce((sum, gap) => sum + Number(gap['records']), 0);
  expect(gaps[0]).toMatchObject({ kind: 'audit', sink: 'siem', why: 'ECONNREFUSED', first: { sequence: 1 } });
  expect(left_out + records.length).toBe(lines.length);
  expect(left_out).toBeGreaterThanOrEqual(350);
  expect(ids(records).slice(-10)).toEqual(Array.from({ length: 10 }, (_, index) => `d${401 + index}`));
  expect(records.some(({ event }) => event === 'gap')).toBe(true);
});

test('what was not delivered before a restart is delivered after it, over files that were rotated and values that were erased', async () => {
  const memory = new Memory();
  memory.problem = down;
  const limits = { records_max: 10_000, bytes_max: 10_000_000 };
  const first = await start(memory, { limits }, { rotation: { bytes_max: 4_000 } });
  memory.problem = () => undefined;
  await write(first.audit, 1, 25);
  await until(() => first.audit.sinks[0]!.records === 0);
  memory.problem = down;
  await write(first.audit, 26, 60);
  await stop(first.audit);
  const rotated = readdirSync(folder).filter((name) => name.startsWith('audit.jsonl.'));
  expect(rotated.length).toBeGreaterThan(3);
  for (const name of rotated) await eraseIn(join(folder, name), { subject: 'ada' });
  memory.problem = () => undefined;
  const second = await start(memory, { limits });
  await until(() => second.audit.sinks[0]!.records === 0);
  await stop(second.audit);
  expect(ids(memory.records)).toEqual(Array.from({ length: 60 }, (_, index) => `d${index + 1}`));
  expect(memory.lines.filter((line) => line.includes('"erased"')).length).toBeGreaterThan(10);
});

test('a place that cannot be read begins with the oldest file; a new sink begins with what comes', async () => {
  const memory = new Memory();
  const first = await start(new Memory(), { positions: filePosition(folder, 'other') });
  await write(first.audit, 1, 5);
  await stop(first.audit);
  const second = await start(memory);
  await write(second.audit, 6, 8);
  await stop(second.audit);
  expect(ids(memory.records)).toEqual(['d6', 'd7', 'd8']);
  writeFileSync(join(folder, 'audit-sinks', 'siem.json'), '{');
  const third = await start(memory);
  await stop(third.audit);
  expect(ids(memory.records).slice(3)).toEqual(['d1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7', 'd8']);
});

test('files that a sink has not read yet are not removed; once it has, they are', async () => {
  const memory = new Memory();
  memory.problem = down;
  const limits = { records_max: 1_000, bytes_max: 10_000_000 };
  const seal = { signer: await openSigner({ directory: folder }), heads: fileHeadStore(folder) };
  const more = { rotation: { bytes_max: 2_000 }, retention_ms: 0, seal };
  const { audit } = await start(memory, { limits }, more);
  await write(audit, 1, 30);
  const waiting = await filesOf(file);
  expect(waiting.length).toBeGreaterThan(3);
  memory.problem = () => undefined;
  await until(() => audit.sinks[0]!.records === 0);
  // A file that is rotated away is the occasion for removing older ones, at once or when it has been read, too.
  for (let id = 31; (await filesOf(file)).includes(waiting[0]!); id += 1) {
    await write(audit, id, id);
    await until(() => audit.sinks[0]!.records === 0);
  }
  await stop(audit);
  expect(ids(memory.records).slice(0, 30)).toEqual(Array.from({ length: 30 }, (_, index) => `d${index + 1}`));
});

test('where a sink would begin again after a crash is never removed', async () => {
  const memory = new Memory();
  const seal = { signer: await openSigner({ directory: folder }), heads: fileHeadStore(folder) };
  // How far it is comes to disk when it closes, and not before.
  const rarely = () =>
    start(
      memory,
      { timing: { ...timing, keep_ms: 3_600_000 } },
      { rotation: { bytes_max: 2_000 }, retention_ms: 0, seal },
    );
  const first = await rarely();
  await write(first.audit, 1, 10);
  await stop(first.audit);
  const { audit } = await rarely();
  await write(audit, 11, 30);
  await until(() => audit.sinks[0]!.records === 0);
  await write(audit, 31, 60);
  const kept = await filePosition(folder, 'siem').read();
  expect(kept).toBeTruthy();
  expect(await new Tail(file, kept ?? undefined).find()).toBe(true);
});

test('what a sink refuses is sent in smaller pieces, down to the record that it is about', async () => {
  const memory = new Memory();
  const isBad = (line: Buffer) => line.includes('"d13"');
  memory.problem = (records) => (records.some(isBad) ? new NotDelivered('HTTP 400', { refused: true }) : undefined);
  const { audit, news } = await start(memory, { fail: 'open' });
  await write(audit, 1, 20);
  await until(() => news.some(({ event }) => event === 'gap'));
  await stop(audit);
  expect(ids(memory.records)).toEqual(Array.from({ length: 20 }, (_, id) => `d${id + 1}`).filter((id) => id !== 'd13'));
  expect(memory.records.find(({ event }) => event === 'gap')).toMatchObject({
    records: 1,
    first: { sequence: 13 },
    last: { sequence: 13 },
    why: 'HTTP 400',
  });
});

test('a record that is refused for good holds up a sink that fails closed', async () => {
  const memory = new Memory();
  memory.problem = (records) =>
    records.some((line) => line.includes('"d3"')) ? new NotDelivered('HTTP 400', { refused: true }) : undefined;
  const { audit } = await start(memory);
  await expect(write(audit, 1, 200)).rejects.toThrow('cannot be brought to its sink');
  expect(ids(memory.records)).not.toContain('d4');
});

test('what is on its way has an upper bound, however much waits', async () => {
  const memory = new Memory();
  memory.problem = down;
  const { audit } = await start(memory, { limits: { records_max: 10_000, bytes_max: 100_000_000 } });
  for (let id = 1; id <= 5_000; id += 1) audit.write(intent(id));
  await audit.write(intent(5_001), { durable: true });
  memory.problem = () => undefined;
  await until(() => audit.sinks[0]!.records === 0);
  expect(memory.records).toHaveLength(5_001);
  expect(memory.largest).toBeLessThanOrEqual(1_000);
});
