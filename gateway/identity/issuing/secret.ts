import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  pbkdf2,
  randomBytes,
  randomInt,
} from 'node:crypto';
import { promisify } from 'node:util';
import { IdentityError } from '../../errors.js';

/**
 * The form of tickets, and what is kept of their secrets.
 *
 *     spt_ 16 letters and digits _ 40 letters and digits
 *     └───── id ───────────────┘   └──── secret ──────┘
 *
 * 61 characters, so that no client cuts it off, in an alphabet that no shell, URL or user name has to quote. The id is no
 * secret; the secret has 238 bits.
 */
export interface TicketText {
  readonly id: string;
  readonly secret: string;
}

const prefix = 'spt_';
const id_length = 16;
const secret_length = 40;
const ticket_length = prefix.length + id_length + 1 + secret_length;
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';

export function newTicket(): TicketText {
  const pick = (alphabet: string, length: number) =>
    Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');
  return {
    id: prefix + pick(letters, id_length),
    secret: pick(letters + letters.slice(0, 26).toUpperCase(), secret_length),
  };
}

export const isTicketId = (text: string): boolean => /^spt_[a-z0-9]{16}$/u.test(text);

/** Whether it was meant to be a ticket, or a part of one. No token begins so. */
export const looksLikeTicket = (text: string): boolean => text.trimStart().startsWith(prefix);

/** @throws IdentityError for what is no whole ticket, with a message for the person who signs in. */
export function readTicket(given: string): TicketText {
  const text = given.trim();
  const [, id, secret] = /^(spt_[a-z0-9]{16})_([A-Za-z0-9]{40})$/u.exec(text) ?? [];
  if (id !== undefined && secret !== undefined) return { id, secret };
  if (text.length < ticket_length) {
    throw new IdentityError(
      'cut_off',
      `the ticket was cut off on its way here: it has ${text.length} of ${ticket_length} characters`,
    );
  }
  throw new IdentityError(
    'malformed',
    `the ticket is damaged: it is not ${ticket_length} letters and digits in three parts`,
  );
}

/** What SCRAM-SHA-256 checks a password against (RFC 5803); base64. */
export interface Verifier {
  readonly salt: string;
  readonly iterations: number;
  readonly stored_key: string;
  readonly server_key: string;
}

/** The least that clients accept (RFC 7677, 4). More would not make 238 bits harder to guess. */
const iterations = 4096;
const derive = promisify(pbkdf2);
const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();

export async function verifierOf(secret: string): Promise<{ verifier: Verifier; clientKey: Buffer }> {
  const salt = randomBytes(16);
  const salted = await derive(secret, salt, iterations, 32, 'sha256');
  const clientKey = hmac(salted, 'Client Key');
  const verifier = {
    salt: salt.toString('base64'),
    iterations,
    stored_key: createHash('sha256').update(clientKey).digest('base64'),
    server_key: hmac(salted, 'Server Key').toString('base64'),
  };
  return { verifier, clientKey };
}

export async function clientKeyOf(secret: string, { salt, iterations: rounds }: Verifier): Promise<Buffer> {
  return hmac(await derive(secret, Buffer.from(salt, 'base64'), rounds, 32, 'sha256'), 'Client Key');
}

/** For an id that nobody has: the same at each attempt, as a real one would be, and good for no password. */
export function verifierOfNobody(id: string, key: Buffer): Verifier {
  const made = (what: string) => hmac(key, `${what} ${id}`);
  return {
    salt: made('salt').subarray(0, 16).toString('base64'),
    iterations,
    stored_key: made('stored').toString('base64'),
    server_key: made('server').toString('base64'),
  };
}

/** AES-256-GCM under a key that comes out of the secret alone, bound to the ticket's id: [nonce 12][tag 16][ciphertext], base64. */
export function seal(text: string, clientKey: Buffer, id: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', sealingKey(clientKey), nonce).setAAD(Buffer.from(id));
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64');
}

/** Undefined where key, id or text are not those that it was sealed with. */
export function unseal(sealed: string, clientKey: Buffer, id: string): string | undefined {
  const bytes = Buffer.from(sealed, 'base64');
  try {
    const cipher = createDecipheriv('aes-256-gcm', sealingKey(clientKey), bytes.subarray(0, 12), { authTagLength: 16 });
    cipher.setAAD(Buffer.from(id)).setAuthTag(bytes.subarray(12, 28));
    return cipher.update(bytes.subarray(28), undefined, 'utf8') + cipher.final('utf8');
  } catch {
    return undefined;
  }
}

const sealingKey = (clientKey: Buffer) => Buffer.from(hkdfSync('sha256', clientKey, '', 'sallyport ticket', 32));
