import { scanSync } from 'libpg-query';
import { open, walk } from './ast.js';
import type { Parsed } from './parse.js';

/**
 * The text as audit may keep it. Statements that can carry a credential are found in the tree; all string literals of such
 * a statement are replaced, so that what is kept never depends on guessing where the password stands.
 */

/** Statements with options or connection strings. */
const carriers: ReadonlySet<string> = new Set([
  'CreateRoleStmt',
  'AlterRoleStmt',
  'CreateUserMappingStmt',
  'AlterUserMappingStmt',
  'CreateForeignServerStmt',
  'AlterForeignServerStmt',
  'CreateSubscriptionStmt',
  'AlterSubscriptionStmt',
  'CreateFdwStmt',
  'AlterFdwStmt',
  'AlterSystemStmt',
  'AlterRoleSetStmt',
  'AlterDatabaseSetStmt',
  'CreateForeignTableStmt',
]);

/** A setting's, a column's or an argument's name that says its value is none of the log's business. */
const secretName = /pass(word|wd|phrase)?$|secret|token|conninfo|api_?key|private_?key/i;

export function recorded(parsed: Parsed): string {
  let changed = false;
  const pieces: string[] = [];
  let at = 0;
  for (const raw of parsed.statements) {
    if (raw.stmt === undefined) continue;
    const start = raw.stmt_location ?? 0;
    const end = raw.stmt_len === undefined ? undefined : start + raw.stmt_len;
    if (!carries(raw.stmt)) continue;
    changed = true;
    pieces.push(parsed.slice(at, start), redact(parsed.slice(start, end)));
    if (end === undefined) return pieces.join('');
    at = end;
  }
  if (!changed) return parsed.text;
  pieces.push(parsed.slice(at));
  return pieces.join('');
}

function carries(node: Parameters<typeof open>[0]): boolean {
  const { kind, body } = open(node);
  if (carriers.has(kind)) return true;
  if (kind === 'VariableSetStmt') return secretName.test((body as { name?: string }).name ?? '');
  let found = false;
  // set_config('…password…', …), dblink_connect and CREATE SCHEMA … elements are ordinary trees.
  walk(node, (value) => {
    for (const key in value) if (carriers.has(key)) found = true;
    return !found;
  });
  return found;
}

/** Every literal of a text that parses becomes '***', every comment a space: as the server's own scanner finds them. */
function redact(text: string): string {
  const bytes = Buffer.from(text);
  const pieces: string[] = [];
  let at = 0;
  for (const { start, end, tokenName } of scanSync(text).tokens) {
    const comment = tokenName === 'SQL_COMMENT' || tokenName === 'C_COMMENT';
    if (!comment && tokenName !== 'SCONST' && !literal.test(bytes.toString('latin1', start, start + 4))) continue;
    pieces.push(bytes.toString('utf8', at, start), comment ? ' ' : "'***'");
    at = end;
  }
  pieces.push(bytes.toString('utf8', at));
  return pieces.join('');
}

/** The beginnings of literals that the scanner does not name: U&'…', b'…', x'…'. */
const literal = /^(?:[bBxXeEnN]|[uU]&)?'/;
