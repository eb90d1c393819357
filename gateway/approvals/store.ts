import type { Approval, GrantTerms, Input } from '#engine';
import type { Effect } from '../protocol.js';
import type { Queries } from '../state/database.js';
import { silence_seconds_max } from '../state/replica.js';
import type { Answer, ApprovalRequest, Bound, Grant, RequestStatus } from './approvals.js';

/** Requests, answers and grants as rows, and back. Times are the database's: replicas' clocks may differ. */

interface RequestRow {
  readonly id: string;
  readonly replica: string;
  readonly status: RequestStatus;
  readonly asked: Date;
  readonly expires: Date;
  readonly ended: Date | null;
  readonly why: string | null;
  readonly ended_by: string | null;
  readonly decision_id: string;
  readonly revision: string;
  readonly bound: string;
  readonly approvals: string;
  readonly input: string | null;
  readonly effect: string | null;
  readonly answers: string[];
  readonly alike: string;
}

/** One request, with what is not for people's eyes. */
export interface StoredRequest {
  readonly request: ApprovalRequest;
  readonly bound: Bound;
  readonly endedBy?: string;
}

const columns = `id, replica, status, asked, expires, ended, why, ended_by, decision_id, revision, bound, approvals, input, effect,
  array(select answer from sallyport.answers where request = r.id order by number) as answers,
  (select count(*) from sallyport.requests o where o.like_key = r.like_key and o.status = 'waiting') as alike`;

export async function readRequests(
  queries: Queries,
  query: { readonly status?: RequestStatus | undefined; readonly ids?: readonly string[]; readonly limit: number },
): Promise<StoredRequest[]> {
  const rows = await queries.query<RequestRow>(
    `select ${columns} from sallyport.requests r
      where ($1::text is null or status = $1) and ($2::text[] is null or id = any ($2))
      order by asked desc, id limit $3`,
    [query.status ?? null, query.ids ?? null, query.limit],
  );
  return rows.map(requestOf);
}

/** Locks it until the transaction ends: of two answers that come at once, one waits for the other. */
export async function lockRequest(queries: Queries, id: string): Promise<StoredRequest | undefined> {
  const found = await queries.query('select 1 from sallyport.requests where id = $1 for update', [id]);
  if (found.length === 0) return undefined;
  return (await readRequests(queries, { ids: [id], limit: 1 }))[0];
}

/** Whether nobody waits for it any more: its replica is gone, and those that live have not noticed yet. */
export async function isOrphaned(queries: Queries, id: string): Promise<boolean> {
  const found = await queries.query(
    `select 1 from sallyport.requests r join sallyport.replicas p on p.id = r.replica
      where r.id = $1 and p.beat > now() - make_interval(secs => $2)`,
    [id, silence_seconds_max],
  );
  return found.length === 0;
}

function requestOf(row: RequestRow): StoredRequest {
  const input = row.input === null ? undefined : (JSON.parse(row.input) as Input);
  const bound = JSON.parse(row.bound) as Bound;
  const [protocol = '', ...name] = bound.target.split('/');
  const request: ApprovalRequest = {
    id: row.id,
    status: row.status,
    asked_ms: row.asked.getTime(),
    expires_ms: row.expires.getTime(),
    ...(row.ended === null ? {} : { ended_ms: row.ended.getTime() }),
    decision_id: row.decision_id,
    ...(input === undefined
      ? {}
      : {
          principal: input.principal,
          client: input.session.client,
          operation: input.operation,
          ...(input.prompt === undefined ? {} : { prompt: input.prompt }),
        }),
    target: input?.target ?? { name: name.join('/'), protocol, labels: {} },
    session: bound.session,
    revision: row.revision,
    approvals: JSON.parse(row.approvals) as Approval[],
    ...(row.effect === null ? {} : { effect: JSON.parse(row.effect) as Effect }),
    answers: row.answers.map((text) => JSON.parse(text) as Answer),
    ...(row.why === null ? {} : { why: row.why }),
    like: Number(row.alike),
  };
  return { request, bound, ...(row.ended_by === null ? {} : { endedBy: row.ended_by }) };
}

interface GrantRow {
  readonly id: string;
  readonly request: string;
  readonly given: Date;
  readonly expires: Date;
  readonly uses_left: number;
  readonly bound: string;
  readonly terms: string;
  readonly approvers: string;
  readonly revoked: Date | null;
  readonly revoked_by: string | null;
}

export async function readGrants(queries: Queries, ids?: readonly string[]): Promise<Grant[]> {
  const rows = await queries.query<GrantRow>(
    `select id, request, given, expires, uses_left, bound, terms, approvers, revoked, revoked_by from sallyport.grants
      where case when $1::text[] is null then revoked is null and uses_left > 0 and expires > now() else id = any ($1) end
      order by given desc limit 1000`,
    [ids ?? null],
  );
  return rows.map(grantOf);
}

export function grantOf(row: GrantRow): Grant {
  return {
    id: row.id,
    hold: row.request,
    bound: JSON.parse(row.bound) as Bound,
    terms: JSON.parse(row.terms) as GrantTerms,
    uses_left: row.uses_left,
    expires_ms: row.expires.getTime(),
    given_ms: row.given.getTime(),
    by: JSON.parse(row.approvers) as string[],
    ...(row.revoked === null ? {} : { revoked: { by: row.revoked_by ?? '', at_ms: row.revoked.getTime() } }),
  };
}
