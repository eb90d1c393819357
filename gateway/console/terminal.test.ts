import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { columns_max, rows_max } from './page/screen.js';
import { Terminal } from './page/terminal.js';

/** The screen of the player: what programs draw with, as data; then whatever else may stand in a recording. */

const esc = '\u001b';
const csi = `${esc}[`;

/** A screen of 10 by 4, as lines without what is empty at the end. */
function drawn(text: string, columns = 10, rows = 4): string[] {
  const terminal = new Terminal(columns, rows);
  terminal.write(text);
  const lines = terminal.screen.text();
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

const cases: [name: string, written: string, want: string[]][] = [
  ['lines', 'one\r\ntwo', ['one', 'two']],
  ['a line feed keeps the column', 'ab\ncd', ['ab', '  cd']],
  ['a return goes to the beginning', 'abc\rX', ['Xbc']],
  ['a backspace goes back', 'abc\b\bX', ['aXc']],
  ['a tab goes to the next eighth column', 'a\tb', ['a       b']],
  ['a line that is full goes on in the next one', '0123456789ab', ['0123456789', 'ab']],
  ['the last column may be written without going on', '0123456789\rX', ['X123456789']],
  ['no wrapping where it is switched off', `${csi}?7l0123456789ab`, ['012345678b']],
  ['what is too much goes up', '1\r\n2\r\n3\r\n4\r\n5', ['2', '3', '4', '5']],
  ['moving to a place', `${csi}2;3Hx`, ['', '  x']],
  ['moving up, down, right and left', `${csi}3;3H${csi}2Aa${csi}Bb${csi}3Dc${csi}4Cd`, ['  a', ' c b  d']],
  ['moving stays on the screen', `${csi}99;99H${csi}99Bx`, ['', '', '', '         x']],
  ['to a column and a line', `${csi}3dx${csi}5Gy`, ['', '', 'x   y']],
  ['erasing to the end of a line', `abcdef${csi}3D${csi}K`, ['abc']],
  ['erasing to its beginning', `abcdef${csi}3D${csi}1K`, ['    ef']],
  ['erasing a line', `ab\r\ncd${csi}2K`, ['ab']],
  ['erasing what follows', `ab\r\ncd\r\nef${csi}2;2H${csi}J`, ['ab', 'c']],
  ['erasing what is before', `ab\r\ncd\r\nef${csi}2;1H${csi}1J`, ['', ' d', 'ef']],
  ['erasing all', `ab\r\ncd${csi}2Jx`, ['', '  x']],
  ['erasing letters', `abcdef\r${csi}2X`, ['  cdef']],
  ['inserting letters', `abc\r${csi}2@`, ['  abc']],
  ['inserting mode', `abc\r${csi}4hXY${csi}4lZ`, ['XYZbc']],
  ['deleting letters', `abcdef\r${csi}2P`, ['cdef']],
  ['inserting lines', `1\r\n2\r\n3${csi}2;1H${csi}L`, ['1', '', '2', '3']],
  ['deleting lines', `1\r\n2\r\n3${csi}1;1H${csi}M`, ['2', '3']],
  ['scrolling between margins', `1\r\n2\r\n3\r\n4${csi}2;3r${csi}3;1H\nx`, ['1', '3', 'x', '4']],
  ['scrolling up and down', `1\r\n2\r\n3${csi}S${csi}2T`, ['', '', '2', '3']],
  ['going up at the upper margin', `1\r\n2${csi}H${esc}Mx`, ['x', '1', '2']],
  ['places inside of margins', `${csi}2;3r${csi}?6h${csi}Hx`, ['', 'x']],
  ['a saved place', `ab${esc}7\r\ncd${esc}8x`, ['abx', 'cd']],
  ['the other screen leaves the main one as it was', `main${csi}?1049hother${csi}?1049l!`, ['main!']],
  ['the other screen is empty', `main${csi}?1049h${csi}Hother`, ['other']],
  ['repeating a letter', `x${csi}3b`, ['xxxx']],
  ['lines of boxes', `${esc}(0lqk${esc}(Blqk`, ['┌─┐lqk']],
  ['lines of boxes by shifting', `${esc})0a\u000ex\u000fx`, ['a│x']],
  ['a whole reset', `abc${csi}2;3r${esc}cx`, ['x']],
  ['the screen that is full of E', `${esc}#8${csi}2;4H${csi}J`, ['EEEEEEEEEE', 'EEE']],
  ['titles are read over', `a${esc}]0;title\u0007b${esc}]2;title${esc}\\c`, ['abc']],
  ['links are read over', `${esc}]8;;https://evil.example${esc}\\text${esc}]8;;${esc}\\`, ['text']],
  ['pictures are read over', `a${esc}Pq#0;2;0;0;0~~${esc}\\b`, ['ab']],
  ['C1 controls are sequences', 'ab\u009b1Dc\u009d0;title\u009cd', ['acd']],
  ['what is not known is read over', `a${csi}>4;2m${csi}?2004h${csi}12$pb${csi}6n`, ['ab']],
  ['colours take no room', `${csi}1;31mred${csi}0m ${csi}38;5;200mx${csi}m`, ['red x']],
  ['a sequence that is broken off', `a${csi}12\u0018b`, ['ab']],
  ['controls inside of a sequence', `abc${csi}\r2Cx`, ['abx']],
  ['markup is text', '<b>&amp;', ['<b>&amp;']],
  ['wide letters take two cells', '漢字x', ['漢字x']],
  ['a wide letter does not fit one cell', '012345678漢', ['012345678', '漢']],
  ['half a wide letter is none', '漢字\r x', [' x字']],
  ['marks stand on their letter', 'e\u0301x', ['e\u0301x']],
  ['what ends a line for a page ends none here', 'a\u2028b\u2029c', ['a\ufffdb\ufffdc']],
  ['what turns text round, or hides it, is not there', 'a\u202eb\u200bc', ['abc']],
];

describe('a screen', () => {
  test.each(cases)('%s', (_, written, want) => {
    expect(drawn(written)).toEqual(want);
  });

  test.each(cases)('%s, letter by letter and through copies', (_, written, want) => {
    let terminal = new Terminal(10, 4);
    for (const unit of written) {
      const copy = terminal.copy();
      terminal.write('what the copy shall not see\r\n');
      terminal = copy;
      terminal.write(unit);
    }
    const lines = terminal.screen.text();
    while (lines.at(-1) === '') lines.pop();
    expect(lines).toEqual(want);
  });

  test.each<[string, string, Record<string, unknown>]>([
    ['named colours', '31;42', { colour: 1, ground: 2 }],
    ['bright ones', '95;106', { colour: 13, ground: 14 }],
    ['one of 256', '38;5;208', { colour: 208 }],
    ['any', '48;2;1;20;255', { ground: 'rgb(1, 20, 255)' }],
    ['with colons', '38:2::1:2:3;4:3', { colour: 'rgb(1, 2, 3)', underline: true }],
    ['what underlines has a colour of its own', '58;5;1;1', { bold: true }],
    ['more than one', '1;3;7;9', { bold: true, italic: true, inverse: true, struck: true }],
    ['off again', '1;31;22;39', {}],
    ['reset', '1;31;0', {}],
    ['no colour of numbers that are too large', '38;2;1;2;256;1', { bold: true }],
    ['nothing that a page could read', '38;5;url(x)', {}],
  ])('has pens: %s', (_, parameters, want) => {
    const terminal = new Terminal(10, 4);
    terminal.write(`${csi}${parameters}mx`);
    expect(terminal.screen.lines[0]![0]!.pen).toEqual(want);
  });

  test('becomes larger and smaller with its terminal', () => {
    const terminal = new Terminal(10, 4);
    terminal.write('1\r\n2\r\n3\r\n4漢');
    terminal.screen.resize(2, 2);
    expect(terminal.screen.text()).toEqual(['3', '4']);
    terminal.screen.resize(5, 3);
    terminal.write('x');
    expect(terminal.screen.text()).toEqual(['3', '4x', '']);
  });

  test('shows what follows a title that never ends', () => {
    const shown = drawn(`${esc}]0;${'x'.repeat(70_000)}\r\n\r\n\r\n\r\nseen`);
    expect(shown.at(-1)).toBe('seen');
  });

  test.each([
    [Number.NaN, 24],
    [-1, 0],
    [Infinity, Infinity],
    [1e9, 1e9],
  ])('of %d by %d is one that can be shown', (columns, rows) => {
    const { screen } = new Terminal(columns, rows);
    expect(screen.columns).toBeGreaterThan(0);
    expect(screen.columns).toBeLessThanOrEqual(columns_max);
    expect(screen.lines).toHaveLength(screen.rows);
    expect(screen.rows).toBeLessThanOrEqual(rows_max);
  });
});

describe('whatever is written', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.constantFrom(
      ...[...'@ABCDEFGHIJKLMPSTXZ`abcdefhlmnprsu7;?!0123456789()#\\'],
      '漢',
      '\u0301',
      '\ud800',
      '\u009b',
    ),
    fc
      .tuple(fc.array(fc.nat(12_000), { maxLength: 4 }), fc.constantFrom(...'@ABCDEFGHIJKLMPSTXZ`abdefhlmrsu'))
      .map(([numbers, final]) => `${csi}${numbers.join(';')}${final}`),
    fc.constantFrom(
      ...[1, 6, 7, 25, 47, 1047, 1048, 1049].flatMap((mode) => [`${csi}?${mode}h`, `${csi}?${mode}l`]),
      ...['(0', '(B', ')0', '7', '8', 'c', 'D', 'E', 'M', '#8', ']', 'P', '\\', '['].map((end) => esc + end),
      ...'\b\t\n\r\u000e\u000f\u0007\u0018',
    ),
  );

  test('never throws, and leaves a screen of its size whose cells are letters, with bounds on what is kept', () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 60 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 6 }),
        fc.option(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 6 }))),
        (pieces, columns, rows, resized) => {
          const terminal = new Terminal(columns, rows);
          terminal.write(pieces.slice(0, 30).join(''));
          if (resized !== null) terminal.screen.resize(...resized);
          terminal.write(pieces.slice(30).join(''));
          const { screen } = terminal;
          expect([screen.columns, screen.rows]).toEqual(resized ?? [columns, rows]);
          expect(screen.x).toBeGreaterThanOrEqual(0);
          expect(screen.x).toBeLessThan(screen.columns);
          expect(screen.y).toBeGreaterThanOrEqual(0);
          expect(screen.y).toBeLessThan(screen.rows);
          for (const lines of [screen.lines, screen.hidden ?? screen.lines]) {
            expect(lines).toHaveLength(screen.rows);
            for (const line of lines) {
              expect(line).toHaveLength(screen.columns);
              line.forEach(({ text, width }, x) => {
                expect([...text].length).toBeLessThanOrEqual(5);
                // A wide letter has its other half, and there is no half without one.
                expect(line[x + 1]?.width === 0).toBe(width === 2);
              });
              expect(line[0]!.width).not.toBe(0);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('is the same in pieces as in one', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        // A letter of two halves is never cut: a recording has whole ones.
        const whole = pieces.map((text) => text.replace(/[\ud800-\udfff]/gu, ''));
        const together = new Terminal(10, 4);
        together.write(whole.join(''));
        const apart = new Terminal(10, 4);
        for (const text of whole) apart.write(text);
        expect(apart.screen.text()).toEqual(together.screen.text());
      }),
      { numRuns: 100 },
    );
  });
});
