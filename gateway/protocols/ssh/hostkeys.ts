import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { ConfigError } from '../../errors.js';

/**
 * Whether a key that a host shows is the host's. A host is never trusted at first sight: whoever stands between would be
 * trusted as well.
 */

/** @param key The public key's blob (RFC 4253, section 6.6). */
export type HostKeyCheck = (key: Buffer) => boolean;

/** @param accepted "SHA256:" and base64, with or without padding. */
export function fingerprints(accepted: readonly string[]): HostKeyCheck {
  const known = new Set(accepted.map((one) => one.replace(/=+$/u, '')));
  return (key) => known.has(fingerprintOf(key));
}

export const fingerprintOf = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/u, '')}`;

/** Any check that says yes is enough; none that was revoked ever is. */
export function anyHostKey(checks: readonly HostKeyCheck[]): HostKeyCheck {
  return (key) => checks.some((check) => check(key));
}

/**
 * The keys of one host out of a known_hosts file: plain and hashed names, [host]:port, lists, "*" and "?", "!" for not,
 * @revoked. Lines of @cert-authority are left out: the library can neither ask for certificates of hosts nor verify them.
 *
 * @throws ConfigError where there is nothing else for the host.
 *
 * @see sshd(8), SSH_KNOWN_HOSTS FILE FORMAT
 */
export function knownHosts(text: string, host: string, port: number): HostKeyCheck {
  const name = port === 22 ? host : `[${host}]:${port}`;
  const accepted: Buffer[] = [];
  const revoked: Buffer[] = [];
  let authorities = 0;
  for (const line of text.split(/\r?\n/u)) {
    const fields = line.trim().split(/\s+/u);
    const marker = fields[0]?.startsWith('@') === true ? fields.shift() : undefined;
    const [names, , key] = fields;
    if (names === undefined || key === undefined || names.startsWith('#')) continue;
    if (!namesFit(names, name.toLowerCase())) continue;
    if (marker === '@cert-authority') authorities += 1;
    if (marker !== undefined && marker !== '@revoked') continue;
    (marker === '@revoked' ? revoked : accepted).push(Buffer.from(key, 'base64'));
  }
  if (accepted.length === 0 && authorities > 0)
    throw new ConfigError(
      `known_hosts has only who vouches for ${name} (@cert-authority), and certificates of hosts cannot be verified: give a key of the host itself`,
    );
  return (key) => !revoked.some((one) => one.equals(key)) && accepted.some((one) => one.equals(key));
}

function namesFit(names: string, name: string): boolean {
  if (names.startsWith('|1|')) {
    const [, , salt = '', hash = ''] = names.split('|');
    const wanted = Buffer.from(hash, 'base64');
    const made = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
    return wanted.length === made.length && timingSafeEqual(wanted, made);
  }
  const patterns = names.toLowerCase().split(',');
  if (patterns.some((pattern) => pattern.startsWith('!') && fits(pattern.slice(1), name))) return false;
  return patterns.some((pattern) => !pattern.startsWith('!') && fits(pattern, name));
}

function fits(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/gu, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'u').test(name);
}
