import type { Template } from '../judging/statement.js';
import { array, wantedOfKey, type Named, type Path } from './catalog.js';
import { eq, partsOf, type Value } from './look-parts.js';
import { judgedWith } from './template.js';
import { anywhere, castsDigest, noneMade } from './versions.js';

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
const looksBehind = new WeakMap<object, Look | null>();

/**
 * Undefined where nothing is named, or the templates were made without a catalog. They are judged along one path.
 *
 * @param made Where it is looked once more, behind what ran: relations that have come to be by it, by schema and name. What was there before
 * is known by its OID alone.
 */
export function lookOf(templates: readonly Template[], made?: readonly string[]): Look | undefined {
  const [first, ...others] = templates;
  if (first === undefined) return undefined;
  if (others.length > 0 || (made?.length ?? 0) > 0) return lookAt(templates, made);
  const known = made === undefined ? looks : looksBehind;
  let look = known.get(first.statements);
  if (look === undefined) known.set(first.statements, (look = lookAt(templates, made) ?? null));
  return look ?? undefined;
}

function lookAt(templates: readonly Template[], made: readonly string[] | undefined): Look | undefined {
  const all = new Map<string, Named>();
  let path: Path | undefined;
  for (const template of templates) {
    const names = judgedWith(template)?.names;
    if (names?.all === undefined || names.path === undefined) continue;
    ({ path } = names);
    for (const [key, named] of names.all) all.set(key, named);
  }
  if (path === undefined || all.size === 0) return undefined;
  // The first temporary table brings its schema with it.
  const isTemporary = (schema: string) => schema.startsWith('pg_temp_');
  const mayBring = made !== undefined && !path.schemas.some(isTemporary);
  const searched = path.schemas;
  const values: Value[] = [['text[]', array(searched)]];
  const refer = (more: readonly Value[]): string[] => more.map((value) => `p.v${String(values.push(value) - 1)}`);
  // The server has just looked up all names of the one statement there is.
  const alone = (made?.length ?? 0) === 0 && templates.length === 1 && templates[0]!.statements.length === 1;
  const isMade = (name: string) => made?.some((other) => other === name || other.endsWith(`.${name}`)) === true;
  const parts = partsOf(all, path, { schemas: 'p.v0', alone, isMade });
  const conditions = parts.map((part) => part.text(...refer(part.values)));
  const isSame = [
    ...(isSearched(all) ? [`${mayBring ? withoutTemporary : searchedNow} ${eq} p.v0`] : []),
    path.casts === '' ? noneMade('pg_cast') : `${castsDigest} ${eq} ${refer([['text', path.casts]])[0]!}`,
    ...conditions,
  ].join('\n  and ');
  // Out of a table of their own the server plans for any values at once: a plan for these in particular would be made with each run.
  const columns = values.map(([type], at) => `$${String(at + 1)}::pg_catalog.${type} as v${String(at)}`);
  const from = `from (select ${columns.join(', ')} offset 0) p`;
  return {
    failing: `select ${from} where cast(case when ${isSame}\n  then 'true' else '${changed}' end as pg_catalog.bool) is null`,
    telling: `select ${isSame} ${from}`,
    values: values.map(([, value]) => value),
  };
}

/** Whether anything is looked for along the path. */
const isSearched = (all: ReadonlyMap<string, Named>): boolean =>
  [...all.keys()].some((key) => wantedOfKey(key).schema !== anywhere);

const searchedNow = 'pg_catalog.current_schemas(true)::pg_catalog.text[]';
const withoutTemporary = `array(select w.s from pg_catalog.unnest(${searchedNow}) with ordinality as w(s, i) where pg_catalog.left(w.s, 8) operator(pg_catalog.<>) 'pg_temp_' order by w.i)`;

const changed = 'sallyport: the meaning of a name has changed';
