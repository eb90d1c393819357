/**
 * Tokens of a text that parses, to find where a name that the tree knows the start of ends. Nothing is decided by them: what
 * is spliced is parsed again, and compared with the tree that it should give (see verify.ts).
 */

export type TokenKind = 'word' | 'quoted' | 'string' | 'other';

export interface Token {
  /** Bytes from the start of the text. */
  readonly start: number;
  readonly end: number;
  readonly kind: TokenKind;
}

const pattern =
  /[ \t\n\r\f\v]+|--[^\n\r]*|(?<comment>\/\*)|(?<quoted>(?:[uU]&)?"(?:[^"]|"")*")|(?<escaped>[eE]'(?:[^'\\]|''|\\[^])*')|(?<string>(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*')|\$(?<tag>(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?)\$|(?<word>[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)|(?<other>\$[0-9]+|[0-9][0-9A-Za-z_]*(?:\.[0-9][0-9A-Za-z_]*)?|[^])/gy;

/** @param bytes The text with a character for each byte of its UTF-8. */
export function tokensOf(bytes: string): readonly Token[] {
  const tokens: Token[] = [];
  pattern.lastIndex = 0;
  while (pattern.lastIndex < bytes.length) {
    const start = pattern.lastIndex;
    const groups = pattern.exec(bytes)?.groups;
    if (groups === undefined) break;
    if (groups.comment !== undefined) pattern.lastIndex = endOfComment(bytes, start);
    else if (groups.tag !== undefined) {
      const close = `$${groups.tag}$`;
      const at = bytes.indexOf(close, pattern.lastIndex);
      pattern.lastIndex = at < 0 ? bytes.length : at + close.length;
      tokens.push({ start, end: pattern.lastIndex, kind: 'string' });
    } else {
      const kind = kindOf(groups);
      if (kind !== undefined) tokens.push({ start, end: pattern.lastIndex, kind });
    }
  }
  return tokens;
}

function kindOf(groups: Readonly<Record<string, string | undefined>>): TokenKind | undefined {
  if (groups.word !== undefined) return 'word';
  if (groups.other !== undefined) return 'other';
  if (groups.quoted !== undefined) return 'quoted';
  return groups.string === undefined && groups.escaped === undefined ? undefined : 'string';
}

/** Comments nest. */
function endOfComment(bytes: string, start: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = start;
  let depth = 0;
  for (let found = mark.exec(bytes); found !== null; found = mark.exec(bytes)) {
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return bytes.length;
}
