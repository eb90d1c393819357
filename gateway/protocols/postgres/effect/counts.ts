import type { EffectOnRelation } from '../../../protocol.js';
import type { Ask } from '../judging/statement.js';

/** What the server itself has counted, by relation; and what the transaction has that a rollback does not give back. */
export interface Standing {
  readonly counts: ReadonlyMap<string, Counts>;
  /** Ids of the transaction and of its open subtransactions. */
  readonly transactions: ReadonlySet<string>;
  /** Sequences on which it has a lock that only nextval and setval take. */
  readonly sequences: ReadonlySet<string>;
  /** pg_settings.track_counts: without it nothing is counted. */
  readonly counting: boolean;
}

export interface Counts {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

/** More relations than a person reads. */
const relations_max = 100;

const eq = 'operator(pg_catalog.=)';
const plus = 'operator(pg_catalog.+)';

/**
 * Rows written by the present transaction, with what cascades and triggers wrote. A row of a partition counts for its table.
 * These counters also hold what the session did before and has not reported yet: the difference of two looks is one statement's.
 *
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html (pg_stat_xact_all_tables)
 */
const counted = `select pg_catalog.concat(n.nspname, '.', c.relname), pg_catalog.sum(s.n_tup_ins), pg_catalog.sum(s.n_tup_upd),
    pg_catalog.sum(s.n_tup_del)
  from pg_catalog.pg_stat_xact_all_tables s
  join pg_catalog.pg_class c on c.oid ${eq} coalesce(pg_catalog.pg_partition_root(s.relid)::pg_catalog.oid, s.relid)
  join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace
  where s.n_tup_ins ${plus} s.n_tup_upd ${plus} s.n_tup_del operator(pg_catalog.>) 0 and s.schemaname operator(pg_catalog.<>) 'pg_toast'
  group by 1 order by 1 limit ${String(relations_max)}`;

/** A transaction holds a lock on its own id, and on the ids of its open subtransactions; and on sequences until its end. */
const held = `select l.locktype, pg_catalog.concat(n.nspname, '.', c.relname), l.transactionid
  from pg_catalog.pg_locks l
  left join pg_catalog.pg_class c on l.locktype ${eq} 'relation' and c.oid ${eq} l.relation
  left join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace
  where l.pid ${eq} pg_catalog.pg_backend_pid() and l.granted and (
    (l.locktype ${eq} 'transactionid' and l.mode ${eq} 'ExclusiveLock')
    or (l.locktype ${eq} 'relation' and c.relkind ${eq} 'S' and l.mode ${eq} 'RowExclusiveLock'
      and (l.database ${eq} 0 or l.database ${eq} (select d.oid from pg_catalog.pg_database d where d.datname ${eq} pg_catalog.current_database()))))`;

export async function look(ask: Ask): Promise<Standing> {
  const counts = new Map<string, Counts>();
  const [setting] = await ask("select pg_catalog.current_setting('track_counts')", []);
  for (const [relation, inserted, updated, deleted] of await ask(counted, [])) {
    counts.set(relation ?? '', { inserted: Number(inserted), updated: Number(updated), deleted: Number(deleted) });
  }
  const transactions = new Set<string>();
  const sequences = new Set<string>();
  for (const [type, sequence, transaction] of await ask(held, [])) {
    if (type === 'relation') sequences.add(sequence ?? '');
    else transactions.add(transaction ?? '');
  }
  return { counts, transactions, sequences, counting: setting?.[0] === 'on' };
}

const nothing: Counts = { inserted: 0, updated: 0, deleted: 0 };

/** What was written between two looks, those that the statement names first. */
export function between(before: Standing, after: Standing, named: ReadonlySet<string>): EffectOnRelation[] {
  const changes = [...after.counts].map(([relation, now]): EffectOnRelation => {
    const then = before.counts.get(relation) ?? nothing;
    return {
      relation,
      inserted: now.inserted - then.inserted,
      updated: now.updated - then.updated,
      deleted: now.deleted - then.deleted,
      ...(named.has(relation) ? {} : { indirect: true }),
    };
  });
  const written = changes.filter(({ inserted, updated, deleted }) => inserted + updated + deleted > 0);
  // The statement's own relations are there also where nothing of them was written: that is the answer.
  const untouched = [...named].filter((name) => !written.some(({ relation }) => relation === name));
  return [
    ...written.filter(({ indirect }) => indirect !== true),
    ...untouched.map((relation) => ({ relation, ...nothing })),
    ...written.filter(({ indirect }) => indirect === true),
  ];
}

/** What is in one and not in the other. */
export const newIn = (after: ReadonlySet<string>, before: ReadonlySet<string>): string[] =>
  [...after].filter((one) => !before.has(one));
