import { IdentityError } from '../errors.js';

/** What can be said of a token before anything about it is believed. */

/** A longer token is refused unread. */
export const token_bytes_max = 16_384;

export interface UnverifiedToken {
  /** The token without white space around it. */
  readonly text: string;
  readonly algorithm: string;
  /** The "iss", only good for choosing who has to have signed it. */
  readonly issuer: string;
}

/**
 * Reads header and issuer of a JWS in compact form (RFC 7515, 7.1). Throws IdentityError with a message for the person
 * who signs in: most of those who get here pasted something else, or something that was cut off on the way.
 */
export function readToken(given: string): UnverifiedToken {
  const text = given.trim();
  if (text === '') throw new IdentityError('missing', 'no token was given: sign in with a token as the password');
  if (text.length > token_bytes_max) {
    throw new IdentityError('too_long', `the token has more than ${token_bytes_max} bytes`);
  }
  // Every JWT starts with the base64 of '{"'.
  if (!text.startsWith('eyJ')) {
    throw new IdentityError('not_a_token', 'this is not a token: sign in with a token (a JWT) as the password');
  }
  const parts = text.split('.');
  if (parts.length < 3) throw cutOff(text, `it has ${parts.length} of a token's 3 parts`);
  if (parts.length === 5) {
    throw new IdentityError('encrypted', 'the token is encrypted (JWE); this gateway takes signed tokens');
  }
  const [header, payload, signature] = parts as [string, string, string];
  if (parts.length > 3 || ![header, payload, signature].every((part) => /^[A-Za-z0-9_-]*$/u.test(part))) {
    throw new IdentityError('malformed', 'the token is damaged: it has characters that no token has');
  }
  const { alg, typ } = decode(header);
  const { iss } = decode(payload);
  if (typeof alg !== 'string' || alg.toLowerCase() === 'none') {
    throw new IdentityError('algorithm', 'the token is not signed; get a new one from its issuer');
  }
  if (typ !== undefined && !(typeof typ === 'string' && acceptedTypes.has(typ.toLowerCase()))) {
    throw new IdentityError('type', `the token is of another sort (${quote(typ)}): an access token is needed`);
  }
  if (typeof iss !== 'string') throw new IdentityError('issuer', 'the token does not name its issuer ("iss")');

  const length = signatureLength(alg);
  if (signature.length < length) {
    throw cutOff(text, `its signature has ${signature.length} of at least ${length} characters`);
  }
  return { text, algorithm: alg, issuer: iss };
}

/** RFC 7519, 5.1 and RFC 9068, 2.1, with the prefix that RFC 7515, 4.1.9 lets leave out; the JWT-SVID specification, 2.3. */
const acceptedTypes = new Set(['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt', 'jose']);

function decode(part: string): Record<string, unknown> {
  try {
    const text = Buffer.from(part, 'base64url').toString('utf8');
    const value: unknown = JSON.parse(text);
    if (hasTwins(text))
      throw new IdentityError('malformed', 'the token says one thing twice: two names in it are the same');
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    if (error instanceof IdentityError) throw error;
    // Said below: what does not parse is as bad as what is no object.
  }
  throw new IdentityError('malformed', 'the token is damaged: a part of it cannot be decoded');
}

/** Whether an object in this JSON has one name twice: readers differ in which of the two counts (RFC 7519, 4). */
function hasTwins(json: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  let last = '';
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:]/gsu)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token !== ':') last = token;
    else {
      const names = open.at(-1);
      const name = JSON.parse(last) as string;
      if (names?.has(name) === true) return true;
      names?.add(name);
    }
  }
  return false;
}

/** The least characters that a signature has in base64url (RFC 7518, 3.1; RFC 8037). */
function signatureLength(algorithm: string): number {
  const bytes = { ES256: 64, EdDSA: 64, Ed25519: 64, ES384: 96, ES512: 132 }[algorithm];
  if (bytes !== undefined) return Math.ceil((bytes * 4) / 3);
  // RSA keys of less than 2048 bits are refused anyway.
  return /^[PR]S\d/u.test(algorithm) ? Math.ceil((256 * 4) / 3) : 0;
}

function cutOff(text: string, how: string): IdentityError {
  return new IdentityError('cut_off', `the token was cut off on its way here: ${how}.${lengthHint(text)}`);
}

/** Lengths at which clients are known to cut a password: libpq's old prompt 99, OpenSSH 1023, and other powers of two. */
const cuts = new Set([99, 127, 128, 255, 256, 511, 512, 1023, 1024, 2047, 2048, 4095, 4096]);

/** A sentence for tokens whose very length says that they were cut off; empty for the others. */
export function lengthHint(text: string): string {
  if (!cuts.has(text.length)) return '';
  return ` What arrived is exactly ${text.length} bytes long, a length at which some clients cut what is typed as a password: pass the token in a file or a variable instead`;
}

/** A value out of somebody's token, short and printable. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
  const printable = text.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?');
  return `"${printable.length > 100 ? `${printable.slice(0, 100)}…` : printable}"`;
}
