import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { BundleError, messageOf, refusal } from './error.js';
import { GitSource } from './git.js';
import { gitEnvironment } from './git-run.js';
import { isPlainOnLoopback } from './loopback.js';
import type { Signers } from './signed-commits.js';
import type { Commit, Snapshot, Source } from './snapshot.js';

export interface RemoteGitOptions {
  /** https://…, ssh://… or user@host:path; http:// on this machine alone. */
  readonly url: string;
  readonly branch: string;
  readonly path: string;
  /** For HTTPS: sent as the password, with any user name. */
  readonly token?: string;
  /** Files for SSH. The host's key is never taken on trust: without `knownHosts` nothing is reached. */
  readonly sshKey?: string;
  readonly knownHosts?: string;
  /** A file of authorities, in place of the system's. */
  readonly ca?: string;
  readonly poll_ms: number;
  /** A folder of the gateway's own, for what was fetched. */
  readonly directory: string;
  /** Of a fetch; absent: 1 GiB. */
  readonly fetch_bytes_max?: number;
  readonly signers?: Signers | undefined;
}

const fetch_ms_max = 60_000;
/** Of one commit, packed: far more than the policy that may be in it, since others keep their programs beside it. */
const fetch_bytes_max = 1_073_741_824;

/**
 * Policy from a branch of a repository elsewhere. Its newest commit alone is fetched into a bare repository of the
 * gateway's own, in which the branch is whatever it is there, forced or not; the rest is as with a local repository. While
 * the other side cannot be reached, the last good revision stays in force.
 */
export class RemoteGitSource implements Source {
  readonly description: string;
  readonly #options: RemoteGitOptions;
  readonly #mirror: string;
  readonly #local: GitSource;
  #fetched_ms = -Infinity;
  #fetching: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(options: RemoteGitOptions) {
    const { url, branch, path: inside, directory, signers } = options;
    demandSafe(options);
    this.#options = options;
    // Of another URL or branch nothing is left over.
    const name = createHash('sha256')
      .update(JSON.stringify([url, branch]))
      .digest('hex')
      .slice(0, 16);
    this.#mirror = path.join(directory, `git-${name}`);
    this.#local = new GitSource({ repository: this.#mirror, branch, path: inside, signers });
    this.description = `git ${withoutCredentials(url)}, branch ${branch}${inside === '.' ? '' : `, path ${inside}`}`;
  }

  async head(): Promise<string> {
    await this.#current();
    return this.#local.head();
  }

  async read(): Promise<Snapshot> {
    await this.#current();
    return this.#local.read();
  }

  accepts(commit: Commit | undefined): boolean {
    return this.#local.accepts(commit);
  }

  /** The next look fetches, whenever the last one was: somebody said that there is something new. */
  poke(): void {
    this.#fetched_ms = -Infinity;
  }

  async watch(changed: () => void): Promise<() => Promise<void>> {
    const timer = setInterval(changed, this.#options.poll_ms);
    timer.unref();
    return () => {
      clearInterval(timer);
      return this.#fetching?.catch(() => undefined) ?? Promise.resolve();
    };
  }

  /** Fetches where that is due. One fetch serves all that wait for it; a failure holds until the next one is due. */
  async #current(): Promise<void> {
    if (performance.now() - this.#fetched_ms >= this.#options.poll_ms / 2) {
      this.#fetched_ms = performance.now();
      this.#fetching ??= this.#fetch().finally(() => (this.#fetching = undefined));
    }
    await this.#fetching;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #fetch(): Promise<void> {
    const { url, branch } = this.#options;
    try {
      if (!(await exists(path.join(this.#mirror, 'HEAD')))) {
        await mkdir(this.#mirror, { recursive: true, mode: 0o700 });
        await this.#git(['init', '--quiet', '--bare', this.#mirror]);
      }
      await this.#removeUnfinished();
      const reference = `+refs/heads/${branch}:refs/heads/${branch}`;
      const flags = ['--quiet', '--depth=1', '--no-tags', '--no-recurse-submodules', '--no-write-fetch-head'];
      await this.#git([`--git-dir=${this.#mirror}`, 'fetch', ...flags, '--end-of-options', url, reference]);
      this.#failure = undefined;
    } catch (error) {
      this.#failure = this.#told(error);
    }
  }

  /** What was stopped in the middle of a pack leaves as much of it as there was: at every look some more. */
  async #removeUnfinished(): Promise<void> {
    const folder = path.join(this.#mirror, 'objects', 'pack');
    for (const name of await readdir(folder).catch(() => []))
      if (name.startsWith('tmp_')) await rm(path.join(folder, name), { force: true });
  }

  #told(error: unknown): Error {
    const { url, branch, token } = this.#options;
    const said = messageOf(error).replaceAll(token ?? '\0', '***');
    if (error instanceof BundleError) return error;
    if (/couldn't find remote ref/i.test(said))
      return refusal('no_branch', `${withoutCredentials(url)} has no branch ${branch}`, {
        help: 'Check policy.git.branch.',
      });
    const failed = `${withoutCredentials(url)} cannot be fetched: ${withoutCredentials(said)}`;
    if (/host key verification failed/i.test(said))
      return refusal('unknown_host', failed, {
        help: 'The key of this host is not in policy.git.known_hosts, or another one is. Put it there as ssh-keyscan prints it, once its owner has told you the same fingerprint.',
      });
    if (/permission denied \(/i.test(said))
      return refusal('key_refused', failed, {
        help: 'The host does not let in the key of policy.git.ssh_key: give it the public half as a deploy key (ssh-keygen -y -f FILE prints it), with mode 0600 for the file.',
      });
    return refusal('unreachable', failed, {
      help: 'Check policy.git.url and its token, or ssh_key and known_hosts; `sallyport doctor` tries it.',
    });
  }

  #git(args: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const env = gitEnvironment({
        ...transport(this.#options),
        // Of nothing else, whatever a redirect or a configuration says.
        GIT_ALLOW_PROTOCOL: 'https:http:ssh',
      });
      // A shell, because Node sets no limits of a process: the size of a file, in blocks of 512 bytes (POSIX ulimit).
      const limited = `ulimit -f ${Math.ceil((this.#options.fetch_bytes_max ?? fetch_bytes_max) / 512)}; exec git "$@"`;
      execFile(
        '/bin/sh',
        ['-c', limited, 'git', ...args],
        { env, timeout: fetch_ms_max, cwd: '/' },
        (error, _out, stderr) => {
          if (error === null) resolve();
          else if (error.code === 127) reject(refusal('git_missing', 'git is not installed, or not on PATH'));
          else
            reject(
              new Error(
                error.killed === true ? `no end within ${fetch_ms_max / 1000} s` : stderr.trim() || error.message,
              ),
            );
        },
      );
    });
  }
}

/** The credential goes by the environment: arguments of a process can be read by everybody on the machine. */
function transport({ token, sshKey, knownHosts, ca }: RemoteGitOptions): Record<string, string> {
  const settings: [string, string][] = [
    // A redirect would carry the credential to wherever it leads.
    ['http.followRedirects', 'false'],
    ['http.lowSpeedLimit', '100'],
    ['http.lowSpeedTime', '20'],
    // One file for all that comes, of which the size is bounded.
    ['fetch.unpackLimit', '1'],
    ['fetch.fsckObjects', 'true'],
    ['transfer.fsckObjects', 'true'],
    ...(ca === undefined ? [] : [['http.sslCAInfo', ca] as [string, string]]),
  ];
  if (token !== undefined)
    settings.push(['http.extraHeader', `Authorization: Basic ${Buffer.from(`git:${token}`).toString('base64')}`]);
  // Not -i: where there is no such file, that takes the account's.
  const identity =
    sshKey === undefined ? 'IdentityFile=none' : quoted(`IdentityFile="${sshKey.replaceAll('%', '%%')}"`);
  const ssh = [
    ...['ssh', '-F', '/dev/null', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=yes', '-o', 'ConnectTimeout=10'],
    ...['-o', `UserKnownHostsFile=${quoted(knownHosts ?? '/dev/null')}`, '-o', 'GlobalKnownHostsFile=/dev/null'],
    // With the key that is configured or with none: never with those that lie with the account the gateway runs as, or an agent's.
    ...['-o', 'IdentitiesOnly=yes', '-o', 'IdentityAgent=none', '-o', identity],
  ];
  return {
    GIT_SSH_COMMAND: ssh.join(' '),
    GIT_SSH_VARIANT: 'ssh',
    GIT_CONFIG_COUNT: String(settings.length),
    ...Object.fromEntries(settings.flatMap(([key, value], index) => [[`GIT_CONFIG_KEY_${index}`, key], [`GIT_CONFIG_VALUE_${index}`, value]])), // prettier-ignore
  };
}

/** For the shell that git gives its command to. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** What anybody on the way could change is no source of policy, signed or not. */
function demandSafe({ url }: RemoteGitOptions): void {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === 'https' || scheme === 'ssh' || isPlainOnLoopback(url)) return;
  throw refusal('bad_remote', `policy.git.url ${JSON.stringify(withoutCredentials(url))} is not https:// or ssh://`, {
    help: 'What comes in clear could be changed on the way.',
  });
}

const withoutCredentials = (url: string): string => url.replace(/\/\/[^/@\s]*@/g, '//');

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );
