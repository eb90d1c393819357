import { penAfter } from './pen.js';
import { Screen } from './screen.js';

/**
 * What a host wrote to a terminal, read and drawn on a screen (ECMA-48, and xterm's control sequences). Titles, links, pictures
 * and questions to the terminal are read over: nothing of them is kept, shown or answered.
 *
 * @see https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
 */

const sequence_units_max = 256;
const parameters_max = 32;
const number_max = 9_999;
/** A title or picture that is longer has not ended where it should: what follows is shown, so that it hides nothing. */
const string_units_max = 65_536;

const bell = 0x07;
const cancel = 0x18;
const substitute = 0x1a;
const escape = 0x1b;

/** DEC's special graphics, from "`" to "~". */
const graphics = [...'◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·'];

const one = (number) => Math.max(1, number ?? 1);
const zero = (number) => number ?? 0;

/** By the last letter of a sequence that begins with CSI; each with its numbers. */
const acts = {
  '@': (screen, [n]) => screen.insertCells(one(n)),
  A: (screen, [n]) => screen.moveBy(0, -one(n)),
  B: (screen, [n]) => screen.moveBy(0, one(n)),
  C: (screen, [n]) => screen.moveBy(one(n), 0),
  D: (screen, [n]) => screen.moveBy(-one(n), 0),
  E: (screen, [n]) => screen.moveBy(-screen.columns, one(n)),
  F: (screen, [n]) => screen.moveBy(-screen.columns, -one(n)),
  G: (screen, [n]) => screen.toColumn(one(n) - 1),
  H: (screen, [y, x]) => screen.moveTo(one(x) - 1, one(y) - 1),
  I: (screen, [n]) => screen.tab(one(n)),
  J: (screen, [n]) => screen.eraseInDisplay(zero(n)),
  K: (screen, [n]) => screen.eraseInLine(zero(n)),
  L: (screen, [n]) => screen.insertLines(one(n)),
  M: (screen, [n]) => screen.deleteLines(one(n)),
  P: (screen, [n]) => screen.deleteCells(one(n)),
  S: (screen, [n]) => screen.scroll(one(n)),
  T: (screen, numbers) => numbers.length <= 1 && screen.scroll(-one(numbers[0])),
  X: (screen, [n]) => screen.eraseCells(one(n)),
  Z: (screen, [n]) => screen.tab(-one(n)),
  d: (screen, [n]) => screen.toLine(one(n) - 1),
  e: (screen, [n]) => screen.moveBy(0, one(n)),
  r: (screen, [top, bottom]) => screen.setMargins(zero(top), zero(bottom)),
  s: (screen) => screen.save(),
  u: (screen) => screen.restore(),
};
acts['`'] = acts.G;
acts.a = acts.C;
acts.f = acts.H;

/** Modes of DEC's, between CSI ? and h or l. */
const modes = {
  6: (screen, on) => {
    screen.origin = on;
    screen.moveTo(0, 0);
  },
  7: (screen, on) => (screen.wraps = on),
  25: (screen, on) => (screen.hiddenCursor = !on),
  47: (screen, on) => screen.alternate(on),
  1047: (screen, on) => screen.alternate(on),
  1048: (screen, on) => (on ? screen.save() : screen.restore()),
  1049: (screen, on) => {
    if (on) screen.save();
    screen.alternate(on);
    if (!on) screen.restore();
  },
};

export class Terminal {
  constructor(columns, rows) {
    this.screen = new Screen(columns, rows);
    /** text | escape | designate | sequence | string */
    this.reading = 'text';
    this.sequence = '';
    this.passed_units = 0;
    this.last = ' ';
  }

  copy() {
    return Object.assign(Object.create(Terminal.prototype), this, { screen: this.screen.copy() });
  }

  write(text) {
    for (const character of text) this.read(character);
  }

  read(character) {
    const code = character.codePointAt(0);
    if (this.reading === 'string') this.pass(code);
    else if (code === escape) this.begin('escape');
    else if (code === cancel || code === substitute) this.reading = 'text';
    else if (code < 0x20) this.control(code);
    else if (code >= 0x80 && code < 0xa0) this.afterEscape(String.fromCharCode(code - 0x40));
    else if (this.reading === 'escape') this.afterEscape(character);
    else if (this.reading === 'designate') this.designate(character);
    else if (this.reading === 'sequence') this.inSequence(character, code);
    else if (code !== 0x7f) this.show(character, code);
  }

  begin(reading) {
    this.reading = reading;
    this.sequence = '';
    this.passed_units = 0;
  }

  show(character, code) {
    const { screen } = this;
    // Half of a pair is no letter, and what ends a line anywhere but on a terminal does not on this one.
    const shown = (code >= 0xd800 && code <= 0xdfff) || code === 0x2028 || code === 0x2029 ? '\ufffd' : character;
    const drawn = screen.drawing[screen.set] && code >= 0x60 && code <= 0x7e ? graphics[code - 0x60] : shown;
    this.last = drawn;
    screen.put(drawn);
  }

  /** Titles, links, pictures, and whatever else ends with BEL or ESC \. */
  pass(code) {
    this.passed_units += 1;
    if (code === bell || code === cancel || code === substitute || code === 0x9c) this.reading = 'text';
    else if (code === escape) this.begin('escape');
    else if (this.passed_units > string_units_max) this.reading = 'text';
  }

  control(code) {
    const { screen } = this;
    if (code === 0x08) screen.moveBy(-1, 0);
    else if (code === 0x09) screen.tab(1);
    else if (code >= 0x0a && code <= 0x0c) {
      screen.index();
      if (screen.newLines) screen.toColumn(0);
      screen.full = false;
    } else if (code === 0x0d) screen.toColumn(0);
    else if (code === 0x0e || code === 0x0f) screen.set = code === 0x0e ? 1 : 0;
  }

  /** What stands behind ESC; a C1 control is the same in one character. */
  afterEscape(character) {
    const { screen } = this;
    this.reading = 'text';
    if (character === '[') this.begin('sequence');
    else if (']PX^_'.includes(character)) this.begin('string');
    else if (character >= ' ' && character <= '/') {
      this.begin('designate');
      this.sequence = character;
    } else if (character === '7') screen.save();
    else if (character === '8') screen.restore();
    else if (character === 'c') screen.reset();
    else if (character === 'M') screen.reverseIndex();
    else if (character === 'D' || character === 'E') {
      screen.index();
      if (character === 'E') screen.toColumn(0);
    }
  }

  /** Sets of characters, and ESC # 8. */
  designate(character) {
    if (character >= ' ' && character <= '/') return;
    this.reading = 'text';
    if (this.sequence === '(') this.screen.drawing[0] = character === '0';
    else if (this.sequence === ')') this.screen.drawing[1] = character === '0';
    else if (this.sequence === '#' && character === '8') this.screen.fill('E');
  }

  inSequence(character, code) {
    if (code > 0x7e) {
      // No sequence has such a letter in it: it is text behind one that did not end.
      this.reading = 'text';
      if (code !== 0x7f) this.show(character, code);
    } else if (code >= 0x40) {
      this.reading = 'text';
      this.obey(character);
    } else if (this.sequence.length <= sequence_units_max) this.sequence += character;
  }

  obey(final) {
    const [, kind, list, between] = /^([<=>?]?)([0-9:;]*)([ -/]*)$/u.exec(this.sequence) ?? [];
    if (kind === undefined || this.sequence.length > sequence_units_max) return;
    const { screen } = this;
    const parameters = list === '' ? [] : list.split(';', parameters_max);
    const numbers = parameters.map((text) => Math.min(number_max, Number.parseInt(text || '0', 10) || 0));
    if (between === '!' && final === 'p') screen.softReset();
    else if (between !== '') return;
    else if (final === 'h' || final === 'l') this.setModes(kind, numbers, final === 'h');
    else if (kind === '?' && (final === 'J' || final === 'K')) acts[final](screen, numbers);
    else if (kind !== '') return;
    else if (final === 'm') screen.pen = penAfter(screen.pen, parameters);
    else if (final === 'b')
      for (let left = Math.min(one(numbers[0]), screen.columns); left > 0; left--) screen.put(this.last);
    else if (Object.hasOwn(acts, final)) acts[final](screen, numbers);
  }

  setModes(kind, numbers, on) {
    for (const number of numbers) {
      if (kind === '?' && Object.hasOwn(modes, number)) modes[number](this.screen, on);
      else if (kind === '' && number === 4) this.screen.inserts = on;
      else if (kind === '' && number === 20) this.screen.newLines = on;
    }
  }
}
