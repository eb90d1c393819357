import { as, constant, open, same, strings, walk, type Wrapped } from './ast.js';
import { columnOf, type Source } from './scope.js';

/**
 * Whether a WHERE depends on the row of the target of an UPDATE or DELETE. These forms do: a comparison (also IN, LIKE,
 * BETWEEN, ANY) in which exactly one side has columns of the target, or the sides have different ones; `column IS NULL`
 * and the tests of a boolean; a boolean column or function over columns; a sub-query that refers to the target; CURRENT
 * OF. AND needs one such part, OR needs all. Not: constants, `id = id`, `id = id + 0`, `IS NOT NULL`, a LIKE of nothing but
 * %, and COALESCE and CASE, whose outcome may be one for all rows.
 *
 * It is an honest reading of what the text says, not a proof: `id > -1` is bounded.
 */
export function isBounded(where: Wrapped | undefined, target: Source): boolean {
  if (where === undefined) return false;
  const { kind, body } = open(where);
  const on = (node: Wrapped | undefined): boolean => isBounded(node, target);
  const has = (node: unknown): boolean => columns(node, target).length > 0;
  switch (kind) {
    case 'BoolExpr': {
      const { boolop, args = [] } = body as { boolop?: string; args?: Wrapped[] };
      return boolop === 'OR_EXPR' ? args.every(on) : args.some(on);
    }
    case 'A_Expr': {
      const {
        lexpr,
        rexpr,
        name,
        kind: form,
      } = body as { lexpr?: Wrapped; rexpr?: Wrapped; name?: Wrapped[]; kind?: string };
      if (same(lexpr, rexpr)) return false;
      const left = columns(lexpr, target);
      const right = columns(rexpr, target);
      if ((form === 'AEXPR_LIKE' || form === 'AEXPR_ILIKE') && /^%*$/.test(constant(rexpr) ?? ' ')) return false;
      if (form === 'AEXPR_OP' && strings(name).length === 0) return false;
      return left.join() !== right.join();
    }
    case 'NullTest':
      return (body as { nulltesttype?: string }).nulltesttype === 'IS_NULL' && has(body);
    case 'BooleanTest': {
      const { arg } = body as { arg?: Wrapped };
      return as(arg, 'ColumnRef') === undefined ? on(arg) : has(arg);
    }
    case 'ColumnRef':
    case 'FuncCall':
      return has(where);
    case 'SubLink': {
      const { testexpr, subselect } = body as { testexpr?: Wrapped; subselect?: Wrapped };
      return has(testexpr) || has(subselect);
    }
    case 'TypeCast':
      return on((body as { arg?: Wrapped }).arg);
    case 'CurrentOfExpr':
      return true;
    default:
      return false;
  }
}

/** The target's columns that a tree names, sorted. */
function columns(tree: unknown, target: Source): string[] {
  const found = new Set<string>();
  walk(tree, (value) => {
    const fields = as<{ fields?: Wrapped[] }>(value as unknown as Wrapped, 'ColumnRef')?.fields;
    if (fields === undefined) return true;
    const parts = strings(fields);
    const name = parts[parts.length - 1] ?? '';
    const qualifier = parts[parts.length - 2];
    if (
      qualifier === target.alias ||
      (qualifier === undefined && (target.open || columnOf(target, name) !== undefined))
    )
      found.add(name);
    return false;
  });
  return [...found].sort();
}
