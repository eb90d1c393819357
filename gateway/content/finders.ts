import { isAadhaar, isCardNumber, isCnpj, isCodiceFiscale, isCpf, isDni, isIban, isNino, isPan, isSsn, ibanLength } from './checks.js'; // prettier-ignore
import type { PatternKind } from './kinds.js';

/**
 * What each kind looks like in a text that is held in memory. A finder gives the first match from a place on, and looks
 * no further back than `behind_max` and no further ahead than `match_units_max`: so what it finds does not depend on
 * how the text was cut, as long as that much is there.
 */
export interface Found {
  readonly start: number;
  readonly end: number;
  /** It goes on behind its end, for as long as such bytes come. */
  readonly rest?: Rest;
}

/** 'token': the rest of a JSON Web Token; 'key': the body of a private key, to its own last line. */
export type Rest = 'token' | 'key';

export type Finder = (text: string, from: number) => Found | undefined;

export const match_units_max = 330;
export const behind_max = 3;

/**
 * What every match has, as far as bytes can be counted before they are read: numbers so many digits and capitals, keys a
 * digit and a length (or five dashes), addresses an @.
 */
export const isNumbers = (digits: number, upper: number): boolean =>
  digits >= 6 || (digits >= 4 && upper >= capitals_min) || (digits + upper >= 15 && upper >= capitals_min);
/** So many capitals stand for digits that are not there. */
export const capitals_min = 6;
const key_units_min = 16;
export const isKey = (digits: number, dashes: number, units: number): boolean =>
  (digits > 0 && units >= key_units_min) || dashes >= 5;

const local_units_max = 64;
const domain_units_max = 190;

/** First match of a global expression that also passes a check of what was found. */
function checked(expression: RegExp, is: (found: string) => boolean, rest?: Rest): Finder {
  return (text, from) => {
    expression.lastIndex = from;
    for (let match = expression.exec(text); match !== null; match = expression.exec(text)) {
      const start = match.index;
      if (is(match[0])) return { start, end: start + match[0].length, ...(rest === undefined ? {} : { rest }) };
      expression.lastIndex = start + 1;
    }
    return undefined;
  };
}

const earliest =
  (...finders: readonly Finder[]): Finder =>
  (text, from) => {
    let best: Found | undefined;
    for (const find of finders) {
      const found = find(text, from);
      if (found !== undefined && (best === undefined || isBefore(found, best))) best = found;
    }
    return best;
  };

/** Of two that begin together the longer one. */
export const isBefore = (one: Found, other: Found): boolean =>
  one.start < other.start || (one.start === other.start && one.end > other.end);

const plain = (found: string) => found.replace(/[ ./()-]/g, '').toUpperCase();
const digitCount = (found: string) => found.replace(/\D/g, '').length;
const enough = (found: string) => isNumbers(digitCount(found), found.replace(/[^A-Z]/g, '').length);
const always = () => true;

// ── e-mail ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const isLocal = (text: string, at: number): boolean => /[\w.+\x80-\uffff-]/.test(text[at] ?? ' ');
const isDomain = (text: string, at: number): boolean => /[\w.\x80-\uffff-]/.test(text[at] ?? ' ');

/** From each @ outward: an address is as long as what stands around it, and costs no more to look for. */
function email(text: string, from: number): Found | undefined {
  for (let at = text.indexOf('@', from + 1); at >= 0; at = text.indexOf('@', at + 1)) {
    let start = at;
    while (start > from && at - start < local_units_max && isLocal(text, start - 1)) start--;
    // No half of a character stays: further bytes of one are 0x80 to 0xbf.
    while (start < at && /[\x80-\xbf]/.test(text[start]!)) start++;
    if (start === at) continue;
    let end = at + 1;
    while (end - at <= domain_units_max && isDomain(text, end)) end++;
    const domain = text.slice(at + 1, end).replace(/[.-]+$/, '');
    if (!/^(?:[\w\x80-\uffff-]+\.)+[\w\x80-\uffff-]*[a-z\x80-\uffff][\w\x80-\uffff-]*$/i.test(domain)) continue;
    if (/\.[^.]$/.test(domain)) continue;
    return { start, end: at + 1 + domain.length };
  }
  return undefined;
}

// ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const cardStart = /[2-68](?<!\d.)(?<!\d\..)(?=(?:[ -]?\d){12})/g;
const cardDigits = new Uint8Array(19);

/** In groups or in one, and of what stands in groups the longest that checks: a card may stand beside other numbers. */
function card(text: string, from: number): Found | undefined {
  cardStart.lastIndex = from;
  for (let match = cardStart.exec(text); match !== null; match = cardStart.exec(text)) {
    const start = match.index;
    let count = 0;
    let best = -1;
    for (let at = start; count < cardDigits.length;) {
      cardDigits[count++] = text.charCodeAt(at++);
      const next = text.charCodeAt(at);
      if (isDigitCode(next)) continue;
      if (count >= 13 && checks(count) && isCardNumber(String.fromCharCode(...cardDigits.subarray(0, count))))
        best = at;
      if ((next !== 0x20 && next !== 0x2d) || !isDigitCode(text.charCodeAt(at + 1))) break;
      at++;
    }
    if (best >= 0) return { start, end: best };
    cardStart.lastIndex = start + 1;
  }
  return undefined;
}

/** Luhn's sum over what was collected, before a string is made of it. */
function checks(count: number): boolean {
  let sum = 0;
  for (let at = count - 1, doubles = false; at >= 0; at--, doubles = !doubles) {
    const digit = cardDigits[at]! - 0x30;
    sum += doubles ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit;
  }
  return sum % 10 === 0;
}

const isDigitCode = (code: number) => code >= 0x30 && code <= 0x39;

const ibanStart = /[A-Za-z](?<![A-Za-z0-9].)[A-Za-z]\d{2}(?=(?:[ -]?[A-Za-z0-9]){11})/g;

/** As many characters as its country has. */
function iban(text: string, from: number): Found | undefined {
  ibanStart.lastIndex = from;
  for (let match = ibanStart.exec(text); match !== null; match = ibanStart.exec(text)) {
    const start = match.index;
    const wanted = ibanLength(text.slice(start, start + 2).toUpperCase()) ?? 0;
    let found = '';
    let end = start;
    while (found.length < wanted && end < text.length) {
      const here = text[end]!;
      if (/[A-Za-z0-9]/.test(here)) found += here.toUpperCase();
      else if ((here !== ' ' && here !== '-') || /[ -]/.test(text[end - 1]!)) break;
      end++;
    }
    if (
      found.length === wanted &&
      !/[A-Za-z0-9]/.test(text[end] ?? ' ') &&
      isIban(found) &&
      enough(text.slice(start, end))
    )
      return { start, end };
    ibanStart.lastIndex = start + 1;
  }
  return undefined;
}

/** Phone numbers as they are written: with their country, with a leading 0, or in the groups of North America. */
const phones: readonly (readonly [number, Finder])[] = [
  // +49 30 1234567
  [7, checked(/\+(?<![A-Za-z0-9]\+)[1-9](?:[ ()./-]{0,2}\d){6,14}(?!\d)/g, always)],
  // 0049 30 1234567
  [10, checked(/00(?<![\d.,-]00)[1-9](?:[ ()./-]{0,2}\d){7,13}(?!\d)/g, always)],
  // (030) 1234567, 0171/1234567, 020 7946 0958
  [
    8,
    checked(
      /(?:\(0(?<![\w.,-]\(0)[1-9]\d{1,4}\)[ ./-]?|0(?<![\w.,-]0)[1-9]\d{1,4}[ /-])\d{3,8}(?:[ -]\d{1,6}){0,3}(?!\d)/g,
      (found) => digitCount(found) >= 8 && digitCount(found) <= 15,
    ),
  ],
  // 01 23 45 67 89
  [10, checked(/0(?<![\w.,-]0)[1-9](?:[ .-]\d{2}){4}(?![\d.-])/g, always)],
  // (212) 555-0123, 1 (212) 555-0123
  [10, checked(/(?:1[ .-]?)?\((?<!\d\()[2-9]\d{2}\) ?\d{3}[ .-]\d{4}(?!\d)/g, always)],
  // 212-555-0123, 1-212-555-0123
  [10, checked(/[2-9](?<!\d.)(?<!\d[.-].)\d{2}[ .-]\d{3}[ .-]\d{4}(?!\d)/g, always)],
  [11, checked(/1(?<!\d.)(?<!\d[.-].)[ .-]?[2-9]\d{2}[ .-]\d{3}[ .-]\d{4}(?!\d)/g, always)],
];

const nationalIds: readonly (readonly [number, Finder])[] = [
  [9, checked(/\d(?<![\w-].)\d{2}([ -])\d{2}\1\d{4}(?![\w-])/g, (found) => isSsn(plain(found)))],
  [6, checked(/[A-Z](?<!\w.)[A-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)/gi, (found) => isNino(plain(found)))],
  [7, checked(/[\dXYZ](?<!\w.)(?:(?<=\d)\d{7}|(?<!\d)[ -]?\d{7})[ -]?[A-Z](?!\w)/gi, (found) => isDni(plain(found)))],
  [
    6,
    checked(
      /[A-Z](?<!\w.)[A-Z]{5}[\dL-V]{2}[A-T][\dL-V]{2}[A-Z][\dL-V]{3}[A-Z](?!\w)/gi,
      (found) => enough(found) && isCodiceFiscale(plain(found)),
    ),
  ],
  [11, checked(/\d(?<![\w.].)\d{2}\.?\d{3}\.?\d{3}-?\d{2}(?!\w)/g, (found) => isCpf(plain(found)))],
  [14, checked(/\d(?<![\w.].)\d\.?\d{3}\.?\d{3}\/?\d{4}-?\d{2}(?!\w)/g, (found) => isCnpj(plain(found)))],
  [12, checked(/[2-9](?<![\w.].)(?<!\d[ -].)\d{3}([ -]?)\d{4}\1\d{4}(?!\w)(?![ -]\d)/g, (found) => isAadhaar(plain(found)))], // prettier-ignore
  [4, checked(/[A-Z](?<!\w.)[A-Z]{4}\d{4}[A-Z](?!\w)/g, (found) => isPan(plain(found)))],
];

// ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const hasDigit = (found: string) => /\d/.test(found);

const key = earliest(
  checked(/-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----/g, always, 'key'),
  // JSON Web Tokens: a header and its point; what follows is swallowed
  checked(/eyJ[\w-]{13,320}\.(?=[\w-])/g, hasDigit, 'token'),
  // AWS: ids of keys, and secrets (40 characters, of both cases and digits)
  checked(/A(?<![A-Za-z0-9].)(?:KIA|SIA|ROA|IDA|GPA|NPA|NVA|BIA|CCA)[A-Z0-9]{12,128}(?![A-Za-z0-9])/g, hasDigit),
  checked(
    /(?<![A-Za-z0-9/+])(?=[a-z0-9/+]{0,39}[A-Z])(?=[A-Z0-9/+]{0,39}[a-z])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])/g,
    hasDigit,
  ),
  checked(
    /(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|xapp-|[sprw]k_(?:live|test)_|whsec_|sk-|npm_|hf_|dop_v1_|SG\.|AIza|ya29\.)[\w./+-]{16,300}/g,
    hasDigit,
  ),
);

/** One search, and the least digits that it finds (of numbers: capitals may stand in for them). */
export interface Search {
  readonly kind: PatternKind;
  readonly digits_min: number;
  readonly find: Finder;
}

const all = (kind: PatternKind, some: readonly (readonly [number, Finder])[]): readonly Search[] =>
  some.map(([digits_min, find]) => ({ kind, digits_min, find }));

export const searches: readonly Search[] = [
  ...all('key', [[0, key]]),
  ...all('email', [[0, email]]),
  ...all('iban', [[6, iban]]),
  ...all('card', [[13, card]]),
  ...all('national_id', nationalIds),
  ...all('phone', phones),
];
