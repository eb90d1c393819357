import { connect, type TLSSocket } from 'node:tls';

/** A connection to a gateway on which bytes are said as they are, and what comes back is read as answers of HTTP/1.1. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
}

export interface Reply {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  /** It says that the connection is over. */
  readonly last: boolean;
}

/** Of TLS, to be shown again: the next connection is cheaper for both sides. */
const tickets = new Map<string, Buffer>();

export class Lane {
  readonly socket: TLSSocket;
  #received: Buffer = Buffer.alloc(0);
  #closed = false;
  #changed: () => void = () => undefined;

  private constructor(socket: TLSSocket, keep: (ticket: Buffer) => void) {
    this.socket = socket;
    socket.on('session', keep);
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#changed();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
      this.#changed();
    });
  }

  static open({ host, port, ca }: Place): Promise<Lane> {
    const key = `${host}:${String(port)}`;
    const session = tickets.get(key);
    const socket = connect({ host, port, ca, ...(session === undefined ? {} : { session }) });
    socket.setNoDelay(true);
    const lane = new Lane(socket, (ticket) => tickets.set(key, ticket));
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        socket.off('error', reject);
        resolve(lane);
      });
    });
  }

  get open(): boolean {
    return !this.#closed && this.socket.writable;
  }

  say(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  /** Nothing more is said on it. */
  finish(): void {
    if (this.socket.writable) this.socket.end();
  }

  close(): void {
    this.socket.destroy();
  }

  /** The next answer; undefined where the connection was closed without one. Rejects after `ms_max`. */
  async next(ms_max: number): Promise<Reply | undefined> {
    for (;;) {
      const found = replyIn(this.#received, this.#closed);
      if (found !== undefined) {
        this.#received = this.#received.subarray(found.bytes);
        // 100 and 102 say nothing yet.
        if (found.reply.status >= 200 || found.reply.status === 101) return found.reply;
        continue;
      }
      if (this.#closed) return undefined;
      await this.#change(ms_max, 'there is no answer');
    }
  }

  /** Resolves once something was said or the connection is closed, and else after `ms_max`. */
  answered(ms_max: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms_max);
      const { socket } = this;
      function done(): void {
        clearTimeout(timer);
        socket.off('data', done).off('close', done);
        resolve();
      }
      if (this.#closed || this.#received.length > 0) return done();
      socket.once('data', done).once('close', done);
    });
  }

  /** Everything that is answered until the connection is closed. Rejects after `ms_max` without a change. */
  async rest(ms_max: number): Promise<Reply[]> {
    const replies: Reply[] = [];
    for (;;) {
      const reply = await this.next(ms_max);
      if (reply === undefined) return replies;
      replies.push(reply);
    }
  }

  /** Resolves once this was said, and drops everything up to it. Rejects after `ms_max` without a change, or at the end. */
  async until(said: string, ms_max: number): Promise<void> {
    for (;;) {
      const at = this.#received.indexOf(said);
      if (at >= 0) {
        this.#received = this.#received.subarray(at + said.length);
        return;
      }
      if (this.#closed) throw new Error(`the connection was closed before "${said}" was said`);
      await this.#change(ms_max, `"${said}" was not said`);
    }
  }

  /** How many bytes come from now on, until as many came or nothing more comes within `ms_max`. They are dropped. */
  async drain(bytes_wanted: number, ms_max: number): Promise<number> {
    let bytes = this.#received.length;
    this.#received = Buffer.alloc(0);
    while (bytes < bytes_wanted && !this.#closed) {
      await this.#change(ms_max, `there came ${String(bytes)} bytes of ${String(bytes_wanted)}`);
      bytes += this.#received.length;
      this.#received = Buffer.alloc(0);
    }
    return bytes;
  }

  /** Resolves when the connection is closed; what is said until then is dropped. */
  async closed(ms_max: number): Promise<void> {
    while (!this.#closed) {
      this.#received = Buffer.alloc(0);
      await this.#change(ms_max, 'the connection stays open');
    }
  }

  #change(ms_max: number, otherwise: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.socket.destroy();
        reject(new Error(`${otherwise} after ${String(ms_max)} ms`));
      }, ms_max);
      this.#changed = () => {
        clearTimeout(timer);
        this.#changed = () => undefined;
        resolve();
      };
    });
  }
}

/** Undefined where more has to come. An answer without a length lasts until the connection ends. */
function replyIn(bytes: Buffer, over: boolean): { readonly reply: Reply; readonly bytes: number } | undefined {
  const head = bytes.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const lines = bytes.toString('latin1', 0, head);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(lines)?.[1] ?? 0);
  const last = /\r\nconnection: *close/i.test(lines);
  const length = status === 204 ? '0' : /\r\ncontent-length: *(\d+)/i.exec(lines)?.[1];
  const start = head + 4;
  if (status < 200) return { reply: { status, head: lines, body: '', last }, bytes: start };
  if (length === undefined && !over) return undefined;
  const end = length === undefined ? bytes.length : start + Number(length);
  if (bytes.length < end) return undefined;
  return { reply: { status, head: lines, body: bytes.toString('utf8', start, end), last }, bytes: end };
}
