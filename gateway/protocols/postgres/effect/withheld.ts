import type { Sink } from '../session/expectation.js';

/** Of one answer; whoever asks for more is told to ask for it without a preview. */
export const withheld_bytes_max = 1024 * 1024;

/** An answer that its client does not get before people have said yes. What is too much of it is thrown away, and counted. */
export class Withheld implements Sink {
  #parts: Buffer[] = [];
  #bytes = 0;

  get overflowed(): boolean {
    return this.#bytes > withheld_bytes_max;
  }

  push(message: Buffer): void {
    this.#bytes += message.length;
    if (this.overflowed) this.#parts = [];
    else this.#parts.push(message);
  }

  /** Copied, so that a few bytes do not keep the whole chunk that they came in. */
  pass(buffer: Buffer, start: number, end: number): void {
    this.push(Buffer.from(buffer.subarray(start, end)));
  }

  pull(buffer: Buffer, start: number, end: number): void {
    this.pass(buffer, start, end);
  }

  /** All of it, once. */
  take(): Buffer {
    const whole = Buffer.concat(this.#parts);
    this.#parts = [];
    return whole;
  }
}
