import { needed, type ApiParts } from './parts.js';
import { notFound, Problem } from './problem.js';
import { Rates } from './rates.js';
import type { App } from './server.js';

/** Where a target is reached through this gateway, for whoever knows its name; lists have those that policy lets one begin with. */
export interface Reachable {
  readonly name: string;
  readonly protocol: string;
  /** On the host that the API was asked at; absent where the target's protocol is not listened for, or it is none that one connects to. */
  readonly port?: number;
  /** Where it is reached through the API's own listener; then there is no port. */
  readonly path?: string;
  /** Whether the listener speaks TLS. */
  readonly tls: boolean;
  /** What an SSH client has to find there: told over TLS, so that nobody has to believe a key at first sight. */
  readonly host_keys?: readonly string[];
  /** Who vouches for such keys: for a line of known_hosts that begins with @cert-authority. */
  readonly host_authority?: string;
}

/** Lists for one person: policy decides on each target there is, and everybody else waits meanwhile. */
const lists_burst = 60;
const lists_perSecond = 3;

export function targetRoutes(app: App, { reachable, foresight, now }: ApiParts): void {
  const lists = new Rates({ burst: lists_burst, perSecond: lists_perSecond, now });

  app.get('/targets', async ({ caller }) => {
    const { issuer, subject } = caller.identity.principal;
    if (!lists.take(JSON.stringify([issuer, subject])))
      throw new Problem(429, 'too_many', 'too many lists of targets; ask again in a moment', { 'retry-after': '1' });
    const names = needed(foresight, 'lists of targets')
      .offered(caller)
      .map(({ input }) => input.name);
    return { targets: names.flatMap((name) => reachable?.(name) ?? []) };
  });

  app.get<{ Params: { name: string } }>('/targets/:name', async ({ params }) => {
    const found = reachable?.(params.name);
    if (found === undefined) throw notFound('target');
    return found;
  });
}
