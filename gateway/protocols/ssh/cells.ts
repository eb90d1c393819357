/** Text as a terminal shows it: what stands in one place, how wide that is, and what must never be shown as it is. */

/** How many columns a character takes: none where it belongs to the one before it. */
export function widthOf(character: string): 0 | 1 | 2 {
  if (joins.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}

/** Marks, what joins two into one, and which of two pictures is meant. */
const joins = /^(?:\p{Mn}|\p{Me}|\u200d|\p{Emoji_Modifier})$/u;
/** East Asian wide characters and pictures (UAX 11), by blocks. */
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;

/**
 * What has no shape of its own, or turns around what stands beside it: shown by its number, so that a line is always what it
 * looks like, and nothing in it reaches a terminal as a command.
 */
const unseen = /^[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\u115f\u1160\u3164\uffa0]$/u;

/** One place on the screen: a character, and what joins it. */
export interface Cell {
  /** As it stands in the text. */
  readonly text: string;
  readonly shown: string;
  readonly columns: number;
}

/** Of so many marks on one character nobody sees more. */
const joined_max = 8;

/** The cells of a text. */
export function cellsOf(text: string): Cell[] {
  const cells: Cell[] = [];
  for (const character of text) addTo(cells, cells.length, character);
  return cells;
}

/** Puts a character into a line. Gives how many cells more there are: none where it joins the one before it. */
export function addTo(cells: Cell[], at: number, character: string): number {
  const before = cells[at - 1];
  const follows = before !== undefined && before.text !== '\n' && (widthOf(character) === 0 || before.text.endsWith('\u200d')); // prettier-ignore
  if (follows && before.text.length < joined_max * 2) {
    cells[at - 1] = { ...before, text: before.text + character, shown: before.shown + character };
    return 0;
  }
  cells.splice(at, 0, cellOf(character));
  return 1;
}

function cellOf(character: string): Cell {
  if (character === '\n') return { text: character, shown: '', columns: 0 };
  const shown = visible(character);
  return { text: character, shown, columns: shown === character ? Math.max(widthOf(character), 1) : shown.length };
}

function visible(character: string): string {
  if (!unseen.test(character) && widthOf(character) > 0) return character;
  const code = character.codePointAt(0)!;
  if (code < 0x20) return `^${String.fromCharCode(code + 0x40)}`;
  return `\\u${code.toString(16).padStart(4, '0')}`;
}

/** A text of one line in which nothing acts on a terminal. */
export const harmlessLine = (text: string): string =>
  cellsOf(text)
    .map(({ shown }) => shown)
    .join('');
