/**
 * What others wrote, as Slack may have it. Block Kit has two sorts of text: mrkdwn, in which `<!channel>`, `<@U…>`, backticks and
 * asterisks mean something, and text that is shown as it stands (plain_text, and the elements of rich_text). What others wrote goes
 * into the second sort only; what cannot be avoided in mrkdwn is escaped.
 */

/** Slack's three characters (docs.slack.dev, "Formatting message text"): without them nothing names a person, a channel or a link. */
export const escaped = (text: string): string =>
  text.replace(/[&<>]/gu, (character) => (character === '&' ? '&amp;' : character === '<' ? '&lt;' : '&gt;'));

/** Characters that a reader does not see, or that turn round what stands after them, are written out. Lines stay lines. */
export const visible = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u2800\u3164]/gu, (character) =>
    character === '\n' || character === '\t' ? character : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );

/** Cut where it is too long, with a word that says so. Counts as Slack does, in UTF-16 units. */
export function cut(text: string, chars_max: number): string {
  if (text.length <= chars_max) return text;
  const note = ` … (${String(text.length)} characters)`;
  return `${text.slice(0, chars_max - note.length).replace(/[\ud800-\udbff]$/u, '')}${note}`;
}

/** A block of text as it stands. Slack takes no empty one. */
export const preformatted = (text: string) => ({
  type: 'rich_text',
  elements: [{ type: 'rich_text_preformatted', elements: [{ type: 'text', text: text === '' ? ' ' : text }] }],
});

/** "Label: value", the label bold. */
export const labelled = (label: string, value: string) => [
  { type: 'text', text: `${label}: `, style: { bold: true } },
  { type: 'text', text: `${value}\n` },
];

export const lines = (pairs: readonly (readonly [string, string])[]) => ({
  type: 'rich_text',
  elements: [{ type: 'rich_text_section', elements: pairs.flatMap(([label, value]) => labelled(label, value)) }],
});
