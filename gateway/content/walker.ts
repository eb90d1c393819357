import { patternKinds } from '#engine';
import { findEmail } from './email.js';
import { behind_max, isBefore, isKey, match_units_max, mayBeNumbers, type Finder, type Found, type Rest } from './found.js'; // prettier-ignore
import { has, type Kinds } from './kinds.js';
import { Pieces, readEscaped, unit_bytes_max, type Reading } from './reading.js';
import { finderOf, wantedOf } from './starts.js';

/**
 * One walk over the bytes. It cuts them into spans: runs of bytes of which something could consist that is looked for,
 * over single spaces where numbers and capitals stand in groups. Whatever is found lies in one span, so that most of them
 * are done with by what was counted on the way, and few are read as text. A span that is still open when the bytes end is
 * all that has to be kept.
 */

/** What stands in place of what was found: never more than was there. 0 is for a number that stands bare in JSON, or alone. */
export const puts = [Buffer.alloc(0), Buffer.from('***'), Buffer.from('0')] as const;
const nothing = 0;
const stars = 1;
const zero = 2;

export interface Looking {
  readonly kinds: Kinds;
  /** A bare number becomes 0, so that JSON stays JSON and a number a number. */
  readonly numbers: boolean;
}

/** What is to be read again before a place where a span was cut: units that are looked back at, and an escape before them. */
export const context_bytes = (behind_max + 1) * unit_bytes_max;
/** So much of an open span is undecided at most. */
const undecided_bytes_max = match_units_max * unit_bytes_max;
/** Spans are looked at this often. */
const block_bytes = 2 * undecided_bytes_max;
/** A stream never holds back more. */
export const held_bytes_max = block_bytes + undecided_bytes_max;
/** Of a private key that does not end. */
const key_bytes_max = 16_384;

/** Up to `space`: what may end a span. */
const is = { delimiter: 0, space: 1, digit: 2, upper: 3, word: 4, at: 5, dash: 6, backslash: 7 } as const;

const classes = new Uint8Array(256).fill(is.delimiter);
for (let byte = 0x80; byte < 0x100; byte++) classes[byte] = is.word;
for (let byte = 0x30; byte <= 0x39; byte++) classes[byte] = is.digit;
for (let byte = 0x41; byte <= 0x5a; byte++) classes[byte] = is.upper;
for (let byte = 0x61; byte <= 0x7a; byte++) classes[byte] = is.word;
for (const character of '_./+()') classes[character.charCodeAt(0)] = is.word;
classes[0x20] = is.space;
classes[0x40] = is.at;
classes[0x2d] = is.dash;
classes[0x5c] = is.backslash;

const bytesOf = (characters: string): Uint8Array => {
  const set = new Uint8Array(256);
  for (const character of characters) set[character.charCodeAt(0)] = 1;
  return set;
};
const alphanumeric = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const restBytes: Readonly<Record<Rest, Uint8Array>> = {
  token: bytesOf(`${alphanumeric}_-.`),
  key: bytesOf(`${alphanumeric}+/=:,.- \t\r\n\\`),
};
/** What a backslash may stand before in the body of a key. */
const escapedInKey = bytesOf('nrt/u');
const backslashes_max = unit_bytes_max - 5;
const groupEnd = bytesOf('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ)');
const groupStart = bytesOf('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ(+');
const numberEnd = bytesOf(' \t\r\n,:[]{}');

/** What is wanted, and by what was counted in a span the finders that may find something there. */
interface Table {
  readonly ats: boolean;
  readonly numbers: boolean;
  readonly keys: boolean;
  readonly finders: readonly (readonly Finder[])[];
}

const counted = { ats: 1, numbers: 2, keys: 4 } as const;
const tables = new Map<Kinds, Table>();

function tableOf(kinds: Kinds): Table {
  let table = tables.get(kinds);
  if (table === undefined) {
    const ats = has(kinds, 'email');
    const keys = has(kinds, 'key');
    const numbers = patternKinds.some((kind) => kind !== 'email' && kind !== 'key' && has(kinds, kind));
    const finders = Array.from({ length: 8 }, (_, given) => {
      const wanted = wantedOf(kinds, (given & counted.keys) !== 0, (given & counted.numbers) !== 0);
      return [
        ...(Object.values(wanted).includes(true) ? [finderOf(wanted)] : []),
        ...(ats && (given & counted.ats) !== 0 ? [findEmail] : []),
      ];
    });
    table = { ats, keys, numbers, finders };
    tables.set(kinds, table);
  }
  return table;
}

export class Walker {
  /** What is to be replaced, in threes: from, to (bytes of what was walked over), one of `puts`. Not overlapping, in order. */
  readonly edits: number[] = [];
  /** Everything before it is decided. */
  decided = 0;
  /** Where to go on once more bytes have come. */
  at = 0;
  /** The byte before the first one that is at hand; -1 where there is none. */
  before = -1;

  #end = 0;
  #table: Table;
  #numbers: boolean;
  // The open span:
  #span = -1;
  /** Where it began, before its beginning was decided: nothing before it is looked back at. */
  #origin = -1;
  #digits = 0;
  #upper = 0;
  #dashes = 0;
  #ats = false;
  #escapes = false;
  // What is swallowed:
  #rest: Rest | undefined;
  #swallowed = 0;
  #run = 0;
  #runs = 0;
  readonly #pieces = new Pieces();

  constructor({ kinds, numbers }: Looking) {
    this.#table = tableOf(kinds);
    this.#numbers = numbers;
  }

  /** A new text. */
  reset({ kinds, numbers }: Looking): void {
    this.#table = tableOf(kinds);
    this.#numbers = numbers;
    this.#rest = undefined;
    this.resume();
  }

  /** The text goes on, and nothing of it is at hand any more: a key or a token that was found goes on as well. */
  resume(): void {
    this.edits.length = 0;
    this.#close();
    this.decided = this.at = 0;
    this.before = -1;
  }

  /** What has to be kept until more bytes come. */
  get needed(): number {
    return this.#span < 0 ? this.at : Math.max(this.#origin, this.#span - context_bytes);
  }

  /** The bytes have moved to the front by so many. */
  move(bytes: number): void {
    this.at -= bytes;
    this.decided -= bytes;
    if (this.#span >= 0) {
      this.#span -= bytes;
      this.#origin = Math.max(0, this.#origin - bytes);
    }
    this.edits.length = 0;
  }

  /**
   * Goes on to the end of `buffer[floor..end)`, from where it stood. `final`: nothing more will come.
   *
   * @param floor Nothing before it belongs to the text.
   */
  walk(buffer: Buffer, floor: number, end: number, final: boolean): void {
    this.#end = end;
    this.#pieces.forget();
    let waits = false;
    while (this.at < end && !waits) {
      if (this.#rest !== undefined) waits = !this.#swallow(buffer, end, final);
      else {
        waits = !this.#scan(buffer, floor, Math.min(end, this.at + block_bytes), end, final);
        if (this.#span >= 0 && this.at - this.#span >= block_bytes) this.#cut(buffer, floor);
      }
    }
    if (final && this.#rest === undefined && this.#span >= 0) {
      this.#look(buffer, floor, end, end, true);
      // What was found may go on behind what was looked at first, and more may stand behind that.
      if (this.at < end) return this.walk(buffer, floor, end, true);
    }
    if (final) this.at = end;
    this.decided = final || this.#span < 0 ? this.at : this.#span;
  }

  /** Up to `stop`, or to where something is swallowed. False: the next byte is needed to go on. */
  #scan(buffer: Buffer, floor: number, stop: number, end: number, final: boolean): boolean {
    const { ats: wantsAts, numbers: wantsNumbers, keys: wantsKeys } = this.#table;
    let at = this.at;
    // In variables of its own, as every byte comes by here.
    let span = this.#span;
    let digits = this.#digits;
    let upper = this.#upper;
    let dashes = this.#dashes;
    let waits = false;
    for (; at < stop; at++) {
      const kind = classes[buffer[at]!]!;
      if (kind > is.space) {
        if (span < 0) this.#origin = span = at;
        if (kind === is.word) continue;
        if (kind === is.digit) digits++;
        else if (kind === is.upper) upper++;
        else if (kind === is.dash) dashes++;
        else if (kind === is.at) this.#ats = true;
        else this.#escapes = true;
        continue;
      }
      if (span < 0) continue;
      if (kind === is.space && groupEnd[buffer[at - 1]!] === 1) {
        waits = at + 1 === end && !final;
        if (waits) break;
        if (at + 1 < end && groupStart[buffer[at + 1]!] === 1) continue;
      }
      if (
        this.#escapes ||
        (this.#ats && wantsAts) ||
        (wantsNumbers && mayBeNumbers(digits, upper, at - span)) ||
        (wantsKeys && isKey(digits, dashes, at - span))
      ) {
        this.#keep(at, span, digits, upper, dashes);
        this.#look(buffer, floor, at, end, true);
        if (this.#rest !== undefined) return true;
      }
      span = -1;
      digits = upper = dashes = 0;
      this.#ats = this.#escapes = false;
    }
    this.#keep(at, span, digits, upper, dashes);
    return !waits;
  }

  #keep(at: number, span: number, digits: number, upper: number, dashes: number): void {
    this.at = at;
    this.#span = span;
    this.#digits = digits;
    this.#upper = upper;
    this.#dashes = dashes;
  }

  #close(): void {
    this.#keep(this.at, -1, 0, 0, 0);
    this.#ats = this.#escapes = false;
  }

  /** What may find something, by what was counted; behind escapes anything may stand. */
  #finders(bytes: number): readonly Finder[] {
    if (this.#escapes) return this.#table.finders[counted.ats | counted.numbers | counted.keys]!;
    return this.#table.finders[
      (this.#ats ? counted.ats : 0) |
        (mayBeNumbers(this.#digits, this.#upper, bytes) ? counted.numbers : 0) |
        (isKey(this.#digits, this.#dashes, bytes) ? counted.keys : 0)
    ]!;
  }

  /** A span that does not end: its beginning is decided by what it has so far. */
  #cut(buffer: Buffer, floor: number): void {
    const limit = this.at - undecided_bytes_max;
    this.#look(buffer, floor, this.at, limit, false);
  }

  /**
   * Looks for what begins in the span before `limit`. `whole`: the span has ended at `to`. What is found stands in
   * `edits`; where that goes on, the walk goes on behind it.
   */
  #look(buffer: Buffer, floor: number, to: number, limit: number, whole: boolean): void {
    const from = this.#span;
    const finders = this.#finders(to - from);
    if (finders.length === 0) {
      if (whole) this.#close();
      else this.#span = limit;
      return;
    }
    const context = Math.max(this.#origin, from - context_bytes);
    if (this.#escapes) this.#replace(buffer, floor, limit, whole, finders, readEscaped(buffer, context, from, to));
    else {
      const text = this.#pieces.slice(buffer, context, to, this.#end);
      const [only] = finders;
      // Most spans: nothing is found, and nothing made for it.
      if (whole && finders.length === 1 && only!(text, from - context) === undefined) this.#close();
      else {
        const reading = { text, at: (unit: number) => context + unit, from: from - context };
        this.#replace(buffer, floor, limit, whole, finders, reading);
      }
    }
  }

  /** What the finders find in what was read. */
  #replace(
    buffer: Buffer,
    floor: number,
    limit: number,
    whole: boolean,
    finders: readonly Finder[],
    reading: Reading,
  ): void {
    const { text } = reading;
    let place = reading.from;
    const known = finders.map((find) => find(text, place));
    for (;;) {
      let best: Found | undefined;
      for (const found of known) if (found !== undefined && (best === undefined || isBefore(found, best))) best = found;
      if (best === undefined || (!whole && reading.at(best.start) >= limit)) break;
      place = best.end;
      this.#edit(buffer, floor, reading, best);
      if (best.rest !== undefined) {
        this.at = reading.at(place);
        this.#begin(best.rest);
        return;
      }
      for (const [index, find] of finders.entries()) {
        const found = known[index];
        if (found !== undefined && found.start < place) known[index] = find(text, place);
      }
    }
    if (whole) this.#close();
    else this.#span = Math.max(reading.at(place), this.#unitFrom(reading, place, limit));
  }

  /** The first unit that begins at or behind a byte. */
  #unitFrom({ text, at }: Reading, from: number, byte: number): number {
    if (!this.#escapes) return byte;
    let unit = from;
    while (unit < text.length && at(unit) < byte) unit++;
    return at(unit);
  }

  #edit(buffer: Buffer, floor: number, { at, text }: Reading, { start, end }: Found): void {
    const from = at(start);
    const to = at(end);
    const bare = this.#numbers && /^\d+$/.test(text.slice(start, end)) && this.#isBare(buffer, floor, from, to);
    this.edits.push(from, to, bare ? zero : stars);
  }

  /** Whether nothing stands around a number but what separates numbers in JSON, or a sign and a fraction. */
  #isBare(buffer: Buffer, floor: number, from: number, to: number): boolean {
    const byte = (at: number) => (at >= this.#end ? -1 : at < floor ? this.before : buffer[at]!);
    const isEnd = (found: number) => found < 0 || numberEnd[found] === 1;
    const previous = byte(from - 1);
    if (!isEnd(previous === 0x2d ? byte(from - 2) : previous)) return false;
    return isEnd(byte(to)) || (byte(to) === 0x2e && classes[Math.max(0, byte(to + 1))] === is.digit);
  }

  #begin(rest: Rest): void {
    this.#close();
    this.#rest = rest;
    this.#swallowed = this.#run = this.#runs = 0;
  }

  /** What belongs to what was found before. False: the next byte is needed to go on. */
  #swallow(buffer: Buffer, end: number, final: boolean): boolean {
    const rest = this.#rest!;
    const belongs = restBytes[rest];
    const from = this.at;
    let at = from;
    let waits = false;
    for (; at < end && this.#rest !== undefined; at++) {
      const byte = buffer[at]!;
      if (belongs[byte] !== 1 || (rest === 'key' && this.#swallowed >= key_bytes_max)) {
        this.#rest = undefined;
        break;
      }
      if (byte === 0x5c) {
        let behind = at + 1;
        while (behind < end && behind - at < backslashes_max && buffer[behind] === 0x5c) behind++;
        waits = behind === end && !final;
        if (!waits && (behind === end || escapedInKey[buffer[behind]!] !== 1)) this.#rest = undefined;
        if (waits || this.#rest === undefined) break;
        this.#swallowed += behind - at;
        at = behind;
        continue;
      }
      this.#swallowed++;
      if (rest === 'key' && this.#isOver(byte)) this.#rest = undefined;
    }
    this.at = at;
    if (at > from) this.#extend(from, at);
    return !waits;
  }

  /** "-----END PRIVATE KEY-----": five dashes, and five more. */
  #isOver(byte: number): boolean {
    this.#run = byte === 0x2d ? this.#run + 1 : 0;
    if (this.#run === 5) this.#runs++;
    return this.#run === 5 && this.#runs === 2;
  }

  #extend(from: number, to: number): void {
    const { edits } = this;
    if (edits.length > 0 && edits[edits.length - 2] === from) edits[edits.length - 2] = to;
    else edits.push(from, to, nothing);
  }
}
