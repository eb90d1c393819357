import { performance } from 'node:perf_hooks';
import type { Decision } from '#engine';

export type Limits = Decision['limits'];
export type LimitKind = keyof Limits;

export const unlimited = ({ rows, bytes, seconds }: Limits): boolean =>
  rows === undefined && bytes === undefined && seconds === undefined;

/** The lower of each. */
export function lower(one: Limits, other: Limits): Limits {
  const least = (kind: LimitKind) => {
    const amount = Math.min(one[kind] ?? Infinity, other[kind] ?? Infinity);
    return amount === Infinity ? {} : { [kind]: amount };
  };
  return { ...least('rows'), ...least('bytes'), ...least('seconds') };
}

/** What has gone out of one portal or cursor so far: its limits count over all fetches. */
export interface Used {
  rows: number;
  bytes: number;
}

/** setTimeout counts in 32 bits. */
const timer_ms_max = 2 ** 31 - 1;

/**
 * Measures one execution against its limits. Once one is exceeded nothing more of the result goes out, and the statement
 * is stopped in the server.
 */
export class Meter {
  /** Which limit was exceeded. */
  exceeded: LimitKind | undefined;
  readonly limits: Limits;
  readonly #used: Used;
  readonly #stop: () => void;
  #timer: NodeJS.Timeout | undefined;
  #until_ms: number | undefined;

  constructor(limits: Limits, used: Used, stop: () => void) {
    this.limits = limits;
    this.#used = used;
    this.#stop = stop;
  }

  /** The statement has been sent; or after `end` the next one of the same execution. */
  start(): void {
    const { seconds } = this.limits;
    if (seconds === undefined || this.exceeded !== undefined) return;
    this.#until_ms ??= performance.now() + seconds * 1_000;
    const left_ms = Math.max(0, this.#until_ms - performance.now());
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#exceed('seconds'), Math.min(left_ms, timer_ms_max));
    this.#timer.unref();
  }

  /** Whether one more row of this many bytes may go out. `counts`: false for what is no row. */
  admits(bytes: number, counts = true): boolean {
    if (this.exceeded !== undefined) return false;
    const used = this.#used;
    if (counts) used.rows++;
    used.bytes += bytes;
    if (used.rows > (this.limits.rows ?? Infinity)) this.#exceed('rows');
    else if (used.bytes > (this.limits.bytes ?? Infinity)) this.#exceed('bytes');
    return this.exceeded === undefined;
  }

  /** The server has answered. */
  end(): void {
    clearTimeout(this.#timer);
  }

  #exceed(kind: LimitKind): void {
    this.exceeded ??= kind;
    clearTimeout(this.#timer);
    this.#stop();
  }
}
