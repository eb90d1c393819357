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

/** All of it, as it is kept elsewhere: which minute and which day, from 1970, and what has been used in them. */
export interface Totals {
  readonly minute: number;
  readonly minute_operations: number;
  readonly minute_writes: number;
  readonly day: number;
  readonly operations: number;
  readonly writes: number;
  readonly rows: number;
  readonly bytes: number;
  readonly cost: number;
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

  totals(): Totals {
    return {
      minute: this.#minute,
      minute_operations: this.#minuteOperations,
      minute_writes: this.#minuteWrites,
      day: this.#day,
      operations: this.#operations,
      writes: this.#writes,
      rows: this.#rows,
      bytes: this.#bytes,
      cost: this.#cost,
    };
  }

  load(totals: Totals): void {
    this.#minute = totals.minute;
    this.#minuteOperations = totals.minute_operations;
    this.#minuteWrites = totals.minute_writes;
    this.#day = totals.day;
    this.#operations = totals.operations;
    this.#writes = totals.writes;
    this.#rows = totals.rows;
    this.#bytes = totals.bytes;
    this.#cost = totals.cost;
  }

  /** Never back: another gateway's clock may be ahead, and what comes late counts for the window that there is. */
  #turn(now_ms: number): void {
    const minute = Math.floor(now_ms / minute_ms);
    if (minute <= this.#minute) return;
    this.#minute = minute;
    this.#minuteOperations = 0;
    this.#minuteWrites = 0;
    const day = Math.floor(minute / day_minutes);
    if (day <= this.#day) return;
    this.#day = day;
    this.#operations = this.#writes = this.#rows = this.#bytes = this.#cost = 0;
  }
}
