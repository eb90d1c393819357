import { X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ConfigError } from '../errors.js';
import type { SigningAuthority } from '../protocol.js';
import { readReference } from './references.js';

/** Authorities in files: what they have to be, at the start and whenever they are replaced. */

export interface AuthorityPaths {
  readonly certificate: string;
  readonly key: string;
}

/** OpenSSL passes over what it cannot read in such a file, and over what vouches for nobody. Throws an Error that says what is wrong. */
export function checkAuthorities(text: string): void {
  const found = text.match(/-----BEGIN [^-]*CERTIFICATE-----[\s\S]*?-----END [^-]*CERTIFICATE-----/gu) ?? [];
  if (found.length === 0) throw new Error('holds no certificate in PEM form ("-----BEGIN CERTIFICATE-----")');
  for (const [index, pem] of found.entries()) {
    const certificate = readable(pem, index);
    if (!certificate.ca) throw new Error(`its certificate ${index + 1} is not one of an authority`);
  }
}

function readable(pem: string, index: number): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new Error(`its certificate ${index + 1} cannot be read`);
  }
}

/** Nobody else on the machine may read its key, since whoever has it is believed to be any server. Throws an Error. */
export async function checkKept(file: string): Promise<void> {
  const { mode } = await stat(file);
  if ((mode & 0o077) === 0) return;
  throw new Error(`others may read ${file}: whoever has it can pose as any server to your clients; chmod 600 it`);
}

export function whyNoContext(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') return 'the key is not that of the certificate';
  if (code?.startsWith('ERR_OSSL_PEM') === true)
    return 'both must be PEM files ("-----BEGIN …-----"), the key without a passphrase';
  return code ?? 'OpenSSL refuses them';
}

/** Looks at the files each time it is called; by their paths alone, as with other credentials. See SigningAuthority. */
export function renewal(files: AuthorityPaths, held: AuthorityPaths): () => Promise<SigningAuthority | undefined> {
  let { certificate, key } = held;
  let seen: string | undefined;
  return async () => {
    // Before they are read: what is written meanwhile makes another stamp. Of what was found wrong there is one word.
    const stamp = await stampOf(files);
    if (stamp === seen) return undefined;
    seen = stamp;
    try {
      const now = { certificate: await readReference(files.certificate), key: await readReference(files.key) };
      if (now.certificate === certificate && now.key === key) return undefined;
      checkAuthorities(now.certificate);
      await checkKept(files.key);
      checkPair(now);
      ({ certificate, key } = now);
      return now;
    } catch (error) {
      throw new ConfigError(`listen.egress.authority: ${(error as Error).message}`, { cause: error });
    }
  };
}

function checkPair({ certificate, key }: AuthorityPaths): void {
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    throw new Error(`certificate and key cannot be used: ${whyNoContext(error)}`, { cause: error });
  }
}

async function stampOf({ certificate, key }: AuthorityPaths): Promise<string> {
  const stamps = [certificate, key].map(async (file) => {
    try {
      const { mtimeMs, ctimeMs, size, ino, dev } = await stat(file);
      return [mtimeMs, ctimeMs, size, ino, dev].join(' ');
    } catch {
      return 'none';
    }
  });
  return (await Promise.all(stamps)).join();
}
