import type { Operator } from './catalog.js';
import { isKnown } from './functions.js';
import { split } from './names.js';
import type { Context } from './scope.js';

/** Which functions the operators of an expression run. */

/** Types of the server's own. */
export const oid = { bool: 16, int4: 23, int8: 20, text: 25, numeric: 1700, unknown: 705 } as const;

/** Types that somebody made have OIDs from here on. */
export const first_user_oid = 16_384;

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
  if (
    schema === undefined &&
    names.path?.schemas.find((s) => !s.startsWith('pg_temp')) === 'pg_catalog' &&
    exact.some((candidate) => candidate.schema === 'pg_catalog')
  )
    return;
  // Two literals take a type only after the server has looked for one that is exact.
  const isLiteral = left === oid.unknown && right === oid.unknown;
  const chosen = exact.length > 0 && !isLiteral ? exact.filter((each) => each.schema !== 'pg_catalog') : others;
  const operands = [prefix ? 0 : left, right] as const;
  for (const candidate of chosen.filter((each) => isPossible(each, operands))) {
    facts.function(candidate.function);
    if (candidate.isKnown || isKnown(candidate.function)) continue;
    facts.opaque(`operator ${candidate.schema}.${name} runs ${candidate.function}(), whose body is not known`);
    facts.movesAnything = true;
  }
}

/**
 * Whether the server may take the operator for operands of these types. A value of a type of its own becomes one of a type that somebody
 * made by a cast alone that is done unasked; but for rows, whose type is any that fits.
 */
function isPossible(operator: Operator, [left, right]: readonly [number | undefined, number | undefined]): boolean {
  const fits = (is: number | undefined, wanted: number, isReached: boolean): boolean =>
    is === undefined ||
    is === oid.unknown ||
    is >= first_user_oid ||
    wanted < first_user_oid ||
    isReached ||
    rows.has(is);
  return fits(left, operator.left, operator.isLeftReached) && fits(right, operator.right, operator.isRightReached);
}

/** record, and an array of these. */
const rows: ReadonlySet<number> = new Set([2249, 2287]);

/** The operands' types as the server looks for an exact match: a literal takes its neighbour's, two literals are text. */
function settled(left: number | undefined, right: number | undefined): [number | undefined, number | undefined] {
  const l = left === oid.unknown ? (right === 0 ? oid.text : right) : left;
  const r = right === oid.unknown ? (left === 0 ? oid.text : left) : right;
  return [l === oid.unknown ? oid.text : l, r === oid.unknown ? oid.text : r];
}
