import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

/**
 * Certificates for tests, made here and now: no OpenSSL on the PATH, no package, and none that expires in the repository.
 *
 * Node signs and exports keys, but makes no certificates. What is missing is their encoding: a certificate (RFC 5280,
 * section 4.1) is a tree of values in DER (X.690), each written as tag, length, content.
 */
export interface Certificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

export interface LeafOptions {
  /** Host names, addresses and URIs that it is good for; none: it has a common name alone. Default: localhost and 127.0.0.1. */
  readonly names?: readonly string[];
  /** Days from now, may be negative. Default: from yesterday to tomorrow. */
  readonly validFrom_days?: number;
  readonly validTo_days?: number;
  /** Default: sha256. */
  readonly digest?: Digest;
  /** Default: made for it. */
  readonly keys?: Keys;
  /** True: for a client (TLS) instead of a server. */
  readonly client?: boolean;
}

export interface Authority extends Certificate {
  /** A server's certificate, signed by this authority. */
  issue(options?: LeafOptions): Certificate;
}

export type Digest = 'sha256' | 'sha384' | 'sha512';

const day_ms = 86_400_000;

/** A certificate authority that signed itself. */
export function createAuthority(name = 'Authority of the tests'): Authority {
  const keys = makeKeys();
  const signer = { name, keys };
  return {
    certificate: makeCertificate(signer, { name, keys, authority: true }, {}),
    key: pemKey(keys.privateKey),
    issue(options = {}) {
      const leaf = options.keys ?? makeKeys();
      const subject = { name: options.names?.[0] ?? 'localhost', keys: leaf, authority: false };
      return { certificate: makeCertificate(signer, subject, options), key: pemKey(leaf.privateKey) };
    },
  };
}

// ── the parts of a certificate ───────────────────────────────────────────────────────────────────────────────────────

export interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Party {
  readonly name: string;
  readonly keys: Keys;
}

/** RFC 5758, section 3.2: ECDSA with … */
const signatures: Readonly<Record<Digest, string>> = {
  sha256: '1.2.840.10045.4.3.2',
  sha384: '1.2.840.10045.4.3.3',
  sha512: '1.2.840.10045.4.3.4',
};

function makeCertificate(
  issuer: Party,
  subject: Party & { readonly authority: boolean },
  options: LeafOptions,
): string {
  const { names = ['localhost', '127.0.0.1'], validFrom_days = -1, validTo_days = 1, digest = 'sha256' } = options;
  const algorithm = sequence(oid(signatures[digest]));
  const content = sequence(
    explicit(0, integer(Buffer.from([2]))), // version 3
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])), // a serial number is positive
    algorithm,
    distinguishedName(issuer.name),
    sequence(time(validFrom_days), time(validTo_days)),
    distinguishedName(subject.name),
    subject.keys.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(
      3,
      sequence(
        ...(subject.authority ? authorityExtensions() : leafExtensions(names, options.client)),
        ...identifiers(issuer, subject),
      ),
    ),
  );
  const signature = sign(digest, content, issuer.keys.privateKey);
  return pem('CERTIFICATE', sequence(content, algorithm, bits(signature)));
}

const authorityExtensions = () => [
  extension('2.5.29.19', sequence(boolean(true)), true), // basicConstraints: an authority
  extension('2.5.29.15', bits(Buffer.from([0b0000_0110]), 1), true), // keyUsage: signs certificates and revocations
];

const leafExtensions = (names: readonly string[], client = false) => [
  extension('2.5.29.19', sequence(), true), // basicConstraints: no authority
  extension('2.5.29.15', bits(Buffer.from([0b1000_0000]), 7), true), // keyUsage: signs handshakes
  extension('2.5.29.37', sequence(oid(`1.3.6.1.5.5.7.3.${client ? 2 : 1}`))), // extendedKeyUsage: a server, or a client
  ...(names.length === 0 ? [] : [extension('2.5.29.17', sequence(...names.map(alternativeName)))]), // subjectAltName
];

/** subjectKeyIdentifier and authorityKeyIdentifier: which of two authorities of one name it was. */
const identifiers = (issuer: Party, subject: Party) => [
  extension('2.5.29.14', octets(identifier(subject))),
  extension('2.5.29.35', sequence(value(0x80, identifier(issuer)))),
];

const identifier = ({ keys }: Party) =>
  createHash('sha256')
    .update(keys.publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
    .subarray(0, 20);

const extension = (id: string, content: Buffer, critical = false) =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(content));

function alternativeName(name: string): Buffer {
  if (name.includes('://')) return value(0x86, Buffer.from(name, 'latin1'));
  switch (isIP(name)) {
    case 0:
      return value(0x82, Buffer.from(name, 'latin1'));
    case 4:
      return value(0x87, Buffer.from(name.split('.').map(Number)));
    default:
      throw new Error(`${name}: addresses of IPv6 are not known here`);
  }
}

/** CN=… */
const distinguishedName = (name: string) =>
  sequence(value(0x31, sequence(oid('2.5.4.3'), value(0x0c, Buffer.from(name, 'utf8')))));

/** UTCTime, which has two digits for the year: good until 2049. */
const time = (days: number) =>
  value(0x17, Buffer.from(new Date(Date.now() + days * day_ms).toISOString().replace(/^..|[-:T]|\.\d+/gu, '')));

// ── DER ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

function value(tag: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  // Below 128 the length is one byte; else a byte that says in how many the length follows.
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

const sequence = (...content: Buffer[]) => value(0x30, ...content);
const explicit = (number: number, content: Buffer) => value(0xa0 + number, content);
const integer = (content: Buffer) => value(0x02, content);
const boolean = (content: boolean) => value(0x01, Buffer.from([content ? 0xff : 0]));
const octets = (content: Buffer) => value(0x04, content);
/** A bit string of which the last `unused` bits do not count. */
const bits = (content: Buffer, unused = 0) => value(0x03, Buffer.from([unused]), content);

/** The first two numbers share a byte; the others are written to base 128, all digits but the last with the high bit. */
function oid(text: string): Buffer {
  const [first = 0, second = 0, ...others] = text.split('.').map(Number);
  const digits = others.flatMap((number) => {
    const bytes = [number & 0x7f];
    for (let rest = number >> 7; rest > 0; rest >>= 7) bytes.unshift(0x80 | (rest & 0x7f));
    return bytes;
  });
  return value(0x06, Buffer.from([first * 40 + second, ...digits]));
}

// ── PEM ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const makeKeys = (): Keys => generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const pemKey = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();

function pem(label: string, content: Buffer): string {
  const lines = content.toString('base64').match(/.{1,64}/gu) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
