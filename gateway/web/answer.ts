import { engineCodes, type Decision } from '#engine';
import type { ServerResponse } from 'node:http';
import { AuditError, GatewayError, IdentityError, ProtocolError, StateError, UpstreamError } from '../errors.js';
import type { Hold, HoldEnd, SessionEnd } from '../protocol.js';
import { NotAdmitted } from './admission.js';
import { RequestRefusal } from './refusal.js';

/** Refusals as HTTP says them: RFC 9457, application/problem+json. */
export interface Problem {
  readonly status: number;
  /** Short and stable: what a program tells refusals apart by. */
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly more?: Readonly<Record<string, unknown>>;
}

/** Seconds, of what may well be there by then: a secret that is written, a state or an audit that is back. */
const retryAfter = '5';

/** Whatever was thrown, in words that are safe to show. */
export function fail(error: unknown, target: string): Problem {
  if (error instanceof NotAdmitted) return denialOf(error.decision, target, error.asked);
  if (error instanceof RequestRefusal) {
    const { status, reason: code, message: detail } = error;
    const fields = status === 503 ? { 'retry-after': retryAfter } : {};
    return { status, code, title: 'Request refused', detail, fields };
  }
  if (error instanceof IdentityError) {
    const challenge = `Bearer realm="sallyport", error="invalid_token", error_description="${quotable(error.message)}"`;
    return {
      status: 401,
      code: error.reason,
      title: 'Not signed in',
      detail: error.message,
      fields: { 'www-authenticate': challenge },
    };
  }
  if (error instanceof AuditError || error instanceof StateError) {
    const detail = 'the operation could not be recorded, and nothing runs without a record; try again later';
    return { status: 503, code: error.code, title: 'Not available', detail, fields: { 'retry-after': retryAfter } };
  }
  if (error instanceof UpstreamError) {
    return { status: 502, code: 'upstream', title: 'Upstream failed', detail: error.message };
  }
  if (error instanceof ProtocolError) {
    return { status: 400, code: 'protocol', title: 'Request refused', detail: error.message };
  }
  const detail = error instanceof GatewayError ? error.message : 'something went wrong inside the gateway';
  return { status: 500, code: 'internal', title: 'Internal error', detail };
}

/** The session ended while the request ran. */
export const goneProblem = ({ code, message }: SessionEnd): Problem => ({
  status: code === 'shutdown' ? 503 : 401,
  code,
  title: 'Session ended',
  detail: message,
});

/**
 * A denial: 403, with {"decision","outcome","revision","target","reasons":[{"code","title","message"}],"hold"?,"next","explain"}.
 * Where the record failed it is 503, as nothing is wrong with the request.
 */
export function denialOf(
  decision: Decision,
  target: string,
  asked?: { readonly hold: Hold; readonly end: HoldEnd },
): Problem {
  const { id, revision, reasons } = decision;
  const answered = asked === undefined ? undefined : ended(asked.end);
  const said = [...new Set(reasons.map(({ code, title, message }) => message ?? title ?? code))].join('; ');
  const unrecorded = reasons.every(({ code }) => code === 'audit_failed');
  const expired = reasons.some(({ code }) => code === 'token_expired');
  return {
    status: unrecorded ? 503 : expired ? 401 : 403,
    code: answered?.code ?? (unrecorded ? 'audit_failed' : expired ? 'token_expired' : 'denied'),
    title: answered === undefined ? 'Denied by policy' : 'Not approved',
    detail: answered === undefined ? `denied by policy: ${said}` : `not approved: ${answered.said}`,
    fields: { 'x-sallyport-decision': id },
    more: {
      decision: id,
      outcome: 'deny',
      revision,
      target,
      reasons: [
        ...(answered === undefined
          ? []
          : [{ code: answered.code, title: engineCodes[answered.code], message: answered.said }]),
        ...reasons.map(({ code, title, message }) => ({ code, title, message })),
      ],
      ...(asked === undefined
        ? {}
        : { hold: { id: asked.hold.id, ...(asked.hold.link === undefined ? {} : { link: asked.hold.link }) } }),
      next:
        answered === undefined
          ? 'Change the request so that policy allows it, or ask the owners of the policy with the decision id.'
          : 'Nothing was sent to the target. Send it again to ask again, or ask who may answer with the id of the request.',
      explain: `sallyport explain ${id}`,
    },
  };
}

function ended(end: HoldEnd) {
  switch (end.how) {
    case 'refused': {
      const comment = end.comment === undefined ? '' : `: ${end.comment}`;
      return { code: 'approval_refused', said: `${end.by} refused${comment}` } as const;
    }
    case 'expired':
      return { code: 'approval_expired', said: 'nobody answered in time' } as const;
    case 'withdrawn':
      return { code: 'approval_withdrawn', said: `the request was withdrawn: ${end.why}` } as const;
    default:
      return { code: 'approval_withdrawn', said: 'the policy changed too often while it waited' } as const;
  }
}

/** RFC 6750, 3: within quotes, without what would end them. */
const quotable = (text: string) => text.replace(/[^\x20-\x7e]/gu, '?').replace(/["\\]/gu, "'");

/** Fields that every answer has which comes from below a mount: it is data of somebody else, on the gateway's own origin. */
export const guarding: Readonly<Record<string, string>> = {
  'content-security-policy': "sandbox; default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

/**
 * Answers with the problem, in the protocol's own form where it has one; where an answer has begun already, cuts it off, so that nobody takes it for whole.
 */
export function sendProblem(
  response: ServerResponse,
  problem: Problem,
  form?: { readonly type: string; readonly text: string },
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, code, title, detail, fields = {}, more = {} } = problem;
  const body = Buffer.from(form?.text ?? JSON.stringify({ type: 'about:blank', status, code, title, detail, ...more }));
  // What is left of the request is not read: its connection has served.
  const close = response.req.complete ? {} : { connection: 'close' };
  if (!response.req.complete) response.shouldKeepAlive = false;
  response.writeHead(status, {
    ...guarding,
    'content-type': form?.type ?? 'application/problem+json; charset=utf-8',
    'content-length': String(body.length),
    'cache-control': 'no-store',
    ...fields,
    ...close,
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}
