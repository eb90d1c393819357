import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Mount } from '../protocol.js';
import { answerOf, Connections } from '../web/index.js';

/**
 * Who answers a request: the mount whose prefix its target begins with, as it was sent; else the gates. Nothing is decoded to
 * find out, so "/%68ttp/" is no way to a mount, and nothing behind a mount is a way to a gate.
 *
 * @param gate_ms_max For a request to the gates to arrive whole.
 */
export function byPrefix(mounts: readonly Mount[], gates: RequestListener, gate_ms_max: number): RequestListener {
  const connections = new Connections();
  return (request: IncomingMessage, response: ServerResponse) => {
    if (!connections.serves(request.socket, response)) return;
    const mount = mountOf(mounts, request);
    if (mount !== undefined) {
      mount.serve(request, response);
      return;
    }
    if (!request.complete) {
      // What was answered before it came whole may never say that it is over: that holds up no end of the process.
      const timer = setTimeout(() => request.socket.destroy(), gate_ms_max).unref();
      const stop = () => clearTimeout(timer);
      request.once('end', stop);
      request.once('close', stop);
    }
    gates(request, response);
  };
}

/**
 * The same for requests that ask for another protocol. Where nobody speaks one, they are answered as if they had not asked
 * (RFC 9110, 7.8), without a body: what follows the request is not read.
 */
export function upgradeByPrefix(mounts: readonly Mount[], gates: RequestListener) {
  return (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // Whoever takes it sees its end by its close.
    socket.on('error', () => undefined);
    try {
      const mount = mountOf(mounts, request);
      if (mount?.upgrade !== undefined) return mount.upgrade(request, socket, head);
      const response = answerOf(request, socket);
      if (mount === undefined) gates(request, response);
      else mount.serve(request, response);
    } catch {
      // Sent behind a request that has no answer yet, it cannot be answered itself. Nobody catches what is thrown from here.
      socket.destroy();
    }
  };
}

const mountOf = (mounts: readonly Mount[], { url = '' }: IncomingMessage): Mount | undefined =>
  mounts.find(({ prefix }) => url.startsWith(prefix));
