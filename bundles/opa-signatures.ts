import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { CompactSign, compactVerify, importSPKI } from 'jose';
import { parse } from 'yaml';
import { messageOf, refusal } from './error.js';
import type { Commit } from './snapshot.js';

/** Keys whose signature makes a bundle policy. */
export interface BundleKeys {
  readonly keys: readonly BundleKey[];
  /** Absent: whatever scope a signature names, or none. */
  readonly scope?: string;
}
export interface BundleKey {
  /** As the signature names it; absent: whatever it names. */
  readonly id?: string;
  readonly algorithm: (typeof bundleAlgorithms)[number];
  /** The public key, PEM (SubjectPublicKeyInfo). */
  readonly pem: string;
}

/** Asymmetric ones alone: with a shared secret, whoever verifies could sign. */
export const bundleAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'] as const; // prettier-ignore

export const signatureFile = '.signatures.json';
const hashes: Readonly<Record<string, string>> = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' };

export interface SignedBundle {
  /** The fingerprint of the key. */
  readonly signer: string;
  /** As they were signed, without the signature. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/**
 * Demands that every file of a bundle is as one of the keys signed it, and no file is missing or too many. Of data it is the value
 * that is signed, and another reader may read the same bytes as another one (YAML's `on`, a number that is rounded): what goes on
 * is written anew from what was verified.
 *
 * @param files All of the archive, by name without a leading slash.
 * @see https://www.openpolicyagent.org/docs/latest/management-bundles/#signing
 */
export async function demandSignedBundle(
  files: ReadonlyMap<string, Uint8Array>,
  keys: BundleKeys,
): Promise<SignedBundle> {
  const document = files.get(signatureFile);
  if (document === undefined) throw unsigned('the bundle is not signed');
  const tokens = (readJson(document) as { signatures?: unknown } | undefined)?.signatures;
  // More than one has no meaning in the format.
  if (!Array.isArray(tokens) || tokens.length !== 1 || typeof tokens[0] !== 'string')
    throw unsigned(`${signatureFile} does not hold one signature`);
  const { payload, key } = await payloadOf(tokens[0], keys);
  if (keys.scope !== undefined && payload.scope !== keys.scope)
    throw unsigned(`the signature is for the scope ${JSON.stringify(payload.scope ?? '')}, not ${JSON.stringify(keys.scope)}`); // prettier-ignore
  const signed = new Map((payload.files ?? []).map((file) => [String(file.name).replace(/^\//, ''), file]));
  const verified = new Map<string, Uint8Array>();
  for (const [name, content] of files) {
    if (name === signatureFile) continue;
    const file = signed.get(name);
    const algorithm = hashes[String(file?.algorithm)];
    if (file === undefined || algorithm === undefined)
      throw unsigned('is not in the signature, or with a hash that is not known', name);
    const bytes = signedOf(name, content);
    if (createHash(algorithm).update(bytes).digest('hex') !== String(file.hash).toLowerCase())
      throw unsigned('is not what was signed', name);
    verified.set(name, bytes);
    signed.delete(name);
  }
  const [missing] = signed.keys();
  if (missing !== undefined) throw unsigned('was signed, and is not in the bundle', missing);
  return { signer: fingerprintOf(key), files: verified };
}

export interface BundleSigner {
  readonly key: KeyObject;
  readonly algorithm: BundleKey['algorithm'];
  /** What verifiers know the key by. */
  readonly id?: string | undefined;
  readonly scope?: string | undefined;
}

/**
 * The content of `.signatures.json` for a bundle of these files. It has no time in it: with an algorithm that takes no randomness
 * (RS…), the same files and key give the same bytes.
 *
 * @throws BundleError where the key is not one of the algorithm.
 */
export async function signBundle(
  files: ReadonlyMap<string, Uint8Array>,
  { key, algorithm, id, scope }: BundleSigner,
): Promise<Uint8Array> {
  const signed = [...files].map(([name, content]) => ({
    name,
    hash: createHash('sha256').update(signedOf(name, content)).digest('hex'),
    algorithm: 'SHA-256',
  }));
  const payload = Buffer.from(JSON.stringify({ files: signed, ...(scope !== undefined && { scope }) }));
  try {
    const token = await new CompactSign(payload)
      .setProtectedHeader({ alg: algorithm, ...(id !== undefined && { kid: id }) })
      .sign(key);
    return Buffer.from(JSON.stringify({ signatures: [token] }));
  } catch (error) {
    throw refusal('signing', `the bundle cannot be signed with ${algorithm}: ${messageOf(error)}`, {
      help: 'Give --signing-alg the algorithm of the key: RS256 for RSA, ES256 for a key on P-256.',
      cause: error,
    });
  }
}

interface Payload {
  readonly files?: readonly { readonly name?: unknown; readonly hash?: unknown; readonly algorithm?: unknown }[];
  readonly scope?: unknown;
  readonly keyid?: unknown;
}

async function payloadOf(token: string, { keys }: BundleKeys): Promise<{ payload: Payload; key: BundleKey }> {
  let why = 'by none of the keys that are configured';
  for (const key of keys) {
    try {
      const { payload: bytes, protectedHeader } = await compactVerify(token, await importSPKI(key.pem, key.algorithm), {
        algorithms: [key.algorithm],
      });
      const payload = readJson(bytes) as Payload | undefined;
      const named = payload?.keyid ?? protectedHeader.kid;
      if (payload !== undefined && (key.id === undefined || named === key.id)) return { payload, key };
      why = `by the key ${JSON.stringify(named ?? '')}, which is not called so in signing.keys`;
    } catch (error) {
      if ((error as { code?: unknown }).code === undefined) why = `and cannot be verified: ${messageOf(error)}`;
    }
  }
  throw unsigned(`the bundle is signed ${why}`);
}

/** As ssh-keygen prints a key's: SHA-256 over the SubjectPublicKeyInfo, in base64 without padding. */
export function fingerprintOf({ pem }: BundleKey): string {
  const der = createPublicKey(pem).export({ type: 'spki', format: 'der' });
  return `SHA256:${createHash('sha256').update(der).digest('base64').slice(0, 43)}`;
}

/** Whether what was built from this before was signed by one of the keys, where any are asked for. */
export const isSignedByKey = (commit: Commit | undefined, signing: BundleKeys | undefined): boolean =>
  signing === undefined || signing.keys.some((key) => fingerprintOf(key) === commit?.signer);

/** What is not verified yet is read here, where everything else waits for it. */
const yaml_bytes_max = 1_048_576;
const json_bytes_max = 16_777_216;

/** What is hashed: of data its value, as JSON, since OPA reads it before it signs it; of all else the bytes. */
function signedOf(name: string, content: Uint8Array): Uint8Array {
  const last = name.split('/').at(-1) ?? '';
  const isYaml = /^data\.ya?ml$/.test(last);
  if (!isYaml && last !== '.manifest' && last !== 'data.json') return content;
  const bytes_max = isYaml ? yaml_bytes_max : json_bytes_max;
  if (content.length > bytes_max)
    throw unsigned(`is larger than ${bytes_max / 1_048_576} MiB${isYaml ? ': write it as data.json' : ''}`, name);
  return Buffer.from(canonical(isYaml ? readYaml(name, content) : readJson(content)));
}

/** Throws BundleError where it is none: what cannot be read was not signed. */
function readYaml(name: string, content: Uint8Array): unknown {
  try {
    return parse(Buffer.from(content).toString('utf8')) as unknown;
  } catch (error) {
    throw unsigned(`cannot be read: ${messageOf(error)}`, name);
  }
}

/** JSON with its keys in the order of their bytes, as Go's encoder writes it without escapes for HTML. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return primitive(value);
  const keys = Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${keys.map((key) => `${primitive(key)}:${canonical((value as Record<string, unknown>)[key])}`).join(',')}}`;
}

const primitive = (value: unknown): string =>
  (JSON.stringify(value) ?? 'null').replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');

function readJson(content: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(content).toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

const unsigned = (message: string, file?: string) =>
  refusal('unsigned', message, {
    ...(file === undefined ? {} : { file }),
    help: 'Build it with `opa build --signing-key` and one of the keys; the last good revision stays in force.',
  });
