import { createHash } from 'node:crypto';
import { refusal } from './error.js';

/** What a source held at one moment, in memory: never a working tree that somebody is still writing. */
export interface Snapshot {
  /** "git:<40 hex>" or "directory:<digest>" */
  readonly revision: string;
  /** SHA-256 over the names and contents of the files; hexadecimal. */
  readonly digest: string;
  /** By path relative to the root, with forward slashes. Only what policy is made of (see `isPolicyFile`). */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly commit?: Commit;
  /** When the source changed to this, as its own files tell: milliseconds since the epoch. */
  readonly changed_ms?: number;
}

export interface Commit {
  readonly hash: string;
  readonly subject: string;
  readonly author: string;
  /** When it was committed: RFC 3339, UTC. */
  readonly time: string;
  /** The fingerprint of the key that signed it, where a signature is asked for. */
  readonly signer?: string;
}

/** Where policy comes from: a folder, or a branch of a git repository. */
export interface Source {
  /** For people: "directory /etc/sallyport/policy", "git /srv/policy.git, branch main". */
  readonly description: string;
  /** The revision that is there now ("git:<commit>", "directory:<digest>"), read as cheaply as can be. */
  head(): Promise<string>;
  /** What is there now, whole and consistent. Throws BundleError where it cannot be read, or must not be. */
  read(): Promise<Snapshot>;
  /** Calls back when something may have changed; several times for one change, and now and then for none. */
  watch(changed: () => void): Promise<() => Promise<void>>;
  /** Where it is asked now and then only: ask with the next look. */
  poke?(): void;
  /** Whether what was built from this commit before may be policy still; absent: whatever it was. */
  accepts?(commit: Commit | undefined): boolean;
}

export const files_max = 5_000;
export const file_bytes_max = 16 * 1024 * 1024;
export const snapshot_bytes_max = 64 * 1024 * 1024;

const dataFiles = new Set(['data.json', 'data.yaml', 'data.yml']);

/** Cases (bundles/cases.ts): tests that are data. */
export const isCaseFile = (path: string): boolean => path.endsWith('.cases.yaml');

/**
 * Rego, data as OPA's bundles lay it out (`data.json` or `data.yaml` in a folder is the document at that path), and cases. Any
 * other file (a README, a workflow, a test's fixture) is not policy, and hidden folders hold none.
 */
export function isPolicyFile(path: string): boolean {
  const parts = path.split('/');
  const name = parts.at(-1) ?? '';
  const isOne = name.endsWith('.rego') || dataFiles.has(name) || isCaseFile(name);
  return !parts.some((part) => part.startsWith('.')) && isOne;
}

/** Hidden folders (.git, .github, ConfigMaps' ..data) are no place for policy. */
export const isHidden = (name: string): boolean => name.startsWith('.');

/** Collects files within the limits, each checked; `finish` gives the snapshot. */
export class SnapshotBuilder {
  readonly #files = new Map<string, Uint8Array>();
  #bytes = 0;

  /** Throws where a file of this size would exceed a limit: asked before it is read. */
  expect(path: string, bytes: number): void {
    if (bytes > file_bytes_max) {
      throw refusal('file_too_large', `is larger than ${file_bytes_max / 1024 / 1024} MiB`, { file: path });
    }
    if (this.#files.size >= files_max)
      throw refusal('too_many_files', `more than ${files_max} policy files`, { file: path });
    if (this.#bytes + bytes > snapshot_bytes_max) {
      throw refusal('too_large', `the policy files together are larger than ${snapshot_bytes_max / 1024 / 1024} MiB`, {
        file: path,
      });
    }
  }

  add(path: string, content: Uint8Array): void {
    this.expect(path, content.length);
    if (path.endsWith('.rego')) demandText(path, content);
    if (path.split('/').some((part) => /[\0\n\r\\]/.test(part) || part === '..')) {
      throw refusal('bad_name', 'has a name that a policy file must not have', { file: JSON.stringify(path) });
    }
    this.#files.set(path, content);
    this.#bytes += content.length;
  }

  /** Without a revision, the digest of the files is one. */
  finish(given: { revision?: string; commit?: Commit; changed_ms?: number | undefined }): Snapshot {
    const files = new Map([...this.#files].sort(([a], [b]) => (a < b ? -1 : 1)));
    if (files.size === 0) {
      throw refusal('empty', 'no policy files were found: neither .rego nor data.yaml or data.json', {
        help: 'Check the directory, or the branch and path of the repository.',
      });
    }
    const digest = digestOf(files);
    const { revision = `directory:${digest}`, commit, changed_ms } = given;
    return { revision, digest, files, ...(commit && { commit }), ...(changed_ms !== undefined && { changed_ms }) };
  }
}

/** Names and contents are length-prefixed, so that no two sets of files give one digest. */
export function digestOf(files: ReadonlyMap<string, Uint8Array>): string {
  const hash = createHash('sha256');
  for (const [path, content] of files) {
    hash.update(`${Buffer.byteLength(path)}:${path}${content.length}:`);
    hash.update(content);
  }
  return hash.digest('hex');
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function demandText(path: string, content: Uint8Array): void {
  try {
    if (!content.includes(0) && utf8.decode(content) !== undefined) return;
  } catch {
    // Not UTF-8: the same answer as for a zero byte.
  }
  throw refusal('binary', 'is not text: a .rego file is UTF-8', { file: path });
}
