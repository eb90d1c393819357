import { Duplex, Writable, type TransformCallback } from 'node:stream';
import { constants } from 'node:os';
import type { ClientSide } from './relay.js';

/** How a command of a supervised shell is shown: one piece after the other, each when the client has taken it. */
export type Show = (stream: 'stdout' | 'stderr', bytes: Buffer) => Promise<void>;

export interface CommandSideParts {
  readonly show: Show;
  /** It takes what is typed while it runs; else its input is empty. */
  readonly terminal: boolean;
  /** It has no terminal and the client has one: line ends get the return that they lack. */
  readonly returns: boolean;
  /** The command reads again. */
  readonly more: () => void;
}

/** For one command of a shell what the channel is for one by itself: its input, output, errors, exit and end. */
export class CommandSide extends Duplex implements ClientSide {
  readonly stderr: Writable;
  /** Resolves when it is over and all of it was shown. */
  readonly over: Promise<void>;
  /** Undefined: it never said. */
  code: number | undefined;
  /** Whether policy let it run. */
  decided = false;
  /** Taken back by its client: what waits is withdrawn, what runs is told to end. */
  interrupted = false;
  readonly #parts: CommandSideParts;
  readonly #ends: Readonly<Record<'stdout' | 'stderr', { returned: boolean }>>;
  #shown: Promise<void> = Promise.resolve();

  constructor(parts: CommandSideParts) {
    super({ allowHalfOpen: true });
    this.#parts = parts;
    this.#ends = { stdout: { returned: false }, stderr: { returned: false } };
    this.stderr = new Writable({
      write: (chunk: Buffer, _encoding, done) => this.#show('stderr', chunk, done),
    });
    this.stderr.on('error', () => undefined);
    this.on('error', () => undefined);
    this.over = new Promise<void>((resolve) => this.once('close', resolve)).then(() => this.#shown);
    if (!parts.terminal) this.push(null);
  }

  /** What was typed while it runs. False: it has enough for now. */
  typed(bytes: Buffer | null): boolean {
    return this.takesInput ? this.push(bytes) : true;
  }

  get takesInput(): boolean {
    return this.#parts.terminal && !this.destroyed && !this.writableEnded && !this.readableEnded;
  }

  interrupt(): void {
    this.interrupted = true;
    this.destroy();
  }

  exit(how: number | string): void {
    this.code = typeof how === 'number' ? how : 128 + (numbers[`SIG${how}`] ?? 0);
  }

  override _read(): void {
    this.#parts.more();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#show('stdout', chunk, done);
  }

  /** The command has no more to say: whoever still writes to it is told by its end. */
  override _final(done: (error?: Error | null) => void): void {
    done();
    setImmediate(() => this.destroy());
  }

  #show(stream: 'stdout' | 'stderr', chunk: Buffer, done: (error?: Error | null) => void): void {
    const bytes = this.#parts.returns ? this.#returned(stream, chunk) : chunk;
    this.#shown = this.#shown.then(() => this.#parts.show(stream, bytes));
    void this.#shown.then(() => done());
  }

  #returned(stream: 'stdout' | 'stderr', chunk: Buffer): Buffer {
    const end = this.#ends[stream];
    const text = `${end.returned ? '\r' : ''}${chunk.toString('latin1')}`.replace(/(?<!\r)\n/gu, '\r\n');
    const whole = end.returned ? text.slice(1) : text;
    end.returned = whole.endsWith('\r');
    return Buffer.from(whole, 'latin1');
  }
}

const numbers: Readonly<Record<string, number>> = constants.signals;
