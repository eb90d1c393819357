import { as, open, type Wrapped } from '../ast.js';
import { expressionTree } from './expected.js';

/** A condition of the gateway's before one of the client's, as text around that and as the tree which it gives. */

/** @param isOrdered The client's could fail on rows for which the gateway's is false: it must not be tried on these. */
export function before(condition: string, isOrdered: boolean): { readonly head: string; readonly tail: string } {
  return isOrdered
    ? { head: ` CASE WHEN ${condition} THEN (`, tail: ') ELSE FALSE END' }
    : { head: ` (${condition}) AND (`, tail: ')' };
}

export function beforeTree(condition: string, isOrdered: boolean, own: Wrapped): Wrapped {
  const tree = expressionTree(`(${condition})`);
  return isOrdered ? inOrder(tree, own) : both(tree, own);
}

/** AND as the grammar builds it: the left side's own AND goes on. */
function both(left: Wrapped, right: Wrapped): Wrapped {
  const and = as<{ boolop?: string; args?: Wrapped[] }>(left, 'BoolExpr');
  const args = and?.boolop === 'AND_EXPR' ? [...(and.args ?? []), right] : [left, right];
  return { BoolExpr: { boolop: 'AND_EXPR', args } };
}

function inOrder(filter: Wrapped, condition: Wrapped): Wrapped {
  const shape = expressionTree('CASE WHEN FALSE THEN TRUE ELSE FALSE END');
  const { body } = open(shape);
  const [when] = (body as { args?: Wrapped[] }).args ?? [];
  return {
    CaseExpr: { ...body, args: [{ CaseWhen: { ...open(when!).body, expr: filter, result: condition } }] },
  };
}
