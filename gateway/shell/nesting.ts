/** Programs that run programs that run programs: deeper than people go is not looked at, so that no stack is exhausted. */
const nesting_max = 16;

let levels = 0;

/** What `look` finds one level below, or undefined where that is too deep. `look` has to be synchronous. */
export function oneBelow<T>(look: () => T): T | undefined {
  if (levels >= nesting_max) return undefined;
  levels += 1;
  try {
    return look();
  } finally {
    levels -= 1;
  }
}
