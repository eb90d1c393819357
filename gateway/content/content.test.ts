import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { getExampleNumber, getCountries, type CountryCode } from 'libphonenumber-js';
import examples from 'libphonenumber-js/examples.mobile.json';
import validator from 'validator';
import { patternKinds, type PatternKind } from '#engine';
import { isCardNumber, isIban, verhoeff } from './checks.js';
import { allKinds, ContentStream, held_bytes_max, kindsOf, maskInPlace, maskText } from './index.js';

const masked = (text: string, kinds: readonly PatternKind[] = patternKinds) =>
  maskText(text, { kinds: kindsOf(kinds), numbers: false });
const json = (text: string) => maskText(text, { kinds: allKinds, numbers: true });

/** Keys are put together here, so that nobody who looks for keys in this repository finds one. */
const key = (...parts: string[]) => parts.join('');
const pem = (newline: string) =>
  key('-----BEGIN RSA PRIV', 'ATE KEY-----', newline, `MIIEpAIBAAKCAQEA${newline}q83+/w==`, newline, '-----END RSA PRIV', 'ATE KEY-----'); // prettier-ignore

describe('what is found', () => {
  test.each([
    ['email', 'write to ada@example.com, please', 'write to ***, please'],
    ['email', '<Ada.Lovelace+x@mail.example.co.uk>', '<***>'],
    ['email', 'ünïcode@bücher.example', '***'],
    ['email', '{"a":"x\\nada@example.com"}', '{"a":"x\\n***"}'],
    ['email', 'ada\\u0040example\\u002ecom', '***'],
    ['email', 'copied: ada\\\\u0040example.com', 'copied: ***'],
    ['email', 'ends. ada@example.com.', 'ends. ***.'],
    ['card', '4111 1111 1111 1111', '***'],
    ['card', '4111-1111-1111-1111', '***'],
    ['card', 'x4111111111111111x', 'x***x'],
    ['card', '3782 822463 10005', '***'],
    ['card', 'no. 12 4111 1111 1111 1111 12/28', 'no. 12 *** 12/28'],
    ['card', '\\u0034111111111111111', '***'],
    ['iban', 'IBAN DE89 3704 0044 0532 0130 00 BIC X', 'IBAN *** BIC X'],
    ['iban', 'GB82WEST12345698765432', '***'],
    ['iban', 'gb82west12345698765432', '***'],
    ['iban', 'NL91-ABNA-0417-1643-00', '***'],
    ['phone', 'call +49 30 1234567 now', 'call *** now'],
    ['phone', '+1 (212) 555-0123', '***'],
    ['phone', '(212) 555-0123 or 212-555-0123', '*** or ***'],
    ['phone', '0171/1234567, 020 7946 0958', '***, ***'],
    ['phone', '01 23 45 67 89', '***'],
    ['phone', '004930123456', '***'],
    ['national_id', 'ssn 078-05-1120.', 'ssn ***.'],
    ['national_id', 'AB 12 34 56 C', '***'],
    ['national_id', 'QQ123456C', '***'],
    ['national_id', '12345678Z and X1234567L', '*** and ***'],
    ['national_id', 'RSSMRA85T10A562S', '***'],
    ['national_id', '529.982.247-25', '***'],
    ['national_id', '11.222.333/0001-81', '***'],
    ['national_id', '2341 2341 2346', '***'],
    ['national_id', 'ABCPE1234F', '***'],
    ['key', `a ${pem('\n')} b`, 'a *** b'],
    ['key', `{"k":"${pem('\\n')}"}`, '{"k":"***"}'],
    [
      'key',
      key('eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.', 'eyJzdWIiOiIxMjM0NTY3ODkwIn0.', 'dozjgNryP4J3jVmNHl0w5N_XgL0'),
      '***',
    ],
    ['key', `id=${key('AKIA', 'IOSFODNN7EXAMPLE')};`, 'id=***;'],
    ['key', `secret=${key('wJalrXUtnFEMI/K7MDENG', '/bPxRfiCYEXAMPLEKEY')}`, 'secret=***'],
    ['key', key('ghp_', '0123456789abcdefghijABCDEFGHIJ012345'), '***'],
    ['key', key('xoxb-', '123456789012-abcdefghijklmnop'), '***'],
    ['key', key('AIza', 'SyA1234567890abcdefghijklmnopqrstuv'), '***'],
    ['key', key('sk_live_', '4eC39HqLyjWDarjtT1zdp7dc'), '***'],
  ] as const)('%s: %s', (kind, text, expected) => {
    expect(masked(text)).toBe(expected);
    expect(masked(text, [kind])).toBe(expected);
    // Not by the others.
    expect(
      masked(
        text,
        patternKinds.filter((other) => other !== kind),
      ),
    ).not.toBe(expected);
  });

  test.each([
    ['a wrong check digit', '4111 1111 1111 1112'],
    ['milliseconds since 1970', '1732680000000'],
    ['a fraction', '0.4111111111111111'],
    ['a longer number', '41111111111111111111'],
    ['a wrong IBAN', 'GB82 WEST 1234 5698 7654 33'],
    ['a date and a time', '2026-11-27 04:53:26.123456+00'],
    ['amounts', '1,234,567.89 and 0.001234567'],
    ['an address of the network', '192.168.100.200'],
    ['a host and its user', 'ada@localhost:22'],
    ['a handle', 'said @ada yesterday'],
    ['a wrong DNI', '12345678A'],
    ['a wrong CPF', '529.982.247-26'],
    ['a wrong code of Italy', 'RSSMRA85T10A562T'],
    ['a wrong Aadhaar', '2341 2341 2347'],
    ['a digest', '9e107d9d372bb6826bd81d3542a419d69e107d9d'],
    ['capitals', 'THE QUICK BROWN FOX JUMPS OVER 13 LAZY DOGS'],
    ['a path', '/usr/share/doc/postgresql-15/examples/10-minutes.txt'],
  ])('%s stays', (_what, text) => {
    expect(masked(text)).toBe(text);
  });

  test('JSON stays JSON, and what stands bare a number', () => {
    const text =
      '{"n": 4111111111111111, "m":-4111111111111111.50, "s":"4111111111111111", "t": "pay 4111111111111111 now", "a":[4111111111111111]}';
    expect(json(text)).toBe('{"n": 0, "m":-0.50, "s":"***", "t": "pay 0 now", "a":[0]}');
    expect(json('4111111111111111')).toBe('0');
    expect(masked('4111111111111111')).toBe('***');
  });

  test('whatever JSON is masked parses', () => {
    const values = ['ada@example.com', '4111 1111 1111 1111', pem('\n'), 'x\\"', 'é"\\', '\n', '+49 30 1234567', 'a b'];
    const text = fc.array(fc.constantFrom(...values)).map((parts) => parts.join(''));
    const escaped = (document: string, every: number) =>
      document.replace(/[a-z0-9@](?=[^"]*")/g, (found, at: number) =>
        at % every === 0 && document[at - 1] !== '\\'
          ? `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`
          : found,
      );
    fc.assert(
      fc.property(
        fc.dictionary(text, fc.oneof(text, fc.constant(4111111111111111))),
        fc.integer({ min: 2, max: 9 }),
        (value, every) => {
          const document = JSON.stringify(value);
          const result = json(document);
          expect(() => JSON.parse(result) as unknown).not.toThrow();
          expect(result).not.toContain('ada@');
          let same = '';
          try {
            same = escaped(document, every);
            JSON.parse(same);
          } catch {
            return;
          }
          expect(JSON.stringify(JSON.parse(json(same)))).not.toContain('ada@example');
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('against other implementations', () => {
  test.each(getCountries().map((country) => [country]))(
    'a mobile number of %s, as it is written abroad',
    (country: CountryCode) => {
      const number = getExampleNumber(country, examples);
      if (number === undefined) return;
      expect(masked(`tel ${number.formatInternational()}!`)).toBe('tel ***!');
      expect(masked(`tel ${number.number}!`)).toBe('tel ***!');
    },
  );

  test('check digits', () => {
    for (let each = 0; each < 2_000; each++) {
      const digits = String(4e15 + Math.floor(Math.random() * 1e15));
      expect([digits, isCardNumber(digits)]).toEqual([digits, validator.isLuhnNumber(digits)]);
      const account = String(Math.floor(Math.random() * 1e17)).padStart(18, '0');
      const iban = `DE${String(Math.floor(Math.random() * 100)).padStart(2, '0')}${account}`;
      expect([iban, isIban(iban)]).toEqual([iban, validator.isIBAN(iban)]);
    }
  });

  test("every wrong digit, and every pair in another order, is seen by Verhoeff's scheme", () => {
    const good = '234123412346';
    expect(verhoeff(good)).toBe(true);
    for (let at = 0; at < good.length; at++) {
      for (const digit of '0123456789')
        expect(verhoeff(good.slice(0, at) + digit + good.slice(at + 1))).toBe(digit === good[at]);
      if (at > 0 && good[at] !== good[at - 1])
        expect(verhoeff(good.slice(0, at - 1) + good[at]! + good[at - 1]! + good.slice(at + 1))).toBe(false);
    }
  });
});

/** Texts in which much could begin, and now and then does. */
const pieces = [
  'ada@example.com', 'b@c.de', '@', '.', 'x@', '4111 1111 1111 1111', '4111111111111111', '3782 822463 10005', 'DE89 3704 0044 0532 0130 00',
  '+49 30 1234567', '(212) 555-0123', '078-05-1120', 'AB 12 34 56 C', '2341 2341 2346', '12345678Z', pem('\n'), pem('\\n'), '-----', '--',
  key('-----BEGIN PRIV', 'ATE KEY-----'), key('eyJhbGciOiJIUzI1NiJ9', '.eyJzdWIiOiIxMjM0NTY3ODkwIn0.x-y'), key('ghp_', '0123456789abcdefghijABCDEFGHIJ012345'),
  ' ', '  ', '\n', '\\', '\\\\', '\\u0040', '\\u00', '\\\\u0034', '"', ':', ',', 'é', '€', '😀', 'the quick ', 'THE ', '7', '12', ' 34', 'Z', '_', '-', '[', '{"a":', 'null',
]; // prettier-ignore
const text = fc.oneof(
  fc.array(fc.constantFrom(...pieces), { maxLength: 40 }).map((parts) => parts.join('')),
  // Longer than what is held back.
  fc
    .tuple(
      fc.constantFrom('a', '1', 'A', 'a1', 'A1', '\\u0061', '4 ', 'é'),
      fc.nat(30_000),
      fc.array(fc.constantFrom(...pieces), { maxLength: 8 }),
    )
    .map(([unit, count, parts]) => parts.join('') + unit.repeat(count / unit.length) + parts.join(unit)),
);

function streamed(bytes: Buffer, cuts: readonly number[], numbers: boolean): { out: Buffer; held: number } {
  const stream = new ContentStream({ kinds: allKinds, numbers });
  const out: Buffer[] = [];
  let held = 0;
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    if (cut < from) continue;
    out.push(Buffer.from(stream.push(bytes.subarray(from, cut))));
    held = Math.max(held, stream.held);
    from = cut;
  }
  out.push(stream.finish());
  return { out: Buffer.concat(out), held };
}

describe('a stream', () => {
  test('gives the same however it is cut, and holds back no more than it may', () => {
    fc.assert(
      fc.property(text, fc.array(fc.nat(30_000), { maxLength: 30 }), fc.boolean(), (value, cuts, numbers) => {
        const bytes = Buffer.from(value);
        const whole = Buffer.from(bytes);
        const end = maskInPlace(whole, 0, whole.length, { kinds: allKinds, numbers });
        const expected = whole.subarray(0, end).toString('latin1');
        const { out, held } = streamed(
          bytes,
          cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b),
          numbers,
        );
        expect(out.toString('latin1')).toBe(expected);
        expect(held).toBeLessThanOrEqual(held_bytes_max);
        expect(bytes.toString()).toBe(value);
      }),
      { numRuns: 200 },
    );
  });

  test('gives the same byte by byte', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 30 }), fc.boolean(), (parts, numbers) => {
        const bytes = Buffer.from(parts.join(''));
        const expected = streamed(bytes, [], numbers).out.toString('latin1');
        const { out } = streamed(
          bytes,
          Array.from(bytes, (_, at) => at),
          numbers,
        );
        expect(out.toString('latin1')).toBe(expected);
      }),
      { numRuns: 300 },
    );
  });

  test('hands on the piece itself where there is nothing to do', () => {
    const stream = new ContentStream({ kinds: allKinds, numbers: false });
    const piece = Buffer.from('nothing of interest; in 2026, either\n');
    expect(stream.push(piece)).toBe(piece);
    expect(stream.held).toBe(0);
    expect(stream.push(Buffer.from('my number is 4111 11')).toString()).toBe('my number is ');
    expect(stream.held).toBe(7);
    expect(stream.push(Buffer.from('11 1111 1111, you know\n')).toString()).toBe('***, you know\n');
  });

  test('a private key is swallowed as it comes, and one that does not end only so far', () => {
    const stream = new ContentStream({ kinds: kindsOf(['key']), numbers: false });
    expect(stream.push(Buffer.from(key('-----BEGIN PRIV', 'ATE KEY-----\n'))).toString()).toBe('***');
    expect(stream.push(Buffer.from('QUJD\n'.repeat(100))).toString()).toBe('');
    expect(stream.held).toBe(0);
    const rest = Buffer.concat([stream.push(Buffer.from('QUJD\n'.repeat(10_000))), stream.finish()]);
    expect(rest.length).toBeGreaterThan(30_000);
    expect(rest.length).toBeLessThan(50_000);
  });
});
