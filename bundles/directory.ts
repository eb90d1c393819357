import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { BundleError, codeOf, messageOf, refusal } from './error.js';
import { isHidden, isPolicyFile, type Snapshot, SnapshotBuilder, type Source } from './snapshot.js';
import { watchPaths } from './watch.js';

/** How often a folder that changes while it is read is read again. */
const attempts_max = 5;
const depth_max = 16;

/**
 * Policy from a folder. The whole of it is read into memory, and read again where something changed meanwhile. Symbolic
 * links are followed within the folder (that is how Kubernetes swaps a ConfigMap) and refused where they lead out of it.
 */
export class DirectorySource implements Source {
  readonly description: string;
  readonly #root: string;
  /** What was read last, for as long as the folder looks the same. */
  #known: { signature: string; snapshot: Snapshot } | undefined;

  constructor(directory: string) {
    this.#root = path.resolve(directory);
    this.description = `directory ${this.#root}`;
  }

  async head(): Promise<string> {
    return (await this.read()).revision;
  }

  async read(): Promise<Snapshot> {
    for (let attempt = 1; ; attempt++) {
      try {
        const before = await this.#list();
        const looks = signature(before);
        if (this.#known?.signature === looks) return this.#known.snapshot;
        const builder = new SnapshotBuilder();
        for (const file of before) {
          builder.expect(file.path, file.bytes);
          builder.add(file.path, await readFile(file.real));
        }
        if (looks === signature(await this.#list())) {
          const snapshot = builder.finish({ changed_ms: Math.max(...before.map((file) => file.changed_ms)) });
          this.#known = { signature: looks, snapshot };
          return snapshot;
        }
      } catch (error) {
        // A file that vanished between listing and reading belongs to a change: look again.
        if (error instanceof BundleError || codeOf(error) !== 'ENOENT') throw unreadable(this.#root, error);
      }
      if (attempt === attempts_max) {
        throw refusal('unstable', `${this.#root} changes faster than it can be read`, {
          help: 'It is read again with the next change.',
        });
      }
    }
  }

  watch(changed: () => void): Promise<() => Promise<void>> {
    return watchPaths([this.#root], changed, { depth: depth_max });
  }

  async #list(): Promise<Found[]> {
    let root: string;
    try {
      root = await realpath(this.#root);
      if (!(await stat(root)).isDirectory()) throw refusal('unreadable', `${this.#root} is not a directory`);
    } catch (error) {
      throw unreadable(this.#root, error);
    }
    const found: Found[] = [];
    await walk(root, root, '', found);
    return found;
  }
}

interface Found {
  readonly path: string;
  readonly real: string;
  readonly bytes: number;
  readonly changed_ms: number;
  readonly stamp: string;
}

const signature = (files: readonly Found[]): string =>
  files.map((file) => `${file.path}\0${file.real}\0${file.stamp}`).join('\n');

async function walk(root: string, folder: string, prefix: string, found: Found[]): Promise<void> {
  if (prefix.split('/').length > depth_max)
    throw refusal('too_deep', `folders are nested deeper than ${depth_max}`, { file: prefix });
  for (const entry of (await readdir(folder, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (isHidden(entry.name)) continue;
    const relative = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    const here = path.join(folder, entry.name);
    let real = here;
    if (entry.isSymbolicLink()) {
      try {
        real = await realpath(here);
      } catch (error) {
        if (codeOf(error) === 'ELOOP')
          throw refusal('symlink', 'is a symbolic link that leads to itself', { file: relative });
        if (!isPolicyFile(relative)) continue;
        throw refusal('symlink', 'is a symbolic link that leads nowhere', { file: relative });
      }
      if (real !== root && !real.startsWith(root + path.sep)) {
        throw refusal('symlink', 'is a symbolic link that leads out of the policy directory', {
          file: relative,
          help: 'Put the file itself there.',
        });
      }
    }
    const stats = await stat(real);
    if (stats.isDirectory()) await walk(root, real, relative, found);
    else if (stats.isFile() && isPolicyFile(relative)) {
      const stamp = `${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`;
      found.push({ path: relative, real, bytes: stats.size, changed_ms: stats.ctimeMs, stamp });
    } else if (isPolicyFile(relative))
      throw refusal('not_a_file', 'is neither a file nor a folder', { file: relative });
  }
}

function unreadable(root: string, error: unknown): Error {
  if (error instanceof BundleError) return error;
  const why = codeOf(error) === 'ENOENT' ? 'does not exist' : `cannot be read: ${messageOf(error)}`;
  return refusal('unreadable', `the policy directory ${root} ${why}`, { cause: error });
}
