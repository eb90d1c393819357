import type { Template } from '../judging/statement.js';
import { array, type Relation } from './catalog.js';
import { eq } from './look-parts.js';
import { judgedWith } from './template.js';
import { reachedCatalogs } from './versions.js';

/**
 * What an older snapshot does not show: children, row-level policies, triggers and rules that are new to relations which had some before.
 * The server works with them all the same. So those that the transaction sees are listed, and another connection, which has no snapshot, is
 * asked whether there are others.
 */
export interface Reached {
  /** Of the relations, as an `oid[]`. */
  readonly oids: string;
}

const known = new WeakMap<object, Reached | null>();

/**
 * What reading and writing the relations of these templates may reach that no mark in their rows tells of; undefined: nothing. For reads
 * triggers and rules are of no matter.
 */
export function reachedBy(templates: readonly Template[]): Reached | undefined {
  const [first, ...others] = templates;
  if (first === undefined) return undefined;
  if (others.length > 0) return reachedIn(templates);
  let reached = known.get(first.statements);
  if (reached === undefined) known.set(first.statements, (reached = reachedIn(templates) ?? null));
  return reached ?? undefined;
}

function reachedIn(templates: readonly Template[]): Reached | undefined {
  const oids = new Set<number>();
  for (const template of templates) {
    const reads = template.action === 'read' && !template.opaque;
    for (const [key, { value }] of judgedWith(template)?.names.all ?? []) {
      if (!key.startsWith('relation ')) continue;
      const { version } = (value as Relation | undefined) ?? {};
      if (version?.reach === undefined || !(reads ? /[cp]/ : /./).test(version.marks)) continue;
      for (const oid of version.reach.oids) oids.add(oid);
    }
  }
  return oids.size === 0 ? undefined : { oids: `{${[...oids].sort((a, b) => a - b).join()}}` };
}

/** What there is of each, by its row: $1 is the relations'. */
const rows = reachedCatalogs.map(
  ([letter, catalog, of, row]) =>
    `select pg_catalog.concat('${letter}', r.${of}, ':', r.${row}, ':', r.xmin) as l, r.xmax::pg_catalog.text as by from pg_catalog.${catalog} r where r.${of} ${eq} any ($1::pg_catalog.oid[])`,
).join(' union all '); // prettier-ignore

/** What the transaction sees, and which transaction it is; NULL where it has written nothing. */
export const seenText = `select pg_catalog.array_agg(x.l), pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text::pg_catalog.int8 operator(pg_catalog.%) 4294967296::pg_catalog.int8 from (${rows}) x`;

/** Whether there is anything else by now, but for what that transaction has taken away itself. */
export const othersText = `select exists (select from (${rows}) x where x.l operator(pg_catalog.<>) all ($2::pg_catalog.text[]) and x.by operator(pg_catalog.<>) $3)`;

export const othersValues = ({ oids }: Reached, seen: string | null, self: string | null): string[] => [
  oids,
  seen ?? array([]),
  self ?? '',
];
