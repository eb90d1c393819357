import { createHmac } from 'node:crypto';
import { sha256 } from '../../../web/index.js';

/**
 * Signatures of AWS, version 4. Pure: a request and a moment in, fields out.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export interface AwsKey {
  readonly region: string;
  readonly service: string;
  readonly access_key_id: string;
  readonly secret_access_key: string;
  readonly session_token?: string;
}

export interface Signable {
  readonly method: string;
  /** As it is sent, and its segments decoded. */
  readonly path: string;
  readonly segments: readonly string[];
  readonly query: readonly { readonly name: string; readonly value: string | undefined }[];
  /** All that are signed, by lower-case name; `host` is among them. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

const algorithm = 'AWS4-HMAC-SHA256';

/** The fields that make it a signed request; they take the place of those of the same names. */
export function signed(request: Signable, key: AwsKey, now_ms: number): Readonly<Record<string, string>> {
  const moment = new Date(now_ms).toISOString().replace(/[-:]|\.\d{3}/g, '');
  const day = moment.slice(0, 8);
  const hash = sha256(request.body);
  const own = {
    'x-amz-date': moment,
    ...(key.session_token === undefined ? {} : { 'x-amz-security-token': key.session_token }),
    // The others know the hash from the signature alone.
    ...(key.service === 's3' ? { 'x-amz-content-sha256': hash } : {}),
  };
  const fields = [...new Map([...request.fields, ...Object.entries(own)])].sort(([one], [other]) =>
    one < other ? -1 : 1,
  );
  const names = fields.map(([name]) => name).join(';');
  const canonical = [
    request.method,
    key.service === 's3' ? `/${request.segments.map(encoded).join('/')}` : encodedTwice(request.path),
    queryOf(request.query),
    ...fields.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, ' ')}`),
    '',
    names,
    hash,
  ].join('\n');
  const scope = `${day}/${key.region}/${key.service}/aws4_request`;
  const signing = [day, key.region, key.service, 'aws4_request'].reduce<Buffer | string>(
    (secret, part) => hmac(secret, part).digest(),
    `AWS4${key.secret_access_key}`,
  );
  const signature = hmac(signing, [algorithm, moment, scope, sha256(canonical)].join('\n')).digest('hex');
  const credential = `${key.access_key_id}/${scope}`;
  return {
    ...own,
    authorization: `${algorithm} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`,
  };
}

/** The access key's id in a client's own signature; undefined where there is none. */
export const signerOf = (authorization: string): string | undefined =>
  /^AWS4-[A-Z0-9-]+ .*Credential=([^/,\s]+)\//.exec(authorization)?.[1];

const hmac = (key: Buffer | string, data: string) => createHmac('sha256', key).update(data);

const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);

/** Of a path that is encoded already: all but S3 encode it once more for the signature. */
const encodedTwice = (path: string): string => path.split('/').map(encoded).join('/');

function queryOf(query: Signable['query']): string {
  const pairs = query.map(({ name, value = '' }) => [encoded(name), encoded(value)] as const);
  const order = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);
  return pairs
    .sort(([one, first], [other, second]) => order(one, other) || order(first, second))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}
