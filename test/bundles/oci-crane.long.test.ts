import { createEngine } from '#engine';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { keepPolicy, openSource } from '../../bundles/index.js';
import { packageRoot } from '../../bundles/package-root.js';
import { buildCommand } from '../../gateway/cli/build.js';
import { clientTest, runProgram } from '../clients/support.js';
import { cleanUp, compiler, goodPolicy, scratch, writeTree, type Files } from './support.js';

/** What `sallyport build` wrote, pushed by crane to a registry that others wrote, is policy, and nothing else there is. */

const group = 'policy from a real registry,';

describe(group, () => {
  let crane: string;
  let registry: ChildProcess | undefined;
  let host: string;
  let folder: string;
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();

  beforeAll(async () => {
    crane = spawnSync('node', [path.join(packageRoot, 'test/clients/probe.mjs'), 'crane'], { encoding: 'utf8' }).stdout.trim(); // prettier-ignore
    if (crane === '') return;
    folder = await scratch();
    await writeFile(path.join(folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    registry = spawn(crane, ['registry', 'serve', '--address', '127.0.0.1:0'], { stdio: ['ignore', 'ignore', 'pipe'] });
    host = `127.0.0.1:${await portOf(registry)}`;
  }, 600_000);
  afterAll(async () => {
    registry?.kill();
    await cleanUp();
  });

  async function push(files: Files, signed: boolean): Promise<string> {
    const from = await scratch();
    await writeTree(from, files);
    const output = path.join(folder, 'policy.tar.gz');
    const silent = { write: () => undefined };
    const options = { output, ...(signed && { signingKey: path.join(folder, 'key.pem') }) };
    expect(await buildCommand(from, options, { stdout: silent, stderr: silent, env: process.env })).toBe(0);
    const parameters = ['append', '--oci-empty-base', '--new_layer', output, '--new_tag', `${host}/team/policy:main`];
    const { code, stdout, stderr } = await runProgram(crane, parameters, {});
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    return stdout.trim().split('@sha256:')[1]!;
  }

  clientTest(group, 'a signed bundle is in force, and the last good one stays when another is pushed unsigned', async () => {
    const first = await push(goodPolicy, true);
    const silent = { info: () => {}, warn: () => {}, error: () => {} };
    const signing = { keys: [{ algorithm: 'RS256', pem }] } as const;
    const source = openSource({ oci: { url: `oci://${host}/team/policy:main`, signing } });
    const keeper = await keepPolicy({ source, engine: createEngine(), directory: path.join(folder, 'state'), log: silent, compiler: await compiler() }); // prettier-ignore
    try {
      expect(keeper.status()).toMatchObject({ revision: `oci:${first}`, last: { ok: true, tests: { passed: 1 } } });
      const next = await push({ ...goodPolicy, 'data.yaml': 'secret_tables: [app.keys]\n' }, true);
      source.poke!();
      expect(await keeper.refresh()).toMatchObject({ revision: `oci:${next}` });
      await push({ ...goodPolicy, 'data.yaml': 'secret_tables: [app.others]\n' }, false);
      source.poke!();
      expect(await keeper.refresh()).toMatchObject({ revision: `oci:${next}`, last: { ok: false, error: expect.stringMatching(/not signed/) as unknown } });
    } finally {
      await keeper.close();
    }
  }); // prettier-ignore
});

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
