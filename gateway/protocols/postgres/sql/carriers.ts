/**
 * Columns of the server's own catalogs and views that hold values of tables, or what other sessions said: who reads them reads
 * what no mask and no filter of the tables themselves covers.
 */

const values = 'is made of values in tables';
const texts = 'holds the text of statements';

/** Statistics: all columns but those that only say what they are about. */
const statistics: readonly (readonly [relation: string, others: RegExp])[] = [
  ['pg_statistic', /^(starelid|staattnum|stainherit)$/],
  ['pg_statistic_ext_data', /^(stxoid|stxdinherit)$/],
  ['pg_stats', /^(schemaname|tablename|attname|inherited)$/],
  [
    'pg_stats_ext',
    /^(schemaname|tablename|statistics_schemaname|statistics_name|statistics_owner|attnames|exprs|kinds|inherited)$/,
  ],
  [
    'pg_stats_ext_exprs',
    /^(schemaname|tablename|statistics_schemaname|statistics_name|statistics_owner|expr|inherited)$/,
  ],
];

const secrets = 'holds credentials';
/** Of servers, wrappers, roles and databases: where passwords and tokens are put as well. */
const options = 'holds options, credentials among them';
const configuration = "holds the server's configuration, credentials among it";

const named: readonly (readonly [relation: string, column: string, what: string])[] = [
  ['pg_largeobject', 'data', 'holds the contents of large objects'],
  ['pg_stat_activity', 'query', texts],
  ['pg_prepared_statements', 'statement', texts],
  ['pg_cursors', 'statement', texts],
  ['pg_authid', 'rolpassword', secrets],
  ['pg_shadow', 'passwd', secrets],
  ['pg_user_mapping', 'umoptions', secrets],
  ['pg_user_mappings', 'umoptions', secrets],
  ['pg_subscription', 'subconninfo', secrets],
  ['pg_stat_wal_receiver', 'conninfo', secrets],
  ['pg_foreign_server', 'srvoptions', options],
  ['pg_foreign_data_wrapper', 'fdwoptions', options],
  ['pg_db_role_setting', 'setconfig', options],
  ['pg_roles', 'rolconfig', options],
  ['pg_user', 'useconfig', options],
  ['pg_shadow', 'useconfig', options],
  ['pg_file_settings', 'setting', configuration],
  ['pg_hba_file_rules', 'options', configuration],
];

const harmless = new Map<string, RegExp>(statistics.map(([relation, others]) => [`pg_catalog.${relation}`, others]));
const byRelation = new Map<string, Map<string, string>>();
for (const [relation, column, what] of named) {
  const columns = byRelation.get(`pg_catalog.${relation}`) ?? new Map<string, string>();
  byRelation.set(`pg_catalog.${relation}`, columns.set(column, what));
}

/** What information_schema makes of them. */
const optionsInSchema =
  /^information_schema\.(user_mapping_options|foreign_server_options|foreign_data_wrapper_options)\.option_value$|^information_schema\._pg_(user_mappings\.umoptions|foreign_servers\.srvoptions|foreign_data_wrappers\.fdwoptions)$/;

/** Extensions go wherever they were put. */
const statementStatistics = /\.pg_stat_statements$/;

/** Settings of the server's that connection strings and commands stand in. */
const secretSettings: ReadonlySet<string> = new Set(['primary_conninfo', 'ssl_passphrase_command']);

/** In words, what the value of a setting carries; undefined where it is of no such kind. */
export const carriedBySetting = (name: string): string | undefined =>
  secretSettings.has(name.toLowerCase()) ? `the setting ${name} ${secrets}` : undefined;

/** In words, what a column, as schema.relation.column, carries; undefined where it is of no such kind. */
export function carried(name: string): string | undefined {
  const dot = name.lastIndexOf('.');
  const [relation, column] = [name.slice(0, dot), name.slice(dot + 1)];
  if (statementStatistics.test(relation)) return column === 'query' ? `${name} ${texts}` : undefined;
  if (optionsInSchema.test(name)) return `${name} ${secrets}`;
  if (!relation.startsWith('pg_catalog.')) return undefined;
  if (harmless.get(relation)?.test(column) === false) return `${relation} ${values}`;
  const what = byRelation.get(relation)?.get(column);
  return what === undefined ? undefined : `${name} ${what}`;
}

/** What some column of a relation, as schema.relation, carries. */
export function carriedBy(relation: string): string | undefined {
  if (harmless.has(relation)) return values;
  if (statementStatistics.test(relation)) return texts;
  const [what] = byRelation.get(relation)?.values() ?? [];
  return what;
}

const functions: readonly (readonly [name: RegExp, what: string])[] = [
  [/^lo_|^lo(read|write)$/, 'reads and writes large objects, whose contents no policy of a table covers'],
  [/^pg_(read_|ls_|stat_file|file_|current_logfile)/, "reaches the server's files"],
  [/^pg_(logical_|replication_|create_(logical|physical)_|walinspect|get_wal_)/, 'carries the changes of all tables'],
  [/^pg_stat_get_activity$|^pg_stat_get_backend_activity$|^pg_stat_statements$/, 'carries the text of other sessions'],
  [/^(pg_prepared_statement|pg_cursor)$/, 'carries the text of statements'],
  [/^pg_(show_all_file_settings|hba_file_rules|get_backend_memory_contexts|stat_get_wal_receiver)$/, configuration],
  [/_to_xml|^ts_stat$|^ts_rewrite$/, 'runs or reads what an argument names'],
];

/** Why a built-in function is not on the list of those that are harmless, where there is more to say than that. */
export function reaches(name: string): string | undefined {
  return functions.find(([pattern]) => pattern.test(name))?.[1];
}
