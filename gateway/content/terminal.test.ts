import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { allKinds, kindsOf, maskText, TerminalStream } from './index.js';

const show = (pieces: readonly (string | Buffer)[], terminal = true): string => {
  const stream = new TerminalStream({ kinds: allKinds, numbers: false, terminal });
  const out = pieces.map((piece) => stream.push(Buffer.from(piece as string)));
  return Buffer.concat([...out, stream.finish()]).toString('latin1');
};

describe('what is written for a terminal', () => {
  test.each([
    ['words', 'write to ada@example.com, please\r\n', 'write to ***, please\r\n'],
    ['a colour inside of an address', 'a \x1b[31mada@exa\x1b[0mmple.com z', 'a \x1b[31m***\x1b[0m z'],
    ['a title inside of a card number', '4111 1111\x1b]0;x\x07 1111 1111 ', '***\x1b]0;x\x07 '],
    ['a bell, and what no terminal shows', 'ada\x07@exam\x00ple.com ', '***\x07\x00 '],
    ['a sequence in 8 bits, as UTF-8', 'ada@\xc2\x9b1mexample.com ', '***\xc2\x9b1m '],
    ['letters that are struck over', 'a\bad\bda\ba@\b@e\bex\bxample.com.', '***.'],
    ['letters that a sequence repeats', '41\x1b[14b. x', '***. x'],
    ['an address in a title', '\x1b]0;ada@example.com\x07$ ', '\x1b]0;***\x07$ '],
    ['an address in a link', '\x1b]8;;mailto:ada@example.com\x1b\\write\x1b]8;;\x1b\\ ', '\x1b]8;;mailto:***\x1b\\write\x1b]8;;\x1b\\ '], // prettier-ignore
    ['two words on two lines of a screen', 'ada\x1b[2;1Hbob@example.com\x1b[K', 'ada\x1b[2;1H***\x1b[K'],
    ['an ESC that begins nothing', 'ada\x1b\x1b[m@example.com ', '***\x1b\x1b[m '],
    ['a sequence that a control breaks off', 'ada@example.com \x1b[3\r\n1m', '*** \x1b[3\r\n1m'],
    ['nothing to mask', '\x1b[1mplain\x1b[0m \x1b(B\x1b=\b text', '\x1b[1mplain\x1b[0m \x1b(B\x1b=\b text'],
  ])('%s', (_name, text, expected) => {
    const bytes = Buffer.from(text, 'latin1');
    expect(show([bytes])).toBe(expected);
    // Byte by byte: the same.
    expect(show([...bytes].map((byte) => Buffer.from([byte])))).toBe(expected);
  });

  test('a sequence that never ends is read as text', () => {
    const text = `\x1b]0;${'x'.repeat(9_000)} ada@example.com `;
    expect(show([text])).toBe(text.replace('ada@example.com', '***'));
  });

  test('more sequences than fit into one word are left out, and the word is masked', () => {
    const shown = show([`ada${'\x1b[1m'.repeat(10_000)}@example.com end`]);
    expect(shown.replaceAll('\x1b[1m', '')).toBe('*** end');
    expect(shown.length).toBeLessThan(20_000);
  });

  test('what nobody can wait for is shown, but half a sequence never', () => {
    const stream = new TerminalStream({ kinds: allKinds, numbers: false, terminal: true });
    expect(stream.push(Buffer.from('login: us\x1b[3')).toString()).toBe('login: ');
    expect(stream.flush().toString()).toBe('us');
    expect(stream.flush().toString()).toBe('');
    expect(stream.push(Buffer.from('1mx ')).toString()).toBe('\x1b[31mx ');
    expect(stream.push(Buffer.from('a \x1b[')).toString()).toBe('a ');
    expect(stream.finish().toString()).toBe('\x1b[');
  });
});

test('a key goes on behind a pause in its middle, and so does a token', () => {
  const stream = new TerminalStream({ kinds: allKinds, numbers: false, terminal: true });
  const out: Buffer[] = [];
  const pieces = [
    '-----BEGIN PRIVATE KEY-----\r\nMIIEvQIBADANBgkqh',
    'kiG9w0BAQEFAASC\r\nBKcwggSj',
    'AgEAAoIBAQ==\r\n-----END',
  ];
  for (const piece of pieces) out.push(stream.push(Buffer.from(piece)), stream.flush());
  out.push(stream.push(Buffer.from(' PRIVATE KEY-----\r\n$ eyJhbGciOiJFUzI1NiJ9.eyJzdWIi')), stream.flush());
  out.push(stream.push(Buffer.from('OiJhZGEifQ.c2lnbmF0dXJl\r\n$ ')), stream.finish());
  expect(Buffer.concat(out).toString()).toBe('***\r\n$ ***\r\n$ ');
});

describe('output that is no text', () => {
  test('keeps its length from the first NUL on', () => {
    const bytes = 'ada@example.com \0\x01\x02ada@example.com\0ada@example.com';
    expect(show([bytes], false)).toBe(`*** \0\x01\x02${'*'.repeat(15)}\0${'*'.repeat(15)}`);
    expect(show([...bytes].map(String), false)).toBe(`*** \0\x01\x02${'*'.repeat(15)}\0${'*'.repeat(15)}`);
  });

  test('passes byte for byte where nothing is found', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 5 }), fc.boolean(), (pieces, terminal) => {
        const bytes = Buffer.concat(pieces);
        const stream = new TerminalStream({ kinds: kindsOf([]), numbers: false, terminal });
        const shown = Buffer.concat([...pieces.map((piece) => stream.push(Buffer.from(piece))), stream.finish()]);
        // A sequence that repeats a letter is written out.
        if (!/(?:\x1b\[|\xc2\x9b)[0-?]*b/u.test(bytes.toString('latin1'))) expect(shown.equals(bytes)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

const word = fc.constantFrom(
  ...['ada@example.com', '4111 1111 1111 1111', 'plain', ' ', '\r\n', 'é', '+49 30 1234567', 'x', '7', '\b', '\0'],
);
const sequence = fc.constantFrom(
  ...['\x1b[1;31m', '\x1b[0m', '\x1b]0;t\x07', '\x1b]8;;u\x1b\\', '\x1b[5;1H', '\x1b[A', '\x1b7', '\x07', '\x1b(B'],
  ...['\u009b1m', '\x1b[2b', '\x1b[', '\x1b]', '\x1bP1$q\x1b\\'],
);

test('what leaves is the same however it was cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(word, sequence), { maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 200 }),
      fc.boolean(),
      (parts, lengths, terminal) => {
        const bytes = Buffer.from(parts.join(''));
        const pieces: Buffer[] = [];
        let at = 0;
        for (const length of lengths) {
          pieces.push(bytes.subarray(at, at + length));
          at += length;
        }
        pieces.push(bytes.subarray(at));
        expect(show(pieces, terminal)).toBe(show([bytes], terminal));
      },
    ),
    { numRuns: 500 },
  );
});

test('an address is found whatever is seen through stands in it, and every sequence comes out whole and in order', () => {
  const through = fc.constantFrom('\x1b[1;31m', '\x1b[m', '\x1b]0;t\x07', '\x07', '\x1b(B', '\u009b4m', '\x1b[?25l');
  const address = 'ada@example.com';
  fc.assert(
    fc.property(
      fc.array(fc.array(through, { maxLength: 2 }), { minLength: address.length, maxLength: address.length }),
      fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 60 }),
      (between, lengths) => {
        const written = `to ${[...address].map((letter, at) => letter + between[at]!.join('')).join('')} now`;
        const bytes = Buffer.from(written);
        let at = 0;
        const pieces = lengths.map((length) => bytes.subarray(at, (at += length)));
        const shown = Buffer.from(show([...pieces, bytes.subarray(at)]), 'latin1').toString();
        const sequences = between.flat().join('');
        const last = between.at(-1)!.join('');
        expect(shown).toBe(`to ***${sequences} now`);
        expect(sequences.endsWith(last)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

test('text without sequences is masked as text is anywhere', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string({ maxLength: 20 })), { maxLength: 20 }), (parts) => {
      const text = parts.join('').replace(/[\0-\x08\x0e-\x1f\x7f-\x9f]/gu, '');
      const shown = Buffer.from(show([text]), 'latin1').toString();
      expect(shown).toBe(maskText(text, { kinds: allKinds, numbers: false }));
    }),
    { numRuns: 300 },
  );
});
