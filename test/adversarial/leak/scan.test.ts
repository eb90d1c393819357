import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { card, day, number, word } from './canaries.js';
import { makeData, schema } from './data.js';
import { Scanner } from './scan.js';

/** A scanner that overlooks something makes every other result worthless. */
describe('the scanner', () => {
  const canary = word('a', 'some cell');
  const scanner = new Scanner([canary, number('a', 'n'), day('a', 'd'), card('a', 'c')]);
  const found = (text: string | Buffer) => scanner.find(Buffer.isBuffer(text) ? text : Buffer.from(text));
  const bytes = Buffer.from(canary);
  const each = (encode: (byte: number) => string) => [...bytes].map(encode).join('');
  const hex = (byte: number, size = 2) => byte.toString(16).padStart(size, '0');

  const forms: Record<string, string | Buffer> = {
    'in clear': `a ${canary} b`,
    'in lower case': canary.toLowerCase(),
    reversed: [...canary].reverse().join(''),
    'in part': canary.slice(2, 7),
    'from the middle of a word': `xx${canary.slice(3, 8)}yy`,
    'in hexadecimal': `\\x00${bytes.toString('hex')}`,
    'in hexadecimal, capitals': bytes.toString('hex').toUpperCase(),
    'in base64': bytes.toString('base64'),
    'in base64, shifted by one': Buffer.from(`.${canary}`).toString('base64'),
    'in base64, shifted by two': Buffer.from(`..${canary}`).toString('base64'),
    'in base64 for URLs': bytes.toString('base64url'),
    'in base64 of hexadecimal': Buffer.from(bytes.toString('hex')).toString('base64'),
    'in hexadecimal of base64': Buffer.from(bytes.toString('base64')).toString('hex'),
    'in UTF-16': Buffer.from(canary, 'utf16le'),
    'in a URL': each((byte) => `%${hex(byte)}`),
    'in quoted-printable': each((byte) => `=${hex(byte).toUpperCase()}`),
    'in JSON escapes': each((byte) => `\\u${hex(byte, 4)}`),
    'in XML entities': each((byte) => `&#x${hex(byte)};`),
    'in decimal entities': each((byte) => `&#${byte};`),
    'in octal': each((byte) => `\\${byte.toString(8).padStart(3, '0')}`),
    'as codes': each((byte) => `${byte}, `),
    'as bits': each((byte) => byte.toString(2).padStart(8, '0')),
    'spread out': [...canary].join(','),
    'by MD5': createHash('md5').update(canary).digest('hex'),
    'by SHA-1': createHash('sha1').update(canary.toLowerCase()).digest('hex'),
    'by SHA-256': `\\x${createHash('sha256').update(canary).digest('hex')}`,
    'by SHA-512, in base64': createHash('sha512').update(canary).digest('base64'),
    'a number': `${number('a', 'n')}.25`,
    'a number in a longer one': `12${number('a', 'n')}34`,
    'a day': `born ${day('a', 'd')}`,
    'a day without dashes': day('a', 'd').replaceAll('-', ''),
    'a card': card('a', 'c'),
  };
  test.each(Object.entries(forms))('finds a canary %s', (_name, text) => {
    expect(found(text)).toBeDefined();
  });

  test("finds nothing where nothing is: the schema's own words, masks, digests of something else", () => {
    for (const text of [schema(), '***', 'q***@***', '+***12', JSON.stringify({ a: [1, 2, 3] }), 'x'.repeat(10_000)])
      expect(found(text)).toBeUndefined();
    for (let n = 0; n < 500; n++) {
      const digest = createHash('sha256').update(String(n)).digest();
      expect(found(digest.toString('hex'))).toBeUndefined();
      expect(found(digest.toString('base64'))).toBeUndefined();
    }
  });

  test('tells the two databases apart, which have no canary in common but what is hashed', () => {
    const [a, b] = [makeData('a'), makeData('b')];
    expect(a.canaries.size).toBeGreaterThan(300);
    const common = [...a.canaries].filter((value) => b.canaries.has(value));
    expect(common.length).toBeLessThanOrEqual(24);
  });
});
