import { isCardNumber, isCpf, isDni, isIban as isPlainIban, isPan as pan, luhn, remainder } from '../content/checks.js';

/** Numbers that carry a check of their own: what fails it is not one. */

const digitsOf = (text: string): number[] => [...text].map(Number);

/** 13 to 19 digits in groups or in one, of a range that cards are issued from, with the right last digit. */
export function isCard(text: string): boolean {
  if (!/^\d(?:[ -]?\d){12,18}$/.test(text)) return false;
  return isCardNumber(text.replace(/[ -]/g, ''));
}

export const isIban = (text: string): boolean => isPlainIban(text.replace(/ /g, '').toUpperCase());

/** United States: 123-45-6789; never 000, 666 or 9xx, 00, 0000. */
const ssn = (text: string) => /^(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}$/.test(text);

/** United Kingdom, National Insurance: AB 12 34 56 C. */
const nino = (text: string) =>
  /^(?!BG|GB|KN|NK|NT|TN|ZZ)[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]$/.test(text);

/** Spain, DNI and NIE, with dashes or without. */
const dni = (text: string) => /^[XYZ\d]-?\d{7}-?[A-Z]$/.test(text) && isDni(text.replace(/-/g, ''));

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

/** Brazil, as it is written. */
const cpf = (text: string) => /^\d{3}\.\d{3}\.\d{3}-\d{2}$/.test(text) && isCpf(text.replace(/\D/g, ''));

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

/** One check digit keeps out nine in ten of any digits, so a column is judged by its values together. */
export function isNationalId(text: string): boolean {
  return [ssn, nino, dni, nir, steuerId, codiceFiscale, cpf, pesel, ahv, personnummer, pan].some((is) => is(text));
}

/** The nine digits of a social security number, as tables keep them where the column says what they are. */
export const isBareSsn = (text: string): boolean => /^(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}$/.test(text);
