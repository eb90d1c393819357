import { isAadhaar, isCardNumber, isCnpj, isCodiceFiscale, isCpf, isDni, isIban, isNino, isPan, isSsn, ibanLength } from './checks.js'; // prettier-ignore
import { among, isAlphanumeric, isDigit, isNumbers, unitAt, unitsOf } from './found.js';

/** What each kind looks like, from one place on: where it ends, or -1. Where to try which of them is the business of starts.ts. */
export type Shape = (text: string, at: number) => number;

/** An expression that is tried at one place alone, and a check of what it takes. */
function shape(expression: RegExp, is: (found: string) => boolean = () => true): Shape {
  return (text, at) => {
    expression.lastIndex = at;
    if (!expression.test(text)) return -1;
    const end = expression.lastIndex;
    return is(text.slice(at, end)) ? end : -1;
  };
}

const plain = (found: string) => found.replace(/[ ./()-]/g, '').toUpperCase();
const digitCount = (found: string) => found.replace(/\D/g, '').length;
const enough = (found: string) => isNumbers(digitCount(found), found.replace(/[^A-Z]/g, '').length);
const hasDigit = (found: string) => /\d/.test(found);

// ── cards and accounts ───────────────────────────────────────────────────────────────────────────────────────────────

const cardStarts = unitsOf(/[2-68]/);
const cardDigits = new Uint8Array(19);

/** In groups or in one, and of what stands in groups the longest that checks: a card may stand beside other numbers. */
export function card(text: string, start: number): number {
  if (!among(cardStarts, unitAt(text, start)) || goesOn(text, start)) return -1;
  let count = 0;
  let best = -1;
  for (let at = start; count < cardDigits.length;) {
    cardDigits[count++] = unitAt(text, at++);
    const next = unitAt(text, at);
    if (isDigit(next)) continue;
    if (count >= 13 && checks(count) && isCardNumber(String.fromCharCode(...cardDigits.subarray(0, count)))) best = at;
    if ((next !== 0x20 && next !== 0x2d) || !isDigit(unitAt(text, at + 1))) break;
    at++;
  }
  return best;
}

/** Whether a digit stands before it, or a digit and a point. */
function goesOn(text: string, start: number): boolean {
  const before = start > 0 ? text.charCodeAt(start - 1) : 0;
  return isDigit(before) || (before === 0x2e && start > 1 && isDigit(text.charCodeAt(start - 2)));
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

const ibanStart = /[A-Za-z](?<![A-Za-z0-9].)[A-Za-z]\d{2}(?=(?:[ -]?[A-Za-z0-9]){11})/y;

/** As many characters as its country has. */
export function iban(text: string, start: number): number {
  ibanStart.lastIndex = start;
  if (!ibanStart.test(text)) return -1;
  const wanted = ibanLength(text.slice(start, start + 2).toUpperCase()) ?? 0;
  let found = '';
  let end = start;
  while (found.length < wanted && end < text.length) {
    const here = text[end]!;
    if (isAlphanumeric(unitAt(text, end))) found += here.toUpperCase();
    else if ((here !== ' ' && here !== '-') || /[ -]/.test(text[end - 1]!)) break;
    end++;
  }
  const is =
    found.length === wanted && !isAlphanumeric(unitAt(text, end)) && isIban(found) && enough(text.slice(start, end));
  return is ? end : -1;
}

// ── phone numbers, as they are written: with their country, with a leading 0, or in the groups of North America ────────

/** +49 30 1234567 */
export const phoneAbroad = shape(/\+(?<![A-Za-z0-9]\+)[1-9](?:[ ()./-]{0,2}\d){6,14}(?!\d)/y);
/** 0049 30 1234567 */
export const phoneDialled = shape(/00(?<![\d.,-]00)[1-9](?:[ ()./-]{0,2}\d){7,13}(?!\d)/y);
/** (030) 1234567, 0171/1234567, 020 7946 0958 */
export const phoneWithArea = shape(
  /(?:\(0(?<![\w.,-]\(0)[1-9]\d{1,4}\)[ ./-]?|0(?<![\w.,-]0)[1-9]\d{1,4}[ /-])\d{3,8}(?:[ -]\d{1,6}){0,3}(?!\d)/y,
  (found) => digitCount(found) >= 8 && digitCount(found) <= 15,
);
/** 01 23 45 67 89 */
export const phoneInPairs = shape(/0(?<![\w.,-]0)[1-9](?:[ .-]\d{2}){4}(?![\d.-])/y);
/** (212) 555-0123, 1 (212) 555-0123 */
export const phoneInBrackets = shape(/(?:1[ .-]?)?\((?<!\d\()[2-9]\d{2}\) ?\d{3}[ .-]\d{4}(?!\d)/y);
/** 212-555-0123 */
export const phoneInGroups = shape(/[2-9](?<!\d.)(?<!\d[.-].)\d{2}[ .-]\d{3}[ .-]\d{4}(?!\d)/y);
/** 1-212-555-0123 */
export const phoneInGroupsBehind1 = shape(/1(?<!\d.)(?<!\d[.-].)[ .-]?[2-9]\d{2}[ .-]\d{3}[ .-]\d{4}(?!\d)/y);

// ── national ids ─────────────────────────────────────────────────────────────────────────────────────────────────────

export const ssn = shape(/\d(?<![\w-].)\d{2}([ -])\d{2}\1\d{4}(?![\w-])/y, (found) => isSsn(plain(found)));
export const nino = shape(/[A-Z](?<!\w.)[A-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)/iy, (found) => isNino(plain(found)));
export const dni = shape(/[\dXYZ](?<!\w.)(?:(?<=\d)\d{7}|(?<!\d)[ -]?\d{7})[ -]?[A-Z](?!\w)/iy, (found) =>
  isDni(plain(found)),
);
export const codiceFiscale = shape(
  /[A-Z](?<!\w.)[A-Z]{5}[\dL-V]{2}[A-T][\dL-V]{2}[A-Z][\dL-V]{3}[A-Z](?!\w)/iy,
  (found) => enough(found) && isCodiceFiscale(plain(found)),
);
export const cpf = shape(/\d(?<![\w.].)\d{2}\.?\d{3}\.?\d{3}-?\d{2}(?!\w)/y, (found) => isCpf(plain(found)));
export const cnpj = shape(/\d(?<![\w.].)\d\.?\d{3}\.?\d{3}\/?\d{4}-?\d{2}(?!\w)/y, (found) => isCnpj(plain(found)));
export const aadhaar = shape(/[2-9](?<![\w.].)(?<!\d[ -].)\d{3}([ -]?)\d{4}\1\d{4}(?!\w)(?![ -]\d)/y, (found) =>
  isAadhaar(plain(found)),
);
export const pan = shape(/[A-Z](?<!\w.)[A-Z]{4}\d{4}[A-Z](?!\w)/y, (found) => isPan(plain(found)));

// ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Of a private key: its body is swallowed. */
export const keyHead = shape(/-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----/y);
/** JSON Web Tokens: a header and its point; what follows is swallowed. */
export const tokenHead = shape(/eyJ[\w-]{13,320}\.(?=[\w-])/y, hasDigit);
/** AWS: ids of keys. */
export const awsId = shape(
  /A(?<![A-Za-z0-9].)(?:KIA|SIA|ROA|IDA|GPA|NPA|NVA|BIA|CCA)[A-Z0-9]{12,128}(?![A-Za-z0-9])/y,
  hasDigit,
);
/** AWS: secrets, 40 characters, of both cases and digits. */
export const awsSecret = shape(
  /(?<![A-Za-z0-9/+])(?=[a-z0-9/+]{0,39}[A-Z])(?=[A-Z0-9/+]{0,39}[a-z])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])/y,
  hasDigit,
);
export const serviceKey = shape(
  /(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|xapp-|[sprw]k_(?:live|test)_|whsec_|sk-|npm_|hf_|dop_v1_|SG\.|AIza|ya29\.)[\w./+-]{16,300}/y,
  hasDigit,
);
