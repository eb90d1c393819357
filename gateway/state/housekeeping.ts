import type { Database } from './database.js';
import type { Replica } from './replica.js';

/** What has had its time is deleted, by whichever replica comes first, a few rows at a time. */
export interface Chore {
  /** "requests" */
  readonly what: string;
  /** Deletes at most as many rows as its last parameter says, oldest first, and returns one row for each. */
  readonly text: string;
  /** The parameters before that. */
  readonly values: readonly unknown[];
}

/** So many rows are deleted without anybody noticing. */
const rows_max = 500;
const rest_ms = 60_000;

/** Looks once a minute, and with every beat while there is more. */
export function keepHouse(parts: {
  readonly database: Database;
  readonly replica: Replica;
  readonly chores: readonly Chore[];
  readonly rows_max?: number;
}): void {
  const { database, replica, chores } = parts;
  const most = parts.rows_max ?? rows_max;
  let next_ms = 0;
  replica.onBeat(async () => {
    if (performance.now() < next_ms) return;
    next_ms = performance.now() + rest_ms;
    const more = await database.transaction(async (queries) => {
      // Two that delete the same rows would only wait for each other.
      const [lock] = await queries.query<{ mine: boolean }>(
        `select pg_try_advisory_xact_lock(hashtext('sallyport housekeeping')) as mine`,
      );
      if (lock?.mine !== true) return false;
      let full = false;
      for (const { text, values } of chores) {
        const deleted = await queries.query(text, [...values, most]);
        full ||= deleted.length >= most;
      }
      return full;
    });
    if (more) next_ms = 0;
  });
}
