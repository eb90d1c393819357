import { posix } from 'node:path';
import { actions, type Action, type Resource } from '#engine';
import { effectOf, programName } from './programs.js';
import type { CommandPart } from './schema.js';
import { readShell, type SimpleCommand } from './structure.js';
import { builtIn, type Programs } from './table.js';

/** What a command would do, put together from what its simple commands do: the same for every protocol that runs one. */

export interface CommandEffect {
  /** The strongest of what its commands do. */
  readonly action: Action;
  /** Programs, files and whatever else it touches. */
  readonly resources: readonly Resource[];
  readonly commands: readonly CommandPart[];
  /** Why not everything is known, in words; empty where it is. */
  readonly because: readonly string[];
}

export interface LineEffect extends CommandEffect {
  /** The line as it is to be sent: every word in quotes where all is known, else as it came. */
  readonly sent: string;
}

/** What it would run in. */
export interface Setting {
  /** Whether it has a terminal, in which pagers and editors give a shell away. */
  readonly terminal: boolean;
  /** What relative names begin with: `~` for a login's own folder, `.` for one that is not known; or an absolute path. */
  readonly folder: string;
  /** True: one of several lines, behind which nothing may run on. */
  readonly inSession?: boolean;
  /** What is known of programs. Absent: what is built in. */
  readonly programs?: Programs | undefined;
}

/** A command line, as a shell reads it. What is not known of one of its commands is not known of all. */
export function understandLine(line: string, setting: Setting): LineEffect {
  const structure = readShell(line);
  const because = [...structure.because];
  // Where bytes were no UTF-8, other bytes would leave than those that were judged.
  if (line.includes('\ufffd')) because.push('it is not UTF-8');
  if (structure.commands.length === 0 && because.length === 0) because.push('there is no command in it');
  if (setting.inSession === true && structure.background)
    because.push('it has a job run on in the background (&), and there is nothing here that keeps jobs');
  const effect = combine(structure.commands, setting, structure.inFolder, because);
  return { ...effect, sent: effect.because.length > 0 ? line : (structure.quoted ?? line) };
}

/** Shells that take `-c` and a line, and options that change nothing of what the line does. */
const shells: ReadonlySet<string> = new Set(['sh', 'bash', 'ash', 'dash', 'ksh', 'zsh']);
const withLine = /^-[eux]*c$/u;

export interface ArgvEffect extends CommandEffect {
  /** True: a shell, which gets what it does on its standard input or a terminal. */
  readonly shell: boolean;
  /** The words as they are to be sent: the line of `sh -c` written anew where all of it is known. */
  readonly sent: readonly string[];
}

/** A program with its arguments, which no shell reads, unless the program is one (`sh -c LINE`). */
export function understandArgv(argv: readonly string[], setting: Setting): ArgvEffect {
  const [path = '', option = '', line] = argv;
  const name = programName(path) ?? path;
  if (!shells.has(name)) {
    const because = argv.length === 0 ? ['there is no command'] : [];
    return { ...combine(argv.length === 0 ? [] : [plain(argv)], setting, false, because), shell: false, sent: argv };
  }
  if (argv.length === 3 && withLine.test(option) && line !== undefined && programName(path) !== undefined) {
    const { sent, ...effect } = understandLine(line, setting);
    const ran: Resource = { type: 'program', name, access: 'execute' };
    return { ...effect, resources: [ran, ...effect.resources], shell: false, sent: [path, option, sent] };
  }
  const effect = combine([plain(argv)], setting, false, []);
  const shell = argv.slice(1).every((arg) => /^-[il]+$|^--(login|posix|norc|noprofile)$/u.test(arg));
  return shell
    ? { ...effect, because: ['what is typed into a shell is not known before'], shell, sent: argv }
    : { ...effect, shell, sent: argv };
}

const plain = (argv: readonly string[]): SimpleCommand => ({ argv, redirections: [] });

function combine(
  commands: readonly SimpleCommand[],
  { terminal, folder: start, programs = builtIn }: Setting,
  inFolder: boolean,
  reasons: readonly string[],
): CommandEffect {
  const because = [...reasons];
  const resources = new Map<string, Resource>();
  const add = (resource: Resource) => resources.set(`${resource.type}\0${resource.name}\0${resource.access}`, resource);
  let action: Action = 'read';
  // Before a "cd", names are looked for where it starts.
  let folder: string = start;
  const parts = commands.map(({ argv, redirections }, index) => {
    if (argv[0] === 'cd') {
      // An option, `-`, a number of zsh's, or nothing: where that leads is the shell's to say.
      if (/^(?:[-+]|$)/u.test(argv[1] ?? '~')) because.push('where its cd leads is not known: name a folder (./-x)');
      folder = absolute(argv[1] ?? '~', folder);
      if (index > 0 || argv.length > 2 || !inFolder)
        because.push('it changes its folder in between, so that names are not known: begin with cd FOLDER &&');
    }
    const effect = argv.length === 0 ? { action: 'read' as const, files: [] } : effectOf(argv, { terminal, programs });
    let own: Action = effect.action;
    if (argv.length > 0) add({ type: 'program', name: programName(argv[0]!) ?? argv[0]!, access: 'execute' });
    for (const { path, access } of effect.files) add({ type: 'file', name: absolute(path, folder), access });
    for (const other of effect.others ?? []) add(other);
    for (const { path, access } of redirections) {
      add({ type: 'file', name: absolute(path, folder), access: access === 'read' ? 'read' : 'update' });
      if (access === 'write') own = stronger(own, 'write');
    }
    action = stronger(action, own);
    if (effect.because !== undefined) because.push(effect.because);
    return {
      program: argv[0] === undefined ? '' : (programName(argv[0]) ?? argv[0]),
      argv: [...argv],
      action: own,
      opaque: effect.because !== undefined,
      redirections: redirections.map((redirection) => ({ ...redirection })),
    };
  });
  return { action, resources: [...resources.values()], commands: parts, because: [...new Set(because)] };
}

/** /etc/passwd, ~/notes, ./notes: without "." and "//"; ".." stays where it leads out of the folder it starts in. */
function absolute(path: string, folder: string): string {
  const joined = path.startsWith('/') || path.startsWith('~') ? path : `${folder}/${path}`;
  const clean = joined.startsWith('/') ? posix.normalize(joined) : climb(joined);
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

/** Where it starts has a parent of which the name is not known: nothing is taken back out of it. */
function climb(path: string): string {
  const [home = '~', ...rest] = path.split('/');
  const below = posix.normalize(rest.join('/'));
  return below === '.' ? home : `${home}/${below}`;
}

export const stronger = (a: Action, b: Action): Action => (actions.indexOf(a) >= actions.indexOf(b) ? a : b);
