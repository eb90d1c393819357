import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { refusal } from './error.js';
import { findOpa, type FindOptions } from './opa.js';
import { packageRoot } from './package-root.js';
import { runSandboxed } from './sandbox.js';

/**
 * One module of Rego that was put together here, as `opa fmt` writes it, checked against the schemas of the input.
 *
 * @throws BundleError where `opa check --strict` finds something in it, and where there is no opa.
 */
export async function formattedModule(text: string, options: FindOptions = {}): Promise<string> {
  const opa = await findOpa(options);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-module-'));
  try {
    await writeFile(path.join(folder, 'module.rego'), text);
    const run = async (...args: string[]) => {
      const done = await runSandboxed(opa, [...args, 'module.rego'], { cwd: folder });
      if (done.status !== 0) throw refusal('opa', `opa ${args[0] ?? ''}: ${(done.stderr || done.stdout).trim()}`);
      return done.stdout;
    };
    await run('check', '--strict', '--schema', path.join(packageRoot, 'rego/schemas'));
    return await run('fmt');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
