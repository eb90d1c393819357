import type { IncomingMessage } from 'node:http';
import { RequestRefusal } from '../../../web/index.js';
import type { KubernetesRequest } from '../codec.js';
import type { RequestInfo } from '../request-info.js';

/** What a client asks for that wants a connection to a container or a pod. */

/** Channels in one WebSocket: exec and attach. The newest that both know is taken; v5 can end the input alone. */
const channelProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;
/** port-forward: SPDY's streams inside of a WebSocket, each with the port that it is for. */
const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
/** The same in channels, where the request names all ports. */
const portsProtocol = 'v4.channel.k8s.io';

export type Handshake =
  | {
      readonly kind: 'websocket';
      readonly form: 'command' | 'tunnel' | 'ports';
      readonly protocols: readonly string[];
    }
  /** Older clients: frames on the bare connection, which this gateway does not read, and so does not carry. */
  | { readonly kind: 'spdy' };

type Form = Extract<Handshake, { kind: 'websocket' }>['form'];

/** Throws RequestRefusal for what no API server would take, or what is not carried. */
export function readHandshake({ headers, method }: IncomingMessage, request: KubernetesRequest): Handshake {
  const { info } = request;
  const wanted = (headers.upgrade ?? '').toLowerCase();
  if (!info.isResource || !carried.has(info.subresource) || info.verb === 'proxy') throw notCarried(info);
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
  const known = knownProtocols(info.subresource === 'portforward', request.ports !== undefined);
  const first = known.find(({ name }) => offered.includes(name));
  if (first === undefined)
    throw new RequestRefusal(
      400,
      'channel_protocol',
      `the WebSocket has to offer ${known.map(({ name }) => name).join(' or ')}: other forms are not carried`,
    );
  const protocols = known.filter(({ name, form }) => form === first.form && offered.includes(name));
  return { kind: 'websocket', form: first.form, protocols: protocols.map(({ name }) => name) };
}

const carried: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward']);

/** In the order in which they are taken. */
function knownProtocols(forwards: boolean, ports: boolean): readonly { readonly name: string; readonly form: Form }[] {
  if (!forwards) return channelProtocols.map((name) => ({ name, form: 'command' }));
  return [
    { name: tunnelProtocol, form: 'tunnel' },
    ...(ports ? [{ name: portsProtocol, form: 'ports' as const }] : []),
  ];
}

function notCarried(info: RequestInfo): RequestRefusal {
  const { resource, subresource, verb } = info.isResource ? info : { resource: info.path, subresource: '', verb: '' };
  const what =
    verb === 'proxy' ? `${resource} through proxy` : subresource === '' ? resource : `${resource}/${subresource}`;
  return new RequestRefusal(
    501,
    'streams',
    `connections to ${what} are not carried by this gateway: nothing was sent to the cluster`,
  );
}

/** kubectl shows it, and it says what to do. */
export function spdyRefusal({ info }: KubernetesRequest): RequestRefusal {
  const forwards = info.isResource && info.subresource === 'portforward';
  const older = forwards
    ? '1.30 with KUBECTL_PORT_FORWARD_WEBSOCKETS=true'
    : '1.29 with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true';
  return new RequestRefusal(
    400,
    'spdy',
    `SPDY is not carried, as it could not be looked into: use kubectl 1.31 or later, or ${older}, which speak WebSocket`,
  );
}
