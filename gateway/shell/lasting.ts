import type { Command, Statement, WordPart } from 'unbash';
import { parseShell } from './parsing.js';
import { harmlessValue, harmlessVariable, readShell } from './structure.js';

/**
 * What a line of a session changes for the lines behind it: where they run, with which variables, and whether there are any.
 * Only what is known from its text alone: all else is a command as any other, and changes nothing that is kept.
 */
export type Lasting =
  /** `folder`: the word as it is written, `~` where there is none; `rest`: what follows if that went well (`cd /srv && ls`). */
  | { readonly kind: 'cd'; readonly folder: string; readonly rest: string | undefined }
  | { readonly kind: 'export'; readonly values: readonly (readonly [name: string, value: string])[] }
  | { readonly kind: 'unset'; readonly names: readonly string[] }
  | { readonly kind: 'umask'; readonly mask: string }
  /** Absent: that of the last command. */
  | { readonly kind: 'exit'; readonly code: number | undefined }
  /** One of these, with words that it cannot be kept with. */
  | { readonly kind: 'refused'; readonly why: string };

/** @param text One complete line. Undefined: nothing lasts. */
export function lastingOf(text: string): Lasting | undefined {
  const script = parseShell(text);
  const [statement, ...others] = script.commands;
  if (statement === undefined || others.length > 0 || (script.errors ?? []).length > 0) return undefined;
  const chain = statement.background === true ? undefined : goesOn(statement, text);
  if (chain !== undefined) return chain;
  if (statement.command.type !== 'Command' || statement.background === true) return undefined;
  const { command } = statement;
  if (command.prefix.length > 0 || command.redirects.length > 0) return undefined;
  const name = command.name?.value;
  if (name === 'cd') return entered(command, undefined);
  if (name === undefined || !Object.hasOwn(readers, name)) return undefined;
  // Words that are known, each as the program would get it.
  const { because, commands } = readShell(text);
  const [first] = commands;
  if (because.length > 0 || first === undefined) return { kind: 'refused', why: because.join('; ') };
  return readers[name]!(first.argv.slice(1));
}

/** `cd FOLDER && …`: all else runs there, or not at all. */
function goesOn({ command }: Statement, text: string): Lasting | undefined {
  if (command.type !== 'AndOr' || !command.operators.every((one) => one === '&&')) return undefined;
  const [first, second] = command.commands;
  if (first?.type !== 'Command' || second === undefined || first.name?.value !== 'cd') return undefined;
  if (first.prefix.length > 0 || first.redirects.length > 0) return undefined;
  if (!/^\s*&&\s*$/u.test(text.slice(first.end, second.pos))) return undefined;
  return entered(first, text.slice(second.pos));
}

function entered({ args }: Command, rest: string | undefined): Lasting | undefined {
  const [folder, ...more] = args;
  if (more.length > 0) return undefined;
  return { kind: 'cd', folder: folder?.text ?? '~', rest };
}

const readers: Readonly<Record<string, (words: readonly string[]) => Lasting | undefined>> = {
  exit: left,
  logout: left,
  export: (words) => {
    if (words.length === 0) return undefined;
    const values = words.map((word) => /^(\w+)=(.*)$/su.exec(word)?.slice(1) ?? [word, '']) as [string, string][];
    const wrong = values.find(([name, value]) => !harmlessVariable.test(name) || !harmlessValue.test(value));
    if (wrong !== undefined) return refused(wrong[0]);
    return words.every((word) => word.includes('='))
      ? { kind: 'export', values }
      : { kind: 'refused', why: 'give each variable its value: export NAME=VALUE' };
  },
  unset: (words) => {
    const wrong = words.find((name) => !harmlessVariable.test(name));
    return wrong === undefined ? { kind: 'unset', names: words } : refused(wrong);
  },
  umask: ([mask, ...others]) =>
    mask === undefined
      ? undefined
      : others.length === 0 && /^0?[0-7]{3}$/u.test(mask)
        ? { kind: 'umask', mask: mask.slice(-3) }
        : { kind: 'refused', why: 'give a mask of three digits: umask 027' },
};

const refused = (name: string): Lasting => ({
  kind: 'refused',
  why: `${name} may change what programs do: only LANG, LC_*, TZ, TERM, COLUMNS and the like are kept, with plain values`,
});

function left([code, ...others]: readonly string[]): Lasting {
  if (others.length > 0 || (code !== undefined && !/^\d{1,3}$/u.test(code)))
    return { kind: 'refused', why: 'give a number: exit 1' };
  return { kind: 'exit', code: code === undefined ? undefined : Number(code) & 0xff };
}

/** Programs of a shell that change it, and of which nothing is kept where they are part of more. */
export const changesShell: ReadonlySet<string> = new Set(['cd', 'set', 'export', 'unset', 'umask', 'alias', 'shopt']);

/** What no shell splits, and takes for no pattern. */
const plain = /^[\w./:@%+,-]+$/u;

/**
 * The line with the values of variables that are known in the place of their names (`$?`, `$PWD`, `${LANG}`); only in one command
 * or pipeline, in which nothing can have changed them before. Others stay, and are not known.
 */
export function filledIn(text: string, values: ReadonlyMap<string, string>): string {
  if (!text.includes('$')) return text;
  const { commands, errors = [] } = parseShell(text);
  const [statement, ...others] = commands;
  if (statement === undefined || others.length > 0 || errors.length > 0) return text;
  const { command } = statement;
  const simple = command.type === 'Pipeline' ? command.commands : [command];
  const places: { readonly pos: number; readonly end: number; readonly value: string }[] = [];
  const look = (part: WordPart): void => {
    if (part.type === 'DoubleQuoted') part.parts.forEach(look);
    if (part.type !== 'SimpleExpansion' && part.type !== 'ParameterExpansion') return;
    const name = /^\$(?:\{(\?|\w+)\}|(\?|\w+))$/u.exec(part.text);
    const value = values.get(name?.[1] ?? name?.[2] ?? '');
    if (value !== undefined && plain.test(value)) places.push({ pos: part.pos, end: part.end, value });
  };
  for (const one of simple)
    if (one.type === 'Command') for (const word of one.args) if (word.type === 'Word') word.parts?.forEach(look);
  let out = text;
  for (const { pos, end, value } of places.sort((a, b) => b.pos - a.pos))
    out = `${out.slice(0, pos)}${value}${out.slice(end)}`;
  return out;
}
