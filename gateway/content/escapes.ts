/**
 * What terminals do with bytes that are no letters (ECMA-48, and xterm's control sequences): which of them are seen through
 * as if they were not there, and which take what follows to another place.
 *
 * @see https://ecma-international.org/publications-and-standards/standards/ecma-48/
 * @see https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
 */
export type Effect =
  /** Colours, titles, modes: the letters around it stand beside each other. */
  | 'through'
  /** The cursor goes elsewhere: what follows stands in another place. */
  | 'away'
  /** The letter before it, so many times more (REP). */
  | 'repeat';

export interface Sequence {
  /** Behind it. */
  readonly end: number;
  readonly effect: Effect;
  /** Of a sequence that carries text (a title, a link): where that stands. */
  readonly text?: readonly [from: number, to: number];
  readonly times?: number;
}

/** A longer one is no sequence: its first byte is seen through, and the rest is read as text. */
const control_bytes_max = 256;
const string_bytes_max = 8_192;
const times_max = 1_024;

const bell = 0x07;
const cancel = 0x18;
const substitute = 0x1a;
const escape = 0x1b;
const c1Lead = 0xc2;

/** ECMA-48 names: CUU CUD CNL CPL CHA CUP ED IL DL SU SD HPA VPA VPR HVP, margins, saved places. */
const away = new Set([...'ABEFGHJLMST`defrsu'].map((letter) => letter.charCodeAt(0)));
/** IND NEL RI, save and restore, reset. */
const awayAlone = new Set([...'DEM78c'].map((letter) => letter.charCodeAt(0)));
const carriesText = new Set([...']P^_X'].map((letter) => letter.charCodeAt(0)));
/** Screens of their own. */
const otherScreen = /^\?(?:47|104[79])$/;

/** What no terminal shows, and no sequence begins with. */
const unseen = new Uint8Array(256);
for (let byte = 0; byte < 0x20; byte++) unseen[byte] = 1;
unseen[0x7f] = 1;
for (const shown of [0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, escape]) unseen[shown] = 0;
export const isUnseen = (byte: number): boolean => unseen[byte] === 1;

/** Whether a sequence may begin with this byte: ESC, or the first half of a C1 control in UTF-8. */
export const maySequence = (byte: number): boolean => byte === escape || byte === c1Lead;

/**
 * The sequence that begins at `at`; undefined: none does. `more`: the bytes end before it can be told.
 */
export function sequenceAt(buffer: Buffer, at: number): Sequence | 'more' | undefined {
  const lead = buffer[at]!;
  if (at + 1 >= buffer.length) return 'more';
  const second = buffer[at + 1]!;
  if (lead === c1Lead) {
    // U+0080 to U+009F: each is ESC and a letter in one.
    return second >= 0x80 && second <= 0x9f ? introduced(buffer, at, second - 0x40, at + 2) : undefined;
  }
  return introduced(buffer, at, second, at + 2);
}

function introduced(buffer: Buffer, at: number, letter: number, behind: number): Sequence | 'more' | undefined {
  if (letter === 0x5b) return control(buffer, at, behind);
  if (carriesText.has(letter)) return text(buffer, at, letter, behind);
  if (letter >= 0x20 && letter <= 0x2f) return designation(buffer, at, behind);
  if (letter >= 0x30 && letter <= 0x7e) return { end: behind, effect: awayAlone.has(letter) ? 'away' : 'through' };
  return alone(at);
}

/** An ESC that begins nothing. */
const alone = (at: number): Sequence => ({ end: at + 1, effect: 'through' });

/** CSI: parameters (0x30–0x3f), intermediates (0x20–0x2f), a final byte (0x40–0x7e). */
function control(buffer: Buffer, at: number, from: number): Sequence | 'more' {
  const stop = Math.min(buffer.length, from + control_bytes_max);
  let end = from;
  while (end < stop && buffer[end]! >= 0x30 && buffer[end]! <= 0x3f) end++;
  const parameters = end;
  while (end < stop && buffer[end]! >= 0x20 && buffer[end]! <= 0x2f) end++;
  if (end === stop) return stop === buffer.length && end - from < control_bytes_max ? 'more' : alone(at);
  const final = buffer[end]!;
  // A byte that fits nothing ends it: what follows is read for itself.
  if (final < 0x40 || final > 0x7e) return { end, effect: 'through' };
  const plain = end === parameters;
  const given = buffer.toString('latin1', from, parameters);
  if (plain && final === 0x62) return { end: end + 1, effect: 'repeat', times: timesOf(given) };
  const moves = (plain && away.has(final)) || ((final === 0x68 || final === 0x6c) && otherScreen.test(given));
  return { end: end + 1, effect: moves ? 'away' : 'through' };
}

const timesOf = (given: string): number => Math.min(times_max, Math.max(1, Number.parseInt(given, 10) || 1));

/** OSC, DCS, APC, PM, SOS: up to ST; OSC up to BEL as well; CAN, SUB and another sequence break it off. */
function text(buffer: Buffer, at: number, letter: number, from: number): Sequence | 'more' {
  const stop = Math.min(buffer.length, from + string_bytes_max);
  for (let end = from; end < stop; end++) {
    const byte = buffer[end]!;
    const ends = (byte === bell && letter === 0x5d) || byte === cancel || byte === substitute;
    if (ends) return { end: end + 1, effect: 'through', text: [from, end] };
    if (byte !== escape && byte !== c1Lead) continue;
    if (end + 1 === buffer.length) return 'more';
    const terminates = byte === escape ? buffer[end + 1] === 0x5c : buffer[end + 1] === 0x9c;
    if (terminates) return { end: end + 2, effect: 'through', text: [from, end] };
    if (byte === escape) return { end, effect: 'through', text: [from, end] };
  }
  return stop === buffer.length && stop - from < string_bytes_max ? 'more' : alone(at);
}

/** Which letters are in use, and the like: intermediates and a final byte. */
function designation(buffer: Buffer, at: number, from: number): Sequence | 'more' {
  const stop = Math.min(buffer.length, from + control_bytes_max);
  let end = from;
  while (end < stop && buffer[end]! >= 0x20 && buffer[end]! <= 0x2f) end++;
  if (end === stop) return stop === buffer.length && end - from < control_bytes_max ? 'more' : alone(at);
  const final = buffer[end]!;
  return { end: final >= 0x30 && final <= 0x7e ? end + 1 : end, effect: 'through' };
}

/** The text without its sequences: a place elsewhere is a line's end. */
export function plainText(text: string): string {
  const buffer = Buffer.from(text);
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = 0; at < buffer.length;) {
    const byte = buffer[at]!;
    const sequence = maySequence(byte) ? sequenceAt(buffer, at) : undefined;
    if (sequence === undefined && !isUnseen(byte) && byte !== 0x08) {
      at++;
      continue;
    }
    parts.push(buffer.subarray(from, at));
    if (typeof sequence === 'object' && sequence.effect === 'away') parts.push(lineEnd);
    at = typeof sequence === 'object' ? sequence.end : sequence === 'more' ? buffer.length : at + 1;
    from = at;
  }
  parts.push(buffer.subarray(from));
  return Buffer.concat(parts).toString();
}

const lineEnd = Buffer.from('\n');
