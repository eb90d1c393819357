import { spawn } from 'node:child_process';

/**
 * Runs a program over files that somebody else wrote (a pushed commit): with an empty environment, in a folder of its
 * own, with limits of time, memory and output. What a policy may call at all is the capabilities file's business
 * (capabilities.ts): without `http.send` and `opa.runtime` there is no network and no environment to reach for.
 *
 * See docs/decisions/0003-sandboxing-opa.md for what was measured.
 */
export interface Limits {
  /** Wall-clock; the whole process group is killed then. */
  readonly time_ms: number;
  /** Private writable memory (RLIMIT_DATA); Go's collector is told to keep below three quarters of it. */
  readonly memory_mib: number;
  /** Of stdout and stderr each. */
  readonly output_bytes_max: number;
}

export const defaultLimits: Limits = { time_ms: 30_000, memory_mib: 1024, output_bytes_max: 64 * 1024 * 1024 };

export interface Run {
  /** Undefined where the program was killed. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** Which limit ended it. */
  readonly exceeded?: 'time' | 'memory' | 'output';
}

/** `ulimit` where the shell knows it; a system without RLIMIT_DATA keeps the collector's bound and the clock's. */
const shell = 'ulimit -c 0 2>/dev/null; ulimit -d "$1" 2>/dev/null; shift; exec "$@"';

/** Never rejects for what the program did; rejects where it cannot be started. */
export function runSandboxed(
  program: string,
  args: readonly string[],
  options: { cwd: string; limits?: Partial<Limits>; signal?: AbortSignal },
): Promise<Run> {
  const limits = { ...defaultLimits, ...options.limits };
  return new Promise((resolve, reject) => {
    const memory_kib = String(limits.memory_mib * 1024);
    const child = spawn('/bin/sh', ['-c', shell, 'sh', memory_kib, program, ...args], {
      cwd: options.cwd,
      // A short run over little: collecting less often takes a quarter off its processor time.
      env: { GOMEMLIMIT: `${Math.floor(limits.memory_mib * 0.75)}MiB`, GOGC: '400', GOTRACEBACK: 'none' },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own, so that whatever it starts dies with it.
      detached: true,
    });
    let exceeded: Run['exceeded'];
    const kill = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Already gone.
      }
    };
    const collect = (stream: NodeJS.ReadableStream) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= limits.output_bytes_max) chunks.push(chunk);
        else if (exceeded === undefined) {
          exceeded = 'output';
          kill();
        }
      });
      return () => Buffer.concat(chunks).toString('utf8');
    };
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const timer = setTimeout(() => {
      exceeded ??= 'time';
      kill();
    }, limits.time_ms);
    options.signal?.addEventListener('abort', kill, { once: true });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (status) => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', kill);
      const said = stderr();
      if (
        exceeded === undefined &&
        status !== 0 &&
        /^(fatal error: )?runtime: (out of memory|cannot allocate)|out of memory/m.test(said)
      ) {
        exceeded = 'memory';
      }
      resolve({
        status: status ?? undefined,
        stdout: stdout(),
        stderr: said,
        ...(exceeded === undefined ? {} : { exceeded }),
      });
    });
  });
}

/** How a limit that was exceeded is told. */
export function exceededMessage(
  what: string,
  exceeded: NonNullable<Run['exceeded']>,
  limits: Partial<Limits> = {},
): string {
  const { time_ms, memory_mib, output_bytes_max } = { ...defaultLimits, ...limits };
  const bound = {
    time: `took longer than ${time_ms / 1000} s`,
    memory: `used more than ${memory_mib} MiB of memory`,
    output: `wrote more than ${Math.round(output_bytes_max / 1024 / 1024)} MiB of output`,
  }[exceeded];
  return `${what} ${bound} and was stopped`;
}
