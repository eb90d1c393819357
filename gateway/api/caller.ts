import type { Principal } from '#engine';
import type { FastifyRequest } from 'fastify';
import { IdentityError } from '../errors.js';
import type { Client, Identity } from '../protocol.js';
import { addressOf, Problem } from './problem.js';
import { Rates } from './rates.js';

export type Role = 'administrator' | 'auditor';

/** Who asks, after their token was verified. */
export interface Caller {
  readonly identity: Identity;
  readonly roles: ReadonlySet<Role>;
  /** How they came, for records: "console", "cli", "api". */
  readonly through: string;
  readonly client: Client;
  /** Of a console session: what every change has to repeat. */
  readonly csrf?: string;
}

/** Groups whose members have a role, wherever their tokens come from. */
export interface RoleGroups {
  readonly administrators: readonly string[];
  readonly auditors: readonly string[];
}

/** A person who signed in at the console, as their cookie says. */
export interface ConsoleSession {
  readonly identity: Identity;
  readonly csrf: string;
}

export interface CallerOptions {
  identify(token: string, client: Client): Promise<Identity>;
  /** The session behind the request's cookie; undefined where there is none. */
  readonly cookieSession?: (request: FastifyRequest) => ConsoleSession | undefined;
  readonly roles: RoleGroups;
  readonly now: () => number;
}

/** From one address, tokens that were refused: so many at once, and one every few seconds. */
const refused_burst = 30;
const refused_perSecond = 0.5;

/** An administrator may see whatever an auditor may. */
export function rolesOf({ groups }: Principal, { administrators, auditors }: RoleGroups): ReadonlySet<Role> {
  const roles = new Set<Role>();
  if (groups.some((group) => administrators.includes(group))) roles.add('administrator').add('auditor');
  if (groups.some((group) => auditors.includes(group))) roles.add('auditor');
  return roles;
}

/** Finds out who asks, by bearer token (RFC 6750) or by the console's cookie; throws where nobody is signed in. */
export function callers(options: CallerOptions): (request: FastifyRequest) => Promise<Caller> {
  const refused = new Rates({ burst: refused_burst, perSecond: refused_perSecond, now: options.now });
  return async (request) => {
    const { authorization } = request.headers;
    const client: Client = { address: addressOf(request), port: request.socket.remotePort ?? 0, confidential: true };
    if (authorization === undefined) {
      const session = options.cookieSession?.(request);
      if (session === undefined || session.identity.expires_ms <= options.now()) throw nobody();
      forbidForgery(request, session.csrf);
      const { identity, csrf } = session;
      return { identity, roles: rolesOf(identity.principal, options.roles), through: 'console', client, csrf };
    }
    if (!refused.has(client.address)) {
      throw new Problem(429, 'too_many', 'too many tokens from this address were refused; try again later', {
        'retry-after': '10',
      });
    }
    const token = /^Bearer +([^\s]+) *$/iu.exec(authorization)?.[1];
    try {
      if (token === undefined) throw new IdentityError('scheme', 'send the token as "Authorization: Bearer …"');
      const identity = await options.identify(token, client);
      const through = request.headers['sallyport-client'] === 'cli' ? 'cli' : 'api';
      return { identity, roles: rolesOf(identity.principal, options.roles), through, client };
    } catch (error) {
      if (error instanceof IdentityError) refused.take(client.address);
      throw error;
    }
  };
}

const nobody = () =>
  new Problem(401, 'no_token', 'nobody is signed in: send a token as "Authorization: Bearer …"', {
    'www-authenticate': 'Bearer',
  });

/**
 * A browser sends a cookie along whoever makes it ask. What another site can make it do is refused: requests that say they
 * come from elsewhere, and every change that does not repeat the session's own secret.
 */
function forbidForgery(request: FastifyRequest, csrf: string): void {
  const { origin, host } = request.headers;
  const site = request.headers['sec-fetch-site'];
  const elsewhere =
    (site !== undefined && site !== 'same-origin') || (origin !== undefined && origin !== `https://${host ?? ''}`);
  if (elsewhere) throw new Problem(403, 'cross_origin', 'the console is used from its own pages only');
  if (request.method === 'GET' || request.method === 'HEAD') return;
  if (!equal(request.headers['sallyport-csrf'], csrf)) {
    throw new Problem(403, 'csrf', 'the request does not carry the secret of its session; load the page again');
  }
}

const equal = (given: string | string[] | undefined, wanted: string) =>
  typeof given === 'string' && given.length === wanted.length && timingSafe(given, wanted);

function timingSafe(a: string, b: string): boolean {
  let difference = 0;
  for (let index = 0; index < b.length; index += 1) difference |= a.charCodeAt(index) ^ b.charCodeAt(index);
  return difference === 0;
}

export function demand(caller: Caller, role: Role): void {
  if (!caller.roles.has(role)) {
    throw new Problem(
      403,
      `not_${role}`,
      `only ${role}s may do this: a group of yours has to stand in console.${role}s`,
    );
  }
}
