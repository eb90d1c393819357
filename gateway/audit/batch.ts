import { reseal, seal, sealed_bytes_max, type Unsealed } from './chain.js';

/** A buffer larger than this is not used again: a burst must not hold its memory for ever. */
const spare_bytes_max = 1_048_576;
const first_bytes = 65_536;

/**
 * Buffers that have been written, for the batches to come: memory that has been touched before is several times faster to
 * fill than fresh memory.
 */
export class Spares {
  readonly #buffers: Buffer[] = [];

  take(): Buffer {
    return this.#buffers.pop() ?? Buffer.allocUnsafeSlow(first_bytes);
  }

  give(buffer: Buffer): void {
    // One is being filled while another is being written.
    if (this.#buffers.length < 2 && buffer.length <= spare_bytes_max) this.#buffers.push(buffer);
  }
}

/** Records that are written together, in their order. Those that asked for it wait for one promise together. */
export class Batch {
  readonly #spares: Spares;
  #buffer: Buffer;
  bytes = 0;
  // Of each line: where it ends, its number, and whether somebody waits for it.
  readonly #ends: number[] = [];
  readonly #sequences: number[] = [];
  readonly #durable: boolean[] = [];
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #written: Promise<void> | undefined;

  /** The record that comes before its first. */
  readonly previous: Tip;
  /** Its last record. */
  tip: Tip;

  constructor(spares: Spares, tip: Tip) {
    this.#spares = spares;
    this.#buffer = spares.take();
    this.previous = tip;
    this.tip = tip;
  }

  get empty(): boolean {
    return this.#ends.length === 0;
  }

  get records(): number {
    return this.#ends.length;
  }

  /** Whether somebody waits for it to be on disk. */
  get awaited(): boolean {
    return this.#written !== undefined;
  }

  /** Returns how many bytes the line has. */
  add(record: Unsealed, sequence: number, durable: boolean): number {
    this.#reserve(sealed_bytes_max(record));
    const { end, hash } = seal(this.#buffer, this.bytes, record, this.tip.hash);
    return this.#ended(end - this.bytes, { sequence, hash }, durable);
  }

  /** A line of a batch that could not be written: others stood before it then. */
  addAgain({ content, sequence }: Line): number {
    const again = reseal(content, this.tip.hash);
    this.#reserve(again.content.length);
    again.content.copy(this.#buffer, this.bytes);
    return this.#ended(again.content.length, { sequence, hash: again.hash }, false);
  }

  #ended(bytes: number, tip: Tip, durable: boolean): number {
    this.bytes += bytes;
    this.tip = tip;
    this.#ends.push(this.bytes);
    this.#sequences.push(tip.sequence);
    this.#durable.push(durable);
    return bytes;
  }

  #reserve(bytes: number): void {
    const needed = this.bytes + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.bytes);
    this.#buffer = larger;
  }

  /** Resolves when the batch is written as its records asked; one promise for all of them. */
  get written(): Promise<void> {
    if (this.#written === undefined) {
      this.#written = new Promise((resolve, reject) => {
        this.#settle = { resolve, reject };
      });
      // Whoever asked may have gone meanwhile (a connection that broke): that is no reason to end the process.
      this.#written.catch(() => undefined);
    }
    return this.#written;
  }

  content(): Buffer {
    return this.#buffer.subarray(0, this.bytes);
  }

  /** Everything is written, and nobody reads `content` any more. */
  resolve(): void {
    this.#settle?.resolve();
    this.#spares.give(this.#buffer);
    this.#buffer = nothing;
  }

  /** Tells those who wait, and returns what nobody waited for, with the numbers of what is refused by this. */
  reject(error: Error): { kept: readonly Line[]; refused: readonly number[] } {
    this.#settle?.reject(error);
    const kept: Line[] = [];
    const refused: number[] = [];
    for (const [index, sequence] of this.#sequences.entries()) {
      const start = index === 0 ? 0 : this.#ends[index - 1]!;
      if (this.#durable[index]!) refused.push(sequence);
      else kept.push({ content: this.#buffer.subarray(start, this.#ends[index]), sequence });
    }
    return { kept, refused };
  }
}

const nothing = Buffer.alloc(0);

/** Where a chain ends. */
export interface Tip {
  readonly sequence: number;
  readonly hash: string;
}

export interface Line {
  readonly content: Buffer;
  readonly sequence: number;
}
