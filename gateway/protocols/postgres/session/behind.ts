import { Withheld, withheld_bytes_max } from '../effect/withheld.js';
import { errorResponse } from '../codec.js';
import { sqlstates } from '../enforce.js';
import type { Look } from '../sql/look.js';
import type { Exchange } from './exchange.js';
import type { Looking } from './looking.js';
import type { ExpectationEnd } from './expectation.js';

/**
 * Keeps what an execution is answered with until the catalog has been compared once more behind it: for what looks up what views, policies
 * and functions say only as it runs. What it has done is undone where something is otherwise.
 */
export class Behind {
  readonly #exchange: Exchange;
  readonly #looking: Looking;
  readonly #look: Look;
  readonly #kept = new Withheld();

  constructor(exchange: Exchange, looking: Looking, look: Look) {
    this.#exchange = exchange;
    this.#looking = looking;
    this.#look = look;
  }

  /** The comparison before it is over: what is answered next is the execution's. */
  readonly before = ({ error, skipped }: ExpectationEnd): void => {
    if (error === undefined && skipped === undefined) this.#exchange.responses.divert(this.#kept);
  };

  /** The execution has been answered. */
  ran({ error, skipped }: ExpectationEnd): void {
    if (skipped !== undefined) return;
    this.#exchange.responses.divert(undefined);
    if (error !== undefined) this.#say();
  }

  /** To be sent behind it; `ended` hears what came of it. */
  send(ended?: (end: ExpectationEnd) => void): void {
    this.#looking.send(this.#look, (end) => {
      if (end.error === undefined && end.skipped === undefined) this.#say();
      ended?.(end);
    });
  }

  /** The same in a batch of the client's: nothing goes out behind it before there is known to be no more of an answer than can be kept. */
  async inBatch(): Promise<void> {
    const exchange = this.#exchange;
    this.send();
    await exchange.drained();
    if (this.failure !== undefined && !exchange.over && !exchange.skipping) exchange.refuse(this.failure, 'extended');
  }

  /** Where there was too much to keep, the error that is to take its place: what has run is to fail. */
  get failure(): Buffer | undefined {
    return this.#kept.overflowed ? tooMuch : undefined;
  }

  #say(): void {
    if (!this.#kept.overflowed) this.#exchange.toClient.push(this.#kept.take());
  }
}

const tooMuch = errorResponse({
  severity: 'ERROR',
  sqlstate: sqlstates.tooLong,
  message: `the answer is longer than ${String(withheld_bytes_max)} bytes, which the gateway keeps until the catalog has been compared behind the statement`,
});
