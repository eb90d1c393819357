import type { WebSocket } from 'ws';
import type { Decision } from '#engine';
import type { Kinds } from '../../../content/index.js';
import type { Recording, Result } from '../../../protocol.js';
import type { Problem } from '../../../web/index.js';
import type { KubernetesRequest } from '../codec.js';
import type { Handshake } from './handshake.js';
import { PortsRelay } from './ports.js';
import { ChannelRelay } from './relay.js';
import { Tunnel, type TunnelOptions } from './tunnel.js';

/** A request that has become a stream: the client's connection joined with the API server's. */
export interface Joined {
  /** How it ended; never rejects. */
  readonly done: Promise<Result>;
  /** Ends it from outside, and says why in the words of its protocol. */
  stop(problem: Problem, result: Pick<Result, 'status' | 'code'>): void;
}

export interface Joining extends Pick<TunnelOptions, 'connect' | 'refusal'> {
  readonly client: WebSocket;
  readonly upstream: WebSocket;
  readonly protocol: string;
  readonly form: Extract<Handshake, { kind: 'websocket' }>['form'];
  readonly request: KubernetesRequest;
  readonly decision: Decision;
  readonly kinds: Kinds;
  /** Of a command: what it goes into, and whether that has its input. */
  readonly recording: Recording | undefined;
  readonly opaque: boolean;
}

/** Both sockets are listened to when it returns. */
export function join({
  client,
  upstream,
  protocol,
  form,
  request,
  decision,
  kinds,
  recording,
  opaque,
  connect,
  refusal,
}: Joining): Joined {
  const bytes_max = decision.limits.bytes;
  switch (form) {
    case 'tunnel':
      return new Tunnel({ client, upstream, bytes_max, exceeded: limited, connect, refusal });
    case 'ports':
      return new PortsRelay({ client, upstream, ports: request.ports?.length ?? 0, bytes_max, exceeded: limited });
    case 'command':
      return new ChannelRelay({
        client,
        upstream,
        protocol,
        kinds,
        terminal: request.running?.terminal === true,
        recording,
        opaque,
        bytes_max,
        exceeded: () => limited('bytes', bytes_max ?? 0),
      });
  }
}

export const limited = (limit: 'bytes' | 'seconds', amount: number): Problem => ({
  status: 403,
  code: 'limit_exceeded',
  title: 'Stopped by policy',
  detail: `stopped by policy: more than ${amount} ${limit}`,
});
