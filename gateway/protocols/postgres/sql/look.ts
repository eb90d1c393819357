import type { Template } from '../judging/statement.js';
import {
  array,
  wantedOfKey,
  type Named,
  type NamedType,
  type Operator,
  type Relation,
  type Routine,
} from './catalog.js';
import { quoteName } from './masks/write.js';
import { judgedWith } from './template.js';
import { castsDigest, changing, reachOf, stampOf, versionOf } from './versions.js';

/**
 * Everything of the catalog that a judgement rests on, asked for once more: names that are looked for along the path, what relations are and
 * reach, all functions, operators and types of the names that the statement says, and the casts.
 *
 * It is sent between a statement's Bind, for which the server has looked up all names and holds what it found, and its Execute. What somebody
 * changed before the server looked is seen here, and the server skips the Execute; what is changed later changes nothing in what is bound.
 *
 * Rows that somebody writes anew get another xmin, so it is rows that are compared, by OID and xmin. Of what the server brings along only
 * superusers may change anything: it is not compared.
 */
export interface Look {
  /** Fails with `"sallyport: … has changed"` where something is otherwise, else has no row. */
  readonly failing: string;
  /** The same as one row of `t` or `f`. */
  readonly telling: string;
  /** Parameters of both. */
  readonly values: readonly string[];
}

const looks = new WeakMap<object, Look | null>();

/** Undefined where nothing is named, or the templates were made without a catalog. They are judged along one path. */
export function lookOf(templates: readonly Template[]): Look | undefined {
  const [first, ...others] = templates;
  if (first === undefined) return undefined;
  if (others.length > 0) return lookAt(templates);
  let known = looks.get(first.statements);
  if (known === undefined) looks.set(first.statements, (known = lookAt(templates) ?? null));
  return known ?? undefined;
}

function lookAt(templates: readonly Template[]): Look | undefined {
  const all = new Map<string, Named>();
  let path: readonly [schemas: readonly string[], casts: string] | undefined;
  for (const template of templates) {
    const names = judgedWith(template)?.names;
    if (names?.all === undefined || names.path === undefined) continue;
    path = [names.path.schemas, names.path.casts];
    for (const [key, named] of names.all) all.set(key, named);
  }
  if (path === undefined || all.size === 0) return undefined;
  const judged = sorted(all);
  const parts = [relationNames(judged), relations(judged), ...rowsOf(judged)].filter((part) => part !== undefined);
  const [schemas, casts] = path;
  const values = [array(schemas), casts];
  const conditions = parts.map(({ text, values: more }) => {
    const first = values.length;
    values.push(...more);
    return text(...more.map((_, index) => `(select p.v${String(first + index)} from p)`));
  });
  const isSame = [
    `pg_catalog.current_schemas(true)::pg_catalog.text[] ${eq} (select p.v0 from p)::pg_catalog.text[]`,
    `${castsDigest} ${eq} (select p.v1 from p)`,
    ...conditions,
  ].join('\n  and ');
  // Out of a table of their own the server plans for any values at once: a plan for these in particular would be made with each run.
  const columns = values.map((_, index) => `$${String(index + 1)}::pg_catalog.text as v${String(index)}`);
  const head = `with p as materialized (select ${columns.join(', ')})\nselect`;
  return {
    failing: `${head} from p where cast(case when ${isSame}\n  then 'true' else '${changed}' end as pg_catalog.bool) is null`,
    telling: `${head} ${isSame}`,
    values,
  };
}

const eq = 'operator(pg_catalog.=)';
const changed = 'sallyport: the meaning of a name has changed';

/** A condition over the parameters that it has, as SQL. */
interface Part {
  readonly values: readonly string[];
  readonly text: (...values: string[]) => string;
}

interface Judged {
  readonly relations: readonly (readonly [schema: string | undefined, name: string, relation: Relation | undefined])[];
  /** Names, and the stamps of all that they may mean. */
  readonly functions: Rows;
  readonly operators: Rows;
  readonly types: Rows;
}

interface Rows {
  readonly schemas: (string | undefined)[];
  readonly names: string[];
  readonly stamps: string[];
}

const noRows = (): Rows => ({ schemas: [], names: [], stamps: [] });

function sorted(all: ReadonlyMap<string, Named>): Judged {
  const judged = {
    relations: [] as [string | undefined, string, Relation | undefined][],
    functions: noRows(),
    operators: noRows(),
    types: noRows(),
  };
  const add = (rows: Rows, schema: string | undefined, name: string, stamps: readonly (string | undefined)[]): void => {
    rows.schemas.push(schema);
    rows.names.push(name);
    for (const stamp of stamps) if (stamp !== undefined) rows.stamps.push(stamp);
  };
  for (const [key, { value }] of all) {
    const { kind, schema, name } = wantedOfKey(key);
    if (kind === 'relation') judged.relations.push([schema, name, value as Relation | undefined]);
    else if (kind === 'type')
      add(judged.types, schema, name, ((value as NamedType | undefined)?.stamp ?? '').split(','));
    else {
      const rows = kind === 'function' ? judged.functions : judged.operators;
      add(
        rows,
        schema,
        name,
        ((value ?? []) as readonly (Routine | Operator)[]).map(({ stamp }) => stamp),
      );
    }
  }
  return judged;
}

/**
 * What names without a schema mean now. Those with one mean what they meant as long as that is still called so, which `relations` compares; to
 * ask for them could fail for want of rights on the schema.
 */
function relationNames({ relations: all }: Judged): Part | undefined {
  const names: string[] = [];
  const oids: number[] = [];
  for (const [schema, name, relation] of all) {
    if (schema !== undefined) continue;
    names.push(quoteName(name));
    oids.push(relation?.oid ?? 0);
  }
  if (names.length === 0) return undefined;
  return {
    values: [array(names), oids.join(' ')],
    text: (asked, expected) =>
      `(select pg_catalog.string_agg(coalesce(pg_catalog.to_regclass(w.n)::pg_catalog.oid, 0::pg_catalog.oid)::pg_catalog.text, ' ' order by w.i) from pg_catalog.unnest(${asked}::pg_catalog.text[]) with ordinality as w(n, i)) ${eq} ${expected}`,
  };
}

/** What relations are, and what they reach. */
function relations({ relations: all }: Judged): Part | undefined {
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
  const listed = (some: ReadonlyMap<string, string>): string => array([...some.keys()].map((oids) => `{${oids}}`));
  const now = (oids: string, digest: string): string =>
    `coalesce((select pg_catalog.string_agg(${digest}, ',' order by listed.n) from (select w.o::pg_catalog.oid[] as oids, w.n from pg_catalog.unnest(${oids}::pg_catalog.text[]) with ordinality as w(o, n) offset 0) as listed), '')`;
  return {
    values: [listed(versions), [...versions.values()].join(), listed(reaches), [...reaches.values()].join()],
    text: (first, firstExpected, second, secondExpected) =>
      `${now(first, versionOf('listed.oids', views))} ${eq} ${firstExpected}
  and ${now(second, reachOf('listed.oids'))} ${eq} ${secondExpected}`,
  };
}

/** Tables, partitioned and foreign ones among them. */
const hasNoQuery: ReadonlySet<string> = new Set(['r', 'p', 'f']);

/** All that the names of functions, operators and types may mean, for the server to choose from. */
function rowsOf({ functions, operators, types }: Judged): (Part | undefined)[] {
  return [
    rows(functions, 'pg_proc', 'proname', 'pronamespace'),
    rows(operators, 'pg_operator', 'oprname', 'oprnamespace'),
    rows(types, 'pg_type', 'typname', 'typnamespace'),
  ];
}

/**
 * Not by way of the index on OIDs, as a number: a planner whose statistics are of an empty database would read all that somebody made through it, and
 * not what has the name.
 */
const isMade = 'r.oid::pg_catalog.int8 operator(pg_catalog.>=) 16384::pg_catalog.int8';

function rows({ schemas, names, stamps }: Rows, catalog: string, name: string, namespace: string): Part | undefined {
  if (names.length === 0) return undefined;
  const expected = stamps.filter((stamp) => stamp !== '').sort((a, b) => parseInt(a) - parseInt(b));
  return {
    values: [array(schemas), array(names), expected.join()],
    text: (inSchemas, called, known) =>
      `coalesce((select pg_catalog.string_agg(pg_catalog.concat(${stampOf('r')}, ${changing('r')}), ',' order by r.oid)
    from ROWS FROM (pg_catalog.unnest(${inSchemas}::pg_catalog.text[]), pg_catalog.unnest(${called}::pg_catalog.text[])) as w(s, n)
    join pg_catalog.${catalog} r on r.${name} ${eq} w.n::pg_catalog.name and ${isMade}
    join pg_catalog.pg_namespace n on n.oid ${eq} r.${namespace}
    where case when w.s is null then n.nspname::pg_catalog.text ${eq} any ((select p.v0 from p)::pg_catalog.text[])
      when w.s ${eq} 'pg_temp' then n.oid ${eq} pg_catalog.pg_my_temp_schema()
      else n.nspname ${eq} w.s::pg_catalog.name end), '') ${eq} ${known}`,
  };
}
