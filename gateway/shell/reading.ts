import type { Access, Action } from '#engine';

/** What every reading of a program's words is made of. */

export interface ProgramEffect {
  readonly action: Action;
  readonly files: readonly { readonly path: string; readonly access: Access }[];
  /** Other things it touches. */
  readonly others?: readonly { readonly type: string; readonly name: string; readonly access: Access }[];
  /** Why its effects are not known; absent where they are. */
  readonly because?: string;
}

/** One invocation, as whoever reads it sees it. */
export interface Invocation {
  /** The program's. */
  readonly name: string;
  /** It would have a terminal, where pagers and editors give a shell away. */
  readonly terminal: boolean;
  /** What another program would do that it runs, in the same place. */
  readonly runs: (argv: readonly string[]) => ProgramEffect;
}

/** What a program would do with the words behind its name. */
export type Reader = (args: readonly string[], invocation: Invocation) => ProgramEffect;

export const unknown = (because: string): ProgramEffect => ({ action: 'execute', files: [], because });

/** Words that are no options, values of options among them: too many rather than too few. */
export const operands = (args: readonly string[]): string[] => places(args).filter((arg) => arg !== '-' && arg !== '');

/** The same with those that name no file (`-`, and the empty one): where it counts at which place a word stands. */
export function places(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  const before = (end === -1 ? args : args.slice(0, end)).flatMap((arg) => {
    if (!arg.startsWith('-') || arg === '-') return [arg];
    const equals = arg.indexOf('=');
    if (arg.startsWith('--')) return equals > 0 ? [arg.slice(equals + 1)] : [];
    // "-f/etc/passwd": a value may stand right behind its option.
    const slash = arg.search(/[/~]/u);
    return slash > 1 ? [arg.slice(slash)] : [];
  });
  return [...before, ...(end === -1 ? [] : args.slice(end + 1))];
}

/** Reads whatever it is told to, and nothing but. */
export const files: Reader = (args) => ({
  action: 'read',
  files: operands(args).map((path) => ({ path, access: 'read' })),
});

/** Names, sizes, times of files, and not what is in them. */
export const names: Reader = (args) => ({
  action: 'read',
  files: operands(args).map((path) => ({ path, access: 'use' })),
});

/** Gives back what it is told; its words name no files. */
export const text: Reader = () => ({ action: 'read', files: [] });

/** Says something of the machine. Whatever looks like a path counts as read. */
export const paths: Reader = (args) => ({
  action: 'read',
  files: operands(args)
    .filter((arg) => /[/~]/u.test(arg))
    .map((path) => ({ path, access: 'read' })),
});

/** What is below a folder: "/srv/**". */
export const below = (all: ProgramEffect['files']): ProgramEffect['files'] =>
  all.map((file) =>
    file.access === 'read' ? { ...file, path: `${file.path === '/' ? '' : file.path.replace(/\/+$/u, '')}/**` } : file,
  );

/** With a terminal these start a pager, which starts whatever one likes. */
export const paged = (effect: ProgramEffect, args: readonly string[], { terminal, name }: Invocation): ProgramEffect =>
  terminal && !isWithoutPager(args) && effect.because === undefined
    ? unknown(`${name} starts a pager in a terminal: give --no-pager first, or run it without a terminal (ssh -T)`)
    : effect;

/** Behind another option `--no-pager` may be the value of that (`journalctl -u --no-pager`), and behind `--` it is a name. */
function isWithoutPager(args: readonly string[]): boolean {
  const at = args.indexOf('--no-pager');
  return at === 0 || (at > 0 && !args.slice(0, at).includes('--') && !args[at - 1]!.startsWith('-'));
}
