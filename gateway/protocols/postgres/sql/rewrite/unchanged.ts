import type { Relation } from '../catalog.js';
import { qualified } from '../facts.js';
import { quoteName, string } from '../masks/write.js';
import { versionOf } from '../versions.js';

/**
 * A condition that fails where relations are no longer what was judged. The catalog is remembered for a while, and what others do to
 * it meanwhile must not run under masks that were found for something else.
 */

/** How the server quotes what the condition says: the client gets the sentence in it (see enforcing/guard.ts). */
export const outdated = (relation: string): string => `sallyport: ${relation} has changed`;

/**
 * Columns of a table are read by their names, to which masks are bound, and what was added is not read: there the name still
 * has to mean the same relation, which the server checks as it reads the statement, at no cost in its plan. Where columns
 * are made of others (of a view, generated, inherited), all of that is compared, once for each run.
 *
 * @param below What a view's query reads.
 * @param isRun False where it is only planned: then no row is read, and what is compared once for each run is left out.
 */
export function unchanged(relation: Relation, below: readonly Relation[], isRun: boolean): string | undefined {
  const { oid, version } = relation;
  if (version === undefined) return undefined;
  const name = string(`${quoteName(relation.schema)}.${quoteName(relation.name)}`);
  const isSame = `CAST(CAST(${name} AS pg_catalog.regclass) AS pg_catalog.oid) OPERATOR(pg_catalog.=) ${oid}::pg_catalog.oid`;
  const isDerived =
    relation.definition !== undefined ||
    version.oids.length > 1 ||
    relation.columns.some(({ generated }) => generated !== undefined);
  const conditions = isDerived && isRun ? [isSame, isAsRead([relation, ...below])] : [isSame];
  return `CAST(CASE WHEN ${conditions.join(' AND ')} THEN 'true' ELSE ${string(outdated(qualified(relation)))} END AS pg_catalog.bool)`;
}

/** It is more than a comparison of constants. */
export const looksAtCatalog = (guard: string): boolean => guard.includes('"sallyport.v"');

/** Tables, partitioned and foreign ones among them. */
const hasNoQuery: ReadonlySet<string> = new Set(['r', 'p', 'f']);

function isAsRead(relations: readonly Relation[]): string {
  const versions = new Map(
    relations.flatMap(({ version }) => (version === undefined ? [] : [[version.digest, version]])),
  );
  const list = [...versions.values()];
  const rows = list.map(({ oids }, index) => `(${index}, '{${oids.join(',')}}'::pg_catalog.oid[])`);
  // Without a look at queries, for which there would have to be another kind of relation by the same number.
  const views = !relations.every(({ kind }) => hasNoQuery.has(kind));
  const now = `(SELECT pg_catalog.string_agg(${versionOf('"sallyport.v"."oids"', views)}, ',' ORDER BY "sallyport.v"."n") FROM (VALUES ${rows.join(', ')}) AS "sallyport.v"("n", "oids"))`;
  return `${now} OPERATOR(pg_catalog.=) '${list.map(({ digest }) => digest).join(',')}'`;
}
