import { patternKinds, type PatternKind } from '#engine';

/**
 * What `pattern` finds in text, as one of Postgres's own regular expressions. They would rather find too much than too
 * little: a card number's check digit is not looked at, since no server can do that in an expression for little.
 */

/** No letter, digit or underscore right before, or right behind. */
const start = '(?<![A-Za-z0-9_])';
const end = '(?![A-Za-z0-9_])';
const digitsOnly = { start: '(?<![0-9])', end: '(?![0-9])' };

/** A part of an address: anything but what separates words in text and in the text form of arrays. */
const part = `[^][@[:space:]"'<>(),;:{}|.]`;

const ibanCountries =
  'A[DELTZ]|B[AEGHIRY]|C[HRYZ]|D[EJKO]|E[EGS]|F[IKOR]|G[BEILRT]|H[NRU]|I[ELQST]|JO|K[WZ]|L[BCITUVY]|M[CDEKNRTU]|N[ILO]|OM|P[KLST]|QA|R[OSU]|S[ACDEIKMOTV]|T[LNR]|UA|V[AG]|XK|YE';

const alternatives: Readonly<Record<PatternKind, (body: string) => readonly string[]>> = {
  email: () => [`${part}+(?:[.]+${part}+)*@${part}+(?:[.]${part}+)*`],
  card: () => [`${digitsOnly.start}[0-9](?:[ -]?[0-9]){12,18}${digitsOnly.end}`],
  iban: () => [
    `${start}(?:${ibanCountries})[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?${end}`,
    `${start}[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}${end}`,
  ],
  phone: () => [
    // +49 30 1234567, 0049…
    `(?<![A-Za-z0-9])[+](?:[ ()./-]{0,2}[0-9]){7,15}`,
    `${digitsOnly.start}00[1-9](?:[ ()./-]{0,2}[0-9]){7,13}${digitsOnly.end}`,
    // (030) 1234567, 0171/1234567
    `${digitsOnly.start}[(]0[1-9][0-9]{1,4}[)][ ./-]?[0-9]{3,8}(?:[ -][0-9]{1,6})*`,
    `(?<![0-9.,-])0[1-9][0-9]{1,4}[ /-][0-9]{3,8}(?:[ -][0-9]{1,6})*${digitsOnly.end}`,
    // 212-555-0123, (212) 555-0123, 1-212-555-0123
    `${digitsOnly.start}(?:1[ .-]?)?(?:[(][0-9]{3}[)] ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}${digitsOnly.end}`,
  ],
  national_id: () => [
    // US: 078-05-1120
    `(?<![0-9-])[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}(?![0-9-])`,
    // UK: QQ 12 34 56 C
    `${start}[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]${end}`,
    // Spain: 12345678Z, X1234567L
    `${start}[0-9]{8}-?[A-Z]${end}`,
    `${start}[XYZ]-?[0-9]{7}-?[A-Z]${end}`,
    // Italy
    `${start}[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]${end}`,
    // Brazil: 123.456.789-09
    `${digitsOnly.start}[0-9]{3}[.][0-9]{3}[.][0-9]{3}-[0-9]{2}${digitsOnly.end}`,
    // India: 1234 5678 9012, ABCDE1234F
    `${digitsOnly.start}[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}${digitsOnly.end}`,
    `${start}[A-Z]{5}[0-9]{4}[A-Z]${end}`,
  ],
  key: (body) => [
    `-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----(?:${body}|-(?!----))*(?:-----END[A-Z0-9 ]*-----)?`,
    // JSON Web Tokens
    `eyJ[A-Za-z0-9_-]{5,}[.][A-Za-z0-9_-]+(?:[.][A-Za-z0-9_-]*)*`,
    // AWS: key ids, and secrets (40 characters, letters of both cases among them)
    `${start}(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{12,}`,
    `(?<![A-Za-z0-9/+=])(?=[a-z0-9/+]*[A-Z])(?=[A-Z0-9/+]*[a-z])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])`,
    `(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|xapp-|[sprw]k_(?:live|test)_|whsec_|sk-|npm_|hf_|dop_v1_|SG[.]|AIza|ya29[.])[A-Za-z0-9_./+-]{16,}`,
  ],
};

export interface PatternPlace {
  /** The text form of an array: a quote ends an element, unless a backslash stands before it. */
  readonly quoted?: boolean;
}

/** One regular expression for all the kinds. */
export function patternOf(kinds: readonly PatternKind[], { quoted = false }: PatternPlace = {}): string {
  const body = quoted ? '[^-"[.backslash.]]|[[.backslash.]].' : '[^-]';
  return patternKinds
    .filter((kind) => kinds.includes(kind))
    .flatMap((kind) => alternatives[kind](body))
    .map((alternative) => `(?:${alternative})`)
    .join('|');
}
