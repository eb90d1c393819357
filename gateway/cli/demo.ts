import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../errors.js';
import { exit, type ExitCode } from './exit.js';
import type { Surroundings } from './surroundings.js';

export interface DemoOptions {
  /** End after the last step. */
  readonly once: boolean;
  /** One JSON object a line. */
  readonly json: boolean;
}

/** The demo is an example, not part of the package: it is there in a checkout, with the development dependencies. */
export async function demo(options: DemoOptions, around: Surroundings): Promise<ExitCode> {
  const module = new URL('../../examples/demo/demo.js', import.meta.url);
  if (!existsSync(fileURLToPath(module))) {
    throw new ConfigError('The demo runs from a checkout: clone the repository, then `npm ci && npm run demo`.');
  }
  // By address, not by name: what ships must not depend on an example.
  const { runDemo } = (await import(module.href)) as { runDemo: (options: object) => Promise<number> };
  const code = await runDemo({ ...options, output: around.stdout });
  return code === exit.done || code === exit.no ? code : exit.failed;
}
