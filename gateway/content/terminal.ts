import { isUnseen, maySequence, sequenceAt, type Sequence } from './escapes.js';
import { maskInPlace } from './stream.js';
import { puts, Walker, type Looking } from './walker.js';

/**
 * Masks what a program writes for a terminal, or for whoever reads its output: as ContentStream does, but escape sequences
 * are seen through. `ad\e[1ma@example.com` is an address; what is found is replaced, and every sequence stays whole and in
 * its order. A sequence that takes the cursor elsewhere ends a word, as the end of a line does. Letters that are struck over
 * with a backspace count once, and those that a sequence repeats are written out.
 *
 * Output that is no text (a NUL has come, and this is no terminal) keeps its length from there on: what is found in it
 * becomes as many stars as it had bytes, so that headers and offsets stay true.
 */
export interface Showing extends Looking {
  /** True: a terminal, for which a NUL is nothing. Else it ends a word. */
  readonly terminal: boolean;
}

/** Sequences inside of one word; what is more is left out. */
const marks_bytes_max = 16_384;
const backspace = 0x08;
const newline = Buffer.from('\n');
const none = Buffer.alloc(0);
const star = 0x2a;

/** What stands between the letters that are looked at. */
interface Mark {
  /** Before which of them. */
  at: number;
  /** 1: a letter of those that are looked at stands for it. */
  readonly width: 0 | 1;
  readonly bytes: Buffer;
  /** True: a letter, which the next one is struck over. It goes with that one: nothing of it is left where that is replaced. */
  readonly struck: boolean;
}

export class TerminalStream {
  readonly #showing: Showing;
  readonly #walker: Walker;
  /** Letters: what was not decided, and before it what has left already and may be looked back at. */
  #letters: Buffer = none;
  #left = 0;
  #marks: Mark[] = [];
  #marks_bytes = 0;
  /** The beginning of a sequence. */
  #open: Buffer = none;
  /** The last letter, as long as a backspace may follow. */
  #last: Buffer = none;
  /** The last letter that was shown, for a sequence that repeats it. */
  #repeatable = 0;
  /** From which letter on lengths are kept. */
  #binaryFrom = Infinity;

  constructor(showing: Showing) {
    this.#showing = showing;
    this.#walker = new Walker(showing);
  }

  /** Bytes that wait. */
  get held(): number {
    return this.#letters.length - this.#left + this.#last.length + this.#marks_bytes;
  }

  /** Whether what came so far is no text. */
  get binary(): boolean {
    return this.#binaryFrom < Infinity;
  }

  /** What can leave now. */
  push(piece: Buffer): Buffer {
    const added = this.#read(this.#open.length === 0 ? piece : Buffer.concat([this.#open, piece]));
    return this.#walk(added, false);
  }

  /**
   * What was held back, because nobody can wait for what follows: a word that is cut here is not found. A sequence stays whole, and a
   * key whose head was found is masked to its end.
   */
  flush(): Buffer {
    const rest = this.#walk(this.#last, true);
    this.#last = none;
    this.#walker.resume();
    this.#letters = none;
    this.#left = 0;
    if (this.binary) this.#binaryFrom = 0;
    return rest;
  }

  /** It is over. */
  finish(): Buffer {
    const rest = this.flush();
    const open = this.#open;
    this.#open = none;
    return open.length === 0 ? rest : Buffer.concat([rest, open]);
  }

  /** Parts letters from the rest; gives the letters. */
  #read(bytes: Buffer): Buffer {
    const letters: Buffer[] = [];
    let count = this.#letters.length;
    const add = (more: Buffer) => {
      if (this.#last.length > 0) {
        letters.push(this.#last);
        count += this.#last.length;
      }
      this.#last = more;
    };
    const settle = () => add(none);
    let from = 0;
    let at = 0;
    this.#open = none;
    // Letters up to here, but for the last: whether a backspace follows is not known yet.
    const upTo = (end: number) => {
      // A letter of several bytes that came in two pieces.
      const missing = bytesOf(this.#last[0] ?? 0) - this.#last.length;
      let rest = from;
      while (rest < end && rest - from < missing && isWithin(bytes[rest]!)) rest++;
      if (rest > from) this.#last = Buffer.concat([this.#last, bytes.subarray(from, rest)]);
      from = rest;
      if (end === from) return;
      settle();
      const last = lastLetter(bytes, from, end);
      if (last > from) {
        letters.push(bytes.subarray(from, last));
        count += last - from;
      }
      add(bytes.subarray(last, end));
      this.#repeatable = bytes[end - 1]!;
    };
    while (at < bytes.length) {
      const byte = bytes[at]!;
      if (byte === 0 && !this.#showing.terminal) {
        // A letter as any other, which ends a word.
        if (!this.binary) {
          upTo(at);
          from = at;
          this.#binaryFrom = count + this.#last.length;
        }
        at++;
        continue;
      }
      if (byte === backspace) {
        upTo(at);
        this.#struck(count, bytes.subarray(at, at + 1));
        from = ++at;
        continue;
      }
      if (isUnseen(byte)) {
        upTo(at);
        settle();
        this.#mark({ at: count, width: 0, bytes: bytes.subarray(at, at + 1), struck: false });
        from = ++at;
        continue;
      }
      const sequence = maySequence(byte) ? sequenceAt(bytes, at) : undefined;
      if (sequence === undefined) {
        at++;
        continue;
      }
      upTo(at);
      if (sequence === 'more') {
        this.#open = Buffer.from(bytes.subarray(at));
        from = bytes.length;
        break;
      }
      settle();
      const more = this.#sequence(bytes, at, sequence, count);
      if (more.length > 0) {
        letters.push(more);
        count += more.length;
      }
      from = at = sequence.end;
    }
    if (this.#open.length === 0) upTo(at);
    // A copy: the piece is its sender's.
    this.#last = Buffer.from(this.#last);
    return joined(letters);
  }

  /** A backspace: the letter before it is struck over by the next one. */
  #struck(count: number, bytes: Buffer): void {
    const struck = this.#last;
    this.#last = none;
    this.#mark({ at: count, width: 0, bytes: Buffer.concat([struck, bytes]), struck: struck.length > 0 });
  }

  /** Letters that stand for it. */
  #sequence(bytes: Buffer, at: number, { end, effect, text, times = 0 }: Sequence, count: number): Buffer {
    if (effect === 'repeat' && this.#repeatable > 0x20 && this.#repeatable < 0x7f)
      return Buffer.alloc(times, this.#repeatable);
    const written = text === undefined ? bytes.subarray(at, end) : this.#inner(bytes, at, end, text);
    const width = effect === 'away' ? 1 : 0;
    this.#mark({ at: count, width, bytes: written, struck: false });
    return width === 1 ? newline : none;
  }

  /** A title or a link is text as well. */
  #inner(bytes: Buffer, at: number, end: number, [from, to]: readonly [number, number]): Buffer {
    const text = Buffer.from(bytes.subarray(from, to));
    const masked = text.subarray(0, maskInPlace(text, 0, text.length, this.#showing));
    return Buffer.concat([bytes.subarray(at, from), masked, bytes.subarray(to, end)]);
  }

  #mark(mark: Mark): void {
    if (mark.width === 0 && this.#marks_bytes + mark.bytes.length > marks_bytes_max) return;
    this.#marks.push({ ...mark, bytes: Buffer.from(mark.bytes) });
    this.#marks_bytes += mark.bytes.length;
  }

  #walk(added: Buffer, final: boolean): Buffer {
    const walker = this.#walker;
    const letters = this.#letters.length === 0 ? added : Buffer.concat([this.#letters, added]);
    walker.walk(letters, 0, letters.length, final);
    const { decided, edits, needed } = walker;
    const out = this.#written(letters, decided, edits, final);
    this.#letters = needed < letters.length ? Buffer.from(letters.subarray(needed)) : none;
    this.#left = decided - needed;
    if (needed > 0) walker.before = letters[needed - 1]!;
    walker.move(needed);
    for (const mark of this.#marks) mark.at -= needed;
    if (this.binary) this.#binaryFrom = Math.max(0, this.#binaryFrom - needed);
    return out;
  }

  /** What was decided: letters, what stands in place of some, and the marks between them. */
  #written(letters: Buffer, to: number, edits: readonly number[], final: boolean): Buffer {
    const parts: Buffer[] = [];
    let at = this.#left;
    let next = 0;
    const copy = (end: number, all = false) => {
      for (let mark = this.#marks[next]; mark !== undefined; mark = this.#marks[next]) {
        if (mark.at > end || (mark.at === end && !all && (mark.width === 1 || mark.struck))) break;
        parts.push(letters.subarray(at, mark.at), mark.bytes);
        at = mark.at + mark.width;
        next++;
      }
      parts.push(letters.subarray(at, end));
      at = end;
    };
    for (let edit = 0; edit < edits.length; edit += 3) {
      const from = edits[edit]!;
      const end = edits[edit + 1]!;
      copy(from);
      const among: Buffer[] = [];
      let stars = end - from;
      for (let mark = this.#marks[next]; mark !== undefined && mark.at < end; mark = this.#marks[next]) {
        if (!mark.struck) among.push(mark.bytes);
        stars -= mark.width;
        next++;
      }
      parts.push(from >= this.#binaryFrom ? Buffer.alloc(stars, star) : puts[edits[edit + 2] as 0 | 1 | 2], ...among);
      at = end;
    }
    copy(to, final);
    for (const { bytes } of this.#marks.splice(0, next)) this.#marks_bytes -= bytes.length;
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }
}

/** Where the last letter begins; a white space is none that anybody strikes over. */
function lastLetter(bytes: Buffer, from: number, end: number): number {
  let at = end - 1;
  if (bytes[at]! <= 0x20) return end;
  while (at > from && end - at < 4 && isWithin(bytes[at]!)) at--;
  return bytesOf(bytes[at]!) >= end - at ? at : end - 1;
}

/** Bytes of a letter in UTF-8, by its first one. */
const bytesOf = (lead: number): number => (lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);
const isWithin = (byte: number): boolean => (byte & 0xc0) === 0x80;

const joined = (letters: readonly Buffer[]): Buffer =>
  letters.length === 0 ? none : letters.length === 1 ? letters[0]! : Buffer.concat(letters);
