import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ProtocolError } from '../errors.js';
import {
  blobOfJwk,
  parseCertificate,
  privateKeyFile,
  publicKeyOf,
  signatureOf,
  signedCertificate,
  string,
  unsignedCertificate,
  verifies,
  type CertificateBody,
} from './index.js';
import { mpint, ofMpint } from './wire.js';

const authorities = [
  generateKeyPairSync('ed25519').privateKey,
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
];

function signatureBy(authority: KeyObject, message: Buffer): Buffer {
  const ed = authority.asymmetricKeyType === 'ed25519';
  const raw = ed
    ? sign(null, message, authority)
    : sign('sha256', message, { key: authority, dsaEncoding: 'ieee-p1363' });
  return signatureOf(authority.export({ format: 'jwk' }), raw);
}

function certify(body: CertificateBody, authority: KeyObject): Buffer {
  const unsigned = unsignedCertificate(body, randomBytes(32), blobOfJwk(authority.export({ format: 'jwk' })) as Buffer);
  return signedCertificate(unsigned, signatureBy(authority, unsigned));
}

const text = fc.string({ maxLength: 20, unit: 'grapheme' }).filter((given) => !/\p{Cc}|\p{Cs}/u.test(given));
const name = text.filter((given) => given !== '');
const options = fc
  .uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 20 })), { maxLength: 5, selector: ([key]) => key })
  .map((list) => new Map(list.map(([key, value]) => [key, Buffer.from(value)])));
const bodies: fc.Arbitrary<CertificateBody> = fc.record({
  key: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
  serial: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  kind: fc.constantFrom('user' as const, 'host' as const),
  id: text,
  principals: fc.array(name, { minLength: 1, maxLength: 5 }),
  after_s: fc.nat(),
  before_s: fc.nat(),
  criticalOptions: options,
  extensions: options,
});

const plain: CertificateBody = {
  key: Buffer.alloc(32, 7),
  serial: 1n,
  kind: 'user',
  id: 'ada',
  principals: ['build'],
  after_s: 0,
  before_s: 2_000_000_000,
  criticalOptions: new Map([['source-address', string('127.0.0.1')]]),
  extensions: new Map(),
};

describe('a certificate', () => {
  test('is read as it was written, by either kind of authority', () => {
    fc.assert(
      fc.property(bodies, fc.constantFrom(...authorities), (body, authority) => {
        const { keyBlob: _, authority: by, signed, ...read } = parseCertificate(certify(body, authority));
        expect(signed).toBe(true);
        expect(by).toEqual(blobOfJwk(authority.export({ format: 'jwk' })));
        const sorted = (map: ReadonlyMap<string, Buffer>) => [...map].sort();
        expect({ ...read, criticalOptions: sorted(read.criticalOptions), extensions: sorted(read.extensions) }).toEqual(
          {
            ...body,
            criticalOptions: sorted(body.criticalOptions),
            extensions: sorted(body.extensions),
          },
        );
      }),
    );
  });

  test('with one byte changed is unreadable, or not signed', () => {
    for (const authority of authorities) {
      const whole = certify(plain, authority);
      fc.assert(
        fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
          const changed = Buffer.from(whole);
          changed[at]! ^= by;
          expect(isGood(changed)).toBe(false);
        }),
        { numRuns: 1_000 },
      );
    }
  });

  test('that is cut, longer, or nothing like one is refused, and never anything but that', () => {
    const whole = certify(plain, authorities[0] as KeyObject);
    const refused = (given: Buffer): boolean => {
      try {
        parseCertificate(given);
        return false;
      } catch (error) {
        return error instanceof ProtocolError;
      }
    };
    for (let length = 0; length < whole.length; length++) expect(refused(whole.subarray(0, length))).toBe(true);
    expect(refused(Buffer.concat([whole, Buffer.alloc(1)]))).toBe(true);
    const head = string('ssh-ed25519-cert-v01@openssh.com');
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        (bytes) => refused(Buffer.from(bytes)) && refused(Buffer.concat([head, bytes])),
      ),
      { numRuns: 3_000 },
    );
  });

  test('whose options stand twice or out of order, that names nobody, or is of no kind is refused', () => {
    const authority = authorities[0] as KeyObject;
    const by = blobOfJwk(authority.export({ format: 'jwk' })) as Buffer;
    const good = unsignedCertificate(plain, Buffer.alloc(32), by);
    const option = Buffer.concat([string('source-address'), string(string('127.0.0.1'))]);
    const other = Buffer.concat([string('a'), string('')]);
    const forms: [Buffer, Buffer][] = [
      [string(option), string(Buffer.concat([option, option]))],
      [string(option), string(Buffer.concat([option, other]))],
      [string(string('build')), string('')],
      [string(string('build')), string(string(''))],
      [string(string('build')), string(string('bu\0ild'))],
    ];
    for (const [from, to] of forms) {
      const at = good.indexOf(from);
      expect(at).toBeGreaterThan(0);
      const unsigned = Buffer.concat([good.subarray(0, at), to, good.subarray(at + from.length)]);
      const certificate = signedCertificate(unsigned, signatureBy(authority, unsigned));
      expect(() => parseCertificate(certificate)).toThrow(ProtocolError);
    }
    expect(() => unsignedCertificate({ ...plain, principals: [] }, Buffer.alloc(32), by)).toThrow('good for all');
  });

  const isGood = (bytes: Buffer): boolean => {
    try {
      return parseCertificate(bytes).signed;
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError);
      return false;
    }
  };
});

test('numbers have one form only', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const number = Buffer.from(bytes);
      expect(ofMpint(mpint(number).subarray(4), 32)).toEqual(number);
    }),
  );
  for (const form of ['80', '0001', '00', '000000ff'])
    expect(() => ofMpint(Buffer.from(form, 'hex'), 32)).toThrow(ProtocolError);
  expect(() => ofMpint(Buffer.alloc(33, 1), 32)).toThrow('too large');
});

test("a signature is the key's over exactly these bytes, with nothing behind it", () => {
  for (const authority of authorities) {
    const key = blobOfJwk(authority.export({ format: 'jwk' })) as Buffer;
    const message = Buffer.from('some bytes');
    const signature = signatureBy(authority, message);
    expect(verifies(key, message, signature)).toBe(true);
    expect(verifies(key, Buffer.from('other bytes'), signature)).toBe(false);
    expect(verifies(key, message, Buffer.concat([signature, Buffer.alloc(1)]))).toBe(false);
    expect(verifies(key, message, signature.subarray(4))).toBe(false);
  }
});

test('a key file says which key it holds', () => {
  const key = authorities[0] as KeyObject;
  const file = privateKeyFile(key, 'a comment');
  expect(publicKeyOf(file)).toEqual(blobOfJwk(key.export({ format: 'jwk' })));
  expect(publicKeyOf(file.replace('b3Bl', 'b3Bm'))).toBeUndefined();
  expect(publicKeyOf('')).toBeUndefined();
});
