import { describe, expect, test } from '@jest/globals';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createAuthority } from './certificates.js';

describe("the tests' certificates", () => {
  const authority = createAuthority();
  const root = new X509Certificate(authority.certificate);

  test('an authority is one, and signed itself', () => {
    expect(root.ca).toBe(true);
    expect(root.subject).toBe('CN=Authority of the tests');
    expect(root.verify(root.publicKey)).toBe(true);
    expect(root.checkPrivateKey(createPrivateKey(authority.key))).toBe(true);
  });

  test('a leaf is signed by its authority, and by no other of the same name', () => {
    const { certificate, key } = authority.issue();
    const leaf = new X509Certificate(certificate);
    expect(leaf.ca).toBe(false);
    expect(leaf.checkIssued(root)).toBe(true);
    expect(leaf.verify(root.publicKey)).toBe(true);
    expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    const other = new X509Certificate(createAuthority().certificate);
    expect(leaf.checkIssued(other)).toBe(false);
    expect(leaf.verify(other.publicKey)).toBe(false);
  });

  test('names, times and digest are what was asked for', () => {
    const usual = new X509Certificate(authority.issue().certificate);
    expect(usual.subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1');
    expect(Date.parse(usual.validFrom)).toBeLessThan(Date.now());
    expect(Date.parse(usual.validTo)).toBeGreaterThan(Date.now());
    const odd = new X509Certificate(
      authority.issue({ names: ['db.example'], validFrom_days: -3, validTo_days: -2, digest: 'sha384' }).certificate,
    );
    expect(odd.subjectAltName).toBe('DNS:db.example');
    expect(Date.parse(odd.validTo)).toBeLessThan(Date.now());
    expect(odd.raw.includes(Buffer.from('2a8648ce3d040303', 'hex'))).toBe(true);
  });
});
