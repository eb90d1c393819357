import { unknown, type ProgramEffect } from './reading.js';
import { builtIn } from './table.js';

/**
 * What one invocation of a program does. What programs are able to do, and how most of them read their words, is data
 * (programs.yaml); a program that is not there is not known.
 */

/** Programs that run one another, in one command: nobody needs more, and each is a step of the stack. */
const nesting_max = 16;

/** What one invocation does. `terminal`: it would have a terminal, where pagers and editors give a shell away. */
export function effectOf(argv: readonly string[], terminal: boolean): ProgramEffect {
  return effectAt(argv, terminal, 0);
}

function effectAt(argv: readonly string[], terminal: boolean, depth: number): ProgramEffect {
  const [path = '', ...args] = argv;
  const name = programName(path);
  if (name === undefined) return unknown(`${path} lies outside the system's own folders`);
  const reader = builtIn.get(name);
  if (reader === undefined) return unknown(`what ${name} does is not known`);
  return reader(args, { name, terminal, runs: (inner) => ran(inner, terminal, depth + 1) });
}

/** What a program does that another one runs, itself among what is touched. */
function ran(argv: readonly string[], terminal: boolean, depth: number): ProgramEffect {
  if (depth > nesting_max) return unknown('too many programs run one another');
  const inner = effectAt(argv, terminal, depth);
  const program = { type: 'program', name: programName(argv[0]!) ?? argv[0]!, access: 'execute' as const };
  return { ...inner, others: [...(inner.others ?? []), program] };
}

/** The name of a program of the system: `ls`, `/bin/ls`. Undefined for a path elsewhere. */
export function programName(path: string): string | undefined {
  if (!path.includes('/')) return path;
  return /^(?:\/usr(?:\/local)?)?\/s?bin\/([^/]+)$/u.exec(path)?.[1];
}
