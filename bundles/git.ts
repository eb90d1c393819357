import { execFile, spawn } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { BundleError, codeOf, messageOf, refusal } from './error.js';
import { gitEnvironment } from './git-run.js';
import { demandObject, demandTree, type Entry, readListing } from './git-tree.js';
import { demandSigned, isSignedBy, type Signers } from './signed-commits.js';
import {
  type Commit,
  file_bytes_max,
  isHidden,
  isPolicyFile,
  type Snapshot,
  snapshot_bytes_max,
  SnapshotBuilder,
  type Source,
} from './snapshot.js';
import { watchPaths } from './watch.js';

const git_ms_max = 20_000;
const listing_bytes_max = 16 * 1024 * 1024;

export interface GitOptions {
  /** A work tree or a bare repository on this machine. */
  readonly repository: string;
  readonly branch: string;
  /** The folder inside the repository that holds the policy. */
  readonly path: string;
  /** Absent: a commit needs no signature. */
  readonly signers?: Signers | undefined;
}

/**
 * Policy from a branch of a local git repository. What is read is the commit's tree, object by object, never the work
 * tree: a half-written file or an unfinished merge is not in any commit, and attributes and filters play no part.
 */
export class GitSource implements Source {
  readonly description: string;
  readonly #repository: string;
  readonly #branch: string;
  readonly #path: string;
  readonly #signers: Signers | undefined;
  #directory: string | undefined;

  constructor({ repository, branch, path: inside, signers }: GitOptions) {
    this.#signers = signers;
    if (!isBranchName(branch))
      throw refusal('bad_branch', `policy.git.branch ${JSON.stringify(branch)} is not the name of a branch`);
    this.#repository = path.resolve(repository);
    this.#branch = branch;
    this.#path = insidePath(inside);
    this.description = `git ${this.#repository}, branch ${branch}${this.#path === '' ? '' : `, path ${this.#path}`}`;
  }

  async head(): Promise<string> {
    return `git:${await this.#commit()}`;
  }

  accepts(commit: Commit | undefined): boolean {
    return this.#signers === undefined || isSignedBy(commit, this.#signers);
  }

  async read(): Promise<Snapshot> {
    const commit = await this.#ofBranch(() => this.#describe(this.#ref));
    const signer = this.#signers && (await demandSigned(await this.#gitDirectory(), commit.hash, this.#signers));
    return this.#snapshot(commit, { moved_ms: await this.#moved(), signer });
  }

  /**
   * What stood at any revision that git can name: a commit, a tag, `main~3`. For looking back; in force is only what the
   * branch has.
   */
  async at(revision: string): Promise<Snapshot> {
    return this.#snapshot(await this.#describe(await this.#resolve(revision)));
  }

  /** The values of a trailer (git-interpret-trailers(1)) in the messages of the commits that `to` has and `from` has not. */
  async trailers(from: string, to: string, name: string): Promise<string[]> {
    const [first, last] = await Promise.all([this.#resolve(from), this.#resolve(to)]);
    const format = `--format=%(trailers:key=${name},valueonly)`;
    const output = await this.#git(['log', '--no-show-signature', '--encoding=UTF-8', format, '--end-of-options', `${first}..${last}`, '--']); // prettier-ignore
    return output.split('\n').filter((line) => line.trim() !== '');
  }

  async #resolve(revision: string): Promise<string> {
    const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`];
    const output = await this.#git(args).catch((error: unknown) => {
      if (error instanceof BundleError) throw error;
      throw refusal('no_revision', `${this.#repository} has no commit ${JSON.stringify(revision)}`, {
        help: 'Name a commit, a branch or a tag; where only some of the history was fetched, fetch the rest.',
        cause: error,
      });
    });
    return output.trim();
  }

  async #snapshot(
    commit: Commit,
    known: { moved_ms?: number | undefined; signer?: string | undefined } = {},
  ): Promise<Snapshot> {
    const { hash } = commit;
    const builder = new SnapshotBuilder();
    const tree = known.signer === undefined ? undefined : await this.#signedTree(hash);
    const entries = await this.#entries(hash, builder, tree);
    const contents = await this.#contents(entries.map((entry) => entry.object));
    entries.forEach((entry, index) => builder.add(entry.path, contents[index] ?? new Uint8Array()));
    const { moved_ms, signer } = known;
    return builder.finish({
      revision: `git:${hash}`,
      commit: signer === undefined ? commit : { ...commit, signer },
      changed_ms: moved_ms,
    });
  }

  /** HEAD, the branch's own file and packed-refs: one of them changes whenever the branch moves. */
  async watch(changed: () => void): Promise<() => Promise<void>> {
    const directory = await this.#gitDirectory();
    const refs = path.join(directory, 'refs', 'heads');
    const names = new Set(['HEAD', 'packed-refs', 'reftable']);
    return watchPaths([directory], changed, {
      rescan_ms: 2_000,
      // A branch is moved by renaming one file: what is there is whole.
      debounce_ms: 5,
      ignored: (file) => {
        if (file.endsWith('.lock')) return true;
        const relative = path.relative(directory, file);
        if (relative === '' || relative === 'refs' || names.has(relative.split(path.sep)[0] ?? '')) return false;
        return file !== refs && !file.startsWith(refs + path.sep);
      },
    });
  }

  get #ref(): string {
    return `refs/heads/${this.#branch}^{commit}`;
  }

  async #commit(): Promise<string> {
    const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', this.#ref];
    return demandHash(await this.#ofBranch(() => this.#git(args)), this.#ref);
  }

  async #ofBranch<T>(asked: () => Promise<T>): Promise<T> {
    try {
      return await asked();
    } catch (error) {
      if (error instanceof BundleError) throw error;
      throw refusal('no_branch', `${this.#repository} has no commit on branch ${this.#branch}`, {
        help: 'Check policy.git.branch, or commit something.',
        cause: error,
      });
    }
  }

  /** The tree that holds the policy, each one on the way to it hashed again. */
  async #signedTree(hash: string): Promise<string> {
    const [commit] = await this.#contents([hash], 'commit');
    let tree = /^tree ([0-9a-f]+)\n/.exec(Buffer.from(commit ?? []).toString('latin1'))?.[1] ?? '';
    for (const name of this.#path === '' ? [] : this.#path.split('/')) {
      const entries = await this.#listed(hash, tree);
      demandTree(tree, entries, false);
      const folder = entries.find((entry) => entry.type === 'tree' && entry.path === name);
      if (folder === undefined) throw this.#noPath(hash);
      tree = folder.object;
    }
    return tree;
  }

  #noPath(hash: string, cause?: unknown): BundleError {
    return refusal('no_path', `commit ${hash} has no folder ${JSON.stringify(this.#path)} that could be read`, {
      help: 'Check policy.git.path; `git fsck` there says whether the repository is whole.',
      cause,
    });
  }

  async #listed(hash: string, tree: string, ...flags: readonly string[]): Promise<Entry[]> {
    try {
      return readListing(await this.#git(['ls-tree', ...flags, '-l', '-z', '--full-tree', '--end-of-options', tree]));
    } catch (error) {
      throw this.#noPath(hash, error);
    }
  }

  /**
   * The policy files of a commit, with links inside the tree resolved. Throws for what leads out of it, and where a tree is
   * named that it has to be for what is not that.
   */
  async #entries(
    hash: string,
    limits: SnapshotBuilder,
    signed: string | undefined,
  ): Promise<{ path: string; object: string }[]> {
    const tree = signed ?? (this.#path === '' ? `${hash}^{tree}` : `${hash}:${this.#path}`);
    const entries = await this.#listed(hash, tree, '-r', '-t');
    if (signed !== undefined) demandTree(signed, entries, true);
    const all = new Map(entries.filter(({ type }) => type !== 'tree').map((entry) => [entry.path, entry]));
    const policy: { path: string; object: string }[] = [];
    for (const entry of all.values()) {
      if (entry.path.split('/').some(isHidden)) continue;
      if (entry.mode === '160000') {
        throw refusal('submodule', 'is a submodule: policy must be in the repository itself', { file: entry.path });
      }
      const file = entry.mode === '120000' ? await this.#follow(entry, all) : entry;
      if (file === undefined || !isPolicyFile(entry.path)) continue;
      limits.expect(entry.path, file.bytes);
      policy.push({ path: entry.path, object: file.object });
    }
    return policy;
  }

  async #follow(link: Entry, all: ReadonlyMap<string, Entry>): Promise<Entry | undefined> {
    const target =
      link.bytes > 4096 ? '' : Buffer.from((await this.#contents([link.object]))[0] ?? []).toString('utf8');
    const resolved = path.posix.normalize(path.posix.join(path.posix.dirname(link.path), target));
    if (target === '' || path.posix.isAbsolute(target) || resolved === '..' || resolved.startsWith('../')) {
      throw refusal('symlink', 'is a symbolic link that leads out of the policy directory', {
        file: link.path,
        help: 'Put the file itself there.',
      });
    }
    const found = all.get(resolved);
    if (found !== undefined && found.mode.startsWith('100')) return found;
    if (!isPolicyFile(link.path) && ![...all.keys()].some((name) => name.startsWith(`${resolved}/`))) return undefined;
    throw refusal('symlink', `is a symbolic link to ${JSON.stringify(target)}, which is not a file of this commit`, {
      file: link.path,
      help: 'In git only links to files are followed. Put the files themselves there.',
    });
  }

  /** The contents of objects, in order, from one `git cat-file --batch`, each hashed again. */
  async #contents(objects: readonly string[], wanted = 'blob'): Promise<Uint8Array[]> {
    if (objects.length === 0) return [];
    const output = await this.#batch(objects.map((object) => `${object}\n`).join(''));
    const contents: Uint8Array[] = [];
    let at = 0;
    for (const object of objects) {
      // "<object> SP <type> SP <size> LF <content> LF"
      const end = output.indexOf(10, at);
      const [, type, size] = output.toString('latin1', at, Math.max(end, at)).split(' ');
      const bytes = Number(size);
      if (end < 0 || type !== wanted || !Number.isInteger(bytes) || end + 1 + bytes > output.length) {
        throw refusal('git_failed', `git could not read object ${object} of ${this.#repository}`, {
          help: 'Run `git fsck` there.',
        });
      }
      const content = output.subarray(end + 1, end + 1 + bytes);
      demandObject(object, wanted, content);
      contents.push(content);
      at = end + bytes + 2;
    }
    return contents;
  }

  async #describe(revision: string): Promise<Commit> {
    const output = await this.#git([
      'log',
      '-1',
      '--no-show-signature',
      '--encoding=UTF-8',
      '--format=%H%x00%s%x00%an <%ae>%x00%cI',
      '--end-of-options',
      revision,
      '--',
    ]);
    const [found = '', subject = '', author = '', time = ''] = output.trimEnd().split('\0');
    const hash = demandHash(found, revision);
    const committed = new Date(time);
    return { hash, subject, author, time: Number.isNaN(committed.getTime()) ? time : committed.toISOString() };
  }

  /** When the branch moved, to the millisecond: a commit's own time knows only seconds. Unknown for a packed ref. */
  async #moved(): Promise<number | undefined> {
    const ref = path.join(await this.#gitDirectory(), 'refs', 'heads', this.#branch);
    return stat(ref).then(
      (found) => found.mtimeMs,
      () => undefined,
    );
  }

  async #gitDirectory(): Promise<string> {
    this.#directory ??= await findGitDirectory(this.#repository);
    return this.#directory;
  }

  async #arguments(args: readonly string[]): Promise<string[]> {
    const directory = await this.#gitDirectory();
    // The owner may be another (a push user): reading objects runs nothing of the repository's, so that is no danger here.
    return ['-c', 'safe.directory=*', '-c', 'core.fsmonitor=false', `--git-dir=${directory}`, ...args];
  }

  async #git(args: readonly string[]): Promise<string> {
    const all = await this.#arguments(args);
    return new Promise((resolve, reject) => {
      execFile(
        'git',
        all,
        {
          env: gitEnvironment(),
          timeout: git_ms_max,
          maxBuffer: listing_bytes_max,
          cwd: path.parse(this.#repository).root,
        },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else if (codeOf(error) === 'ENOENT')
            reject(refusal('git_missing', 'git is not installed, or not on PATH', { cause: error }));
          else reject(new Error(stderr.trim() || error.message, { cause: error }));
        },
      );
    });
  }

  async #batch(input: string): Promise<Buffer> {
    const args = await this.#arguments(['cat-file', '--batch']);
    return new Promise((resolve, reject) => {
      const child = spawn('git', args, { env: gitEnvironment(), stdio: ['pipe', 'pipe', 'pipe'], timeout: git_ms_max });
      const chunks: Buffer[] = [];
      let bytes = 0;
      child.stdout.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        // Sizes were checked in the listing; this bound is for a repository that lies.
        if (bytes > snapshot_bytes_max + file_bytes_max) child.kill('SIGKILL');
        else chunks.push(chunk);
      });
      child.stderr.resume();
      child.stdin.on('error', () => {});
      child.once('error', (error) =>
        reject(refusal('git_missing', `git cannot be started: ${messageOf(error)}`, { cause: error })),
      );
      child.once('close', (status) =>
        status === 0
          ? resolve(Buffer.concat(chunks))
          : reject(refusal('git_failed', `git could not read objects of ${this.#repository}`)),
      );
      child.stdin.end(input);
    });
  }
}

function demandHash(output: string, asked: string): string {
  const hash = output.trim();
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) return hash;
  throw refusal('git_failed', `git answered ${JSON.stringify(hash.slice(0, 200))} for ${asked}`);
}

/** `<repo>/.git` (a folder, or a file that names one: a linked work tree or submodule), or the repository itself if bare. */
async function findGitDirectory(repository: string): Promise<string> {
  const dotGit = path.join(repository, '.git');
  try {
    if ((await stat(dotGit)).isDirectory()) return dotGit;
    const named = /^gitdir: (.+)$/m.exec(await readFile(dotGit, 'utf8'))?.[1];
    if (named !== undefined) {
      const directory = path.resolve(repository, named.trim());
      // Branches of a linked work tree are kept in the common directory.
      const common = await readFile(path.join(directory, 'commondir'), 'utf8').catch(() => undefined);
      return common === undefined ? directory : path.resolve(directory, common.trim());
    }
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR')
      throw refusal('unreadable', `${repository} cannot be read: ${messageOf(error)}`);
  }
  const bare = await stat(path.join(repository, 'HEAD')).then(
    (found) => found.isFile(),
    () => false,
  );
  if (bare) return repository;
  throw refusal('no_repository', `${repository} is not a git repository`, { help: 'Check policy.git.url.' });
}

/** git-check-ref-format(1), and never something that could be taken for an option. */
export function isBranchName(name: string): boolean {
  return (
    name !== '' &&
    name.length <= 255 &&
    !/^[-/.]|[/.]$|\.\.|\/\/|\/\.|@\{|\.lock(\/|$)|[\0-\x20\x7f~^:?*[\\]/.test(name) &&
    name !== '@'
  );
}

/** A folder inside the repository, without leading "./"; "" for its root. */
function insidePath(given: string): string {
  const normal = path.posix.normalize(given).replace(/\/$/, '');
  if (normal === '.' || normal === '') return '';
  if (normal.startsWith('/') || normal === '..' || normal.startsWith('../') || /[\0\n\r]/.test(normal)) {
    throw refusal('bad_path', `policy.git.path ${JSON.stringify(given)} is not a folder inside the repository`);
  }
  return normal;
}
