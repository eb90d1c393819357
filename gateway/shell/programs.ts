import { unknown, type ProgramEffect } from './reading.js';
import type { Programs } from './table.js';

/**
 * What one invocation of a program does. What programs are able to do, and how most of them read their words, is data
 * (programs.yaml); a program that is not there is not known.
 */

/** Programs that run one another, in one command: nobody needs more, and each is a step of the stack. */
const nesting_max = 16;

/** Where it would run. */
export interface Place {
  /** It would have a terminal, where pagers and editors give a shell away. */
  readonly terminal: boolean;
  readonly programs: Programs;
}

/** What one invocation does. */
export function effectOf(argv: readonly string[], place: Place): ProgramEffect {
  return effectAt(argv, place, 0);
}

function effectAt(argv: readonly string[], place: Place, depth: number): ProgramEffect {
  const [path = '', ...args] = argv;
  const name = programName(path);
  if (name === undefined) return unknown(`${path} lies outside the system's own folders`);
  const reader = place.programs.get(name)?.reader;
  if (reader === undefined) return unknown(`what ${name} does is not known`);
  return reader(args, { name, terminal: place.terminal, runs: (inner) => ran(inner, place, depth + 1) });
}

/** What a program does that another one runs, itself among what is touched. */
function ran(argv: readonly string[], place: Place, depth: number): ProgramEffect {
  const inner = depth > nesting_max ? unknown('too many programs run one another') : effectAt(argv, place, depth);
  const program = { type: 'program', name: programName(argv[0]!) ?? argv[0]!, access: 'execute' as const };
  return { ...inner, others: [...(inner.others ?? []), program] };
}

/** The name of a program of the system: `ls`, `/bin/ls`. Undefined for a path elsewhere. */
export function programName(path: string): string | undefined {
  if (!path.includes('/')) return path;
  return /^(?:\/usr(?:\/local)?)?\/s?bin\/([^/]+)$/u.exec(path)?.[1];
}
