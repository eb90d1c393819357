import { randomBytes } from 'node:crypto';
import type { Connection, ParsedKey } from 'ssh2';
import { ConfigError } from '../../errors.js';
import {
  certificateType,
  ed25519,
  ed25519Signature,
  signedCertificate,
  unsignedCertificate,
} from '../../openssh/index.js';
import { utils } from './library.js';

/**
 * The gateway's host key, with a certificate: clients that trust who signed it (`@cert-authority` in known_hosts) need to know
 * no key, and another key later is as good.
 *
 * The library knows no certificates. It takes any key that was read already; one that says it is of another type is offered
 * as that type. What it would name wrongly is the signature in the key exchange, which is the plain key's: the name is that of what
 * was negotiated, which is set right when the signature is made.
 */
export interface HostCertificate {
  /** "ssh-ed25519 AAAA…": who vouches. */
  readonly authority: string;
  /** For the library's list of host keys. */
  readonly key: ParsedKey;
  /** Before the key exchange of a connection. */
  present(connection: Connection): void;
}

interface Insides {
  readonly _protocol: {
    _hostKeys: Record<string, ParsedKey>;
    readonly _kex: { readonly negotiated: { serverHostKey: string } };
  };
}

const lifetime_s = 30 * 86_400;
const renewal_s = 86_400;
/** For clients whose clocks are behind. */
const skew_s = 3_600;

/** Undefined for a key of another kind than Ed25519, and for a gateway that has no name. */
export function hostCertificate({
  key,
  authority,
  names,
  now = Date.now,
}: {
  readonly key: ParsedKey;
  /** The private key in OpenSSH's form. */
  readonly authority: string;
  readonly names: readonly string[];
  readonly now?: () => number;
}): HostCertificate | undefined {
  const signer = utils.parseKey(authority);
  if (signer instanceof Error) throw new ConfigError(`listen.ssh.host_ca cannot be read: ${signer.message}`);
  if (signer.type !== ed25519)
    throw new ConfigError('listen.ssh.host_ca has to be an Ed25519 key (ssh-keygen -t ed25519)');
  if (key.type !== ed25519 || names.length === 0) return undefined;
  let made_s = -Infinity;
  let blob: Buffer = Buffer.alloc(0);
  const current = (): Buffer => {
    const now_s = Math.floor(now() / 1000);
    if (now_s - made_s < renewal_s) return blob;
    made_s = now_s;
    blob = certify(key, signer, names, now_s);
    return blob;
  };
  const certified = (more: PropertyDescriptorMap = {}): ParsedKey => {
    const shown = current();
    // What is not said here is the key's own: where a private one is asked for, it is there.
    return Object.create(key, {
      type: { value: certificateType },
      getPublicSSH: { value: () => shown },
      ...more,
    }) as ParsedKey;
  };
  return {
    authority: `${signer.type} ${signer.getPublicSSH().toString('base64')}`,
    key: certified(),
    present(connection) {
      const { _protocol: protocol } = connection as unknown as Insides;
      const sign = (data: Buffer) => {
        protocol._kex.negotiated.serverHostKey = ed25519;
        return key.sign(data);
      };
      protocol._hostKeys = { ...protocol._hostKeys, [certificateType]: certified({ sign: { value: sign } }) };
    },
  };
}

function certify(key: ParsedKey, signer: ParsedKey, names: readonly string[], now_s: number): Buffer {
  const unsigned = unsignedCertificate(
    {
      key: key.getPublicSSH().subarray(-32),
      serial: randomBytes(8).readBigUInt64BE(),
      kind: 'host',
      id: `sallyport ${names.join(' ')}`,
      principals: names,
      after_s: now_s - skew_s,
      before_s: now_s + lifetime_s,
      criticalOptions: new Map(),
      extensions: new Map(),
    },
    randomBytes(32),
    signer.getPublicSSH(),
  );
  return signedCertificate(unsigned, ed25519Signature(signer.sign(unsigned)));
}
