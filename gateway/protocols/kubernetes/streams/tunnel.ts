import type { WebSocket } from 'ws';
import type { Result } from '../../../protocol.js';
import type { Problem } from '../../../web/index.js';
import { Connection, type Allowed } from './connection.js';
import { message_bytes_max } from './dial.js';
import { pass } from './pressure.js';
import { HeaderReader, HeaderWriter, SpdyError } from './spdy-headers.js';
import {
  dataFrame,
  FrameReader,
  goawayFrame,
  openFrame,
  pingFrame,
  replyFrame,
  reset,
  resetFrame,
  type Frame,
} from './spdy.js';

/**
 * `kubectl port-forward`: SPDY inside of a WebSocket, with two streams for each connection to a port. Both ends of it end here:
 * what the client opens is read, judged by its port, and opened anew at the API server. Of what was not let through, nothing
 * goes there.
 *
 * @see https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
 */
export interface TunnelOptions {
  readonly client: WebSocket;
  readonly upstream: WebSocket;
  /** Of all connections together, in both directions. */
  readonly bytes_max: number | undefined;
  /** What to say where more came. */
  readonly exceeded: (limit: 'bytes' | 'seconds', amount: number) => Problem;
  /** Judges a connection to this port, and waits for people where policy asks them. Throws for what is not let through. */
  readonly connect: (port: number, signal: AbortSignal) => Promise<Allowed>;
  /** What was thrown, in words for the client. */
  readonly refusal: (error: unknown) => string;
}

const connections_max = 256;
/** Of all connections that are being judged; more is not read from the client until they are. */
const waiting_bytes_max = 262_144;
const streamId_max = 0x7fffffff;
const normal = 1_000;
const policyViolation = 1_008;

type Opening = Extract<Frame, { type: 'open' }>;

export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #read = { client: new FrameReader(), upstream: new FrameReader() };
  readonly #headers = { client: new HeaderReader(), toClient: new HeaderWriter(), toUpstream: new HeaderWriter() };
  /** By the client's own number of a connection. */
  readonly #connections = new Map<string, Connection>();
  readonly #ofClient = new Map<number, Connection>();
  readonly #ofUpstream = new Map<number, Connection>();
  #lastOpened = 0;
  #nextUpstream = 1;
  #waiting_bytes = 0;
  /** Connections that are being judged, those among them that nobody waits for any more. */
  #judging = 0;
  #bytes = 0;
  #over = false;
  #finish: (result: Result) => void = () => undefined;
  /** How it ended; never rejects. What its connections carried is in their own records. */
  readonly done: Promise<Result>;

  constructor(options: TunnelOptions) {
    this.#options = options;
    this.done = new Promise((resolve) => (this.#finish = resolve));
    const { client, upstream } = options;
    client.on('message', (data, binary) => this.#fromClient(data as Buffer, binary));
    upstream.on('message', (data) => this.#fromUpstream(data as Buffer));
    // What is no frame of WebSocket: the library has said so to whoever sent it.
    client.on('error', () => this.#end({ status: 'error', code: 'protocol' }, policyViolation));
    upstream.on('error', () => this.#lost('the API server said what is no part of the protocol'));
    client.once('close', () => this.#end({ status: 'ok' }, normal));
    upstream.once('close', () => this.#lost('the API server ended the port-forward'));
  }

  /** Ends it from outside; clients that wait for a connection are told why. */
  stop(problem: Problem, result: Pick<Result, 'status' | 'code'>): void {
    if (this.#over) return;
    for (const connection of this.#connections.values()) this.#tell(connection, problem.detail);
    this.#end(result, normal);
  }

  #fromClient(message: Buffer, binary: boolean): void {
    if (this.#over) return;
    try {
      if (!binary) throw new SpdyError('a message is text');
      for (const frame of this.#read.client.push(message)) if (!this.#over) this.#clientSaid(frame);
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      this.#options.client.close(policyViolation, error.message);
      this.#end({ status: 'error', code: 'protocol' }, policyViolation);
    }
  }

  #clientSaid(frame: Frame): void {
    switch (frame.type) {
      case 'open':
        return this.#opened(frame);
      case 'data':
        return this.#clientSent(frame.stream, frame.data, frame.fin);
      case 'reset': {
        const connection = this.#ofClient.get(frame.stream);
        if (connection !== undefined) this.#leave(connection, connection.finished.upstream ? 'ok' : 'cancelled');
        return;
      }
      case 'ping':
        // Answered here: the API server is asked nothing that was not judged.
        return this.#toClient(pingFrame(frame.id), this.#options.client);
      case 'reply':
        throw new SpdyError('a reply to a stream that nobody opened');
      case 'goaway':
        return this.#end({ status: 'ok' }, normal);
      case 'ignored':
    }
  }

  #opened({ stream, headers, fin }: Opening): void {
    const read = this.#headers.client.read(headers);
    if (stream % 2 === 0 || stream <= this.#lastOpened) throw new SpdyError('a stream with a number that is taken');
    this.#lastOpened = stream;
    const asked = readPort(read);
    const known = asked === undefined ? undefined : this.#connections.get(asked.id);
    const full = known === undefined && Math.max(this.#connections.size, this.#judging) >= connections_max;
    if (asked === undefined || full || known?.[asked.kind] !== undefined || (known && known.port !== asked.port))
      return this.#toClient(resetFrame(stream, full ? reset.refused : reset.protocolError), this.#options.client);
    const connection = known ?? new Connection(asked.port);
    this.#connections.set(asked.id, connection);
    this.#ofClient.set(stream, connection);
    connection[asked.kind] = stream;
    // kubectl waits for both replies before it sends or shows anything.
    this.#toClient(replyFrame(stream, this.#headers.toClient.write({})), this.#options.client);
    if (asked.kind === 'data' && fin) this.#clientSent(stream, Buffer.alloc(0), true);
    if (connection.complete) void this.#judge(connection);
  }

  /** Whatever is thrown is an answer on the error stream. */
  async #judge(connection: Connection): Promise<void> {
    const { connect, refusal, exceeded } = this.#options;
    this.#judging++;
    try {
      const allowed = await connect(connection.port, connection.signal);
      if (connection.signal.aborted) return allowed.settle({ status: 'cancelled' });
      connection.allowed = allowed;
      const { seconds } = allowed;
      if (seconds !== undefined)
        connection.timer = setTimeout(
          () => this.#refuse(connection, exceeded('seconds', seconds).detail, 'limit_exceeded'),
          seconds * 1_000,
        );
      this.#open(connection);
    } catch (error) {
      if (!connection.signal.aborted) this.#refuse(connection, refusal(error));
    } finally {
      this.#judging--;
    }
  }

  #open(connection: Connection): void {
    if (this.#nextUpstream > streamId_max - 4) return this.#refuse(connection, 'too many connections: forward anew');
    const ids = { error: this.#nextUpstream, data: this.#nextUpstream + 2 };
    this.#nextUpstream += 4;
    connection.upstream = ids;
    for (const kind of ['error', 'data'] as const) {
      this.#ofUpstream.set(ids[kind], connection);
      const headers = { streamtype: kind, port: String(connection.port), requestid: String(ids.error) };
      this.#toUpstream(openFrame(ids[kind], this.#headers.toUpstream.write(headers)));
      // Errors come one way alone.
      if (kind === 'error') this.#toUpstream(dataFrame(ids.error, Buffer.alloc(0), true));
    }
    const waiting = connection.waiting.splice(0);
    this.#release(connection);
    for (const data of waiting) if (connection.upstream !== undefined) this.#send(connection, data, false);
    if (connection.finished.client && connection.upstream !== undefined)
      this.#toUpstream(dataFrame(ids.data, Buffer.alloc(0), true));
  }

  #clientSent(stream: number, data: Buffer, fin: boolean): void {
    const connection = this.#ofClient.get(stream);
    // Of a stream that was just ended here.
    if (connection === undefined) return;
    if (stream === connection.error) {
      if (data.length > 0) throw new SpdyError('a stream of errors is not for clients');
      return;
    }
    if (connection.finished.client) throw new SpdyError('a stream goes on behind its end');
    connection.finished.client = fin;
    if (connection.upstream !== undefined) return this.#send(connection, data, fin);
    if (data.length === 0) return;
    // A copy: the message that it came in would be kept for it.
    connection.waiting.push(Buffer.from(data));
    connection.waiting_bytes += data.length;
    this.#waiting_bytes += data.length;
    if (this.#waiting_bytes > 2 * message_bytes_max)
      return this.#refuse(connection, 'too much was sent before the connection was let through');
    if (this.#waiting_bytes > waiting_bytes_max) this.#options.client.pause();
  }

  #release(connection: Connection): void {
    this.#waiting_bytes -= connection.waiting_bytes;
    connection.waiting_bytes = 0;
    connection.waiting.length = 0;
    if (this.#waiting_bytes <= waiting_bytes_max) this.#options.client.resume();
  }

  #send(connection: Connection, data: Buffer, fin: boolean): void {
    if (!this.#counted(connection, data.length)) return;
    this.#toUpstream(dataFrame(connection.upstream!.data, data, fin));
    if (fin && connection.finished.upstream) this.#leave(connection, 'ok');
  }

  /** False: it was more than policy lets through. */
  #counted(connection: Connection, length: number): boolean {
    const { bytes_max, exceeded } = this.#options;
    const own_max = connection.allowed?.bytes_max;
    this.#bytes += length;
    connection.bytes += length;
    if (bytes_max !== undefined && this.#bytes > bytes_max) {
      this.stop(exceeded('bytes', bytes_max), { status: 'cancelled', code: 'limit_exceeded' });
      return false;
    }
    if (own_max === undefined || connection.bytes <= own_max) return true;
    this.#refuse(connection, exceeded('bytes', own_max).detail, 'limit_exceeded');
    return false;
  }

  #fromUpstream(message: Buffer): void {
    if (this.#over) return;
    try {
      for (const frame of this.#read.upstream.push(message)) if (!this.#over) this.#upstreamSaid(frame);
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      this.#lost('the API server said what is no part of the protocol');
    }
  }

  #upstreamSaid(frame: Frame): void {
    switch (frame.type) {
      case 'data': {
        const connection = this.#ofUpstream.get(frame.stream);
        if (connection !== undefined) this.#upstreamSent(connection, frame.stream, frame.data, frame.fin);
        return;
      }
      case 'reset': {
        const connection = this.#ofUpstream.get(frame.stream);
        if (connection !== undefined && frame.stream === connection.upstream?.data) this.#leave(connection, 'error');
        return;
      }
      case 'ping':
        return pass(pingFrame(frame.id), true, this.#options.upstream, this.#options.upstream);
      case 'open':
        throw new SpdyError('API servers open no streams');
      case 'goaway':
        return this.#lost('the API server ended the port-forward');
      case 'reply':
      case 'ignored':
    }
  }

  #upstreamSent(connection: Connection, stream: number, data: Buffer, fin: boolean): void {
    const { error, data: own } = connection;
    const errors = stream === connection.upstream?.error;
    if (!this.#counted(connection, errors ? 0 : data.length)) return;
    if (errors && connection.told) return;
    if (errors) {
      connection.failed ||= data.length > 0;
      connection.told = fin;
    } else connection.finished.upstream ||= fin;
    this.#toClient(dataFrame((errors ? error : own)!, data, fin), this.#options.upstream);
    // The error stream of one that went well ends with it.
    if (!errors && fin && connection.finished.client) this.#leave(connection, connection.failed ? 'error' : 'ok');
  }

  /** The client is told on the error stream, as a kubelet tells it. */
  #refuse(connection: Connection, message: string, code?: string): void {
    this.#tell(connection, message);
    this.#forget(connection);
    connection.settle({ status: code === undefined ? 'error' : 'cancelled', ...(code === undefined ? {} : { code }) });
  }

  #tell(connection: Connection, message: string): void {
    const { error, data, told, finished } = connection;
    const { client } = this.#options;
    if (error !== undefined && !told)
      this.#toClient(dataFrame(error, Buffer.from(`sallyport: ${message}`), true), client);
    if (data !== undefined && !finished.upstream) this.#toClient(dataFrame(data, Buffer.alloc(0), true), client);
  }

  /** It is over for both sides. */
  #leave(connection: Connection, status: Result['status']): void {
    const { client } = this.#options;
    if (connection.error !== undefined && !connection.told)
      this.#toClient(dataFrame(connection.error, Buffer.alloc(0), true), client);
    if (connection.data !== undefined && !connection.finished.upstream)
      this.#toClient(resetFrame(connection.data, reset.cancel), client);
    this.#forget(connection);
    connection.settle({ status: status === 'ok' && connection.failed ? 'error' : status });
  }

  /** Nothing that is said of it from now on means anything; upstream it is ended. */
  #forget(connection: Connection): void {
    for (const stream of [connection.error, connection.data]) if (stream !== undefined) this.#ofClient.delete(stream);
    for (const [id, known] of this.#connections) if (known === connection) this.#connections.delete(id);
    this.#release(connection);
    const ids = connection.upstream;
    if (ids === undefined) return;
    connection.upstream = undefined;
    for (const stream of [ids.data, ids.error]) {
      this.#ofUpstream.delete(stream);
      this.#toUpstream(resetFrame(stream, reset.cancel));
    }
  }

  #toClient(frame: Buffer, from: WebSocket): void {
    pass(frame, true, from, this.#options.client);
  }

  #toUpstream(frame: Buffer): void {
    const { client, upstream } = this.#options;
    pass(frame, true, client, upstream);
  }

  #lost(detail: string): void {
    this.stop({ status: 502, code: 'upstream', title: 'Upstream failed', detail }, { status: 'lost' });
  }

  #end({ status, code }: Pick<Result, 'status' | 'code'>, closing: number): void {
    if (this.#over) return;
    this.#over = true;
    const { client, upstream } = this.#options;
    for (const connection of this.#connections.values())
      connection.settle({ status: status === 'ok' ? 'cancelled' : status });
    this.#connections.clear();
    this.#ofClient.clear();
    this.#ofUpstream.clear();
    this.#toClient(goawayFrame(this.#lastOpened), client);
    // Where it was paused, what it has still to say is dropped.
    for (const socket of [client, upstream]) {
      socket.resume();
      socket.close(socket === client ? closing : normal);
    }
    this.#finish({ status, ...(code === undefined ? {} : { code }) });
  }
}

interface Asked {
  readonly kind: 'error' | 'data';
  readonly port: number;
  readonly id: string;
}

/** What a stream is for; undefined where its headers do not say it. */
function readPort(headers: ReadonlyMap<string, string>): Asked | undefined {
  const kind = headers.get('streamtype');
  const port = headers.get('port') ?? '';
  const id = headers.get('requestid') ?? '';
  if ((kind !== 'error' && kind !== 'data') || !/^[1-9][0-9]{0,4}$/.test(port) || !/^[0-9]{1,20}$/.test(id))
    return undefined;
  return Number(port) < 65_536 ? { kind, port: Number(port), id } : undefined;
}
