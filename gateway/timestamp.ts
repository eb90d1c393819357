/**
 * Times as text: RFC 3339 in UTC with milliseconds. Operations come in tens per millisecond, and within one second only
 * three digits differ: what stayed the same is not written anew.
 */
export class Timestamps {
  #time_ms = Number.NaN;
  #text = '';
  #second = Number.NaN;
  #head = '';

  /** @param time_ms Since the epoch. Throws RangeError for what is no time. */
  at(time_ms: number): string {
    if (time_ms === this.#time_ms) return this.#text;
    const second = Math.floor(time_ms / 1_000);
    if (second !== this.#second) {
      // "2026-11-22T09:00:00.000Z" without its last four characters.
      this.#head = new Date(second * 1_000).toISOString().slice(0, -4);
      this.#second = second;
    }
    this.#text = `${this.#head}${digits[Math.floor(time_ms) - second * 1_000]!}`;
    this.#time_ms = time_ms;
    return this.#text;
  }
}

const digits = Array.from({ length: 1_000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`);
