import { execFile } from 'node:child_process';
import { cp, mkdir } from 'node:fs/promises';
import { devNull } from 'node:os';
import { promisify } from 'node:util';

/** The policy repository: an ordinary git repository on the disk, with one branch, main. */
export interface PolicyRepository {
  readonly directory: string;
  /** Copies files over those that are there and commits. */
  commit(files: string, message: string): Promise<Commit>;
  /** What a commit changed, as `git show` prints it. */
  diff(commit: string): Promise<string>;
}

export interface Commit {
  /** 40 hexadecimal digits. */
  readonly id: string;
  /** When git was done, on the clock of performance.now(). */
  readonly done_ms: number;
}

const run = promisify(execFile);

export async function createRepository(directory: string): Promise<PolicyRepository> {
  await mkdir(directory, { recursive: true });
  // Whatever git is configured to do for the person who runs this (hooks, signing, another default branch) stays out.
  const env = {
    PATH: process.env['PATH'],
    HOME: directory,
    GIT_CONFIG_GLOBAL: devNull,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_AUTHOR_NAME: 'Ada of security',
    GIT_AUTHOR_EMAIL: 'ada@example.com',
    GIT_COMMITTER_NAME: 'Ada of security',
    GIT_COMMITTER_EMAIL: 'ada@example.com',
  };
  const git = async (...args: string[]): Promise<string> => {
    try {
      return (await run('git', ['-c', 'core.hooksPath=/dev/null', ...args], { cwd: directory, env })).stdout;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        throw new Error('The demo keeps its policy in git, and there is no git on PATH: install it and start again.', {
          cause: error,
        });
      }
      throw error;
    }
  };
  await git('init', '--quiet');
  // Not `init -b`, which gits before 2.28 don't know.
  await git('symbolic-ref', 'HEAD', 'refs/heads/main');
  return {
    directory,
    async commit(files, message) {
      await cp(files, directory, { recursive: true });
      await git('add', '--all');
      await git('commit', '--quiet', '-m', message);
      const done_ms = performance.now();
      return { id: (await git('rev-parse', 'HEAD')).trim(), done_ms };
    },
    diff: (commit) => git('show', '--no-color', '--format=commit %h by %an: %s', '--patch', commit),
  };
}
