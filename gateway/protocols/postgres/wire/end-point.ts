import { createHash } from 'node:crypto';

/**
 * RFC 5929, 4.1: what "tls-server-end-point" binds a connection to, the certificate's hash by its own signature's
 * function, SHA-256 where that is MD5 or SHA-1. `certificate` is DER. Undefined for a signature function without a defined
 * end point (Ed25519, RSA-PSS): no channel binding then.
 */
export function endPointOf(certificate: Buffer): Buffer | undefined {
  // sha384WithRSAEncryption, ecdsa-with-SHA384 and their SHA-512 kin, as DER object identifiers in the certificate's
  // outer signature algorithm, which is the last one that occurs.
  const kinds: [string, Buffer][] = [
    ['sha384', Buffer.from('2a864886f70d01010c', 'hex')],
    ['sha512', Buffer.from('2a864886f70d01010d', 'hex')],
    ['sha384', Buffer.from('2a8648ce3d040303', 'hex')],
    ['sha512', Buffer.from('2a8648ce3d040304', 'hex')],
    ['sha256', Buffer.from('2a864886f70d01010b', 'hex')],
    ['sha256', Buffer.from('2a8648ce3d040302', 'hex')],
  ];
  let best: { kind: string; at: number } | undefined;
  for (const [kind, oid] of kinds) {
    const at = certificate.lastIndexOf(oid);
    if (at >= 0 && (best === undefined || at > best.at)) best = { kind, at };
  }
  return best === undefined ? undefined : createHash(best.kind).update(certificate).digest();
}
