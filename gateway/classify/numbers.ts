/** Numbers that carry a check of their own: what fails it is not one. */

const digitsOf = (text: string): number[] => [...text].map(Number);

/** ISO/IEC 7812: payment cards, and some national numbers. */
export function luhn(digits: string): boolean {
  let sum = 0;
  for (let at = 0; at < digits.length; at++) {
    const digit = Number(digits[digits.length - 1 - at]);
    const doubled = digit * 2;
    sum += at % 2 === 0 ? digit : doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** 13 to 19 digits in groups or in one, of a range that cards are issued from, with the right last digit. */
export function isCard(text: string): boolean {
  if (!/^\d(?:[ -]?\d){12,18}$/.test(text)) return false;
  const digits = text.replace(/[ -]/g, '');
  return /^(?:3[04-9]|4|5|6|2[2-7])/.test(digits) && !/^(\d)\1+$/.test(digits) && luhn(digits);
}

/** The lengths of ISO 13616, by country. */
const ibanLengths: Readonly<Record<string, number>> = {
  ...{ AD: 24, AE: 23, AL: 28, AT: 20, AZ: 28, BA: 20, BE: 16, BG: 22, BH: 22, BR: 29, BY: 28, CH: 21, CR: 22, CY: 28 },
  ...{ CZ: 24, DE: 22, DK: 18, DO: 28, EE: 20, EG: 29, ES: 24, FI: 18, FO: 18, FR: 27, GB: 22, GE: 22, GI: 23, GL: 18 },
  ...{ GR: 27, GT: 28, HR: 21, HU: 28, IE: 22, IL: 23, IQ: 23, IS: 26, IT: 27, JO: 30, KW: 30, KZ: 20, LB: 28, LC: 32 },
  ...{ LI: 21, LT: 20, LU: 20, LV: 21, LY: 25, MC: 27, MD: 24, ME: 22, MK: 19, MR: 27, MT: 31, MU: 30, NL: 18, NO: 15 },
  ...{ PK: 24, PL: 28, PS: 29, PT: 25, QA: 29, RO: 24, RS: 22, SA: 24, SC: 31, SE: 24, SI: 19, SK: 24, SM: 27, ST: 25 },
  ...{ SV: 28, TL: 23, TN: 24, TR: 26, UA: 29, VA: 22, VG: 24, XK: 20 },
};

export function isIban(text: string): boolean {
  const plain = text.replace(/ /g, '').toUpperCase();
  if (!/^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$/.test(plain)) return false;
  if (ibanLengths[plain.slice(0, 2)] !== plain.length) return false;
  const letters = plain.slice(4) + plain.slice(0, 4);
  return (
    remainder(
      letters.replace(/[A-Z]/g, (letter) => String(letter.charCodeAt(0) - 55)),
      97,
    ) === 1
  );
}

function remainder(digits: string, by: number): number {
  let rest = 0;
  for (const digit of digits) rest = (rest * 10 + Number(digit)) % by;
  return rest;
}

/** United States: 123-45-6789; never 000, 666 or 9xx, 00, 0000. */
const ssn = (text: string) => /^(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}$/.test(text);

/** United Kingdom, National Insurance: AB 12 34 56 C. */
const nino = (text: string) =>
  /^(?!BG|GB|KN|NK|NT|TN|ZZ)[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]$/.test(text);

/** Spain, DNI and NIE: the letter follows from the number. */
function dni(text: string): boolean {
  const found = /^([XYZ]?)-?(\d{7,8})-?([A-Z])$/.exec(text);
  if (found === null) return false;
  const [, prefix = '', number = '', letter] = found;
  if (prefix.length + number.length !== 8) return false;
  return 'TRWAGMYFPDXBNJZSQVHLCKE'[Number(`${prefix === '' ? '' : 'XYZ'.indexOf(prefix)}${number}`) % 23] === letter;
}

/** France, NIR: 13 digits and a key that is 97 minus their rest. */
function nir(text: string): boolean {
  const plain = text.replace(/ /g, '');
  if (!/^[12]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)\d{8}\d{2}$/.test(plain)) return false;
  return 97 - remainder(plain.slice(0, 13), 97) === Number(plain.slice(13));
}

/** Germany, tax number for life: ISO 7064 MOD 11,10. */
function steuerId(text: string): boolean {
  const plain = text.replace(/ /g, '');
  if (!/^[1-9]\d{10}$/.test(plain)) return false;
  let product = 10;
  for (const digit of digitsOf(plain.slice(0, 10))) {
    const sum = (digit + product) % 10 || 10;
    product = (sum * 2) % 11;
  }
  return (11 - product) % 10 === Number(plain[10]);
}

/** Italy: letters and digits in fixed places (the digits may be replaced by letters where two people share a code). */
const codiceFiscale = (text: string) =>
  /^[A-Z]{6}[\dLMNP-V]{2}[ABCDEHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]$/.test(text);

/** Brazil: two check digits. */
function cpf(text: string): boolean {
  if (!/^\d{3}\.\d{3}\.\d{3}-\d{2}$/.test(text)) return false;
  const digits = digitsOf(text.replace(/\D/g, ''));
  const check = (count: number) => {
    const sum = digits.slice(0, count).reduce((total, digit, at) => total + digit * (count + 1 - at), 0);
    return ((sum * 10) % 11) % 10;
  };
  return new Set(digits).size > 1 && check(9) === digits[9] && check(10) === digits[10];
}

/** Poland: weights 1 3 7 9 over ten digits; they begin with a date. */
function pesel(text: string): boolean {
  if (!/^\d{2}(?:[02468][1-9]|[13579][0-2])(?:0[1-9]|[12]\d|3[01])\d{5}$/.test(text)) return false;
  const sum = digitsOf(text.slice(0, 10)).reduce((total, digit, at) => total + digit * [1, 3, 7, 9][at % 4]!, 0);
  return (10 - (sum % 10)) % 10 === Number(text[10]);
}

/** Switzerland: 756.1234.5678.97, an EAN-13. */
function ahv(text: string): boolean {
  if (!/^756\.\d{4}\.\d{4}\.\d{2}$/.test(text)) return false;
  const digits = digitsOf(text.replace(/\./g, ''));
  const sum = digits.slice(0, 12).reduce((total, digit, at) => total + digit * (at % 2 === 0 ? 1 : 3), 0);
  return (10 - (sum % 10)) % 10 === digits[12];
}

/** Sweden: a date, a dash, four digits, of which the last is Luhn's. */
function personnummer(text: string): boolean {
  if (!/^(?:\d{2})?\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-+]\d{4}$/.test(text)) return false;
  return luhn(text.replace(/\D/g, '').slice(-10));
}

/** India, PAN: AAAPA9999A; the fourth letter says whose it is. */
const pan = (text: string) => /^[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]$/.test(text);

/** One check digit keeps out nine in ten of any digits, so a column is judged by its values together. */
export function isNationalId(text: string): boolean {
  return [ssn, nino, dni, nir, steuerId, codiceFiscale, cpf, pesel, ahv, personnummer, pan].some((is) => is(text));
}

/** The nine digits of a social security number, as tables keep them where the column says what they are. */
export const isBareSsn = (text: string): boolean => /^(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}$/.test(text);
