import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { Lines, type LineEnds } from './lines.js';

function cutInto(text: string, ends: LineEnds, sizes: readonly number[]): { lines: string[]; rest: string } {
  const lines = new Lines(ends);
  const over: string[] = [];
  let at = 0;
  for (const size of sizes) {
    over.push(...lines.push(text.slice(at, at + size)));
    at += size;
  }
  over.push(...lines.push(text.slice(at)));
  return { lines: over, rest: lines.rest() };
}

describe('lines of a text in pieces', () => {
  test.each([
    ['lf', 'a\r\nb\n\nc', ['a\r', 'b', ''], 'c'],
    ['any', 'a\r\nb\rc\n\r\nd', ['a', 'b', 'c', ''], 'd'],
    // Nobody knows yet whether a LF comes.
    ['any', 'a\r', [], 'a\r'],
  ] as const)('%s: %j', (ends, text, lines, rest) => {
    expect(cutInto(text, ends, [])).toEqual({ lines, rest });
  });

  test('are the same however it was cut', () => {
    const text = fc.array(fc.constantFrom('a', '\r', '\n', '\r\n', 'bc', '\u2028'), { maxLength: 30 });
    const ends = fc.constantFrom<LineEnds>('lf', 'any');
    fc.assert(
      fc.property(text, ends, fc.array(fc.nat({ max: 3 })), (parts, kind, sizes) => {
        expect(cutInto(parts.join(''), kind, sizes)).toEqual(cutInto(parts.join(''), kind, []));
      }),
    );
  });

  test.each<LineEnds>(['lf', 'any'])('are looked through once, where one comes a character at a time (%s)', (ends) => {
    const chars = 2_000;
    const split = jest.spyOn(String.prototype, 'split');
    try {
      const { lines } = cutInto(`${'x'.repeat(chars)}\ny`, ends, new Array<number>(chars).fill(1));
      expect(lines).toHaveLength(1);
      const looked = split.mock.contexts.reduce<number>((sum, text) => sum + String(text).length, 0);
      expect(looked).toBeGreaterThanOrEqual(chars);
      expect(looked).toBeLessThan(2 * chars);
    } finally {
      split.mockRestore();
    }
  });
});
