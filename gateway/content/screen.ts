import { isUnseen, maySequence, sequenceAt } from './escapes.js';

/**
 * What somebody else wrote for their terminal, for the terminal of whoever looks at it later: letters, colours and places come
 * through. What a terminal answers (and so types into the shell of whoever looks), stores in a clipboard, prints, fetches, or is
 * set up by for what is typed next, does not.
 *
 * It is an allow-list: whatever is not known to draw is left out. What leaves is written anew and whole, so that no terminal reads it
 * otherwise than it was read here.
 *
 * @see https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
 */
export class Screen {
  /** The beginning of a sequence, which is bounded by what a sequence may be. */
  #open: Buffer = Buffer.alloc(0);

  /** What of it draws. Half a sequence waits for its other half. */
  push(text: string): string {
    const bytes = Buffer.concat([this.#open, Buffer.from(text)]);
    this.#open = bytes.subarray(bytes.length);
    const parts: string[] = [];
    let from = 0;
    let at = 0;
    const upTo = (end: number, next: number) => {
      if (end > from) parts.push(bytes.toString('utf8', from, end));
      from = at = next;
    };
    while (at < bytes.length) {
      const byte = bytes[at]!;
      const sequence = maySequence(byte) ? sequenceAt(bytes, at) : undefined;
      if (sequence === 'more') {
        this.#open = Buffer.from(bytes.subarray(at));
        upTo(at, bytes.length);
      } else if (sequence !== undefined) {
        const drawn = drawing(bytes, at, sequence.end);
        upTo(at, sequence.end);
        parts.push(drawn);
      } else if (isUnseen(byte) && !shifts.has(byte)) upTo(at, at + 1);
      else at++;
    }
    upTo(at, at);
    return parts.join('');
  }
}

/** What a recording may have changed, as terminals are by default: colours, letters, margins, modes; the cursor stays where it is. */
export const screenReset =
  '\u001b[0m\u001b(B\u000f\u001b[4l\u001b[?5l\u001b[?7h\u001b7\u001b[r\u001b8\u001b[?1049l\u001b[?25h';

/** SO and SI: which of two sets of letters is in use. */
const shifts: ReadonlySet<number> = new Set([0x0e, 0x0f]);

/** Numbers of at most four digits. */
const parameters = /^(?:\d{0,4}(?:[;:]\d{0,4}){0,31})$/u;
/** ECMA-48 names: ICH CUU CUD CUF CUB CNL CPL CHA CUP CHT EL IL DL DCH SU SD ECH CBT HPA HPR REP VPA VPR HVP SGR, margins, saved places. */
const drawingFinals: ReadonlySet<string> = new Set('@ABCDEFGHIKLMPSTXZ`abdefmrsu');
/** More than one number makes other commands of these: tracking of the mouse, margins that stay. */
const single: ReadonlySet<string> = new Set('Tsu');
/** Saved and restored places, lines, and back. */
const alone: ReadonlySet<string> = new Set('78DEM');
/** Reversed colours, wrapping, a blinking cursor, a cursor at all, screens of their own. */
const drawingModes: ReadonlySet<string> = new Set(['5', '7', '12', '25', '47', '1047', '1048', '1049']);

function drawing(bytes: Buffer, at: number, end: number): string {
  // C1 in UTF-8 is ESC and a letter in one.
  const introducer = bytes[at] === 0x1b ? bytes.toString('latin1', at + 1, at + 2) : c1(bytes[at + 1]!);
  const body = bytes.toString('latin1', at + 2, end);
  if (introducer === '[') return control(body);
  if ('()*+'.includes(introducer)) return /^[0AB]$/u.test(body) ? `\u001b${introducer}${body}` : '';
  // A reset forgets what stood before the recording as well.
  if (introducer === 'c') return '\u001b[0m\u001b[H\u001b[2J';
  return alone.has(introducer) ? `\u001b${introducer}` : '';
}

const c1 = (byte: number): string => String.fromCharCode(byte - 0x40);

function control(body: string): string {
  const final = body.slice(-1);
  const given = body.slice(0, -1);
  if ((final === 'h' || final === 'l') && given.startsWith('?')) {
    const modes = given.slice(1).split(';');
    return modes.map((mode) => (drawingModes.has(mode) ? `\u001b[?${mode}${final}` : '')).join('');
  }
  const erases = final === 'J' && /^[012]?$/u.test(given);
  const inserts = (final === 'h' || final === 'l') && given === '4';
  const draws = drawingFinals.has(final) && parameters.test(given) && (!single.has(final) || /^\d*$/u.test(given));
  return erases || inserts || draws ? `\u001b[${body}` : '';
}
