import type { Principal } from '#engine';
import type { FastifyRequest } from 'fastify';
import { IdentityError } from '../errors.js';
import type { Client, Identity } from '../protocol.js';
import { clientOf } from './forms.js';
import { Problem } from './problem.js';
import { Rates } from './rates.js';

export type Role = 'administrator' | 'auditor' | 'publisher';

/** Who asks, after their token was verified. */
export interface Caller {
  readonly identity: Identity;
  readonly roles: ReadonlySet<Role>;
  /** How they came, for records: "cli", "api". */
  readonly through: string;
  readonly client: Client;
}

/** Groups whose members have a role, wherever their tokens come from. */
export interface RoleGroups {
  readonly administrators: readonly string[];
  readonly auditors: readonly string[];
  /** Who may publish what replays found, and see nothing for that. */
  readonly publishers?: readonly string[];
}

export interface CallerOptions {
  identify(token: string, client: Client): Promise<Identity>;
  readonly roles: RoleGroups;
  readonly now: () => number;
}

/** From one address, tokens that were refused: so many at once, and one every few seconds. */
const refused_burst = 30;
const refused_perSecond = 0.5;

/** An administrator may see whatever an auditor may. */
export function rolesOf(
  { groups }: Principal,
  { administrators, auditors, publishers = [] }: RoleGroups,
): ReadonlySet<Role> {
  const roles = new Set<Role>();
  if (groups.some((group) => administrators.includes(group)))
    roles.add('administrator').add('auditor').add('publisher');
  if (groups.some((group) => auditors.includes(group))) roles.add('auditor');
  if (groups.some((group) => publishers.includes(group))) roles.add('publisher');
  return roles;
}

/** Finds out who asks, by bearer token (RFC 6750), never by a cookie; throws where nobody is signed in. */
export function callers(options: CallerOptions): (request: FastifyRequest) => Promise<Caller> {
  const refused = new Rates({ burst: refused_burst, perSecond: refused_perSecond, now: options.now });
  return async (request) => {
    const { authorization } = request.headers;
    const client = clientOf(request);
    if (authorization === undefined) throw nobody();
    if (!refused.has(client.address)) {
      throw new Problem(429, 'too_many', 'too many tokens from this address were refused; try again later', {
        'retry-after': '10',
      });
    }
    const token = /^Bearer +([^\s]+) *$/iu.exec(authorization)?.[1];
    try {
      if (token === undefined) throw new IdentityError('scheme', 'send the token as "Authorization: Bearer …"');
      const identity = await options.identify(token, client);
      if (identity.target !== undefined) {
        throw new IdentityError('audience', `this is for the target "${identity.target}" alone, and not for the API`);
      }
      const through = request.headers['sallyport-client'] === 'cli' ? 'cli' : 'api';
      return { identity, roles: rolesOf(identity.principal, options.roles), through, client };
    } catch (error) {
      if (error instanceof IdentityError) refused.take(client.address);
      throw error;
    }
  };
}

/** Whoever has something for one target, or came through the console, gets no further tokens and tickets here. */
export function demandWhole({ identity, through }: Caller): void {
  if (identity.target !== undefined || through === 'console') {
    throw new Problem(
      403,
      'not_a_token',
      'tokens and tickets are made from a token of an issuer, sent with the request',
    );
  }
}

const nobody = () =>
  new Problem(401, 'no_token', 'nobody is signed in: send a token as "Authorization: Bearer …"', {
    'www-authenticate': 'Bearer',
  });

export function demand(caller: Caller, role: Role): void {
  if (!caller.roles.has(role)) {
    throw new Problem(
      403,
      `not_${role}`,
      `only ${role}s may do this: a group of yours has to stand in console.${role}s`,
    );
  }
}
