import type { Database } from '../state/database.js';
import { HookError, window_ms_max } from './signature.js';

/** What came in already, on whichever replica: a message that somebody has kept is not acted upon a second time. */

/** Only messages with a right signature are remembered, and only as long as their time would let them in again. */
const remembered_max = 100_000;

export class Seen {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Rejects with HookError for a message that was seen, and for any where too many are remembered; with StateError. */
  async take(key: string): Promise<void> {
    const [row] = await this.#database.query<{ taken: boolean; full: boolean }>(
      `with old as (delete from sallyport.hook_messages where seen < now() - make_interval(secs => $2)),
         room as (select count(*) < $3 as free from sallyport.hook_messages),
         put as (insert into sallyport.hook_messages (key) select $1 from room where free on conflict do nothing returning key)
       select exists (select from put) as taken, not free as full from room`,
      // From as far ahead to as long ago: twice the window, and clocks that differ.
      [key, (window_ms_max * 2) / 1000 + 60, remembered_max],
    );
    if (row?.taken === true) return;
    throw row?.full === true
      ? new HookError('too_many', 'too many messages came in within the last minutes')
      : new HookError('replayed', 'this message has been here before');
  }

  /** It could not be acted upon, and may come again. */
  async release(key: string): Promise<void> {
    await this.#database.query('delete from sallyport.hook_messages where key = $1', [key]);
  }
}
