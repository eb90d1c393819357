import { spellingsOf } from './spellings.js';

/**
 * The gateway's own secrets, as they are looked for in what comes back: all their spellings in one walk, which looks at two bytes in as
 * many as the shortest has, and goes on from there (S. Wu and U. Manber, "A fast algorithm for multi-pattern searching", 1994).
 */
export class Sought {
  readonly #spellings: readonly Buffer[];
  readonly #longest: number;
  readonly #shortest: number;
  /** By two bytes: how far the next place is at which one could begin. */
  readonly #steps: Uint8Array;
  /** Which two bytes stand beside each other in any of them, and which one begins with. */
  readonly #pairs = new Uint8Array(pairs_count);
  readonly #firsts = new Uint8Array(256);

  private constructor(spellings: readonly string[]) {
    // Where two begin at one place, all of the longer goes.
    this.#spellings = spellings.map((one) => Buffer.from(one)).sort((one, other) => other.length - one.length);
    this.#longest = this.#spellings[0]!.length;
    this.#shortest = this.#spellings.at(-1)!.length;
    const last = this.#shortest - 1;
    this.#steps = new Uint8Array(pairs_count).fill(Math.min(last, 255));
    for (const spelling of this.#spellings) {
      this.#firsts[spelling[0]!] = 1;
      for (let at = 1; at < spelling.length; at++) {
        const pair = pairOf(spelling[at - 1]!, spelling[at]!);
        this.#pairs[pair] = 1;
        if (at <= last) this.#steps[pair] = Math.min(this.#steps[pair]!, last - at);
      }
    }
  }

  /** Undefined where there is nothing among them that could be looked for. */
  static of(secrets: readonly string[]): Sought | undefined {
    const key = secrets.join('\0');
    if (known.has(key)) return known.get(key);
    const spellings = secrets.flatMap(spellingsOf);
    const made = spellings.length === 0 ? undefined : new Sought(spellings);
    const [oldest] = known.keys();
    if (oldest !== undefined && known.size >= known_max) known.delete(oldest);
    known.set(key, made);
    return made;
  }

  /**
   * Puts asterisks in the place of each, as many as it has bytes: lengths, offsets and frames stay what they are.
   *
   * @returns where the last one ends; 0 where there is none
   */
  conceal(bytes: Buffer): number {
    let end = 0;
    for (let at = this.#next(bytes, 0); at >= 0; at = this.#next(bytes, end)) {
      const { length } = this.#spellings.find((one) => startsAt(bytes, at, one))!;
      bytes.fill('*', at, at + length);
      end = at + length;
    }
    return end;
  }

  /** The same in a text. */
  concealed(text: string): string {
    const bytes = Buffer.from(text);
    return this.conceal(bytes) === 0 ? text : bytes.toString();
  }

  /** Where one begins, of which the bytes are only a part; the length of the bytes where none does. */
  begun(bytes: Buffer, from: number): number {
    const { length } = bytes;
    const first = Math.max(from, length - this.#longest + 1);
    let start = length - 1;
    // Whatever ends in a part of one has its pairs.
    while (start > first && this.#pairs[pairOf(bytes[start - 1]!, bytes[start]!)] === 1) start--;
    for (; start < length; start++) {
      if (start < first || this.#firsts[bytes[start]!] === 0) continue;
      const rest = length - start;
      if (this.#spellings.some((one) => one.length > rest && bytes.compare(one, 0, rest, start, length) === 0)) break;
    }
    return Math.max(start, 0);
  }

  #next(bytes: Buffer, from: number): number {
    const steps = this.#steps;
    const { length } = bytes;
    const last = this.#shortest - 1;
    for (let at = from + last; at < length;) {
      const step = steps[pairOf(bytes[at - 1]!, bytes[at]!)]!;
      if (step > 0) {
        at += step;
        continue;
      }
      const start = at - last;
      if (this.#firsts[bytes[start]!] === 1 && this.#spellings.some((one) => startsAt(bytes, start, one))) return start;
      at++;
    }
    return -1;
  }
}

const pairs_count = 4_096;
/** Not each pair has a number of its own: a number that two have costs a step, and nothing is missed. */
const pairOf = (one: number, next: number): number => ((one << 5) ^ next) & (pairs_count - 1);

const startsAt = (bytes: Buffer, at: number, one: Buffer): boolean =>
  at + one.length <= bytes.length && bytes.compare(one, 0, one.length, at, at + one.length) === 0;

const known_max = 256;
const known = new Map<string, Sought | undefined>();

const nothing = Buffer.alloc(0);

/** Bytes that come in pieces: what could be the beginning of a secret waits for what comes behind it, and nothing else does. */
export class Concealing {
  readonly #sought: Sought;
  readonly #found: () => void;
  #begun = nothing;

  /** @param found Called with each piece in which there was one. */
  constructor(sought: Sought, found: () => void) {
    this.#sought = sought;
    this.#found = found;
  }

  /** Whether something waits. */
  get waits(): boolean {
    return this.#begun.length > 0;
  }

  /** The very piece, where there is nothing in it; changed in its place where there is. */
  push(piece: Buffer): Buffer {
    const bytes = this.#begun.length === 0 ? piece : Buffer.concat([this.#begun, piece]);
    const end = this.#sought.conceal(bytes);
    if (end > 0) this.#found();
    const begun = this.#sought.begun(bytes, end);
    this.#begun = begun === bytes.length ? nothing : Buffer.from(bytes.subarray(begun));
    return begun === bytes.length ? bytes : bytes.subarray(0, begun);
  }

  /** What waited, and is no secret after all. */
  finish(): Buffer {
    const rest = this.#begun;
    this.#begun = nothing;
    return rest;
  }
}
