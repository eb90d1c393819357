import type { FuncCall } from 'libpg-query';
import { as } from './ast.js';
import type { Path, Routine } from './catalog.js';
import { canBecome, oid } from './conversions.js';
import { isServerFirst } from './names.js';

/**
 * Which of the functions of one name a call may mean, as the server chooses (documentation, 10.3 "Functions"), as far as the types of
 * the arguments are known. What is not certain stays among them.
 */

/**
 * @param count How many arguments the call has, those within WITHIN GROUP included.
 * @param types Those of its arguments; undefined where they are not known, 705 of a literal.
 */
export function overloads(
  routines: readonly Routine[],
  { call, schema, count, types, path }: Call,
): readonly Routine[] {
  const fitting = routines.filter((routine) => count >= routine.arguments_min && count <= routine.arguments_max);
  const isPlain = isPlainCall(call);
  const possible = isPlain ? fitting.filter((routine) => types.every((type, at) => takes(routine, type, at))) : fitting;
  if (possible.length === 0) return fitting.length > 0 ? fitting : routines;
  if (!isPlain || schema !== undefined || !isServerFirst(path)) return possible;
  const own = possible.filter((routine) => routine.schema === 'pg_catalog');
  return own.some((routine) => isCertain(routine, types)) && !possible.some((routine) => routine.isPreferring)
    ? own
    : possible;
}

/** Names and VARIADIC say otherwise which argument is which. */
export const isPlainCall = (call: FuncCall): boolean =>
  !call.func_variadic && !call.agg_within_group && !call.args?.some((arg) => as(arg, 'NamedArgExpr'));

interface Call {
  readonly call: FuncCall;
  /** As the statement says. */
  readonly schema: string | undefined;
  readonly count: number;
  readonly types: readonly (number | undefined)[];
  readonly path: Path | undefined;
}

function takes(routine: Routine, type: number | undefined, at: number): boolean {
  const index = Math.min(at, routine.types.length - 1);
  const wanted = routine.types[index];
  return wanted === undefined || canBecome(type, wanted, routine.reached[index] === true);
}

/**
 * Nothing goes before a function that takes the very types: of several that do, the first on the path counts. A literal
 * becomes text rather than anything else.
 */
const isCertain = (routine: Routine, types: readonly (number | undefined)[]): boolean =>
  !routine.isVariadic && types.every((type, at) => routine.types[at] === (type === oid.unknown ? oid.text : type));
