import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { ClientGone } from '../../../web/index.js';
import { message_bytes_max } from './dial.js';

/** A request that asks for another protocol, with its bare connection. */
export interface Upgrade {
  readonly socket: Duplex;
  /** What came behind the request already. */
  readonly head: Buffer;
}

/** Answers the client's handshake, once the API server has answered the gateway's. Throws ClientGone. */
export function accept(
  request: IncomingMessage,
  response: ServerResponse,
  { socket, head }: Upgrade,
  protocol: string,
): Promise<WebSocket> {
  response.detachSocket(socket as Parameters<ServerResponse['detachSocket']>[0]);
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: message_bytes_max,
    handleProtocols: () => protocol,
  });
  return new Promise((resolve, reject) => {
    const gone = () => reject(new ClientGone());
    socket.once('close', gone);
    server.handleUpgrade(request, socket, head, (client) => {
      socket.off('close', gone);
      resolve(client);
    });
  });
}
