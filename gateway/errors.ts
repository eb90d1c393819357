/**
 * Every error that the gateway raises itself. `message` is safe to show to a client, `detail` is for the log alone.
 * A denial is not an error: it is a decision.
 */
export abstract class GatewayError extends Error {
  abstract readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly retryable: boolean;

  constructor(message: string, options: { detail?: string; cause?: unknown; retryable?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.detail = options.detail;
    this.retryable = options.retryable ?? false;
  }
}

export type ErrorCode =
  'config' | 'identity' | 'protocol' | 'policy' | 'upstream' | 'audit' | 'approval' | 'state' | 'internal';

/** Bad configuration: the gateway does not start. The message names the key and the line. */
export class ConfigError extends GatewayError {
  readonly code = 'config';
}

/** A token that is missing, expired, forged, or meant for somebody else. */
export class IdentityError extends GatewayError {
  readonly code = 'identity';
  /** Short and stable, for records and metrics: "expired", "audience", "signature", … */
  readonly reason: string;
  constructor(reason: string, message: string, options: { detail?: string; cause?: unknown } = {}) {
    super(message, options);
    this.reason = reason;
  }
}

/** Bytes that are malformed, out of order, unsupported or too large: refused, never forwarded. */
export class ProtocolError extends GatewayError {
  readonly code = 'protocol';
}

/** A policy that does not compile, fails its tests, or is not what it says it is. */
export class PolicyError extends GatewayError {
  readonly code = 'policy';
}

/** The guarded system cannot be reached, refuses the gateway, or went away. */
export class UpstreamError extends GatewayError {
  readonly code = 'upstream';
}

/** A record could not be written: the operation is refused. */
export class AuditError extends GatewayError {
  readonly code = 'audit';
}

/** An approval that cannot be asked for or given: unknown, ended, not this person's to answer. */
export class ApprovalError extends GatewayError {
  readonly code = 'approval';
  /** Short and stable, for records, metrics and the API. */
  readonly reason: ApprovalProblem;
  constructor(reason: ApprovalProblem, message: string, options: { detail?: string; cause?: unknown } = {}) {
    super(message, options);
    this.reason = reason;
  }
}

export type ApprovalProblem =
  | 'unknown'
  | 'ended'
  | 'own_request'
  | 'not_in_group'
  | 'answered_already'
  | 'needs_comment'
  | 'too_wide'
  | 'too_many'
  | 'malformed';

/** The gateway's own database cannot be reached, or does not answer in time. */
export class StateError extends GatewayError {
  readonly code = 'state';
}

/** An invariant of our own broke: this session ends, the others go on. */
export class InternalError extends GatewayError {
  readonly code = 'internal';
}
