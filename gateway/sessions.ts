import type { Input, Principal, Prompt, TargetInput } from '#engine';
import type { Identity } from './protocol.js';

/** What is connected to this gateway and those that share its state, and the switch that ends it. */
export interface Sessions {
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
  /** Of several gateways over one state: whose it is. */
  readonly gateway?: string;
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
  /** Sessions that were ended, as far as gateways have said so. */
  readonly killed: number;
  /**
   * Gateways that have not said within a second that they have carried it out; "all": the state is out of reach, and they hear of it when it is
   * back. Absent: all have.
   */
  readonly unreached?: readonly string[] | 'all';
}

/** A query that names nothing fits nothing. */
export function fits(session: LiveSession, query: KillQuery): boolean {
  const { principal, prompt } = session;
  const values: Readonly<Record<keyof KillQuery, readonly (string | undefined)[]>> = {
    session: [session.id],
    subject: [principal.subject],
    issuer: [principal.issuer],
    purpose: [principal.purpose],
    prompt: [prompt?.id, prompt?.trace],
    target: [session.target.name],
  };
  const named = Object.entries(query).filter(([, value]) => value !== undefined) as [keyof KillQuery, string][];
  return named.length > 0 && named.every(([key, value]) => values[key].includes(value));
}
