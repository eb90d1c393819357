import fc from 'fast-check';
import type { Literal } from '../../gateway/protocols/postgres/sql/literals.js';

/** Texts of one form: the same text with other values in it, among them those that mean something in one place or other. */

const integers = fc.oneof(fc.constantFrom(0, 1, 2, 3, 24, 25, 999_999_999), fc.nat(999_999_999)).map(String);
const decimals = fc.tuple(fc.nat(999), fc.nat(999)).map(([whole, part]) => `${String(whole)}.${String(part)}`);
const strings = fc
  .oneof(
    fc.constantFrom(
      '',
      'a',
      'orders',
      'app.secrets',
      'secrets',
      'orders_id_seq',
      'secrets_id_seq',
      'role',
      'search_path',
      'client_encoding',
      'standard_conforming_strings',
      'off',
      'sjis',
      'year',
      '1 day',
      '2026-01-01',
      "it's",
      'x--y',
      '/*',
      '$.a',
      '0',
      't',
    ),
    fc.string({ unit: 'grapheme-ascii', maxLength: 12 }).map((text) => text.replaceAll('\\', '')),
  )
  .map((text) => `'${text.replaceAll("'", "''")}'`);
const another = { integer: integers, decimal: decimals, string: strings } as const;

/** Any literal that could stand in the place of this one. */
export const anotherLiteral = ({ kind }: Literal): fc.Arbitrary<string> => another[kind];

/** The text with others in place of its literals. */
export const withLiterals = (text: string, literals: readonly Literal[], others: readonly string[]): string => {
  let made = '';
  let at = 0;
  for (const [index, literal] of literals.entries()) {
    made += text.slice(at, literal.at) + others[index]!;
    at = literal.at + literal.text.length;
  }
  return made + text.slice(at);
};
