import { expectedHash, genesis, unseal } from './chain.js';
import { signCheckpoint, type Checkpoint, type Cut, type Head } from './checkpoint.js';
import { filesOf } from './files.js';
import { heads_max, type HeadStore, type Ledger } from './heads.js';
import { linesBackwards } from './lines.js';
import { parseRecord } from './read.js';
import type { Signer } from './signing.js';
import type { Tip } from './batch.js';

/** A head is signed after so many records, but not more often than once in `sealed_ms_min`; or after this time. */
const sealed_records = 1_000;
const sealed_ms_min = 1_000;
export const sealed_ms_max = 10_000;

export interface SealOptions {
  readonly signer: Signer;
  readonly heads: HeadStore;
}

/** Signs how far the chain has come. What it signs is on disk already. */
export class Sealer {
  readonly #options: SealOptions;
  readonly #writer: string;
  readonly #now: () => number;
  #records = 0;
  #sealed_ms = 0;

  constructor(options: SealOptions, writer: string, now: () => number) {
    this.#options = options;
    this.#writer = writer;
    this.#now = now;
  }

  /**
   * Makes the writer known, and signs what the chains of others have come to, those of writers that ended without a word
   * included. Returns the fields of its first record.
   */
  async start(files: readonly string[]): Promise<Record<string, unknown>> {
    const { signer, heads } = this.#options;
    const found = await lastRecords(files);
    let last: Checkpoint | undefined;
    const { checkpoint } = await heads.update((ledger) => {
      last = ledger.checkpoint;
      const news = found.filter((head) => isNews(head, ledger));
      return this.#next(ledger, [...news, { writer: this.#writer, sequence: 0, hash: genesis }], [], true);
    });
    this.#sealed_ms = this.#now();
    const key = { id: signer.id, public: signer.public };
    return { event: 'start', key, checkpoint, ...(last === undefined ? {} : { last }) };
  }

  /** Counts what was written; true: the head should be signed now. */
  due(records: number): boolean {
    this.#records += records;
    const past_ms = this.#now() - this.#sealed_ms;
    return (
      this.#records > 0 && (past_ms >= sealed_ms_max || (this.#records >= sealed_records && past_ms >= sealed_ms_min))
    );
  }

  get unsigned(): boolean {
    return this.#records > 0;
  }

  /** @returns The checkpoint, for a record: which needs no signature of its own, or there would be no end to them. */
  async seal(tip: Tip, ended = false): Promise<Checkpoint | undefined> {
    this.#records = -1;
    this.#sealed_ms = this.#now();
    const head: Head = { writer: this.#writer, ...tip, ...(ended ? { ended } : {}) };
    return (await this.#options.heads.update((ledger) => this.#next(ledger, [head], []))).checkpoint;
  }

  /** Signs that retention removed the beginnings of chains. */
  async cut(cuts: readonly Cut[]): Promise<Checkpoint | undefined> {
    return (await this.#options.heads.update((ledger) => this.#next(ledger, [], cuts))).checkpoint;
  }

  #next(ledger: Ledger, news: readonly Head[], cuts: readonly Cut[], all = false): Ledger {
    const { signer } = this.#options;
    const allCuts = newest({ ...ledger.cuts, ...byWriter(cuts) });
    const known = Object.values({ ...ledger.heads, ...byWriter(news) });
    // A writer of which nothing is left need not be remembered.
    const left = known.filter(
      ({ writer, sequence, ended }) => ended !== true || sequence > (allCuts[writer]?.sequence ?? 0),
    );
    const heads = newest(byWriter(left));
    const checkpoint = signCheckpoint(
      ledger.checkpoint,
      {
        timestamp: new Date(this.#now()).toISOString(),
        heads: all ? Object.values(heads) : news,
        cuts: all ? Object.values(allCuts) : cuts,
      },
      signer,
    );
    return { version: 1, checkpoint, heads, cuts: allCuts, keys: { ...ledger.keys, [signer.id]: signer.public } };
  }
}

function byWriter<T extends { readonly writer: string }>(heads: readonly T[]): Record<string, T> {
  return Object.fromEntries(heads.map((head) => [head.writer, head]));
}

/** Of too many the last that came. */
function newest<T>(map: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(map).slice(-heads_max));
}

function isNews(head: Head, { heads, cuts }: Ledger): boolean {
  const known = heads[head.writer];
  return known?.ended !== true && head.sequence > Math.max(known?.sequence ?? 0, cuts[head.writer]?.sequence ?? 0);
}

/** So far back from the end of a log is looked for the last records of writers that did not close it. */
const tail_bytes_max = 4_194_304;

/** The last record of each writer near the end of each log. */
async function lastRecords(files: readonly string[]): Promise<Head[]> {
  const heads = new Map<string, Head>();
  for (const current of files) {
    let left_bytes = tail_bytes_max;
    for (const file of (await filesOf(current)).reverse()) {
      try {
        for await (const { bytes } of linesBackwards(file)) {
          const head = headOf(bytes);
          if (head !== undefined && head.sequence > (heads.get(head.writer)?.sequence ?? 0))
            heads.set(head.writer, head);
          left_bytes -= bytes.length + 1;
          if (left_bytes <= 0) break;
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      if (left_bytes < tail_bytes_max) break;
    }
  }
  return [...heads.values()];
}

/** Undefined for what is no whole record with its hash. */
function headOf(bytes: Buffer): Head | undefined {
  const line = unseal(bytes);
  if (line === undefined || expectedHash(line) !== line.hash) return undefined;
  const record = parseRecord(bytes);
  return record && { writer: record.writer, sequence: record.sequence, hash: line.hash };
}
