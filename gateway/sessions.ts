import type { Input, Principal, Prompt, TargetInput } from '#engine';
import type { Identity } from './protocol.js';

/** What is connected now, on whichever replica, and the switch that ends it. */
export interface Sessions {
  /** Rejects with StateError where other replicas cannot be asked. */
  list(): Promise<readonly LiveSession[]>;
  /** Ends every session that fits all that is given, with its running statements. Recorded before it takes effect. */
  kill(query: KillQuery, who: Identity, why?: string): Promise<KillAnswer>;
}

export interface LiveSession {
  readonly id: string;
  readonly started_ms: number;
  readonly principal: Principal;
  readonly target: TargetInput;
  readonly client: Input['session']['client'];
  readonly prompt?: Prompt;
  readonly rows: number;
  /** The request that it waits for, where it waits. */
  readonly waiting?: string;
}

/** At least one is given. Names are compared exactly. */
export interface KillQuery {
  readonly session?: string;
  readonly subject?: string;
  readonly issuer?: string;
  readonly purpose?: string;
  /** The prompt's id or trace. */
  readonly prompt?: string;
  readonly target?: string;
}

export interface KillAnswer {
  /** Sessions that were ended. */
  readonly killed: number;
}
