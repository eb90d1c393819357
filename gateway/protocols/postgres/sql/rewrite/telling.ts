import type { ColumnRef, FuncCall, RawStmt } from 'libpg-query';
import { RewriteRefusal } from '../../enforcing/rewriting.js';
import { strings, walk, type Wrapped } from '../ast.js';
import { split, type Names } from '../names.js';
import { columnOf, type Origin, type Source } from '../scope.js';
import type { Occurrences } from './occurrences.js';

/**
 * Under masks of scope `output` expressions see clear values. Predicates, joins and grouping may: that is what the scope is for.
 * What hands a value out by another road than the result, or says a number as so many rows at once, may not.
 */

/** Of the functions that are not opaque, those that do something with their arguments which outlasts the row, or takes its time. */
const effects = /^pg_catalog\.(pg_notify|set_config|setval|setseed|pg_sleep(_for|_until)?|pg_(try_)?advisory_\w+)$/;

/** What the check looks things up in. */
export interface Told {
  readonly names: Names;
  readonly seen: Occurrences;
  /** Columns that have a mask of scope `output`, as schema.relation.column. */
  readonly masked: ReadonlySet<Origin>;
}

/** Throws RewriteRefusal. @param functions As schema.name. */
export function checkTelling(raw: RawStmt, functions: readonly string[], told: Told): void {
  const effect = functions.find((name) => effects.test(name));
  if (effect !== undefined)
    throw refusal(`${effect.slice(effect.indexOf('.') + 1)}() could carry out what is masked on the way out only`);
  walk(raw.stmt, (value) => {
    const { RangeFunction, RangeTableFunc, JsonTable, RangeTableSample, FuncCall: call, SelectStmt } = value;
    const parts = [RangeFunction, RangeTableFunc, JsonTable].filter((part) => part !== undefined);
    if (parts.some((part) => depends(part, told)))
      throw refusal('how many rows a function in FROM makes could tell a masked value');
    if (call !== undefined && isSeries(call as FuncCall, told.names) && depends(call, told))
      throw refusal('how many rows a function makes could tell a masked value');
    const { limitCount, limitOffset } = (SelectStmt ?? {}) as { limitCount?: Wrapped; limitOffset?: Wrapped };
    if ([limitCount, limitOffset, RangeTableSample].some((part) => part !== undefined && depends(part, told)))
      throw refusal('a LIMIT, an OFFSET or a sample by a query could tell a masked value');
    return true;
  });
}

/** Makes any number of rows, as the catalog says of one of the functions that may be meant. */
function isSeries({ funcname }: FuncCall, names: Names): boolean {
  const { schema, name } = split(strings(funcname));
  const routines = names.functions(schema, name);
  return routines.length === 0 || routines.some((routine) => routine.isSeries);
}

/** Whether a part of the statement names a column that is masked on the way out, or one that is made of such columns. */
function depends(tree: unknown, { seen, masked }: Told): boolean {
  let found = false;
  walk(tree, (value) => {
    const ref = value.ColumnRef as ColumnRef | undefined;
    if (ref !== undefined) {
      const use = seen.columns.get(ref);
      // A whole row, a star, or a name whose meaning is not certain may be any column.
      found ||=
        use?.isCertain !== true ||
        seen.rows.has(ref) ||
        use.sources.some((source) => made(source, use.name).some((origin) => masked.has(origin)));
    }
    return !found;
  });
  return found;
}

const made = (source: Source, name: string): readonly Origin[] => columnOf(source, name)?.origins ?? source.pool;

const refusal = (message: string): RewriteRefusal => new RewriteRefusal('mask_unenforceable', message);
