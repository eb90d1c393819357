import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

/** Where a subject listens, with TLS. */
export interface Place {
  readonly port: number;
  /** PEM of whoever signed its certificate. */
  readonly ca: string;
}

export interface Reply {
  readonly status: number;
  readonly head: string;
  readonly body: Buffer;
}

const end_of_chunks = Buffer.from('\r\n0\r\n\r\n');

/**
 * A client of HTTP/1.1 that costs little: it writes bytes that were put together before, and of an answer it reads the length or the
 * last chunk. One request at a time; an error of the connection ends the measurement, as nothing is measured that did not work.
 */
export class BenchClient {
  readonly #socket: TLSSocket;
  #received: Buffer = Buffer.alloc(0);
  #waiting: { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void } | undefined;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#look();
    });
    socket.on('error', (error: Error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error('the connection was closed')));
  }

  static async open({ port, ca }: Place): Promise<BenchClient> {
    const socket = connect({ host: '127.0.0.1', port, ca });
    socket.setNoDelay(true);
    await once(socket, 'secureConnect');
    return new BenchClient(socket);
  }

  ask(bytes: Buffer): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(bytes);
    });
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #look(): void {
    const found = replyIn(this.#received);
    if (found === undefined) return;
    this.#received = Buffer.alloc(0);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(found);
  }
}

/** Undefined where more has to come. A body in chunks is left as it came. */
function replyIn(bytes: Buffer): Reply | undefined {
  const at = bytes.indexOf('\r\n\r\n');
  if (at < 0) return undefined;
  const head = bytes.toString('latin1', 0, at);
  const body = bytes.subarray(at + 4);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  const whole =
    length === undefined
      ? bytes.subarray(-end_of_chunks.length).equals(end_of_chunks) || body.toString('latin1') === '0\r\n\r\n'
      : body.length >= Number(length);
  return whole ? { status: Number(head.slice(9, 12)), head, body } : undefined;
}
