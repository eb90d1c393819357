import { Deliveries, type DeliveriesParts } from './deliveries.js';
import { post } from './post.js';

/** Webhooks: what happens to requests is told to others, and people answer from where they are. */
export type { DeliveriesParts } from './deliveries.js';

export interface Hooks {
  close(): Promise<void>;
}

export function openHooks(parts: Omit<DeliveriesParts, 'post'>): Hooks {
  const deliveries = new Deliveries({ ...parts, post });
  return { close: () => deliveries.close() };
}
