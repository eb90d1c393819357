import { ProtocolError } from '../../../errors.js';
import { prompt_chars_max, promptSetting } from '../prompt.js';

/**
 * What a client may ask for in its start-up packet. These settings move the client's own view of its session (formats,
 * time-outs, planner choices) and nothing that policy would want to judge; anything else is set by SET, after connecting,
 * where it is an operation.
 */
const harmless = new Set([
  'application_name',
  'backslash_quote',
  'bytea_output',
  'client_encoding',
  'client_min_messages',
  'constraint_exclusion',
  'cpu_index_tuple_cost',
  'cpu_operator_cost',
  'cpu_tuple_cost',
  'cursor_tuple_fraction',
  'datestyle',
  'default_statistics_target',
  'default_transaction_deferrable',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'effective_cache_size',
  'extra_float_digits',
  'from_collapse_limit',
  'geqo',
  'gin_fuzzy_search_limit',
  'hash_mem_multiplier',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'intervalstyle',
  'jit',
  'join_collapse_limit',
  'lc_messages',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'lock_timeout',
  'maintenance_work_mem',
  'max_parallel_workers_per_gather',
  'parallel_setup_cost',
  'parallel_tuple_cost',
  'plan_cache_mode',
  'quote_all_identifiers',
  'random_page_cost',
  'search_path',
  'seq_page_cost',
  'standard_conforming_strings',
  'statement_timeout',
  'synchronize_seqscans',
  'tcp_keepalives_count',
  'tcp_keepalives_idle',
  'tcp_keepalives_interval',
  'tcp_user_timeout',
  'temp_buffers',
  'timezone',
  'transaction_timeout',
  'work_mem',
  'xmlbinary',
  'xmloption',
]);

const planner = /^enable_[a-z_]+$/;

export interface StartupRequest {
  /** Whatever the client calls itself; the first half of a ticket, where its second half is to be proven. */
  readonly user: string;
  /** The name before the first slash of "database". */
  readonly target: string;
  /** What stands behind it. */
  readonly database: string | undefined;
  /** To be passed on: the client's spelling. */
  readonly settings: ReadonlyMap<string, string>;
  readonly application: string | undefined;
  /** `_pq_.` options that the gateway does not know. */
  readonly unknownOptions: readonly string[];
}

/** Throws ProtocolError, or RefusedSetting for a setting that has to wait for a SET. */
export function readStartup(parameters: ReadonlyMap<string, string>): StartupRequest {
  const user = parameters.get('user') ?? '';
  if (user === '') throw new ProtocolError('no PostgreSQL user name specified in startup packet');
  const addressed = parameters.get('database') || user;
  const slash = addressed.indexOf('/');
  const settings = new Map<string, string>();
  const unknownOptions: string[] = [];
  for (const [name, value] of parameters) {
    if (name === 'user' || name === 'database') continue;
    if (name.startsWith('_pq_.')) {
      unknownOptions.push(name);
    } else if (name === 'replication') {
      if (!/^(false|off|no|0)$/i.test(value)) {
        throw new RefusedSetting('replication connections are refused: they read the whole database past every policy');
      }
    } else if (name === 'options') {
      for (const [option, given] of readOptions(value)) settings.set(...judgeSetting(option, given));
    } else {
      settings.set(...judgeSetting(name, value));
    }
  }
  return {
    user,
    target: slash < 0 ? addressed : addressed.slice(0, slash),
    database: slash < 0 || slash === addressed.length - 1 ? undefined : addressed.slice(slash + 1),
    settings,
    application: settings.get('application_name'),
    unknownOptions,
  };
}

const unsafeEncodings = new Set([
  'sjis',
  'shiftjis',
  'mskanji',
  'windows932',
  'win932',
  'big5',
  'windows950',
  'win950',
  'gbk',
  'windows936',
  'win936',
  'uhc',
  'windows949',
  'win949',
  'gb18030',
  'johab',
  'shiftjis2004',
]);

/**
 * Why the server would read statements otherwise than the gateway's parser under this value; undefined where it would
 * not. In these encodings the second byte of a character can be a quote or a backslash.
 */
export function unsafeSetting(name: string, value: string): string | undefined {
  const strange =
    (name === 'standard_conforming_strings' && !/^(on|true|yes|1|tru|tr|t|ye|y)$/i.test(value.trim())) ||
    // The server compares the names of encodings by their letters and digits alone.
    (name === 'client_encoding' && unsafeEncodings.has(value.toLowerCase().replace(/[^a-z0-9]/g, '')));
  return strange
    ? `${name} = ${value} is refused: the server would read statements otherwise than policy does`
    : undefined;
}

/** A setting that cannot be had at start-up: the message says how it can. */
export class RefusedSetting extends ProtocolError {}

function judgeSetting(name: string, value: string): [string, string] {
  const known = name.toLowerCase();
  if (known === promptSetting) {
    if (value.length > prompt_chars_max) {
      throw new RefusedSetting(
        `${promptSetting} may have at most ${prompt_chars_max} characters: register a longer prompt with POST /v1/prompts, and set its id`,
      );
    }
    return [known, value];
  }
  // Names with a dot belong to extensions and to applications: the server itself refuses those that need a superuser, but
  // says nothing of what they do.
  if (!harmless.has(known) && !planner.test(known)) {
    throw new RefusedSetting(
      `"${name}" cannot be set while connecting: connect without it, and use SET ${name} = …, which policy judges`,
    );
  }
  const unsafe = unsafeSetting(known, value);
  if (unsafe !== undefined) throw new RefusedSetting(unsafe);
  return [known === 'datestyle' ? 'DateStyle' : known === 'timezone' ? 'TimeZone' : known, value];
}

/**
 * The command-line options that libpq sends (PGOPTIONS): `-c name=value` and `--name=value`, words split at white space,
 * a backslash keeps the next character.
 *
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS
 */
function* readOptions(text: string): Generator<[string, string]> {
  const words: string[] = [];
  let word: string | undefined;
  for (let index = 0; index < text.length; index++) {
    const character = text[index]!;
    if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === '\\' && index + 1 < text.length) {
      word = (word ?? '') + text[++index]!;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (word !== undefined) words.push(word);
  for (let index = 0; index < words.length; index++) {
    let option = words[index]!;
    if (option === '-c') option = words[++index] ?? '';
    else if (option.startsWith('-c')) option = option.slice(2);
    else if (option.startsWith('--')) option = option.slice(2);
    else
      throw new RefusedSetting(
        `the option ${JSON.stringify(option)} is refused: only -c name=value and --name=value are known`,
      );
    const equals = option.indexOf('=');
    if (equals < 1) throw new ProtocolError(`the option ${JSON.stringify(option)} requires a value`);
    yield [option.slice(0, equals).replaceAll('-', '_'), option.slice(equals + 1)];
  }
}
