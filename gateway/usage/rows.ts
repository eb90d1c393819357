import type { Queries } from '../state/database.js';
import type { Totals } from './counters.js';
import type { Label } from './taints.js';

/** Counters and labels as rows, and back. */

export type Rows = ReadonlyMap<string, Totals>;

const columns = [
  'minute',
  'minute_operations',
  'minute_writes',
  'day',
  'operations',
  'writes',
  'rows',
  'bytes',
  'cost',
] as const satisfies readonly (keyof Totals)[];

/**
 * Locks these rows until the transaction ends; undefined where some are missing. In the order of their keys: of two
 * transactions that want the same, one waits for the other and never each for the other.
 */
export async function lockRows(queries: Queries, keys: readonly string[]): Promise<Rows | undefined> {
  const sorted = [...new Set(keys)].sort();
  const rows = await queries.query<Totals & { key: string }>(
    `select key, ${columns.join(', ')} from sallyport.usage where key = any ($1) order by key collate "C" for update`,
    [sorted],
  );
  return rows.length < sorted.length ? undefined : new Map(rows.map(({ key, ...totals }) => [key, totals]));
}

/**
 * Makes the rows that are missing. Never inside a transaction that holds some already: who makes a row keeps others from it,
 * and two of them could wait for each other.
 */
export async function makeRows(queries: Queries, keys: readonly string[]): Promise<void> {
  await queries.query(
    `insert into sallyport.usage (key) select key from unnest($1::text[]) as key order by key collate "C" on conflict do nothing`,
    [[...new Set(keys)]],
  );
}

export async function writeRows(queries: Queries, rows: Rows): Promise<void> {
  const all = [...rows];
  const types = columns.map((column) => (column === 'minute' || column === 'day' ? 'integer' : 'double precision'));
  await queries.query(
    `update sallyport.usage as u set ${columns.map((column) => `${column} = n.${column}`).join(', ')}
       from unnest($1::text[], ${types.map((type, index) => `$${String(index + 2)}::${type}[]`).join(', ')})
         as n (key, ${columns.join(', ')})
      where u.key = n.key`,
    [all.map(([key]) => key), ...columns.map((column) => all.map(([, totals]) => totals[column]))],
  );
}

/** By work, then by label: until when, in milliseconds since 1970. */
export async function readLabels(
  queries: Queries,
  works: readonly string[],
  now_ms: number,
): Promise<Map<string, Map<string, number>>> {
  const found = new Map<string, Map<string, number>>();
  if (works.length === 0) return found;
  const rows = await queries.query<{ work: string; label: string; until: number }>(
    'select work, label, until from sallyport.taints where work = any ($1) and until > $2',
    [works, now_ms],
  );
  for (const { work, label, until } of rows) {
    const labels = found.get(work) ?? new Map<string, number>();
    found.set(work, labels.set(label, until));
  }
  return found;
}

export async function writeLabels(
  queries: Queries,
  labels: readonly (Label & { readonly work: string })[],
): Promise<void> {
  // One row for each: the last word of several about the same label is the latest.
  const last = new Map(labels.map((label) => [`${label.work} ${label.label}`, label]));
  const all = [...last.values()];
  await queries.query(
    `insert into sallyport.taints (work, label, until) select * from unnest($1::text[], $2::text[], $3::double precision[])
     on conflict (work, label) do update set until = greatest(taints.until, excluded.until)`,
    [all.map(({ work }) => work), all.map(({ label }) => label), all.map(({ until_ms }) => until_ms)],
  );
}
