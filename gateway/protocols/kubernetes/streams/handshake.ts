import type { IncomingMessage } from 'node:http';
import { RequestRefusal } from '../../../web/index.js';
import type { ResourceRequest } from '../request-info.js';

/** What a client asks for that wants a connection to a container or a pod. */

/** Channels in one WebSocket: exec and attach. The newest that both know is taken; v5 can end the input alone. */
const channelProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;

export type Handshake =
  | { readonly kind: 'websocket'; readonly protocols: readonly string[] }
  /** Older clients: frames that this gateway does not read, and so does not carry. */
  | { readonly kind: 'spdy' };

/** Throws RequestRefusal for what no API server would take, or what is not carried. */
export function readHandshake({ headers, method }: IncomingMessage, info: ResourceRequest): Handshake {
  const wanted = (headers.upgrade ?? '').toLowerCase();
  if (info.subresource !== 'exec' && info.subresource !== 'attach') throw notCarried(info);
  if (wanted === 'spdy/3.1') return { kind: 'spdy' };
  if (wanted !== 'websocket') throw new RequestRefusal(400, 'upgrade', 'the protocol that is asked for is not carried');
  const key = headers['sec-websocket-key'] ?? '';
  if (method !== 'GET' || headers['sec-websocket-version'] !== '13' || !/^[+/0-9A-Za-z]{22}==$/.test(key))
    throw new RequestRefusal(
      400,
      'websocket',
      'the WebSocket handshake is none (RFC 6455): a GET, version 13, with a key',
    );
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
  const protocols = channelProtocols.filter((name) => offered.includes(name));
  if (protocols.length === 0)
    throw new RequestRefusal(
      400,
      'channel_protocol',
      `the WebSocket has to offer ${channelProtocols.join(' or ')}: other forms are not carried`,
    );
  return { kind: 'websocket', protocols };
}

const notCarried = ({ resource, subresource }: ResourceRequest) =>
  new RequestRefusal(
    501,
    'streams',
    `connections to ${resource}/${subresource === '' ? '…' : subresource} are not carried by this gateway: nothing was sent to the cluster`,
  );

/** kubectl shows it, and it says what to do. */
export const spdyRefusal = new RequestRefusal(
  400,
  'spdy',
  'SPDY is not carried, as it could not be looked into: use kubectl 1.31 or later, or 1.29 with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true, which speak WebSocket',
);
