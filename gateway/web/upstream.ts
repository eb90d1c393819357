import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { pipeline, type Readable } from 'node:stream';
import { GatewayError, UpstreamError } from '../errors.js';
import { concealIn } from './repeating/answers.js';
import type { Sought } from './repeating/sought.js';

/** Where a target's requests go: read from its URL. */
export interface Origin {
  readonly protocol: 'http:' | 'https:';
  readonly host: string;
  readonly port: number;
  readonly ca?: string | undefined;
  readonly serverName?: string | undefined;
  /** The gateway's own certificate there, and its key, as PEM. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

/** Of a URL, which is http: or https:. */
export function originOf({ protocol, hostname, port }: URL): Origin {
  return {
    protocol: protocol as Origin['protocol'],
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
  };
}

/** A request as it leaves. */
export interface Asked {
  readonly origin: Origin;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly fields: Readonly<Record<string, string | readonly string[]>>;
  readonly body: Buffer | Streamed;
  /** For the head of the answer to come, once the request is sent. */
  readonly timeout_ms: number;
  readonly signal: AbortSignal;
  /** The gateway's own secrets in it: where the answer repeats them, they are concealed. Absent: there are none. */
  readonly secrets?: Sought | undefined;
  /** The body of a 200 is checked against a digest that was known before: nothing of the request can stand in what is so. */
  readonly digested?: boolean;
}

/** A body that is not held: it is sent as it comes, and an error of it ends the request before its end. */
export interface Streamed {
  readonly stream: Readable;
  /** Undefined: in chunks. */
  readonly bytes: number | undefined;
}

/** As many as clients may have at once: what waits for a stream to end would wait for ever. */
const sockets_max = 2_000;
const header_bytes_max = 65_536;

/** Connections to one target, kept for the next request. */
export class UpstreamAgents {
  readonly #agent: HttpAgent;

  constructor(origin: Origin) {
    const options = { keepAlive: true, maxSockets: sockets_max, scheduling: 'lifo' } as const;
    this.#agent =
      origin.protocol === 'http:'
        ? new HttpAgent(options)
        : new HttpsAgent({
            ...options,
            ...secured(origin),
            minVersion: 'TLSv1.2',
          });
  }

  get agent(): HttpAgent {
    return this.#agent;
  }

  /** Connections end with what is under way on them; none is kept, and none is left open that nothing uses. */
  retire(): void {
    // Read by the agent whenever a connection comes free; its type does not say so.
    Object.assign(this.#agent, { keepAlive: false });
    for (const sockets of Object.values(this.#agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  close(): void {
    this.#agent.destroy();
  }
}

const secured = ({ ca, serverName, certificate, key }: Origin) => ({
  ...(ca === undefined ? {} : { ca }),
  ...(serverName === undefined ? {} : { servername: serverName }),
  ...(certificate === undefined ? {} : { cert: certificate, key }),
});

/** Methods that a connection which died before it answered may be asked again (RFC 9110, 9.2.1). */
const safe: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Sends it, and resolves with the head of the answer. Throws UpstreamError. */
export async function ask(asked: Asked, agents: UpstreamAgents): Promise<IncomingMessage> {
  for (let again = false; ; again = true) {
    try {
      return await once(asked, again ? undefined : agents.agent);
    } catch (error) {
      if (again || !(error instanceof Stale) || !safe.has(asked.method)) throw error;
    }
  }
}

/** A connection that was kept had been closed by the other side. */
class Stale extends UpstreamError {}

function once(asked: Asked, agent: HttpAgent | undefined): Promise<IncomingMessage> {
  const { origin, method, path, fields, body, timeout_ms, signal, secrets, digested } = asked;
  const options: RequestOptions & Record<string, unknown> = {
    host: origin.host,
    port: origin.port,
    method,
    path,
    headers: {
      ...fields,
      // What is packed would have to be unpacked, to be looked through.
      ...(secrets === undefined ? {} : { 'accept-encoding': 'identity' }),
      ...framing(method, body),
    },
    setDefaultHeaders: false,
    maxHeaderSize: header_bytes_max,
    // Undefined would be the agent of all.
    agent: agent ?? false,
    signal,
    ...secured(origin),
  };
  const send = origin.protocol === 'http:' ? httpRequest : httpsRequest;
  return new Promise((resolve, reject) => {
    const request = send(options);
    let timer: NodeJS.Timeout | undefined;
    let answered = false;
    const startTimer = (): void => {
      if (answered) return;
      timer = setTimeout(() => {
        reject(new UpstreamError('the target did not answer in time'));
        request.destroy();
      }, timeout_ms);
    };
    request.once('socket', heardOf);
    // What is not held takes as long as its client does.
    if (!('stream' in body)) startTimer();
    else request.once('finish', startTimer);
    request.once('response', (response) => {
      answered = true;
      clearTimeout(timer);
      const body = method !== 'HEAD' && !(digested === true && response.statusCode === 200);
      const problem = packedOnTheWay(response) ?? (secrets && concealIn(response, secrets, body));
      if (problem === undefined) return resolve(response);
      response.destroy();
      reject(problem);
    });
    request.once('upgrade', (_response, socket) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new UpstreamError('the target answered in another protocol'));
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      answered = true;
      clearTimeout(timer);
      const Kind =
        request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE') ? Stale : UpstreamError;
      reject(
        new Kind(`the target could not be asked (${error.code ?? 'error'})`, { cause: error, detail: error.message }),
      );
    });
    if (!('stream' in body)) return void request.end(body);
    // What the body was found wrong for comes first: the request ends over it.
    body.stream.once('error', (error) => {
      if (error instanceof GatewayError) reject(error);
    });
    pipeline(body.stream, request, () => undefined);
  });
}

/**
 * Transfer codings beside `chunked` (RFC 9112, 7) come only where they were asked for, and they never are here. Node takes the
 * chunks apart and leaves the rest: masked and searched would be what nobody reads.
 */
function packedOnTheWay({ headers }: IncomingMessage): UpstreamError | undefined {
  const coding = headers['transfer-encoding'];
  if (coding === undefined || coding.toLowerCase() === 'chunked') return undefined;
  return new UpstreamError(
    `the target packed its answer in a way that nobody asked for (Transfer-Encoding: ${coding})`,
  );
}

/**
 * Between the end of an answer and the next request Node takes its own listener off a connection that is kept, and an abort at that
 * moment is an error of the connection that nobody hears: it would end the process. The request has its own word for it.
 */
function heardOf(socket: Socket): void {
  if (!socket.listeners('error').includes(unheard)) socket.on('error', unheard);
}

const unheard = (): void => undefined;

function framing(method: string, body: Asked['body']): { 'content-length'?: string; 'transfer-encoding'?: string } {
  if ('stream' in body) {
    return body.bytes === undefined ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(body.bytes) };
  }
  return body.length > 0 || needsLength(method) ? { 'content-length': String(body.length) } : {};
}

const needsLength = (method: string) => method === 'POST' || method === 'PUT' || method === 'PATCH';

/** Reads a small answer whole. Throws UpstreamError where it is larger, or breaks off. */
export async function readAnswer(answer: IncomingMessage, bytes_max: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > bytes_max) throw new UpstreamError(`the answer has more than ${bytes_max} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof UpstreamError) throw error;
    throw new UpstreamError('the answer broke off', { cause: error });
  }
  return Buffer.concat(chunks);
}
