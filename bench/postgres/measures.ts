import { message } from '../../test/support/wire.js';
import type { BenchClient } from './client.js';
import { processorTime, usageOf } from './usage.js';
import { freshText, literal, templates, wideQuery, type StatementTemplate } from './workload.js';
import type { Subject } from './world.js';

/** What was measured of one subject in one round. */
export interface Sample {
  /** Processor time of the proxy for one unit (a statement, a connection, a megabyte); µs. NaN for the server itself. */
  readonly user_us: number;
  readonly system_us: number;
  /** Wall time, milliseconds. */
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** Units a second. */
  readonly rate: number;
}

export type Mode = 'simple' | 'extended' | 'prepared';
export const modes: readonly Mode[] = ['simple', 'extended', 'prepared'];

export const clients = 8;
const known = templates(200);

/** The messages of one statement, in one write, as drivers send them. */
function exchangeOf(mode: Mode, template: StatementTemplate, index: number): Buffer {
  const values = template.values();
  if (mode === 'simple') return message.query(literal(template, values));
  const statement = mode === 'prepared' ? `s${String(index)}` : '';
  const bound = values.map(String);
  return Buffer.concat([
    ...(mode === 'prepared' ? [] : [message.parse(template.text)]),
    message.bind(bound, { statement }),
    message.describe('P'),
    message.execute(),
    message.sync(),
  ]);
}

export async function connect(subject: Subject, mode: Mode | undefined): Promise<BenchClient[]> {
  const opened: BenchClient[] = [];
  for (let client = 0; client < clients; client++) opened.push(await subject.open(client));
  if (mode === 'prepared') {
    for (const client of opened) {
      for (const [index, { text }] of known.entries()) {
        await client.exchange(Buffer.concat([message.parse(text, `s${String(index)}`), message.sync()]));
      }
    }
  }
  return opened;
}

/** Each client sends a statement when its last one was answered, `count` in all. */
export function statements(
  subject: Subject,
  opened: readonly BenchClient[],
  mode: Mode,
  count: number,
): Promise<Sample> {
  return drive(subject, opened, count, () => {
    const index = Math.floor(Math.random() * known.length);
    return exchangeOf(mode, known[index]!, index);
  });
}

/** Statements of which nobody has seen the like. */
export function newStatements(subject: Subject, opened: readonly BenchClient[], count: number): Promise<Sample> {
  return drive(subject, opened, count, () => message.query(freshText()));
}

export async function drive(
  subject: Subject,
  opened: readonly BenchClient[],
  count: number,
  next: () => Buffer,
): Promise<Sample> {
  const times: number[] = [];
  let left = count;
  const measured = stopwatch(subject);
  await Promise.all(
    opened.map(async (client) => {
      while (left > 0) {
        left -= 1;
        const bytes = next();
        const start = performance.now();
        await client.exchange(bytes);
        times.push(performance.now() - start);
      }
    }),
  );
  return { ...measured(count), ...quantiles(times) };
}

/** 100 000 rows of ten columns, read as they come. One unit is a megabyte (10^6 bytes). */
export async function result(
  subject: Subject,
  times: number,
  query = wideQuery,
): Promise<Sample & { readonly megabytes: number }> {
  const client = await subject.open(0);
  const bytes = message.query(query);
  await client.exchange(bytes);
  client.bytes = 0;
  const measured = stopwatch(subject);
  for (let round = 0; round < times; round++) await client.exchange(bytes);
  const megabytes = client.bytes / 1e6;
  const sample = measured(megabytes);
  await client.close();
  return { ...sample, p50_ms: Number.NaN, p99_ms: Number.NaN, megabytes: megabytes / times };
}

/** Connections one after the other, each with one statement, as short-lived agents do it. */
export async function connections(subject: Subject, count: number): Promise<Sample> {
  const times: number[] = [];
  const bytes = message.query('select 1');
  const measured = stopwatch(subject);
  for (let each = 0; each < count; each++) {
    const start = performance.now();
    const client = await subject.open(each);
    await client.exchange(bytes);
    times.push(performance.now() - start);
    await client.close();
  }
  return { ...measured(count), ...quantiles(times) };
}

/**
 * Resident memory of one idle session, bytes: the difference that `count` of them make to a process that has served a few.
 * An upper bound, because garbage of their sign-in that nobody has had to collect yet is in it.
 */
export async function idleSession(subject: Subject, count: number): Promise<number> {
  const { pid } = subject;
  if (pid === undefined) return Number.NaN;
  const resident = async () => {
    await settled();
    return usageOf(pid)?.resident_bytes ?? Number.NaN;
  };
  const open = (sessions: number) => Promise.all(Array.from({ length: sessions }, (_, index) => subject.open(index)));
  await Promise.all((await open(count / 10)).map((client) => client.close()));
  const before = await resident();
  const opened = await open(count);
  const after = await resident();
  await Promise.all(opened.map((client) => client.close()));
  return (after - before) / count;
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 2_000));

export function stopwatch({ pid }: Subject): (units: number) => Pick<Sample, 'user_us' | 'system_us' | 'rate'> {
  const before = pid === undefined ? undefined : processorTime(pid);
  const start = performance.now();
  return (units) => {
    const seconds = (performance.now() - start) / 1_000;
    const after = pid === undefined ? undefined : processorTime(pid);
    return {
      user_us: before === undefined || after === undefined ? Number.NaN : (after.user_us - before.user_us) / units,
      system_us:
        before === undefined || after === undefined ? Number.NaN : (after.system_us - before.system_us) / units,
      rate: units / seconds,
    };
  };
}

function quantiles(times: number[]): { p50_ms: number; p99_ms: number } {
  const sorted = Float64Array.from(times).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50_ms: at(0.5), p99_ms: at(0.99) };
}
