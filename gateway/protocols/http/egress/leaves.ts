import { constants, createPrivateKey, webcrypto, X509Certificate as Read } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { ConfigError } from '../../../errors.js';
import type { SigningAuthority } from '../../../protocol.js';
import { RequestRefusal } from '../../../web/index.js';
import { isAddress } from './hosts.js';

/** Certificates for the hosts that the proxy stands in for, signed by the operator's authority (RFC 5280). */

const hour_ms = 3_600_000;
const validity_ms = 7 * 24 * hour_ms;
/** Made anew when they hold for less than this, and another one would hold longer. */
const renewal_ms = 24 * hour_ms;
/** For clients whose clocks are late. */
const slack_ms = hour_ms;
/** Hosts stand in the configuration: there are never more of them. */
const leaves_max = 1_000;

interface Leaf {
  readonly context: SecureContext;
  /** From then on another one is made. */
  readonly renewed_ms: number;
}

export class Leaves {
  readonly #files: SigningAuthority;
  readonly #now: () => number;
  readonly #leaves = new Map<string, Promise<Leaf>>();
  #signer: ReturnType<typeof signerOf> | undefined;

  /** Throws ConfigError for a key of a kind that nobody signs certificates with. */
  constructor(files: SigningAuthority, now: () => number = Date.now) {
    this.#files = files;
    this.#now = now;
    signing(files.key);
  }

  /** What to show as the host. Rejects with a RequestRefusal where the authority itself holds no longer. */
  async contextFor(host: string): Promise<SecureContext> {
    const known = this.#leaves.get(host);
    if (known !== undefined) {
      const leaf = await known;
      if (this.#now() < leaf.renewed_ms) return leaf.context;
    }
    if (this.#leaves.size >= leaves_max) this.#leaves.clear();
    const made = this.#make(host);
    this.#leaves.set(host, made);
    made.catch(() => {
      if (this.#leaves.get(host) === made) this.#leaves.delete(host);
    });
    return (await made).context;
  }

  async #make(host: string): Promise<Leaf> {
    const signer = await this.#authority();
    const now_ms = this.#now();
    const ends_ms = Math.min(now_ms + validity_ms, signer.ends_ms);
    if (ends_ms <= now_ms) {
      throw new RequestRefusal(
        503,
        'authority_expired',
        'listen.egress.authority holds no longer: whoever runs the gateway has to hand out another one',
      );
    }
    const leaf = await signer.issue(host, new Date(Math.max(now_ms - slack_ms, signer.begins_ms)), new Date(ends_ms));
    const context = createSecureContext({
      ...{ cert: `${leaf}\n${this.#files.certificate}`, key: signer.leafKey, minVersion: 'TLSv1.2' },
      // Nobody counts how often keys are agreed upon in such a connection: a tls.Server would, and here is none.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
    // As long as the authority itself: none would hold longer.
    return { context, renewed_ms: ends_ms === signer.ends_ms ? ends_ms : ends_ms - renewal_ms };
  }

  /** What once failed is tried again: it may have been for want of memory, or of a file of a library. */
  #authority(): ReturnType<typeof signerOf> {
    const signer = (this.#signer ??= signerOf(this.#files));
    signer.catch(() => {
      if (this.#signer === signer) this.#signer = undefined;
    });
    return signer;
  }
}

const leafAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;

/** The authority, ready to sign; one key serves all that it signs. */
async function signerOf({ certificate, key }: SigningAuthority) {
  // Loaded only here: most gateways look into nothing. The library wants the first import before it.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const own = new x509.X509Certificate(new Read(certificate).raw);
  const read = new Read(certificate);
  // As the authority itself has it: nobody finds the issuer by a number of another making.
  const keyId = own.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
  const { algorithm, der } = signing(key);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
  const leafKeys = await webcrypto.subtle.generateKey(leafAlgorithm, true, ['sign', 'verify']);
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey));
  return {
    begins_ms: Date.parse(read.validFrom),
    ends_ms: Date.parse(read.validTo),
    leafKey: createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }),
    issue: async (host: string, notBefore: Date, notAfter: Date): Promise<string> => {
      const type = isAddress(host) ? 'ip' : 'dns';
      const made = await x509.X509CertificateGenerator.create(
        {
          // A common name has 64 characters at most; nobody goes by it any more.
          ...{ subject: [{ O: ['Sallyport egress proxy'] }], issuer: own.subjectName },
          ...{ notBefore, notAfter, publicKey: leafKeys.publicKey, signingKey, signingAlgorithm: algorithm },
          extensions: [
            new x509.BasicConstraintsExtension(false, undefined, true),
            new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
            new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
            new x509.SubjectAlternativeNameExtension([{ type, value: host }]),
            ...(keyId === undefined ? [] : [new x509.AuthorityKeyIdentifierExtension(keyId)]),
          ],
        },
        webcrypto,
      );
      return made.toString('pem');
    },
  };
}

const curves: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' };

/** How a key signs. Throws ConfigError. */
function signing(pem: string) {
  const key = createPrivateKey(pem);
  const der = key.export({ format: 'der', type: 'pkcs8' });
  const curve = curves[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (key.asymmetricKeyType === 'rsa') return { der, algorithm: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } };
  if (curve !== undefined) return { der, algorithm: { name: 'ECDSA', namedCurve: curve, hash: 'SHA-256' } };
  throw new ConfigError(
    'listen.egress.authority.key: signs with RSA, or ECDSA over P-256, P-384 or P-521, and nothing else',
  );
}
