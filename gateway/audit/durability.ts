import type { Action } from '#engine';
import type { Durability } from '../config/index.js';

/** Actions that change nothing outside their own session; the record of one may follow a moment later. */
const harmless: ReadonlySet<Action> = new Set(['connect', 'session', 'read']);

/** Whether the record of an operation has to be on disk before the operation goes on. */
export function mustBeOnDisk(durability: Durability, action: Action): boolean {
  switch (durability) {
    case 'disk':
      return true;
    case 'memory':
      return false;
    case 'by_action':
      return !harmless.has(action);
  }
}
