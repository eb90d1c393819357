import type { Mask } from '#engine';
import type { EffectOnRelation, SampleRow } from '../../../protocol.js';
import type { Ask } from '../judging/statement.js';
import { array } from './bodies.js';

/**
 * Rows as they were and as they are now. A cursor that was opened before the statement goes on seeing what it saw then, and a row's
 * system columns say which transaction has deleted it (xmax) and which has made it (xmin): so a few of the rows are found
 * without a word of the statement, whatever wrote them. They are read through the masks and filters of the principal's own reads.
 */

/** Of one relation. */
export const rows_max = 5;
/** Relations of which rows are shown. */
export const relations_max = 8;
const columns_max = 40;
const value_chars_max = 120;

/** How a relation is read: `reading(relation)` as it may leave, with the masks that are in it. */
export interface Readable {
  readonly relation: string;
  readonly text: string;
  readonly masks: readonly Mask[];
  /** Patterns are looked for in every value that is shown. */
  readonly masked: (this: void, value: string) => string;
}

// What nobody calls a column.
const madeBy = 'sallyport made by';
const deletedBy = 'sallyport deleted by';
const place = 'sallyport place';
const table = 'sallyport table';

const eq = 'operator(pg_catalog.=)';
const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** All of a relation, before masks and filters. */
export const reading = (schema: string, name: string): string =>
  `select r.xmin as "${madeBy}", r.xmax as "${deletedBy}", r.ctid as "${place}", r.tableoid as "${table}", r.* from ${quoted(schema)}.${quoted(name)} r`;

/** The setting in which a cursor finds out, once it is read, whose rows are looked for. */
export const wanted = 'sallyport.effect';

/** A row as JSON: every value a text, cut short. */
const shown = `(select pg_catalog.json_object_agg(e.key, case when pg_catalog.length(e.value) operator(pg_catalog.>) ${String(value_chars_max)}
    then pg_catalog.concat(pg_catalog.left(e.value, ${String(value_chars_max)}), '…') else e.value end)
  from (select * from pg_catalog.json_each_text(pg_catalog.row_to_json(t)) limit ${String(columns_max + 4)}) e)`;

const rowsBy = ({ text }: Readable, column: string) =>
  `select ${shown}, pg_catalog.concat(t.${quoted(table)}, ' ', t.${quoted(place)}), t.${quoted(place)} from (${text}) t
    where t.${quoted(column)}::pg_catalog.text ${eq} any (pg_catalog.string_to_array(pg_catalog.current_setting('${wanted}', true), ','))`;

/** Opens a cursor on what is there now, to be read once the statement has run. */
export async function remember(ask: Ask, cursor: string, readable: Readable): Promise<void> {
  await ask(`declare ${quoted(cursor)} no scroll cursor for ${rowsBy(readable, deletedBy)}`, []);
}

const keyOf = `select a.attname from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid ${eq} i.indrelid join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid ${eq} i.indrelid and a.attnum ${eq} any (i.indkey::pg_catalog.int2[])
  where i.indisprimary and pg_catalog.concat(n.nspname, '.', c.relname) ${eq} $1`;

type Row = Record<string, string | null>;

/** A few of the rows that the relation had, where a cursor was opened in time, and has. */
export async function sample(
  ask: Ask,
  readable: Readable,
  cursor: string | undefined,
  { inserted, updated, deleted }: EffectOnRelation,
  asTheyAre: boolean,
): Promise<SampleRow[]> {
  const before: Row[] = [];
  if (cursor !== undefined && updated + deleted > 0) {
    // Some of them may only have been locked: those are still there.
    const old = await ask(`fetch ${String(rows_max * 4)} from ${quoted(cursor)}`, []);
    const still = await ask(
      `select pg_catalog.concat(t.${quoted(table)}, ' ', t.${quoted(place)}) from (${readable.text}) t
        where t.${quoted(place)} ${eq} any ($1::pg_catalog.tid[])`,
      [array(old.map(([, , at]) => at ?? ''))],
    );
    const kept = new Set(still.map(([at]) => at));
    before.push(...old.filter(([, at]) => !kept.has(at ?? '')).map((row) => rowOf(row, readable)));
  }
  const after: Row[] = [];
  if (asTheyAre && inserted + updated > 0) {
    after.push(
      ...(await ask(`${rowsBy(readable, madeBy)} limit ${String(rows_max)}`, [])).map((row) => rowOf(row, readable)),
    );
  }
  const key = updated === 0 ? [] : (await ask(keyOf, [readable.relation])).map(([name]) => name ?? '');
  const masked = key.some((name) => readable.masks.some(({ resource }) => resource === `${readable.relation}.${name}`));
  return paired(before.slice(0, rows_max), after, masked ? [] : key);
}

function rowOf([row]: readonly (string | null)[], { masked }: Readable): Row {
  const own: readonly string[] = [madeBy, deletedBy, place, table];
  const all = Object.entries(JSON.parse(row ?? '{}') as Row).filter(([name]) => !own.includes(name));
  return Object.fromEntries(all.map(([name, value]) => [name, value === null ? null : masked(value)]));
}

/** The two states of one row side by side, where a key that is shown tells which they are. */
function paired(before: readonly Row[], after: readonly Row[], key: readonly string[]): SampleRow[] {
  const left = [...after];
  const same = (one: Row, other: Row) =>
    key.length > 0 && key.every((name) => name in one && one[name] === other[name]);
  const rows = before.map((row): SampleRow => {
    const index = left.findIndex((other) => same(row, other));
    const [now] = index < 0 ? [] : left.splice(index, 1);
    return now === undefined ? { before: row } : { before: row, after: now };
  });
  return [...rows, ...left.map((row) => ({ after: row }))].slice(0, rows_max * 2);
}
