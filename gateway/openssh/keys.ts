import { createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto';
import { ProtocolError } from '../errors.js';
import { mpint, ofMpint, string, uint32, WireReader } from './wire.js';

/**
 * Keys and signatures in SSH's form: Ed25519 (RFC 8709) and ECDSA over P-256 (RFC 5656), which are what certificates are
 * signed with here.
 */

export const ed25519 = 'ssh-ed25519';
export const p256 = 'ecdsa-sha2-nistp256';

const key_bytes = 32;

export const ed25519Blob = (key: Buffer): Buffer => Buffer.concat([string(ed25519), string(key)]);

/** A public key as SSH has it. Undefined for a kind that is not signed with. */
export function blobOfJwk({ kty, crv, x = '', y = '' }: JsonWebKey): Buffer | undefined {
  const bytes = (text: string) => Buffer.from(text, 'base64url');
  if (kty === 'OKP' && crv === 'Ed25519') return ed25519Blob(bytes(x));
  if (kty !== 'EC' || crv !== 'P-256') return undefined;
  const point = Buffer.concat([Buffer.from([4]), bytes(x), bytes(y)]);
  return Buffer.concat([string(p256), string('nistp256'), string(point)]);
}

/** @throws ProtocolError for another kind of key, or one that is damaged. */
export function jwkOfBlob(blob: Buffer): JsonWebKey {
  const reader = new WireReader(blob);
  const type = reader.text();
  if (type === ed25519) {
    const key = reader.string();
    reader.end();
    if (key.length !== key_bytes) throw new ProtocolError('an Ed25519 key has 32 bytes');
    return { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') };
  }
  if (type !== p256) throw new ProtocolError(`a key of the kind "${type.slice(0, 64)}" is not taken`);
  const curve = reader.text();
  const point = reader.string();
  reader.end();
  if (curve !== 'nistp256' || point.length !== 1 + 2 * key_bytes || point[0] !== 4)
    throw new ProtocolError('a key over P-256 is damaged');
  const half = (start: number) => point.subarray(start, start + key_bytes).toString('base64url');
  return { kty: 'EC', crv: 'P-256', x: half(1), y: half(1 + key_bytes) };
}

/** "ssh-ed25519 AAAA… comment". @throws ProtocolError for anything else. */
export function readPublicKey(line: string): Buffer {
  const [type, base64 = ''] = line.trim().split(/ +/u);
  if (type !== ed25519 || !/^[A-Za-z0-9+/]+=*$/u.test(base64))
    throw new ProtocolError(`a public key is "${ed25519} AAAA…", as ssh-keygen -t ed25519 writes it`);
  const blob = Buffer.from(base64, 'base64');
  if (jwkOfBlob(blob).crv !== 'Ed25519') throw new ProtocolError(`the key is not of the kind ${ed25519}`);
  return blob;
}

/** Whether a signature in SSH's form is the key's over these bytes. Never throws: what cannot be read is none. */
export function verifies(keyBlob: Buffer, message: Buffer, signature: Buffer): boolean {
  try {
    const reader = new WireReader(signature);
    const algorithm = reader.text();
    const value = reader.string();
    reader.end();
    const jwk = jwkOfBlob(keyBlob);
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    if (jwk.crv === 'Ed25519') return algorithm === ed25519 && value.length === 64 && verify(null, message, key, value);
    return algorithm === p256 && verifiesP256(key, message, value);
  } catch {
    return false;
  }
}

function verifiesP256(key: KeyObject, message: Buffer, value: Buffer): boolean {
  const reader = new WireReader(value);
  const raw = Buffer.concat([ofMpint(reader.string(), key_bytes), ofMpint(reader.string(), key_bytes)]);
  reader.end();
  return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, raw);
}

/** @param raw 64 bytes: Ed25519's as they are, of ECDSA r and s one behind the other (IEEE P1363). */
export function signatureOf(jwk: JsonWebKey, raw: Buffer): Buffer {
  if (jwk.crv === 'Ed25519') return ed25519Signature(raw);
  const parts = Buffer.concat([mpint(raw.subarray(0, key_bytes)), mpint(raw.subarray(key_bytes))]);
  return Buffer.concat([string(p256), string(parts)]);
}

/** An Ed25519 signature (64 bytes) in SSH's form. */
export const ed25519Signature = (raw: Buffer): Buffer => Buffer.concat([string(ed25519), string(raw)]);

const magic = Buffer.from('openssh-key-v1\0');

/** The public key of such a file. Undefined for what is none, or has a passphrase. */
export function publicKeyOf(file: string): Buffer | undefined {
  const [, base64 = ''] = /^-{5}BEGIN OPENSSH PRIVATE KEY-{5}\n([A-Za-z0-9+/=\n]+)-{5}END/u.exec(file) ?? [];
  const body = Buffer.from(base64, 'base64');
  if (!body.subarray(0, magic.length).equals(magic)) return undefined;
  try {
    const reader = new WireReader(body.subarray(magic.length));
    const [cipher, kdf] = [reader.text(), reader.text()];
    reader.string();
    if (cipher !== 'none' || kdf !== 'none' || reader.uint32() !== 1) return undefined;
    const blob = reader.string();
    return jwkOfBlob(blob).crv === 'Ed25519' ? blob : undefined;
  } catch {
    return undefined;
  }
}

/**
 * An Ed25519 key in the form of OpenSSH's files, without a passphrase.
 *
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key
 */
export function privateKeyFile(key: KeyObject, comment: string): string {
  const { x = '', d = '' } = key.export({ format: 'jwk' });
  const [open, secret] = [Buffer.from(x, 'base64url'), Buffer.from(d, 'base64url')];
  // The two numbers are compared after decryption; where nothing is encrypted, any do.
  const check = Buffer.concat([uint32(0x5a11_9047), uint32(0x5a11_9047)]);
  const fields = [string(ed25519), string(open), string(Buffer.concat([secret, open])), string(comment)];
  const plain = Buffer.concat([check, ...fields]);
  const padding = Buffer.from(Array.from({ length: (8 - (plain.length % 8)) % 8 }, (_, index) => index + 1));
  const body = Buffer.concat([
    magic,
    ...[string('none'), string('none'), string(''), uint32(1), string(ed25519Blob(open))],
    string(Buffer.concat([plain, padding])),
  ]);
  const lines = body.toString('base64').match(/.{1,70}/gu) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}
