import { createHash } from 'node:crypto';
import path from 'node:path';
import { refusal } from './error.js';

/**
 * A signature is over a commit, and through hashes over its trees and files. git checks the hash of the commit alone: trees
 * and blobs it reads as they lie there. Whoever may write into a repository's folder, as everybody may who pushes to one on
 * this machine, could put others in their place. So all are hashed again.
 */

/** One line of `git ls-tree -l -z`. */
export interface Entry {
  readonly mode: string;
  readonly type: string;
  readonly object: string;
  /** 0 for what is no file. */
  readonly bytes: number;
  /** Relative to the tree that is listed. */
  readonly path: string;
}

/** "<mode> SP <type> SP <object> SP+ <size> TAB <path>" (git-ls-tree(1), -l), each ended by a zero byte. */
export const readListing = (listing: string): Entry[] =>
  listing
    .split('\0')
    .filter(Boolean)
    .map((line) => {
      const tab = line.indexOf('\t');
      const [mode = '', type = '', object = '', size = ''] = line.slice(0, tab).split(/ +/);
      return { mode, type, object, bytes: Number(size) || 0, path: line.slice(tab + 1) };
    });

/** @throws BundleError where the content is not what has this name (gitformat-loose(5); SHA-1 or SHA-256 by its length). */
export function demandObject(object: string, type: string, content: Uint8Array): void {
  const hash = createHash(object.length === 64 ? 'sha256' : 'sha1')
    .update(`${type} ${content.length}\0`)
    .update(content)
    .digest('hex');
  if (hash !== object)
    throw refusal('git_failed', `the ${type} ${object} is not what its name says: it was changed where it lies`, {
      help: 'Run `git fsck` there.',
    });
}

/**
 * Demands that a listing is of the tree of this name.
 *
 * @param entries In git's own order, trees before what is in them (`-r -t`); those of the folder alone without.
 */
export function demandTree(object: string, entries: readonly Entry[], recursive: boolean): void {
  const folders = new Map<string, Entry[]>([['.', []]]);
  for (const entry of entries) {
    folders.get(path.posix.dirname(entry.path))?.push(entry);
    if (recursive && entry.type === 'tree') folders.set(entry.path, []);
  }
  demandObject(object, 'tree', treeOf(folders.get('.') ?? []));
  for (const entry of entries)
    if (recursive && entry.type === 'tree') demandObject(entry.object, 'tree', treeOf(folders.get(entry.path) ?? []));
}

/** "<mode> SP <name> NUL <hash in bytes>" for each. */
const treeOf = (entries: readonly Entry[]): Uint8Array =>
  Buffer.concat(
    entries.flatMap(({ mode, path: name, object }) => [
      Buffer.from(`${mode.replace(/^0+/, '')} ${path.posix.basename(name)}\0`),
      Buffer.from(object, 'hex'),
    ]),
  );
