import type { Template } from '../judging/statement.js';
import { array, type Named, type Path } from './catalog.js';
import { eq, partsOf, type Value } from './look-parts.js';
import { judgedWith } from './template.js';
import { castsDigest, noneMade } from './versions.js';

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
  let path: Path | undefined;
  for (const template of templates) {
    const names = judgedWith(template)?.names;
    if (names?.all === undefined || names.path === undefined) continue;
    ({ path } = names);
    for (const [key, named] of names.all) all.set(key, named);
  }
  if (path === undefined || all.size === 0) return undefined;
  const values: Value[] = [['text[]', array(path.schemas)]];
  const refer = (more: readonly Value[]): string[] => more.map((value) => `p.v${String(values.push(value) - 1)}`);
  const conditions = partsOf(all, path, 'p.v0', templates.length === 1).map((part) => part.text(...refer(part.values)));
  const isSame = [
    `pg_catalog.current_schemas(true)::pg_catalog.text[] ${eq} p.v0`,
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

const changed = 'sallyport: the meaning of a name has changed';
