import { among, isAlphanumeric, isDigit, isLetter, isWord, unitAt, unitsOf, type Finder, type Found, type Rest } from './found.js'; // prettier-ignore
import { has, type Kinds } from './kinds.js';
import * as shapes from './shapes.js';

/**
 * One pass over a text, for all kinds but addresses: at each unit, what could begin there by the units around it, and only
 * that is tried. Almost nothing begins inside of a word or of a number, so that most units cost one look into a table;
 * and what is tried is the same as if every shape were tried everywhere.
 */

export interface Wanted {
  readonly keys: boolean;
  readonly iban: boolean;
  readonly card: boolean;
  readonly national: boolean;
  readonly phone: boolean;
}

export const wantedOf = (kinds: Kinds, keys: boolean, numbers: boolean): Wanted => ({
  keys: keys && has(kinds, 'key'),
  iban: numbers && has(kinds, 'iban'),
  card: numbers && has(kinds, 'card'),
  national: numbers && has(kinds, 'national_id'),
  phone: numbers && has(kinds, 'phone'),
});

const digit = 1;
const letter = 2;
const sign = 4;
/** What one of the keys of services begins with, or a token. */
const keyStart = 8;

const roles = new Uint8Array(256);
for (let code = 0; code < roles.length; code++) {
  const text = String.fromCharCode(code);
  roles[code] =
    (isDigit(code) ? digit : 0) |
    (isLetter(code) ? letter : 0) |
    ('+(-/'.includes(text) ? sign : 0) |
    ('egxsprwnhdSAy'.includes(text) ? keyStart : 0);
}
/** How they go on; each has its own. */
const keyPairs = new Set(
  ['ey', 'gh', 'gi', 'gl', 'xo', 'xa', 'sk', 'pk', 'rk', 'wk', 'wh', 'np', 'hf', 'do', 'SG', 'AI', 'ya'].map(
    (pair) => pair.charCodeAt(0) * 256 + pair.charCodeAt(1),
  ),
);
const secretUnits = unitsOf(/[A-Za-z0-9/+]/);
const separators = unitsOf(/[ ()./-]/);
const space = 0x20;
const bracket = 0x28;
const plus = 0x2b;
const dash = 0x2d;
const zero = 0x30;
const one = 0x31;
const capitalA = 0x41;
const capitalB = 0x42;
const lowerX = 0x78;
const nothing = -1;

export const finderOf =
  (wanted: Wanted): Finder =>
  (text, from) => {
    let before = from > 0 ? text.charCodeAt(from - 1) : space;
    for (let at = from; at < text.length; at++) {
      const code = unitAt(text, at);
      const role = code < 256 ? roles[code]! : 0;
      if (role !== 0) {
        // Inside of a word only a key may begin, and inside of a number what is dialled with a 1.
        const within = isAlphanumeric(before);
        const begins = within
          ? (role & keyStart) !== 0 ||
            (role & sign) !== 0 ||
            ((role & digit) !== 0 && (code === one || !isDigit(before)))
          : true;
        if (begins) {
          const found = longest(text, at, code, before, role, wanted);
          if (found !== undefined) return found;
        }
      }
      before = code;
    }
    return undefined;
  };

function longest(
  text: string,
  at: number,
  code: number,
  before: number,
  role: number,
  wanted: Wanted,
): Found | undefined {
  let end = nothing;
  let rest: Rest | undefined;
  if (wanted.keys) {
    if (!among(secretUnits, before) && among(secretUnits, unitAt(text, at + 39))) end = shapes.awsSecret(text, at);
    if (code === dash && unitAt(text, at + 5) === capitalB) {
      end = shapes.keyHead(text, at);
      if (end !== nothing) rest = 'key';
    }
    if ((role & keyStart) !== 0) {
      if (keyPairs.has(code * 256 + unitAt(text, at + 1))) {
        const token = shapes.tokenHead(text, at);
        if (token > end) [end, rest] = [token, 'token'];
        end = Math.max(end, shapes.serviceKey(text, at));
      }
      if (code === capitalA && !isAlphanumeric(before)) end = Math.max(end, shapes.awsId(text, at));
    }
  }
  const other = number(text, at, code, before, role, wanted);
  if (other > end) return { start: at, end: other };
  return end === nothing ? undefined : { start: at, end, rest };
}

function number(text: string, at: number, code: number, before: number, role: number, wanted: Wanted): number {
  if ((role & digit) !== 0) {
    const spelled =
      wanted.phone && code === one && isBracketSoon(text, at) ? shapes.phoneInBrackets(text, at) : nothing;
    return isDigit(before) ? spelled : Math.max(spelled, digits(text, at, code, wanted));
  }
  if ((role & letter) !== 0) return isAlphanumeric(before) ? nothing : word(text, at, code, before, wanted);
  if (!wanted.phone) return nothing;
  const next = unitAt(text, at + 1);
  if (code === plus) return next > zero && isDigit(next) ? shapes.phoneAbroad(text, at) : nothing;
  if (code !== bracket || !isDigit(next)) return nothing;
  return next === zero ? shapes.phoneWithArea(text, at) : shapes.phoneInBrackets(text, at);
}

const isBracketSoon = (text: string, at: number) => unitAt(text, at + 2) === bracket;

/** Where a number begins: by how many digits its first group has, and how many there are over what may stand between. */
function digits(text: string, at: number, code: number, wanted: Wanted): number {
  let group = 0;
  let count = 0;
  let between = 0;
  for (let next = at; count < counted_max; next++) {
    const here = unitAt(text, next);
    if (isDigit(here)) {
      count++;
      if (next - at === group) group++;
      between = 0;
    } else if (!among(separators, here) || ++between > 2) break;
  }
  if (count < 8) return nothing;
  let end = nothing;
  if (wanted.national) end = nationalNumber(text, at, group, count);
  if (wanted.phone) end = Math.max(end, phone(text, at, code, group, count));
  if (wanted.card && count >= 13 && code !== zero) end = Math.max(end, shapes.card(text, at));
  return end;
}

function nationalNumber(text: string, at: number, group: number, count: number): number {
  let end = nothing;
  if (group === 8) end = shapes.dni(text, at);
  if (group === 3 && count >= 9) end = shapes.ssn(text, at);
  if (count >= 11 && (group === 3 || group === 6 || group === 9 || group === 11))
    end = Math.max(end, shapes.cpf(text, at));
  if (count >= 12 && (group === 4 || group === 12)) end = Math.max(end, shapes.aadhaar(text, at));
  if (count >= 14 && (group === 2 || group === 5 || group === 8 || group === 12 || group === 14))
    end = Math.max(end, shapes.cnpj(text, at));
  return end;
}

function phone(text: string, at: number, code: number, group: number, count: number): number {
  if (code === zero)
    return Math.max(shapes.phoneDialled(text, at), shapes.phoneWithArea(text, at), shapes.phoneInPairs(text, at));
  if (count < 10) return nothing;
  if (code === one) return shapes.phoneInGroupsBehind1(text, at);
  return group === 3 ? shapes.phoneInGroups(text, at) : nothing;
}
/** More digits than this make no difference. */
const counted_max = 16;

/** Where a word begins: by what its first units are. */
function word(text: string, at: number, code: number, before: number, wanted: Wanted): number {
  let end = nothing;
  const second = unitAt(text, at + 1);
  const third = unitAt(text, at + 2);
  if (wanted.iban && isDigit(third) && isDigit(unitAt(text, at + 3)) && isLetter(second)) end = shapes.iban(text, at);
  if (!wanted.national || isWord(before)) return end;
  if (!isLetter(second)) {
    const foreigner = (code | 0x20) >= lowerX && (isDigit(second) || isDigit(third));
    return foreigner ? Math.max(end, shapes.dni(text, at)) : end;
  }
  if (isDigit(third) || (third === space && isDigit(unitAt(text, at + 3)))) return Math.max(end, shapes.nino(text, at));
  if (isLetter(third)) {
    if (isDigit(unitAt(text, at + 5))) end = Math.max(end, shapes.pan(text, at));
    if (isLetter(unitAt(text, at + 15))) end = Math.max(end, shapes.codiceFiscale(text, at));
  }
  return end;
}
