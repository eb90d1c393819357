import { ProtocolError } from '../errors.js';
import { ed25519Blob, verifies } from './keys.js';
import { string, uint32, uint64, WireReader } from './wire.js';

/**
 * OpenSSH's certificates for Ed25519 keys: bytes to fields and back. Whatever a certificate has that is not known here makes it
 * unreadable; who is trusted, and for how long, is for others to say.
 *
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.certkeys
 */
export const certificateType = 'ssh-ed25519-cert-v01@openssh.com';

export const kinds = { user: 1, host: 2 } as const;
export type CertificateKind = keyof typeof kinds;

export interface CertificateBody {
  /** The 32 bytes of the Ed25519 key that is vouched for. */
  readonly key: Buffer;
  readonly serial: bigint;
  readonly kind: CertificateKind;
  /** For logs. */
  readonly id: string;
  /** User names, or names of hosts; never empty here: to OpenSSH an empty list has meant any. */
  readonly principals: readonly string[];
  /** Seconds since the epoch: from `after` on, and before `before`. */
  readonly after_s: number;
  readonly before_s: number;
  /** By name, with what stands in them. */
  readonly criticalOptions: ReadonlyMap<string, Buffer>;
  readonly extensions: ReadonlyMap<string, Buffer>;
}

export interface Certificate extends CertificateBody {
  /** The key that is vouched for, in SSH's form. */
  readonly keyBlob: Buffer;
  /** Whoever vouches, in SSH's form. */
  readonly authority: Buffer;
  /** Whether `authority` has signed what stands here. Says nothing of whether it is to be trusted. */
  readonly signed: boolean;
}

/** OpenSSH's own bounds are larger; what is issued here has some 1 to 2 KiB. */
export const certificate_bytes_max = 65_536;
const nonce_bytes_max = 64;
const principals_max = 256;
const options_max = 64;
const key_bytes = 32;
const seconds_max = 8_640_000_000_000n;

/** @throws ProtocolError for whatever is not exactly a certificate. */
export function parseCertificate(blob: Buffer): Certificate {
  if (blob.length > certificate_bytes_max) throw new ProtocolError('a certificate is too large');
  const reader = new WireReader(blob);
  const type = reader.text();
  if (type !== certificateType)
    throw new ProtocolError(`a certificate of the kind "${type.slice(0, 64)}" is not taken`);
  const nonce = reader.string();
  const key = reader.string();
  if (nonce.length === 0 || nonce.length > nonce_bytes_max || key.length !== key_bytes)
    throw new ProtocolError('a certificate has no proper nonce or key');
  const body: CertificateBody = {
    key,
    serial: reader.uint64(),
    kind: kindOf(reader.uint32()),
    id: reader.text(),
    principals: principalsOf(reader.string()),
    after_s: secondsOf(reader.uint64()),
    before_s: secondsOf(reader.uint64()),
    criticalOptions: optionsOf(reader.string()),
    extensions: optionsOf(reader.string()),
  };
  if (reader.string().length > 0) throw new ProtocolError('a certificate uses what is reserved');
  const authority = reader.string();
  const message = blob.subarray(0, reader.position);
  const signature = reader.string();
  reader.end();
  const signed = verifies(authority, message, signature);
  return { ...body, keyBlob: ed25519Blob(key), authority, signed };
}

/** What is signed: all of a certificate but its last field. */
export function unsignedCertificate(body: CertificateBody, nonce: Buffer, authority: Buffer): Buffer {
  if (body.principals.length === 0)
    throw new ProtocolError('a certificate without a name would be good for all of them');
  return Buffer.concat([
    ...[string(certificateType), string(nonce), string(body.key), uint64(body.serial), uint32(kinds[body.kind])],
    ...[string(body.id), string(Buffer.concat(body.principals.map((name) => string(name))))],
    ...[uint64(BigInt(body.after_s)), uint64(BigInt(body.before_s))],
    ...[packed(body.criticalOptions), packed(body.extensions), string(''), string(authority)],
  ]);
}

export const signedCertificate = (unsigned: Buffer, signature: Buffer): Buffer =>
  Buffer.concat([unsigned, string(signature)]);

/** A line as OpenSSH's files have it. */
export const certificateLine = (blob: Buffer, comment: string): string =>
  `${certificateType} ${blob.toString('base64')} ${comment}\n`;

function kindOf(number: number): CertificateKind {
  if (number === kinds.user) return 'user';
  if (number === kinds.host) return 'host';
  throw new ProtocolError(`a certificate of the type ${number} is neither a user's nor a host's`);
}

function principalsOf(bytes: Buffer): string[] {
  const reader = new WireReader(bytes);
  const names: string[] = [];
  while (!reader.ended) {
    const name = reader.text();
    if (name === '' || names.length === principals_max) throw new ProtocolError('the names in a certificate cannot be');
    names.push(name);
  }
  if (names.length === 0) throw new ProtocolError('a certificate names nobody');
  return names;
}

/** "Forever" is 2^64 - 1 to OpenSSH; here it is a time that never comes either. */
const secondsOf = (value: bigint): number => Number(value > seconds_max ? seconds_max : value);

/** Names in order, each of them once, as the format demands: of two readers neither sees what the other does not. */
function optionsOf(bytes: Buffer): Map<string, Buffer> {
  const reader = new WireReader(bytes);
  const options = new Map<string, Buffer>();
  let last: Buffer | undefined;
  while (!reader.ended) {
    const name = reader.text();
    const value = reader.string();
    const sorted = last === undefined || Buffer.compare(last, Buffer.from(name)) < 0;
    if (name === '' || !sorted || options.size === options_max)
      throw new ProtocolError('the options of a certificate are not in order');
    options.set(name, value);
    last = Buffer.from(name);
  }
  return options;
}

function packed(options: ReadonlyMap<string, Buffer>): Buffer {
  const sorted = [...options].sort(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
  return string(Buffer.concat(sorted.flatMap(([name, value]) => [string(name), string(value)])));
}
