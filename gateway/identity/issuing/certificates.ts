import { randomBytes, randomUUID } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { calculateJwkThumbprint } from 'jose';
import type { Identity } from '../../protocol.js';
import { IdentityError, ProtocolError } from '../../errors.js';
import {
  blobOfJwk,
  certificateLine,
  jwkOfBlob,
  parseCertificate,
  readPublicKey,
  signatureOf,
  signedCertificate,
  string,
  unsignedCertificate,
  WireReader,
  type Certificate,
} from '../../openssh/index.js';
import type { Identities } from '../index.js';
import type { OwnTokens } from './own-tokens.js';

/**
 * OpenSSH user certificates: for a key that its holder made, the name of one target, and a short time.
 *
 * Each carries a token of the gateway's own that is bound to the same key (RFC 7800): who it is for, the purpose, the target, the end
 * and what revokes it are those of the token, and nothing has to be kept of it. It stands in a critical option, so that no other
 * server takes such a certificate; and as it is bound, it serves nobody as a password. The authority is the key that signs the
 * gateway's tokens, which rotates, is read again and is shared by replicas as that one is.
 */
export interface Certificates {
  /** @throws ProtocolError where the public key is none that can be certified. */
  issue(order: CertificateOrder): Promise<IssuedCertificate>;
  /** Whose it is. Rejects with IdentityError. Whether its key is held has to have been proven. */
  identify(certificate: Buffer, as: { readonly user: string; readonly address: string }): Promise<Identity>;
}

export interface CertificateOrder {
  readonly identity: Identity;
  /** "ssh-ed25519 AAAA…" */
  readonly publicKey: string;
  readonly target: string;
  readonly purpose?: string | undefined;
  readonly lifetime_ms?: number | undefined;
  /** Addresses and networks (192.0.2.0/24) that it may be used from; absent: from anywhere. */
  readonly sources?: readonly string[] | undefined;
}

export interface IssuedCertificate {
  /** A line as it stands in a file NAME-cert.pub. */
  readonly certificate: string;
  /** Of the token inside: revoking it ends the certificate. */
  readonly id: string;
  readonly target: string;
  readonly expires_ms: number;
}

const tokenOption = 'token@sallyport';
const sourceOption = 'source-address';
const known = new Set([tokenOption, sourceOption]);

const lifetimeDefault_ms = 3_600_000;
/** For gateways whose clocks differ. */
const skew_s = 60;

export function openCertificates({
  own,
  identity: identities,
  now,
}: {
  readonly own: OwnTokens;
  readonly identity: Pick<Identities, 'identifyHolder'>;
  readonly now: () => number;
}): Certificates {
  return {
    async issue({ identity, publicKey, target, purpose, sources, lifetime_ms = lifetimeDefault_ms }) {
      const key = readPublicKey(publicKey);
      const holder = await thumbprintOf(key);
      const networks = sources === undefined ? undefined : sources.join(',');
      if (networks !== undefined) networksOf(networks);
      const { token, id, expires_ms } = await own.issue({
        ...{ identity, target, purpose, lifetime_ms, holder },
        id: randomUUID(),
      });
      // What could not be used is not given out.
      await identities.identifyHolder(token, holder);
      const signer = await own.signer();
      const { jwk } = signer;
      const unsigned = unsignedCertificate(
        {
          key: key.subarray(-32),
          serial: randomBytes(8).readBigUInt64BE(),
          kind: 'user',
          id: `${identity.principal.subject.replace(/\p{Cc}/gu, '')} ${id}`,
          principals: [target],
          after_s: Math.floor(now() / 1000) - skew_s,
          before_s: Math.floor(expires_ms / 1000),
          criticalOptions: new Map([
            [tokenOption, string(token)],
            ...(networks === undefined ? [] : [[sourceOption, string(networks)] as const]),
          ]),
          // What may be done is for policy to say, with each operation.
          extensions: new Map(),
        },
        randomBytes(32),
        blobOfJwk(jwk) as Buffer,
      );
      const signed = signedCertificate(unsigned, signatureOf(jwk, await signer.sign(unsigned)));
      return { certificate: certificateLine(signed, `sallyport ${target}`), id, target, expires_ms };
    },
    async identify(blob, as) {
      const certificate = read(blob);
      await own.keys.refresh();
      const { keys } = await own.published();
      const authorities = keys.flatMap((key) => blobOfJwk(key) ?? []);
      if (!certificate.signed || !authorities.some((authority) => authority.equals(certificate.authority)))
        throw new IdentityError('signature', 'the certificate is not signed by this gateway, or not any more');
      check(certificate, as, now());
      const token = certificate.criticalOptions.get(tokenOption);
      if (token === undefined) throw new IdentityError('malformed', 'the certificate says not who it is for');
      const identity = await identities.identifyHolder(textOf(token), await thumbprintOf(certificate.keyBlob));
      if (identity.target !== as.user)
        throw new IdentityError('target', 'the certificate and what it carries are for two targets');
      return { ...identity, expires_ms: Math.min(identity.expires_ms, certificate.before_s * 1000) };
    },
  };
}

const thumbprintOf = (key: Buffer): Promise<string> => calculateJwkThumbprint(jwkOfBlob(key));

function read(blob: Buffer): Certificate {
  try {
    return parseCertificate(blob);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new IdentityError('malformed', error.message, { cause: error });
  }
}

/** What OpenSSH's server checks of a user's certificate (sshd(8), AUTHORIZED_KEYS FILE FORMAT; ssh-keygen(1), CERTIFICATES). */
function check(certificate: Certificate, { user, address }: { user: string; address: string }, now_ms: number): void {
  const { kind, principals, after_s, before_s, criticalOptions } = certificate;
  if (kind !== 'user') throw new IdentityError('kind', "the certificate is a host's");
  if (!principals.includes(user))
    throw new IdentityError('target', `the certificate is for ${principals.join(', ')}, and not for "${user}"`);
  if (now_ms < after_s * 1000) throw new IdentityError('not_yet', 'the certificate is not valid yet');
  if (now_ms >= before_s * 1000)
    throw new IdentityError('expired', 'the certificate has expired: get a new one with sallyport ssh-cert');
  for (const name of criticalOptions.keys()) {
    if (!known.has(name))
      throw new IdentityError('option', `the certificate has a critical option "${name}", which is not known`);
  }
  const networks = criticalOptions.get(sourceOption);
  if (networks === undefined) return;
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if (!networksOf(textOf(networks)).check(address, family))
    throw new IdentityError('address', 'the certificate may not be used from this address');
}

/** "192.0.2.0/24,2001:db8::1". @throws IdentityError for what is none. */
function networksOf(list: string): BlockList {
  const networks = new BlockList();
  for (const entry of list.split(',')) {
    const [address = '', bits, ...more] = entry.split('/');
    const version = isIP(address);
    const width = version === 6 ? 128 : 32;
    const prefix = bits === undefined ? width : /^(?:0|[1-9]\d{0,2})$/u.test(bits) ? Number(bits) : NaN;
    if (version === 0 || more.length > 0 || !(prefix <= width))
      throw new IdentityError('address', `"${entry.slice(0, 64)}" is no address and no network`);
    networks.addSubnet(address, prefix, version === 6 ? 'ipv6' : 'ipv4');
  }
  return networks;
}

/** What stands in an option is a string inside of one. */
function textOf(value: Buffer): string {
  try {
    const reader = new WireReader(value);
    const text = reader.text();
    reader.end();
    return text;
  } catch (error) {
    throw new IdentityError('malformed', 'an option of the certificate is damaged', { cause: error });
  }
}
