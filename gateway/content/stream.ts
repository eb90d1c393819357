import { puts, Walker, type Looking } from './walker.js';

/**
 * Masks a text that comes in pieces. What leaves is the same however it was cut: of each piece only that is held back
 * which could still be the beginning of something (`held_bytes_max` at most, a word or a few groups of digits as a rule).
 *
 * Who cannot wait for the next piece (a prompt in a terminal) calls `finish`, and goes on with the next piece as with a
 * text of its own: what was cut there is not found.
 */
export class ContentStream {
  readonly #looking: Looking;
  readonly #walker: Walker;
  /** What was not decided, and before it what has left already and may be looked back at. */
  #held = none;
  #left = 0;

  constructor(looking: Looking) {
    this.#looking = looking;
    this.#walker = new Walker(looking);
  }

  /** Bytes that wait. */
  get held(): number {
    return this.#held.length - this.#left;
  }

  /** What can leave now. The piece itself, or a part of it, where there is nothing to mask. */
  push(piece: Buffer): Buffer {
    return this.#walk(piece, false);
  }

  /** The text is over: what was held back. */
  finish(): Buffer {
    const rest = this.#walk(none, true);
    this.#walker.reset(this.#looking);
    this.#held = none;
    this.#left = 0;
    return rest;
  }

  #walk(piece: Buffer, final: boolean): Buffer {
    const walker = this.#walker;
    const data = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    walker.walk(data, 0, data.length, final);
    const { decided, edits, needed } = walker;
    const out =
      edits.length === 0 ? untouched(piece, data, this.#left, decided) : edited(data, this.#left, decided, edits);
    // A copy: the piece is its sender's.
    this.#held = needed < data.length ? Buffer.from(data.subarray(needed)) : none;
    this.#left = decided - needed;
    if (needed > 0) walker.before = data[needed - 1]!;
    walker.move(needed);
    return out;
  }
}

const none = Buffer.alloc(0);

function untouched(piece: Buffer, data: Buffer, from: number, to: number): Buffer {
  return data === piece && from === 0 && to === piece.length ? piece : data.subarray(from, to);
}

function edited(data: Buffer, from: number, to: number, edits: readonly number[]): Buffer {
  const parts: Buffer[] = [];
  let at = from;
  for (let edit = 0; edit < edits.length; edit += 3) {
    parts.push(data.subarray(at, edits[edit]), puts[edits[edit + 2] as 0 | 1 | 2]);
    at = edits[edit + 1]!;
  }
  parts.push(data.subarray(at, to));
  return Buffer.concat(parts);
}

const whole = new Walker({ kinds: 0, numbers: false });

/**
 * Masks a text that is in memory, in place: what stands in place of something is never longer. Gives the text's new end,
 * which is the old one where nothing was found.
 */
export function maskInPlace(buffer: Buffer, start: number, end: number, looking: Looking): number {
  whole.reset(looking);
  whole.at = start;
  whole.walk(buffer, start, end, true);
  const { edits } = whole;
  if (edits.length === 0) return end;
  let at = edits[0]!;
  for (let edit = 0; edit < edits.length; edit += 3) {
    const put = puts[edits[edit + 2] as 0 | 1 | 2];
    at += put.copy(buffer, at);
    const from = edits[edit + 1]!;
    const next = edits[edit + 3] ?? end;
    buffer.copyWithin(at, from, next);
    at += next - from;
  }
  return at;
}

/** The same for a string, which is UTF-8. */
export function maskText(text: string, looking: Looking): string {
  const buffer = Buffer.from(text);
  const end = maskInPlace(buffer, 0, buffer.length, looking);
  return end === buffer.length ? text : buffer.toString('utf8', 0, end);
}
