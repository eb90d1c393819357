import { describe, expect, test } from '@jest/globals';
import { line_chars_max, LineEditor, pasteMarks, tornOff, type Typed } from './line-editor.js';

/** Keys in, what happened and what a terminal shows out. */

/** A terminal as far as the editor needs one: letters, line ends, and the cursor's ways. */
class Screen {
  #rows: string[][] = [[]];
  #row = 0;
  #column = 0;

  write(text: string): void {
    const parts = /\x1b\[([?\d;]*)([A-Za-z])|[\s\S]/gu;
    for (const [whole, count = '', way] of text.matchAll(parts)) {
      const by = Number(count) || 1;
      if (way === 'A') this.#row -= by;
      else if (way === 'B') this.#row += by;
      else if (way === 'C') this.#column += by;
      else if (way === 'J') this.#erase(count);
      else if (way === 'H') [this.#row, this.#column] = [0, 0];
      else if (way === undefined) this.#letter(whole);
    }
  }

  #erase(how: string): void {
    if (how === '2') this.#rows = [[]];
    else {
      this.#rows.length = this.#row + 1;
      this.#rows[this.#row]!.length = this.#column;
    }
  }

  #letter(letter: string): void {
    if (letter === '\r') this.#column = 0;
    else if (letter === '\n') this.#rows[++this.#row] ??= [];
    else if (letter !== '\x07') {
      const wide = /[\u4e00-\u9fff\u{1f300}-\u{1faff}]/u.test(letter);
      const row = this.#rows[this.#row]!;
      if (/\p{Mn}/u.test(letter)) row[this.#column - 1] += letter;
      else {
        row[this.#column++] = letter;
        if (wide) row[this.#column++] = '';
      }
    }
  }

  get text(): string {
    return this.#rows.map((row) => Array.from(row, (letter) => letter ?? ' ').join('')).join('\n');
  }

  get cursor(): [row: number, column: number] {
    return [this.#row, this.#column];
  }
}

function typed(keys: readonly string[], { columns = 20, history = [] as readonly string[] } = {}) {
  const editor = new LineEditor(columns);
  history.forEach((line) => editor.remember(line));
  const screen = new Screen();
  screen.write(editor.begin('$ '));
  let out = '';
  let happened: Typed | undefined;
  let rest = '';
  for (const key of keys) {
    const edited = editor.input(rest + key);
    out += edited.shown;
    screen.write(edited.shown);
    rest = edited.rest;
    happened = edited.typed;
    if (happened !== undefined) break;
  }
  return { screen: screen.text, cursor: screen.cursor, happened, rest, out };
}

const left = '\x1b[D';
const up = '\x1b[A';
const down = '\x1b[B';

describe('what is typed', () => {
  const lines: readonly (readonly [what: string, keys: string, line: string])[] = [
    ['letters', 'ls -l', 'ls -l'],
    ['letters of other scripts, and pictures', 'ls é 漢字 👍', 'ls é 漢字 👍'],
    ['backspace, of both kinds', 'lsx\x7fy\x08', 'ls'],
    ['arrows', `ac${left}b\x1b[Cd`, 'abcd'],
    ['arrows, as keypads send them', 'ac\x1bODb', 'abc'],
    ['a mark and what it stands on, as one', `ae\u0301x${left}${left}\x7fb`, 'be\u0301x'],
    ['Home and End', 'b\x1b[Ha\x1b[Fc', 'abc'],
    ['^A and ^E', 'b\x01a\x05c', 'abc'],
    ['^B and ^F', 'ac\x02b\x06d', 'abcd'],
    ['Delete and ^D on a letter', `abcd${left}${left}${left}\x1b[3~\x04`, 'ad'],
    ['^K', `abc${left}\x0b`, 'ab'],
    ['^U', `abc${left}\x15`, 'c'],
    ['^W, which leaves the blank before', 'ls one two  \x17', 'ls one '],
    ['^Y, which puts back what was cut', 'one two\x17\x01\x19', 'twoone '],
    ['Alt-B and Alt-F', 'one two\x1bb\x1bb_\x1bf!', '_one! two'],
    ['up, the last line', up, 'second'],
    ['up, up and down', `${up}${up}${down}`, 'second'],
    ['down, back to what was begun', `begun${up}${down}`, 'begun'],
    ['^P and ^N', '\x10\x10\x0e', 'second'],
    ['a tab, for which there is nothing', 'l\ts', 'ls'],
    ['control characters, which are left out', 'l\x00\x02\x06\x1a\x16s', 'ls'],
    ['sequences that mean nothing here', 'l\x1b[15~\x1b[?1;2c\x1b]s', 'ls'],
  ];
  test.each(lines)('%s', (_, keys, line) => {
    for (const pieces of [[keys], [...keys]]) {
      const { happened } = typed([...pieces, '\r'], { history: ['first', 'second'] });
      expect(happened).toEqual({ kind: 'line', text: line });
    }
  });

  test('^C gives the line up, ^D on an empty one ends', () => {
    expect(typed(['rm x\x03']).happened).toEqual({ kind: 'interrupt', text: 'rm x' });
    expect(typed(['\x04']).happened).toEqual({ kind: 'end' });
    expect(typed(['x\x7f\x04']).happened).toEqual({ kind: 'end' });
  });

  test('stays unread behind the end of a line', () => {
    expect(typed(['ls\rcat x\r'])).toMatchObject({ happened: { text: 'ls' }, rest: 'cat x\r' });
  });

  test('is one line end where two characters are sent for it', () => {
    const editor = new LineEditor(80);
    editor.begin('$ ');
    const { rest } = editor.input('ls\r\n');
    editor.begin('$ ');
    expect(editor.input(rest).typed).toBeUndefined();
  });

  test('is pasted whole, with its line ends and without what acts on terminals', () => {
    const { happened } = typed(['\x1b[200~ls\r\ncat x\ttwo\x1b[2J\x03\x07\x1b[201~', '\r']);
    expect(happened).toEqual({ kind: 'line', text: 'ls\ncat x\ttwo' });
  });

  test('has a bound; a line that had more than that is none, in whole or in part', () => {
    const most = 'x'.repeat(line_chars_max);
    expect(typed([most, '\r']).happened).toEqual({ kind: 'line', text: most });
    expect(typed([most, 'y', '\r']).happened).toEqual({ kind: 'cut' });
    expect(typed(['a', most, '\r']).happened).toEqual({ kind: 'cut' });
  });
});

describe('the lines before', () => {
  /** How many of them are still there. */
  function kept(lines: readonly string[]): number {
    const editor = new LineEditor(80);
    for (const line of lines) editor.remember(line);
    editor.begin('$ ');
    for (let back = 0; ; back++) if (editor.input(up).shown.includes('\x07')) return back;
  }

  test('are the last five hundred, and fewer where they are long', () => {
    expect(kept(Array.from({ length: 700 }, (_, number) => `echo ${number}`))).toBe(500);
    expect(kept(Array.from({ length: 100 }, (_, number) => `${number} ${'x'.repeat(16_000)}`))).toBe(16);
  });
});

describe('what takes long', () => {
  test.each([
    ['lines before', up + down],
    ['what was cut, put in again', '\x15\x19'],
    ['words', '\x1bb\x1bf'],
  ])('is done piece by piece: %s', (_, keys) => {
    const editor = new LineEditor(80);
    editor.remember('x'.repeat(16_000));
    editor.begin('$ ');
    editor.input('y'.repeat(16_000));
    let rest = keys.repeat(1_000);
    let pieces = 0;
    for (; rest !== ''; pieces++) ({ rest } = editor.input(rest));
    expect(pieces).toBeGreaterThan(100);
    expect(editor.input('!\r').typed).toEqual({ kind: 'line', text: `${'y'.repeat(16_000)}!` });
  });
});

describe('what was begun', () => {
  const torn: readonly (readonly [typed: string, from: number])[] = [
    ['', 0],
    ['ls', 0],
    ['ls\r', 3],
    ['ls\rcat', 3],
    ['ls\ncat\r\n', 8],
    ['\x03\x04', 2],
    ['ls\r\x04', 4],
    ['ls\r\x03cat', 4],
    ['l\x04s', 0],
    ['ls\r\x1b[200~a\nb', 3],
    ['ls\r\x1b[200~a\nb\x1b[201~', 3],
    ['ls\r\x1b[200~a\nb\x1b[201~\rc', 19],
  ];
  test.each(torn)('of %j begins at %i', (typed_, from) => expect(tornOff(typed_)).toBe(from));
});

describe('what is shown', () => {
  const shown: readonly (readonly [what: string, keys: string, screen: string, cursor: readonly [number, number]])[] = [
    ['a line', 'ls', '$ ls', [0, 4]],
    ['what is put in between', `ac${left}b`, '$ abc', [0, 4]],
    ['a wide character, in two places', `漢x${left}`, '$ 漢x', [0, 4]],
    ['a line that fills its row', 'x'.repeat(18), `$ ${'x'.repeat(18)}\n`, [1, 0]],
    ['a line of two rows', 'x'.repeat(20), `$ ${'x'.repeat(18)}\nxx`, [1, 2]],
    ['the first row of two', `${'x'.repeat(20)}\x01`, `$ ${'x'.repeat(18)}\nxx`, [0, 2]],
    ['what is taken out of two rows', `${'x'.repeat(20)}\x15y`, '$ y', [0, 3]],
    ['a wide character that does not fit into its row', `${'x'.repeat(17)}漢`, `$ ${'x'.repeat(17)}\n漢`, [1, 2]],
    ['what turns writing around, by its number', 'a\u202eb', '$ a\\u202eb', [0, 10]],
    ['what nobody would see, by its number', 'a\u200bb', '$ a\\u200bb', [0, 10]],
    ['pasted control characters of C1, by their numbers', '\x1b[200~a\u009b2Jb\x1b[201~', '$ a\\u009b2Jb', [0, 12]],
    ['a paste of two lines', '\x1b[200~ls\rcat\x1b[201~', '$ ls\ncat', [1, 3]],
    ['a cleared screen', 'old\x0c', '$ old', [0, 5]],
  ];
  test.each(shown)('is %s', (_, keys, screen, cursor) => {
    for (const pieces of [[keys], [...keys]]) {
      const seen = typed(pieces);
      expect(seen.screen).toBe(screen);
      expect(seen.cursor).toEqual(cursor);
    }
  });

  test('never holds a sequence that somebody typed, in the prompt neither', () => {
    const editor = new LineEditor(80);
    const { out } = typed(['\x1b[200~\x1b]52;c;x\x07\u009b31m\x1b[201~', up, '\r'], { history: ['\x1b[31m\x07red'] });
    const begun = editor.begin('\x1b]0;title\x07$ ').replace(pasteMarks.on, '');
    expect(begun).toBe('^[]0;title^G$ ');
    expect(out).not.toMatch(/\x1b(?!\[(?:\d*[ABCJ]|\?2004[hl]))/u);
    expect(out).toContain('^[[31m^Gred');
  });

  test('costs no more than a little for each letter of a long paste', () => {
    const pasted = 'word '.repeat(600);
    const { out } = typed([...pasted], { columns: 80 });
    expect(out.length).toBeLessThan(pasted.length * 120);
  });
});
