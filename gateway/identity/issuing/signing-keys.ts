import { hash, randomUUID, webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { exportJWK, generateKeyPair, importJWK, SignJWT, type JSONWebKeySet, type JWK, type JWTPayload } from 'jose';
import type { Logger } from 'pino';
import { ConfigError, IdentityError } from '../../errors.js';
import { keptSecret } from '../../state/kept.js';
import { FileKeys, publicKeys, type Keys } from '../keys.js';

/**
 * The keys with which the gateway signs tokens of its own: a JWK Set (RFC 7517) with private keys, of which the first one
 * that can sign does, and all verify. In a file that is given it is its owner who rotates, by writing another; the one in
 * the state directory rotates by itself. Either is read again within a second of a change.
 */
export interface SigningKeys extends Keys {
  /** A JWS in compact form over these claims, by the key that is first now. */
  sign(claims: JWTPayload): Promise<string>;
  /** The public halves, as they are published. */
  published(): Promise<JSONWebKeySet>;
  /** The key that is first now, for what is no JWS: its public half, and 64 bytes of signature (ES256 or Ed25519, RFC 7518, 3.4). */
  signer(): Promise<{ readonly jwk: JWK; sign(bytes: Buffer): Promise<Buffer> }>;
}

export interface SigningKeysOptions {
  /** A JWK Set; absent: one that is made, kept and rotated in the state directory. */
  readonly file?: string | undefined;
  /** The state directory; it exists. */
  readonly directory: string;
  /** How long a key still verifies after it has signed for the last time: the longest life of a token. */
  readonly lifetime_ms_max: number;
  readonly now: () => number;
  readonly log: Logger | undefined;
}

/** A key of the gateway's own signs for so long. */
const rotation_ms = 30 * 86_400_000;
const look_ms = 3_600_000;

interface Signing {
  readonly generation: string;
  readonly key: Awaited<ReturnType<typeof importJWK>>;
  readonly header: { readonly alg: string; readonly kid: string; readonly typ: 'at+jwt' };
  readonly published: JSONWebKeySet;
}

/** @throws ConfigError where the file cannot be read or made, or has no key that can sign. */
export async function openSigningKeys(options: SigningKeysOptions): Promise<SigningKeys> {
  const { directory, lifetime_ms_max, now, log } = options;
  const own = path.join(directory, 'tokens.jwks');
  const file = options.file ?? own;
  const rotate = () => rotateOwn(own, { lifetime_ms_max, now_ms: now() });
  if (options.file === undefined) {
    const first = JSON.stringify({ keys: [await madeKey(now())] });
    await keptSecret(own, () => first);
    await rotate();
  }
  const keys = new FileKeys(file, { now, log });
  let signing = await readSigning(file).catch((error: unknown) => {
    throw new ConfigError(`the keys in ${file}, which sign this gateway's tokens, cannot be used: ${said(error)}`, {
      cause: error,
    });
  });
  const timer = setInterval(() => {
    if (options.file !== undefined) return;
    rotate().catch((error: unknown) =>
      log?.error({ err: error, file }, 'identity: the signing keys cannot be rotated'),
    );
  }, look_ms);
  timer.unref();

  /** What signs now. A file that holds no usable key for a moment leaves the one before in place, as it does for verifying. */
  const current = async (): Promise<Signing> => {
    await keys.refresh();
    if (signing.generation === keys.generation) return signing;
    try {
      signing = await readSigning(file);
    } catch (error) {
      log?.error({ file, why: said(error) }, 'identity: no key in it can sign; the one before still does');
    }
    return signing;
  };
  return {
    get generation() {
      return keys.generation;
    },
    find: keys.find,
    refresh: () => keys.refresh(),
    async sign(claims) {
      const { key, header } = await current();
      return new SignJWT(claims).setProtectedHeader(header).sign(key);
    },
    async published() {
      return (await current()).published;
    },
    async signer() {
      const { key, header, published } = await current();
      const jwk = published.keys.find(({ kid }) => kid === header.kid) as JWK;
      const algorithm = header.alg === 'ES256' ? { name: 'ECDSA', hash: 'SHA-256' } : { name: 'Ed25519' };
      return {
        jwk,
        sign: async (bytes) => Buffer.from(await webcrypto.subtle.sign(algorithm, key as webcrypto.CryptoKey, bytes)),
      };
    },
    close() {
      clearInterval(timer);
      keys.close();
    },
  };
}

async function readSigning(file: string): Promise<Signing> {
  const source = await readFile(file, 'utf8');
  const published = publicKeys(source);
  if (published.keys.some(({ kid }) => kid === undefined)) throw new Error('each of its keys needs a "kid"');
  const { keys } = JSON.parse(source) as { keys: JWK[] };
  for (const jwk of keys) {
    const alg = algorithmOf(jwk);
    if (alg === undefined || typeof jwk.kid !== 'string') continue;
    const key = await importJWK({ ...jwk, alg });
    return { generation: hash('sha256', source), key, header: { alg, kid: jwk.kid, typ: 'at+jwt' }, published };
  }
  throw new IdentityError(
    'keys',
    'it has no private key for ES256 or EdDSA (kty EC with crv P-256, or OKP with Ed25519)',
  );
}

/** The algorithm of a private key that may sign; undefined for all others. */
function algorithmOf({ kty, crv, d }: JWK): string | undefined {
  if (typeof d !== 'string') return undefined;
  if (kty === 'EC' && crv === 'P-256') return 'ES256';
  return kty === 'OKP' && crv === 'Ed25519' ? 'EdDSA' : undefined;
}

/** With the moment from which it signs, in seconds: a member of our own, as RFC 7517, 4 allows. */
async function madeKey(now_ms: number): Promise<JWK & { readonly made: number }> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return {
    ...(await exportJWK(privateKey)),
    kid: randomUUID(),
    alg: 'ES256',
    use: 'sig',
    made: Math.floor(now_ms / 1000),
  };
}

/** A new key in front once the first is old; those that no valid token can be signed with any more go. */
async function rotateOwn(
  file: string,
  { lifetime_ms_max, now_ms }: { lifetime_ms_max: number; now_ms: number },
): Promise<void> {
  const { keys } = JSON.parse(readFileSync(file, 'utf8')) as { keys: (JWK & { made?: unknown })[] };
  const made_ms = ({ made }: { made?: unknown }) => (typeof made === 'number' ? made * 1000 : 0);
  const [first] = keys;
  if (first !== undefined && now_ms - made_ms(first) < rotation_ms) return;
  // Each key has signed until the one before it in the list was made.
  const kept = keys.filter((_, index) => index === 0 || now_ms - made_ms(keys[index - 1] ?? {}) < lifetime_ms_max);
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, JSON.stringify({ keys: [await madeKey(now_ms), ...kept] }), { mode: 0o600, flag: 'wx' });
    await rename(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error));
