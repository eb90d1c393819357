import { engineCodes, type Decision } from '#engine';
import type { Hold, SessionEnd } from '../../protocol.js';
import { AuditError, GatewayError, ProtocolError, UpstreamError } from '../../errors.js';
import { errorResponse, InvalidEncoding, type ErrorFields } from './codec.js';
import { StatementError } from './judging/statement.js';
import { UpstreamRefusal } from './refusal.js';
import type { WaitEnd } from './session/waiting.js';

/** Decisions and errors in the protocol's own words. One table from code to SQLSTATE; see docs/errors.md. */

export const sqlstates = {
  denied: '42501', // insufficient_privilege
  identity: '28P01', // invalid_password
  noTls: '28000', // invalid_authorization_specification
  noTarget: '3D000', // invalid_catalog_name
  protocol: '08P01', // protocol_violation
  unsupported: '0A000', // feature_not_supported
  upstream: '08006', // connection_failure
  unavailable: '57P03', // cannot_connect_now
  audit: '58030', // io_error
  internal: 'XX000', // internal_error
  failedTransaction: '25P02', // in_failed_sql_transaction
  noStatement: '26000', // invalid_sql_statement_name
  noPortal: '34000', // invalid_cursor_name
  encoding: '22021', // character_not_in_repertoire
  limit: '54000', // program_limit_exceeded
  cancelled: '57014', // query_canceled
  tooLong: '54000', // program_limit_exceeded
  nameTooLong: '42622', // name_too_long
  tooMany: '53300', // too_many_connections
  ended: '57P01', // admin_shutdown
} as const;

/** What of a statement may be why no rule allows it, though no rule says so. */
export interface Unclear {
  readonly unresolved: readonly string[];
  /** Why it is opaque. */
  readonly because: readonly string[];
  /** Settings that are not harmless. */
  readonly settings: readonly string[];
}

/**
 * A denial: what a person reads stands in the message, what a program reads in DETAIL and HINT as JSON.
 *
 * DETAIL: {"decision","outcome","revision","target","reasons":[{"code","title","message"}],"unresolved"?,"opaque"?,"settings"?}
 * HINT: {"next","explain"}
 */
export function denial(
  decision: Decision,
  target: string,
  severity: 'ERROR' | 'FATAL' = 'ERROR',
  unclear: Unclear = { unresolved: [], because: [], settings: [] },
): ErrorFields {
  const { unresolved, because, settings } = unclear;
  const said = decision.reasons.map((reason) => reason.message ?? reason.title ?? reason.code);
  const held = decision.outcome === 'hold';
  const only = (name: string) => decision.reasons.every(({ code }) => code === name);
  return {
    severity,
    // Not policy's no: nothing runs without a record, and the record could not be written.
    sqlstate: only('audit_failed')
      ? sqlstates.audit
      : only('policy_changed')
        ? sqlstates.unsupported
        : sqlstates.denied,
    message: `${held ? 'needs an approval' : 'denied by policy'}: ${[...new Set(said)].join('; ')}${
      unresolved.length === 0 ? '' : ` (not found in the database: ${unresolved.join(', ')})`
    }${settings.length === 0 ? '' : ` (it administers the setting ${settings.join(', ')})`}`,
    detail: JSON.stringify({
      decision: decision.id,
      outcome: decision.outcome,
      revision: decision.revision,
      target,
      reasons: decision.reasons.map(({ code, title, message }) => ({ code, title, message })),
      ...(unresolved.length === 0 ? {} : { unresolved }),
      ...(because.length === 0 ? {} : { opaque: because }),
      ...(settings.length === 0 ? {} : { settings }),
    }),
    hint: JSON.stringify({
      next: held
        ? 'This operation needs the answer of a person, and nobody can be asked for it here: ask the owners of the policy.'
        : unresolved.length > 0
          ? 'Check the names first: what does not exist cannot be judged.'
          : because.length > 0
            ? 'Its effects cannot be known from what it says (see "opaque" in the detail): write it without that.'
            : 'Change the statement so that policy allows it, or ask the owners of the policy with the decision id.',
      explain: `sallyport explain ${decision.id}`,
    }),
  };
}

/** What only the answers of people can end, as DETAIL says it. */
function waitingDetail({ id, outcome, revision, reasons }: Decision, target: string, hold: Hold, outcomeNow?: 'deny') {
  return {
    decision: id,
    outcome: outcomeNow ?? outcome,
    revision,
    target,
    hold: {
      id: hold.id,
      ...(hold.link === undefined ? {} : { link: hold.link }),
      expires: new Date(hold.expires_ms).toISOString(),
    },
    reasons: reasons.map(({ code, title, message }) => ({ code, title, message })),
  };
}

/**
 * What the client is told while its operation waits. It is a notice: every driver may get one at any time.
 *
 * DETAIL: {"decision","outcome":"hold","revision","target","hold":{"id","link"?,"expires"},"reasons","groups"}
 * HINT: {"next","explain"}
 */
export function waitingNotice(decision: Decision, target: string, hold: Hold, now_ms: number): ErrorFields {
  const { approvals } = decision;
  const groups = [...new Set(approvals.flatMap((approval) => approval.groups))];
  const reasons = [...new Set(approvals.map(({ reason, code }) => reason ?? code))].join('; ');
  const minutes = Math.max(1, Math.round((hold.expires_ms - now_ms) / 60_000));
  const until = new Date(hold.expires_ms).toISOString().slice(0, 19);
  const where = hold.link === undefined ? '' : `: ${hold.link}`;
  return {
    severity: 'NOTICE',
    sqlstate: '00000',
    message: `waiting for an approval (${reasons}): request ${hold.id} may be answered by ${groups.join(', ')} until ${until}Z, ${minutes} min from now${where}`,
    detail: JSON.stringify({ ...waitingDetail(decision, target, hold), groups }),
    hint: JSON.stringify({
      next: 'Wait: it runs here once it is approved. Cancel it, or close the connection, to take the request back.',
      explain: `sallyport explain ${decision.id}`,
    }),
  };
}

/** The wait ended without a yes. DETAIL and HINT as in a denial, with the request. */
export function notApproved(
  decision: Decision,
  target: string,
  hold: Hold,
  end: Exclude<WaitEnd, { how: 'approved' | 'superseded' }>,
): ErrorFields {
  const [code, said] = notApprovedBecause(end);
  const by =
    end.how === 'refused' ? { by: end.by, ...(end.comment === undefined ? {} : { comment: end.comment }) } : {};
  const cancelled = end.how === 'cancelled';
  return {
    severity: 'ERROR',
    sqlstate: cancelled ? sqlstates.cancelled : sqlstates.denied,
    // In the words that drivers know.
    message: cancelled ? 'canceling statement due to user request' : `not approved: ${said}`,
    detail: JSON.stringify({
      ...waitingDetail(decision, target, hold, 'deny'),
      reasons: [{ code, title: engineCodes[code], message: said }],
      ...by,
    }),
    hint: JSON.stringify({
      next: cancelled
        ? 'The request was taken back, and nothing ran.'
        : 'Nothing ran. Send it again to ask again, or ask who may answer with the id of the request.',
      explain: `sallyport explain ${decision.id}`,
    }),
  };
}

function notApprovedBecause(end: Exclude<WaitEnd, { how: 'approved' | 'superseded' }>) {
  switch (end.how) {
    case 'refused':
      return ['approval_refused', `${end.by} refused${end.comment === undefined ? '' : `: ${end.comment}`}`] as const;
    case 'expired':
      return ['approval_expired', 'nobody answered in time'] as const;
    case 'cancelled':
      return ['approval_withdrawn', 'the client cancelled it'] as const;
    case 'withdrawn':
      return ['approval_withdrawn', `the request was withdrawn: ${end.why}`] as const;
  }
}

const units = { rows: 'rows', bytes: 'bytes', seconds: 'seconds' } as const;

/** A result that was cut: what came before this error is not all there is. DETAIL and HINT as in a denial. */
export function limitExceeded(
  decision: Decision,
  target: string,
  limit: keyof typeof units,
  amount: number,
): ErrorFields {
  return {
    severity: 'ERROR',
    sqlstate: sqlstates.limit,
    message: `stopped by policy: more than ${amount} ${units[limit]}${limit === 'seconds' ? '' : ' of result'}`,
    detail: JSON.stringify({
      decision: decision.id,
      outcome: 'deny',
      revision: decision.revision,
      target,
      reasons: [
        {
          code: 'limit_exceeded',
          title: engineCodes.limit_exceeded,
          message: `The limit is ${amount} ${units[limit]}; what was sent before it is not the whole result.`,
        },
      ],
      limit: { [limit]: amount },
    }),
    hint: JSON.stringify({
      next: 'Ask for less: a LIMIT, a narrower WHERE, fewer columns; or ask the owners of the policy.',
      explain: `sallyport explain ${decision.id}`,
    }),
  };
}

/** What went wrong, in words that are safe to show. */
export function failure(error: unknown, severity: 'ERROR' | 'FATAL' = 'ERROR'): ErrorFields {
  if (error instanceof StatementError) {
    return {
      severity,
      sqlstate: error.sqlstate,
      message: error.message,
      position: error.position,
      hint: error.hint,
      detail: error.detail,
    };
  }
  if (error instanceof InvalidEncoding) return { severity, sqlstate: sqlstates.encoding, message: error.message };
  if (error instanceof ProtocolError) return { severity, sqlstate: sqlstates.protocol, message: error.message };
  if (error instanceof AuditError) {
    return {
      severity,
      sqlstate: sqlstates.audit,
      message: 'refused: the operation could not be recorded',
      hint: 'Nothing runs without a record. Try again once the audit can be written.',
    };
  }
  if (error instanceof UpstreamRefusal) return { severity, sqlstate: error.sqlstate, message: error.message };
  if (error instanceof UpstreamError) return { severity, sqlstate: sqlstates.upstream, message: error.message };
  if (error instanceof GatewayError) return { severity, sqlstate: sqlstates.internal, message: error.message };
  return { severity, sqlstate: sqlstates.internal, message: 'internal error in the gateway' };
}

export const failureResponse = (error: unknown, severity?: 'ERROR' | 'FATAL') =>
  errorResponse(failure(error, severity));

export const ended = (end: SessionEnd): Buffer =>
  errorResponse({
    severity: 'FATAL',
    sqlstate: sqlstates.ended,
    message: end.message,
    ...(end.code === 'token_expired' ? { hint: 'Connect again with a new token.' } : {}),
  });

export const failedTransaction: Buffer = errorResponse({
  severity: 'ERROR',
  sqlstate: sqlstates.failedTransaction,
  message: 'current transaction is aborted, commands ignored until end of transaction block',
});

/** The second line has held where rewriting did not. */
export const unmasked: Buffer = errorResponse({
  severity: 'FATAL',
  sqlstate: sqlstates.internal,
  message: 'the answer would have shown a column that policy masks: nothing of it was passed on',
  hint: "This is an error of the gateway's own. Please report it, with the gateway's log.",
});

export const functionCall: Buffer = errorResponse({
  severity: 'ERROR',
  sqlstate: sqlstates.unsupported,
  message: 'function-call messages are refused: they name a function by number alone',
  hint: 'Call the function in a SELECT.',
});
