import { createHash } from 'node:crypto';
import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as timer } from 'node:timers/promises';
import type { LoginConfig } from '../../config/index.js';
import { ConfigError } from '../../errors.js';
import type { Surroundings } from '../surroundings.js';
import { readPrivate, tokenFolder, writePrivate } from './folder.js';

/** What somebody signed in with at one gateway. */
export interface Kept {
  /** "https://host:port": the token is sent nowhere else. */
  readonly gateway: string;
  /** Where it is from, and as whom it was asked for: the same is asked for the next one. */
  readonly login: LoginConfig;
  readonly token: string;
  readonly expires_ms: number;
  /** Absent where the provider gave none: then one signs in again once the token is over. */
  readonly refresh?: string;
}

const lock_ms_max = 15_000;
const lock_look_ms = 100;
/** Whoever holds a lock for so long has died over it. */
const lock_stale_ms = 60_000;

export function keptFile(gateway: string, { env }: Surroundings): string {
  const name = createHash('sha256').update(gateway).digest('hex').slice(0, 24);
  return join(tokenFolder(env), `${name}.json`);
}

/** @throws ConfigError where others may read it, or it is not what was written. */
export async function readKept(gateway: string, around: Surroundings): Promise<Kept | undefined> {
  const file = keptFile(gateway, around);
  const text = await readPrivate(file);
  if (text === undefined) return undefined;
  try {
    const kept = JSON.parse(text) as Kept;
    if (kept.gateway === gateway && typeof kept.token === 'string' && typeof kept.login.issuer === 'string')
      return kept;
  } catch {
    // Said below.
  }
  throw new ConfigError(`${file} is damaged: \`sallyport logout\`, then \`sallyport login\``);
}

export const writeKept = (kept: Kept, around: Surroundings): Promise<void> =>
  writePrivate(keptFile(kept.gateway, around), `${JSON.stringify(kept)}\n`);

export const removeKept = (gateway: string, around: Surroundings): Promise<void> =>
  rm(keptFile(gateway, around), { force: true });

/**
 * One at a time: a refresh token is good once, and two programs that use the same one look like a thief to the provider,
 * which takes all of them back (RFC 9700, 4.14.2).
 */
export async function alone<T>(gateway: string, around: Surroundings, work: () => Promise<T>): Promise<T> {
  const file = `${keptFile(gateway, around)}.lock`;
  const wait = around.wait ?? ((time_ms) => timer(time_ms));
  for (let waited_ms = 0; !(await locked(file)); waited_ms += lock_look_ms) {
    if (waited_ms >= lock_ms_max)
      throw new ConfigError(`another sallyport is busy with your token; if not, remove ${file}`);
    await wait(lock_look_ms);
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function locked(file: string): Promise<boolean> {
  try {
    await (await open(file, 'wx', 0o600)).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const made_ms = await stat(file).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    );
    if (made_ms !== undefined && Date.now() - made_ms > lock_stale_ms) await rm(file, { force: true });
    return false;
  }
}
