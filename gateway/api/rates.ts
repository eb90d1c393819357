/** So many keys are remembered; beyond that the one that was quiet longest is forgotten. */
const keys_max = 10_000;

interface Bucket {
  tokens: number;
  at_ms: number;
}

/** A token bucket for each key: `burst` at once, `perSecond` in the long run. */
export class Rates {
  readonly #buckets = new Map<string, Bucket>();
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;

  constructor(options: { burst: number; perSecond: number; now: () => number }) {
    this.#burst = options.burst;
    this.#perSecond = options.perSecond;
    this.#now = options.now;
  }

  /** Takes one; false where there is none. */
  take(key: string): boolean {
    const bucket = this.#fill(key);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Whether one could be taken. */
  has(key: string): boolean {
    return !this.#buckets.has(key) || this.#fill(key).tokens >= 1;
  }

  #fill(key: string): Bucket {
    const now_ms = this.#now();
    const bucket = this.#buckets.get(key) ?? { tokens: this.#burst, at_ms: now_ms };
    const passed_s = Math.max(0, now_ms - bucket.at_ms) / 1000;
    bucket.tokens = Math.min(this.#burst, bucket.tokens + passed_s * this.#perSecond);
    bucket.at_ms = now_ms;
    // A Map keeps the order of insertion: put last, it is the one that was used last.
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > keys_max && oldest !== undefined) this.#buckets.delete(oldest);
    return bucket;
  }
}
