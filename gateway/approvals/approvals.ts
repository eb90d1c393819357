import type { Approval, Decision, GrantTerms, Input, Principal } from '#engine';
import type { Effect, Hold, Identity } from '../protocol.js';

/**
 * What the rest of the gateway sees of approvals. Two sides: the pipeline asks, and uses up what was given; people
 * answer, through the API, the command line, the console or a webhook, all by way of `Approvers`.
 */

/** What a receipt is bound to. Change any of it and people are asked again. */
export interface Bound {
  readonly principal: { readonly issuer: string; readonly subject: string };
  /** On whose behalf (RFC 8693 "act"). */
  readonly actor?: string;
  readonly purpose?: string;
  /** "postgres/orders". */
  readonly target: string;
  /** Of the operation, parameters included. */
  readonly hash: string;
  /** Of the operation without its values, where its protocol has one: what a grant may be widened to. */
  readonly fingerprint?: string;
  readonly session: string;
  readonly revision: string;
}

/** A signed answer that was used up for one operation. */
export interface Receipt {
  readonly id: string;
  /** The request that it answers. */
  readonly hold: string;
  readonly approvers: readonly string[];
  /** JWS compact serialisation (RFC 7515), EdDSA, of what it is bound to: for the record. */
  readonly token: string;
}

/** The pipeline's side. */
export interface Approvals {
  /**
   * Uses up a receipt or one use of a grant that covers all these approvals; undefined where there is none. Of two that
   * ask at once for the last use, on whichever replicas, one gets it. Rejects with StateError.
   */
  redeem(bound: Bound, approvals: readonly Approval[]): Promise<Receipt | undefined>;
  /**
   * Asks people. Rejects with StateError, or with ApprovalError where too many wait already.
   *
   * @param recorded The protocol's own part of the operation as the audit holds it: what may be told outside the gateway.
   */
  request(input: Input, decision: Decision, recorded: unknown): Promise<Hold>;
}

export type AnswerKind = 'approve' | 'refuse';

export interface Answer {
  readonly kind: AnswerKind;
  readonly by: { readonly issuer: string; readonly subject: string };
  /** Groups by which they could answer. */
  readonly groups: readonly string[];
  /** Milliseconds since the epoch. */
  readonly at_ms: number;
  readonly comment?: string;
  /** Answered their own request, as policy lets them in an emergency. */
  readonly break_glass?: true;
  /** How it came: "console", "cli", "api", "webhook:NAME". */
  readonly through: string;
}

export type RequestStatus = 'waiting' | 'approved' | 'refused' | 'expired' | 'withdrawn';

/** One request as people see it. */
export interface ApprovalRequest {
  /** "h-…" */
  readonly id: string;
  readonly status: RequestStatus;
  readonly asked_ms: number;
  readonly expires_ms: number;
  readonly ended_ms?: number;
  readonly decision_id: string;
  /**
   * What is asked for: the claimed prompt, and the observed operation. Principal, client, operation and prompt are
   * absent once a person's data was erased.
   */
  readonly principal?: Principal;
  readonly prompt?: Input['prompt'];
  readonly target: Input['target'];
  readonly session: string;
  readonly client?: Input['session']['client'];
  readonly operation?: Input['operation'];
  readonly revision: string;
  readonly approvals: readonly Approval[];
  readonly effect?: Effect;
  readonly answers: readonly Answer[];
  /** Why it was withdrawn. */
  readonly why?: string;
  /** Waiting requests for the same statement by the same principal and purpose, this one included. */
  readonly like: number;
}

export interface Grant {
  readonly id: string;
  readonly hold: string;
  readonly bound: Bound;
  readonly terms: GrantTerms;
  readonly uses_left: number;
  readonly expires_ms: number;
  readonly given_ms: number;
  readonly by: readonly string[];
  readonly revoked?: { readonly by: string; readonly at_ms: number };
}

export interface RequestQuery {
  readonly status?: RequestStatus;
  /** Only what this person may answer. */
  readonly answerableBy?: Principal;
  readonly limit?: number;
}

export interface AnswerInput {
  readonly kind: AnswerKind;
  readonly comment?: string;
  /** Widens the approval, within what policy lets it. */
  readonly grant?: Partial<GrantTerms>;
  /** Policy's way to answer one's own request in an emergency; needs a comment. */
  readonly break_glass?: boolean;
  readonly through: string;
}

/** People's side. Everything here rejects with ApprovalError for what is not to be, and with StateError. */
export interface Approvers {
  list(query?: RequestQuery): Promise<readonly ApprovalRequest[]>;
  get(id: string): Promise<ApprovalRequest | undefined>;
  /** Resolves with the request as it is then; recorded before it takes effect. */
  answer(id: string, who: Identity, answer: AnswerInput): Promise<ApprovalRequest>;
  grants(): Promise<readonly Grant[]>;
  revoke(id: string, who: Identity): Promise<Grant>;
  /** Told of each request that was made, answered, shown an effect or ended, on whichever replica. Returns what ends it. */
  subscribe(listener: (event: ApprovalEvent) => void): () => void;
}

export interface ApprovalEvent {
  readonly type: 'requested' | 'answered' | 'effect' | 'ended' | 'granted' | 'revoked';
  /** Of the request, or the grant. */
  readonly id: string;
}
