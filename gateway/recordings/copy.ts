import type { Readable } from 'node:stream';
import type { Copied, Copy } from '../protocol.js';
import { originFits, type Origin } from './cast.js';
import { Writer, type WriterParts } from './writer.js';

/**
 * The form of a copy, of what an operation transferred: a line of JSON that says what it is of, then each piece in the order in
 * which it went, both ways. Before each stands a line of JSON, and behind it a line feed:
 *
 *     [SECONDS, "r" or "w", OFFSET, BYTES]⏎
 *     …bytes…⏎
 *     [SECONDS, "x", HOW]⏎
 *
 * r: it came from the target, w: it went there. The offset is that in the file; what goes as a stream has none but its own. Nothing is
 * written over: what was written twice is there twice.
 */
export interface CopyHeader {
  readonly version: 1;
  readonly form: 'sallyport-copy';
  /** Seconds since the epoch. */
  readonly timestamp: number;
  readonly title: string;
  readonly command?: string;
  /** Of a file that was opened by name. */
  readonly path?: string;
  readonly sallyport: Origin;
}

/** read: it came from the target. written: it went there. */
export type Way = 'read' | 'written';

const letters = { read: 'r', written: 'w' } as const;

export class CopyFile implements Copy {
  readonly id: string;
  readonly #writer: Writer;
  readonly #masked: boolean;
  readonly #next: Record<Way, number> = { read: 0, written: 0 };
  #empty = true;
  #closed: Promise<Copied | undefined> | undefined;

  constructor(parts: WriterParts & { readonly masked: boolean }, header: CopyHeader) {
    this.id = parts.id;
    this.#masked = parts.masked;
    this.#writer = new Writer(parts);
    void this.#writer.write(line(header));
  }

  begun(): Promise<boolean> {
    return this.#writer.begun();
  }

  piece(way: Way, bytes: Buffer, offset = this.#next[way]): Promise<boolean> | boolean {
    if (this.#writer.ended) return false;
    if (bytes.length === 0) return this.#writer.kept;
    this.#empty = false;
    this.#next[way] = offset + bytes.length;
    const head = line([seconds(this.#writer.seconds), letters[way], offset, bytes.length]);
    const written = this.#writer.write(head, bytes, lineFeed);
    return written === undefined ? this.#writer.kept : written.then(() => this.#writer.kept);
  }

  onLost(listener: () => void): void {
    this.#writer.onLost(listener);
  }

  close(how: string): Promise<Copied | undefined> {
    this.#closed ??= this.#finish(how);
    return this.#closed;
  }

  async #finish(how: string): Promise<Copied | undefined> {
    if (!this.#empty) void this.#writer.write(line([seconds(this.#writer.seconds), 'x', how]));
    const recorded = await this.#writer.close();
    return this.#empty ? undefined : { ...recorded, masked: this.#masked };
  }
}

const lineFeed = Buffer.from('\n');
const line = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value)}\n`);
const seconds = (time_s: number): number => Math.round(time_s * 1e6) / 1e6;

/** Undefined for what is none: a file may have been cut off, or come from somewhere else. */
export function readCopyHeader(text: string): CopyHeader | undefined {
  const value = parsed(text) as Partial<CopyHeader> | undefined;
  const fits =
    value?.version === 1 &&
    value.form === 'sallyport-copy' &&
    (value.path === undefined || typeof value.path === 'string') &&
    originFits(value);
  return fits ? (value as CopyHeader) : undefined;
}

/** How it ended, where a text ends with the line that says so. */
export function endIn(text: string): { readonly seconds: number; readonly exit: string } | undefined {
  const value = parsed(text.trimEnd().split('\n').at(-1)!);
  if (!Array.isArray(value) || value.length !== 3) return undefined;
  const [at, code, how] = value as unknown[];
  return typeof at === 'number' && code === 'x' && typeof how === 'string' ? { seconds: at, exit: how } : undefined;
}

export interface Piece {
  readonly way: Way;
  readonly offset: number;
  readonly bytes: Buffer;
}

/** A line before a piece has four short fields; the first line has a command in it. */
const line_bytes_max = 1_048_576;
/** None is longer: they are what came at once. */
const piece_bytes_max = 16_777_216;

/** What is in the content of a copy is no copy, or ends in the middle. */
export class CopyError extends Error {}

/** Its pieces in their order. Of one that is not whole, those that are there, and then it throws CopyError. */
export async function* piecesIn(input: Readable): AsyncGenerator<Piece> {
  const source = new Source(input);
  try {
    if (readCopyHeader((await source.line()) ?? '') === undefined) throw new CopyError('it is no copy of a transfer');
    for (;;) {
      const text = await source.line();
      if (text === undefined) return;
      const value = parsed(text);
      if (!Array.isArray(value)) throw new CopyError('it is cut off, or was changed');
      const [, code, offset, length] = value as unknown[];
      if (code === 'x') continue;
      const fits =
        (code === 'r' || code === 'w') &&
        Number.isSafeInteger(offset) &&
        Number.isSafeInteger(length) &&
        (offset as number) >= 0 &&
        (length as number) > 0 &&
        (length as number) <= piece_bytes_max;
      if (!fits) throw new CopyError('it is cut off, or was changed');
      const bytes = await source.take((length as number) + 1);
      if (bytes === undefined) throw new CopyError('it is cut off');
      yield { way: code === 'r' ? 'read' : 'written', offset: offset as number, bytes: bytes.subarray(0, -1) };
    }
  } finally {
    input.destroy();
  }
}

/** Lines and counts of bytes out of a stream; holds no more than one of them, and what came with it. */
class Source {
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer[] = [];
  #bytes = 0;

  constructor(input: Readable) {
    this.#chunks = (input as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  /** Undefined at the end. */
  async line(): Promise<string | undefined> {
    for (;;) {
      const all = this.#all();
      const end = all.indexOf(10);
      if (end !== -1) return this.#cut(end + 1).toString('utf8', 0, end);
      if (all.length > line_bytes_max) throw new CopyError('it is no copy of a transfer');
      if (!(await this.#more())) {
        if (all.length > 0) throw new CopyError('it is cut off');
        return undefined;
      }
    }
  }

  async take(bytes: number): Promise<Buffer | undefined> {
    while (this.#bytes < bytes) if (!(await this.#more())) return undefined;
    return this.#cut(bytes);
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    this.#held.push(next.value);
    this.#bytes += next.value.length;
    return true;
  }

  #all(): Buffer {
    if (this.#held.length !== 1) this.#held = [Buffer.concat(this.#held)];
    return this.#held[0]!;
  }

  #cut(bytes: number): Buffer {
    const all = this.#all();
    this.#held = [all.subarray(bytes)];
    this.#bytes -= bytes;
    return all.subarray(0, bytes);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
