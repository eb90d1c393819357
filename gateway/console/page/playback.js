import { paced } from './cast.js';
import { Terminal } from './terminal.js';

/**
 * A recording at one moment. Going there is done in steps of a bounded size, so that a page stays awake whatever stands in it;
 * going back begins at the last of the copies that were taken on the way. Without a clock: whoever plays says what time it is.
 */

const copies_max = 64;
const copy_units_min = 262_144;
/** So much is drawn before it is asked how much work that was; so many cells that it cleared or moved are the work of a letter. */
const piece_units_max = 1_024;
const cells_per_unit = 64;

export class Playback {
  /** @param cast From readCast. */
  constructor({ header, events }, pause_s_max = Infinity) {
    this.events = events;
    this.start = new Terminal(header.width, header.height);
    this.terminal = this.start.copy();
    const units = events.reduce((sum, [, , text]) => sum + text.length, 0);
    this.copy_units = Math.max(copy_units_min, Math.ceil(units / copies_max));
    /** [event, terminal before it], in order. */
    this.copies = [];
    /** The event that comes next, how much of its text was drawn, and the one that is gone to. */
    this.next = 0;
    this.drawn_units = 0;
    this.since_units = 0;
    this.goal = 0;
    this.pace(pause_s_max);
  }

  /** From now on no pause is longer; what is shown stays. */
  pace(pause_s_max) {
    this.times = paced(this.events, pause_s_max);
    this.seconds = this.times.at(-1) ?? 0;
  }

  /** When what is gone to was shown. */
  get at() {
    return this.goal === 0 ? 0 : this.times[this.goal - 1];
  }

  /** The same in the recording's own time, pauses included. */
  get recorded_s() {
    return this.goal === 0 ? 0 : this.events[this.goal - 1][0];
  }

  /** To how it was then: behind the last event that is not later. */
  seek(seconds) {
    this.goTo(countUpTo(this.times, seconds));
  }

  /** To the next event that draws something. */
  step() {
    let to = this.goal;
    while (to < this.events.length && this.events[to][1] !== 'o') to++;
    this.goTo(Math.min(this.events.length, to + 1));
  }

  goTo(goal) {
    this.goal = goal;
    const [from, terminal] = this.copies.findLast(([event]) => event <= goal) ?? [0, this.start];
    const onward = goal > this.next || (goal === this.next && this.drawn_units === 0);
    if (onward && from <= this.next) return;
    this.next = from;
    this.drawn_units = 0;
    this.since_units = 0;
    this.terminal = terminal.copy();
  }

  /** Draws at most about so much more text, and less where it does much to the screen. True: it is there. */
  work(units_max) {
    let left = units_max;
    while (this.next < this.goal && left > 0) {
      const [, code, text] = this.events[this.next];
      const before_cells = this.terminal.screen.touched_cells;
      const piece_units = Math.min(left, piece_units_max);
      const end = code === 'o' ? wholeLetters(text, this.drawn_units + piece_units) : text.length;
      if (code === 'o') this.terminal.write(text.slice(this.drawn_units, end));
      if (code === 'r') this.resize(text);
      // An event without text is some work, too.
      const touched_cells = this.terminal.screen.touched_cells - before_cells;
      left -= end - this.drawn_units + 1 + Math.floor(touched_cells / cells_per_unit);
      this.since_units += end - this.drawn_units;
      this.drawn_units = end;
      if (end >= text.length) this.ended();
    }
    return this.next >= this.goal;
  }

  ended() {
    this.next += 1;
    this.drawn_units = 0;
    if (this.since_units < this.copy_units) return;
    this.since_units = 0;
    const last = this.copies.at(-1)?.[0] ?? 0;
    if (this.next > last && this.copies.length < copies_max) this.copies.push([this.next, this.terminal.copy()]);
  }

  resize(text) {
    const [, columns, rows] = /^([0-9]{1,5})x([0-9]{1,5})$/u.exec(text) ?? [];
    if (columns !== undefined) this.terminal.screen.resize(Number(columns), Number(rows));
  }
}

/** Never between the two halves of a letter. */
function wholeLetters(text, end) {
  if (end >= text.length) return text.length;
  const code = text.charCodeAt(end - 1);
  return code >= 0xd800 && code <= 0xdbff ? end + 1 : end;
}

/** How many of them are not larger; they are in order. */
function countUpTo(times, most) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= most) low = middle + 1;
    else high = middle;
  }
  return low;
}
