import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Of one connection: each request that waits for the answers before it (RFC 9112, 9.3.2) takes memory, and is run already. */
const unanswered_max = 64;

interface Connection {
  readonly unanswered: Set<ServerResponse>;
  /** An answer said that it is over. */
  over: boolean;
  /** Requests that came behind such an answer. Each takes memory all the same, until the answers before it are sent. */
  behind: number;
}

/** What connections have asked and were not answered yet, of all requests of a server. */
export class Connections {
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
