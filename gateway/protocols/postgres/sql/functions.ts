import { isExtensionKnown } from './extensions.js';
import { builtinFunctions } from './functions.data.js';

/**
 * Which functions are known: they have no effects but their result, and read nothing but their arguments, the clock, the
 * session's own state and definitions in the catalog. An allow-list: whatever is not on it makes a statement opaque.
 *
 * `functions.data.ts` is written by `scripts/postgres-functions.mjs` out of pg_proc and the review below: every immutable
 * function that SQL can call, and of the others those that somebody has looked at. A name is on the list only if all its
 * overloads may be.
 */

/** Stable and volatile functions that were reviewed; grouped by why they are harmless. */
export const reviewed = {
  'the clock, chance, and the time zone': `age clock_timestamp date date_add date_cmp_timestamptz date_eq_timestamptz date_ge_timestamptz date_gt_timestamptz
    date_le_timestamptz date_lt_timestamptz date_ne_timestamptz date_part date_subtract date_trunc extract gen_random_uuid generate_series in_range
    interval_pl_timestamptz make_timestamptz now overlaps random random_normal statement_timestamp time timeofday timestamp timestamp_cmp_timestamptz
    timestamp_eq_timestamptz timestamp_ge_timestamptz timestamp_gt_timestamptz timestamp_le_timestamptz timestamp_lt_timestamptz timestamp_ne_timestamptz
    timestamptz timestamptz_cmp_date timestamptz_cmp_timestamp timestamptz_eq_date timestamptz_eq_timestamp timestamptz_ge_date timestamptz_ge_timestamp
    timestamptz_gt_date timestamptz_gt_timestamp timestamptz_le_date timestamptz_le_timestamp timestamptz_lt_date timestamptz_lt_timestamp
    timestamptz_mi_interval timestamptz_ne_date timestamptz_ne_timestamp timestamptz_pl_interval timetz timezone to_char to_date to_number to_timestamp
    transaction_timestamp uuidv4 uuidv7 array_sample array_shuffle setseed pg_sleep pg_sleep_for pg_sleep_until`,
  'text and documents out of the arguments': `anytextcat array_to_json array_to_string concat concat_ws convert convert_from convert_to format json_agg
    json_agg_strict json_build_array json_build_object json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict
    json_to_record json_to_recordset jsonb_agg jsonb_agg_strict jsonb_build_array jsonb_build_object jsonb_path_exists_tz jsonb_path_match_tz
    jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz jsonb_to_record jsonb_to_recordset length money numeric oidvectortypes
    quote_literal quote_nullable row_to_json textanycat to_json to_jsonb xml xml_is_well_formed json_populate_record json_populate_recordset
    jsonb_populate_record jsonb_populate_record_valid jsonb_populate_recordset enum_first enum_last enum_range`,
  'text search with the configurations that the database has': `json_to_tsvector jsonb_to_tsvector phraseto_tsquery plainto_tsquery to_tsquery to_tsvector
    ts_headline ts_match_tq ts_match_tt websearch_to_tsquery get_current_ts_config`,
  'the session itself': `current_database current_query current_schema current_schemas current_user getdatabaseencoding getpgusername inet_client_addr
    inet_client_port inet_server_addr inet_server_port pg_backend_pid pg_client_encoding pg_conf_load_time pg_current_snapshot pg_current_xact_id
    pg_current_xact_id_if_assigned pg_is_in_recovery pg_is_other_temp_schema pg_my_temp_schema pg_postmaster_start_time pg_trigger_depth
    session_user system_user txid_current txid_current_if_assigned txid_current_snapshot version pg_jit_available`,
  'definitions and names in the catalog': `aclexplode col_description format_type has_any_column_privilege has_column_privilege has_database_privilege
    has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege has_parameter_privilege has_schema_privilege
    has_sequence_privilege has_server_privilege has_table_privilege has_tablespace_privilege has_type_privilege mxid_age obj_description pg_basetype
    pg_char_to_encoding pg_collation_actual_version pg_collation_for pg_collation_is_visible pg_column_compression pg_column_is_updatable pg_column_size
    pg_conversion_is_visible pg_database_collation_actual_version pg_describe_object pg_encoding_to_char pg_function_is_visible pg_get_acl
    pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr pg_get_function_arg_default pg_get_function_arguments
    pg_get_function_identity_arguments pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords
    pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef pg_get_replica_identity_index pg_get_ruledef pg_get_serial_sequence
    pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions pg_get_triggerdef pg_get_userbyid pg_get_viewdef
    pg_has_role pg_identify_object pg_identify_object_as_address pg_index_column_has_property pg_index_has_property pg_indexam_has_property
    pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible pg_options_to_table pg_partition_ancestors pg_partition_tree
    pg_relation_is_publishable pg_relation_is_updatable pg_sequence_parameters pg_statistics_obj_is_visible pg_table_is_visible
    pg_tablespace_location pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone pg_timezone_names pg_ts_config_is_visible pg_ts_dict_is_visible
    pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof regclass row_security_active shobj_description to_regclass
    to_regcollation to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure to_regrole to_regtype to_regtypemod ts_token_type`,
  'who waits for whom, and how far a standby is': `pg_blocking_pids pg_is_wal_replay_paused pg_last_wal_receive_lsn pg_last_wal_replay_lsn
    pg_last_xact_replay_timestamp pg_listening_channels pg_notification_queue_usage pg_safe_snapshot_blocking_pids pg_stat_get_snapshot_timestamp
    pg_xact_status txid_status`,
  sizes: `pg_database_size pg_indexes_size pg_relation_filenode pg_relation_filepath pg_relation_size pg_table_size pg_tablespace_size
    pg_total_relation_size`,
  'counters of relations, which the views of statistics show': `pg_stat_get_analyze_count pg_stat_get_autoanalyze_count pg_stat_get_autovacuum_count
    pg_stat_get_blocks_fetched pg_stat_get_blocks_hit pg_stat_get_dead_tuples pg_stat_get_ins_since_vacuum pg_stat_get_last_analyze_time
    pg_stat_get_last_autoanalyze_time pg_stat_get_last_autovacuum_time pg_stat_get_last_vacuum_time pg_stat_get_lastscan pg_stat_get_live_tuples
    pg_stat_get_mod_since_analyze pg_stat_get_numscans pg_stat_get_total_analyze_time pg_stat_get_total_autoanalyze_time
    pg_stat_get_total_autovacuum_time pg_stat_get_total_vacuum_time pg_stat_get_tuples_deleted pg_stat_get_tuples_fetched
    pg_stat_get_tuples_hot_updated pg_stat_get_tuples_inserted pg_stat_get_tuples_newpage_updated pg_stat_get_tuples_returned
    pg_stat_get_tuples_updated pg_stat_get_vacuum_count`,
} as const;

/** Locks that mean what the sessions that take them agree on. */
export const advisory: ReadonlySet<string> = new Set(
  `pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared pg_advisory_xact_lock
    pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock
    pg_try_advisory_xact_lock_shared`.split(/\s+/),
);

/** Built-ins that are no ordinary function: what they touch is read off their arguments (see `special.ts`). */
export const special: ReadonlySet<string> = new Set([
  'nextval',
  'currval',
  'lastval',
  'setval',
  'set_config',
  'current_setting',
  'pg_notify',
  'pg_input_is_valid',
  'pg_show_all_settings',
  ...advisory,
]);

const known: ReadonlySet<string> = new Set(builtinFunctions.trim().split(/\s+/));

/** Helpers of the standard's views, which drivers call themselves: out of their arguments, but for an index's definition. */
const informationSchema: ReadonlySet<string> = new Set(
  `_pg_char_max_length _pg_char_octet_length _pg_datetime_precision _pg_expandarray _pg_index_position _pg_interval_type _pg_numeric_precision
    _pg_numeric_precision_radix _pg_numeric_scale _pg_truetypid _pg_truetypmod`.split(/\s+/),
);

/** Whether a function, as "schema.name", is known to have no effects and to read nothing but its arguments. */
export function isKnown(qualified: string): boolean {
  const [schema, name, more] = qualified.split('.');
  if (name === undefined || more !== undefined) return false;
  if (schema === 'pg_catalog') return known.has(name);
  return schema === 'information_schema' && informationSchema.has(name);
}

/** The same of a function that the catalog was asked for. */
export const isKnownRoutine = ({ schema, name, extension }: RoutineName): boolean =>
  isKnown(`${schema}.${name}`) || isExtensionKnown(extension, name);

interface RoutineName {
  readonly schema: string;
  readonly name: string;
  readonly extension: string | undefined;
}

/** Built-ins that run SQL which they are given, or that read a query out of an argument: after them anything may be otherwise. */
const runners = /^pg_catalog\.(.*_to_xml.*|ts_stat|ts_rewrite|set_config)$/;

/** Whether running a function that is not known may have changed what names mean in the session. */
export function mayMoveNames(qualified: string): boolean {
  return !qualified.startsWith('pg_catalog.') || runners.test(qualified);
}

/** Whether a function that runs without being named (a default's, a view's) needs no look: nextval of a serial column. */
export function isHarmlessHidden(qualified: string): boolean {
  return isKnown(qualified) || /^pg_catalog\.(nextval|currval|lastval|current_setting)$/.test(qualified);
}
