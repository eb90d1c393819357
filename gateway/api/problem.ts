import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApprovalError, AuditError, GatewayError, IdentityError, StateError, type ApprovalProblem } from '../errors.js';

/** A refusal as HTTP says it: RFC 9457, application/problem+json. `message` is safe to show. */
export class Problem extends Error {
  readonly status: number;
  /** Short and stable: what a program tells refusals apart by. */
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export const notFound = (what: string) =>
  new Problem(404, 'unknown', `there is no such ${what}, or it is not yours to see`);

const approvalStatus: Readonly<Record<ApprovalProblem, number>> = {
  unknown: 404,
  malformed: 400,
  ended: 409,
  answered_already: 409,
  own_request: 403,
  not_in_group: 403,
  needs_comment: 422,
  too_wide: 422,
  too_many: 429,
};

/** Whatever was thrown, as a refusal. What is not ours says nothing of itself to the outside. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof IdentityError) {
    const challenge = `Bearer error="invalid_token", error_description="${quotable(error.message)}"`;
    return new Problem(401, error.reason, error.message, { 'www-authenticate': challenge });
  }
  if (error instanceof ApprovalError) return new Problem(approvalStatus[error.reason], error.reason, error.message);
  if (error instanceof StateError || error instanceof AuditError) {
    return new Problem(503, error.code, error.message, { 'retry-after': '5' });
  }
  if (error instanceof GatewayError) return new Problem(500, error.code, error.message);
  return foreign(error as { statusCode?: unknown; code?: unknown; message?: unknown } | null);
}

/** Fastify's own refusals: a body that is too large, no JSON, or not in the form that the route asks for. */
function foreign(error: { statusCode?: unknown; code?: unknown; message?: unknown } | null): Problem {
  const status = error?.statusCode;
  if (typeof status !== 'number' || status < 400 || status >= 500) {
    return new Problem(500, 'internal', 'something went wrong inside the gateway; its log says what');
  }
  const code = error?.code === 'FST_ERR_VALIDATION' ? 'invalid' : status === 413 ? 'too_large' : 'malformed';
  return new Problem(status, code, typeof error?.message === 'string' ? error.message : 'the request is malformed');
}

/** RFC 6750, 3: within quotes, without what would end them. */
const quotable = (text: string) => text.replace(/[^\x20-\x7e]/gu, '?').replace(/["\\]/gu, "'");

export async function sendProblem(reply: FastifyReply, problem: Problem): Promise<void> {
  await reply
    .code(problem.status)
    .headers(problem.headers)
    .type('application/problem+json; charset=utf-8')
    .send(
      JSON.stringify({
        type: 'about:blank',
        status: problem.status,
        code: problem.code,
        title: titles[problem.status] ?? 'Refused',
        detail: problem.message,
      }),
    );
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Not signed in',
  403: 'Not yours to do',
  404: 'Not found',
  409: 'Too late',
  413: 'Too large',
  415: 'Unsupported media type',
  422: 'Not acceptable as it is',
  429: 'Too many',
  500: 'Internal error',
  503: 'Not available',
};

/** The address that a request comes from. Headers that a proxy may have set are not believed. */
export const addressOf = (request: FastifyRequest): string => request.socket.remoteAddress ?? 'unknown';
