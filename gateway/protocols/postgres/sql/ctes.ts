import type { SelectStmt, WithClause } from 'libpg-query';
import { as, strings, walk, type Wrapped } from './ast.js';
import { openDerived, renamed, Scope, united, wholeRow, type Context, type Derived } from './scope.js';

/** WITH: queries that others refer to by name. */

interface Cte {
  ctename?: string;
  aliascolnames?: Wrapped[];
  ctequery?: Wrapped;
  search_clause?: { search_seq_column?: string };
  cycle_clause?: { cycle_mark_column?: string; cycle_path_column?: string };
}

/** Makes the CTEs known in the scope. Each sees those before it; a recursive one sees itself, WITH RECURSIVE all of them. */
export function withClause(context: Context, clause: WithClause | undefined, scope: Scope): void {
  const ctes = (clause?.ctes ?? []).map((node) => as<Cte>(node, 'CommonTableExpr')).filter((cte) => cte !== undefined);
  if (clause?.recursive) for (const cte of ctes) scope.ctes.set(cte.ctename ?? '', openDerived([]));
  for (const cte of clause?.recursive ? sortedByUse(ctes) : ctes) {
    const name = cte.ctename ?? '';
    const columns = strings(cte.aliascolnames);
    const query = as<SelectStmt>(cte.ctequery, 'SelectStmt');
    const extra = [
      cte.search_clause?.search_seq_column,
      cte.cycle_clause?.cycle_mark_column,
      cte.cycle_clause?.cycle_path_column,
    ].filter((c) => c !== undefined);
    const finish = (derived: Derived): Derived => {
      const named = renamed(derived, columns);
      const all = wholeRow(named).origins;
      return { ...named, columns: [...named.columns, ...extra.map((column) => ({ name: column, origins: all }))] };
    };
    if (clause?.recursive && query?.larg !== undefined) recursive(context, name, query, scope, finish);
    else if (cte.ctequery !== undefined)
      scope.ctes.set(name, { ...finish(context.query(cte.ctequery, scope, 'flow')), query });
  }
}

/** WITH RECURSIVE lets a query name those that come after it: what is named goes first. (Two that name each other the server refuses.) */
function sortedByUse(ctes: readonly Cte[]): readonly Cte[] {
  const byName = new Map(ctes.map((cte) => [cte.ctename ?? '', cte]));
  const sorted = new Set<Cte>();
  const begun = new Set<Cte>();
  const visit = (cte: Cte): void => {
    if (begun.has(cte)) return;
    begun.add(cte);
    walk(cte.ctequery, (value) => {
      const other =
        typeof value.relname === 'string' && value.schemaname === undefined ? byName.get(value.relname) : undefined;
      if (other !== undefined) visit(other);
      return true;
    });
    sorted.add(cte);
  };
  ctes.forEach(visit);
  return [...sorted];
}

/** What flows from one column to another on each turn is found by turning until nothing is new. */
function recursive(
  context: Context,
  name: string,
  query: SelectStmt,
  scope: Scope,
  finish: (derived: Derived) => Derived,
): void {
  const inner = new Scope(scope);
  withClause(context, query.withClause, inner);
  let derived = query.larg === undefined ? openDerived([]) : context.select(query.larg, inner, 'flow');
  const turns_max = derived.columns.length + 2;
  for (let turn = 0, size = -1; turn < turns_max; turn++) {
    scope.ctes.set(name, finish(derived));
    derived = united(derived, context.select(query, scope, 'flow'));
    const now = wholeRow(derived).origins.length;
    if (now === size) break;
    size = now;
  }
  scope.ctes.set(name, finish(derived));
}
