/**
 * Numbers that carry a check of their own: what fails it is not one. Each function takes what was found without its
 * separators, letters in capitals.
 */

/** ISO/IEC 7812: payment cards, and some national numbers. */
export function luhn(digits: string): boolean {
  let sum = 0;
  for (let at = 0; at < digits.length; at++) {
    const digit = digits.charCodeAt(digits.length - 1 - at) - 48;
    const doubled = digit * 2;
    sum += at % 2 === 0 ? digit : doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** Ranges that payment cards are issued from, with the lengths that they have there. */
const cards =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|3[47]\d{13}|3[0689]\d{12,17}|35\d{14,17}|(?:5[1-5]|2[3-6]|22|27|8[12])\d{14}|220[0-4]\d{12,15}|(?:5[06-8]|6)\d{11,18})$/;

/** 13 to 19 digits of a range that payment cards are issued from, with the right last digit. */
export const isCardNumber = (digits: string): boolean =>
  digits.length >= 13 && digits.length <= 19 && cards.test(digits) && !/^(\d)\1+$/.test(digits) && luhn(digits);

/** The lengths of ISO 13616, by country. */
const ibanLengths: Readonly<Record<string, number>> = {
  ...{ AD: 24, AE: 23, AL: 28, AT: 20, AZ: 28, BA: 20, BE: 16, BG: 22, BH: 22, BI: 27, BR: 29, BY: 28, CH: 21, CR: 22 },
  ...{ CY: 28, CZ: 24, DE: 22, DJ: 27, DK: 18, DO: 28, EE: 20, EG: 29, ES: 24, FI: 18, FK: 18, FO: 18, FR: 27, GB: 22 },
  ...{ GE: 22, GI: 23, GL: 18, GR: 27, GT: 28, HN: 28, HR: 21, HU: 28, IE: 22, IL: 23, IQ: 23, IS: 26, IT: 27, JO: 30 },
  ...{ KW: 30, KZ: 20, LB: 28, LC: 32, LI: 21, LT: 20, LU: 20, LV: 21, LY: 25, MC: 27, MD: 24, ME: 22, MK: 19, MN: 20 },
  ...{ MR: 27, MT: 31, MU: 30, NI: 28, NL: 18, NO: 15, OM: 23, PK: 24, PL: 28, PS: 29, PT: 25, QA: 29, RO: 24, RS: 22 },
  ...{ RU: 33, SA: 24, SC: 31, SD: 18, SE: 24, SI: 19, SK: 24, SM: 27, SO: 23, ST: 25, SV: 28, TL: 23, TN: 24, TR: 26 },
  ...{ UA: 29, VA: 22, VG: 24, XK: 20, YE: 30 },
};

/** How many characters an IBAN of this country has; undefined where it has none. */
export const ibanLength = (country: string): number | undefined =>
  Object.hasOwn(ibanLengths, country) ? ibanLengths[country] : undefined;

/** ISO 13616: the right length, and 1 as the rest of division by 97. */
export function isIban(plain: string): boolean {
  if (!/^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$/.test(plain) || ibanLength(plain.slice(0, 2)) !== plain.length) return false;
  const turned = plain.slice(4) + plain.slice(0, 4);
  return (
    remainder(
      turned.replace(/[A-Z]/g, (letter) => String(letter.charCodeAt(0) - 55)),
      97,
    ) === 1
  );
}

/** Of a number of any length. */
export function remainder(digits: string, by: number): number {
  let rest = 0;
  for (let at = 0; at < digits.length; at++) rest = (rest * 10 + digits.charCodeAt(at) - 48) % by;
  return rest;
}

/** Spain, DNI (8 digits and a letter) and NIE (X, Y or Z, 7 digits and a letter): the letter follows from the number. */
export function isDni(plain: string): boolean {
  const found = /^(?:(\d)|([XYZ]))(\d{7})([A-Z])$/.exec(plain);
  if (found === null) return false;
  const [, digit, prefix, rest = '', letter] = found;
  const number = `${digit ?? 'XYZ'.indexOf(prefix ?? '')}${rest}`;
  return 'TRWAGMYFPDXBNJZSQVHLCKE'[Number(number) % 23] === letter;
}

const oddValues = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];

/** Italy, codice fiscale: letters stand for digits where two people would share a code; the last letter checks the rest. */
export function isCodiceFiscale(plain: string): boolean {
  if (!/^[A-Z]{6}[\dLMNP-V]{2}[ABCDEHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]$/.test(plain)) return false;
  let sum = 0;
  for (let at = 0; at < 15; at++) {
    const code = plain.charCodeAt(at);
    const value = code < 65 ? code - 48 : code - 65;
    sum += at % 2 === 0 ? oddValues[value]! : value;
  }
  return plain.charCodeAt(15) - 65 === sum % 26;
}

const allAlike = (digits: string) => /^(\d)\1*$/.test(digits);

function modulo11(digits: string, weights: readonly number[]): number {
  let sum = 0;
  for (const [at, weight] of weights.entries()) sum += (digits.charCodeAt(at) - 48) * weight;
  const rest = sum % 11;
  return rest < 2 ? 0 : 11 - rest;
}

const cpfWeights = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2];
const cnpjWeights = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];

function checkedBy(digits: string, weights: readonly number[]): boolean {
  if (digits.length !== weights.length + 1 || allAlike(digits)) return false;
  const first = modulo11(digits, weights.slice(1));
  const second = modulo11(digits, weights);
  return digits.endsWith(`${first}${second}`);
}

/** Brazil, people: 11 digits, the last two check the rest. */
export const isCpf = (digits: string): boolean => checkedBy(digits, cpfWeights);
/** Brazil, companies: 14 digits. */
export const isCnpj = (digits: string): boolean => checkedBy(digits, cnpjWeights);

/** Verhoeff's scheme: multiplication in the dihedral group D5, and the powers of a permutation. */
const product = (one: number, other: number): number => {
  if (one < 5) return other < 5 ? (one + other) % 5 : 5 + ((one + other) % 5);
  return other < 5 ? 5 + ((one - other) % 5) : (one - other + 5) % 5;
};
const permuted = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];

export function verhoeff(digits: string): boolean {
  let check = 0;
  for (let at = 0; at < digits.length; at++) {
    let value = digits.charCodeAt(digits.length - 1 - at) - 48;
    for (let power = at % 8; power > 0; power--) value = permuted[value]!;
    check = product(check, value);
  }
  return check === 0;
}

/** India, Aadhaar: 12 digits, never beginning with 0 or 1. */
export const isAadhaar = (digits: string): boolean =>
  /^[2-9]\d{11}$/.test(digits) && !allAlike(digits) && verhoeff(digits);

/** United States, SSN and the numbers of taxpayers (ITIN): never 000 or 666, 00, 0000. */
export const isSsn = (digits: string): boolean =>
  /^(?!000|666)(?:[0-8]\d{2}|9\d{2}(?=[5-9]))(?!00)\d{2}(?!0000)\d{4}$/.test(digits);

/** United Kingdom, National Insurance. QQ is what forms show as an example. */
export const isNino = (plain: string): boolean =>
  /^(?!BG|GB|KN|NK|NT|TN|ZZ)(?:QQ|[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z])\d{6}[A-D]$/.test(plain);

/** India, PAN: the fourth letter says whose it is. */
export const isPan = (plain: string): boolean => /^[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]$/.test(plain);
