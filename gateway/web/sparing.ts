export interface SparingOptions {
  /** At once. */
  readonly burst: number;
  /** In the long run: one in so many milliseconds. */
  readonly every_ms: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * What others can bring about (a client, by requests that a target refuses), and what costs somebody else: a few times at once, then
 * once in a while.
 */
export class Sparing {
  readonly #options: SparingOptions;
  #left: number;
  #at_ms: number;

  constructor(options: SparingOptions) {
    this.#options = options;
    this.#left = options.burst;
    this.#at_ms = options.now();
  }

  /** Takes one; false where there is none. */
  take(): boolean {
    const { burst, every_ms, now } = this.#options;
    const now_ms = now();
    this.#left = Math.min(burst, this.#left + Math.max(0, now_ms - this.#at_ms) / every_ms);
    this.#at_ms = now_ms;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
