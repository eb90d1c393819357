import {
  constants,
  createHmac,
  createPublicKey,
  timingSafeEqual,
  verify,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { ofStrings, type Table, type Value } from './builtin.js';

/** Tokens (RFC 7519) in compact form, signed (RFC 7515). Verified by keys that policy has; none is fetched. */

interface Token {
  readonly header: Record<string, unknown>;
  /** As they stand in the token. */
  readonly signed: string;
  readonly payload: Buffer;
  readonly signature: Buffer;
}

/** With or without padding, and nothing else that is not of the alphabet. */
function base64url(text: string): Buffer | undefined {
  const bare = text.replace(/={1,2}$/, '');
  if (!/^[A-Za-z0-9_-]*$/.test(bare) || bare.length % 4 === 1) return undefined;
  if (bare !== text && text.length % 4 !== 0) return undefined;
  return Buffer.from(bare, 'base64url');
}

function jsonObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function readToken(text: string): Token | undefined {
  const parts = text.split('.');
  if (parts.length !== 3) return undefined;
  const [head, payload, signature] = parts.map(base64url);
  const header = head && jsonObject(head);
  if (header === undefined || payload === undefined || signature === undefined || 'enc' in header) return undefined;
  return { header, signed: `${parts[0]!}.${parts[1]!}`, payload, signature };
}

const nested_max = 8;

/** [header, payload, signature in hexadecimal]; of a token in a token, the inner one's. */
function decode(text: string, depth = 0): Value | undefined {
  const token = readToken(text);
  if (token === undefined || depth > nested_max) return undefined;
  if (token.header['cty'] === 'JWT')
    return decode(token.payload.toString('utf8').replace(/^["']+|["']+$/g, ''), depth + 1);
  const payload = jsonObject(token.payload);
  return payload && [token.header as Value, payload as Value, token.signature.toString('hex')];
}

interface VerificationKey {
  readonly key: KeyObject;
  readonly alg: string | undefined;
  readonly kid: string | undefined;
}

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'HS256', 'HS384', 'HS512', 'EdDSA']; // prettier-ignore

/** One certificate or public key in PEM with nothing behind it, or a JWK, or a set of them. */
function readKeys(text: string): VerificationKey[] | undefined {
  try {
    if (/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n?$/.test(text))
      return [{ key: new X509Certificate(text).publicKey, alg: undefined, kid: undefined }];
    if (/-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----\n?$/.test(text))
      return [{ key: createPublicKey(text), alg: undefined, kid: undefined }];
    const given = JSON.parse(text) as { keys?: unknown };
    const list = Array.isArray(given.keys) ? (given.keys as JsonWebKey[]) : [given as JsonWebKey];
    return list.map(readKey).filter(({ alg }) => alg === undefined || algorithms.includes(alg));
  } catch {
    return undefined;
  }
}

type JsonWebKey = Record<string, unknown> & { readonly alg?: unknown; readonly kid?: unknown };

function readKey(jwk: JsonWebKey): VerificationKey {
  return {
    key: createPublicKey({ key: jwk as never, format: 'jwk' }),
    alg: typeof jwk.alg === 'string' ? jwk.alg : undefined,
    kid: typeof jwk.kid === 'string' ? jwk.kid : undefined,
  };
}

/** Whether a signature by this algorithm is the key's; false for a key of another kind. */
function verifies(key: KeyObject, algorithm: string, { signed, signature }: Token): boolean {
  const family = algorithm.slice(0, 2);
  const wanted = { RS: 'rsa', PS: 'rsa', ES: 'ec', Ed: 'ed25519' }[family];
  if (key.asymmetricKeyType !== wanted) return false;
  const hash = family === 'Ed' ? null : `sha${algorithm.slice(2)}`;
  const options =
    family === 'PS'
      ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO }
      : family === 'ES'
        ? { key, dsaEncoding: 'ieee-p1363' as const }
        : { key };
  try {
    return verify(hash, Buffer.from(signed), options, signature);
  } catch {
    return false;
  }
}

function verifyByKey(algorithm: string) {
  return ofStrings((text, keyText) => {
    const [token, keys] = [readToken(text), readKeys(keyText)];
    if (token === undefined || keys === undefined) return undefined;
    const { alg, kid } = token.header;
    for (const [name, value] of Object.entries(token.header))
      if (['alg', 'kid', 'typ', 'cty'].includes(name) && typeof value !== 'string') return undefined;
    const named = kid === undefined ? undefined : keys.find((key) => key.kid === kid);
    if (named !== undefined) return verifies(named.key, algorithm, token);
    return keys.some((key) => (key.alg === undefined || key.alg === alg) && verifies(key.key, algorithm, token));
  });
}

function verifyBySecret(hash: string) {
  return ofStrings((text, secret) => {
    const [header, payload, encoded, ...more] = text.split('.');
    const signature = base64url(encoded ?? '');
    if (payload === undefined || encoded === undefined || more.length > 0 || signature === undefined) return undefined;
    const expected = createHmac(hash, secret).update(`${header!}.${payload}`).digest();
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  });
}

export const jwt: Table = {
  'io.jwt.decode': ofStrings((text) => decode(text)),
  'io.jwt.verify_eddsa': verifyByKey('EdDSA'),
  'io.jwt.verify_es256': verifyByKey('ES256'),
  'io.jwt.verify_es384': verifyByKey('ES384'),
  'io.jwt.verify_es512': verifyByKey('ES512'),
  'io.jwt.verify_hs256': verifyBySecret('sha256'),
  'io.jwt.verify_hs384': verifyBySecret('sha384'),
  'io.jwt.verify_hs512': verifyBySecret('sha512'),
  'io.jwt.verify_ps256': verifyByKey('PS256'),
  'io.jwt.verify_ps384': verifyByKey('PS384'),
  'io.jwt.verify_ps512': verifyByKey('PS512'),
  'io.jwt.verify_rs256': verifyByKey('RS256'),
  'io.jwt.verify_rs384': verifyByKey('RS384'),
  'io.jwt.verify_rs512': verifyByKey('RS512'),
};
