import type { Word } from 'unbash';

/**
 * A command line of which everything is known, written anew so that every shell reads it in the one way in which it was
 * judged: each word in quotes, patterns alone left bare. Shells differ in what they make of a bare `=x`, `~x`, `^x` and of a
 * backslash between quotes, and in the aliases that they have for a program's name.
 */

/** A word's place in the line, and how it is written there. */
export interface Placed {
  readonly pos: number;
  readonly end: number;
  readonly written: string;
}

/** What may stand between the words: blanks, operators, numbers of redirections, and words that the grammar reserves. */
const between =
  /^(?:\s|[;&|<>(){}!]|(?<![\w])\d(?=[<>])|\b(?:if|then|elif|else|fi|while|until|do|done|case|in|esac)\b)*$/u;
const bare = /^[\w./:@%+,-][\w./:@%+,=-]*$/u;

/** Undefined where something stands between the words that is not known to be the same for all shells. */
export function requoted(text: string, words: readonly Placed[]): string | undefined {
  let at = 0;
  let out = '';
  for (const { pos, end, written } of [...words].sort((a, b) => a.pos - b.pos)) {
    if (pos < at || !between.test(text.slice(at, pos))) return undefined;
    out += text.slice(at, pos) + written;
    at = end;
  }
  const rest = text.slice(at);
  return between.test(rest) ? out + rest : undefined;
}

/** How a word is written. The name of a program always stands in quotes: no alias has quotes in its name. */
export function written({ text, value, parts = [] }: Word, isProgram = false): string {
  if (isProgram) return always(value);
  if (!parts.some(({ type }) => type === 'Glob')) {
    // The login's own folder: its name is the shell's to know.
    const home = /^~(?=\/|$)/u.exec(text) === null ? '' : '~';
    if (home !== '' && value.length === 1) return home;
    return home === '' ? quoted(value) : `~/${value.length > 2 ? quoted(value.slice(2)) : ''}`;
  }
  return parts.map((part) => (part.type === 'Glob' ? part.text : quotedPart(part))).join('');
}

function quotedPart(part: NonNullable<Word['parts']>[number]): string {
  if ('value' in part && typeof part.value === 'string') return part.value === '' ? '' : quoted(part.value);
  if (part.type === 'DoubleQuoted') return part.parts.map((inner) => quotedPart(inner)).join('');
  return always(part.text);
}

export const quoted = (value: string): string => (bare.test(value) ? value : always(value));

/** A quote or a backslash stands outside of quotes, escaped: within them not all shells take it as it is. */
const always = (value: string): string =>
  value === ''
    ? "''"
    : value
        .split(/(['\\])/u)
        .map((piece) => (piece === "'" || piece === '\\' ? `\\${piece}` : piece === '' ? '' : `'${piece}'`))
        .join('');
