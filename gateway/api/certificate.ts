import { X509Certificate, webcrypto } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import path from 'node:path';

/** A certificate with its key, both PEM. */
export interface OwnCertificate {
  readonly certificate: string;
  readonly key: string;
  /** SHA-256, "AB:CD:…": what a person compares before they trust it. */
  readonly fingerprint: string;
  /** The certificate's file: what clients on this machine may trust. */
  readonly file: string;
}

const validity_days = 397;
/** Made anew when it has fewer days left, at a start. */
const renewal_days = 30;
const day_ms = 86_400_000;

export const certificateFile = (stateDirectory: string): string => path.join(stateDirectory, 'https.pem');
const keyFile = (stateDirectory: string): string => path.join(stateDirectory, 'https.key');

/**
 * The certificate that the gateway made for itself, kept in its state directory; made where there is none, where it is
 * about to expire, and where it is not good for one of the names. Signed by itself: a browser warns, and clients are
 * handed the file.
 */
export async function ownCertificate(
  stateDirectory: string,
  names: readonly string[],
  now_ms: number,
): Promise<OwnCertificate> {
  const wanted = [...new Set(['localhost', '127.0.0.1', '::1', hostname(), ...names])].filter(isHost);
  const file = certificateFile(stateDirectory);
  const kept = await readKept(stateDirectory);
  if (kept !== undefined && serves(kept.certificate, wanted, now_ms)) return { ...kept, file };
  const made = await make(wanted, now_ms);
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  // The key first: a certificate whose key is another one is not used at the next start, but made anew.
  await replace(keyFile(stateDirectory), made.key, 0o600);
  await replace(file, made.certificate, 0o644);
  return { ...made, fingerprint: new X509Certificate(made.certificate).fingerprint256, file };
}

const isHost = (name: string) => isIP(name) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/u.test(name);

async function readKept(directory: string): Promise<Omit<OwnCertificate, 'file'> | undefined> {
  try {
    const [certificate, key] = await Promise.all([
      readFile(certificateFile(directory), 'utf8'),
      readFile(keyFile(directory), 'utf8'),
    ]);
    return { certificate, key, fingerprint: new X509Certificate(certificate).fingerprint256 };
  } catch {
    // Missing or damaged: the next one takes its place.
    return undefined;
  }
}

function serves(certificate: string, names: readonly string[], now_ms: number): boolean {
  const read = new X509Certificate(certificate);
  if (Date.parse(read.validTo) - now_ms < renewal_days * day_ms) return false;
  return names.every((name) => (isIP(name) === 0 ? read.checkHost(name) : read.checkIP(name)) !== undefined);
}

async function make(names: readonly string[], now_ms: number): Promise<{ certificate: string; key: string }> {
  // Loaded only here: most gateways have a certificate of their own. The library wants the first import before it.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: 'CN=Sallyport',
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(now_ms - day_ms),
      notAfter: new Date(now_ms + validity_days * day_ms),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(
          names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
        ),
      ],
    },
    webcrypto,
  );
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/gu, '$&\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
  return { certificate: `${certificate.toString('pem')}\n`, key };
}

/** Moved into place whole, and never readable for others in between. */
async function replace(file: string, content: string, mode: number): Promise<void> {
  const scratch = `${file}.${process.pid}.new`;
  try {
    await writeFile(scratch, content, { mode, flag: 'wx' });
    await rename(scratch, file);
  } finally {
    await rm(scratch, { force: true });
  }
}
