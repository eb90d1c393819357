import { canBecome, oid } from './conversions.js';
import { isKnown } from './functions.js';
import { isServerFirst, split } from './names.js';
import type { Context } from './scope.js';

/** Which functions the operators of an expression run. */

/** Operators that a construct uses without saying so. */
export const implied = (context: Context, names: readonly string[]): void => {
  for (const name of names) operators(context, [name], undefined, undefined);
};

/**
 * Notes the functions of operators from outside pg_catalog that may stand behind a name. None does where the server is
 * certain to take its own: the operands' types are known (a literal takes its neighbour's), pg_catalog comes first on
 * the path and has the operator for exactly these types. Nor does one whose operand an operand of another type cannot become.
 */
export function operators(
  context: Context,
  parts: readonly string[],
  left: number | undefined,
  right: number | undefined,
  prefix = false,
): void {
  if (parts.length === 0) return;
  const { schema, name } = split(parts);
  const { facts, names } = context;
  const candidates = names.operators(schema, name).filter((candidate) => prefix === (candidate.left === 0));
  const others = candidates.filter((candidate) => candidate.schema !== 'pg_catalog');
  if (others.length === 0) {
    if (candidates.length === 0) facts.unresolved('operator', parts.join('.'));
    return;
  }
  const [l, r] = settled(prefix ? 0 : left, right);
  const exact =
    l === undefined || r === undefined ? [] : candidates.filter((each) => each.left === l && each.right === r);
  if (schema === undefined && isServerFirst(names.path) && exact.some((candidate) => candidate.schema === 'pg_catalog'))
    return;
  // Two literals take a type only after the server has looked for one that is exact.
  const isLiteral = left === oid.unknown && right === oid.unknown;
  const chosen = exact.length > 0 && !isLiteral ? exact.filter((each) => each.schema !== 'pg_catalog') : others;
  const possible = chosen.filter(
    (each) =>
      canBecome(prefix ? 0 : left, each.left, each.isLeftReached) && canBecome(right, each.right, each.isRightReached),
  );
  // Where none seems to be, and the server has none of its own, what is known of the types is not enough.
  for (const candidate of possible.length === 0 && candidates.length === others.length ? chosen : possible) {
    facts.function(candidate.function);
    if (candidate.isKnown || isKnown(candidate.function)) continue;
    facts.opaque(`operator ${candidate.schema}.${name} runs ${candidate.function}(), whose body is not known`);
    facts.movesAnything = true;
  }
}

/** The operands' types as the server looks for an exact match: a literal takes its neighbour's, two literals are text. */
function settled(left: number | undefined, right: number | undefined): [number | undefined, number | undefined] {
  const l = left === oid.unknown ? (right === 0 ? oid.text : right) : left;
  const r = right === oid.unknown ? (left === 0 ? oid.text : left) : right;
  return [l === oid.unknown ? oid.text : l, r === oid.unknown ? oid.text : r];
}
