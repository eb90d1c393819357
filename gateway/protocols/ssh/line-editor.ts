import { addTo, cellsOf, type Cell } from './cells.js';

/**
 * The line that somebody types in a terminal in raw mode: characters in, what is to be shown out. Pure, and bounded: it knows
 * neither what a line means nor where it goes.
 *
 * Keys as in most shells: arrows, Home, End, Delete; ^A ^E ^B ^F ^P ^N ^H ^D ^K ^U ^W ^Y ^L ^C; Alt-B, Alt-F. A paste that the
 * terminal marks as one (bracketed paste) is put in whole, its line ends with it. Whatever else has no character of its own
 * is answered with a bell.
 */

export type Typed =
  | { readonly kind: 'line'; readonly text: string }
  /** A line of which not all had room: what is there may mean something else. */
  | { readonly kind: 'cut' }
  | { readonly kind: 'interrupt'; readonly text: string }
  | { readonly kind: 'end' };

export interface Edited {
  /** What is to be shown. */
  readonly shown: string;
  /** What happened. Absent: nothing yet. */
  readonly typed?: Typed;
  /** What is not read yet: what stands behind that, or would take too long at once. */
  readonly rest: string;
}

/** On the screen, from where the prompt begins. */
interface Spot {
  readonly row: number;
  readonly column: number;
}

export const line_chars_max = 16_384;
/** Of characters that are put in, taken out or passed over at once: others are served in between. */
const work_chars_max = 32_768;
const history_max = 500;
/** Of all lines that are kept: each of many shells has its own. */
const history_chars_max = 262_144;

const bell = '\x07';
/** How terminals mark what is pasted. */
const pasted = { from: '\x1b[200~', to: '\x1b[201~' } as const;
/** They mark it from here on, or no longer. */
export const pasteMarks = { on: '\x1b[?2004h', off: '\x1b[?2004l' } as const;
/** ECMA-48, 5.4: a control sequence; and SS3, with which keypads begin. */
const sequence = /^\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~]|[^[O\x1b])/u;
const sequence_chars_max = 32;

export class LineEditor {
  #columns: number;
  #prompt: Cell[] = [];
  #cells: Cell[] = [];
  #chars = 0;
  /** Something was typed into this line that had no room. */
  #cutShort = false;
  #at = 0;
  /** What was cut out last. */
  #cut = '';
  /** Where the cursor is on the screen, from where the prompt begins. */
  #row = 0;
  /** Where the text ends there. */
  #end: Spot = { row: 0, column: 0 };
  #pasting = false;
  #afterReturn = false;
  #unread = '';
  #changed = false;
  #work = 0;
  readonly #history: string[] = [];
  #historyChars = 0;
  /** In the history; its length: the line that is new. */
  #place = 0;
  #draft = '';

  constructor(columns: number) {
    this.#columns = sane(columns);
  }

  resize(columns: number): void {
    this.#columns = sane(columns);
  }

  /** A new line begins. Gives what is to be shown. */
  begin(prompt: string): string {
    this.#prompt = cellsOf(prompt);
    this.#clear();
    this.#place = this.#history.length;
    this.#draft = '';
    this.#row = 0;
    return pasteMarks.on + this.#draw();
  }

  /** The last lines, the newest last. */
  remember(line: string): void {
    if (line.trim() === '' || line === this.#history.at(-1)) return;
    this.#history.push(line);
    this.#historyChars += line.length;
    while (this.#history.length > history_max || this.#historyChars > history_chars_max)
      this.#historyChars -= this.#history.shift()!.length;
  }

  /** The prompt and what stands behind it, as it was shown. */
  get screenLine(): string {
    return [...this.#prompt, ...this.#cells].map(({ text, shown }) => (text === '\n' ? '\r\n' : shown)).join('');
  }

  /** @param text What was typed behind what was read. */
  input(text: string): Edited {
    let rest = this.#unread + text;
    this.#unread = '';
    this.#work = 0;
    let shown = '';
    while (rest !== '') {
      if (this.#work > work_chars_max) return { shown, rest };
      const key = this.#next(rest);
      if (key === undefined) {
        this.#unread = rest;
        break;
      }
      rest = rest.slice(key.length);
      this.#work += key.length;
      const typed = this.#key(key);
      if (typeof typed === 'string') shown += typed;
      else if (typed !== undefined) return { shown: shown + this.#leave(typed), typed, rest };
    }
    return { shown: shown + this.#redraw(), rest: '' };
  }

  /** The next key, or the letters up to it; undefined where more has to come first. */
  #next(text: string): string | undefined {
    if (text[0] === '\x1b') {
      const [found] = sequence.exec(text) ?? [];
      if (found !== undefined) return found;
      // Not the beginning of one that could still become whole.
      return text.length > sequence_chars_max || text.indexOf('\x1b', 1) > 0 ? text[0] : undefined;
    }
    // In Unicode: a letter of two halves stays whole.
    return /^[^\u0000-\u001f\u007f]+/u.exec(text)?.[0] ?? text[0]!;
  }

  /** What to show at once, or what happened. */
  #key(key: string): string | Typed | undefined {
    const afterReturn = this.#afterReturn;
    this.#afterReturn = key === '\r';
    if (this.#pasting) return this.#pasted(key, afterReturn);
    if (key.length > 1 && key[0] === '\x1b') return this.#sequence(key);
    switch (key) {
      case '\n':
        return afterReturn ? undefined : this.#line();
      case '\r':
        return this.#line();
      case '\x03':
        return { kind: 'interrupt', text: this.#text };
      case '\x04':
        return this.#cells.length === 0 ? { kind: 'end' } : this.#remove(this.#at, this.#at + 1);
      default:
        return key < ' ' || key === '\x7f' ? this.#control(key) : this.#insert(key);
    }
  }

  #control(key: string): string | undefined {
    const [at, length] = [this.#at, this.#cells.length];
    switch (key) {
      case '\x01':
        return this.#go(0);
      case '\x05':
        return this.#go(length);
      case '\x02':
        return this.#go(at - 1);
      case '\x06':
        return this.#go(at + 1);
      case '\x08':
      case '\x7f':
        return this.#remove(at - 1, at);
      case '\x0b':
        return this.#kill(at, length);
      case '\x15':
        return this.#kill(0, at);
      case '\x17':
        return this.#kill(this.#wordBefore(), at);
      case '\x19':
        return this.#insert(this.#cut);
      case '\x10':
        return this.#recall(-1);
      case '\x0e':
        return this.#recall(1);
      case '\x0c':
        this.#row = 0;
        this.#changed = true;
        return '\x1b[H\x1b[2J';
      default:
        return bell;
    }
  }

  #sequence(key: string): string | undefined {
    switch (key) {
      case '\x1b[A':
      case '\x1bOA':
        return this.#recall(-1);
      case '\x1b[B':
      case '\x1bOB':
        return this.#recall(1);
      case '\x1b[C':
      case '\x1bOC':
        return this.#go(this.#at + 1);
      case '\x1b[D':
      case '\x1bOD':
        return this.#go(this.#at - 1);
      case '\x1b[H':
      case '\x1bOH':
      case '\x1b[1~':
        return this.#go(0);
      case '\x1b[F':
      case '\x1bOF':
      case '\x1b[4~':
        return this.#go(this.#cells.length);
      case '\x1b[3~':
        return this.#remove(this.#at, this.#at + 1);
      case '\x1b[1;5D':
      case '\x1bb':
        return this.#go(this.#wordBefore());
      case '\x1b[1;5C':
      case '\x1bf':
        return this.#go(this.#wordAfter());
      case pasted.from:
        this.#pasting = true;
        return undefined;
      default:
        return bell;
    }
  }

  /** Line ends are kept, and every other control character is left out. */
  #pasted(key: string, afterReturn: boolean): string | undefined {
    if (key === pasted.to) this.#pasting = false;
    else if (key === '\r' || (key === '\n' && !afterReturn)) return this.#insert('\n');
    else if (key === '\t') return this.#insert(key);
    else if (key >= ' ' && key !== '\x7f') return this.#insert(key);
    return undefined;
  }

  #insert(text: string): string | undefined {
    // What does not fit is not there at all, and the rest is not run: half a line would mean something else.
    if (this.#chars + text.length > line_chars_max) {
      if (this.#cutShort) return undefined;
      this.#cutShort = true;
      return bell;
    }
    this.#work += text.length;
    const before = this.#cells.length;
    const atEnd = this.#at === before && !this.#changed;
    let joined = false;
    for (const character of text) {
      const more = addTo(this.#cells, this.#at, character);
      joined ||= more === 0;
      this.#at += more;
    }
    this.#chars += text.length;
    // What is added behind the last is shown by itself, unless a line is full: a long paste costs what it is long.
    const added = this.#cells.slice(before);
    const { row, column } = this.#end;
    const width = added.reduce((sum, { columns }) => sum + columns, 0);
    if (atEnd && !joined && column + width < this.#columns && !text.includes('\n')) {
      this.#row = row;
      this.#end = { row, column: column + width };
      return added.map(({ shown }) => shown).join('');
    }
    this.#changed = true;
    return undefined;
  }

  #remove(from: number, to: number): string | undefined {
    if (from < 0 || to > this.#cells.length || from === to) return bell;
    const removed = this.#cells.splice(from, to - from);
    this.#chars -= removed.reduce((sum, { text }) => sum + text.length, 0);
    if (this.#cells.length === 0) this.#cutShort = false;
    this.#at = from;
    this.#changed = true;
    return undefined;
  }

  #kill(from: number, to: number): string | undefined {
    if (from === to) return undefined;
    this.#cut = textOf(this.#cells.slice(from, to));
    this.#work += this.#cut.length;
    return this.#remove(from, to);
  }

  #go(at: number): string | undefined {
    if (at < 0 || at > this.#cells.length) return bell;
    this.#work += Math.abs(at - this.#at);
    this.#at = at;
    this.#changed = true;
    return undefined;
  }

  #wordBefore(): number {
    let at = this.#at;
    while (at > 0 && isBlank(this.#cells[at - 1]!)) at -= 1;
    while (at > 0 && !isBlank(this.#cells[at - 1]!)) at -= 1;
    return at;
  }

  #wordAfter(): number {
    let at = this.#at;
    while (at < this.#cells.length && isBlank(this.#cells[at]!)) at += 1;
    while (at < this.#cells.length && !isBlank(this.#cells[at]!)) at += 1;
    return at;
  }

  #recall(by: number): string | undefined {
    const place = this.#place + by;
    if (place < 0 || place > this.#history.length) return bell;
    if (this.#place === this.#history.length) this.#draft = this.#text;
    this.#place = place;
    this.#clear();
    this.#insert(this.#history[place] ?? this.#draft);
    this.#changed = true;
    return undefined;
  }

  get #text(): string {
    return textOf(this.#cells);
  }

  #line(): Typed {
    return this.#cutShort ? { kind: 'cut' } : { kind: 'line', text: this.#text };
  }

  #clear(): void {
    this.#cells = [];
    this.#chars = 0;
    this.#cutShort = false;
    this.#at = 0;
  }

  /** The cursor goes behind the text, and the next line begins. */
  #leave(typed: Typed): string {
    const unseen = this.#redraw();
    const { row } = this.#measure(this.#at);
    const last = this.#measure(this.#cells.length).row;
    const down = last > row ? `\x1b[${last - row}B` : '';
    const said = typed.kind === 'interrupt' ? '^C' : '';
    return `${unseen}${down}${said}\r\n${pasteMarks.off}`;
  }

  #redraw(): string {
    if (!this.#changed) return '';
    const up = this.#row > 0 ? `\x1b[${this.#row}A` : '';
    return `${up}\r\x1b[J${this.#draw()}`;
  }

  /** From where the prompt begins. Lines are broken here, and not left to the terminal: they differ in that. */
  #draw(): string {
    let out = '';
    let column = 0;
    for (const { text, shown, columns } of [...this.#prompt, ...this.#cells]) {
      if (text === '\n' || column + columns > this.#columns) {
        out += '\r\n';
        column = 0;
      }
      out += shown;
      column += columns;
    }
    if (column >= this.#columns) out += '\r\n';
    const end = this.#measure(this.#cells.length);
    const cursor = this.#measure(this.#at);
    if (end.row > cursor.row) out += `\x1b[${end.row - cursor.row}A`;
    if (end.row > cursor.row || end.column !== cursor.column)
      out += `\r${cursor.column > 0 ? `\x1b[${cursor.column}C` : ''}`;
    this.#row = cursor.row;
    this.#end = end;
    this.#changed = false;
    return out;
  }

  /** Where on the screen the cell of this number stands, or would. */
  #measure(at: number): Spot {
    let [row, column] = [0, 0];
    for (const { text, columns } of [...this.#prompt, ...this.#cells.slice(0, at)]) {
      if (text === '\n' || column + columns > this.#columns) {
        row += 1;
        column = 0;
      }
      column += columns;
    }
    const cell = this.#cells[at];
    return column >= this.#columns ||
      (cell !== undefined && cell.text !== '\n' && column + cell.columns > this.#columns)
      ? { row: row + 1, column: 0 }
      : { row, column };
  }
}

/** Where in what was typed a line begins that has no end yet; what ends within a paste is none. ^C ends one, and ^D the shell. */
export function tornOff(typed: string): number {
  let pasting = false;
  let at = 0;
  for (const { 0: found, index } of typed.matchAll(/\x1b\[20[01]~|[\r\n\x03]|(?<=^|[\r\n\x03\x04])\x04/gu)) {
    if (found.length > 1) pasting = found === pasted.from;
    else if (!pasting) at = index + 1;
  }
  return at;
}

const textOf = (cells: readonly Cell[]): string => cells.map(({ text }) => text).join('');
const isBlank = ({ text }: Cell): boolean => /^\s/u.test(text);
/** A terminal that says nothing of its size, or nonsense. */
const sane = (columns: number): number => (columns >= 2 && columns <= 10_000 ? columns : 80);
