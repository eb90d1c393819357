import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';

/** The processes that a benchmark puts side by side. */

const start_ms_max = 60_000;

/** Starts a process, and adds it to those that are to be ended. */
export function run(
  processes: ChildProcess[],
  command: string,
  args: readonly string[],
  options: object = {},
): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  processes.push(child);
  return child;
}

/** The first group of the first match in what a process says. */
export function said(child: ChildProcess, wanted: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const fail = (why: string) => reject(new Error(`${child.spawnfile} ${why}:\n${text.slice(-2_000)}`));
    const timer = setTimeout(() => fail('did not start'), start_ms_max);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`ended with ${String(code)}`));
    const listen = (chunk: Buffer) => {
      if (text.length < 100_000) text += chunk.toString();
      const match = wanted.exec(text);
      if (match === null) return;
      clearTimeout(timer);
      resolve(match[1] ?? '');
    };
    child.stdout?.on('data', listen);
    child.stderr?.on('data', listen);
  });
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(timer);
}

/** For programs that cannot be asked which port they took. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
