import { spawn } from 'node:child_process';
import { basename } from 'node:path';
import { duration } from '../config/index.js';
import { command_time_default, refresh_default, type CommandReference } from '../elsewhere.js';
import { NotGiven, single, type Place } from './place.js';

const output_bytes_max = 1_048_576;
const refresh_ms_min = 1_000;
/** What a helper needs to find itself and its owner's files; the gateway's own environment may hold other secrets. */
const inherited = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR'] as const;

/** A program that prints the value on its standard output. It is run without a shell. What it says on standard error is read by nobody. */
export function commandPlace(reference: CommandReference & { readonly directory: string }): Place {
  const { command, directory, environment = {}, timeout = command_time_default, refresh = refresh_default } = reference;
  const [program = '', ...words] = command;
  const name = `the command "${basename(program)}"`;
  const env = { ...Object.fromEntries(inherited.map((key) => [key, process.env[key]])), ...environment };
  const running = new Set<() => void>();
  return {
    name,
    async read() {
      const output = await new Promise<string>((resolve, reject) => {
        // A group of its own, so that what it has started ends with it.
        const child = spawn(program, words, {
          ...{ cwd: directory, env, detached: true },
          stdio: ['ignore', 'pipe', 'ignore'],
        });
        const end = (why?: string) => {
          clearTimeout(timer);
          running.delete(stop);
          if (why === undefined) return;
          if (child.pid !== undefined) killGroup(child.pid);
          child.stdout.destroy();
          reject(new NotGiven(`${name} ${why}`));
        };
        const stop = () => end('was ended: the gateway stops');
        const timer = setTimeout(() => end(`did not end within ${timeout}`), duration(timeout));
        running.add(stop);
        const chunks: Buffer[] = [];
        let bytes = 0;
        child.stdout.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > output_bytes_max) end(`prints more than ${output_bytes_max} bytes`);
          else chunks.push(chunk);
        });
        child.once('error', (error: NodeJS.ErrnoException) => end(`cannot be started (${error.code ?? 'error'})`));
        child.once('close', (code, signal) => {
          if (code !== 0) return end(code === null ? `was ended by ${signal ?? 'a signal'}` : `ended with ${code}`);
          end();
          resolve(Buffer.concat(chunks).toString('utf8'));
        });
      });
      const value = output.replace(/\r?\n$/u, '');
      if (value === '') throw new NotGiven(`${name} printed nothing`);
      return { values: single(value), again_ms: Math.max(duration(refresh) ?? 0, refresh_ms_min) };
    },
    close() {
      for (const stop of [...running]) stop();
    },
  };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
