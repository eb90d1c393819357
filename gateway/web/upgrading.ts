import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * An ordinary answer to a request that asked for another protocol (RFC 9110, 7.8), which a server hands over with its bare
 * connection. The connection ends with the answer: what the client sent behind its request is in a protocol that nobody reads.
 */
export function answerOf(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // Of an HTTPS or HTTP server it is always a socket; the types say less.
  response.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
  response.once('finish', () => {
    response.detachSocket(socket as Parameters<ServerResponse['detachSocket']>[0]);
    socket.end();
  });
  return response;
}
