import { randomBytes } from 'node:crypto';
import type { Approval, Decision, Input } from '#engine';
import type { Logger } from 'pino';
import { ApprovalError, AuditError, StateError } from '../errors.js';
import type { Effect, Hold, HoldEnd, Withdrawal } from '../protocol.js';
import type { Database, Queries } from '../state/database.js';
import { silence_seconds_max, type Replica } from '../state/replica.js';
import type { ApprovalEvent, Approvals, Bound, Receipt } from './approvals.js';
import { WaitingHold } from './holds.js';
import { approvalKeys, boundKey, canonical, digest, grantKeys, personKey } from './keys.js';
import { receiptId, type Receipts } from './receipts.js';
import type { ApprovalRecords } from './records.js';
import { readRequests, type StoredRequest } from './store.js';

/** Where operations are handed in: asks people, waits, and uses up what they gave. */
export interface DeskParts {
  readonly database: Database;
  readonly replica: Replica;
  readonly receipts: Receipts;
  readonly records: ApprovalRecords;
  readonly log: Logger;
  readonly now: () => number;
  readonly waiting_max: number;
  readonly per_principal_max: number;
  /** How long a preview may keep its locks. */
  readonly preview_ms: number;
  /** Where a person answers. */
  readonly link?: ((hold: string) => string | undefined) | undefined;
}

export const channel = 'sallyport_approvals';

/** What an operation is bound to, as the document says it. */
export function boundOf(input: Input, revision: string): Bound {
  const { principal, target, operation, session } = input;
  const fingerprint = fingerprintOf(input);
  return {
    principal: { issuer: principal.issuer, subject: principal.subject },
    ...(principal.actor === undefined ? {} : { actor: principal.actor.subject }),
    ...(principal.purpose === undefined ? {} : { purpose: principal.purpose }),
    target: `${target.protocol}/${target.name}`,
    hash: operation.hash,
    ...(fingerprint === undefined ? {} : { fingerprint }),
    session: session.id,
    revision,
  };
}

/**
 * What operations share that differ in their values alone: the protocol's own fingerprints, and all that they touch, since the same
 * words mean something else where names are looked for elsewhere. Undefined where that cannot be told: what an opaque
 * operation does may stand in a value (DO '…'), so nothing is like it.
 */
function fingerprintOf({ operation, target }: Input): string | undefined {
  const own = operation[target.protocol] as Fingerprinted | undefined;
  const prints = own?.fingerprint === undefined ? own?.statements?.map((one) => one.fingerprint) : [own.fingerprint];
  if (operation.opaque || prints === undefined || prints.length === 0) return undefined;
  if (prints.some((print) => typeof print !== 'string' || print === '')) return undefined;
  const bounded = own?.statements?.map((one) => one.bounded ?? null) ?? null;
  const place = [own?.database ?? null, own?.user ?? null];
  return digest({ fingerprint: prints, action: operation.action, resources: operation.resources, bounded, place });
}

/** What protocols say of an operation's likeness, as far as they do. */
interface Fingerprinted {
  readonly fingerprint?: unknown;
  readonly statements?: readonly { readonly fingerprint?: unknown; readonly bounded?: boolean }[];
  readonly database?: string;
  readonly user?: string;
}

export class Desk implements Approvals {
  readonly #parts: DeskParts;
  readonly #waiting = new Map<string, WaitingHold>();
  readonly #unlisten: () => void;

  constructor(parts: DeskParts) {
    this.#parts = parts;
    parts.replica.onBeat(() => this.#sweep());
    this.#unlisten = parts.database.listen(
      channel,
      (payload) => {
        const { type, id } = JSON.parse(payload) as ApprovalEvent;
        if (type === 'ended' && this.#waiting.has(id)) this.#background(this.#lookUp([id]));
      },
      () => this.#background(this.#lookUp([...this.#waiting.keys()])),
    );
  }

  async redeem(bound: Bound, approvals: readonly Approval[]): Promise<Receipt | undefined> {
    const keys = approvalKeys(approvals);
    return (await this.#redeemReceipt(bound, keys)) ?? (await this.#redeemGrant(bound, keys));
  }

  async #redeemReceipt(bound: Bound, keys: readonly string[]): Promise<Receipt | undefined> {
    const { database, receipts } = this.#parts;
    const [row] = await database.query<{ id: string; receipt: string }>(
      `update sallyport.requests set redeemed = now() where id = (
         select id from sallyport.requests
          where bound_key = $1 and approval_keys @> $2 and status = 'approved' and redeemed is null
            and receipt is not null and receipt_expires > now()
          order by asked limit 1 for update)
         and redeemed is null
       returning id, receipt`,
      [boundKey(bound), keys],
    );
    if (row === undefined) return undefined;
    const claims = await receipts.verify(row.receipt);
    const fits =
      canonical(claims.bound) === canonical(bound) &&
      claims.hold === row.id &&
      keys.every((key) => claims.approvals.includes(key));
    if (!fits) throw new StateError(`the receipt of ${row.id} does not say what its row says`);
    return { id: claims.id, hold: claims.hold, approvers: claims.approvers, token: row.receipt };
  }

  async #redeemGrant(bound: Bound, keys: readonly string[]): Promise<Receipt | undefined> {
    const { database, receipts } = this.#parts;
    const [row] = await database.query<{ id: string; request: string; approvers: string; expires: Date }>(
      `update sallyport.grants set uses_left = uses_left - 1 where id = (
         select id from sallyport.grants
          where bound_key = any ($1) and approval_keys @> $2 and revoked is null and uses_left > 0 and expires > now()
          order by expires limit 1 for update)
         and revoked is null and uses_left > 0
       returning id, request, approvers, expires`,
      [grantKeys(bound), keys],
    );
    if (row === undefined) return undefined;
    return receipts.sign({
      id: receiptId(),
      hold: row.request,
      bound,
      approvals: keys,
      approvers: JSON.parse(row.approvers) as string[],
      grant: row.id,
      expires_ms: row.expires.getTime(),
    });
  }

  async request(input: Input, decision: Decision, recorded: unknown): Promise<Hold> {
    const { database, replica, records, now } = this.#parts;
    const id = `h-${randomBytes(9).toString('hex')}`;
    const bound = boundOf(input, decision.revision);
    const for_ms = Math.min(...decision.approvals.map(({ expires_ms }) => expires_ms));
    await replica.beat();
    // Before anything is locked. What counts is counted again below.
    await this.#room(database, bound);
    const asked_ms = now();
    // Known here before anybody can answer: what is heard of it finds somebody who waits.
    const hold = new WaitingHold(
      {
        id,
        link: this.#parts.link?.(id),
        preview: decision.approvals.some(({ preview }) => preview === 'effect'),
        preview_ms: this.#parts.preview_ms,
      },
      { expires_ms: asked_ms + for_ms, now_ms: asked_ms },
      {
        previewing: () => records.previewing(id, decision.id),
        show: (effect) => this.#show(id, decision.id, effect),
        withdraw: (why) => this.#withdraw(id, why),
        expired: () => this.#expire(id),
      },
    );
    let isRecorded = false;
    const record = async () => {
      await records.asked(id, input, decision, hold.expires_ms);
      isRecorded = true;
    };
    try {
      this.#waiting.set(id, hold);
      await this.#insert({ id, bound, input, decision, recorded, for_ms }, record);
    } catch (error) {
      this.#waiting.delete(id);
      hold.end({ how: 'withdrawn', why: 'it could not be asked' });
      // What was asked for in vain is in the record as refused, and as nothing else.
      if (isRecorded)
        this.#note(() => records.ended(justAsked(id, bound, decision), { how: 'withdrawn', why: 'not_asked' }));
      throw error;
    }
    // Not started before: nobody else listened, and this is how it is found out that somebody does.
    if (!database.started) database.start();
    return hold;
  }

  /** @param record Called once it is certain that there is room: on disk before anybody can see the request. */
  async #insert(asked: Asked, record: () => Promise<void>): Promise<void> {
    const { id, bound, input, decision, recorded, for_ms } = asked;
    const { database, replica } = this.#parts;
    await database.transaction(async (queries) => {
      // One at a time: what is counted is what there is.
      await queries.query(`select pg_advisory_xact_lock(hashtext('sallyport waiting requests'))`);
      await this.#room(queries, bound);
      await record();
      await queries.query(
        `insert into sallyport.requests (id, replica, expires, decision_id, revision, principal_key, like_key, bound_key,
           approval_keys, bound, approvals, input, recorded)
         values ($1, $2, now() + make_interval(secs => $3), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
        [
          id,
          replica.id,
          for_ms / 1000,
          decision.id,
          decision.revision,
          personKey(bound.principal),
          digest({
            like: [bound.principal, bound.purpose ?? null, bound.target, bound.fingerprint ?? bound.hash],
          }),
          boundKey(bound),
          approvalKeys(decision.approvals),
          JSON.stringify(bound),
          JSON.stringify(decision.approvals),
          JSON.stringify(input),
          recorded === undefined ? null : JSON.stringify(recorded),
        ],
      );
      await tell(queries, { type: 'requested', id });
    });
  }

  /** Throws ApprovalError where as many wait as may. */
  async #room(queries: Queries, { principal }: Bound): Promise<void> {
    const { waiting_max, per_principal_max } = this.#parts;
    const [counted] = await queries.query<{ all: number; own: number }>(
      `select count(*)::int as all, (count(*) filter (where principal_key = $1))::int as own
         from sallyport.requests where status = 'waiting'`,
      [personKey(principal)],
    );
    if ((counted?.own ?? 0) >= per_principal_max) {
      throw new ApprovalError(
        'too_many',
        `you have ${String(per_principal_max)} requests waiting already; wait for an answer, or cancel one`,
      );
    }
    if ((counted?.all ?? 0) >= waiting_max) {
      throw new ApprovalError('too_many', 'too many requests wait for an answer already; try again later');
    }
  }

  async #show(id: string, decision_id: string, effect: Effect): Promise<void> {
    this.#parts.records.effect(id, decision_id, effect);
    await this.#parts.database.transaction(async (queries) => {
      await queries.query(`update sallyport.requests set effect = $2 where id = $1 and status = 'waiting'`, [
        id,
        JSON.stringify(effect),
      ]);
      await tell(queries, { type: 'effect', id });
    });
  }

  /** The session that waited is told at once; the others when the state knows. */
  #withdraw(id: string, why: Withdrawal): void {
    this.#finish(id, why === 'policy_changed' ? { how: 'superseded' } : { how: 'withdrawn', why });
    this.#background(this.#end(id, 'withdrawn', why));
  }

  #expire(id: string): void {
    this.#background(
      this.#end(id, 'expired').then(
        // Somebody may have answered in the last moment: then the answer holds.
        (ended) => (ended ? this.#finish(id, { how: 'expired' }) : this.#lookUp([id])),
        (error: unknown) => {
          this.#finish(id, { how: 'expired' });
          throw error;
        },
      ),
    );
  }

  #finish(id: string, end: HoldEnd): void {
    const hold = this.#waiting.get(id);
    this.#waiting.delete(id);
    hold?.end(end);
  }

  async #end(id: string, status: 'expired' | 'withdrawn', why?: string): Promise<boolean> {
    const ended = await this.#parts.database.transaction(async (queries) => {
      const rows = await queries.query(
        `update sallyport.requests set status = $2, why = $3, ended = now() where id = $1 and status = 'waiting' returning id`,
        [id, status, why ?? null],
      );
      if (rows.length === 0) {
        // Approved, and nobody is there to use it.
        if (status === 'withdrawn') {
          await queries.query(
            `update sallyport.requests set receipt = null where id = $1 and status = 'approved' and redeemed is null`,
            [id],
          );
        }
        return undefined;
      }
      await tell(queries, { type: 'ended', id });
      return (await readRequests(queries, { ids: [id], limit: 1 }))[0];
    });
    if (ended === undefined) return false;
    this.#note(() => this.#parts.records.ended(ended, endOf(ended) ?? { how: 'expired' }));
    return true;
  }

  /** How those that wait here have ended meanwhile. */
  async #lookUp(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    for (const stored of await readRequests(this.#parts.database, { ids, limit: ids.length })) {
      const end = endOf(stored);
      if (end !== undefined) this.#finish(stored.request.id, end);
    }
  }

  /** What has expired, and what belonged to replicas that are gone; then whether something here was missed. */
  async #sweep(): Promise<void> {
    const rows = await this.#parts.database.query<{ id: string; expired: boolean }>(
      `select id, expires <= now() as expired from sallyport.requests r where status = 'waiting' and (expires <= now()
         or not exists (select from sallyport.replicas where id = r.replica and beat > now() - make_interval(secs => $1)))
        limit 100`,
      [silence_seconds_max],
    );
    for (const { id, expired } of rows) {
      if (expired) await this.#end(id, 'expired');
      else await this.#end(id, 'withdrawn', 'replica_gone');
    }
    await this.#lookUp([...this.#waiting.keys()]);
  }

  /** Every request that waits here is taken back: the gateway stops. */
  async close(): Promise<void> {
    this.#unlisten();
    const ids = [...this.#waiting.keys()];
    for (const id of ids) this.#finish(id, { how: 'withdrawn', why: 'shutdown' });
    for (const id of ids) await this.#end(id, 'withdrawn', 'shutdown').catch(() => undefined);
  }

  #background(work: Promise<void | boolean>): void {
    work.catch((error: unknown) => {
      // The state is lost: who waits here is told by the clock, and the rest is swept up when it is back.
      if (!(error instanceof StateError)) this.#parts.log.error({ err: error }, 'a request could not be followed');
    });
  }

  #note(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!(error instanceof AuditError)) throw error;
      this.#parts.log.error({ err: error }, 'the end of a hold could not be recorded');
    }
  }
}

export async function tell(queries: { query: Database['query'] }, event: ApprovalEvent): Promise<void> {
  await queries.query('select pg_notify($1, $2)', [channel, JSON.stringify(event)]);
}

export function endOf({ request, endedBy }: StoredRequest): HoldEnd | undefined {
  switch (request.status) {
    case 'waiting':
      return undefined;
    case 'approved':
      return { how: 'approved' };
    case 'refused': {
      const comment = request.answers.find(({ kind }) => kind === 'refuse')?.comment;
      return { how: 'refused', by: endedBy ?? '', ...(comment === undefined ? {} : { comment }) };
    }
    case 'expired':
      return { how: 'expired' };
    case 'withdrawn':
      return { how: 'withdrawn', why: request.why ?? 'unknown' };
  }
}

/** A request before it is one. */
interface Asked {
  readonly id: string;
  readonly bound: Bound;
  readonly input: Input;
  readonly decision: Decision;
  /** The operation as the audit may have it. */
  readonly recorded: unknown;
  readonly for_ms: number;
}

/** For the record of one that never came to be. */
function justAsked(id: string, bound: Bound, decision: Decision): StoredRequest {
  return {
    bound,
    request: {
      id,
      status: 'withdrawn',
      asked_ms: 0,
      expires_ms: 0,
      decision_id: decision.id,
      target: { name: bound.target, protocol: '', labels: {} },
      session: bound.session,
      revision: decision.revision,
      approvals: decision.approvals,
      answers: [],
      like: 0,
    },
  };
}
