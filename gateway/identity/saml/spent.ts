import { createHash } from 'node:crypto';
import { IdentityError } from '../../errors.js';
import type { Database } from '../../state/database.js';
import type { Chore } from '../../state/housekeeping.js';

/** Assertions that were brought already, at whichever gateway over the state: each is good once. */
export interface Spent {
  /** Rejects with IdentityError for one that was brought before, and for any where too many are remembered; with StateError. */
  take(issuer: string, id: string, until_ms: number): Promise<void>;
}

const remembered_max = 100_000;
const open_ms_max = 20_000;
/** Remembered for so long after it is over: clocks of gateways differ. */
const after_ms = 600_000;

export const spentChores: readonly Chore[] = [
  {
    what: 'assertions',
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
        ? new IdentityError('too_many', 'too many assertions came in within the last minutes; try again later')
        : new IdentityError('replayed', 'the SAML assertion was brought before: sign in again');
    },
  };
}
