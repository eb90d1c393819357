/** What a finder gives, and what all of them share: how far they look, and which units (characters of a text) are what. */
export interface Found {
  readonly start: number;
  readonly end: number;
  /** It goes on behind its end, for as long as such bytes come. */
  readonly rest?: Rest | undefined;
}

/** 'token': the rest of a JSON Web Token; 'key': the body of a private key, to its own last line. */
export type Rest = 'token' | 'key';

/**
 * The first match from a place on. It looks no further back than `behind_max` and no further ahead than `match_units_max`:
 * so what is found does not depend on how the text was cut, as long as that much is there.
 */
export type Finder = (text: string, from: number) => Found | undefined;

export const match_units_max = 330;
export const behind_max = 3;

/** Of two that begin together the longer one. */
export const isBefore = (one: Found, other: Found): boolean =>
  one.start < other.start || (one.start === other.start && one.end > other.end);

/**
 * What every match has, as far as bytes can be counted before they are read: numbers so many digits and capitals, keys a
 * digit and a length (or five dashes), addresses an @.
 */
export const isNumbers = (digits: number, upper: number): boolean =>
  digits >= 6 || (digits >= 4 && upper >= capitals_min) || (digits + upper >= 15 && upper >= capitals_min);
/** The same of a whole span: what has hardly anything but six or seven digits in it is no number that is looked for. */
export const mayBeNumbers = (digits: number, upper: number, units: number): boolean =>
  isNumbers(digits, upper) && (digits >= 8 || units - digits >= (digits === 7 ? 1 : 3));
/** So many capitals stand for digits that are not there. */
const capitals_min = 6;
const key_units_min = 16;
export const isKey = (digits: number, dashes: number, units: number): boolean =>
  (digits > 0 && units >= key_units_min) || dashes >= 5;

/** The units up to 0xff that an expression takes: looked up, it costs no match. */
export function unitsOf(expression: RegExp): Uint8Array {
  const units = new Uint8Array(256);
  for (let code = 0; code < units.length; code++) if (expression.test(String.fromCharCode(code))) units[code] = 1;
  return units;
}

/** A unit, or 0 behind the end of the text: charCodeAt is slow there. */
export const unitAt = (text: string, at: number): number => (at < text.length ? text.charCodeAt(at) : 0);

/** Units beyond 0xff come out of escapes. */
export const among = (units: Uint8Array, code: number, beyond = false): boolean =>
  code < 256 ? units[code] === 1 : beyond && code >= 256;

const alphanumerics = unitsOf(/[A-Za-z0-9]/);
const letters = unitsOf(/[A-Za-z]/);

export const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;
export const isLetter = (code: number): boolean => among(letters, code);
export const isAlphanumeric = (code: number): boolean => among(alphanumerics, code);
/** What an expression calls \w. */
export const isWord = (code: number): boolean => code === 0x5f || among(alphanumerics, code);
