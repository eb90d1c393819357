import type { ColumnRef, DeleteStmt, ExplainStmt, PrepareStmt, RawStmt, UpdateStmt } from 'libpg-query';
import { as, walk, type Wrapped } from '../ast.js';

/**
 * Under masks of scope `output` the condition of an UPDATE or DELETE sees clear values of the rows that it is about, as that of a
 * query does; what is set and returned does not. No query can be put around a write, so where another relation or a sub-query takes
 * part it is not told apart which use is which.
 */

/** The references in such a condition; undefined where the statement is no write, or not as plain as that. */
export function clearInCondition({ stmt }: RawStmt): ReadonlySet<ColumnRef> | undefined {
  const inner = as<ExplainStmt>(stmt, 'ExplainStmt')?.query ?? as<PrepareStmt>(stmt, 'PrepareStmt')?.query ?? stmt;
  const update = as<UpdateStmt>(inner, 'UpdateStmt');
  const remove = as<DeleteStmt>(inner, 'DeleteStmt');
  const write = update ?? remove;
  if (write === undefined || write.withClause !== undefined) return undefined;
  if (update?.fromClause !== undefined || remove?.usingClause !== undefined || hasQuery(inner)) return undefined;
  const found = new Set<ColumnRef>();
  walk(write.whereClause, (value) => {
    if (value.ColumnRef !== undefined) found.add(value.ColumnRef as ColumnRef);
    return true;
  });
  return found;
}

function hasQuery(tree: Wrapped | undefined): boolean {
  let found = false;
  walk(tree, (value) => {
    found ||= value.SubLink !== undefined;
    return !found;
  });
  return found;
}
