import type { Problem } from '../../web/index.js';

/**
 * Refusals as Kubernetes says them, so that kubectl and client libraries show them as they show the API server's own.
 *
 * @see https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#response-status-kind
 */
const reasons: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** The body of a Status: `details.causes` has the reasons of policy, the decision's id, and what to do. */
export function statusOf({ status, code, detail, more = {} }: Problem): string {
  const given = Array.isArray(more['reasons'])
    ? (more['reasons'] as { code: string; title?: string; message?: string }[])
    : [];
  const causes = [
    ...given.map((reason) => ({ reason: reason.code, message: reason.message ?? reason.title ?? reason.code })),
    ...(given.length === 0 ? [{ reason: code, message: detail }] : []),
    ...['decision', 'revision', 'explain', 'next'].flatMap((field) =>
      typeof more[field] === 'string' ? [{ reason: 'sallyport', field, message: more[field] }] : [],
    ),
  ];
  return JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `sallyport: ${detail}`,
    reason: reasons[status] ?? 'InternalError',
    details: { causes },
    code: status,
  });
}

/**
 * The same where it may be tried again: in a second, as API servers say it. Client libraries do so by themselves, up to ten times, before
 * they tell anybody.
 */
export const withoutDelay = (problem: Problem): Problem =>
  problem.fields?.['retry-after'] === undefined
    ? problem
    : { ...problem, fields: { ...problem.fields, 'retry-after': '1' } };
