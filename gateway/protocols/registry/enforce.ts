import type { Obligation } from '../../protocol.js';
import type { Problem } from '../../web/index.js';

/** What policy may ask of a request beside a yes or a no. */
export const obligations: ReadonlySet<Obligation> = new Set(['approval', 'limit.bytes', 'limit.seconds']);

/** The codes that clients of registries know, by those of the gateway. */
const codes: Readonly<Record<string, string>> = {
  name_invalid: 'NAME_INVALID',
  digest_invalid: 'DIGEST_INVALID',
  reference_invalid: 'MANIFEST_INVALID',
  manifest_invalid: 'MANIFEST_INVALID',
  manifest_unknown: 'MANIFEST_UNKNOWN',
  upload_unknown: 'BLOB_UPLOAD_UNKNOWN',
  unknown_target: 'NAME_UNKNOWN',
  unsupported: 'UNSUPPORTED',
  body_too_large: 'SIZE_INVALID',
  size_invalid: 'SIZE_INVALID',
  range_invalid: 'BLOB_UPLOAD_INVALID',
};

/**
 * A refusal as registries say it: {"errors":[{"code","message","detail"}]}, the gateway's own words in `detail`.
 *
 * @see OCI distribution specification 1.1, "Error codes"
 */
export function errorsOf({ status, code, title, detail, more = {} }: Problem): string {
  const known = Object.hasOwn(codes, code) ? codes[code] : undefined;
  const said =
    known ?? (status === 401 ? 'UNAUTHORIZED' : status === 403 ? 'DENIED' : status === 503 ? 'UNAVAILABLE' : 'UNKNOWN');
  const message = `sallyport: ${detail}`;
  return JSON.stringify({ errors: [{ code: said, message, detail: { code, title, ...more } }] });
}

/** Clients of registries sign in with Basic, the token as the password; what else would be said makes them look for a server of tokens. */
export const challenged = (problem: Problem): Problem =>
  problem.status === 401
    ? { ...problem, fields: { ...problem.fields, 'www-authenticate': 'Basic realm="sallyport"' } }
    : problem;

export const limited = (limit: 'bytes' | 'seconds', amount: number): Problem => ({
  status: 403,
  code: 'limit_exceeded',
  title: 'Stopped by policy',
  detail: `stopped by policy: the answer has more than ${amount} ${limit}`,
});
