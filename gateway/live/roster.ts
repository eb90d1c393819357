import type { LiveSession } from '../sessions.js';
import type { Database } from '../state/database.js';
import { silence_seconds_max, type Replica } from '../state/replica.js';

/** Sessions of all replicas: each writes down its own with every beat, and reads those of the others when somebody asks. */
export interface RosterParts {
  readonly database: Database;
  readonly replica: Replica;
  /** Those of this replica, as they are now. */
  readonly live: () => readonly LiveSession[];
}

/** What one replica writes down, and what is listed of the others. */
const sessions_max = 5_000;

export class Roster {
  readonly #parts: RosterParts;
  /** As the state has them. */
  #written = new Map<string, string>();

  constructor(parts: RosterParts) {
    this.#parts = parts;
    parts.replica.onBeat(async () => {
      try {
        await this.#write();
      } catch (error) {
        // What the state has is not known: all of it is written again.
        this.#written = new Map();
        throw error;
      }
    });
  }

  /** Those of the others, at most two beats old. Rejects with StateError. */
  async others(): Promise<readonly LiveSession[]> {
    const { database, replica } = this.#parts;
    if (!database.started) return [];
    const rows = await database.query<{ info: string; replica: string }>(
      `select s.info, s.replica from sallyport.sessions s join sallyport.replicas r on r.id = s.replica
        where s.replica <> $1 and r.beat > now() - make_interval(secs => $2) order by s.started desc limit $3`,
      [replica.id, silence_seconds_max, sessions_max],
    );
    return rows.map((row) => ({ ...(JSON.parse(row.info) as LiveSession), gateway: row.replica }));
  }

  async #write(): Promise<void> {
    const { database, replica, live } = this.#parts;
    const now = new Map(
      live()
        .slice(0, sessions_max)
        .map((session) => [session.id, session]),
    );
    const texts = new Map([...now].map(([id, session]) => [id, JSON.stringify(session)]));
    const changed = [...texts].filter(([id, text]) => this.#written.get(id) !== text);
    const gone = [...this.#written.keys()].filter((id) => !texts.has(id));
    if (gone.length > 0) {
      await database.query('delete from sallyport.sessions where id = any ($1) and replica = $2', [gone, replica.id]);
    }
    if (changed.length > 0) {
      await database.query(
        `insert into sallyport.sessions (id, replica, started, info)
           select id, $1, to_timestamp(started), info from unnest($2::text[], $3::float8[], $4::text[]) as s (id, started, info)
         on conflict (id) do update set info = excluded.info`,
        [
          replica.id,
          changed.map(([id]) => id),
          changed.map(([id]) => (now.get(id)?.started_ms ?? 0) / 1000),
          changed.map(([, text]) => text),
        ],
      );
    }
    this.#written = texts;
  }
}
