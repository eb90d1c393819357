import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Result, Services, SigningAuthority } from '../../../protocol.js';
import { Connections, ConnectionSessions, securedBy } from '../../../web/index.js';
import { httpTargets } from '../exchange.js';
import { InterceptedExchange, type Insider } from './intercepted.js';
import { Leaves } from './leaves.js';

/**
 * The inside of tunnels that the proxy looks into: TLS ends here, with a certificate for the host that the client asked for, and each
 * request is an exchange as below /http/.
 */

const header_bytes_max = 32_768;

/** How long clients may take. */
export interface Patience {
  readonly handshake_ms: number;
  /** For the head of a request, for all of it, and between two. */
  readonly head_ms: number;
  readonly request_ms: number;
  readonly idle_ms: number;
}

/** How often the authority's files are looked at. */
const look_ms = 1_000;

const usual: Patience = { handshake_ms: 15_000, head_ms: 30_000, request_ms: 600_000, idle_ms: 60_000 };

export class Interception {
  #leaves: Leaves;
  #looking: NodeJS.Timeout | undefined;
  readonly #server: Server;
  readonly #targets = httpTargets();
  readonly #insiders = new WeakMap<Socket, Insider>();
  readonly #exchanges = new Set<InterceptedExchange>();
  readonly #handshake_ms: number;

  /** Throws ConfigError for an authority that cannot sign. */
  constructor(services: Services, authority: SigningAuthority, patience = usual) {
    const { handshake_ms, head_ms, request_ms, idle_ms } = patience;
    this.#handshake_ms = handshake_ms;
    this.#leaves = new Leaves(authority);
    if (authority.renewed !== undefined) this.#look(authority, services);
    const parts = { services, sessions: new ConnectionSessions(), targets: this.#targets };
    const connections = new Connections();
    this.#server = createServer(
      {
        ...{ maxHeaderSize: header_bytes_max, headersTimeout: head_ms, requestTimeout: request_ms },
        ...{ keepAliveTimeout: idle_ms, connectionsCheckingInterval: head_ms / 2 },
      },
      (request: IncomingMessage, response: ServerResponse) => {
        const insider = this.#insiders.get(request.socket);
        if (insider === undefined) request.socket.destroy();
        else if (connections.serves(request.socket, response)) {
          const one = new InterceptedExchange(request, response, { ...parts, insider });
          this.#exchanges.add(one);
          void one.run().finally(() => this.#exchanges.delete(one));
        }
      },
    );
    // It never listens: its connections are handed to it. With this event Node begins to look at how long requests take.
    this.#server.emit('listening');
  }

  /** Before anybody is told that a tunnel stands. Rejects with a RequestRefusal where the host cannot be stood in for. */
  async prepare(host: string): Promise<void> {
    await this.#leaves.contextFor(host);
  }

  /**
   * Serves one tunnel until it is over. The client has been told that it stands, and nothing of what it sent since was read.
   *
   * @param signal Its session ended, or its time is over.
   */
  async serve(socket: Socket, insider: Insider, signal: AbortSignal): Promise<Result> {
    const secureContext = await this.#leaves.contextFor(insider.place.host);
    // Who left while the certificate was made is not waited for: TLS upon a closed connection never says that it is closed.
    if (signal.aborted || socket.destroyed) {
      socket.destroy();
      return { status: 'cancelled', bytes: 0, sent_bytes: 0 };
    }
    const inner = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
    securedBy(socket, inner);
    const cut = () => socket.destroy();
    signal.addEventListener('abort', cut, { once: true });
    const timer = setTimeout(cut, this.#handshake_ms);
    let secured = false;
    inner.on('error', () => undefined);
    inner.once('secure', () => {
      secured = true;
      clearTimeout(timer);
      this.#insiders.set(inner, insider);
      this.#server.emit('connection', inner);
    });
    try {
      if (!inner.destroyed) await once(inner, 'close').catch(() => undefined);
      const counts = { bytes: inner.bytesWritten, sent_bytes: inner.bytesRead };
      // The signal also says that the connection is over; where one side has said all before, nobody broke it off.
      const whole = inner.readableEnded || inner.writableFinished;
      if (signal.aborted && !whole) return { status: 'cancelled', ...counts };
      return secured ? { status: 'ok', ...counts } : { status: 'error', ...counts, code: 'tls_refused' };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', cut);
    }
  }

  /** Whether the operator has put another authority there: what is shown from then on is signed by that. */
  #look(authority: SigningAuthority, services: Services): void {
    const renew = async (): Promise<void> => {
      try {
        const other = await authority.renewed?.();
        if (other === undefined) return;
        this.#leaves = new Leaves(other);
        services.log.info('egress: another authority stands in for hosts from now on');
      } catch (error) {
        services.log.error(
          { why: (error as Error).message },
          'egress: the new authority cannot be used; the old one goes on',
        );
      }
    };
    this.#looking = setTimeout(() => void renew().finally(() => this.#looking?.refresh()), look_ms).unref();
  }

  close(): void {
    clearTimeout(this.#looking);
    this.#looking = undefined;
    for (const one of this.#exchanges) one.stop();
    this.#server.closeAllConnections();
    this.#server.close(() => undefined);
    this.#targets.close();
  }
}
