import { existsSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';

/** What a command may touch of the process it runs in; tests hand in their own. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  /** Where a relative path is looked for when it is not in the current folder: the package's folder under npm. */
  readonly fallbackFolder: string;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Absent: the process's own. */
  readonly stdin?: AsyncIterable<Buffer | string>;
  /** Shows a page to the person; absent: their browser does. False where that cannot be. */
  readonly browse?: (url: string) => boolean;
  /** Absent: a timer. */
  readonly wait?: (time_ms: number) => Promise<void>;
}

export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** The configuration file that is meant: named on the command line, else by SALLYPORT_CONFIG, else ./sallyport.yaml. */
export function configFile(named: string | undefined, { env, fallbackFolder }: Surroundings): string {
  const path = named ?? (env['SALLYPORT_CONFIG'] || 'sallyport.yaml');
  const here = resolve(path);
  if (isAbsolute(path) || existsSync(here)) return here;
  const there = resolve(fallbackFolder, path);
  return existsSync(there) ? there : here;
}
