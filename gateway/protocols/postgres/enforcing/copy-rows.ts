import { backend, BodyReader } from '../codec.js';
import type { FrameView } from '../wire/frames.js';
import type { CopyingOut } from '../sql/copying-out.js';

/**
 * Writes rows as COPY … TO STDOUT does: what the server says to a query, as what it would have said to the COPY.
 *
 * @see https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
 */
export class CopyRows {
  rows = 0;
  readonly #how: CopyingOut;
  readonly #isBinary: boolean;
  /** 1: what has a backslash before it (text), or asks for quotes (CSV). */
  readonly #special: Uint8Array;
  readonly #delimiter: number;
  readonly #quote: number;
  readonly #escape: number;
  readonly #nothing: Buffer;
  #quoted: readonly boolean[] = [];
  #names: readonly Buffer[] = [];
  /** What goes out with the first row: the header of binary data. */
  #ahead: Buffer | undefined;
  #scratch = Buffer.allocUnsafe(4096);
  #at = 0;

  constructor(how: CopyingOut) {
    this.#how = how;
    this.#isBinary = how.format === 'binary';
    this.#delimiter = how.delimiter.charCodeAt(0);
    this.#quote = how.quote.charCodeAt(0);
    this.#escape = how.escape.charCodeAt(0);
    this.#nothing = Buffer.from(how.nothing);
    this.#special = specialOf(how);
    if (this.#isBinary) this.#ahead = binaryHeader;
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
    this.#open();
    for (const [at, name] of this.#names.entries()) {
      if (at > 0) this.#byte(this.#delimiter);
      if (this.#how.format === 'csv') this.#csv(name, 0, name.length, false);
      else this.#text(name, 0, name.length);
    }
    this.#byte(newline);
    return Buffer.concat([response, this.#close()]);
  }

  /** DataRow: [count: int16]([length: int32][value])… */
  row({ buffer, start, end }: FrameView): Buffer {
    this.rows++;
    this.#open();
    if (this.#isBinary) {
      this.#first();
      this.#bytes(buffer, start + 5, end);
      return this.#close();
    }
    const count = buffer.readUInt16BE(start + 5);
    const isCsv = this.#how.format === 'csv';
    let at = start + 7;
    for (let field = 0; field < count; field++) {
      if (field > 0) this.#byte(this.#delimiter);
      const length = buffer.readInt32BE(at);
      at += 4;
      if (length < 0) this.#bytes(this.#nothing, 0, this.#nothing.length);
      else {
        if (isCsv) this.#csv(buffer, at, at + length, this.#quoted[field]!);
        else this.#text(buffer, at, at + length);
        at += length;
      }
    }
    this.#byte(newline);
    return this.#close();
  }

  /** What says that there are no more. */
  end(): Buffer {
    if (!this.#isBinary) return copyDone;
    this.#open();
    this.#first();
    this.#byte(0xff);
    this.#byte(0xff);
    return Buffer.concat([this.#close(), copyDone]);
  }

  #first(): void {
    if (this.#ahead !== undefined) this.#bytes(this.#ahead, 0, this.#ahead.length);
    this.#ahead = undefined;
  }

  #text(from: Buffer, start: number, end: number): void {
    const special = this.#special;
    let done = start;
    for (let at = start; at < end; at++) {
      const byte = from[at]!;
      if (special[byte] === 0) continue;
      this.#bytes(from, done, at);
      this.#byte(backslash);
      this.#byte(letters.get(byte) ?? byte);
      done = at + 1;
    }
    this.#bytes(from, done, end);
  }

  #csv(from: Buffer, start: number, end: number, quoted: boolean): void {
    const special = this.#special;
    const nothing = this.#nothing;
    let quotes = quoted || (end - start === nothing.length && from.compare(nothing, 0, nothing.length, start, end) === 0);
    // Alone on its line it would be the end of the data to some who read it.
    if (!quotes && this.#names.length === 1) quotes = end - start === 2 && from[start] === backslash && from[start + 1] === 0x2e;
    for (let at = start; !quotes && at < end; at++) quotes = special[from[at]!] !== 0;
    if (!quotes) {
      this.#bytes(from, start, end);
      return;
    }
    this.#byte(this.#quote);
    let done = start;
    for (let at = start; at < end; at++) {
      const byte = from[at]!;
      if (byte !== this.#quote && byte !== this.#escape) continue;
      this.#bytes(from, done, at);
      this.#byte(this.#escape);
      done = at;
    }
    this.#bytes(from, done, end);
    this.#byte(this.#quote);
  }

  #open(): void {
    this.#at = 5;
  }

  #close(): Buffer {
    const scratch = this.#scratch;
    scratch[0] = backend.copyData;
    scratch.writeInt32BE(this.#at - 1, 1);
    const made = Buffer.from(scratch.subarray(0, this.#at));
    if (scratch.length > scratch_bytes_max) this.#scratch = Buffer.allocUnsafe(4096);
    return made;
  }

  #byte(byte: number): void {
    this.#room(1);
    this.#scratch[this.#at++] = byte;
  }

  #bytes(from: Buffer, start: number, end: number): void {
    this.#room(end - start);
    from.copy(this.#scratch, this.#at, start, end);
    this.#at += end - start;
  }

  #room(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#scratch.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#scratch.length));
    this.#scratch.copy(larger, 0, 0, this.#at);
    this.#scratch = larger;
  }
} // prettier-ignore

/** A long row's memory is not kept for the next. */
const scratch_bytes_max = 1024 * 1024;

const backslash = 0x5c;
const newline = 0x0a;
const letters = new Map([...'\b\f\n\r\t\v'].map((character, at) => [character.charCodeAt(0), 'bfnrtv'.charCodeAt(at)]));
const copyDone = Buffer.from([backend.copyDone, 0, 0, 0, 4]);
/** The signature, no flags, and no extension. */
const binaryHeader = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);

function specialOf({ format, delimiter, quote }: CopyingOut): Uint8Array {
  const special = new Uint8Array(256);
  const all = format === 'csv' ? `${delimiter}${quote}\n\r` : `${delimiter}\\\b\f\n\r\t\v`;
  for (const character of all) special[character.charCodeAt(0)] = 1;
  return special;
}
