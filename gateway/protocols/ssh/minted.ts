import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import type { Client, ParsedKey } from 'ssh2';
import {
  blobOfJwk,
  certificateType,
  ed25519Signature,
  signedCertificate,
  string,
  unsignedCertificate,
} from '../../openssh/index.js';
import { utils } from './library.js';

/**
 * A login at the host with a certificate that is made for one session: a key that nobody has had before, vouched for by an authority that
 * the host trusts (TrustedUserCAKeys), for some minutes. Who it is for stands in its id, which the host logs.
 */
export interface UpstreamAuthority {
  readonly key: ParsedKey;
  readonly principals: readonly string[];
  readonly lifetime_s: number;
}

export interface Minted {
  readonly certificate: Buffer;
  readonly privateKey: KeyObject;
}

/** For clocks that differ. */
const skew_s = 60;
const id_chars_max = 200;

export function mint({ key, principals, lifetime_s }: UpstreamAuthority, id: string, now_ms = Date.now()): Minted {
  const { privateKey } = generateKeyPairSync('ed25519');
  const open = blobOfJwk(privateKey.export({ format: 'jwk' })) as Buffer;
  const now_s = Math.floor(now_ms / 1000);
  const unsigned = unsignedCertificate(
    {
      key: open.subarray(-32),
      serial: randomBytes(8).readBigUInt64BE(),
      kind: 'user',
      id: `sallyport ${id}`.replace(/\p{Cc}/gu, '').slice(0, id_chars_max),
      principals,
      after_s: now_s - skew_s,
      before_s: now_s + lifetime_s,
      criticalOptions: new Map(),
      // What its clients may be given at most; policy says for each of them. X11 is never forwarded.
      extensions: new Map([
        ['permit-agent-forwarding', Buffer.alloc(0)],
        ['permit-port-forwarding', Buffer.alloc(0)],
        ['permit-pty', Buffer.alloc(0)],
      ]),
    },
    randomBytes(32),
    key.getPublicSSH(),
  );
  return { certificate: signedCertificate(unsigned, ed25519Signature(key.sign(unsigned))), privateKey };
}

/** What of the library is not in its types. */
interface Insides {
  readonly _protocol: {
    authPK: (user: string) => void;
    readonly _authsQueue: string[];
    readonly _kex: { readonly sessionID: Buffer };
    readonly _cipher: { encrypt(packet: Buffer): void };
    readonly _packetRW: {
      readonly write: { readonly allocStart: number; alloc(bytes: number): Buffer; finalize(packet: Buffer): Buffer };
    };
  };
}

const userauthRequest = 50;

/**
 * Has the library's client show the certificate where it would show a key: it cannot read one, and would name the kind of the signature
 * wrongly. To be called once it has begun to connect.
 *
 * @see RFC 4252, section 7
 */
export function presentMinted(client: Client, { certificate, privateKey }: Minted): void {
  const { _protocol: protocol } = client as unknown as Insides;
  protocol.authPK = (user) => {
    const request = Buffer.concat([
      ...[Buffer.of(userauthRequest), string(user), string('ssh-connection'), string('publickey'), Buffer.of(1)],
      ...[string(certificateType), string(certificate)],
    ]);
    const proof = sign(null, Buffer.concat([string(protocol._kex.sessionID), request]), privateKey);
    const payload = Buffer.concat([request, string(ed25519Signature(proof))]);
    const { write } = protocol._packetRW;
    const packet = write.alloc(payload.length);
    packet.set(payload, write.allocStart);
    protocol._authsQueue.push('publickey');
    protocol._cipher.encrypt(write.finalize(packet));
  };
}

/** Reads an authority's private key. @returns words for what is wrong with it. */
export function authorityKey(text: string, passphrase: string | undefined): ParsedKey | string {
  const key = utils.parseKey(text, passphrase);
  if (key instanceof Error) return `cannot be read: ${key.message}; it has to be a private key as ssh-keygen makes it`;
  if (key.type !== 'ssh-ed25519' || !key.isPrivateKey())
    return 'has to be a private Ed25519 key (ssh-keygen -t ed25519)';
  return key;
}
