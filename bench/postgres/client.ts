import type { Socket } from 'node:net';
import { WireClient, type SignIn } from '../../test/support/wire.js';

/**
 * A client that costs little: it signs in as the tests' client does, and from then on looks at nothing but the frames'
 * headers. An error of the server ends the measurement: nothing is measured that did not work.
 */
export class BenchClient {
  readonly #socket: Socket;
  #done: ((error?: Error) => void) | undefined;
  /** Bytes of the frame that is passing, and of a header that came in parts. */
  #skip = 0;
  #header = Buffer.alloc(0);
  #ready = false;
  #failed = '';
  bytes = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('close', () => this.#finish(new Error('the connection was closed')));
  }

  static async open(options: { host: string; port: number } & SignIn): Promise<BenchClient> {
    return new BenchClient((await WireClient.open(options)).socket);
  }

  /** Sends, and resolves when ReadyForQuery has come. */
  exchange(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#done = (error) => {
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#socket.write(bytes);
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#done = undefined;
      this.#socket.once('close', () => resolve());
      this.#socket.end(Buffer.from([0x58, 0, 0, 0, 4]));
    });
  }

  #take(chunk: Buffer): void {
    this.bytes += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const here = Math.min(this.#skip, chunk.length - at);
        this.#skip -= here;
        at += here;
        continue;
      }
      let header = chunk;
      let start = at;
      if (this.#header.length > 0 || chunk.length - at < 5) {
        const part = chunk.subarray(at, at + 5 - this.#header.length);
        this.#header = Buffer.concat([this.#header, part]);
        at += part.length;
        if (this.#header.length < 5) return;
        header = this.#header;
        start = 0;
        this.#header = Buffer.alloc(0);
      } else {
        at += 5;
      }
      this.#skip = header.readInt32BE(start + 1) - 4;
      const type = header[start];
      if (type === 0x45)
        this.#failed = chunk.toString('latin1', at, Math.min(at + this.#skip, at + 400)).replaceAll('\0', ' ');
      if (type === 0x5a) this.#ready = true;
    }
    if (!this.#ready || this.#skip > 0) return;
    this.#ready = false;
    this.#finish(this.#failed === '' ? undefined : new Error(`the server answered with an error: ${this.#failed}`));
  }

  #finish(error?: Error): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(error);
  }
}
