import type { FastifyReply, FastifyRequest } from 'fastify';

/**
 * Cookies of the console. `__Host-` (RFC 6265bis, 4.1.3.2) makes browsers take them from this host alone, over TLS, for
 * all its paths: no neighbour under the same domain can plant one.
 */
export const sessionCookie = '__Host-sallyport';
export const signInCookie = '__Host-sallyport-sign-in';

/** Longer values were not made here. */
const value_chars_max = 128;

export function readCookie(request: FastifyRequest, name: string): string | undefined {
  const found = (request.headers.cookie ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  // Two of one name were not both set here: neither is believed.
  const [value, ...others] = found;
  return value === undefined || others.length > 0 || value.length > value_chars_max ? undefined : value;
}

export interface CookieTerms {
  /** Lax where it has to come along when another site sends its reader here; Strict for everything else. */
  readonly sameSite: 'Strict' | 'Lax';
  /** Seconds from now. */
  readonly age_s: number;
}

export function setCookie(reply: FastifyReply, name: string, value: string, { sameSite, age_s }: CookieTerms): void {
  const age = String(Math.max(0, Math.floor(age_s)));
  void reply.header('set-cookie', `${name}=${value}; Path=/; Max-Age=${age}; Secure; HttpOnly; SameSite=${sameSite}`);
}

export const dropCookie = (reply: FastifyReply, name: string): void =>
  setCookie(reply, name, '', { sameSite: 'Strict', age_s: 0 });
