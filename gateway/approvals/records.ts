import type { Input, Principal } from '#engine';
import type { Audit } from '../audit/record.js';
import type { ApprovalProblem } from '../errors.js';
import type { Effect, HoldEnd } from '../protocol.js';
import type { Answer, Bound, Grant } from './approvals.js';
import type { StoredRequest } from './store.js';

/** What approvals write into the audit. Durable where something takes effect by it. */
export class ApprovalRecords {
  readonly #audit: Audit;
  readonly #recordedHash: (hash: string) => string;

  constructor(audit: Audit, recordedHash: (hash: string) => string) {
    this.#audit = audit;
    this.#recordedHash = recordedHash;
  }

  asked(id: string, input: Input, decision: { readonly id: string; readonly revision: string }, expires_ms: number) {
    return this.#audit.write(
      {
        kind: 'hold',
        fields: {
          hold_id: id,
          decision_id: decision.id,
          session_id: input.session.id,
          target: input.target.name,
          protocol: input.target.protocol,
          revision: decision.revision,
          hash: this.#recordedHash(input.operation.hash),
          expires: new Date(expires_ms).toISOString(),
        },
        personal: { principal: input.principal },
      },
      { durable: true },
    );
  }

  /** Something is about to run, to be looked at and undone. */
  previewing(id: string, decision_id: string): Promise<void> {
    return this.#audit.write(
      { kind: 'hold', fields: { hold_id: id, decision_id, step: 'preview' } },
      { durable: true },
    );
  }

  /** What was shown, as counts: the rows themselves are for those who answer, and not for the record. */
  effect(id: string, decision_id: string, { basis, reason, notes, relations }: Effect): void {
    const counts = relations.map(({ sample: _, ...rest }) => rest);
    this.#audit.write({
      kind: 'hold',
      fields: {
        hold_id: id,
        decision_id,
        step: 'effect',
        effect: { basis, ...(reason === undefined ? {} : { reason }), notes, relations: counts },
      },
    });
  }

  answered(request: StoredRequest, answer: Answer, met: boolean): Promise<void> {
    const { by, comment, ...rest } = answer;
    return this.#audit.write(
      {
        kind: 'answer',
        fields: {
          ...place(request),
          answer: rest.kind,
          groups: rest.groups,
          through: rest.through,
          break_glass: rest.break_glass === true,
          met,
        },
        personal: { approver: by, ...(comment === undefined ? {} : { comment }) },
      },
      { durable: true },
    );
  }

  /** Somebody tried to answer what is not theirs to answer. */
  turnedAway(request: StoredRequest, who: Principal, kind: string, problem: ApprovalProblem, through: string): void {
    this.#audit.write({
      kind: 'answer',
      fields: { ...place(request), answer: kind, refused: problem, through },
      personal: { approver: { issuer: who.issuer, subject: who.subject } },
    });
  }

  ended(request: StoredRequest, end: HoldEnd): void {
    this.#audit.write({
      kind: 'hold_end',
      fields: { ...place(request), how: end.how, ...(end.how === 'withdrawn' ? { why: end.why } : {}) },
      ...(end.how === 'refused' ? { personal: { by: end.by } } : {}),
    });
  }

  granted(grant: Grant, request: StoredRequest): Promise<void> {
    return this.#audit.write(
      {
        kind: 'grant',
        fields: {
          ...place(request),
          grant_id: grant.id,
          terms: grant.terms,
          uses: grant.uses_left,
          expires: new Date(grant.expires_ms).toISOString(),
        },
        personal: { principal: grant.bound.principal, approvers: grant.by },
      },
      { durable: true },
    );
  }

  revoked(grant: Grant, who: Principal): Promise<void> {
    return this.#audit.write(
      {
        kind: 'revoke',
        fields: { grant_id: grant.id, hold_id: grant.hold },
        personal: { by: { issuer: who.issuer, subject: who.subject }, principal: grant.bound.principal },
      },
      { durable: true },
    );
  }
}

function place({ request, bound }: { readonly request: StoredRequest['request']; readonly bound: Bound }) {
  const [protocol = '', ...name] = bound.target.split('/');
  return {
    hold_id: request.id,
    decision_id: request.decision_id,
    session_id: request.session,
    target: name.join('/'),
    protocol,
    revision: request.revision,
  };
}
