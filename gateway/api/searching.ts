import { Problem } from './problem.js';

/** What searches are asked with, as JSON schemas: words, and a moment in UTC. */
export const text = { type: 'string', minLength: 1, maxLength: 512 };
export const instant = { type: 'string', pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$' };

/** A search that takes longer is cut off, and says so: the same process judges operations. */
const search_ms_max = 5_000;
const searches_atOnce_max = 4;

export type Searching = <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T>;

/** Runs what looks through files: so many at once, and each with a signal that ends it when its time is over. */
export function searching(): Searching {
  let running = 0;
  return async (work) => {
    if (running >= searches_atOnce_max)
      throw new Problem(429, 'too_many', 'too many searches run; try again in a moment', { 'retry-after': '2' });
    running += 1;
    try {
      return await work(AbortSignal.timeout(search_ms_max));
    } finally {
      running -= 1;
    }
  };
}

/** Takes what a search finds, one after the other. False where the time ran out before all was looked through. */
export async function collect<T>(
  search: AsyncIterable<T>,
  signal: AbortSignal,
  each: (found: T) => void,
): Promise<boolean> {
  try {
    for await (const found of search) each(found);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
