import { Transform, type TransformCallback } from 'node:stream';
import { TerminalStream, type Kinds } from '../../content/index.js';

/** In a terminal what is typed comes back letter by letter: it is shown after this long, though more might follow. */
const terminal_flush_ms = 60;
/** Elsewhere only somebody who waits for an answer makes a pause in the middle of a word. */
const flush_ms = 1_000;

/** What a command writes, masked on its way to the client, with the back-pressure of both sides. */
export class MaskedOutput extends Transform {
  readonly #stream: TerminalStream;
  readonly #flush_ms: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(kinds: Kinds, terminal: boolean) {
    super();
    this.#stream = new TerminalStream({ kinds, numbers: false, terminal });
    this.#flush_ms = terminal ? terminal_flush_ms : flush_ms;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const shown = this.#stream.push(chunk);
    if (shown.length > 0) this.push(shown);
    this.#showSoon();
    done();
  }

  override _flush(done: TransformCallback): void {
    clearTimeout(this.#timer);
    const rest = this.#stream.finish();
    done(null, rest.length > 0 ? rest : undefined);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    done(error);
  }

  #showSoon(): void {
    clearTimeout(this.#timer);
    if (this.#stream.held > 0) this.#timer = setTimeout(() => this.#show(), this.#flush_ms).unref();
  }

  #show(): void {
    if (this.writableFinished || this.destroyed) return;
    // The program did not pause: the client does not read. Who stops reading at will must not choose where words are cut.
    if (this.readableLength > 0 || this.writableLength > 0) return this.#showSoon();
    const shown = this.#stream.flush();
    if (shown.length > 0) this.push(shown);
  }
}
