import { isIP } from 'node:net';
import { givenNames } from './given-names.data.js';
import type { Kind } from './kinds.js';
import { isBareSsn, isCard, isIban, isNationalId } from './numbers.js';

/**
 * What a value looks like. Values are looked at whole and in memory; nothing of them leaves this file but yes or no.
 * They come from others: every pattern has an upper bound, and a value is at most `value_characters_max` long.
 */
export const value_characters_max = 1_000;

const mailbox = String.raw`[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}(?!(?:png|jpe?g|gif|svg|webp|css|js)\b)[A-Za-z]{2,24}`;
const email = new RegExp(`^(?:mailto:)?${mailbox}$`, 'u');
const emailInside = new RegExp(`(?<![\\w.@])${mailbox}(?![\\w@])`, 'u');

/** Written as a phone number: with a country, or in groups as somewhere is usual. Bare digits may be anything. */
function isPhone(text: string): boolean {
  const digits = text.replace(/\D/g, '').length;
  if (digits < 7 || digits > 15) return false;
  if (/^(?:\+|00)[1-9][\d ()./-]{6,24}(?: ?(?:x|ext\.?) ?\d{1,6})?$/i.test(text)) return true;
  if (/^(?:1[-. ])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4}(?: ?(?:x|ext\.?) ?\d{1,6})?$/i.test(text))
    return true;
  return /^\(?0\d{1,5}\)?[ /-]\d{2,9}(?:[ -]\d{1,8}){0,4}$/.test(text) && digits >= 9;
}

/** Nine to fifteen digits, which are phone numbers where the column says so. */
const isBarePhone = (text: string): boolean => /^[+]?[1-9]\d{8,14}$|^0\d{8,11}$/.test(text);

const streets = [
  ...[
    'street',
    'st\\.?',
    'avenue',
    'ave\\.?',
    'road',
    'rd\\.?',
    'boulevard',
    'blvd\\.?',
    'lane',
    'ln\\.?',
    'drive',
    'dr\\.?',
  ],
  ...[
    'court',
    'ct\\.?',
    'place',
    'pl\\.?',
    'terrace',
    'square',
    'crescent',
    'parkway',
    'highway',
    'circle',
    'way',
    'close',
  ],
].join('|');
const addresses = [
  // 12 Main Street; 221B Baker St, London
  new RegExp(`^\\d{1,6}[A-Za-z]?,? [\\p{L}\\d .'-]{2,60}\\b(?:${streets})(?=$|[ ,#])`, 'iu'),
  // Lindenstraße 12; Am Alten Platz 3a, 10115 Berlin; Kerkstraat 5
  /^[\p{L} .'-]{1,40}(?:stra(?:ß|ss)e|str\.|gasse|allee|platz|ring|ufer|damm|weg|straat|laan|gatan|vägen|gade|vej) \d{1,5} ?[a-z]?(?=$|[ ,])/iu,
  // 5 rue de la Paix; 12 bis, avenue Foch
  /^\d{1,5}(?: ?bis| ?ter)?,? (?:rue|avenue|boulevard|place|chemin|quai|impasse|allée) [\p{L} .'-]{2,60}/iu,
  // Calle Mayor 5; Via Roma, 12
  /^(?:calle|c\/|avenida|avda\.?|plaza|paseo|via|viale|piazza|corso|rua|praça|ulica|ul\.) ?[\p{L} .'-]{2,60},? (?:n\.? ?º? ?)?\d{1,5}/iu,
  /^P\.? ?O\.? Box \d{1,7}/i,
];

const prefixed = [
  /^(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}/,
  /^gh[pousr]_[A-Za-z0-9]{30,}$|^github_pat_[A-Za-z0-9_]{30,}$|^glpat-[A-Za-z0-9_-]{20,}$/,
  /^xox[abeoprs]-[A-Za-z0-9-]{10,}/,
  /^A(?:KIA|SIA)[A-Z0-9]{16}$/,
  /^AIza[A-Za-z0-9_-]{35}$/,
  /^npm_[A-Za-z0-9]{36}$|^pypi-[A-Za-z0-9_-]{20,}$|^SG\.[A-Za-z0-9_-]{16,}\./,
  /^sk-[A-Za-z0-9_-]{20,}$/,
  /^eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\./,
  /^-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----/,
  // Of passwords: bcrypt, argon2, crypt, scrypt, PBKDF2, Postgres's own.
  /^\$(?:2[abxy]|argon2(?:id|i|d)|[156y]|scrypt|7|pbkdf2[a-z0-9-]*)\$|^pbkdf2_sha\d{3}\$|^SCRAM-SHA-256\$|^\{S?SHA\d*\}|^md5[0-9a-f]{32}$/,
  // A URL with a password in it.
  /^[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:/@]{0,80}:[^\s/@]{1,120}@/i,
];

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Long, without words, and of many different characters: random, or encoded. A check sum looks the same. */
function isRandom(text: string): boolean {
  if (!/^[A-Za-z0-9+/_=.~-]{20,}$/.test(text) || uuid.test(text) || !/\d/.test(text) || !/[A-Za-z]/.test(text))
    return false;
  if (/^[0-9a-f]+$/i.test(text)) return text.length >= 32;
  return entropy(text) >= 3.6 && !/[A-Za-z]{3,}[-_.][A-Za-z]{3,}/.test(text);
}

/** Bits a character, by how often each occurs. */
function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}

function isName(text: string): boolean {
  if (text.length > 60 || !/^\p{L}[\p{L}\p{M}.,'’ -]*$/u.test(text)) return false;
  const words = text.split(/[\s,-]+/u).filter((word) => word !== '');
  if (words.length > 5) return false;
  return words.some((word) => givenNames.has(word.toLowerCase().normalize('NFD').replace(/\p{M}/gu, '')));
}

/** A day on which somebody who may be alive was born, without a time of day. */
export function isBirthday(text: string, thisYear: number): boolean {
  const found = /^(\d{4})-(\d{2})-(\d{2})(?:[ T]00:00:00(?:\.0+)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?$/.exec(text);
  const other = /^(\d{1,2})[./](\d{1,2})[./](\d{4})$/.exec(text);
  const [year, month, day] =
    found !== null
      ? [Number(found[1]), Number(found[2]), Number(found[3])]
      : other !== null
        ? [Number(other[3]), 1, Math.min(Number(other[1]), Number(other[2]))]
        : [0, 0, 0];
  return year >= thisYear - 110 && year <= thisYear && month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/** Sentences rather than a code or a title. */
export const isProse = (text: string): boolean => text.length >= 25 && (text.match(/\p{L}{2,}/gu)?.length ?? 0) >= 5;

const detectors: Readonly<Record<Kind, (text: string) => boolean>> = {
  email: (text) => email.test(text),
  card: isCard,
  iban: isIban,
  national_id: isNationalId,
  phone: isPhone,
  birth: (text) => isBirthday(text, new Date().getUTCFullYear()),
  name: isName,
  address: (text) => text.length <= 200 && addresses.some((pattern) => pattern.test(text)),
  ip: (text) => isIP(text.replace(/\/\d{1,3}$/, '')) !== 0,
  secret: (text) => prefixed.some((pattern) => pattern.test(text)),
  text: isProse,
};

/** Whether a value by itself looks like one of this kind. */
export const looksLike = (kind: Kind, text: string): boolean => detectors[kind](text.trim());

/** Whether it may be one, where the column's name says that it is. */
export function mayBe(kind: Kind, text: string): boolean {
  const value = text.trim();
  if (looksLike(kind, value)) return true;
  if (kind === 'phone') return isBarePhone(value);
  if (kind === 'national_id') return isBareSsn(value);
  return kind === 'secret' && (isRandom(value) || uuid.test(value));
}

/** Random characters: a key perhaps, or a check sum. */
export const seemsRandom = (text: string): boolean => isRandom(text.trim());

const insides: readonly (readonly [Kind, RegExp, ((found: string) => boolean)?])[] = [
  ['email', emailInside],
  ['card', /(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])/u, isCard],
  ['iban', /(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,8}(?!\w)/u, isIban],
  ['national_id', /(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])/u],
  ['phone', /(?<![\w+])\+[1-9]\d{0,2}[ (.-]?[\d ().-]{6,20}\d(?!\w)/u, isPhone],
];

/** The kinds that stand somewhere inside a longer value. */
export function kindsInside(text: string): Kind[] {
  return insides
    .filter(([, pattern, check]) => {
      const found = pattern.exec(text)?.[0];
      return found !== undefined && (check === undefined || check(found));
    })
    .map(([kind]) => kind);
}
