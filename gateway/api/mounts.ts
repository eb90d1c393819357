import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Mount } from '../protocol.js';
import { answerOf } from '../web/index.js';

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

/** Of one connection: each request that waits for the answers before it (RFC 9112, 9.3.2) takes memory, and is run already. */
const unanswered_max = 64;

interface Connection {
  readonly unanswered: Set<ServerResponse>;
  /** An answer said that it is over. */
  over: boolean;
  /** Requests that came behind such an answer. Each takes memory all the same, until the answers before it are sent. */
  behind: number;
}

/** What connections have asked and were not answered yet. */
class Connections {
  readonly #known = new WeakMap<Socket, Connection>();

  /**
   * Whether this request is to be served. Behind an answer that ends the connection none is (RFC 9112, 9.6): it would be run, and
   * its client not told. Who asks for more than waits is cut off.
   */
  serves(socket: Socket, response: ServerResponse): boolean {
    const connection = this.#of(socket);
    const { unanswered } = connection;
    const over = connection.over || [...unanswered].some((one) => !one.shouldKeepAlive);
    if (over) connection.behind += 1;
    if (unanswered.size + connection.behind >= unanswered_max) {
      socket.destroy();
      return false;
    }
    if (over) return false;
    unanswered.add(response);
    response.once('close', () => {
      unanswered.delete(response);
      connection.over ||= !response.shouldKeepAlive;
    });
    return true;
  }

  #of(socket: Socket): Connection {
    const known = this.#known.get(socket);
    if (known !== undefined) return known;
    const made: Connection = { unanswered: new Set(), over: false, behind: 0 };
    this.#known.set(socket, made);
    socket.once('close', () => closeQueued(made.unanswered));
    return made;
  }
}

/**
 * An answer that waits for others before it has no connection yet, and Node tells it nothing when that closes: whoever makes it would
 * wait for ever to be read, with all it holds open elsewhere.
 */
function closeQueued(unanswered: ReadonlySet<ServerResponse>): void {
  for (const response of [...unanswered]) {
    if (response.socket !== null || response.closed) continue;
    response.destroy();
    response.emit('close');
  }
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
