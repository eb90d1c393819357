import type { IncomingMessage, ServerResponse } from 'node:http';
import { UpstreamError } from '../../errors.js';
import { guarding, pass, readAnswer, warningsOf, type Forwarded } from '../../web/index.js';
import { digestLike, manifest_bytes_max } from './manifest.js';
import type { RegistryRequest } from './codec.js';
import type { Held } from './reading.js';
import { digestOf } from './names.js';
import { passBlob } from './verifying.js';

/** What clients get of a registry's answers: the fields that the specification has, places written as the gateway's own. */

const kept = [
  ...['content-type', 'content-length', 'content-range', 'accept-ranges', 'etag', 'range', 'retry-after'],
  ...['docker-content-digest', 'docker-upload-uuid', 'oci-subject', 'oci-filters-applied', 'oci-chunk-min-length'],
];
const version = { 'docker-distribution-api-version': 'registry/2.0' };

export type Fields = Readonly<Record<string, string>>;

/** Of every answer that the gateway gives itself. */
export const ownFields: Fields = { ...guarding, ...version, 'cache-control': 'no-store' };

/** @param more What takes the place of the upstream's own, or is added. */
export function head(answer: IncomingMessage, response: ServerResponse, more: Fields): void {
  const fields: Record<string, string> = { ...guarding, ...version };
  for (const name of kept) {
    const value = answer.headers[name];
    if (typeof value === 'string') fields[name] = value;
  }
  // A refusal may come before the request is whole: what is left of it is not read.
  const close = response.req.complete ? {} : { connection: 'close' };
  response.writeHead(answer.statusCode ?? 502, { ...fields, ...more, ...close });
}

/** As it came; for errors, lists, and answers without a body. */
export async function passPlain(
  answer: IncomingMessage,
  response: ServerResponse,
  more: Fields,
  bytes_max?: number,
): Promise<Forwarded> {
  head(answer, response, more);
  const passed = await pass(answer, response, bytes_max);
  return { ...passed, code: String(answer.statusCode), ...warningsOf(answer) };
}

/** A manifest, read whole and checked before the client gets its first byte. Throws UpstreamError. */
export async function passManifest(
  answer: IncomingMessage,
  response: ServerResponse,
  { endpoint }: RegistryRequest,
  more: Fields,
): Promise<Forwarded> {
  const bytes = await readAnswer(answer, manifest_bytes_max);
  const asked = endpoint.kind === 'manifest' ? endpoint.digest : undefined;
  for (const digest of [asked, digestOf(String(answer.headers['docker-content-digest'] ?? ''))]) {
    if (digest !== undefined && digestLike(bytes, digest) !== digest.text) {
      throw new UpstreamError('the registry gave another manifest than the digest names');
    }
  }
  head(answer, response, { ...more, 'content-length': String(bytes.length) });
  return { ...(await written(response, bytes)), code: '200', ...warningsOf(answer) };
}

/** What was read of the registry already, when it was judged. */
export async function passHeld(
  { bytes, media, digest }: Held,
  response: ServerResponse,
  more: Fields,
): Promise<Forwarded> {
  response.writeHead(200, {
    ...ownFields,
    'content-type': media,
    'content-length': String(bytes.length),
    'docker-content-digest': digest,
    ...more,
  });
  const { method } = response.req;
  return { ...(await written(response, method === 'HEAD' ? Buffer.alloc(0) : bytes)), code: '200' };
}

/** Its digest is checked as it passes; of a part of it, and of an error, there is none to check. */
export async function passChecked(
  answer: IncomingMessage,
  response: ServerResponse,
  { endpoint }: RegistryRequest,
  more: Fields,
  bytes_max?: number,
): Promise<Forwarded> {
  if (answer.statusCode !== 200 || endpoint.kind !== 'blob') return passPlain(answer, response, more, bytes_max);
  head(answer, response, { ...more, 'docker-content-digest': endpoint.digest.text });
  const { mismatch, ...passed } = await passBlob(answer, response, endpoint.digest, bytes_max);
  return { ...passed, code: mismatch ? 'digest_mismatch' : '200', ...warningsOf(answer) };
}

function written(response: ServerResponse, bytes: Buffer): Promise<{ bytes: number; how: 'whole' | 'gone' }> {
  return new Promise((resolve) => {
    response.once('close', () => resolve({ bytes: bytes.length, how: response.writableFinished ? 'whole' : 'gone' }));
    response.once('finish', () => resolve({ bytes: bytes.length, how: 'whole' }));
    response.end(bytes);
  });
}

/**
 * The next page of a list, as the gateway's own place: </v2/TARGET/REPOSITORY/tags/list?…>; rel="next". Undefined where the
 * field says something else.
 */
export function nextPage(link: string | string[] | undefined, here: string): string | undefined {
  const [, place = ''] = /^<([^<>\s]+)>\s*;\s*rel="?next"?$/i.exec(String(link ?? '')) ?? [];
  const mark = place.indexOf('?');
  return mark < 0 ? undefined : `<${here}${place.slice(mark)}>; rel="next"`;
}
