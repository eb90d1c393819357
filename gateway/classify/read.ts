import { Refused, statement_ms_max, type Client } from './connect.js';
import type { Column, Sample } from './judge.js';
import { readable, shapeOf } from './kinds.js';
import { value_characters_max } from './values.js';

/** A relation with its columns in order. */
export interface Relation {
  /** schema.relation */
  readonly name: string;
  readonly schema: string;
  readonly table: string;
  readonly oid: number;
  /** pg_class.relkind: r table, p partitioned table, m materialized view, f foreign table. */
  readonly kind: string;
  /** As the server estimates; negative where it doesn't know. */
  readonly rows: number;
  readonly columns: readonly Column[];
}

/** More columns than this are not looked at in one run: name schemas. */
const columns_max = 20_000;

const systemSchemas = ['pg_catalog', 'information_schema', 'pg_toast'];

/**
 * Tables, partitioned tables (a label on a parent's column holds for its partitions), materialized views and foreign
 * tables. Views are left out: their columns are masked by where they come from. 1259 is pg_class's own OID, the same in
 * every server.
 */
const catalog = `
select n.nspname, c.relname, c.oid, c.relkind, c.reltuples::bigint, a.attname,
  coalesce(b.typname, t.typname), coalesce(b.typcategory, t.typcategory), d.description
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_type b on b.oid = t.typbasetype
left join pg_catalog.pg_description d on d.objoid = c.oid and d.classoid = 1259 and d.objsubid = a.attnum
where c.relkind in ('r', 'p', 'm', 'f') and not c.relispartition and a.attnum > 0 and not a.attisdropped`;

export interface Relations {
  readonly relations: readonly Relation[];
  /** Schemas that were asked for and hold nothing that can be looked at. */
  readonly missing: readonly string[];
  /** There were more columns than are looked at in one run. */
  readonly cut: boolean;
}

/** Every relation that may hold values; of all schemas but the server's own unless some are named. */
export async function readRelations(client: Client, schemas: readonly string[]): Promise<Relations> {
  const wanted = schemas.map((_, index) => `$${index + 1}`).join(', ');
  const among = schemas.length === 0 ? '' : ` and n.nspname in (${wanted})`;
  const { rows } = await client.query(
    `${catalog}${among} order by n.nspname, c.relname, a.attnum limit ${columns_max + 1}`,
    schemas,
  );
  const relations = new Map<string, Relation & { columns: Column[] }>();
  for (const row of rows.slice(0, columns_max)) {
    const [schema = '', table = '', oid, kind = '', estimate, column = '', type = '', category = '', comment] = row.map(
      (value) => value ?? undefined,
    );
    if (schemas.length === 0 && (systemSchemas.includes(schema) || schema.startsWith('pg_'))) continue;
    const name = `${schema}.${table}`;
    const relation = relations.get(String(oid)) ?? {
      ...{ name, schema, table, kind, oid: Number(oid), rows: Number(estimate), columns: [] },
    };
    relations.set(String(oid), relation);
    relation.columns.push({
      ...{ name: `${name}.${column}`, relation: name, column, type, shape: shapeOf(type, category) },
      ...(comment === undefined ? {} : { comment }),
    });
  }
  const found = [...relations.values()];
  return {
    relations: found,
    missing: schemas.filter((schema) => !found.some((relation) => relation.schema === schema)),
    cut: rows.length > columns_max,
  };
}

/** Ends what takes too long in the server. Undefined where that worked, else why it was refused. */
export async function limitTime(client: Client): Promise<string | undefined> {
  try {
    await client.query(`set statement_timeout = ${statement_ms_max}`);
    return undefined;
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}

/**
 * Samples of some of a relation's columns, by column name. First it is asked for no rows at all, which shows what comes
 * masked: such a column has no relation behind it any more. What comes masked is not read.
 */
export async function readSamples(
  client: Client,
  relation: Relation,
  columns: readonly Column[],
  rows_max: number,
): Promise<Map<string, Sample>> {
  const samples = new Map<string, Sample>();
  const settle = (some: readonly Column[], sample: Sample) => some.forEach(({ name }) => samples.set(name, sample));
  settle(
    columns.filter(({ shape }) => !readable(shape)),
    { without: 'not read' },
  );
  const worth = columns.filter(({ shape }) => readable(shape));
  const clear: Column[] = [];
  await inParts(worth, settle, async (part) => {
    const { fields } = await client.query(
      `select ${part.map(({ column }) => quoted(column)).join(', ')}${from(relation)} limit 0`,
    );
    part.forEach((column, index) => {
      if (fields[index]?.relation === relation.oid) clear.push(column);
      else settle([column], { without: 'masked' });
    });
  });
  await inParts(clear, settle, async (part) => {
    const list = part.map(({ column }) => `left(${quoted(column)}::text, ${value_characters_max})`).join(', ');
    const read = async (how: string) =>
      (await client.query(`select ${list}${from(relation)}${how} limit ${rows_max}`)).rows;
    const share = sampled(relation, rows_max);
    let rows = await read(share);
    // The estimate was of another time, or all of the rows stand in few pages.
    if (share !== '' && rows.length < rows_max / 4) rows = await read('');
    part.forEach(({ name }, index) => {
      samples.set(name, { values: rows.map((row) => row[index]).filter((value) => typeof value === 'string') });
    });
  });
  return samples;
}

/**
 * All of them in one statement; where that is refused, halves of them, until it is known which columns are refused. A
 * failure of the connection is thrown, every other is what becomes of the columns.
 */
async function inParts(
  columns: readonly Column[],
  settle: (columns: readonly Column[], sample: Sample) => void,
  ask: (columns: readonly Column[]) => Promise<void>,
): Promise<void> {
  if (columns.length === 0) return;
  try {
    await ask(columns);
  } catch (error) {
    if (error instanceof Refused && columns.length > 1) {
      const middle = columns.length >> 1;
      await inParts(columns.slice(0, middle), settle, ask);
      await inParts(columns.slice(middle), settle, ask);
    } else if (error instanceof Refused) {
      settle(columns, { without: 'refused', why: error.codes.join(', ') || error.message });
    } else {
      // An SQLSTATE says that the server answered, and the connection stands.
      const code = (error as { code?: unknown }).code;
      if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code) || code.startsWith('57P')) throw error;
      settle(columns, { without: 'failed', why: code === '57014' ? 'it took too long' : code });
    }
  }
}

/** Of a large relation some pages, spread over all of it, about four times as many rows as are taken. */
function sampled({ kind, rows }: Relation, rows_max: number): string {
  if (kind === 'f' || rows < rows_max * 20) return '';
  return ` tablesample system (${Math.max(0.0001, Math.min(100, (400 * rows_max) / rows)).toFixed(4)})`;
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const from = ({ schema, table }: Relation): string => ` from ${quoted(schema)}.${quoted(table)}`;
