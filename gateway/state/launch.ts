import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { Account } from './account.js';

/** Starts Postgres's programs as the account they run as, and sees to it that a server never outlives its parent. */

export interface Launch {
  readonly binary: string;
  readonly arguments: readonly string[];
  readonly directory: string;
  /** The directory goes when the parent died; when all is well the caller removes it. */
  readonly removeAfterwards: boolean;
  readonly account: Account | undefined;
  readonly start_ms_max: number;
  /** Everything that the server logs, as it comes. */
  readonly onLog?: ((text: string) => void) | undefined;
}

export type Launched =
  | { readonly ready: true; readonly process: ChildProcess & { readonly pid: number } }
  /** `log` is the end of what the server said. */
  | { readonly ready: false; readonly why: string; readonly log: string };

const log_bytes_max = 16_384;
const output_bytes_max = 65_536;

/**
 * What runs before the server, in the process that then becomes it (`exec` keeps the pid, `$$`).
 *
 * It leaves a watcher behind, which waits for the end of file 3: a pipe that the parent holds open and never writes to while
 * the server lives (not standard input: Node closes that by itself when the server ends, and no line could be sent). When the parent dies, however it dies, the kernel closes the pipe, `read` fails, and
 * the watcher stops the server: fast, and after 10 s at once. When the server ended while the parent lives, the parent writes a
 * line, and the watcher just ends: by then the pid may be another's. It is started by a subshell that ends at once, so that it belongs to init and the
 * postmaster never sees a child that it doesn't know.
 *
 * $1: a directory to remove afterwards, or empty. The rest: the server's command line.
 */
const script = `
remove=$1
shift
(
  (
    read -r _ <&3 && exit 0
    kill -INT $$ 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      sleep 1
      kill -0 $$ 2>/dev/null || break
    done
    kill -QUIT $$ 2>/dev/null && sleep 2
    if [ -n "$remove" ]; then cd / && rm -rf -- "$remove"; fi
  ) </dev/null >/dev/null 2>&1 &
)
exec "$@" 3<&-
`;

/** The environment of whoever runs this (PGDATA, PGPORT, LD_PRELOAD, secrets) is no business of the server's. */
const environment = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', LANG: 'C' };

function owner(account: Account | undefined): { uid?: number; gid?: number } {
  return account === undefined ? {} : { uid: account.uid, gid: account.gid };
}

/** Resolves when the server accepts connections, or has ended, or took too long. */
export function launch(options: Launch): Promise<Launched> {
  const server = spawn(
    '/bin/sh',
    [
      '-c',
      script,
      'sallyport-postgres',
      options.removeAfterwards ? options.directory : '',
      options.binary,
      ...options.arguments,
    ],
    {
      ...owner(options.account),
      cwd: '/',
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      // A session of its own: an interrupt typed at the terminal is the parent's to answer, who closes sessions first.
      detached: true,
    },
  );
  return new Promise((settle) => {
    let log = '';
    let settled = false;
    const finish = (result: Launched) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      settle(result);
    };
    const timer = setTimeout(() => {
      server.kill('SIGQUIT');
      finish({ ready: false, why: `not ready after ${String(options.start_ms_max / 1000)} s`, log });
    }, options.start_ms_max);
    const stderr = server.stderr as Readable;
    stderr.setEncoding('utf8');
    // Read for as long as it lives: a full pipe would stop the server.
    stderr.on('data', (text: string) => {
      options.onLog?.(text);
      if (settled) return;
      log = (log + text).slice(-log_bytes_max);
      if (log.includes('database system is ready to accept connections') && server.pid !== undefined) {
        finish({ ready: true, process: Object.assign(server, { pid: server.pid }) });
      }
    });
    const lifeline = server.stdio[3] as Writable;
    lifeline.on('error', () => undefined);
    server.on('error', (error) => finish({ ready: false, why: error.message, log }));
    server.on('exit', () => lifeline.end('stopped\n'));
    // "close" comes after the last byte of the log.
    server.on('close', (code, signal) => {
      finish({ ready: false, why: signal === null ? `exit code ${String(code)}` : signal, log });
    });
  });
}

/** Runs a program to its end. `output` is what it said on both streams, bounded. */
export function run(
  binary: string,
  args: readonly string[],
  account: Account | undefined,
): Promise<{ code: number | null; output: string }> {
  return new Promise((settle, fail) => {
    const child = spawn(binary, args, {
      ...owner(account),
      cwd: '/',
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const take = (text: string) => (output = (output + text).slice(-output_bytes_max));
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.on('error', fail);
    child.on('close', (code) => settle({ code, output }));
  });
}
