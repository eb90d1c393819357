import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { paced, readCast, type Cast } from './page/cast.js';
import { Playback } from './page/playback.js';
import { Terminal } from './page/terminal.js';

const header = { version: 2, width: 20, height: 3 };
const cast = (events: readonly unknown[], first: unknown = header): string =>
  [first, ...events].map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
const read = (events: readonly unknown[]): Cast => readCast(cast(events))!;
const shown = ({ terminal }: Playback): string => terminal.screen.text().join('\n').trimEnd();

/** Until it is there; a playback that never arrives fails. */
function arrive(playback: Playback, units: number): void {
  for (let turn = 0; !playback.work(units); turn++) if (turn > 100_000) throw new Error('it never arrives');
}

describe('a recording as text', () => {
  test('is its header and its events; what is neither is passed over', () => {
    const text = cast([
      [0, 'o', 'a'],
      '[1,"o"',
      'null',
      [1, 'z', 'b'],
      ['1', 'o', 'b'],
      [2, 'o', 3],
      [3, 'x', '0'],
      '[4,"o","cut o',
    ]);
    expect(readCast(text)).toEqual({
      header,
      events: [
        [0, 'o', 'a'],
        [3, 'x', '0'],
      ],
      cut: false,
    });
  });

  test.each([
    '',
    '\n\n',
    'null',
    '{"version":1,"width":80,"height":24}',
    '{"version":2,"width":"80","height":24}',
    '[]',
  ])('%j is none', (text) => {
    expect(readCast(text)).toBeUndefined();
  });

  test('goes on where its clock was set back', () => {
    expect(
      read([
        [2, 'o', 'a'],
        [1, 'o', 'b'],
        [3, 'o', 'c'],
      ]).events.map(([seconds]) => seconds),
    ).toEqual([2, 2, 3]);
  });

  test('has bounds, and says so', () => {
    const { events, cut } = readCast(cast(new Array<string>(400_001).fill('[0,"o",""]')))!;
    expect([events.length, cut]).toEqual([400_000, true]);
  });

  test('may have its pauses shortened', () => {
    const { events } = read([
      [1, 'o', 'a'],
      [61, 'o', 'b'],
      [61.5, 'o', 'c'],
    ]);
    expect([...paced(events, Infinity)]).toEqual([1, 61, 61.5]);
    expect([...paced(events, 2)]).toEqual([1, 3, 3.5]);
  });
});

describe('a playback', () => {
  const events = [
    [1, 'o', 'one\r\n'],
    [2, 'i', 'typed'],
    [3, 'o', 'two\r\n'],
    [4, 'r', '10x2'],
    [5, 'm', 'stopped'],
    [6, 'o', '\u001b[2Jend'],
    [6, 'x', '0'],
  ];

  test('shows what was shown at a moment, on the way there and back', () => {
    const playback = new Playback(read(events));
    for (const [seconds, want] of [
      [0.5, ''],
      [1, 'one'],
      [5, 'two'],
      [9, '\nend'],
      [3, 'one\ntwo'],
      [0, ''],
    ] as const) {
      playback.seek(seconds);
      arrive(playback, 100);
      expect([seconds, shown(playback)]).toEqual([seconds, want]);
    }
    expect(playback.seconds).toBe(6);
  });

  test('goes step by step over what draws', () => {
    const playback = new Playback(read(events));
    const seen: [number, string][] = [];
    for (let step = 0; step < 4; step++) {
      playback.step();
      arrive(playback, 100);
      seen.push([playback.at, shown(playback)]);
    }
    expect(seen).toEqual([
      [1, 'one'],
      [3, 'one\ntwo'],
      [6, '\nend'],
      [6, '\nend'],
    ]);
  });

  test('stays where it is when its pauses are shortened', () => {
    const playback = new Playback(read(events), Infinity);
    playback.seek(3);
    arrive(playback, 100);
    playback.pace(0.5);
    expect([playback.at, playback.recorded_s, playback.seconds]).toEqual([1.5, 3, 3]);
  });

  test.each([
    ['\u001bc', 'the terminal begins anew'],
    ['\u001b[2J', 'the screen is cleared'],
    ['\u001b[?1049h\u001b[?1049l', 'the other screen comes and goes'],
  ])('does no more work in a step where a few letters make much of it: %j, with which %s', (text) => {
    const playback = new Playback(
      readCast(cast([[1, 'o', text.repeat(1_500)]], { ...header, width: 400, height: 150 }))!,
    );
    playback.seek(1);
    let steps = 0;
    let before = playback.terminal.screen.touched_cells;
    for (let there = false; !there; steps++) {
      there = playback.work(65_536);
      const { touched_cells } = playback.terminal.screen;
      // What a step may do, and the piece that went past it: 1 024 letters, which clear the screen at most 512 times.
      expect(touched_cells - before).toBeLessThanOrEqual(64 * 65_536 + 512 * 2 * 400 * 150);
      before = touched_cells;
    }
    expect(steps).toBeLessThan(100);
  });

  test('takes a bounded number of copies, and from them shows the same', () => {
    const line = `${'words '.repeat(1_000)}\r\n`;
    const long = read(Array.from({ length: 140 }, (_, at) => [at, 'o', `${String(at)} ${line}`]));
    const playback = new Playback(long);
    playback.seek(139);
    arrive(playback, 50_000);
    expect(playback.copies.length).toBeGreaterThan(2);
    expect(playback.copies.length).toBeLessThanOrEqual(64);
    playback.seek(100);
    arrive(playback, 50_000);
    const afresh = new Playback(long);
    afresh.seek(100);
    arrive(afresh, 1_000);
    expect(shown(playback)).toBe(shown(afresh));
  });

  test('is at any moment what the texts until then draw, however one comes there and in whatever pieces', () => {
    const texts = fc.array(
      fc.constantFrom('a', '漢', '😀😀', '\r\n', '\u001b[2', 'J', '\u001b[A', '\u001b]0;t', '\u0007', ''),
      {
        minLength: 1,
        maxLength: 20,
      },
    );
    fc.assert(
      fc.property(
        texts,
        fc.array(fc.nat(21), { maxLength: 6 }),
        fc.integer({ min: 1, max: 5 }),
        (all, moments, units) => {
          const playback = new Playback(read(all.map((text, at) => [at + 1, 'o', text])));
          for (const moment of [...moments, all.length]) {
            playback.seek(moment);
            playback.work(units);
            playback.seek(moment);
            arrive(playback, units);
            const want = new Terminal(header.width, header.height);
            want.write(all.slice(0, moment).join(''));
            expect(playback.terminal.screen.text()).toEqual(want.screen.text());
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
