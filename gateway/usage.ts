import type { Principal, Usage } from '#engine';

/** How many principals are counted at once; the one that has been quiet longest is forgotten first. */
const principals_max = 100_000;
const minute_ms = 60_000;
const day_minutes = 24 * 60;

interface Counter {
  minute: number;
  minuteOperations: number;
  day: number;
  dayOperations: number;
  dayRows: number;
}

/**
 * What each principal has used, over all its sessions at this gateway: by the clock's own minutes and days (UTC).
 * A principal is an issuer and a subject; two providers with the same subject are two.
 */
export class UsageCounters {
  readonly #counters = new Map<string, Counter>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  of(principal: Principal): UsageCounter {
    const key = `${principal.issuer}\0${principal.subject}`;
    return new UsageCounter((counter) => this.#touch(key, counter), this.#now);
  }

  /** Moves the principal to the end of the queue. Returns the counter that all its sessions share. */
  #touch(key: string, own: Counter | undefined): Counter {
    const known = this.#counters.get(key);
    if (known !== undefined) {
      this.#counters.delete(key);
    } else if (this.#counters.size >= principals_max) {
      const [oldest] = this.#counters.keys();
      this.#counters.delete(oldest!);
    }
    const counter = known ?? own ?? { minute: 0, minuteOperations: 0, day: 0, dayOperations: 0, dayRows: 0 };
    this.#counters.set(key, counter);
    return counter;
  }
}

/** One session's way to its principal's counters. */
export class UsageCounter {
  readonly #touch: (counter: Counter | undefined) => Counter;
  readonly #now: () => number;
  #counter: Counter;
  /** When this session last touched its principal: once a minute is enough to say that it is not quiet. */
  #touched = -1;

  constructor(touch: (counter: Counter | undefined) => Counter, now: () => number) {
    this.#touch = touch;
    this.#now = now;
    this.#counter = touch(undefined);
  }

  #current(): Counter {
    const minute = Math.floor(this.#now() / minute_ms);
    if (this.#touched !== minute) {
      this.#touched = minute;
      this.#counter = this.#touch(this.#counter);
    }
    const counter = this.#counter;
    if (counter.minute !== minute) {
      counter.minute = minute;
      counter.minuteOperations = 0;
      const day = Math.floor(minute / day_minutes);
      if (counter.day !== day) {
        counter.day = day;
        counter.dayOperations = 0;
        counter.dayRows = 0;
      }
    }
    return counter;
  }

  read(): Usage {
    const { minuteOperations, dayOperations, dayRows } = this.#current();
    return { operations: { minute: minuteOperations, day: dayOperations }, rows: { day: dayRows } };
  }

  operation(): void {
    const counter = this.#current();
    counter.minuteOperations++;
    counter.dayOperations++;
  }

  rows(count: number): void {
    this.#current().dayRows += count;
  }
}
