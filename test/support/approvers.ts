import type {
  AnswerInput,
  ApprovalEvent,
  ApprovalRequest,
  Approvers,
  Grant,
  RequestQuery,
} from '../../gateway/approvals/approvals.js';
import { ApprovalError } from '../../gateway/errors.js';
import type { Identity } from '../../gateway/protocol.js';

/** Approvals in memory, for tests of what stands in front of them: the rules of who may answer, and nothing behind. */
export class FakeApprovers implements Approvers {
  readonly requests = new Map<string, ApprovalRequest>();
  readonly given: Grant[] = [];
  /** What was answered, as it arrived. */
  readonly answers: { id: string; who: Identity; answer: AnswerInput }[] = [];
  readonly #listeners = new Set<(event: ApprovalEvent) => void>();

  add(request: ApprovalRequest): void {
    this.requests.set(request.id, request);
    this.emit({ type: 'requested', id: request.id });
  }

  emit(event: ApprovalEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  get subscribers(): number {
    return this.#listeners.size;
  }

  async list({ status, limit = Infinity }: RequestQuery = {}): Promise<readonly ApprovalRequest[]> {
    return [...this.requests.values()].filter((one) => status === undefined || one.status === status).slice(0, limit);
  }

  async get(id: string): Promise<ApprovalRequest | undefined> {
    return this.requests.get(id);
  }

  async answer(id: string, who: Identity, answer: AnswerInput): Promise<ApprovalRequest> {
    const request = this.requests.get(id);
    if (request === undefined) throw new ApprovalError('unknown', 'there is no such request');
    if (request.status !== 'waiting') throw new ApprovalError('ended', `the request was ${request.status} already`);
    const { issuer, subject, groups } = who.principal;
    if (request.principal?.subject === subject && request.principal.issuer === issuer && answer.break_glass !== true)
      throw new ApprovalError('own_request', 'nobody answers their own request');
    if (!request.approvals.some((approval) => approval.groups.some((group) => groups.includes(group))))
      throw new ApprovalError('not_in_group', 'it is for others to answer');
    this.answers.push({ id, who, answer });
    const answered: ApprovalRequest = {
      ...request,
      status: answer.kind === 'approve' ? 'approved' : 'refused',
      answers: [{ kind: answer.kind, by: { issuer, subject }, groups, at_ms: Date.now(), through: answer.through }],
    };
    this.requests.set(id, answered);
    this.emit({ type: 'answered', id });
    return answered;
  }

  async grants(): Promise<readonly Grant[]> {
    return this.given;
  }

  async revoke(id: string, who: Identity): Promise<Grant> {
    const index = this.given.findIndex((grant) => grant.id === id);
    const grant = this.given[index];
    if (grant === undefined) throw new ApprovalError('unknown', 'there is no such grant');
    const revoked = { ...grant, revoked: { by: who.principal.subject, at_ms: Date.now() } };
    this.given[index] = revoked;
    return revoked;
  }

  subscribe(listener: (event: ApprovalEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** A DELETE by an agent that waits for a DBA. */
export function waitingRequest(
  given: Partial<ApprovalRequest> & { subject?: string; statement?: string } = {},
): ApprovalRequest {
  const { subject = 'agent:billing-bot', statement = 'DELETE FROM app.orders WHERE placed < $1', ...rest } = given;
  const now_ms = Date.now();
  return {
    id: 'h-1',
    status: 'waiting',
    asked_ms: now_ms,
    expires_ms: now_ms + 900_000,
    decision_id: 'd-1',
    principal: {
      subject,
      issuer: 'https://idp.example',
      kind: 'agent',
      groups: ['agents'],
      roles: [],
      purpose: 'month-end report',
      attributes: {},
      token: { expires: new Date(now_ms + 600_000).toISOString() },
    },
    prompt: { id: 'month-end', text: 'Tidy up old orders.' },
    target: { name: 'orders', protocol: 'postgres', labels: {} },
    session: 's-1',
    client: { address: '127.0.0.1', application: 'psql' },
    operation: {
      stage: 'execute',
      action: 'delete',
      resources: [{ type: 'relation', name: 'app.orders', access: 'delete' }],
      opaque: false,
      hash: 'a'.repeat(64),
      postgres: { statement, fingerprint: 'f', parameters: ['2020-01-01'] },
    },
    revision: 'git:1',
    approvals: [{ code: 'pg_delete', groups: ['dba'], quorum: 1, expires_ms: 900_000, reason: 'Deletes wait' }],
    answers: [],
    like: 1,
    ...rest,
  };
}
