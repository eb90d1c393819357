import { constants } from 'node:fs';
import { lstat, mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { homedir } from 'node:os';
import { posix, win32 } from 'node:path';
import { randomUUID } from 'node:crypto';
import { ConfigError } from '../../errors.js';

/**
 * The folder in which tokens are kept, and files in it that nobody else may read. Others' rights on either are refused, not
 * repaired: whoever could read a token has had it already.
 */

const file_bytes_max = 131_072;

/** Where programs of this system keep what is theirs: XDG Base Directory, macOS's Library, Windows' local application data. */
export const tokenFolder = (env: NodeJS.ProcessEnv, platform?: NodeJS.Platform): string =>
  stateFolder('tokens', env, platform);

/** A folder of ours for things of one kind. */
export function stateFolder(
  kind: 'tokens' | 'ssh',
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
): string {
  const home = env['HOME'] || env['USERPROFILE'] || homedir();
  if (platform === 'win32')
    return win32.join(env['LOCALAPPDATA'] || win32.join(home, 'AppData', 'Local'), 'sallyport', kind);
  if (platform === 'darwin') return posix.join(home, 'Library', 'Application Support', 'sallyport', kind);
  const state = env['XDG_STATE_HOME'];
  // XDG: what is not absolute counts as not set.
  const base = state !== undefined && posix.isAbsolute(state) ? state : posix.join(home, '.local', 'state');
  return posix.join(base, 'sallyport', kind);
}

/** Undefined where there is none. @throws ConfigError where others may read it. */
export async function readPrivate(file: string): Promise<string | undefined> {
  if (!(await isPrivateFolder(posixOrWindows(file).dirname(file)))) return undefined;
  const handle = await opened(file);
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size > file_bytes_max) throw new ConfigError(`${file} is no file with a token in it`);
    refuseOthers(file, stat, 'chmod 600');
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** Whole, or not at all: a reader sees the file before or the one after. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const folder = posixOrWindows(file).dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await isPrivateFolder(folder);
  const draft = `${file}.${randomUUID()}`;
  try {
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}

const posixOrWindows = (file: string) => (file.includes('\\') && process.platform === 'win32' ? win32 : posix);

async function isPrivateFolder(folder: string): Promise<boolean> {
  try {
    const stat = await lstat(folder);
    if (!stat.isDirectory()) throw new ConfigError(`${folder} is no folder: tokens are kept in none but a real one`);
    refuseOthers(folder, stat, 'chmod 700');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

async function opened(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw new ConfigError(`${file} is a link: a token is kept in the file itself`);
    throw new ConfigError(`the token in ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** Windows has no modes: there the profile's own access rights keep others out. */
function refuseOthers(path: string, { mode, uid }: { mode: number; uid: number }, repair: string): void {
  const own = process.getuid?.();
  if (own === undefined) return;
  if (uid !== own) throw new ConfigError(`${path} belongs to somebody else: remove it, and sign in again`);
  if ((mode & 0o077) !== 0)
    throw new ConfigError(
      `${path} can be read or written by others (mode ${(mode & 0o777).toString(8)}): what it holds may be known. Sign out at your provider, then \`${repair}\` it or remove it, and sign in again`,
    );
}
