/**
 * Others' text as it may stand on a terminal: statements, prompts, comments and names come from whoever wrote them, and
 * whatever would move the cursor, colour the terminal, or turn the line round is shown as its code. Line ends and tabs stay.
 */
export function printable(words: string): string {
  return words.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.codePointAt(0)?.toString(16).padStart(4, '0')}`,
  );
}

/** JSON that a terminal may show: the same value, as what is written as its code stands in strings alone. */
export const printableJson = (value: unknown, spaces?: number): string =>
  printable(JSON.stringify(value, undefined, spaces));

/** The same where a line has to stay one line. */
export function printableLine(words: string): string {
  return printable(words.replace(/\s+/gu, ' ').trim());
}

/** One line of at most so many characters, with "…" where it was cut. Cut before it is escaped: no escape is halved. */
export function shortened(words: string, chars_max: number): string {
  const line = words.replace(/\s+/gu, ' ').trim();
  const characters = [...line];
  return printable(characters.length <= chars_max ? line : `${characters.slice(0, chars_max - 1).join('')}…`);
}
