import { Transform, type TransformCallback } from 'node:stream';
import type { Decision } from '#engine';

export type Limits = Decision['limits'];

/**
 * What policy lets an operation take: bytes that come back, and seconds. Whoever carries it out counts here, and is told once
 * when it is enough.
 */
export class Allowance {
  #left: number;
  readonly #exceeded: (what: string) => void;
  readonly #timer: NodeJS.Timeout | undefined;
  #over = false;
  #cut = false;

  constructor({ bytes, seconds }: Limits, exceeded: (what: string) => void) {
    this.#left = bytes ?? Infinity;
    this.#exceeded = exceeded;
    if (seconds === undefined) return;
    // A timer holds no more than 2^31 milliseconds.
    this.#timer = setTimeout(() => this.#stop(`${seconds} seconds`), Math.min(seconds * 1_000, 2_147_483_647));
    this.#timer.unref();
  }

  /** How many of these bytes may still pass; fewer than asked for where the limit is reached with them. */
  take(bytes: number): number {
    if (this.#over) return 0;
    const taken = Math.min(bytes, this.#left);
    this.#left -= taken;
    this.#cut ||= taken < bytes;
    // What passed is still delivered before the end is told.
    if (taken < bytes) setImmediate(() => this.#stop('bytes'));
    return taken;
  }

  /** Whether something was held back: whoever is to be told will be, in a moment. */
  get exceeded(): boolean {
    return this.#cut;
  }

  /** Lets through what may pass, and drops the rest. */
  stream(): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done: TransformCallback) => {
        const taken = this.take(chunk.length);
        done(null, taken === chunk.length ? chunk : chunk.subarray(0, taken));
      },
    });
  }

  /** The operation is over. */
  close(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #stop(what: string): void {
    if (this.#over) return;
    this.close();
    this.#exceeded(what);
  }
}
