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
 * the path and has the operator for exactly these types.
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
  if (schema === undefined && names.path?.schemas.find((s) => !s.startsWith('pg_temp')) === 'pg_catalog') {
    const [l, r] = settled(prefix ? 0 : left, right);
    const exact = (candidate: { readonly left: number; readonly right: number }): boolean =>
      candidate.left === l && candidate.right === r;
    if (
      l !== undefined &&
      r !== undefined &&
      candidates.some((candidate) => candidate.schema === 'pg_catalog' && exact(candidate))
    )
      return;
  }
  for (const candidate of others) {
    facts.function(candidate.function);
    if (isKnown(candidate.function)) continue;
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
