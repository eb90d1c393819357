import type { FastifyRequest } from 'fastify';
import { Problem } from '../api/index.js';

/**
 * Refuses what another site made a browser send. SameSite=Strict keeps the cookie away from it already; this holds where a
 * neighbour is the same site, and where a browser gets that wrong. Three things have to agree:
 *
 * - Sec-Fetch-Site (W3C Fetch Metadata), which scripts cannot set, is "same-origin" where the browser sends it;
 * - Origin is the console's own where there is one, and whatever changes something has one of the two;
 * - whatever changes something has a header of our own, for which another origin would have to be let in by CORS first.
 */
export function demandSameOrigin(request: FastifyRequest, origin: string): void {
  const { headers, method } = request;
  const site = headers['sec-fetch-site'];
  const from = headers.origin;
  const changes = method !== 'GET' && method !== 'HEAD';
  const foreign =
    (site !== undefined && site !== 'same-origin') ||
    (from !== undefined && from !== origin) ||
    (changes && ((site === undefined && from === undefined) || headers['sallyport-console'] !== '1'));
  if (foreign) {
    throw new Problem(403, 'other_origin', `this was not sent by the console, which is at ${origin}/console/`);
  }
}
