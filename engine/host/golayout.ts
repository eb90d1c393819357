/**
 * Go's layouts for times: a layout is the time Mon Jan 2 15:04:05 MST 2006, written as one's own are to be read or written.
 *
 * @see https://pkg.go.dev/time#pkg-constants
 */

export interface CivilTime {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly nanosecond: number;
  /** Seconds east of UTC. */
  readonly offset_s: number;
}

const months = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']; // prettier-ignore
export const weekdays = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const short = (names: readonly string[]): string[] => names.map((name) => name.slice(0, 3));

/** In the order in which Go looks for them: the longer of two that begin alike stands first. */
const chunk =
  /January|Jan(?![a-z])|Jan|Monday|Mon(?![a-z])|MST|002|0[1-6]|15|1(?!5)|2006|_2006|__2|_2|2|3|4|5|PM|pm|[-Z]07:00:00|[-Z]070000|[-Z]07:00|[-Z]0700|[-Z]07|[.,]0+(?!\d)|[.,]9+(?!\d)/g;

/** A layout, cut: texts that stand for themselves, and elements. */
function pieces(layout: string): { readonly text: string; readonly element: boolean }[] {
  const found: { text: string; element: boolean }[] = [];
  let last = 0;
  for (const match of layout.matchAll(chunk)) {
    let [text, at] = [match[0], match.index];
    // "Jan" and "Mon" are elements only where no lower-case letter follows.
    if ((text === 'Jan' || text === 'Mon') && /[a-z]/.test(layout[at + 3] ?? '')) continue;
    // "_2006" is an underscore before the year.
    if (text === '_2006') [text, at] = ['2006', at + 1];
    if (at > last) found.push({ text: layout.slice(last, at), element: false });
    found.push({ text, element: true });
    last = at + text.length;
  }
  if (last < layout.length) found.push({ text: layout.slice(last), element: false });
  return found;
}

const digits = (value: number, width: number): string =>
  `${value < 0 ? '-' : ''}${String(Math.abs(value)).padStart(width, '0')}`;
const yearDay = (time: CivilTime): number =>
  (Date.UTC(2000 + (time.year % 400), time.month - 1, time.day) - Date.UTC(2000 + (time.year % 400), 0, 1)) /
    86_400_000 +
  1;
const weekday = (time: CivilTime): string =>
  weekdays[new Date(Date.UTC(2000 + (time.year % 400), time.month - 1, time.day)).getUTCDay()]!;

/** @throws where the layout asks for the name of a zone other than UTC: what zones are called is no fact of the input. */
export function formatTime(time: CivilTime, layout: string, utc: boolean): string {
  return pieces(layout)
    .map(({ text, element }) => (element ? written(time, text, utc) : text))
    .join('');
}

function written(time: CivilTime, element: string, utc: boolean): string {
  const twelve = time.hour % 12 === 0 ? 12 : time.hour % 12;
  switch (element) {
    case '2006': return digits(time.year, 4);
    case '06': return digits(Math.abs(time.year) % 100, 2);
    case 'January': return months[time.month - 1]!;
    case 'Jan': return months[time.month - 1]!.slice(0, 3);
    case '1': return String(time.month);
    case '01': return digits(time.month, 2);
    case 'Monday': return weekday(time);
    case 'Mon': return weekday(time).slice(0, 3);
    case '2': return String(time.day);
    case '_2': return String(time.day).padStart(2, ' ');
    case '02': return digits(time.day, 2);
    case '__2': return String(yearDay(time)).padStart(3, ' ');
    case '002': return digits(yearDay(time), 3);
    case '15': return digits(time.hour, 2);
    case '3': return String(twelve);
    case '03': return digits(twelve, 2);
    case '4': return String(time.minute);
    case '04': return digits(time.minute, 2);
    case '5': return String(time.second);
    case '05': return digits(time.second, 2);
    case 'PM': return time.hour >= 12 ? 'PM' : 'AM';
    case 'pm': return time.hour >= 12 ? 'pm' : 'am';
    case 'MST':
      if (!utc) throw new Error('time.format: MST, the name of a zone, is supported for UTC only: write -0700');
      return 'UTC';
    default: return /^[.,]/.test(element) ? fraction(time.nanosecond, element) : zone(time.offset_s, element);
  } // prettier-ignore
}

function fraction(nanosecond: number, element: string): string {
  const text = digits(nanosecond, 9)
    .slice(0, element.length - 1)
    .padEnd(element.length - 1, '0');
  if (element[1] === '0') return element[0]! + text;
  const trimmed = text.replace(/0+$/, '');
  return trimmed === '' ? '' : element[0]! + trimmed;
}

function zone(offset_s: number, element: string): string {
  if (element.startsWith('Z') && offset_s === 0) return 'Z';
  const size = Math.abs(offset_s);
  const parts = [Math.floor(size / 3600), Math.floor(size / 60) % 60, size % 60].map((part) => digits(part, 2));
  const count = element.includes(':') ? element.split(':').length : Math.floor((element.length - 1) / 2);
  // Go rounds the offset to minutes before it looks at the sign.
  const sign = Math.trunc(offset_s / 60) < 0 ? '-' : '+';
  return sign + parts.slice(0, count).join(element.includes(':') ? ':' : '');
}

const tooMany = 0x7fff_ffff;

/** Undefined where the text is not written as the layout says, or names a time that does not exist. */
export function parseTime(text: string, layout: string): CivilTime | undefined {
  const reader = new Reader(text);
  const list = pieces(layout);
  for (const [index, piece] of list.entries()) {
    const next = list[index + 1];
    const ok = piece.element
      ? reader.element(piece.text, next?.element === true && /^[.,]/.test(next.text))
      : reader.literal(piece.text);
    if (!ok) return undefined;
  }
  return reader.rest === '' ? reader.time() : undefined;
}

class Reader {
  rest: string;
  #half: 'am' | 'pm' | undefined;
  #yearDay: number | undefined;
  readonly #found: Record<'year' | 'month' | 'day' | 'hour' | 'minute' | 'second' | 'nanosecond' | 'offset_s', number> = {
    year: 0, month: tooMany, day: tooMany, hour: 0, minute: 0, second: 0, nanosecond: 0, offset_s: 0,
  }; // prettier-ignore

  constructor(text: string) {
    this.rest = text;
  }

  /** A space of the layout stands for any number of spaces, none included at its end. */
  literal(text: string): boolean {
    for (let at = 0; at < text.length; at++) {
      if (text[at] === ' ') {
        if (this.rest !== '' && !this.rest.startsWith(' ')) return false;
        while (text[at + 1] === ' ') at++;
        this.rest = this.rest.replace(/^ +/, '');
      } else {
        if (this.rest[0] !== text[at]) return false;
        this.rest = this.rest.slice(1);
      }
    }
    return true;
  }

  element(element: string, fractionFollows: boolean): boolean {
    switch (element) {
      case '2006': return this.#number('year', /^\d{4}/, 0, 9999);
      case '06': return this.#number('year', /^\d\d/, 0, 99) && this.#century();
      case 'January': return this.#name(months);
      case 'Jan': return this.#name(short(months));
      case '1': return this.#number('month', /^\d\d?/, 1, 12);
      case '01': return this.#number('month', /^\d\d/, 1, 12);
      case 'Monday': return this.#take(new RegExp(`^(?:${weekdays.join('|')})`, 'i')) !== undefined;
      case 'Mon': return this.#take(new RegExp(`^(?:${short(weekdays).join('|')})`, 'i')) !== undefined;
      case '2': return this.#number('day', /^\d\d?/, 0, 99);
      case '_2': return this.#number('day', /^ ?\d\d?/, 0, 99);
      case '02': return this.#number('day', /^\d\d/, 0, 99);
      case '__2': return this.#dayOfYear(/^ {0,2}\d{1,3}/);
      case '002': return this.#dayOfYear(/^\d{3}/);
      case '15': return this.#number('hour', /^\d\d?/, 0, 23);
      case '3': return this.#number('hour', /^\d\d?/, 0, 12);
      case '03': return this.#number('hour', /^\d\d/, 0, 12);
      case '4': return this.#number('minute', /^\d\d?/, 0, 59);
      case '04': return this.#number('minute', /^\d\d/, 0, 59);
      case '5': return this.#number('second', /^\d\d?/, 0, 59) && this.#unaskedFraction(fractionFollows);
      case '05': return this.#number('second', /^\d\d/, 0, 59) && this.#unaskedFraction(fractionFollows);
      case 'PM': return this.#halfDay(/^[AP]M/);
      case 'pm': return this.#halfDay(/^[ap]m/);
      case 'MST': return this.#zoneName();
      default: return /^[.,]/.test(element) ? this.#fraction(element) : this.#zone(element);
    } // prettier-ignore
  }

  time(): CivilTime | undefined {
    const found = this.#found;
    if (this.#half === 'pm' && found.hour < 12) found.hour += 12;
    if (this.#half === 'am' && found.hour === 12) found.hour = 0;
    if (this.#yearDay !== undefined && !this.#applyYearDay(this.#yearDay)) return undefined;
    if (found.month === tooMany) found.month = 1;
    if (found.day === tooMany) found.day = 1;
    const inMonth = new Date(Date.UTC(2000 + (found.year % 400), found.month, 0)).getUTCDate();
    return found.day < 1 || found.day > inMonth ? undefined : found;
  }

  #take(pattern: RegExp): string | undefined {
    const match = pattern.exec(this.rest)?.[0];
    if (match !== undefined) this.rest = this.rest.slice(match.length);
    return match;
  }

  #number(field: keyof CivilTime, pattern: RegExp, least: number, most: number): boolean {
    const value = Number(this.#take(pattern) ?? 'none');
    this.#found[field] = value;
    return value >= least && value <= most;
  }

  #century(): boolean {
    this.#found.year += this.#found.year >= 69 ? 1900 : 2000;
    return true;
  }

  #name(names: readonly string[]): boolean {
    const taken = this.#take(new RegExp(`^(?:${names.join('|')})`, 'i'))?.toLowerCase();
    this.#found.month = names.findIndex((name) => name.toLowerCase() === taken) + 1;
    return taken !== undefined;
  }

  #dayOfYear(pattern: RegExp): boolean {
    const taken = this.#take(pattern);
    this.#yearDay = Number(taken);
    return taken !== undefined;
  }

  #applyYearDay(day: number): boolean {
    const found = this.#found;
    const date = new Date(Date.UTC(2000 + (found.year % 400), 0, day));
    if (day < 1 || date.getUTCFullYear() !== 2000 + (found.year % 400)) return false;
    const [month, dayOfMonth] = [date.getUTCMonth() + 1, date.getUTCDate()];
    const same = [tooMany, month].includes(found.month) && [tooMany, dayOfMonth].includes(found.day);
    Object.assign(found, { month, day: dayOfMonth });
    return same;
  }

  #halfDay(pattern: RegExp): boolean {
    this.#half = this.#take(pattern)?.toLowerCase() as 'am' | 'pm' | undefined;
    return this.#half !== undefined;
  }

  /** A fraction may stand behind seconds though the layout has none. */
  #unaskedFraction(asked: boolean): boolean {
    return asked || !/^[.,]\d/.test(this.rest) || this.#readFraction(this.#take(/^[.,]\d+/)!);
  }

  #fraction(element: string): boolean {
    const exact = element[1] === '0';
    const taken = this.#take(exact ? new RegExp(`^[.,]\\d{${String(element.length - 1)}}`) : /^[.,]\d+/);
    return taken === undefined ? !exact : this.#readFraction(taken);
  }

  #readFraction(taken: string): boolean {
    this.#found.nanosecond = Number(taken.slice(1, 10).padEnd(9, '0'));
    return true;
  }

  #zone(element: string): boolean {
    if (element.startsWith('Z') && this.#take(/^Z/) !== undefined) return true;
    const count = element.includes(':') ? element.split(':').length : Math.floor((element.length - 1) / 2);
    const colon = element.includes(':') ? ':' : '';
    const taken = this.#take(new RegExp(`^[-+]\\d\\d${`${colon}\\d\\d`.repeat(count - 1)}`));
    if (taken === undefined) return false;
    const [hours = 0, minutes = 0, seconds = 0] = taken.slice(1).match(/\d\d/g)!.map(Number);
    if (hours > 24 || minutes > 60 || seconds > 60) return false;
    this.#found.offset_s = (hours * 3600 + minutes * 60 + seconds) * (taken.startsWith('-') ? -1 : 1);
    return true;
  }

  /** A name says nothing of an offset, but for GMT+3: Go takes any other for UTC. */
  #zoneName(): boolean {
    const taken = this.#take(
      /^(?:UTC|ChST|MeST|GMT(?:[-+]\d{1,2})?|[A-Z]{4}T(?![A-Z])|(?:[A-Z]{3}T|WITA)(?![A-Z])|[A-Z]{3}(?![A-Z])|[-+]\d\d)/,
    );
    if (taken === undefined) return false;
    if (/^GMT[-+]/.test(taken)) this.#found.offset_s = Number(taken.slice(3)) * 3600;
    return true;
  }
}
