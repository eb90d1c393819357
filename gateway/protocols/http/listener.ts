import type { Mount, Services } from '../../protocol.js';
import { mountOf } from '../../web/index.js';
import type { HttpUpstream } from './config.js';
import { HttpExchange, httpTargets } from './exchange.js';

/** `https://gateway/http/TARGET/…`: each request is one operation, from its first byte to its answer's last. */

export function reverseGate(services: Services): Mount {
  const targets = httpTargets();
  const mount = mountOf(
    '/http/',
    services,
    (request, response, parts) => new HttpExchange(request, response, { ...parts, targets }),
    () => targets.close(),
  );
  return { ...mount, reaches: ({ upstream }) => (upstream as HttpUpstream | undefined)?.reverse !== false };
}
