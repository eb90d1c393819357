import type { HookEvent } from '../config/index.js';
import type { Database, Queries } from '../state/database.js';

/**
 * What is to be posted, kept in the state: a replica that dies in the middle leaves it to the others, and of those that all
 * hear of one event, one posts it.
 */
export interface Delivery {
  readonly hook: string;
  /** "h-1 answered 0": what receivers, too, can tell a message from a repetition by. */
  readonly event: string;
  readonly type: HookEvent;
  readonly request: string;
  /** This one included. */
  readonly attempts: number;
  /** Milliseconds since the epoch. */
  readonly made_ms: number;
}

export type DeliveryEnd = 'delivered' | 'failed' | 'dropped' | 'obsolete';

/** What waits for one webhook; beyond that the newest is dropped, and recorded. */
const waiting_max = 1_000;
/** What ended longer ago than this is forgotten; it could only be posted again where its request still waited. */
const kept_hours = 24;
/** Nothing older is looked for: whoever hears of it so late hears it from the API. */
const missed_minutes = 5;

export class Outbox {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Puts in whatever has happened and is not in yet: to one request, or to any that waits or was asked of just now. Returns what had to
   * be dropped.
   */
  async fill(
    hook: { readonly name: string; readonly events: readonly HookEvent[] },
    request?: string,
  ): Promise<Delivery[]> {
    const rows = await this.#database.query<Row & { outcome: string | null }>(
      `with happened (event, type, request, asked) as (
         select r.id || ' requested', 'requested', r.id, r.asked from sallyport.requests r where ${scope}
         union all
         select r.id || ' effect', 'effect', r.id, r.asked from sallyport.requests r where ${scope} and r.effect is not null
         union all
         select r.id || ' answered ' || (row_number() over (partition by r.id order by a.number) - 1), 'answered', r.id, r.asked
           from sallyport.requests r join sallyport.answers a on a.request = r.id where ${scope}
         union all
         select r.id || ' ended', 'ended', r.id, r.ended from sallyport.requests r where ${scope} and r.status <> 'waiting'),
       room (n) as (select $4 - count(*) from sallyport.deliveries where hook = $1 and ended is null)
       insert into sallyport.deliveries (hook, event, type, request, ended, outcome)
         select $1, event, type, request,
           case when row_number() over (order by asked) > room.n then now() end,
           case when row_number() over (order by asked) > room.n then 'dropped' end
           from happened, room
          where type = any ($2) and not exists (
            select from sallyport.deliveries d where d.hook = $1 and d.event = happened.event)
       on conflict do nothing
       returning hook, event, type, request, attempts, made, outcome`,
      [hook.name, hook.events, request ?? null, waiting_max, missed_minutes],
    );
    return rows.filter(({ outcome }) => outcome === 'dropped').map(deliveryOf);
  }

  /** The next one that is due; nobody else gets it for `lease_ms`. */
  async take(hook: string, lease_ms: number): Promise<Delivery | undefined> {
    const [row] = await this.#database.query<Row>(
      `update sallyport.deliveries set attempts = attempts + 1, due = now() + make_interval(secs => $2)
        where (hook, event) = (
          select hook, event from sallyport.deliveries where hook = $1 and ended is null and due <= now()
           order by made, event limit 1 for update skip locked)
          and ended is null
        returning hook, event, type, request, attempts, made`,
      [hook, lease_ms / 1000],
    );
    return row === undefined ? undefined : deliveryOf(row);
  }

  async again({ hook, event }: Delivery, in_ms: number): Promise<void> {
    await this.#database.query(
      `update sallyport.deliveries set due = now() + make_interval(secs => $3) where hook = $1 and event = $2`,
      [hook, event, in_ms / 1000],
    );
  }

  async end({ hook, event }: Delivery, outcome: DeliveryEnd): Promise<void> {
    await this.#database.query(
      `update sallyport.deliveries set ended = now(), outcome = $3 where hook = $1 and event = $2`,
      [hook, event, outcome],
    );
  }

  async forget(): Promise<void> {
    await this.#database.query(
      `delete from sallyport.deliveries d where ended < now() - make_interval(hours => $1)
         and not exists (select from sallyport.requests where id = d.request and status = 'waiting')`,
      [kept_hours],
    );
  }
}

const scope = `case when $3::text is null then r.status = 'waiting' or r.ended > now() - make_interval(mins => $5) else r.id = $3 end`;

interface Row {
  readonly hook: string;
  readonly event: string;
  readonly type: HookEvent;
  readonly request: string;
  readonly attempts: number;
  readonly made: Date;
}

const deliveryOf = ({ made, hook, event, type, request, attempts }: Row): Delivery => ({
  hook,
  event,
  type,
  request,
  attempts,
  made_ms: made.getTime(),
});

/** The protocol's own part of the operation as the audit holds it; undefined where it was erased, or never kept. */
export async function readRecorded(queries: Queries, request: string): Promise<unknown> {
  const [row] = await queries.query<{ recorded: string | null }>(
    'select recorded from sallyport.requests where id = $1',
    [request],
  );
  return row?.recorded === null || row === undefined ? undefined : (JSON.parse(row.recorded) as unknown);
}
