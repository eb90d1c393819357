import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { UpstreamError } from '../../../errors.js';
import { concealIn, type Origin, type Sought } from '../../../web/index.js';

/** A WebSocket to the API server, or the answer that it gave in its place. */
export type Dialled =
  | { readonly socket: WebSocket; readonly protocol: string; readonly answer?: never }
  | { readonly answer: IncomingMessage; readonly socket?: never };

export interface Dialling {
  readonly origin: Origin;
  /** With the query. */
  readonly path: string;
  readonly fields: Readonly<Record<string, string | readonly string[]>>;
  readonly protocols: readonly string[];
  readonly timeout_ms: number;
  readonly signal: AbortSignal;
  /** The gateway's own: concealed where an answer repeats them. Streams are not looked through. */
  readonly secrets: Sought | undefined;
}

/** Of one message: API servers send what a program wrote in pieces of 32 KiB. */
export const message_bytes_max = 4_194_304;

/** For the other side to end a WebSocket as well; the library's types do not know it yet. */
export const closing = { closeTimeout: 5_000 } as object;

/**
 * Resolves once the API server has answered. The socket is paused: whoever takes it listens first, then resumes it. Throws
 * UpstreamError.
 */
export function dial(asked: Dialling): Promise<Dialled> {
  const { origin, path, fields, protocols, timeout_ms, signal, secrets } = asked;
  const host = origin.host.includes(':') ? `[${origin.host}]` : origin.host;
  const url = `${origin.protocol === 'https:' ? 'wss:' : 'ws:'}//${host}:${origin.port}${path}`;
  const read = new URL(url);
  // The library reads it as a URL: what leaves has to be what was judged.
  if (read.pathname + read.search !== path) throw new UpstreamError('the path has no one form as a URL');
  // Kubernetes' own names of protocols are no tokens (RFC 6455, 4.1), and the library takes nothing else.
  const headers = { ...fields, 'sec-websocket-protocol': protocols.join(', ') };
  const socket = new WebSocket(url, {
    headers: headers as Record<string, string>,
    perMessageDeflate: false,
    followRedirects: false,
    handshakeTimeout: timeout_ms,
    maxPayload: message_bytes_max,
    ...closing,
    ...(origin.ca === undefined ? {} : { ca: origin.ca }),
    ...(origin.serverName === undefined ? {} : { servername: origin.serverName }),
    ...(origin.certificate === undefined ? {} : { cert: origin.certificate, key: origin.key }),
    minVersion: 'TLSv1.2',
  });
  return new Promise((resolve, reject) => {
    const leave = () => {
      socket.terminate();
      reject(new UpstreamError('nobody waits any more'));
    };
    const settled = () => signal.removeEventListener('abort', leave);
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    socket.on('error', (error: NodeJS.ErrnoException) => {
      settled();
      reject(
        new UpstreamError(`the target could not be asked (${error.code ?? 'error'})`, {
          cause: error,
          detail: error.message,
        }),
      );
    });
    socket.once('unexpected-response', (_request, answer) => {
      settled();
      const problem = secrets && concealIn(answer, secrets, true);
      if (problem === undefined) return resolve({ answer });
      answer.destroy();
      reject(problem);
    });
    let protocol = '';
    socket.once('upgrade', (answer) => {
      protocol = answer.headers['sec-websocket-protocol'] ?? '';
      delete answer.headers['sec-websocket-protocol'];
    });
    socket.once('open', () => {
      settled();
      socket.pause();
      if (protocols.includes(protocol)) return resolve({ socket, protocol });
      socket.terminate();
      reject(new UpstreamError('the API server answered in a protocol that was not asked for'));
    });
  });
}
