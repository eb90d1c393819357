import { quoteName } from './masks/write.js';
import { anywhere, columnsText, isPlain, noneMade, stampOf, changing, versionOf, reachOf } from './versions.js';
import {
  array,
  type Named,
  type NamedType,
  type Operator,
  type Path,
  type Relation,
  type Routine,
  wantedOfKey,
} from './catalog.js';

/**
 * The conditions that a look at the catalog is made of, as SQL over its values.
 *
 * Each table that is read for them, each function in them and each list has its cost, with every statement that runs. So what most statements
 * are about has a short form of its own: tables with nothing to them but columns, and names of functions, operators and types of which nobody
 * has made another. Lists are filled up to a few lengths, so that there are few texts to be planned; the planner knows their lengths, and reads
 * what they name through an index.
 */

/** A value by its type in pg_catalog; in text form. */
export type Value = readonly [type: 'text' | 'text[]' | 'name' | 'oid' | 'oid[]', value: string];

/** A condition over the values that it has, as SQL. */
export interface Part {
  readonly values: readonly Value[];
  readonly text: (...values: string[]) => string;
}

type Judged = readonly [schema: string | undefined, name: string, relation: Relation | undefined];

interface Rows {
  readonly schemas: (string | undefined)[];
  readonly names: string[];
  readonly stamps: string[];
}

export const eq = 'operator(pg_catalog.=)';

export interface Circumstances {
  /** Those that are searched, as SQL: a `text[]`. */
  readonly schemas: string;
  /** All names are of one statement, for which the server has just looked them up. */
  readonly alone: boolean;
  /** A relation of this name has been made since. */
  readonly isMade: (name: string) => boolean;
}

export function partsOf(
  all: ReadonlyMap<string, Named>,
  path: Path,
  { schemas, alone, isMade }: Circumstances,
): readonly Part[] {
  const { relations, functions, operators, types } = sorted(all);
  return [
    ...relationParts(relations, alone && isDirect(all), isMade),
    ...rowParts(functions, procs, path.functions, schemas),
    ...rowParts(operators, opers, path.operators, schemas),
    ...rowParts(types, typesOf, true, schemas),
  ];
}

const noRows = (): Rows => ({ schemas: [], names: [], stamps: [] });

function sorted(all: ReadonlyMap<string, Named>) {
  const judged = { relations: [] as Judged[], functions: noRows(), operators: noRows(), types: noRows() };
  const add = (rows: Rows, schema: string | undefined, name: string, stamps: readonly (string | undefined)[]): void => {
    rows.schemas.push(schema);
    rows.names.push(name);
    for (const stamp of stamps) if (stamp !== undefined && stamp !== '') rows.stamps.push(stamp);
  };
  for (const [key, { value }] of all) {
    const { kind, schema, name } = wantedOfKey(key);
    if (kind === 'relation') judged.relations.push([schema, name, value as Relation | undefined]);
    else if (kind === 'type')
      add(judged.types, schema, name, ((value as NamedType | undefined)?.stamp ?? '').split(','));
    else {
      const routines = (value ?? []) as readonly (Routine | Operator)[];
      const stamps = routines.map(({ stamp }) => stamp);
      add(kind === 'function' ? judged.functions : judged.operators, schema, name, stamps);
    }
  }
  return judged;
}

/** Whether all names stand in the statement itself: what views and functions name may be in schemas that the session has no right to use. */
function isDirect(all: ReadonlyMap<string, Named>): boolean {
  for (const [key, { value }] of all) {
    if (key.startsWith('relation ') && (value as Relation | undefined)?.definition !== undefined) return false;
    if (key.startsWith('function ') && ((value ?? []) as readonly Routine[]).some(({ body }) => body !== undefined))
      return false;
  }
  return true;
}

// ── relations ──────────────────────────────────────────────────────────────────────────────────────────────────────

function relationParts(all: readonly Judged[], direct: boolean, isMade: (name: string) => boolean): readonly Part[] {
  const plain = direct ? plainTables(all) : undefined;
  const names: string[] = [];
  const oids: string[] = [];
  for (const [schema, name, relation] of all) {
    if (isMade(name)) continue;
    // With a schema it means what it meant as long as that is still called so, which `relations` compares.
    if (schema !== undefined && (plain === undefined || relation?.version === undefined)) continue;
    names.push(schema === undefined ? quoteName(name) : `${quoteName(schema)}.${quoteName(name)}`);
    oids.push(String(relation?.oid ?? 0));
  }
  return [meant(names, oids), plain ?? compared(all)].filter((part) => part !== undefined);
}

/** What names mean now: by way of the server's caches, that is also where the transaction's snapshot is older. */
function meant(names: readonly string[], oids: readonly string[]): Part | undefined {
  if (names.length === 0) return undefined;
  const now = (name: string): string => `coalesce(pg_catalog.to_regclass(${name})::pg_catalog.oid, 0::pg_catalog.oid)`;
  const few = filled(names, tables_few);
  if (few === undefined)
    return {
      values: [['text[]', array(names)], ['text', oids.join(' ')]],
      text: (asked, expected) =>
        `(select pg_catalog.string_agg(${now('w.n')}::pg_catalog.text, ' ' order by w.i) from pg_catalog.unnest(${asked}) with ordinality as w(n, i)) ${eq} ${expected}`,
    }; // prettier-ignore
  return {
    values: [...few.map((name): Value => ['text', name]), ...filled(oids, tables_few)!.map((oid): Value => ['oid', oid])],
    text: (...values) =>
      few.map((_, at) => `${now(values[at]!)} ${eq} ${values[few.length + at]!}`).join(' and '),
  }; // prettier-ignore
}

/** Columns of tables that have no more to them; undefined where one has, or it would be much to send. */
function plainTables(all: readonly Judged[]): Part | undefined {
  const tables = new Map<number, string>();
  for (const [, , relation] of all) {
    if (relation?.version === undefined) continue;
    const { plain } = relation.version;
    if (plain === undefined) return undefined;
    tables.set(relation.oid, plain);
  }
  const sorted = [...tables].sort(([a], [b]) => a - b);
  const oids = filled(sorted.map(([oid]) => String(oid)), tables_few); // prettier-ignore
  const columns = sorted.flatMap(([, text]) => (text === '' ? [] : [text])).join('; ');
  // Sent as it is, it has to be ASCII: the session may have another encoding.
  if (oids === undefined || columns.length > columns_chars_max || !/^[\x20-\x7e]*$/.test(columns)) return undefined;
  return {
    values: [['text', String(tables.size)], ['text', columns], ...oids.map((oid): Value => ['oid', oid])],
    text: (count, expected, ...listed) => {
      const list = `array[${listed.join(', ')}]`;
      return `(select pg_catalog.count(*) from pg_catalog.pg_class c where c.oid ${eq} any (${list}) and ${isPlain('c')})::pg_catalog.text ${eq} ${count}
  and ${columnsText(list)} ${eq} ${expected}`;
    },
  }; // prettier-ignore
}

/** What relations of any kind are, and what they reach. */
function compared(all: readonly Judged[]): Part | undefined {
  const versions = new Map<string, string>();
  const reaches = new Map<string, string>();
  for (const [, , relation] of all) {
    const { version } = relation ?? {};
    if (version === undefined) continue;
    versions.set(version.oids.join(), version.digest);
    if (version.reach !== undefined) reaches.set(version.reach.oids.join(), version.reach.digest);
  }
  if (versions.size === 0) return undefined;
  const views = all.some(([, , relation]) => relation !== undefined && !hasNoQuery.has(relation.kind));
  const isOne = (map: ReadonlyMap<string, string>) => [...map.keys()].every((oids) => !oids.includes(','));
  const one = isOne(versions) && isOne(reaches);
  const listed = (some: ReadonlyMap<string, string>): Value =>
    one ? ['oid[]', `{${[...some.keys()].join()}}`] : ['text[]', array([...some.keys()].map((oids) => `{${oids}}`))];
  const list = one ? 'w.o' : 'w.o::pg_catalog.oid[] as oids';
  const now = (oids: string, digest: (oids: string) => string): string =>
    `coalesce((select pg_catalog.string_agg(${digest('listed.oids')}, ',' order by listed.n) from (select ${list}, w.n from pg_catalog.unnest(${oids}) with ordinality as w(o, n) offset 0) as listed), '')`;
  // The planner sees through it where it is of one.
  const over = (digest: (oids: string) => string) => (one ? () => digest('array[listed.o]') : digest);
  return {
    values: [
      listed(versions),
      ['text', [...versions.values()].join()],
      listed(reaches),
      ['text', [...reaches.values()].join()],
    ],
    text: (first, firstExpected, second, secondExpected) =>
      `${now(
        first,
        over((oids) => versionOf(oids, views)),
      )} ${eq} ${firstExpected}
  and ${now(second, over(reachOf))} ${eq} ${secondExpected}`,
  };
}

/** Tables, partitioned and foreign ones among them. */
const hasNoQuery: ReadonlySet<string> = new Set(['r', 'p', 'f']);

// ── functions, operators, types ────────────────────────────────────────────────────────────────────────────────────

interface Catalog {
  readonly table: string;
  readonly column: string;
  readonly namespace: string;
}

const procs: Catalog = {
  table: 'pg_proc',
  column: 'proname',
  namespace: 'pronamespace',
};
const opers: Catalog = {
  table: 'pg_operator',
  column: 'oprname',
  namespace: 'oprnamespace',
};
const typesOf: Catalog = {
  table: 'pg_type',
  column: 'typname',
  namespace: 'typnamespace',
};

/**
 * All that names may mean, for the server to choose from, but for what it brings along.
 *
 * @param any Whether anybody had made any, of whatever name.
 */
function rowParts({ schemas, names, stamps }: Rows, catalog: Catalog, any: boolean, path: string): readonly Part[] {
  if (names.length === 0) return [];
  const none = stamps.length === 0 && schemas.every((schema) => schema === undefined || schema === 'pg_catalog');
  const few = filled(names, names_few);
  const notYet = few === undefined ? undefined : notMadeOf(schemas, names, catalog, path);
  if (none && !any) return [neverMade(notYet, catalog)];
  if (none && notYet !== undefined) return [notYet];
  return [made({ schemas, names, stamps }, few, catalog, path)];
}

/**
 * Not by way of the index on OIDs, as a number: a planner whose statistics are of an empty database would read all that somebody made through it, and
 * not what has the name.
 */
const isMade = 'r.oid::pg_catalog.int8 operator(pg_catalog.>=) 16384::pg_catalog.int8';

const called = (column: string, values: readonly string[]) => `r.${column} ${eq} any (array[${values.join(', ')}])`;

/** Nobody has made any at all, which costs least to be seen; or else none that one of the names might mean. */
function neverMade(notYet: Part | undefined, catalog: Catalog): Part {
  const none = noneMade(catalog.table);
  if (notYet === undefined) return { values: [], text: () => none };
  return { values: notYet.values, text: (...referred) => `(${none} or ${notYet.text(...referred)})` };
}

/**
 * Nobody has made what one of the names might mean: in any schema of the path, or in the server's own where the name says so. Not by what is
 * visible: whatever is hidden by another of the same arguments can still be called with fewer or more, by its defaults or as variadic.
 */
function notMadeOf(schemas: Rows['schemas'], names: readonly string[], catalog: Catalog, path: string): Part {
  const searched = names.filter((_, at) => schemas[at] === undefined);
  const own = names.filter((_, at) => schemas[at] !== undefined);
  const [first, second] = [filled(searched, names_few) ?? [], filled(own, names_few) ?? []];
  const inPath = `(select n.nspname::pg_catalog.text from pg_catalog.pg_namespace n where n.oid ${eq} r.${catalog.namespace}) ${eq} any (${path})`;
  const inOwn = `r.${catalog.namespace} ${eq} 11::pg_catalog.oid`;
  return {
    values: [...first, ...second].map((name): Value => ['name', name]),
    text: (...values) =>
      [notMade(values.slice(0, first.length), inPath, catalog), notMade(values.slice(first.length), inOwn, catalog)]
        .filter((text) => text !== undefined)
        .join(' and '),
  };
}

const notMade = (values: readonly string[], where: string, { table, column }: Catalog): string | undefined =>
  values.length === 0
    ? undefined
    : `not exists (select from pg_catalog.${table} r where ${called(column, values)} and ${isMade} and ${where})`;

/** What somebody has made of these names is what it was. */
function made({ schemas, names, stamps }: Rows, few: readonly string[] | undefined, catalog: Catalog, path: string): Part {
  const { table, column, namespace } = catalog;
  const expected = [...stamps].sort((a, b) => parseInt(a) - parseInt(b)).join();
  return {
    values: [
      ['text[]', array(schemas)],
      ['text[]', array(names)],
      ['text', expected],
      ...(few ?? []).map((name): Value => ['name', name]),
    ],
    text: (inSchemas, all, known, ...some) =>
      `coalesce((select pg_catalog.string_agg(pg_catalog.concat(${stampOf('r')}, ${changing('r')}), ',' order by r.oid)
    from ROWS FROM (pg_catalog.unnest(${inSchemas}), pg_catalog.unnest(${all})) as w(s, n)
    join pg_catalog.${table} r on r.${column} ${eq} w.n::pg_catalog.name and ${isMade}${some.length === 0 ? '' : ` and ${called(column, some)}`}
    join pg_catalog.pg_namespace n on n.oid ${eq} r.${namespace}
    where case when w.s is null then n.nspname::pg_catalog.text ${eq} any (${path})
      when w.s ${eq} '${anywhere}' then true
      when w.s ${eq} 'pg_temp' then n.oid ${eq} pg_catalog.pg_my_temp_schema()
      else n.nspname ${eq} w.s::pg_catalog.name end), '') ${eq} ${known}`,
  };
} // prettier-ignore

// ── lists ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Lengths of lists. With more, the planner would rather read all there is. */
const tables_few = [1, 2, 4];
const names_few = [1, 2, 5];
/** Of columns of tables in text, which go with each statement. */
const columns_chars_max = 8_000;

/** To the next of these lengths, with the first once more; undefined where it is longer than all. */
function filled(list: readonly string[], lengths: readonly number[]): readonly string[] | undefined {
  const [first] = list;
  const length = lengths.find((each) => each >= list.length);
  if (first === undefined || length === undefined) return undefined;
  return [...list, ...Array<string>(length - list.length).fill(first)];
}
