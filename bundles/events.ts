import type { Problem } from './error.js';
import type { Commit } from './snapshot.js';
import type { Activation, OrderedHow } from './status.js';

/** What the keeper says, to whoever logs: pino's shape. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type PolicyEvent =
  | {
      readonly type: 'activated';
      readonly revision: string;
      readonly previous?: string;
      readonly how: Activation['how'];
      readonly commit?: Commit;
      readonly duration_ms: number;
      readonly commit_to_force_ms?: number;
    }
  | {
      readonly type: 'refused';
      readonly revision?: string;
      readonly error: string;
      readonly problems: readonly Problem[];
      readonly in_force?: string;
    }
  | { readonly type: OrderedHow; readonly revision: string; readonly from: string; readonly blocked: string }
  | { readonly type: 'unpinned'; readonly revision: string };
