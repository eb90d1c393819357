import { existsSync } from 'node:fs';
import path from 'node:path';
import pc from 'picocolors';
import type { Output } from './surroundings.js';

/** How commands about policy speak: in words, or as one JSON object. Problems are answers and go to stdout. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
}

export interface CommonOptions {
  readonly json?: boolean;
}

export function tell(io: Io, options: CommonOptions, answer: object, words: () => string): void {
  io.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : `${words()}\n`);
}

export function mark(io: Io, ok: boolean): string {
  const { green, red } = pc.createColors(io.stdout.isTTY === true);
  return ok ? green('ok') : red('no');
}

export const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

/**
 * Under `npm run` the current folder is the package's own, and INIT_CWD the one that the person stands in. Elsewhere the
 * variable may be left over from an outer script and means nothing.
 */
export function resolveHere(given: string, env: NodeJS.ProcessEnv, mustExist: boolean): string {
  const stood = env['INIT_CWD'];
  const here = path.resolve(given);
  if (stood === undefined || env['npm_lifecycle_event'] !== 'sallyport') return here;
  const there = path.resolve(stood, given);
  return !mustExist || existsSync(there) ? there : here;
}
