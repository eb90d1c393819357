import { isKnownRoutine, mayMoveNames } from './functions.js';
import type { Context } from './scope.js';

/**
 * `(row).name` and `row.name` stand for a field of the row and, where it has none of that name, for the call name(row).
 * Which of the two is not told apart where the row's fields are not known: every function that could be meant counts.
 */
export function fieldCall(context: Context, name: string): void {
  const { facts, names } = context;
  const labels = new Set<string>();
  for (const routine of names.functions(undefined, name)) {
    if (isKnownRoutine(routine)) continue;
    if (routine.kind !== 'p' && routine.arguments_min <= 1 && routine.arguments_max >= 1)
      labels.add(`${routine.schema}.${routine.name}`);
  }
  for (const label of labels) {
    facts.function(label);
    facts.opaque(`"${name}" of a row may be a call of ${label}(), whose body is not known`);
    if (mayMoveNames(label)) facts.movesAnything = true;
  }
}
