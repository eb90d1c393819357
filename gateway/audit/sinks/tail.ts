import { createReadStream } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { unseal } from '../chain.js';
import { filesOf } from '../files.js';
import { line_bytes_max, lines, linesBackwards } from '../lines.js';

/**
 * How far somebody has read a log. Names of files change when they are rotated, and places in them when a person's values are
 * erased; hashes of records stay.
 */
export interface Position {
  /** The hash of the first record of the file. */
  readonly first: string;
  /** The hash of the last record that was read. */
  readonly last: string;
  /** Where the record after it begins, if nothing was erased since. */
  readonly offset: number;
}

export interface Piece {
  /** Whole records, without their line ends, oldest first. Half lines that a failed write left are passed over. */
  readonly records: readonly Buffer[];
  readonly bytes: number;
  readonly position: Position;
}

interface Reading {
  readonly handle: FileHandle;
  offset: number;
  /** The hash of the file's first record, once it is known. */
  first: string | undefined;
}

const newline = 0x0a;

/**
 * Reads a log while it is written, over rotation, from where it was read before. `next` returns what stands behind what was
 * taken last, and the same again until `taken` is called.
 */
export class Tail {
  readonly #path: string;
  #position: Position | undefined;
  #open: Reading | undefined;
  /** What was read last, with where it ends in its file. */
  #piece: (Piece & { readonly end: number }) | undefined;

  /** @param path The current file. @param position Absent: from the first record that there will be. */
  constructor(path: string, position: Position | undefined) {
    this.#path = path;
    this.#position = position;
  }

  /** How far was read and taken; undefined: there was nothing. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** Finds the place again. False: it is gone, and reading begins with the oldest file that is left. */
  async find(): Promise<boolean> {
    const position = this.#position;
    const files = await filesOf(this.#path);
    if (position === undefined) {
      await this.#use(files);
      return true;
    }
    for (const [index, file] of files.entries()) {
      if ((await firstHash(file)) !== position.first) continue;
      await this.#use(files.slice(index), await placeOf(file, position), position.first);
      return true;
    }
    await this.#use(files);
    return false;
  }

  /** What has to be read still. */
  async measure(): Promise<{ readonly records: number; readonly bytes: number }> {
    let [records, bytes] = [0, 0];
    const rest = await this.#rest();
    for (const [index, file] of rest.entries()) {
      const start = index === 0 ? (this.#open?.offset ?? 0) : 0;
      try {
        for await (const chunk of createReadStream(file, { start }) as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, at + 1)) records += 1;
        }
      } catch (error) {
        ifMissing(error);
      }
    }
    return { records, bytes };
  }

  /** At most so much, but at least one record; undefined: nothing more is there now. */
  async next(limits: { readonly records: number; readonly bytes: number }): Promise<Piece | undefined> {
    if (this.#piece !== undefined) return this.#piece;
    for (;;) {
      if (this.#open === undefined) await this.#use(await filesOf(this.#path));
      const at = this.#open;
      if (at === undefined) return undefined;
      // Looked at before the file is read: what it holds after it was rotated away is all that it ever will.
      const older = !(await this.#isCurrent(at.handle));
      const piece = await this.#read(at, limits);
      if (piece !== undefined) return (this.#piece = piece);
      if (!older || !(await this.#goOn())) return undefined;
    }
  }

  /** The piece that `next` returned is done with. */
  taken(): void {
    if (this.#piece === undefined || this.#open === undefined) return;
    const { position, end } = this.#piece;
    this.#open.offset = end;
    this.#position = position;
    this.#piece = undefined;
  }

  async close(): Promise<void> {
    await this.#open?.handle.close();
    this.#open = undefined;
  }

  /** The first of them that is there: that one from `offset` on, where its first record is known. */
  async #use(files: readonly string[], offset = 0, first?: string): Promise<void> {
    await this.close();
    for (const [index, file] of files.entries()) {
      try {
        const handle = await open(file, 'r');
        this.#open = index === 0 ? { handle, offset, first } : { handle, offset: 0, first: undefined };
        return;
      } catch (error) {
        ifMissing(error);
      }
    }
  }

  /** Files from the one that is read on. */
  async #rest(): Promise<string[]> {
    const files = await filesOf(this.#path);
    if (this.#open === undefined) return files;
    const { ino } = await this.#open.handle.stat();
    for (const [index, file] of files.entries()) {
      const found = await stat(file).catch(ifMissing);
      if (found?.ino === ino) return files.slice(index);
    }
    // Erasing wrote it anew, under the same name.
    const first = this.#open.first ?? this.#position?.first;
    for (const [index, file] of files.entries()) if ((await firstHash(file)) === first) return files.slice(index);
    return files;
  }

  async #isCurrent(handle: FileHandle): Promise<boolean> {
    const [ours, current] = await Promise.all([handle.stat(), stat(this.#path).catch(ifMissing)]);
    return current === undefined || current.ino === ours.ino;
  }

  /** To the next file, once one is read to its end. */
  async #goOn(): Promise<boolean> {
    const [, ...later] = await this.#rest();
    if (later.length === 0) return false;
    await this.#use(later);
    return this.#open !== undefined;
  }

  async #read(
    at: Reading,
    limits: { readonly records: number; readonly bytes: number },
  ): Promise<(Piece & { end: number }) | undefined> {
    for (let bytes = limits.bytes; ; bytes = Math.min(bytes * 4, line_bytes_max + 1)) {
      const buffer = Buffer.allocUnsafe(bytes);
      const { bytesRead } = await at.handle.read(buffer, 0, bytes, at.offset);
      const read = buffer.subarray(0, bytesRead);
      const whole = read.lastIndexOf(newline) + 1;
      if (whole === 0) {
        // A line that is larger than the piece; or that is being written still.
        if (bytesRead < bytes) return undefined;
        if (bytes > line_bytes_max) throw new Error(`a line of the audit has more than ${line_bytes_max} bytes`);
        continue;
      }
      const piece = pieceOf(read.subarray(0, whole), at, limits.records);
      if (piece !== undefined) return piece;
      at.offset += whole;
    }
  }
}

function pieceOf(
  content: Buffer,
  at: Pick<Reading, 'offset' | 'first'>,
  records_max: number,
): (Piece & { end: number }) | undefined {
  const records: Buffer[] = [];
  let [start, end, bytes] = [0, 0, 0];
  let last = '';
  while (start < content.length && records.length < records_max) {
    const stop = content.indexOf(newline, start);
    const line = content.subarray(start, stop);
    start = stop + 1;
    const hash = hashOf(line);
    if (hash === undefined) continue;
    at.first ??= hash;
    last = hash;
    records.push(line);
    bytes += line.length + 1;
    end = start;
  }
  if (records.length === 0 || at.first === undefined) return undefined;
  const offset = at.offset + end;
  return { records, bytes, end: offset, position: { first: at.first, last, offset } };
}

const hashOf = (line: Buffer) => unseal(line)?.hash;

/** Files from the one that this place is in; all of them where it is in none. */
export async function filesFrom(path: string, position: Position | undefined): Promise<string[]> {
  const files = await filesOf(path);
  if (position === undefined) return files;
  // It is most often in one of the last.
  for (const [index, file] of [...files.entries()].reverse()) {
    if ((await firstHash(file)) === position.first) return files.slice(index);
  }
  return files;
}

async function firstHash(file: string): Promise<string | undefined> {
  try {
    for await (const { bytes, whole } of lines(file)) {
      const hash = whole ? hashOf(bytes) : undefined;
      if (hash !== undefined) return hash;
    }
  } catch (error) {
    ifMissing(error);
  }
  return undefined;
}

/** Where the record after `last` begins. It is where it was, unless something before it was erased. */
async function placeOf(file: string, { last, offset }: Position): Promise<number> {
  const handle = await open(file, 'r');
  try {
    const before = Buffer.alloc(Math.min(tail_bytes, offset));
    await handle.read(before, 0, before.length, offset - before.length);
    if (before.includes(last) && before.at(-1) === newline) return offset;
  } finally {
    await handle.close();
  }
  for await (const { bytes, offset: start, whole } of lines(file)) {
    if (whole && hashOf(bytes) === last) return start + bytes.length + 1;
  }
  // What was read is read again: twice is better than not at all.
  return 0;
}

/** `"hash":"…"}}` and a line end. */
const tail_bytes = 64;

/** Behind the last record that a log has; undefined where it has none. */
export async function endOf(path: string): Promise<Position | undefined> {
  for (const file of (await filesOf(path)).reverse()) {
    try {
      for await (const { bytes, offset, whole } of linesBackwards(file)) {
        const last = whole ? hashOf(bytes) : undefined;
        const first = last === undefined ? undefined : await firstHash(file);
        if (last !== undefined && first !== undefined) return { first, last, offset: offset + bytes.length + 1 };
      }
    } catch (error) {
      ifMissing(error);
    }
  }
  return undefined;
}

function ifMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  return undefined;
}
