import { randomBytes } from 'node:crypto';
import type { GrantTerms } from '#engine';
import { ApprovalError } from '../errors.js';
import type { Identity } from '../protocol.js';
import type { Database, Queries } from '../state/database.js';
import type {
  Answer,
  AnswerInput,
  ApprovalEvent,
  ApprovalRequest,
  Approvers,
  Grant,
  RequestQuery,
} from './approvals.js';
import { channel, endOf, tell } from './desk.js';
import { approvalKeys, grantKey, personKey } from './keys.js';
import { admit, isMet, mayAnswer, narrowest, widest, within } from './quorum.js';
import { receiptId, type Receipts } from './receipts.js';
import type { ApprovalRecords } from './records.js';
import { isOrphaned, lockRequest, readGrants, readRequests, type StoredRequest } from './store.js';

/** Where people answer. */
export interface CounterParts {
  readonly database: Database;
  readonly receipts: Receipts;
  readonly records: ApprovalRecords;
  readonly now: () => number;
  /** How long the session that waited has to use its receipt. */
  readonly receipt_ms: number;
}

const list_default = 200;
const list_max = 1_000;

export class Counter implements Approvers {
  readonly #parts: CounterParts;
  readonly #listeners = new Set<(event: ApprovalEvent) => void>();
  readonly #unlisten: () => void;

  constructor(parts: CounterParts) {
    this.#parts = parts;
    this.#unlisten = parts.database.listen(
      channel,
      (payload) => {
        const event = JSON.parse(payload) as ApprovalEvent;
        for (const listener of [...this.#listeners]) listener(event);
      },
      () => undefined,
    );
  }

  async list(query: RequestQuery = {}): Promise<readonly ApprovalRequest[]> {
    const { status, answerableBy, limit = list_default } = query;
    const most = Math.max(1, Math.min(limit, list_max));
    const stored = await readRequests(this.#parts.database, {
      status,
      limit: answerableBy === undefined ? most : list_max,
    });
    return stored
      .filter(({ bound, request }) => answerableBy === undefined || mayAnswer(bound, request.approvals, answerableBy))
      .slice(0, most)
      .map(({ request }) => request);
  }

  async get(id: string): Promise<ApprovalRequest | undefined> {
    return (await readRequests(this.#parts.database, { ids: [id], limit: 1 }))[0]?.request;
  }

  async answer(id: string, who: Identity, input: AnswerInput): Promise<ApprovalRequest> {
    const { database, records } = this.#parts;
    const after = await database.transaction(async (queries) => {
      const stored = await lockRequest(queries, id);
      if (stored === undefined) throw new ApprovalError('unknown', `there is no request ${id}`);
      try {
        return await this.#answer(queries, stored, who, input);
      } catch (error) {
        if (error instanceof ApprovalError) {
          records.turnedAway(stored, who.principal, input.kind, error.reason, input.through);
        }
        throw error;
      }
    });
    // Only now it is over: a commit that got lost has ended nothing.
    const end = endOf(after);
    if (end !== undefined) records.ended(after, end);
    return after.request;
  }

  async #answer(queries: Queries, stored: StoredRequest, who: Identity, input: AnswerInput): Promise<StoredRequest> {
    const { request, bound } = stored;
    const { records, now } = this.#parts;
    if (request.status !== 'waiting') {
      throw new ApprovalError('ended', `request ${request.id} is over: ${request.status}`);
    }
    if (await isOrphaned(queries, request.id)) {
      throw new ApprovalError('ended', `request ${request.id} is over: the gateway that it waited in is gone`);
    }
    const answer = admit(bound, request.approvals, who.principal, input, now());
    const terms =
      input.grant === undefined || input.kind === 'refuse' ? undefined : within(widest(request.approvals), input.grant);
    if (terms?.same === 'fingerprint' && bound.fingerprint === undefined) {
      throw new ApprovalError('too_wide', 'this operation has no fingerprint that a grant could be widened to');
    }
    const own = [answer.by, ...actorsOf(who, bound.principal.issuer)];
    if (request.answers.some(({ by }) => own.some((person) => personKey(person) === personKey(by)))) {
      throw new ApprovalError('answered_already', 'you have answered this already');
    }
    await queries.query('insert into sallyport.answers (request, person_key, answer, terms) values ($1, $2, $3, $4)', [
      request.id,
      personKey(answer.by),
      JSON.stringify(answer),
      terms === undefined ? null : JSON.stringify(terms),
    ]);
    const answers = [...request.answers, answer];
    const met = answer.kind === 'approve' && isMet(request.approvals, answers);
    // On record before it takes effect, which is when the transaction is committed.
    await records.answered(stored, answer, met);
    await tell(queries, { type: 'answered', id: request.id });
    if (met) await this.#approve(queries, stored, answers);
    else if (answer.kind === 'refuse') await this.#refuse(queries, stored, answer);
    return (await readRequests(queries, { ids: [request.id], limit: 1 }))[0] ?? stored;
  }

  async #refuse(queries: Queries, { request }: StoredRequest, answer: Answer): Promise<void> {
    await this.#close(
      queries,
      `update sallyport.requests set status = 'refused', ended = now(), ended_by = $2
        where id = $1 and status = 'waiting' and expires > now() returning id`,
      [request.id, answer.by.subject],
    );
    await tell(queries, { type: 'ended', id: request.id });
  }

  async #approve(queries: Queries, stored: StoredRequest, answers: readonly Answer[]): Promise<void> {
    const { request, bound } = stored;
    const { receipts, now, receipt_ms } = this.#parts;
    const given = answers.filter(({ kind }) => kind === 'approve');
    const approvers = given.map(({ by }) => by.subject);
    const terms = await this.#terms(queries, stored, given);
    const receipt =
      terms === undefined
        ? await receipts.sign({
            id: receiptId(),
            hold: request.id,
            bound,
            approvals: approvalKeys(request.approvals),
            approvers,
            expires_ms: now() + receipt_ms,
          })
        : undefined;
    await this.#close(
      queries,
      `update sallyport.requests set status = 'approved', ended = now(), ended_by = $2, receipt = $3,
          receipt_expires = now() + make_interval(secs => $4)
        where id = $1 and status = 'waiting' and expires > now() returning id`,
      [request.id, approvers.at(-1) ?? '', receipt?.token ?? null, receipt_ms / 1000],
    );
    if (terms !== undefined) await this.#grant(queries, stored, terms, approvers);
    await tell(queries, { type: 'ended', id: request.id });
  }

  async #close(queries: Queries, text: string, values: readonly unknown[]): Promise<void> {
    if ((await queries.query(text, values)).length === 0) {
      throw new ApprovalError('ended', 'the request has expired');
    }
  }

  /** A grant is as wide as everybody who approved lets it be: one who did not speak of it gave none. */
  async #terms(
    queries: Queries,
    { request }: StoredRequest,
    given: readonly Answer[],
  ): Promise<GrantTerms | undefined> {
    const rows = await queries.query<{ person_key: string; terms: string | null }>(
      'select person_key, terms from sallyport.answers where request = $1',
      [request.id],
    );
    const people = new Set(given.map(({ by }) => personKey(by)));
    const counted = rows.filter(({ person_key }) => people.has(person_key));
    return narrowest(counted.map(({ terms }) => (terms === null ? undefined : (JSON.parse(terms) as GrantTerms))));
  }

  async #grant(
    queries: Queries,
    stored: StoredRequest,
    terms: GrantTerms,
    approvers: readonly string[],
  ): Promise<void> {
    const { request, bound } = stored;
    const id = `g-${randomBytes(9).toString('hex')}`;
    await queries.query(
      `insert into sallyport.grants (id, request, expires, uses_left, bound_key, approval_keys, bound, terms, approvers)
       values ($1, $2, now() + make_interval(secs => $3), $4, $5, $6, $7, $8, $9)`,
      [
        id,
        request.id,
        terms.for_ms / 1000,
        terms.uses,
        grantKey(bound, terms),
        approvalKeys(request.approvals),
        JSON.stringify(bound),
        JSON.stringify(terms),
        JSON.stringify(approvers),
      ],
    );
    const [grant] = await readGrants(queries, [id]);
    if (grant !== undefined) await this.#parts.records.granted(grant, stored);
    await tell(queries, { type: 'granted', id });
  }

  grants(): Promise<readonly Grant[]> {
    return readGrants(this.#parts.database);
  }

  async revoke(id: string, who: Identity): Promise<Grant> {
    const { database, records } = this.#parts;
    return database.transaction(async (queries) => {
      const rows = await queries.query(
        `update sallyport.grants set revoked = coalesce(revoked, now()), revoked_by = coalesce(revoked_by, $2)
          where id = $1 returning id`,
        [id, who.principal.subject],
      );
      const [grant] = rows.length === 0 ? [] : await readGrants(queries, [id]);
      if (grant === undefined) throw new ApprovalError('unknown', `there is no grant ${id}`);
      await records.revoked(grant, who.principal);
      await tell(queries, { type: 'revoked', id });
      return grant;
    });
  }

  subscribe(listener: (event: ApprovalEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#unlisten();
    this.#listeners.clear();
  }
}

/** Whoever acts for somebody who has answered is no second person. */
function actorsOf({ principal }: Identity, issuer: string): { issuer: string; subject: string }[] {
  const { actor } = principal;
  return actor === undefined
    ? []
    : [...new Set([issuer, principal.issuer])].map((one) => ({ issuer: one, subject: actor.subject }));
}
