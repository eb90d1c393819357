import { createPublicKey, type KeyObject } from 'node:crypto';
import { ConfigError } from '../../errors.js';

/** Whose signatures count at a target: public keys, each with the name by which rules know it. */
export interface SignatureKey {
  readonly name: string;
  readonly key: KeyObject;
}

/** An image's signature by the key of `cosign generate-key-pair`, and by what else cosign takes from a key management. */
const curves: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
const rsa_bits_min = 2_048;

/** @param keys As PEM. Throws ConfigError for what is no public key, or one of another kind. */
export function readKeys(keys: readonly { readonly name: string; readonly key: string }[]): readonly SignatureKey[] {
  if (new Set(keys.map(({ name }) => name)).size < keys.length) {
    throw new ConfigError('two of signatures.keys have one name: rules could not tell them apart');
  }
  return keys.map(({ name, key }) => ({ name, key: readKey(name, key) }));
}

function readKey(name: string, pem: string): KeyObject {
  const where = `the key "${name}" of signatures.keys`;
  // Node would make a public key of a private one as well, which has no place here.
  if (!/^\s*-----BEGIN PUBLIC KEY-----/u.test(pem)) {
    throw new ConfigError(`${where} is no public key in PEM form ("-----BEGIN PUBLIC KEY-----")`);
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (error) {
    throw new ConfigError(`${where} cannot be read as a public key`, { cause: error });
  }
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const taken =
    key.asymmetricKeyType === 'ed25519' ||
    (key.asymmetricKeyType === 'ec' && curves.has(namedCurve)) ||
    (key.asymmetricKeyType === 'rsa' && modulusLength >= rsa_bits_min);
  if (!taken) {
    throw new ConfigError(`${where} has to be ECDSA on P-256, P-384 or P-521, Ed25519, or RSA with 2048 bits or more`);
  }
  return key;
}
