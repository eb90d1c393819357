import { ProtocolError } from '../../../errors.js';
import { backend, BodyReader, copyData, dataRow } from '../codec.js';
import type { FrameView } from '../wire/frames.js';
import type { CopyingOut } from '../sql/copying-out.js';

/**
 * Writes rows as COPY … TO STDOUT does: what the server says to a query, as what it would have said to the COPY.
 *
 * Rows are written one behind the other, so that what came in one piece leaves in one; there is nothing to be made for each of them. The
 * last one is described by its own fields, a CopyData that does not change any more.
 *
 * @see https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
 */
export class CopyRows implements FrameView {
  buffer: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;
  rows = 0;
  readonly #how: CopyingOut;
  readonly #isBinary: boolean;
  readonly #isCsv: boolean;
  /** Of text: what stands behind the backslash. Of CSV: 1 for what asks for quotes. Else 0. */
  readonly #special: Uint8Array;
  readonly #delimiter: number;
  readonly #quote: number;
  readonly #escape: number;
  readonly #nothing: Buffer;
  #quoted: readonly boolean[] = [];
  #names: readonly Buffer[] = [];
  /** The header of binary data goes out with the first row. */
  #isAhead: boolean;
  #piece: Buffer = this.buffer;
  #at = 0;

  constructor(how: CopyingOut) {
    this.#how = how;
    this.#isBinary = how.format === 'binary';
    this.#isCsv = how.format === 'csv';
    this.#delimiter = how.delimiter.charCodeAt(0);
    this.#quote = how.quote.charCodeAt(0);
    this.#escape = how.escape.charCodeAt(0);
    this.#nothing = Buffer.from(how.nothing);
    this.#special = specialOf(how);
    this.#isAhead = this.#isBinary;
  }

  /** RowDescription: [count: int16]([name: string][…: 18 bytes])… */
  describe({ buffer, start, end }: FrameView): void {
    const body = new BodyReader(buffer, start + 5, end);
    const names: Buffer[] = [];
    for (let count = body.uint16(); count > 0; count--) {
      const from = end - body.remaining();
      body.skipString();
      names.push(Buffer.from(buffer.subarray(from, end - body.remaining() - 1)));
      body.bytes(18);
    }
    body.finish();
    const { quoted } = this.#how;
    this.#names = names;
    this.#quoted = names.map((name) => quoted === '*' || quoted.has(name.toString('utf8')));
  }

  /** What says that rows come: CopyOutResponse [format: byte][count: int16][format: int16]…, and the names of the columns where these are asked for. */
  begin(): Buffer {
    const count = this.#names.length;
    const format = this.#isBinary ? 1 : 0;
    const response = Buffer.alloc(8 + 2 * count);
    response[0] = backend.copyOutResponse;
    response.writeInt32BE(response.length - 1, 1);
    response[5] = format;
    response.writeInt16BE(count, 6);
    for (let at = 0; at < count; at++) response.writeInt16BE(format, 8 + 2 * at);
    if (!this.#how.header) return response;
    const names = dataRow(this.#names);
    this.#write(names, 0, names.length, []);
    return Buffer.concat([response, this.buffer.subarray(this.start, this.end)]);
  }

  /** DataRow: [count: int16]([length: int32][value])…; in binary a CopyData has the same. Throws ProtocolError. */
  row({ buffer, start, end }: FrameView): void {
    this.rows++;
    if (!this.#isBinary) this.#write(buffer, start, end, this.#quoted);
    else if (this.#isAhead) this.#set(this.#withHeader(buffer.subarray(start + 5, end)), 0);
    else {
      buffer[start] = backend.copyData;
      this.#set(buffer, start, end);
    }
  }

  /** What says that there are no more. */
  finish(): Buffer {
    return this.#isBinary ? Buffer.concat([this.#withHeader(trailer), copyDone]) : copyDone;
  }

  #withHeader(data: Buffer): Buffer {
    const made = this.#isAhead ? copyData(binaryHeader, data) : copyData(data);
    this.#isAhead = false;
    return made;
  }

  #set(buffer: Buffer, start: number, end = buffer.length): void {
    this.buffer = buffer;
    this.start = start;
    this.end = end;
  }

  #write(from: Buffer, start: number, end: number, quoted: readonly boolean[]): void {
    const count = from.readUInt16BE(start + 5);
    // No byte becomes more than two, and for its length a field gets no more than a delimiter and quotes.
    const to = this.#room(2 * (end - start) + count * this.#nothing.length);
    const into = this.#piece;
    const at = this.#isCsv ? this.#csv(from, start + 7, end, count, quoted, to + 5) : this.#text(from, start + 7, end, count, to + 5);
    into[at] = newline;
    into[to] = backend.copyData;
    into.writeInt32BE(at - to, to + 1);
    this.#at = at + 1;
    this.#set(into, to, at + 1);
    if (into.length > piece_bytes) this.#piece = none;
  }

  /** Where a message of so many bytes at most can be written. */
  #room(bytes: number): number {
    if (this.#piece.length - this.#at >= bytes) return this.#at;
    this.#piece = Buffer.allocUnsafeSlow(Math.max(bytes, this.rows < rows_few ? piece_bytes / 16 : piece_bytes));
    this.#at = 0;
    return 0;
  }

  #text(from: Buffer, start: number, end: number, count: number, to: number): number {
    const into = this.#piece;
    const special = this.#special;
    let at = start;
    for (let field = 0; field < count; field++) {
      if (field > 0) into[to++] = this.#delimiter;
      const length = from.readInt32BE(at);
      at += 4;
      if (length < 0) {
        to += this.#nothing.copy(into, to);
        continue;
      }
      const stop = at + length;
      if (stop > end) throw malformed();
      while (at < stop) {
        const done = at;
        at = plainUntil(special, from, at, stop);
        to = copied(from, done, at, into, to);
        if (at === stop) break;
        into[to++] = backslash;
        into[to++] = special[from[at++]!]!;
      }
    }
    if (at !== end) throw malformed();
    return to;
  }

  #csv(from: Buffer, start: number, end: number, count: number, quoted: readonly boolean[], to: number): number {
    const into = this.#piece;
    const special = this.#special;
    let at = start;
    for (let field = 0; field < count; field++) {
      if (field > 0) into[to++] = this.#delimiter;
      const length = from.readInt32BE(at);
      at += 4;
      if (length < 0) {
        to += this.#nothing.copy(into, to);
        continue;
      }
      const stop = at + length;
      if (stop > end) throw malformed();
      if (quoted[field] !== true && !this.#isMistaken(from, at, stop, count)) {
        const next = plainUntil(special, from, at, stop);
        if (next === stop) {
          to = copied(from, at, stop, into, to);
          at = stop;
          continue;
        }
      }
      into[to++] = this.#quote;
      for (; at < stop; at++) {
        const byte = from[at]!;
        if (byte === this.#quote || byte === this.#escape) into[to++] = this.#escape;
        into[to++] = byte;
      }
      into[to++] = this.#quote;
    }
    if (at !== end) throw malformed();
    return to;
  }

  /** It would be read as NULL, or, alone on its line, as the end of the data by some. */
  #isMistaken(from: Buffer, start: number, end: number, count: number): boolean {
    const nothing = this.#nothing;
    const length = end - start;
    if (length === nothing.length && (length === 0 || from.compare(nothing, 0, length, start, end) === 0)) return true;
    return count === 1 && length === 2 && from[start] === backslash && from[start + 1] === dot;
  }
} // prettier-ignore

/** Rows are written into pieces of so many bytes, the first few into smaller ones; a longer row has one of its own. */
const piece_bytes = 64 * 1024;
const rows_few = 16;
const none = Buffer.alloc(0);

const backslash = 0x5c;
const dot = 0x2e;
const newline = 0x0a;
const letters = new Map([...'\b\f\n\r\t\v'].map((character, at) => [character, 'bfnrtv'.charCodeAt(at)]));
const copyDone = Buffer.from([backend.copyDone, 0, 0, 0, 4]);
/** The signature, no flags, and no extension. */
const binaryHeader = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const trailer = Buffer.from([0xff, 0xff]);

/** Where the first byte is that cannot stand as it is. */
function plainUntil(special: Uint8Array, from: Buffer, start: number, end: number): number {
  let at = start;
  while (
    at + 4 <= end &&
    (special[from[at]!]! | special[from[at + 1]!]! | special[from[at + 2]!]! | special[from[at + 3]!]!) === 0
  )
    at += 4;
  while (at < end && special[from[at]!] === 0) at++;
  return at;
}

/** A call into the runtime costs as much as so many bytes. */
const few_bytes = 48;

/** @returns Where what was copied ends. */
function copied(from: Buffer, start: number, end: number, into: Buffer, to: number): number {
  if (end - start > few_bytes) return to + from.copy(into, to, start, end);
  let next = to;
  for (let at = start; at < end; at++) into[next++] = from[at]!;
  return next;
}

const malformed = (): ProtocolError =>
  new ProtocolError('the server sent a row whose fields are not as long as it says');

function specialOf({ format, delimiter, quote }: CopyingOut): Uint8Array {
  const special = new Uint8Array(256);
  if (format === 'csv') for (const character of `${delimiter}${quote}\n\r`) special[character.charCodeAt(0)] = 1;
  else
    for (const character of `${delimiter}\\\b\f\n\r\t\v`)
      special[character.charCodeAt(0)] = letters.get(character) ?? character.charCodeAt(0);
  return special;
}
