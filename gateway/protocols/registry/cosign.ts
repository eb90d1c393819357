import { verify, type KeyObject } from 'node:crypto';
import type { SignatureKey } from './keys.js';
import { isObject } from './manifest.js';
import type { Digest } from './names.js';
import type { Signature } from './schema.js';

/**
 * What cosign signs, and how it is looked at: by the keys that the configuration names, and never by a certificate. Pure.
 *
 * @see https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
 * @see https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
 */

export const simple_signing_type = 'application/vnd.dev.cosign.simplesigning.v1+json';
export const bundle_type = 'application/vnd.dev.sigstore.bundle.v0.3+json';
/** Of a layer, where its signature stands. */
export const signature_annotation = 'dev.cosignproject.cosign/signature';

const statement_type = 'application/vnd.in-toto+json';
/** An attestation is signed as well, and may say the worst of an image: it is no signature of it. */
const signed_predicate = 'https://sigstore.dev/cosign/sign/v1';

/** One signature over a payload that names the image. @param signature Base64. */
export function simplySigned(
  payload: Buffer,
  signature: string,
  digest: Digest,
  keys: readonly SignatureKey[],
): Signature {
  const key = signerOf(payload, [signature], keys);
  const said = key === undefined ? undefined : objectOf(payload.toString('utf8'));
  const critical = objectAt(said, 'critical');
  const image = objectAt(critical, 'image')?.['docker-manifest-digest'];
  if (key === undefined || critical?.['type'] !== 'cosign container image signature' || image !== digest.text) {
    return { format: 'cosign', verified: false };
  }
  const reference = objectAt(critical, 'identity')?.['docker-reference'];
  return {
    format: 'cosign',
    verified: true,
    key: key.name,
    ...(typeof reference === 'string' && reference !== '' ? { reference } : {}),
    ...annotationsOf(objectAt(said, 'optional')),
  };
}

/** A bundle of sigstore: an envelope with a statement in it about digests. */
export function bundled(bundle: Buffer, digest: Digest, keys: readonly SignatureKey[]): Signature {
  const envelope = objectAt(objectOf(bundle.toString('utf8')), 'dsseEnvelope');
  const { payload, payloadType, signatures } = envelope ?? {};
  if (typeof payload !== 'string' || payloadType !== statement_type || !Array.isArray(signatures)) {
    return { format: 'bundle', verified: false };
  }
  const text = Buffer.from(payload, 'base64');
  const made = signatures.slice(0, signers_max).flatMap((one) => (isObject(one) ? [one['sig']] : []));
  const key = signerOf(encoded(statement_type, text), made, keys);
  const statement = key === undefined ? undefined : objectOf(text.toString('utf8'));
  const { predicateType, subject } = statement ?? {};
  const about = Array.isArray(subject)
    ? subject.filter(isObject).find((one) => objectAt(one, 'digest')?.[digest.algorithm] === digest.hex)
    : undefined;
  if (key === undefined || predicateType !== signed_predicate || about === undefined) {
    return { format: 'bundle', verified: false };
  }
  return { format: 'bundle', verified: true, key: key.name, ...annotationsOf(objectAt(about, 'annotations')) };
}

/** An envelope may be signed by several; cosign makes one. */
const signers_max = 4;

/** DSSE's "pre-authentication encoding": what is signed of an envelope. */
function encoded(type: string, payload: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${String(Buffer.byteLength(type))} ${type} ${String(payload.length)} `),
    payload,
  ]);
}

function signerOf(
  signed: Buffer,
  signatures: readonly unknown[],
  keys: readonly SignatureKey[],
): SignatureKey | undefined {
  const made = signatures.flatMap((one) => (typeof one === 'string' && one !== '' ? [Buffer.from(one, 'base64')] : []));
  return keys.find(({ key }) => made.some((one) => hashesOf(key).some((hash) => verify(hash, signed, key, one))));
}

/** cosign hashes by SHA-256 whatever the curve; what signs by a curve's own hash (key managements, bundles) counts as well. */
function hashesOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): readonly (string | null)[] {
  if (type === 'ed25519') return [null];
  if (details?.namedCurve === 'secp384r1') return ['sha256', 'sha384'];
  if (details?.namedCurve === 'secp521r1') return ['sha256', 'sha512'];
  return ['sha256'];
}

/** `cosign sign -a KEY=VALUE` */
function annotationsOf(given: Readonly<Record<string, unknown>> | undefined): Pick<Signature, 'annotations'> {
  const texts = Object.entries(given ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return texts.length === 0 ? {} : { annotations: Object.fromEntries(texts) };
}

/** Undefined for what is no JSON object. */
export function objectOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function objectAt(
  value: Readonly<Record<string, unknown>> | undefined,
  name: string,
): Readonly<Record<string, unknown>> | undefined {
  const found = value?.[name];
  return isObject(found) ? found : undefined;
}
