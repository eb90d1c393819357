/**
 * What tells that relations are still those that were judged: their names and columns, what views say, what generated columns
 * are computed from, whose children they are. The catalog is read with it, and what leaves asks for it once more.
 */

const eq = 'OPERATOR(pg_catalog.=)';

/** Stands in the text where something of it is otherwise by now. No name is as long. */
const marker =
  'sallyport: has changed since the snapshot of this transaction was taken, or is being changed by another';

/** Not the same twice. */
const never = `pg_catalog.concat(' ${marker} ', pg_catalog.clock_timestamp())`;

/** In place of a schema: all of a name there are, wherever. No schema is called so. */
export const anywhere = '';

/**
 * A row that somebody has changed since the transaction's snapshot was taken reads as it was, while the server works with what
 * it is now. Its xmax tells: unless that transaction was over, and undone, before the snapshot, the row never reads the same
 * twice. Transactions are counted modulo 2^32 there.
 */
export const changing = (row: string): string => {
  const last = 'pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8';
  const behind = `pg_catalog.int8and(pg_catalog.int8mi(${last}, ${row}.xmax::pg_catalog.text::pg_catalog.int8), 4294967295)`;
  return `CASE WHEN ${row}.xmax ${eq} '0'::pg_catalog.xid THEN '' WHEN ${behind} OPERATOR(pg_catalog.<) 2147483648 AND pg_catalog.pg_visible_in_snapshot(pg_catalog.int8mi(${last}, ${behind})::pg_catalog.text::pg_catalog.xid8, pg_catalog.pg_current_snapshot()) THEN '' ELSE ${never} END`;
};

/**
 * A digest, as SQL over an array of relations' OIDs. Each table that is read for it is planned anew by every simple query, which
 * costs more than to run it: so parents and what columns are computed from are not read. Whoever changes them writes the rows
 * of the columns anew (attinhcount, atthasdef), and their xmin says so.
 *
 * @param views Whether there may be views among them: nothing else has a query of its own.
 */
export function versionOf(oids: string, views = true): string {
  return digestOf(versionText(oids, views));
}

/** The same, and whether something of it is otherwise by now than the transaction's snapshot says: [digest, boolean], as two columns. */
export const versionColumns = (oids: string): string =>
  `select ${digestOf('v.text')}, pg_catalog.strpos(v.text, '${marker}') OPERATOR(pg_catalog.>) 0 from (select ${versionText(oids, true)}) as v(text)`;

/** Everything else is read by a snapshot of the transaction's beginning. */
const isReadCommitted = `pg_catalog.current_setting('transaction_isolation') ${eq} 'read committed'`;

/** Catalogs of what a relation reaches, the letter of each, its column for the relation, and the one for its own rows. */
export const reachedCatalogs = [
  ['h', 'pg_inherits', 'inhparent', 'inhrelid'],
  ['q', 'pg_policy', 'polrelid', 'oid'],
  ['t', 'pg_trigger', 'tgrelid', 'oid'],
  ['w', 'pg_rewrite', 'ev_class', 'oid'],
] as const;

/**
 * A digest, as SQL over an array of OIDs, of what else reading and writing relations runs and reaches: children, row-level policies,
 * triggers, rules. It compares what was judged, and is no part of `versionOf`, which what leaves asks for with each run. By an older snapshot the
 * first of its kind is seen by the relation's row, in which the server marks that there is any.
 *
 * @param oids Those that may be parents: it, and what inherits from it.
 */
export function reachOf(oids: string): string {
  const lines = reachedCatalogs.map(
    ([letter, catalog, of, row]) =>
      `SELECT pg_catalog.concat('${letter} ', ${letter}.${of}, ' ', ${letter}.${row}, ' ', ${letter}.xmin) AS l FROM pg_catalog.${catalog} AS ${letter} WHERE ${letter}.${of} ${eq} ANY (${oids})`,
  );
  lines.push(
    `SELECT pg_catalog.concat('c ', c.oid, ' ', c.relrowsecurity, ' ', c.relforcerowsecurity, CASE WHEN ${isReadCommitted} THEN '' ELSE ${changing('c')} END) AS l FROM pg_catalog.pg_class AS c WHERE c.oid ${eq} ANY (${oids})`,
  );
  return digestOf(`(SELECT pg_catalog.string_agg(x.l, '; ' ORDER BY x.l) FROM (${lines.join(' UNION ALL ')}) AS x)`);
}

/**
 * Whether a relation has no more to it than its columns, as SQL over its row. The server itself goes by these marks: where one is not set it
 * looks for no rule, trigger or child; row-level policies that are not enabled are none. By an older snapshot it is not known of a row that
 * was written anew since, be it for a GRANT.
 */
export const isPlain = (row: string): string =>
  `not (${['relhasrules', 'relhastriggers', 'relhassubclass', 'relrowsecurity'].map((mark) => `${row}.${mark}`).join(' or ')})
    and (${isReadCommitted} or ${changing(row)} ${eq} '')`;

/** Which of these marks are set: c children, p policies, r rules, t triggers; as SQL over its row. */
export const marksOf = (row: string): string =>
  `pg_catalog.concat(${(
    [
      ['c', 'relhassubclass'],
      ['p', 'relrowsecurity'],
      ['r', 'relhasrules'],
      ['t', 'relhastriggers'],
    ] as const
  )
    .map(([letter, mark]) => `case when ${row}.${mark} then '${letter}' end`)
    .join(', ')})`;

/** The columns of relations by their OIDs (an array, as SQL), as text: what they are called and computed from, and their rows. */
export const columnsText = (oids: string): string =>
  `coalesce((select pg_catalog.string_agg(pg_catalog.concat(a.attrelid, ' ', a.attnum, ' ', a.attname, ' ', a.attgenerated, ' ', a.xmin, ${changing('a')}), '; ' order by a.attrelid, a.attnum) from pg_catalog.pg_attribute a where a.attrelid ${eq} any (${oids}) and a.attnum OPERATOR(pg_catalog.>) 0 and not a.attisdropped), '')`;

/** One row of the catalog, as SQL: another one once somebody has written it anew. */
export const stampOf = (row: string): string => `pg_catalog.concat(${row}.oid, ':', ${row}.xmin)`;

export const digestOf = (text: string): string =>
  `pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(${text}, pg_catalog.getdatabaseencoding())), 'hex')`;

function versionText(oids: string, views: boolean): string {
  const line = (row: string, ...parts: string[]): string =>
    `pg_catalog.concat(${parts.join(", ' ', ")}, ${changing(row)})`;
  const lines = [
    // By way of the server's caches, that is as it is now; another name in the snapshot is no name that can be relied upon.
    // The names themselves as they are: quoted, they would say how a session has its names quoted.
    `SELECT pg_catalog.concat('c ', c.oid, ' ', c.relkind, ' ', pg_catalog.octet_length(n.nspname::pg_catalog.text), ' ', n.nspname, '.', c.relname, CASE WHEN o.name ${eq} pg_catalog.quote_ident(c.relname::pg_catalog.text) AND o.schema ${eq} pg_catalog.quote_ident(n.nspname::pg_catalog.text) THEN '' ELSE ${never} END) AS l FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid ${eq} c.relnamespace, LATERAL pg_catalog.pg_identify_object(1259, c.oid, 0) AS o WHERE c.oid ${eq} ANY (${oids})`,
    `SELECT ${line('a', "'a'", 'a.attrelid', 'a.attnum', 'a.attname', 'a.attgenerated', 'a.xmin')} FROM pg_catalog.pg_attribute AS a WHERE a.attrelid ${eq} ANY (${oids}) AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped`,
    ...(views
      ? [
          `SELECT ${line('w', "'w'", 'w.oid', 'w.xmin')} FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class ${eq} ANY (${oids}) AND w.ev_type ${eq} '1'`,
        ]
      : []),
  ];
  return `(SELECT pg_catalog.string_agg(x.l, '; ' ORDER BY x.l) FROM (${lines.join(' UNION ALL ')}) AS x)`;
}

/** The casts that somebody made: which function or operator the server chooses depends on all of them. */
export const castsDigest = `coalesce((select ${digestOf(`pg_catalog.string_agg(${stampOf('x')}, ',' order by x.oid)`)} from pg_catalog.pg_cast x where x.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid), '')`;

/** That nobody has made any of what a table of the catalog is of. As long as that is so, nothing is read for it. */
export const noneMade = (table: string): string =>
  `not exists (select from pg_catalog.${table} x where x.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)`;
