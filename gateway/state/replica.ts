import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { StateError } from '../errors.js';
import type { Database } from './database.js';

/**
 * This process among those that share the state. It says every other second that it lives; what belonged to one that has
 * not said so for a while is given up by those that do.
 */
export interface Replica {
  readonly id: string;
  /** Called with each beat. A rejection is logged, and no other beat waits for it. */
  onBeat(work: () => Promise<void>): void;
  /** Beats at once, where the database has been started: before the first row that belongs to this replica. */
  beat(): Promise<void>;
  close(): Promise<void>;
}

const beat_every_ms = 2_000;
/** A replica that was silent for so long is taken for dead. */
export const silence_seconds_max = 10;

export function openReplica(parts: {
  readonly database: Database;
  readonly log: Logger;
  /** Default: one of its own. */
  readonly id?: string;
}): Replica {
  const { database, log, id = randomUUID() } = parts;
  const works: (() => Promise<void>)[] = [];
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let beating: Promise<void> | undefined;

  const pulse = () =>
    database
      .query(`insert into sallyport.replicas (id) values ($1) on conflict (id) do update set beat = now()`, [id])
      .then(() => undefined);
  const beat = async () => {
    await pulse();
    await database.query(`delete from sallyport.replicas where beat < now() - interval '1 hour'`);
    for (const work of works) await work();
  };
  const again = () => {
    if (closed) return;
    timer = setTimeout(() => {
      // A beat that has nothing to beat for opens no database.
      beating = (database.healthy ? beat() : Promise.resolve())
        .catch((error: unknown) => {
          if (!(error instanceof StateError)) log.error({ err: error }, 'a heartbeat went wrong');
        })
        .finally(again);
    }, beat_every_ms);
    timer.unref();
  };
  again();

  return {
    id,
    onBeat: (work) => works.push(work),
    beat: pulse,
    async close() {
      closed = true;
      clearTimeout(timer);
      await beating;
      if (database.healthy) {
        await database.query('delete from sallyport.replicas where id = $1', [id]).catch(() => undefined);
      }
    },
  };
}
