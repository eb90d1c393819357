import { message } from '../../test/support/wire.js';
import type { BenchClient } from './client.js';
import { clients, drive, modes, stopwatch, type Mode, type Sample } from './measures.js';
import { median, type Row } from './report.js';
import { table_rows, tables, wide_rows, wideQuery } from './workload.js';
import type { Subject } from './world.js';

/**
 * What masks cost: the same statements through two gateways, of which one masks two of the columns they read, and a large
 * result through both beside the server alone. All of it in one run, in turns.
 */
const tableOf = (index: number) => `app.table_${String(index).padStart(2, '0')}`;

/** Two columns of each table, and two of the wide one, in the words of the starter policy. */
export const maskedPolicy = (target: string): Readonly<Record<string, string>> => ({
  'data.yaml': JSON.stringify({
    masks: { contact: 'partial', identity: 'redact' },
    classification: {
      [target]: Object.fromEntries<string>([
        ...Array.from({ length: tables }, (_, index): [string, string] => [`${tableOf(index)}.code`, 'contact']),
        ...Array.from({ length: tables }, (_, index): [string, string] => [`${tableOf(index)}.name`, 'identity']),
        ['app.wide.text_0', 'contact'],
        ['app.wide.text_1', 'identity'],
      ]),
    },
  }),
});

const texts = Array.from(
  { length: tables },
  (_, index) => `select id, code, name, region, amount from ${tableOf(index)} where id = $1`,
);

function exchangeOf(mode: Mode): Buffer {
  const index = Math.floor(Math.random() * texts.length);
  const text = texts[index] ?? '';
  const id = String(1 + Math.floor(Math.random() * table_rows));
  if (mode === 'simple') return message.query(text.replace('$1', id));
  const statement = mode === 'prepared' ? `m${String(index)}` : '';
  return Buffer.concat([
    ...(mode === 'prepared' ? [] : [message.parse(text)]),
    ...[message.bind([id], { statement }), message.describe('P'), message.execute(), message.sync()],
  ]);
}

async function open(subject: Subject): Promise<BenchClient[]> {
  const opened: BenchClient[] = [];
  for (let client = 0; client < clients; client++) opened.push(await subject.open(client));
  for (const client of opened) {
    for (const [index, text] of texts.entries())
      await client.exchange(Buffer.concat([message.parse(text, `m${String(index)}`), message.sync()]));
  }
  return opened;
}

export type Rotate = (
  what: string,
  unit: string,
  among: readonly Subject[],
  rounds: number,
  once: (subject: Subject) => Promise<Sample>,
) => Promise<void>;

export interface MaskingSubjects {
  readonly direct: Subject;
  readonly clear: Subject;
  readonly masked: Subject;
}

/** Statements of each mode, and 100 000 rows, with two masked columns and without. */
export async function masking(
  { clear, direct, masked }: MaskingSubjects,
  size: { readonly rounds: number; readonly statements: number },
  rotate: Rotate,
): Promise<void> {
  const among = [direct, clear, masked];
  const opened = new Map<Subject, BenchClient[]>();
  for (const subject of among) opened.set(subject, await open(subject));
  for (const mode of modes)
    await rotate(`two masked columns, ${mode}`, 'statement', among, size.rounds, (subject) =>
      drive(subject, opened.get(subject) ?? [], size.statements, () => exchangeOf(mode)),
    );
  for (const each of opened.values()) await Promise.all(each.map((client) => client.close()));
  await rotate('100 000 rows, two masked columns', 'row', among, size.rounds, wholeTable);
}

/** Rows, not bytes, are the unit: a masked row is shorter. The bytes are told beside. */
async function wholeTable(subject: Subject): Promise<Sample & { readonly megabytes: number }> {
  const client = await subject.open(0);
  const bytes = message.query(wideQuery);
  await client.exchange(bytes);
  client.bytes = 0;
  const measured = stopwatch(subject);
  await client.exchange(bytes);
  const sample = measured(wide_rows);
  const megabytes = client.bytes / 1e6;
  await client.close();
  return { ...sample, p50_ms: Number.NaN, p99_ms: Number.NaN, megabytes };
}

/** In one line each: on over off in processor time, and the rates of the large result over the server's own. */
export function maskingLines(rows: readonly Row[], { clear, direct, masked }: MaskingSubjects): string[] {
  const all = rows.filter(({ what }) => what.includes('masked columns'));
  const of = (what: string, subject: Subject) =>
    all.find((row) => row.what === what && row.subject === subject.name)?.samples ?? [];
  const processor = (what: string, subject: Subject) =>
    median(of(what, subject).map(({ system_us, user_us }) => user_us + system_us));
  const rate = (what: string, subject: Subject) => median(of(what, subject).map((sample) => sample.rate));
  const megabytes = (what: string, subject: Subject) =>
    median(
      of(what, subject).map(
        (sample) => (sample.rate / wide_rows) * ('megabytes' in sample ? Number(sample.megabytes) : 0),
      ),
    );
  return [...new Set(all.map(({ what }) => what))].map((what) => {
    const onOverOff = `${what}: masks on over off ${(processor(what, masked) / processor(what, clear)).toFixed(2)}`;
    if (!what.startsWith('100 000')) return onOverOff;
    const share = (one: number, other: number) => `${((100 * one) / other).toFixed(0)} % of direct`;
    const [here, there] = [rate(what, masked), rate(what, direct)];
    const [bytesHere, bytesThere] = [megabytes(what, masked), megabytes(what, direct)];
    return `${onOverOff}; ${here.toFixed(0)} rows/s (${share(here, there)}), ${bytesHere.toFixed(1)} MB/s (${share(bytesHere, bytesThere)})`;
  });
}
