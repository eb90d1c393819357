import { byLog } from './files.js';
import { lines, linesBackwards } from './lines.js';
import { fits, fitsOutcome, type AuditQuery } from './query.js';
import { parseRecord, type ReadOptions } from './read.js';
import type { AuditRecord } from './record.js';

/** So many operations wait for the other of their two records; beyond that the oldest goes on without. */
const pairs_max = 10_000;
/** A record that stands twice (in two sinks, or written again after a failure) is found once, if no more lie between. */
const remembered_max = 10_000;

export interface SearchOptions extends Pick<ReadOptions, 'onDamaged'> {
  /** newest first unless said otherwise. */
  readonly order?: 'newest' | 'oldest';
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

/** One thing that happened: an operation with its end, or any other record. */
export interface Found {
  readonly record: AuditRecord;
  /** Of an intent: what came of it, where that is recorded. */
  readonly outcome?: AuditRecord;
}

/**
 * Looks through audit files, however large: what is held in memory has an upper bound, and nothing is read that is not asked
 * for. Files that are missing are passed by. An `outcome` is found with its intent, by itself only where `kinds` names it.
 *
 *     for await (const { record, outcome } of searchAudit(files, { target: 'orders' }, { limit: 50 })) …
 */
export async function* searchAudit(
  files: readonly string[],
  query: AuditQuery,
  options: SearchOptions = {},
): AsyncGenerator<Found, void, undefined> {
  const { limit = Infinity, signal } = options;
  const newest = options.order !== 'oldest';
  let left = limit;
  if (left <= 0) return;
  const records = once(merged(files, query, newest, options));
  for await (const found of newest ? pairedBackwards(records, query) : pairedForwards(records, query)) {
    signal?.throwIfAborted();
    yield found;
    left -= 1;
    if (left === 0) return;
  }
}

const isOutcome = (record: AuditRecord) => record.kind === 'outcome';

/** Going back in time an outcome comes before its intent. */
async function* pairedBackwards(records: AsyncIterable<AuditRecord>, query: AuditQuery): AsyncGenerator<Found> {
  const outcomes = new Map<unknown, AuditRecord>();
  for await (const record of records) {
    if (isOutcome(record)) {
      outcomes.set(record['decision_id'], record);
      if (outcomes.size > pairs_max) outcomes.delete(outcomes.keys().next().value);
      if (query.kinds?.includes('outcome') !== true) continue;
    }
    const outcome = record.kind === 'intent' ? outcomes.get(record['decision_id']) : undefined;
    if (outcome !== undefined) outcomes.delete(record['decision_id']);
    if (fits(record, query) && fitsOutcome(record, isOutcome(record) ? record : outcome, query))
      yield found(record, outcome);
  }
}

/** Going forward an intent waits for its outcome, and what comes after it waits as well: the order is kept. */
async function* pairedForwards(records: AsyncIterable<AuditRecord>, query: AuditQuery): AsyncGenerator<Found> {
  const waiting = new Map<unknown, { record: AuditRecord; outcome?: AuditRecord; done: boolean }>();
  const due = function* (all: boolean): Generator<Found> {
    for (const [key, { record, outcome, done }] of waiting) {
      if (!all && !done && waiting.size <= pairs_max) return;
      waiting.delete(key);
      if (fitsOutcome(record, isOutcome(record) ? record : outcome, query)) yield found(record, outcome);
    }
  };
  for await (const record of records) {
    if (isOutcome(record)) {
      const intent = waiting.get(record['decision_id']);
      if (intent !== undefined) {
        intent.outcome = record;
        intent.done = true;
      }
      if (query.kinds?.includes('outcome') !== true) {
        if (intent !== undefined) yield* due(false);
        continue;
      }
    }
    if (!fits(record, query)) continue;
    const open =
      record.kind === 'intent' && (record['result'] as { outcome?: unknown } | undefined)?.outcome === 'allow';
    waiting.set(open ? record['decision_id'] : record, { record, done: !open });
    yield* due(false);
  }
  yield* due(true);
}

const found = (record: AuditRecord, outcome: AuditRecord | undefined): Found =>
  outcome === undefined ? { record } : { record, outcome };

/** The records of several logs in the order of their times, each read at its own speed. */
async function* merged(
  files: readonly string[],
  query: AuditQuery,
  newest: boolean,
  options: SearchOptions,
): AsyncGenerator<AuditRecord> {
  const logs = byLog(files).map((log) => oneLog(newest ? log.reverse() : log, query, newest, options));
  try {
    const heads = await Promise.all(logs.map((log) => log.next()));
    for (;;) {
      let best = -1;
      for (const [index, head] of heads.entries()) {
        if (head.done === true) continue;
        const other = heads[best];
        if (other === undefined || other.done === true) best = index;
        else if (newest ? head.value.timestamp > other.value.timestamp : head.value.timestamp < other.value.timestamp)
          best = index;
      }
      const next = heads[best];
      if (next === undefined || next.done === true) return;
      yield next.value;
      heads[best] = await logs[best]!.next();
    }
  } finally {
    await Promise.all(logs.map((log) => log.return(undefined)));
  }
}

/** So far may the clock of a gateway have been set back within a log: beyond it, nothing newer comes any more. */
const clock_ms = 300_000;

async function* oneLog(
  files: readonly string[],
  query: AuditQuery,
  newest: boolean,
  { onDamaged, signal }: SearchOptions,
): AsyncGenerator<AuditRecord, undefined> {
  const needle = needleOf(query);
  for (const file of files) {
    let number = 0;
    try {
      for await (const { bytes } of newest ? linesBackwards(file) : lines(file)) {
        signal?.throwIfAborted();
        number += 1;
        if (bytes.length === 0) continue;
        // Most lines are about something else, and looking for bytes is far cheaper than parsing.
        if (needle !== undefined && !bytes.includes(needle) && !looksLikeOutcome(bytes)) continue;
        const record = parseRecord(bytes);
        if (record === undefined) {
          if (!newest) onDamaged?.({ file, line: number });
          continue;
        }
        const time_ms = Date.parse(record.timestamp);
        if (newest && query.since_ms !== undefined && time_ms < query.since_ms - clock_ms) return undefined;
        // An outcome may come long after the intent that is asked for.
        if (!newest && query.until_ms !== undefined && time_ms > query.until_ms + clock_ms && !isOutcome(record))
          continue;
        yield record;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return undefined;
}

const outcomeMark = Buffer.from('"kind":"outcome"');
const looksLikeOutcome = (bytes: Buffer) => bytes.subarray(0, 64).includes(outcomeMark);

/** What stands byte for byte in every record that fits: as JSON writes it. */
function needleOf({ decision_id, session_id, within, principal, purpose, target }: AuditQuery): Buffer | undefined {
  const rarest = decision_id ?? session_id ?? within ?? principal ?? purpose ?? target;
  return rarest === undefined ? undefined : Buffer.from(JSON.stringify(rarest));
}

async function* once(records: AsyncIterable<AuditRecord>): AsyncGenerator<AuditRecord> {
  const seen = new Set<string>();
  for await (const record of records) {
    const key = `${record.writer} ${record.sequence}`;
    if (seen.has(key)) continue;
    seen.add(key);
    if (seen.size > remembered_max) seen.delete(seen.keys().next().value as string);
    yield record;
  }
}
