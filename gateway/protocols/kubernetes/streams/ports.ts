import type { WebSocket } from 'ws';
import type { Result } from '../../../protocol.js';
import type { Problem } from '../../../web/index.js';
import { pass } from './pressure.js';

/**
 * The older form of a port-forward, `v4.channel.k8s.io`: of each port that the handshake names two channels, one for its bytes,
 * one for what went wrong. The first message of each says which port it is.
 */
export interface PortsOptions {
  readonly client: WebSocket;
  readonly upstream: WebSocket;
  /** How many ports were judged. */
  readonly ports: number;
  /** In both directions. */
  readonly bytes_max: number | undefined;
  readonly exceeded: (limit: 'bytes', amount: number) => Problem;
}

const normal = 1_000;
const policyViolation = 1_008;
/** Of the text of an end (RFC 6455, 5.5). */
const reason_bytes_max = 123;

export class PortsRelay {
  readonly #options: PortsOptions;
  #bytes = 0;
  #failed = false;
  #over = false;
  #finish: (result: Result) => void = () => undefined;
  /** How it ended; never rejects. */
  readonly done: Promise<Result>;

  constructor(options: PortsOptions) {
    this.#options = options;
    this.done = new Promise((resolve) => (this.#finish = resolve));
    const { client, upstream } = options;
    client.on('message', (data, binary) => this.#message(data as Buffer, binary, client, upstream));
    upstream.on('message', (data, binary) => this.#message(data as Buffer, binary, upstream, client));
    // What is no frame of WebSocket: the library has said so to whoever sent it.
    client.on('error', () => this.#end({ status: 'error', code: 'protocol' }, ''));
    upstream.on('error', () => this.#end({ status: 'lost' }, 'the API server said what is no part of the protocol'));
    const over = () => this.#end({ status: this.#failed ? 'error' : 'ok' }, '');
    client.once('close', over);
    upstream.once('close', over);
  }

  /** Ends it from outside. */
  stop(problem: Problem, result: Pick<Result, 'status' | 'code'>): void {
    this.#end(
      result,
      Buffer.from(problem.detail)
        .subarray(0, reason_bytes_max)
        .toString('utf8')
        .replace(/\ufffd$/u, ''),
    );
  }

  #message(message: Buffer, binary: boolean, from: WebSocket, to: WebSocket): void {
    const { client, ports, bytes_max, exceeded } = this.#options;
    if (this.#over) return;
    const on = message[0] ?? -1;
    const errors = on % 2 === 1;
    if (!binary || on < 0 || on >= 2 * ports || (errors && from === client))
      return this.#end({ status: 'error', code: 'protocol' }, 'a channel that is not one of this port-forward');
    this.#bytes += message.length - 1;
    // Behind the port, which is two bytes.
    this.#failed ||= errors && message.length > 3;
    if (bytes_max !== undefined && this.#bytes > bytes_max)
      return this.stop(exceeded('bytes', bytes_max), { status: 'cancelled', code: 'limit_exceeded' });
    pass(message, true, from, to);
  }

  #end({ status, code }: Pick<Result, 'status' | 'code'>, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    const { client, upstream } = this.#options;
    for (const socket of [client, upstream]) socket.resume();
    client.close(reason === '' ? normal : policyViolation, reason);
    upstream.close(normal);
    this.#finish({ status, bytes: this.#bytes, ...(code === undefined ? {} : { code }) });
  }
}
