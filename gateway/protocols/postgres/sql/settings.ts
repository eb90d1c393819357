import { StatementError } from '../judging/statement.js';
import { prompt_chars_max, promptSetting } from '../prompt.js';
import type { Facts } from './facts.js';

/** SET, RESET and their kin: which settings are harmless, and which would make the server read other SQL than the gateway. */

/** Settings that a session may turn for itself without touching what others see or what policy relies on. Lower case. */
const harmless: ReadonlySet<string> = new Set(
  `application_name array_nulls backslash_quote backend_flush_after bytea_output client_encoding client_min_messages commit_delay commit_siblings
  constraint_exclusion cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction datestyle deadlock_timeout
  debug_parallel_query debug_pretty_print debug_print_parse debug_print_plan debug_print_rewritten default_statistics_target default_toast_compression
  default_transaction_deferrable default_transaction_isolation default_transaction_read_only effective_cache_size
  effective_io_concurrency escape_string_warning exit_on_error extra_float_digits from_collapse_limit gin_fuzzy_search_limit gin_pending_list_limit
  hash_mem_multiplier idle_in_transaction_session_timeout idle_session_timeout intervalstyle join_collapse_limit lc_messages lc_monetary
  lc_numeric lc_time lock_timeout logical_decoding_work_mem maintenance_io_concurrency maintenance_work_mem max_parallel_maintenance_workers
  max_parallel_workers max_parallel_workers_per_gather max_stack_depth min_parallel_index_scan_size min_parallel_table_scan_size names
  parallel_leader_participation parallel_setup_cost parallel_tuple_cost plan_cache_mode quote_all_identifiers random_page_cost
  recursive_worktable_factor search_path seed seq_page_cost standard_conforming_strings statement_timeout synchronize_seqscans
  synchronous_commit tcp_keepalives_count tcp_keepalives_idle tcp_keepalives_interval tcp_user_timeout temp_buffers timezone
  timezone_abbreviations trace_notify transaction_deferrable transaction_isolation transaction_read_only transaction_timeout
  transform_null_equals vacuum_cost_delay wal_skip_threshold work_mem xmlbinary xmloption geqo geqo_effort geqo_generations geqo_pool_size
  geqo_seed geqo_selection_bias geqo_threshold jit jit_above_cost jit_inline_above_cost jit_optimize_above_cost transaction session_characteristics`
    .trim()
    .split(/\s+/),
);

const isHarmless = (name: string): boolean =>
  harmless.has(name) || name.startsWith('enable_') || (isCustom(name) && !modules.test(name));

/** What a session calls its own, in two words or more: the server keeps it and looks at nothing of it, policies of rows may. */
const isCustom = (name: string): boolean => name.includes('.') && !name.startsWith('sallyport.');

/** Settings of modules that say what these record, run or load; the server leaves some of them to everybody. */
const modules =
  /^(anon|auto_explain|autoinc|citus|columnar|cron|dblink|file_fdw|pg_?audit|pg_hint_plan|pg_net|pg_prewarm|pg_stat_\w+|pg_tle|pgsodium|pl\w+|postgres_fdw|rds|sepgsql|sql_firewall|supautils|timescaledb|vault)\./;

/** Encodings in whose characters a byte can look like a quote or a backslash. */
const unsafeEncodings =
  /^(sjis|mskanji|shiftjis|shift_?jis(_?2004)?|win932|windows932|windows31j|big5|win950|windows950|gbk|win936|windows936|uhc|win949|windows949|gb18030|johab)$/;

/**
 * SET name TO values, however it is said; `values` undefined where they are not known. Throws StatementError for a value
 * with which the server would read SQL otherwise than the gateway does.
 */
export function setSetting(facts: Facts, setting: string, values: readonly (string | null)[] | undefined): void {
  const name = setting.toLowerCase();
  if (name === promptSetting) {
    setPrompt(facts, values);
    return;
  }
  checkSetting(name, values);
  const known = isHarmless(name);
  facts.setting(name, known ? 'use' : 'administer');
  facts.act(known ? 'session' : 'administer');
  if (name === 'search_path' || name === 'role' || name === 'session_authorization') facts.movesPath = true;
  if (reading.has(name) && values === undefined) facts.opaque(`the value of ${name} is not a constant`);
}

/** The prompt is the client's to say, in so many characters. Where `values` is undefined, a parameter has it. */
function setPrompt(facts: Facts, values: readonly (string | null)[] | undefined): void {
  const text = values?.join(', ');
  if (text !== undefined && text.length > prompt_chars_max) {
    throw new StatementError(
      '22023',
      `${promptSetting} may have at most ${prompt_chars_max} characters`,
      undefined,
      'Register a longer prompt with POST /v1/prompts, and set the id that it answers.',
    );
  }
  if (text !== undefined) facts.prompt = text;
  facts.setting(promptSetting, 'use');
  facts.act('session');
}

/** Settings that decide how the server reads a statement's text. */
const reading: ReadonlySet<string> = new Set(['standard_conforming_strings', 'client_encoding']);

const off = /^(f|fa|fal|fals|false|n|no|of|off|0)$/i;

/** What a session may read: all but the gateway's own. Throws StatementError. */
export function checkReadable(setting: string): void {
  if (setting.toLowerCase() !== promptSetting) checkOwner(setting);
}

/** The gateway keeps keys of masks in settings of the session: nobody else reads or turns them. Throws StatementError. */
function checkOwner(setting: string): void {
  if (!setting.toLowerCase().startsWith('sallyport.')) return;
  throw new StatementError(
    '42501',
    `the setting ${setting} is the gateway's own`,
    undefined,
    `No session may read, set or reset settings whose names begin with sallyport., but for ${promptSetting}, which SET and set_config() take.`,
  );
}

export function checkSetting(setting: string, values: readonly (string | null)[] | undefined): void {
  const name = setting.toLowerCase();
  checkOwner(name);
  const [value] = values ?? [];
  if (typeof value !== 'string') return;
  if (name === 'standard_conforming_strings' && off.test(value.trim())) {
    throw new StatementError(
      '0A000',
      'standard_conforming_strings cannot be turned off through this gateway',
      undefined,
      "The server would read backslashes in string literals otherwise than the gateway judges them. Write E'…' where escapes are meant.",
    );
  }
  if (
    (name === 'client_encoding' || name === 'names') &&
    unsafeEncodings.test(value.toLowerCase().replace(/[^a-z0-9_]/g, ''))
  ) {
    throw new StatementError(
      '0A000',
      `client_encoding ${value} cannot be used through this gateway`,
      undefined,
      'In this encoding a byte of a character can look like a quote. Use UTF8.',
    );
  }
}

export { isHarmless };
