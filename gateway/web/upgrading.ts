import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/** A request that asks for another protocol, with its bare connection. */
export interface Upgrade {
  readonly socket: Duplex;
  /** What came behind the request already. */
  readonly head: Buffer;
}

/** For the other side to end the connection as well, before it is cut. */
const closing_ms_max = 5_000;

/** Ends a bare connection, of which nobody else takes care any more, with these as its last bytes. */
export function endSoon(socket: Duplex, last?: Buffer): void {
  // What was not read would hide its end, and it would never be closed.
  socket.resume();
  socket.end(last);
  const timer = setTimeout(() => socket.destroy(), closing_ms_max).unref();
  socket.once('close', () => clearTimeout(timer));
}

/**
 * An ordinary answer to a request that asked for another protocol (RFC 9110, 7.8), which a server hands over with its bare
 * connection. The connection ends with the answer: what the client sent behind its request is in a protocol that nobody reads.
 * Throws (ERR_HTTP_SOCKET_ASSIGNED) where an earlier request of the connection has no answer yet.
 */
export function answerOf(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // Of an HTTPS or HTTP server it is always a socket; the types say less.
  response.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
  response.once('finish', () => {
    response.detachSocket(socket as Parameters<ServerResponse['detachSocket']>[0]);
    endSoon(socket);
  });
  return response;
}
