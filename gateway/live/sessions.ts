import { StateError } from '../errors.js';
import type { Sessions } from '../sessions.js';
import type { Pipeline } from '../pipeline/pipeline.js';
import type { Kills } from './kills.js';
import type { Roster } from './roster.js';

/** What the API shows of sessions, and its switch: those of this replica at once, those of the others through the state. */
export function liveSessions(parts: {
  readonly pipeline: Pick<Pipeline, 'live' | 'kill'>;
  readonly roster: Roster;
  readonly kills: Kills;
  readonly gateway: string;
}): Sessions {
  const { pipeline, roster, kills, gateway } = parts;
  return {
    async list() {
      const own = pipeline.live().map((session) => ({ ...session, gateway }));
      try {
        return [...own, ...(await roster.others())];
      } catch (error) {
        // Those of this replica are known whatever becomes of the state.
        if (!(error instanceof StateError)) throw error;
        return own;
      }
    },
    async kill(query, _who, why) {
      const own = pipeline.kill(query, killedBecause(why));
      const { killed, unreached } = await kills.order({ query, ...(why === undefined ? {} : { why }) });
      return { killed: own + killed, ...(unreached?.length === 0 ? {} : { unreached: unreached ?? 'all' }) };
    },
  };
}

export const killedBecause = (why: string | undefined): string =>
  `terminating connection: ended by an administrator${why === undefined ? '' : `: ${why}`}`;
