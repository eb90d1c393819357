import type { Effect, Hold, HoldEnd, Withdrawal } from '../protocol.js';

/** setTimeout counts in 32 bits. */
const timer_ms_max = 2 ** 31 - 1;

interface Work {
  previewing(): Promise<void>;
  show(effect: Effect): Promise<void>;
  withdraw(why: Withdrawal): void;
  expired(): void;
}

/** An operation of a session of this replica, waiting. It knows when its time is over even where the state is lost. */
export class WaitingHold implements Hold {
  readonly id: string;
  readonly link?: string;
  readonly expires_ms: number;
  readonly preview: boolean;
  readonly preview_ms: number;
  readonly ended: Promise<HoldEnd>;
  readonly #work: Work;
  #settle: (end: HoldEnd) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  constructor(
    parts: Pick<Hold, 'id' | 'preview' | 'preview_ms'> & { readonly link?: string | undefined },
    left: { readonly expires_ms: number; readonly now_ms: number },
    work: Work,
  ) {
    this.id = parts.id;
    if (parts.link !== undefined) this.link = parts.link;
    this.preview = parts.preview;
    this.preview_ms = parts.preview_ms;
    this.expires_ms = left.expires_ms;
    this.#work = work;
    this.ended = new Promise((settle) => (this.#settle = settle));
    this.#wait(left.expires_ms - left.now_ms);
  }

  /** @internal */
  end(end: HoldEnd): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#settle(end);
  }

  previewing(): Promise<void> {
    return this.#work.previewing();
  }

  show(effect: Effect): Promise<void> {
    return this.#work.show(effect);
  }

  withdraw(why: Withdrawal): void {
    if (!this.#over) this.#work.withdraw(why);
  }

  #wait(left_ms: number): void {
    this.#timer = setTimeout(
      () => {
        if (left_ms > timer_ms_max) this.#wait(left_ms - timer_ms_max);
        else this.#work.expired();
      },
      Math.min(Math.max(left_ms, 0), timer_ms_max),
    );
    this.#timer.unref();
  }
}
