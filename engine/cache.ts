import type { Verdict } from './evaluate.js';

/**
 * Verdicts by key, in two generations: what is asked for moves to the young one; when that has half of the room, it
 * becomes the old one, and what nobody asked for since is forgotten. As good as strict order of use for this purpose, and
 * a hit in the young generation is one lookup and no write.
 */
export class VerdictCache {
  #young = new Map<string, Verdict>();
  #old = new Map<string, Verdict>();
  #young_bytes = 0;

  constructor(
    readonly entries_max: number,
    readonly bytes_max: number,
  ) {}

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: string): Verdict | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#old.delete(key);
    this.set(key, old);
    return old;
  }

  set(key: string, verdict: Verdict): void {
    const bytes = (key.length + weigh(verdict)) * 2;
    if (bytes > this.bytes_max / 2 || this.entries_max < 2) return;
    if (this.#young.size >= this.entries_max / 2 || this.#young_bytes + bytes > this.bytes_max / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#young_bytes = 0;
    }
    this.#young.set(key, verdict);
    this.#young_bytes += bytes;
  }
}

/** About how many characters a verdict holds. */
function weigh(verdict: Verdict): number {
  return JSON.stringify(verdict).length;
}
