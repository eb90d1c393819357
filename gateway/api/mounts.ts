import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Mount } from '../protocol.js';

/**
 * Who answers a request: the mount whose prefix its target begins with, as it was sent; else the gates. Nothing is decoded to
 * find out, so "/%68ttp/" is no way to a mount, and nothing behind a mount is a way to a gate.
 *
 * @param gate_ms_max For a request to the gates to arrive whole.
 */
export function byPrefix(mounts: readonly Mount[], gates: RequestListener, gate_ms_max: number): RequestListener {
  return (request: IncomingMessage, response: ServerResponse) => {
    const target = request.url ?? '';
    const mount = mounts.find(({ prefix }) => target.startsWith(prefix));
    if (mount !== undefined) {
      mount.serve(request, response);
      return;
    }
    if (!request.complete) {
      const timer = setTimeout(() => request.socket.destroy(), gate_ms_max);
      const stop = () => clearTimeout(timer);
      request.once('end', stop);
      request.once('close', stop);
    }
    gates(request, response);
  };
}
