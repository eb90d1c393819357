import { plain } from './pen.js';
import { isMark, widthOf } from './width.js';

/**
 * A terminal's screen: cells with letters and pens, and what sequences do to them (xterm's, as far as programs draw with it).
 * Without a page and without a clock. Whatever is done to it, its size and what a cell may hold are bounded, and nothing throws.
 *
 * A cell is never changed, only replaced: copies share them.
 */

export const columns_max = 400;
export const rows_max = 150;
const marks_max = 4;
const tab_columns = 8;

const blank = Object.freeze({ text: ' ', pen: plain, width: 1 });
/** Behind a letter that takes two cells. */
const half = (pen) => ({ text: '', pen, width: 0 });
const clamp = (value, least, most) => Math.max(least, Math.min(most, value));
const sizeOf = (value, most, otherwise) =>
  Number.isFinite(value) && value >= 1 ? Math.min(most, Math.floor(value)) : otherwise;

export class Screen {
  constructor(columns, rows) {
    this.columns = sizeOf(columns, columns_max, 80);
    this.rows = sizeOf(rows, rows_max, 24);
    /** How much work was done, for whoever does it in steps: two letters may clear a whole screen. */
    this.touched_cells = 0;
    this.reset();
  }

  reset() {
    this.pen = plain;
    this.lines = Array.from({ length: this.rows }, () => this.emptyLine());
    /** The lines of the main screen while the other one is shown. */
    this.hidden = undefined;
    this.changed = new Set(this.lines.keys());
    this.hiddenCursor = false;
    this.softReset();
    this.x = 0;
    this.y = 0;
  }

  /** Modes, margins and pen, and nothing of what is drawn. */
  softReset() {
    this.pen = plain;
    this.top = 0;
    this.bottom = this.rows - 1;
    this.wraps = true;
    this.inserts = false;
    this.newLines = false;
    this.origin = false;
    /** Whether G0 and G1 draw lines, and which of them is meant. */
    this.drawing = [false, false];
    this.set = 0;
    this.hiddenCursor = false;
    /** The last column was written: the next letter begins a line. */
    this.full = false;
    this.saved = undefined;
  }

  /** The same, which goes its own way from here on. */
  copy() {
    const lines = (all) => all?.map((line) => line.slice());
    return Object.assign(Object.create(Screen.prototype), this, {
      lines: lines(this.lines),
      hidden: lines(this.hidden),
      drawing: [...this.drawing],
      changed: new Set(this.lines.keys()),
    });
  }

  /** Its text, a line each, without what is empty at their ends. */
  text() {
    return this.lines.map((line) =>
      line
        .map(({ text }) => text)
        .join('')
        .trimEnd(),
    );
  }

  // ---- writing

  put(character) {
    const width = widthOf(character);
    if (width === 0) return this.mark(character);
    if (width > this.columns) return undefined;
    const fits = this.x + width <= this.columns;
    if (this.wraps && (this.full || !fits)) {
      this.x = 0;
      this.index();
    } else if (!fits) this.x = this.columns - width;
    this.full = false;
    if (this.inserts) this.insertCells(width);
    this.touched_cells += width;
    const { x, y } = this;
    const line = this.lines[y];
    this.mend(line, x, x + width);
    line[x] = { text: character, pen: this.pen, width };
    if (width === 2) line[x + 1] = half(this.pen);
    this.changed.add(y);
    this.x = Math.min(this.columns - 1, x + width);
    this.full = x + width >= this.columns;
    return undefined;
  }

  /** On the letter before. */
  mark(character) {
    if (!isMark(character)) return;
    const line = this.lines[this.y];
    let at = this.full ? this.x : this.x - 1;
    if (at > 0 && line[at].width === 0) at -= 1;
    const cell = line[at];
    if (cell === undefined || [...cell.text].length > marks_max) return;
    line[at] = { ...cell, text: cell.text + character };
    this.changed.add(this.y);
  }

  /** Where a part of a line begins or ends in the middle of a wide letter, the letter goes. */
  mend(line, from, to) {
    if (line[from]?.width === 0 && from > 0) line[from - 1] = blank;
    if (line[to]?.width === 0) line[to] = blank;
  }

  // ---- moving

  moveTo(x, y) {
    const [least, most] = this.origin ? [this.top, this.bottom] : [0, this.rows - 1];
    this.x = clamp(x, 0, this.columns - 1);
    this.y = clamp(this.origin ? y + this.top : y, least, most);
    this.full = false;
  }

  /** Up and down no further than the margins, from between them. */
  moveBy(across, down) {
    const least = this.y >= this.top ? this.top : 0;
    const most = this.y <= this.bottom ? this.bottom : this.rows - 1;
    this.x = clamp(this.x + across, 0, this.columns - 1);
    this.y = clamp(this.y + down, least, most);
    this.full = false;
  }

  toLine(y) {
    this.moveTo(this.x, y);
  }

  toColumn(x) {
    this.x = clamp(x, 0, this.columns - 1);
    this.full = false;
  }

  /** Forward, or with a negative number back. */
  tab(times) {
    for (let left = Math.min(Math.abs(times), this.columns); left > 0; left--) {
      const stop = times > 0 ? Math.floor(this.x / tab_columns) + 1 : Math.ceil(this.x / tab_columns) - 1;
      this.toColumn(stop * tab_columns);
    }
  }

  /** A line down; at the lower margin what stands between the margins goes up. */
  index() {
    if (this.y === this.bottom) this.scroll(1);
    else this.y = Math.min(this.rows - 1, this.y + 1);
  }

  reverseIndex() {
    if (this.y === this.top) this.scroll(-1);
    else this.y = Math.max(0, this.y - 1);
    this.full = false;
  }

  setMargins(top, bottom) {
    const last = clamp(bottom === 0 ? this.rows - 1 : bottom - 1, 0, this.rows - 1);
    const first = clamp(top === 0 ? 0 : top - 1, 0, this.rows - 1);
    if (first >= last) return;
    this.top = first;
    this.bottom = last;
    this.moveTo(0, 0);
  }

  save() {
    const { x, y, pen, origin, full, set } = this;
    this.saved = { x, y, pen, origin, full, set, drawing: [...this.drawing] };
  }

  restore() {
    const saved = this.saved ?? { x: 0, y: 0, pen: plain, origin: false, full: false, set: 0, drawing: [false, false] };
    Object.assign(this, saved, { drawing: [...saved.drawing] });
    this.x = clamp(this.x, 0, this.columns - 1);
    this.y = clamp(this.y, 0, this.rows - 1);
    this.full = this.full && this.x === this.columns - 1;
  }

  // ---- lines

  /** Between the margins, up; with a negative number down. */
  scroll(lines) {
    this.shift(this.top, lines);
  }

  insertLines(count) {
    if (this.between()) this.shift(this.y, -count);
  }

  deleteLines(count) {
    if (this.between()) this.shift(this.y, count);
  }

  between() {
    return this.y >= this.top && this.y <= this.bottom;
  }

  /** What stands from a line to the lower margin goes up by so many lines, or down; empty ones come after it. */
  shift(from, lines) {
    const height = this.bottom - from + 1;
    const count = clamp(Math.abs(lines), 0, height);
    const empty = Array.from({ length: count }, () => this.emptyLine());
    if (lines > 0) {
      this.lines.splice(from, count);
      this.lines.splice(from + height - count, 0, ...empty);
    } else {
      this.lines.splice(from + height - count, count);
      this.lines.splice(from, 0, ...empty);
    }
    for (let y = from; y <= this.bottom; y++) this.changed.add(y);
    this.full = false;
  }

  // ---- cells

  /** What is erased keeps the pen's ground. */
  empty() {
    const { ground } = this.pen;
    return ground === undefined ? blank : Object.freeze({ text: ' ', pen: Object.freeze({ ground }), width: 1 });
  }

  emptyLine() {
    this.touched_cells += this.columns;
    return new Array(this.columns).fill(this.empty());
  }

  eraseCells(count) {
    this.erase(this.y, this.x, this.x + count);
  }

  erase(y, from, to) {
    const line = this.lines[y];
    const end = Math.min(to, this.columns);
    this.touched_cells += end - from;
    this.mend(line, from, end);
    line.fill(this.empty(), from, end);
    this.changed.add(y);
    this.full = false;
  }

  /** 0: what follows the cursor, 1: what is before it, 2: all. */
  eraseInLine(which) {
    if (which === 0) this.erase(this.y, this.x, this.columns);
    else if (which === 1) this.erase(this.y, 0, this.x + 1);
    else if (which === 2) this.erase(this.y, 0, this.columns);
  }

  eraseInDisplay(which) {
    if (which > 2) return;
    const [from, to] = [which === 0 ? this.y + 1 : 0, which === 1 ? this.y : this.rows];
    if (which < 2) this.eraseInLine(which);
    for (let y = from; y < to; y++) this.erase(y, 0, this.columns);
  }

  insertCells(count) {
    this.shiftCells(count, (line, width) => {
      line.splice(this.columns - width, width);
      line.splice(this.x, 0, ...new Array(width).fill(this.empty()));
    });
  }

  deleteCells(count) {
    this.shiftCells(count, (line, width) => {
      this.mend(line, this.x, this.x + width);
      line.splice(this.x, width);
      line.push(...new Array(width).fill(this.empty()));
    });
  }

  shiftCells(count, work) {
    this.touched_cells += this.columns;
    const line = this.lines[this.y];
    const width = clamp(count, 0, this.columns - this.x);
    this.mend(line, this.x, this.x);
    work(line, width);
    // The first half of a wide letter may have been left at the end.
    if (line[this.columns - 1].width === 2) line[this.columns - 1] = blank;
    this.changed.add(this.y);
    this.full = false;
  }

  // ---- the whole

  /** DECALN, which programs draw to see how large a screen is. */
  fill(character) {
    this.touched_cells += this.columns * this.rows;
    for (const line of this.lines) line.fill(Object.freeze({ text: character, pen: plain, width: 1 }));
    this.changed = new Set(this.lines.keys());
    this.moveTo(0, 0);
  }

  /** The other screen, which editors and pagers draw on, comes up empty and leaves the main one as it was. */
  alternate(on) {
    if (on === (this.hidden !== undefined)) return;
    if (on) {
      this.hidden = this.lines;
      this.lines = Array.from({ length: this.rows }, () => this.emptyLine());
    } else {
      this.lines = this.hidden;
      this.hidden = undefined;
    }
    this.full = false;
    this.changed = new Set(this.lines.keys());
  }

  /** Lines are cut or filled at their ends, and go at the top where there are too many. */
  resize(columns, rows) {
    this.columns = sizeOf(columns, columns_max, this.columns);
    this.rows = sizeOf(rows, rows_max, this.rows);
    this.touched_cells += this.columns * this.rows;
    const gone = Math.max(0, this.y - this.rows + 1);
    this.lines = this.fitted(this.lines, gone);
    if (this.hidden !== undefined) this.hidden = this.fitted(this.hidden, 0);
    this.top = 0;
    this.bottom = this.rows - 1;
    this.x = clamp(this.x, 0, this.columns - 1);
    this.y = clamp(this.y - gone, 0, this.rows - 1);
    this.full = false;
    this.changed = new Set(this.lines.keys());
  }

  fitted(lines, gone) {
    const kept = lines.slice(gone, gone + this.rows);
    while (kept.length < this.rows) kept.push([]);
    return kept.map((line) => {
      const fit = line.slice(0, this.columns);
      while (fit.length < this.columns) fit.push(blank);
      if (fit[this.columns - 1].width === 2) fit[this.columns - 1] = blank;
      return fit;
    });
  }
}
