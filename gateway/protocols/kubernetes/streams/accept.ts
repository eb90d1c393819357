import type { IncomingMessage, ServerResponse } from 'node:http';
import { WebSocketServer, type WebSocket } from 'ws';
import { ClientGone, type Upgrade } from '../../../web/index.js';
import { closing, message_bytes_max } from './dial.js';

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
    ...closing,
  });
  // Not every name of a protocol is a token (RFC 6455, 4.1), and the library takes nothing else.
  delete request.headers['sec-websocket-protocol'];
  server.once('headers', (lines: string[]) => lines.push(`Sec-WebSocket-Protocol: ${protocol}`));
  return new Promise((resolve, reject) => {
    const gone = () => reject(new ClientGone());
    socket.once('close', gone);
    server.handleUpgrade(request, socket, head, (client) => {
      socket.off('close', gone);
      resolve(client);
    });
  });
}
