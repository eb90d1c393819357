import type { WebSocket } from 'ws';
import type { Recording } from '../../../protocol.js';
import { resumeWhereTaken } from './pressure.js';

type Step = () => Promise<void> | undefined;

/**
 * The way of output to its client, in its order, at the pace at which it can be recorded; what cannot be is not shown. While
 * something waits to be written nothing more is read, but for what had come already.
 */
export class Shown {
  readonly #recording: Recording | undefined;
  readonly #from: WebSocket;
  readonly #to: WebSocket;
  readonly #waiting: Step[] = [];
  #busy = false;

  constructor(recording: Recording | undefined, from: WebSocket, to: WebSocket) {
    this.#recording = recording;
    this.#from = from;
    this.#to = to;
  }

  /** Shows it once it is recorded. */
  output(stream: 'stdout' | 'stderr', text: Buffer, show: () => void): void {
    this.#next(() => {
      const kept = this.#recording?.output(stream, text) ?? true;
      if (typeof kept !== 'boolean') return kept.then((written) => (written ? show() : undefined));
      if (kept) show();
      return undefined;
    });
  }

  /** Does it behind all that waits to be shown. */
  behind(work: () => void): void {
    this.#next(() => {
      work();
      return undefined;
    });
  }

  #next(step: Step): void {
    if (!this.#busy) return this.#run(step);
    this.#waiting.push(step);
    this.#from.pause();
  }

  #run(step: Step): void {
    const writing = step();
    if (writing === undefined) return;
    this.#busy = true;
    this.#from.pause();
    void writing.then(() => this.#goOn());
  }

  #goOn(): void {
    this.#busy = false;
    while (!this.#busy) {
      const step = this.#waiting.shift();
      if (step === undefined) return resumeWhereTaken(this.#from, this.#to);
      this.#run(step);
    }
  }
}
