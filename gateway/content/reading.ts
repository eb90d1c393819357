/**
 * What stands in a run of bytes, one unit a character, so that a place in the text leads back to its bytes. Text is read
 * as bytes (a byte beyond ASCII is a unit of its own: nothing that is looked for needs to know which character it is part
 * of). Where there are backslashes, JSON's escapes are seen through, at whatever depth they are quoted: `\u0040`,
 * and `\\u0040` in a COPY or an array, are `@`, and the n of `\n` is no letter of what follows.
 */
export interface Reading {
  readonly text: string;
  /** Where a unit begins; of the text's length: where it ends. */
  readonly at: (unit: number) => number;
  /** Of the part behind the context. */
  readonly from: number;
}

/** One escape is at most this long: backslashes (seven of them quote three times over), u, four digits. */
export const unit_bytes_max = 12;
const backslash = 0x5c;
const named = new Map([...'nrtbf'].map((letter) => [letter.charCodeAt(0), '\n']));
const quoted = new Map([...'"/'].map((letter) => [letter.charCodeAt(0), letter]));

/** Bytes are made a string so many at a time: one call for each span would cost more than the look at it. */
const piece_bytes = 8_192;

/** Parts of a buffer as text, which are cut out of larger pieces. */
export class Pieces {
  #text = '';
  #from = 0;
  #to = 0;

  /** The bytes are others now. */
  forget(): void {
    this.#text = '';
    this.#from = this.#to = 0;
  }

  /** `buffer[from..to)`. @param end Of what is known of the buffer. */
  slice(buffer: Buffer, from: number, to: number, end: number): string {
    if (from < this.#from || to > this.#to) {
      this.#from = from;
      this.#to = Math.max(to, Math.min(end, from + piece_bytes));
      this.#text = buffer.toString('latin1', from, this.#to);
    }
    return this.#text.slice(from - this.#from, to - this.#from);
  }
}

/** Reads `buffer[from..to)` where escapes are in it, and before it what may be looked back at, from `context` on. */
export function readEscaped(buffer: Buffer, context: number, from: number, to: number): Reading {
  const starts: number[] = [];
  const text = decode(buffer, context, from, starts) + decode(buffer, from, to, starts);
  let behind = 0;
  while (behind < starts.length && starts[behind]! < from) behind++;
  return { text, at: (unit) => starts[unit] ?? to, from: behind };
}

function decode(buffer: Buffer, from: number, to: number, starts: number[]): string {
  let text = '';
  for (let at = from; at < to;) {
    starts.push(at);
    const byte = buffer[at]!;
    if (byte !== backslash) {
      text += String.fromCharCode(byte);
      at++;
      continue;
    }
    let behind = at + 1;
    while (behind < to && buffer[behind] === backslash && behind - at < unit_bytes_max - 5) behind++;
    const next = behind < to ? buffer[behind]! : 0;
    const code = next === 0x75 && behind + 5 <= to ? hexadecimal(buffer, behind + 1) : -1;
    if (code >= 0) {
      text += String.fromCharCode(code);
      at = behind + 5;
      continue;
    }
    const said = named.get(next) ?? quoted.get(next);
    text += said ?? '\\';
    at = said === undefined ? behind : behind + 1;
  }
  return text;
}

/** Four hexadecimal digits; -1 where they are not. */
function hexadecimal(buffer: Buffer, at: number): number {
  let code = 0;
  for (let digit = at; digit < at + 4; digit++) {
    const byte = buffer[digit]!;
    const value =
      byte >= 0x30 && byte <= 0x39
        ? byte - 0x30
        : (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66
          ? (byte | 0x20) - 87
          : -1;
    if (value < 0) return -1;
    code = code * 16 + value;
  }
  return code;
}
