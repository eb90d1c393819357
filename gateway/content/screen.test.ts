import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Screen } from './screen.js';

const shown = (...pieces: readonly string[]): string => {
  const screen = new Screen();
  return pieces.map((piece) => screen.push(piece)).join('');
};

describe('a screen shows', () => {
  test.each([
    ['words, in whatever letters', 'plain é 漢 🙂\r\n\ttab\bx'],
    ['colours', '\x1b[1;38;5;200mred\x1b[0m \x1b[38:2::1:2:3mfine\x1b[m'],
    ['places', '\x1b[2J\x1b[H\x1b[10;20Hhere\x1b[K\x1b[3A\x1b7\x1b8\x1bM\x1b[2;20r'],
    ['its other screen, without a cursor', '\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l'],
    ['lines drawn with letters', '\x1b(0lqk\x1b(B \x0eq\x0f'],
  ])('%s', (_name, text) => {
    expect(shown(text)).toBe(text);
    expect(shown(...text)).toBe(text);
  });
});

describe('a screen leaves out', () => {
  test.each([
    ['what writes the clipboard', '\x1b]52;c;cm0=\x07'],
    ['titles, and asking for them', '\x1b]0;rm -rf ~\x07\x1b[21t\x1b]2;x\x1b\\'],
    ['what the terminal answers', '\x1b[c\x1b[>c\x1b[0n\x1b[6n\x1b[?6n\x1bZ\x05\x1b[x\x1b[?1$p\x1b[?u\x1b[>q'],
    [
      'device control strings, and who asks by them',
      '\x1bP$qm\x1b\\\x1bP+q544e\x1b\\\x1b_Gi=1;x\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\',
    ],
    ['links, files and folders', '\x1b]8;;file:///etc\x07\x1b]1337;File=:AA==\x07\x1b]7;file://x\x07'],
    ['printing', '\x1b[5i\x1b[?4i\x1b[4i'],
    [
      'what changes what keys send',
      '\x1b[?1h\x1b=\x1b>\x1b[?2004h\x1b[?1000h\x1b[?1003;1006h\x1b[>4;2m\x1b[2h\x1b[?66h',
    ],
    ['tracking of the mouse, and margins that stay', '\x1b[1;2;3;4;5T\x1b[1;2s\x1b[?69h\x1b[?6h'],
    ['what was on the screen before it', '\x1b[3J\x1b#8'],
    ['bells, and what is none', '\x07\x00\x01\x7f'],
    ['the same in 8 bits', '\u009b5i\u009d52;c;cm0=\u009c\u0090$qm\u009c'],
    ['numbers beyond any screen', '\x1b[99999999b\x1b[65536C'],
  ])('%s', (_name, text) => {
    expect(shown(`a${text}b`)).toBe('ab');
    expect(shown(...`a${text}b`)).toBe('ab');
  });

  test('of a list of modes those that are not known to draw', () => {
    expect(shown('\x1b[?1000;25;2004h')).toBe('\x1b[?25h');
  });

  test('and a reset leaves what stood before it', () => {
    expect(shown('\x1bc')).toBe('\x1b[0m\x1b[H\x1b[2J');
  });

  test('half a sequence, until its other half is there, and for ever where that never comes', () => {
    const screen = new Screen();
    expect(screen.push('a\x1b]52;c;')).toBe('a');
    expect(screen.push('cm0=')).toBe('');
    expect(screen.push('\x07b\x1b[3')).toBe('b');
    expect(screen.push('1mc')).toBe('\x1b[31mc');
    // Longer than any sequence: its text is text.
    expect(shown(`\x1b]52;${'x'.repeat(9_000)}`).startsWith(']52;x')).toBe(true);
  });
});

test('no ESC leaves but at the head of what draws, however it was cut', () => {
  const bit = fc.constantFrom(
    ...['\x1b', '[', ']', '52;', '?', '25', ';', 'h', 'c', 'n', '6', '\x07', '\\', 'P', '\u009b', '\u009d', 'm', '\r\n', 'é', '3', 'J', '$', '(', '0'], // prettier-ignore
  );
  const drawn =
    /\x1b(?:\[(?:\?(?:5|7|12|25|47|104[789])[hl]|[0-9;:]*[@A-IK-MPSTXZ`abdefmrsu]|[012]?J|4[hl])|[()*+][0AB]|[78DEM])/gu;
  fc.assert(
    fc.property(fc.array(bit, { maxLength: 40 }), fc.array(fc.nat(3), { maxLength: 40 }), (bits, cuts) => {
      const text = bits.join('');
      const pieces: string[] = [];
      let at = 0;
      for (const cut of cuts) pieces.push(text.slice(at, (at += cut)));
      const once = shown(text);
      expect(shown(...pieces, text.slice(at))).toBe(once);
      expect(once.replace(drawn, '')).not.toMatch(/[\x00-\x07\x0b\x0c\x10-\x1f\x7f-\x9f]/u);
    }),
    { numRuns: 300 },
  );
});
