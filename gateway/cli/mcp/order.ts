import type { Reachable } from '../../api/targets.js';
import type { GatewayPlace } from '../api/address.js';
import type { ApiClient } from '../api/client.js';
import type { Json, Outcome } from './outcome.js';
import type { SaidPrompt } from './prompt.js';

/** One operation that an agent asks for. It goes through the gateway's ordinary listener, by an ordinary client. */
export interface Order {
  readonly arguments: Json;
  readonly target: Reachable;
  readonly place: GatewayPlace;
  readonly token: string;
  readonly api: ApiClient;
  readonly prompt: SaidPrompt;
  /** Aborted where nobody waits for it any more. */
  readonly signal: AbortSignal;
  /** People were asked: says in which words. May be called again. */
  readonly waiting: (said: string, details: Json) => void;
}

/** Never rejects for what a gateway or a target says; for what cannot be asked at all with a GatewayError. */
export type Execute = (order: Order) => Promise<Outcome>;

/** The host of a listener: the one that the API was asked at. */
export const hostOf = ({ url }: GatewayPlace): string => new URL(url).hostname.replace(/^\[|\]$/gu, '');

export const textOf = (args: Json, name: string): string => args[name] as string;
