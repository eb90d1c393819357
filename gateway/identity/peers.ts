import { createHash, X509Certificate } from 'node:crypto';
import type { Principal } from '#engine';
import type { Logger } from 'pino';
import type { MtlsConfig } from '../config/index.js';
import { IdentityError } from '../errors.js';
import type { ClientCertificate, Identity } from '../protocol.js';
import { inGroups, openDirectory } from './directory.js';
import { quote } from './token.js';

/**
 * Client certificates to principals. A certificate has one name here, the one URI in its subjectAltName, as an X.509-SVID has it
 * (SPIFFE X509-SVID, 2 and 5.2); its common name and whatever else somebody wrote into it name nobody.
 */
export interface Peers {
  /** What it is known by, where an authority of the listener vouches for it and it is good now. Throws IdentityError. */
  check(certificate: ClientCertificate): Vouched;
  /** Whom it names, checked as well. Rejects with IdentityError. */
  identify(certificate: ClientCertificate): Promise<Identity>;
  close(): void;
}

export interface Vouched {
  /** SHA-256 of its DER form, base64url (RFC 8705, 3.1). */
  readonly thumbprint: string;
  /** Milliseconds since the epoch. */
  readonly expires_ms: number;
}

export interface PeersParts {
  /** Absent: certificates name nobody, and are good for tokens that are bound to them. */
  readonly mtls: MtlsConfig | undefined;
  readonly now: () => number;
  readonly log?: Logger;
  readonly fetch?: typeof fetch;
}

const name_chars_max = 256;

const refuse = (message: string) => new IdentityError('certificate', `the client certificate ${message}`);

export function openPeers({ mtls, now, log, fetch: fetcher = fetch }: PeersParts): Peers {
  const directory = mtls?.directory && openDirectory(mtls.directory, { now, log, fetch: fetcher });
  const read = ({ der, problem }: ClientCertificate): X509Certificate => {
    if (problem !== undefined) throw refuse(`is of none of the authorities here, or was not shown anew (${problem})`);
    const certificate = new X509Certificate(der);
    checkTimes(certificate, now());
    return certificate;
  };
  return {
    check(shown) {
      const certificate = read(shown);
      return { thumbprint: thumbprint(certificate), expires_ms: timesOf(certificate).to_ms };
    },
    async identify(shown) {
      const certificate = read(shown);
      if (mtls === undefined) throw refuse('names nobody here (identity.mtls): send a token that is bound to it');
      const identity = identityOf(certificate, mtls);
      if (directory === undefined) return identity;
      await directory.refresh();
      return inGroups(identity, directory);
    },
    close: () => directory?.close(),
  };
}

/** Connections outlive handshakes, and certificates may end before connections do. */
function checkTimes(certificate: X509Certificate, now_ms: number): void {
  const { from_ms, to_ms } = timesOf(certificate);
  if (now_ms < from_ms) throw refuse('is not good yet');
  if (now_ms >= to_ms) throw refuse('expired: show a new one, in a new connection');
}

function timesOf({ validFrom, validTo }: X509Certificate): { readonly from_ms: number; readonly to_ms: number } {
  const [from_ms, to_ms] = [Date.parse(validFrom), Date.parse(validTo)];
  if (Number.isNaN(from_ms) || Number.isNaN(to_ms)) throw refuse('does not say until when it is good');
  return { from_ms, to_ms };
}

function identityOf(certificate: X509Certificate, mtls: MtlsConfig): Identity {
  if (certificate.ca) throw refuse('is one of an authority, which is nobody that connects');
  const subject = spiffeIdOf(certificate.subjectAltName, mtls.trustDomain);
  const { from_ms, to_ms } = timesOf(certificate);
  if (to_ms - from_ms > mtls.certificateLifetimeMax_ms)
    throw refuse('was given a longer life than identity.mtls.certificate_lifetime_max lets it have');
  const principal: Principal = Object.freeze({
    subject,
    issuer: `spiffe://${mtls.trustDomain}`,
    kind: mtls.kindDefault,
    groups: Object.freeze([...mtls.groups]) as string[],
    roles: Object.freeze([...mtls.roles]) as string[],
    ...(mtls.purpose === undefined ? {} : { purpose: mtls.purpose }),
    attributes: Object.freeze({}),
    token: Object.freeze({ id: thumbprint(certificate), issued: isoOf(from_ms), expires: isoOf(to_ms) }),
  });
  return Object.freeze({ principal, expires_ms: to_ms });
}

const nameless = () => refuse('has no URI as its name (subjectAltName); a common name is none');

const isoOf = (time_ms: number) => new Date(time_ms).toISOString();

/**
 * The one URI of a subjectAltName as Node writes it: "DNS:one, URI:spiffe://two". What it had to quote has characters in it that
 * no such name has, and is refused whole: a comma in one name could look like two.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md
 */
export function spiffeIdOf(alternatives: string | undefined, trustDomain: string): string {
  if (alternatives === undefined) throw nameless();
  const names = alternatives.split(', ');
  if (alternatives.includes('"') || !names.every((name) => /^[\w ]+:[^,]*$/u.test(name)))
    throw refuse('has names that cannot be read without doubt');
  const [uri, ...more] = names.filter((name) => name.startsWith('URI:')).map((name) => name.slice('URI:'.length));
  if (uri === undefined) throw nameless();
  if (more.length > 0) throw refuse('has more than one URI as its name: it has to have one');
  const prefix = `spiffe://${trustDomain}/`;
  const segments = uri.startsWith(prefix) ? uri.slice(prefix.length).split('/') : [];
  if (segments.length === 0) throw refuse(`names ${quote(uri)}, and not somebody of ${prefix}…`);
  const isName = (segment: string) => /^[A-Za-z0-9._-]+$/u.test(segment) && segment !== '.' && segment !== '..';
  if (uri.length > name_chars_max || !segments.every(isName))
    throw refuse(`names ${quote(uri)}, which is no SPIFFE ID`);
  return uri;
}

const thumbprint = ({ raw }: X509Certificate) => createHash('sha256').update(raw).digest('base64url');
