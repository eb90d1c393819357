import type { Database } from '../state/database.js';
import { silence_seconds_max, type Replica } from '../state/replica.js';

/**
 * Which policy each replica enforces. Each asks its source by itself, so for a moment after a commit some are ahead of others; whoever
 * stays behind is to be seen.
 */
export interface Enforced {
  readonly replica: string;
  readonly revision: string;
  /** RFC 3339. */
  readonly since: string;
}

export interface RevisionsParts {
  readonly database: Database;
  readonly replica: Replica;
  /** In force here; undefined where nothing is. */
  readonly current: () => string | undefined;
  readonly now: () => number;
}

/** What is read of the others. */
const replicas_max = 1_000;
/** Longer than a commit takes at every one of them, and the state to tell of it. */
export const skew_ms_max = 60_000;

export class Revisions {
  readonly #parts: RevisionsParts;
  /** Since when another one enforces something else, as far as is known from the last beat. */
  #apart: { readonly since_ms: number; readonly replica: string; readonly revision: string } | undefined;

  constructor(parts: RevisionsParts) {
    this.#parts = parts;
    parts.replica.onBeat(async () => {
      await this.#write();
      this.#compare(await this.others());
    });
  }

  /** Those of the others that live, at most two beats old. Rejects with StateError. */
  async others(): Promise<readonly Enforced[]> {
    const { database, replica } = this.#parts;
    if (!database.started) return [];
    const rows = await database.query<{ replica: string; revision: string; since: Date }>(
      `select v.replica, v.revision, v.since from sallyport.revisions v join sallyport.replicas r on r.id = v.replica
        where v.replica <> $1 and r.beat > now() - make_interval(secs => $2) order by v.replica limit $3`,
      [replica.id, silence_seconds_max, replicas_max],
    );
    return rows.map(({ since, ...rest }) => ({ ...rest, since: new Date(since).toISOString() }));
  }

  /** Says so where another replica enforces something else, and has for longer than a commit takes to reach all. */
  warnings(): readonly string[] {
    const apart = this.#apart;
    if (apart === undefined || this.#parts.now() - apart.since_ms < skew_ms_max) return [];
    const since = new Date(apart.since_ms).toISOString();
    return [`replica ${apart.replica} has enforced another policy than this one since ${since}: ${apart.revision}`];
  }

  async #write(): Promise<void> {
    const { database, replica, current } = this.#parts;
    const revision = current();
    if (revision === undefined) return;
    await database.query(
      `insert into sallyport.revisions (replica, revision, since) values ($1, $2, now())
        on conflict (replica) do update set revision = excluded.revision, since = excluded.since
          where revisions.revision <> excluded.revision`,
      [replica.id, revision],
    );
  }

  #compare(others: readonly Enforced[]): void {
    const own = this.#parts.current();
    const other = others.find(({ revision }) => revision !== own);
    if (other === undefined) this.#apart = undefined;
    else
      this.#apart = {
        replica: other.replica,
        revision: other.revision,
        since_ms: this.#apart?.since_ms ?? this.#parts.now(),
      };
  }
}
