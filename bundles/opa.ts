import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { codeOf, messageOf, refusal } from './error.js';
import { fetchOpa, onPath } from './opa-fetch.js';
import { runSandboxed } from './sandbox.js';

/**
 * The one place that knows where the `opa` command comes from. In this order: the file that SALLYPORT_OPA names, `opa`
 * on PATH if its version fits, the cache; else it is fetched once into the cache (opa-fetch.ts).
 */

/** What is fetched; whatever else is found must be at least `oldest` and below the next major version. */
export const pinnedVersion = '1.22.2';
const oldest = [1, 20] as const;
const fits = `at least ${oldest.join('.')} and below ${oldest[0] + 1}`;

export interface FindOptions {
  /** Default: $XDG_CACHE_HOME/sallyport, else ~/.cache/sallyport. */
  readonly cacheDirectory?: string;
  /** Told, in plain sentences, what is going on while something is fetched. */
  readonly progress?: (message: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** The absolute path of an `opa` whose version fits. Throws BundleError with what to do where there is none. */
export async function findOpa(options: FindOptions = {}): Promise<string> {
  const env = options.env ?? process.env;
  const named = env['SALLYPORT_OPA'];
  if (named !== undefined && named !== '') return demand(path.resolve(named), 'SALLYPORT_OPA');

  for (const candidate of onPath('opa', env)) {
    if (await fitting(candidate)) return candidate;
  }
  const folder = path.join(cacheDirectory(options.cacheDirectory, env), 'opa', pinnedVersion);
  const cached = path.join(folder, process.platform === 'win32' ? 'opa.exe' : 'opa');
  if (await fitting(cached)) return cached;

  await fetchOpa({ file: cached, version: pinnedVersion, env, progress: options.progress ?? (() => {}) });
  return demand(cached, 'the fetched opa');
}

export function cacheDirectory(given: string | undefined, env: NodeJS.ProcessEnv): string {
  if (given !== undefined) return path.resolve(given);
  const base = env['XDG_CACHE_HOME'];
  // The specification says that a relative path is to be ignored.
  const home = base !== undefined && path.isAbsolute(base) ? base : path.join(env['HOME'] ?? os.homedir(), '.cache');
  return path.join(home, 'sallyport');
}

/** The version that an opa command says it has ("1.22.2"); undefined where it says none. */
export async function opaVersion(file: string): Promise<string | undefined> {
  const run = await runSandboxed(file, ['version'], { cwd: os.tmpdir(), limits: { time_ms: 20_000 } });
  return /^Version: (\d+\.\d+\.\d+\S*)/m.exec(run.stdout)?.[1];
}

export function versionFits(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major === oldest[0] && minor >= oldest[1];
}

async function demand(file: string, source: string): Promise<string> {
  try {
    await access(file, constants.X_OK);
  } catch (error) {
    const why = codeOf(error) === 'ENOENT' ? 'does not exist' : 'cannot be executed';
    throw refusal('opa_missing', `${source}: ${file} ${why}`, {
      help: `Name an opa command, version ${fits}, or unset SALLYPORT_OPA.`,
    });
  }
  let version: string | undefined;
  try {
    version = await opaVersion(file);
  } catch (error) {
    throw refusal('opa_broken', `${source}: ${file} does not start: ${messageOf(error)}`, { cause: error });
  }
  if (version === undefined) throw refusal('opa_broken', `${source}: ${file} does not answer "opa version"`);
  if (!versionFits(version)) {
    throw refusal('opa_version', `${source}: ${file} is opa ${version}`, { help: `Sallyport needs ${fits}.` });
  }
  return file;
}

async function fitting(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    const version = await opaVersion(file);
    return version !== undefined && versionFits(version);
  } catch {
    return false;
  }
}
