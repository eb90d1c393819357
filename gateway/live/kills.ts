import type { Logger } from 'pino';
import { StateError } from '../errors.js';
import type { KillQuery } from '../sessions.js';
import type { Database } from '../state/database.js';
import { silence_seconds_max, type Replica } from '../state/replica.js';

/** Orders to end sessions, given on one replica and carried out on all: each once, on the sessions that live there. */
export interface KillsParts {
  readonly database: Database;
  readonly replica: Replica;
  readonly log: Logger;
  /** Ends those of this replica; returns how many. */
  readonly end: (order: Order) => number;
}

export interface Order {
  readonly query: KillQuery;
  readonly why?: string;
}

/** As the state has it: with who has carried it out, and how many sessions each ended. */
interface Given extends Order {
  readonly carried: Readonly<Record<string, number>>;
}

/** What came of an order on the other replicas. */
export interface Carried {
  readonly killed: number;
  /** Replicas that did not say in time that they have carried it out; undefined: the state is out of reach, and nobody knows. */
  readonly unreached: readonly string[] | undefined;
}

const channel = 'sallyport_kills';
/** For all others to say that they have carried it out. */
const answer_ms_max = 1_000;
const look_every_ms = 100;
/** An order is for whoever was out of reach for less long than this. */
const kept_minutes = 10;
/** Orders that wait for the state to come back; the oldest make room. */
const pending_max = 100;

export class Kills {
  readonly #parts: KillsParts;
  readonly #unlisten: () => void;
  /** Orders given here while the state was out of reach. */
  readonly #pending: Order[] = [];
  /** Up to here all were carried out; undefined: not known yet, and what was given before this replica started is not for it. */
  #seen: string | undefined;
  /** Orders are carried out one after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(parts: KillsParts) {
    this.#parts = parts;
    this.#unlisten = parts.database.listen(
      channel,
      () => this.#look(),
      () => this.#look(),
    );
    parts.replica.onBeat(async () => {
      for (const order of this.#pending.splice(0)) await this.#give(order).catch(() => this.#later(order));
      await parts.database.query('delete from sallyport.kills where given < now() - make_interval(mins => $1)', [
        kept_minutes,
      ]);
    });
  }

  /** On all other replicas. Never rejects: sessions of this replica are ended whatever becomes of the others. */
  async order(order: Order): Promise<Carried> {
    // Nobody shares a state that this gateway has never opened.
    if (!this.#parts.database.started) return { killed: 0, unreached: [] };
    try {
      return await this.#answers(await this.#give(order));
    } catch (error) {
      if (!(error instanceof StateError)) this.#parts.log.error({ err: error }, 'an order to end sessions went wrong');
      this.#later(order);
      return { killed: 0, unreached: undefined };
    }
  }

  async #give(order: Order): Promise<string> {
    const { database, replica } = this.#parts;
    const given: Given = { ...order, carried: { [replica.id]: 0 } };
    return database.transaction(async (queries) => {
      const [row] = await queries.query<{ number: string }>(
        `insert into sallyport.kills ("order") values ($1) returning number`,
        [JSON.stringify(given)],
      );
      await queries.query('select pg_notify($1, $2)', [channel, row?.number ?? '']);
      return row?.number ?? '';
    });
  }

  async #answers(number: string): Promise<Carried> {
    const { database } = this.#parts;
    const until_ms = performance.now() + answer_ms_max;
    for (;;) {
      const [row] = await database.query<{ order: string; alive: string[] }>(
        `select "order", array(select id from sallyport.replicas
            where beat > now() - make_interval(secs => $2) order by id) as alive
           from sallyport.kills where number = $1`,
        [number, silence_seconds_max],
      );
      if (row === undefined) return { killed: 0, unreached: undefined };
      const { carried } = JSON.parse(row.order) as Given;
      const unreached = row.alive.filter((id) => !Object.hasOwn(carried, id));
      const killed = Object.values(carried).reduce((sum, each) => sum + each, 0);
      if (unreached.length === 0 || performance.now() >= until_ms) return { killed, unreached };
      await new Promise((resolve) => setTimeout(resolve, look_every_ms));
    }
  }

  #look(): void {
    this.#work = this.#work
      .then(() => this.#carryOut())
      .catch((error: unknown) => {
        // The state is lost: when it is back, this replica looks again.
        if (!(error instanceof StateError))
          this.#parts.log.error({ err: error }, 'an order to end sessions was not carried out');
      });
  }

  async #carryOut(): Promise<void> {
    const { database, replica, end, log } = this.#parts;
    if (this.#seen === undefined) {
      const [row] = await database.query<{ last: string }>(
        'select coalesce(max(number), 0) as last from sallyport.kills',
      );
      this.#seen = row?.last ?? '0';
      return;
    }
    const rows = await database.query<{ number: string; order: string }>(
      `select number, "order" from sallyport.kills where number > $1 order by number limit 1000`,
      [this.#seen],
    );
    for (const { number, order } of rows) {
      const given = JSON.parse(order) as Given;
      if (!Object.hasOwn(given.carried, replica.id)) {
        const killed = end(given);
        if (killed > 0) log.info({ killed }, 'sessions were ended from another gateway');
        // Several say so at once: each adds its own to what is there by then.
        await database.query(
          `update sallyport.kills
              set "order" = jsonb_set("order"::jsonb, array['carried', $2::text], to_jsonb($3::integer))::text where number = $1`,
          [number, replica.id, killed],
        );
      }
      this.#seen = number;
    }
  }

  #later(order: Order): void {
    this.#pending.push(order);
    if (this.#pending.length > pending_max) this.#pending.shift();
  }

  async close(): Promise<void> {
    this.#unlisten();
    await this.#work;
  }
}
