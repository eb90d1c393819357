import { Deliveries, type DeliveriesParts } from './deliveries.js';
import { IncomingHooks } from './incoming.js';
import { post, type Post } from './post.js';

/** Webhooks: what happens to requests is told to others, and people answer from where they are. */
export type { DeliveriesParts } from './deliveries.js';
export type { IncomingHooks } from './incoming.js';
export { HookError, signOwn, type HookProblem } from './signature.js';

export interface Hooks {
  readonly incoming: IncomingHooks;
  close(): Promise<void>;
}

export function openHooks(given: Omit<DeliveriesParts, 'post'> & { readonly post?: Post }): Hooks {
  const parts = { ...given, post: given.post ?? post };
  const deliveries = new Deliveries(parts);
  const incoming = new IncomingHooks(parts);
  return {
    incoming,
    async close() {
      await deliveries.close();
      await incoming.close();
    },
  };
}
