import { SqlError, fingerprintSync, loadModule, parseSync, scanSync, type RawStmt } from 'libpg-query';
import { StatementError } from '../judging/statement.js';
import { watch, type Watched } from './literals.js';

/** Postgres's own grammar, compiled to WebAssembly. Texts come in as the client sent them and are parsed once. */

/** Longer texts are refused before they reach the parser: a megabyte takes it about half a second. */
export const text_bytes_max = 1024 * 1024;
/** What the cache of parsed texts may hold; a tree is counted as a multiple of its text. */
export const parsed_bytes_max = 64 * 1024 * 1024;
const tree_bytes_per_text_byte = 40;

export interface Parsed {
  readonly text: string;
  readonly statements: readonly RawStmt[];
  /** Where other texts of the same form may share what is learned of this one. */
  readonly watched: Watched | undefined;
  /** The text as UTF-8, in which the tree's locations count. */
  slice(start: number, end?: number): string;
}

/** Loads the parser; everything else in this folder needs it to have been awaited once. */
export async function loadParser(): Promise<void> {
  await loadModule();
}

const cache = new Map<string, Parsed>();
let cached_bytes = 0;

const cost = (text: string): number => 512 + text.length * tree_bytes_per_text_byte;

/** Throws StatementError for what the server would not parse either. */
export function parse(text: string): Parsed {
  const known = cache.get(text);
  if (known !== undefined) {
    cache.delete(text);
    cache.set(text, known);
    return known;
  }
  const parsed = parseAnew(text);
  const size = cost(text);
  if (size <= parsed_bytes_max / 8) {
    cache.set(text, parsed);
    cached_bytes += size;
    for (const oldest of cache.keys()) {
      if (cached_bytes <= parsed_bytes_max) break;
      cache.delete(oldest);
      cached_bytes -= cost(oldest);
    }
  }
  return parsed;
}

/** A tree of one's own, which nobody else has and nothing watches, unless that is asked for. */
export const parseAlone = (text: string, watching = false): Parsed => parseAnew(text, watching);

function parseAnew(text: string, watching = true): Parsed {
  if (text.length > text_bytes_max || Buffer.byteLength(text) > text_bytes_max) {
    throw new StatementError(
      '54000',
      `the statement is longer than ${text_bytes_max} bytes`,
      undefined,
      'Send large values as parameters, or with COPY.',
    );
  }
  // The parser reads up to the first NUL, and replaces half of a surrogate pair: neither would be what was sent.
  if (text.includes('\0')) throw new StatementError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
  if (!isWellFormed(text)) throw new StatementError('22021', 'invalid byte sequence for encoding "UTF8"');
  const statements = text === '' ? [] : trees(text);
  const ascii = !/[^\x00-\x7f]/.test(text);
  let bytes: Buffer | undefined;
  return {
    text,
    statements,
    watched: watching ? watch(text, statements) : undefined,
    slice(start, end) {
      if (ascii) return text.slice(start, end);
      bytes ??= Buffer.from(text);
      return bytes.toString('utf8', start, end);
    },
  };
}

function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}

function trees(text: string): readonly RawStmt[] {
  try {
    return parseSync(text).stmts ?? [];
  } catch (error) {
    if (error instanceof SqlError) throw syntaxError(error, text);
    throw tooDeep();
  }
}

/** What the server says of an expression that is nested too deeply. */
export function tooDeep(): StatementError {
  return new StatementError('54001', 'stack depth limit exceeded', undefined, 'Write the statement with less nesting.');
}

/** libpg-query gives a message and a position in characters, from 0; 0 also where there is none. */
function syntaxError(error: SqlError, text: string): StatementError {
  const message = error.message;
  const cursor = error.sqlDetails?.cursorPosition ?? 0;
  const positioned = cursor > 0 || / at or near "/.test(message);
  // Positions count code points; a text's end is one past the last.
  const position = positioned && cursor <= text.length ? cursor + 1 : undefined;
  return new StatementError(
    sqlstate(message, text, cursor),
    message,
    position,
    hint(message, text, cursor),
    detail(message),
  );
}

/** Nor does it hand out the hints that the server's parser has (scan.l, parser.c, gram.y). */
const hints: readonly (readonly [start: string, hint: string])[] = [
  ['missing argument', 'Use NONE to denote the missing argument of a unary operator.'],
  ['unrecognized row security option', 'Only PERMISSIVE or RESTRICTIVE policies are supported currently.'],
  ['LIMIT #,# syntax is not supported', 'Use separate LIMIT and OFFSET clauses.'],
  [
    'UNENCRYPTED PASSWORD is no longer supported',
    'Remove UNENCRYPTED to store the password in encrypted form instead.',
  ],
  ['RECHECK is no longer required', 'Update your data type.'],
  [
    "unsafe use of \\' in a string literal",
    "Use '' to write quotes in strings. \\' is insecure in client-only encodings.",
  ],
];

function detail(message: string): string | undefined {
  return message === 'invalid publication object list'
    ? 'One of TABLE or TABLES IN SCHEMA must be specified before a standalone table or schema name.'
    : undefined;
}

function hint(message: string, text: string, cursor: number): string | undefined {
  if (message !== 'invalid Unicode escape') return hints.find(([start]) => message.startsWith(start))?.[1];
  return escapesInE(text, cursor)
    ? 'Unicode escapes must be \\uXXXX or \\UXXXXXXXX.'
    : 'Unicode escapes must be \\XXXX or \\+XXXXXX.';
}

/** Inside E'…' the position is the escape's own; inside U&'…' any character can be the one that escapes. */
function escapesInE(text: string, cursor: number): boolean {
  return /^\\[uU]$/.test(
    Array.from(text)
      .slice(cursor, cursor + 2)
      .join(''),
  );
}

/** The parser hands out no SQLSTATE: what is not a syntax error is known by its wording (gram.y, scan.l, parser.c). */
function sqlstate(message: string, text: string, cursor: number): string {
  if (message.startsWith('invalid byte sequence')) return '22021';
  if (message === 'invalid Unicode escape') return escapesInE(text, cursor) ? '22025' : '42601';
  if (message.startsWith('nonstandard use of') || message.startsWith("unsafe use of \\'")) return '22P06';
  if (
    / (is|are) not (yet )?(supported|implemented)|not yet implemented|cannot be marked|unsafe use of|is not possible|not supported/.test(
      message,
    )
  )
    return '0A000';
  if (/^(invalid value for|precision for type float)/.test(message)) return '22023';
  return '42601';
}

/** Equal for texts that differ in their literals only; undefined where the parser has none. */
export function fingerprint(text: string): string | undefined {
  try {
    return fingerprintSync(text);
  } catch {
    return undefined;
  }
}

/**
 * The statement inside a PREPARE or DECLARE that parses: what follows the first AS or FOR outside parentheses. Both words
 * are reserved, so that no name before them can be one.
 */
export function innerText(outer: string, after: 'AS' | 'FOR'): string {
  const bytes = Buffer.from(outer);
  let depth = 0;
  for (const token of scanSync(outer).tokens) {
    const word = bytes.toString('utf8', token.start, token.end);
    if (word === '(') depth++;
    else if (word === ')') depth--;
    else if (depth === 0 && word.toUpperCase() === after) return bytes.toString('utf8', token.end).trim();
  }
  throw new StatementError('42601', `there is no ${after} in the statement`);
}
