import { createHash } from 'node:crypto';
import { IdentityError } from '../errors.js';
import type { Database } from '../state/database.js';
import type { Chore } from '../state/housekeeping.js';

/** What is good once and was brought already, at whichever gateway over the state: SAML assertions, and tokens of providers whose tokens are. */
export interface Spent {
  /**
   * `id` is the issuer's name for it; it is good until `until_ms` (since the epoch). Rejects with IdentityError for one that was
   * brought before, and for any where too many are remembered; with StateError where nobody can tell.
   */
  take(issuer: string, id: string, until_ms: number): Promise<void>;
}

const remembered_max = 100_000;
const open_ms_max = 20_000;
/** Remembered for so long after it is over: clocks of gateways differ. */
const after_ms = 600_000;

export const spentChores: readonly Chore[] = [
  {
    what: 'spent assertions and tokens',
    text: `delete from sallyport.assertions where key in (
      select key from sallyport.assertions where expires < now() order by expires limit $1 for update skip locked)
      returning 1`,
    values: [],
  },
];

export function openSpent(database: Database): Spent {
  return {
    async take(issuer, id, until_ms) {
      if (!database.started) await database.ready(open_ms_max);
      const key = createHash('sha256')
        .update(JSON.stringify([issuer, id]))
        .digest('base64');
      const [row] = await database.query<{ taken: boolean; full: boolean }>(
        `with room as (select count(*) < $3 as free from sallyport.assertions),
           put as (insert into sallyport.assertions (key, expires)
             select $1, to_timestamp($2) from room where free on conflict do nothing returning key)
         select exists (select from put) as taken, not free as full from room`,
        [key, (until_ms + after_ms) / 1000, remembered_max],
      );
      if (row?.taken === true) return;
      throw row?.full === true
        ? new IdentityError(
            'too_many',
            'too many of those that are good once came in within the last minutes; try again later',
          )
        : new IdentityError('replayed', 'this was brought before, and is good once: sign in again for another');
    },
  };
}
