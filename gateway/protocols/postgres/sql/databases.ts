import type { ColumnRef, RawStmt } from 'libpg-query';
import { StatementError } from '../judging/statement.js';
import { strings, walk, type Wrapped } from './ast.js';
import type { Parsed } from './parse.js';

/**
 * Names that are qualified with a database: database.schema.name, and one more for a column. The server knows its own alone,
 * and says no to others; so does the gateway, in the same words, for what leaves may no longer have the name in it.
 *
 * Throws StatementError 0A000.
 */
export function checkDatabases(parsed: Parsed, { stmt }: RawStmt, database: string): void {
  walk(stmt, (value) => {
    const { catalogname, schemaname, relname, location } = value;
    if (typeof catalogname === 'string' && catalogname !== database)
      throw foreign(parsed, `"${[catalogname, schemaname, relname].join('.')}"`, location);
    const ref = value.ColumnRef as ColumnRef | undefined;
    const parts = (ref?.fields ?? []).length === 4 ? strings(ref?.fields) : [];
    const isStar = parts.length === 3;
    if (parts.length > 0 && parts[0] !== database)
      throw foreign(parsed, `${parts.join('.')}${isStar ? '.*' : ''}`, ref?.location);
    for (const key of ['funcname', 'names'] as const) {
      const names = Array.isArray(value[key]) ? strings(value[key] as Wrapped[]) : [];
      if (names.length === 3 && names[0] !== database && value.pct_type !== true)
        throw foreign(parsed, names.join('.'), location);
    }
    return true;
  });
}

/** @param location Where the name stands, in bytes from the start of the text. */
function foreign(parsed: Parsed, name: string, location: unknown): StatementError {
  const position = typeof location === 'number' ? Array.from(parsed.slice(0, location)).length + 1 : undefined;
  return new StatementError('0A000', `cross-database references are not implemented: ${name}`, position);
}
