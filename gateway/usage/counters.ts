import type { Counts } from '#engine';

/** What has been used of one thing, by the clock's own minutes and days (UTC). */

const minute_ms = 60_000;
const day_minutes = 24 * 60;

/** What an operation adds. Absent is nothing. */
export interface Spent {
  readonly operations?: number;
  readonly writes?: number;
  readonly rows?: number;
  readonly bytes?: number;
  /** Units that policy counts. */
  readonly cost?: number;
}

export class Counter {
  #minute = 0;
  #minuteOperations = 0;
  #minuteWrites = 0;
  #day = 0;
  #operations = 0;
  #writes = 0;
  #rows = 0;
  #bytes = 0;
  #cost = 0;

  read(now_ms: number): Counts {
    this.#turn(now_ms);
    return {
      operations: { minute: this.#minuteOperations, day: this.#operations },
      writes: { minute: this.#minuteWrites, day: this.#writes },
      rows: { day: this.#rows },
      bytes: { day: this.#bytes },
      cost: { day: this.#cost },
    };
  }

  add({ operations = 0, writes = 0, rows = 0, bytes = 0, cost = 0 }: Spent, now_ms: number): void {
    this.#turn(now_ms);
    this.#minuteOperations += operations;
    this.#operations += operations;
    this.#minuteWrites += writes;
    this.#writes += writes;
    this.#rows += rows;
    this.#bytes += bytes;
    this.#cost += cost;
  }

  #turn(now_ms: number): void {
    const minute = Math.floor(now_ms / minute_ms);
    if (this.#minute === minute) return;
    this.#minute = minute;
    this.#minuteOperations = 0;
    this.#minuteWrites = 0;
    const day = Math.floor(minute / day_minutes);
    if (this.#day === day) return;
    this.#day = day;
    this.#operations = this.#writes = this.#rows = this.#bytes = this.#cost = 0;
  }
}
