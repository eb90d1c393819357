import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { ConfigError } from '../errors.js';

/**
 * The operating system's account that Postgres runs as. Postgres refuses to run as root, so that a gateway that is root
 * hands it to somebody who is not.
 */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const run = promisify(execFile);

/** Made where no other account fits. Not "postgres": a package that is installed later would take that one over. */
const ownAccount = 'sallyport-pg';

/** useradd is seldom on the PATH of a service or a pipeline, even of root's. */
const useraddPaths = ['/usr/sbin/useradd', '/sbin/useradd', '/usr/bin/useradd'];

export interface AccountOptions {
  /** An account to use and no other; from SALLYPORT_POSTGRES_USER. */
  readonly wanted?: string | undefined;
  /**
   * The data is thrown away afterwards: the shared account `nobody` will do where no account can be made. Data that
   * stays would be open to everything else that runs as nobody.
   */
  readonly throwaway: boolean;
  /** One line for a person: which account was made, or why nobody is used. */
  readonly say: (line: string) => void;
}

/**
 * Undefined where the process isn't root: Postgres then runs as whoever runs this. Else, the first that exists of
 * SALLYPORT_POSTGRES_USER, `postgres` and `sallyport-pg`; where neither does, the last is made by `useradd`, and said.
 *
 * @throws ConfigError naming what to do, where there is no account and none can be made.
 */
export async function postgresAccount(options: AccountOptions): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  if (options.wanted !== undefined) {
    const account = await lookUp(options.wanted);
    if (account === undefined) {
      throw new ConfigError(
        `SALLYPORT_POSTGRES_USER names the account "${options.wanted}", which does not exist here.`,
      );
    }
    if (account.uid === 0) {
      throw new ConfigError(
        `SALLYPORT_POSTGRES_USER names "${options.wanted}", which is root: Postgres refuses to run as root.`,
      );
    }
    return account;
  }
  const existing = (await lookUp('postgres')) ?? (await lookUp(ownAccount));
  if (existing !== undefined) return existing;

  const useradd = useraddPaths.find((path) => existsSync(path));
  let failure = 'there is no useradd to make one with';
  if (useradd !== undefined) {
    try {
      await run(useradd, [
        '--system',
        '--user-group',
        '--no-create-home',
        '--home-dir',
        '/nonexistent',
        '--shell',
        '/bin/false',
        ownAccount,
      ]);
    } catch (error) {
      failure = `useradd said: ${messageOf(error)}`;
    }
    // Looked up even after a failure: another process may have made it meanwhile.
    const made = await lookUp(ownAccount);
    if (made !== undefined) {
      options.say(`Postgres refuses to run as root: it runs as the system account "${ownAccount}" (made by useradd).`);
      return made;
    }
  }
  const nobody = options.throwaway ? await lookUp('nobody') : undefined;
  if (nobody !== undefined && nobody.uid !== 0) {
    options.say(`Postgres refuses to run as root, and no account could be made (${failure}): it runs as "nobody".`);
    return nobody;
  }
  throw new ConfigError(
    `Postgres refuses to run as root, there is no account "postgres" or "${ownAccount}", and ${failure}. ` +
      `Make a system account named "${ownAccount}" (on Alpine: adduser -S -D -H ${ownAccount}), or name an ` +
      'unprivileged one in SALLYPORT_POSTGRES_USER, or do not run this as root.',
  );
}

async function lookUp(name: string): Promise<Account | undefined> {
  // Of `id` and not of /etc/passwd: accounts may come from a directory service.
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', '--', name]), run('id', ['-g', '--', name])]);
    return { name, uid: Number.parseInt(uid.stdout, 10), gid: Number.parseInt(gid.stdout, 10) };
  } catch {
    return undefined;
  }
}

function messageOf(error: unknown): string {
  const text =
    error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' ? error.stderr : String(error);
  return text.trim().split('\n').at(-1) ?? '';
}
