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
  readonly #copiesIn: boolean;
  readonly #present: (() => Promise<Buffer | undefined>) | undefined;
  readonly #kept = new Withheld();
  #isSame = false;

  /**
   * @param copiesIn The client is to hear that its data are wanted: what comes behind that is kept, and nothing is sent before they are over.
   * @param present What its snapshot does not show has to be asked as well, behind it: resolves with an error where something is otherwise.
   */
  constructor(
    exchange: Exchange,
    looking: Looking,
    look: Look,
    copiesIn: boolean,
    present: (() => Promise<Buffer | undefined>) | undefined,
  ) {
    this.#exchange = exchange;
    this.#looking = looking;
    this.#look = look;
    this.#copiesIn = copiesIn;
    this.#present = present;
  }

  /** The comparison before it is over: what is answered next is the execution's. */
  readonly before = ({ error, skipped }: ExpectationEnd): void => {
    if (error === undefined && skipped === undefined && !this.#copiesIn) this.keep();
  };

  /** What is answered from here on is kept. */
  keep(): void {
    this.#exchange.responses.divert(this.#kept);
  }

  /** The execution has been answered. */
  ran({ error, skipped }: ExpectationEnd): void {
    if (skipped !== undefined) return;
    this.#exchange.responses.divert(undefined);
    if (error !== undefined) this.#say();
  }

  /** To be sent behind it; `ended` hears what came of it. */
  send(ended?: (end: ExpectationEnd) => void): void {
    this.#looking.send(this.#look, (end) => {
      this.#isSame = end.error === undefined && end.skipped === undefined;
      if (this.#isSame && this.#present === undefined) this.#say();
      ended?.(end);
    });
  }

  /** The same in a batch of the client's: nothing goes out behind it before there is known to be no more of an answer than can be kept. */
  async inBatch(): Promise<void> {
    const exchange = this.#exchange;
    this.send();
    await exchange.drained();
    const failure = await this.settle();
    if (failure === undefined || exchange.over) return;
    if (exchange.skipping && this.#isSame) exchange.toClient.push(failure);
    else exchange.refuse(failure, 'extended');
  }

  /** Once all of it has been answered: where there was too much to keep, or something is otherwise, the error that is to take its place. */
  async settle(): Promise<Buffer | undefined> {
    if (this.#kept.overflowed) return tooMuch;
    if (this.#present === undefined || !this.#isSame) return undefined;
    const failure = await this.#present();
    if (failure === undefined) this.#say();
    return failure;
  }

  #say(): void {
    if (!this.#kept.overflowed) this.#exchange.toClient.push(this.#kept.take());
  }
}

export const tooMuch = errorResponse({
  severity: 'ERROR',
  sqlstate: sqlstates.tooLong,
  message: `the answer is longer than ${String(withheld_bytes_max)} bytes, which the gateway keeps until the catalog has been compared behind the statement`,
});
