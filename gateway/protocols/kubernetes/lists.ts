/**
 * A list on its way, cut where its objects end: what comes before them, each of them, what comes behind. Only the cuts are looked for;
 * whether the parts are JSON is for whoever reads them to say: all of it is if each of them is, put into what is around it.
 */
export interface Part {
  /**
   * head: up to the "[" of `items`. item: an object with the spaces around it, and no comma. none: the spaces where no object is. tail:
   * from the "]" on.
   */
  readonly where: 'head' | 'item' | 'none' | 'tail';
  readonly bytes: Buffer;
}

const is = { other: 0, space: 1, opens: 2, closes: 3, comma: 4, colon: 5, quote: 6 } as const;
const classes = new Uint8Array(256);
for (const byte of Buffer.from(' \t\r\n')) classes[byte] = is.space;
for (const byte of Buffer.from('{[')) classes[byte] = is.opens;
for (const byte of Buffer.from('}]')) classes[byte] = is.closes;
for (const [text, kind] of [[',', is.comma], [':', is.colon], ['"', is.quote]] as const) classes[text.charCodeAt(0)] = kind; // prettier-ignore
const quote = 0x22;
const backslash = 0x5c;
const array = 0x5b;
const items = Buffer.from('items');
const nothing = Buffer.alloc(0);

export class ListReader {
  #where: 'head' | 'item' | 'tail' = 'head';
  /** In the head of all, behind it inside of `items`. */
  #depth = 0;
  #string = false;
  #escaped = false;
  /** Of the string that is being read, how much is the name; -1 where it is another. */
  #matched = -1;
  /** Whether the name has come just now, and its colon. */
  #named: 'no' | 'name' | 'colon' = 'no';
  #first = true;
  #held: Buffer[] = [];
  #held_bytes = 0;

  /** Of the part that has not ended. */
  get held_bytes(): number {
    return this.#held_bytes;
  }

  /** Whether the objects have begun: before that it may be no list. */
  get begun(): boolean {
    return this.#where !== 'head';
  }

  /** Whether the objects are over. */
  get over(): boolean {
    return this.#where === 'tail';
  }

  /** Those parts that end in this piece, in order. */
  push(piece: Buffer): Part[] {
    const parts: Part[] = [];
    let from = 0;
    for (let at = 0; at < piece.length && this.#where !== 'tail'; at++) {
      const byte = piece[at]!;
      if (this.#string) this.#inString(byte);
      else if (this.#where === 'head') {
        if (!this.#inHead(byte)) continue;
        parts.push({ where: 'head', bytes: this.#take(piece.subarray(0, at + 1)) });
        this.#where = 'item';
        from = at + 1;
      } else {
        const found = classes[byte]!;
        if (found === is.quote) this.#string = true;
        else if (found === is.opens) this.#depth++;
        else if (found === is.closes && this.#depth > 0) this.#depth--;
        else if (this.#depth === 0 && (found === is.comma || found === is.closes)) {
          const bytes = this.#take(piece.subarray(from, at));
          const isNone = found === is.closes && this.#first && isBlank(bytes);
          parts.push({ where: isNone ? 'none' : 'item', bytes });
          this.#first = false;
          from = found === is.comma ? at + 1 : at;
          if (found === is.closes) this.#where = 'tail';
        }
      }
    }
    this.#hold(piece.subarray(from));
    return parts;
  }

  /** What is left at the end: the tail, or all of what is no list. */
  rest(): Buffer {
    return this.#take(nothing);
  }

  #inString(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) {
      this.#string = false;
      this.#named = this.#matched === items.length ? 'name' : 'no';
      return;
    }
    if (this.#matched >= 0) this.#matched = byte === items[this.#matched] ? this.#matched + 1 : -1;
  }

  /** Whether the objects begin behind this. */
  #inHead(byte: number): boolean {
    const found = classes[byte]!;
    if (found === is.space) return false;
    const named = this.#named;
    this.#named = found === is.colon && named === 'name' ? 'colon' : 'no';
    if (byte === array && named === 'colon') {
      this.#depth = 0;
      return true;
    }
    if (found === is.opens) this.#depth++;
    else if (found === is.closes) this.#depth--;
    else if (found === is.quote) {
      this.#string = true;
      this.#matched = this.#depth === 1 ? 0 : -1;
    }
    return false;
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#held.push(bytes);
    this.#held_bytes += bytes.length;
  }

  #take(bytes: Buffer): Buffer {
    this.#hold(bytes);
    const all = this.#held.length === 1 ? this.#held[0]! : Buffer.concat(this.#held);
    this.#held = [];
    this.#held_bytes = 0;
    return all;
  }
}

const isBlank = (bytes: Buffer): boolean => bytes.every((byte) => classes[byte] === is.space);
