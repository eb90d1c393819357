import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import path from 'node:path';
import { ConfigError } from '../errors.js';
import { keptSecret } from '../state/kept.js';

/** Signs heads of chains: Ed25519 (RFC 8032). Keys and signatures are written as base64url without padding. */
export interface Signer {
  /** The first 16 characters of the SHA-256 of the public key's 32 bytes. */
  readonly id: string;
  /** The public key's 32 bytes. */
  readonly public: string;
  sign(text: string): string;
}

export interface SigningKeyOptions {
  /** PKCS #8 as PEM, from the configuration; absent: one that is made once, and kept in the state directory. */
  readonly key?: string | undefined;
  /** The state directory; it exists. */
  readonly directory: string;
}

/** @throws ConfigError where the key cannot be read or made, or is no Ed25519 key. */
export async function openSigner({ key, directory }: SigningKeyOptions): Promise<Signer> {
  const file = path.join(directory, 'audit.key');
  const where = key === undefined ? file : 'audit.signing_key';
  try {
    return signerOf(createPrivateKey(key ?? (await keptSecret(file, madeKey))));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(
      `the key in ${where}, which signs the audit, cannot be used: ${why}; make one with: openssl genpkey -algorithm ed25519`,
      { cause: error },
    );
  }
}

const madeKey = () => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;

function signerOf(key: KeyObject): Signer {
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('it is no Ed25519 key');
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  if (x === undefined) throw new Error('it has no public part');
  return { id: keyId(x), public: x, sign: (text) => sign(null, Buffer.from(text), key).toString('base64url') };
}

export const keyId = (publicKey: string) =>
  hash('sha256', Buffer.from(publicKey, 'base64url'), 'base64url').slice(0, 16);

/** False also for what is no key or no signature. */
export function isSigned(text: string, signature: string, publicKey: string): boolean {
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
    return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64url'));
  } catch {
    return false;
  }
}
