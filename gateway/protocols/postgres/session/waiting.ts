import type { Hold, HoldEnd, Withdrawal } from '../../../protocol.js';

/** How a wait ended: by an answer, or by the client, with a CancelRequest. */
export type WaitEnd = HoldEnd | { readonly how: 'cancelled' };

const poke_every_ms = 1_000;

/**
 * The one operation of a session that waits for people, if any does. The session goes on reading its client meanwhile, so
 * that it notices one that leaves; a CancelRequest comes on another connection and ends the wait here, since the server has
 * nothing to cancel.
 */
export class Waiting {
  readonly #began: () => void;
  readonly #ended: () => void;
  readonly #poke: () => void;
  #hold: Hold | undefined;
  #cancel: (end: WaitEnd) => void = () => undefined;

  /** @param poke Called every now and then while something waits. */
  constructor(began: () => void, ended: () => void, poke: () => void) {
    this.#began = began;
    this.#ended = ended;
    this.#poke = poke;
  }

  /** Resolves with what ended it, at once where that has happened already. Never rejects. */
  async until(hold: Hold): Promise<WaitEnd> {
    const cancelled = new Promise<WaitEnd>((resolve) => {
      this.#cancel = resolve;
    });
    this.#hold = hold;
    this.#began();
    const poking = setInterval(this.#poke, poke_every_ms);
    poking.unref();
    const end = await Promise.race([hold.ended, cancelled]);
    clearInterval(poking);
    this.#hold = undefined;
    this.#ended();
    return end;
  }

  /** The client cancels. False: nothing waits, and it is for the server. */
  cancel(): boolean {
    if (this.#hold === undefined) return false;
    // Before the hold says that it was withdrawn: the client hears what it asked for.
    this.#cancel({ how: 'cancelled' });
    this.#hold.withdraw('cancelled');
    return true;
  }

  /** The session is over. */
  abandon(why: Withdrawal): void {
    if (this.#hold === undefined) return;
    this.#cancel({ how: 'withdrawn', why });
    this.#hold.withdraw(why);
  }
}
