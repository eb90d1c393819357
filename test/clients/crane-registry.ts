import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';

/** The registry that comes with crane: a real one, in memory. */

/** Where a client is that probe.mjs installs; empty where it cannot be had. */
export const installed = (client: string): string =>
  spawnSync('node', [join(import.meta.dirname, 'probe.mjs'), client], { encoding: 'utf8' }).stdout.trim();

export async function serveRegistry(crane: string): Promise<{ registry: ChildProcess; direct: string }> {
  const registry = spawn(crane, ['registry', 'serve', '--address', '127.0.0.1:0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return { registry, direct: `127.0.0.1:${await portOf(registry)}` };
}

/** The registry says it on its standard error, once it listens. */
function portOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const [, port] = /serving on port (\d+)/.exec(text) ?? [];
      if (port !== undefined) resolve(port);
    });
    child.once('exit', () => reject(new Error(`the registry ended: ${text}`)));
  });
}
