import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeTar } from '../../bundles/tar.js';
import { startWeb, type Web } from '../support/web.js';
import { installed, registryPolicy, serveRegistry } from './crane-registry.js';
import { clientTest, runProgram } from './support.js';

/** crane as it is, against a gateway in front of a real registry: what it prints, its exit code, and what the registry has. */

const policy = {
  'registry.rego': `${registryPolicy}
deny contains {"code": "unsigned", "message": "sign it first"} if {
  registry.published_tag == "signed"
  not registry.signed
}
`,
};

const group = 'crane, at a registry and through the gateway,';
const large_bytes = 24 * 1024 * 1024;

describe(group, () => {
  let web: Web;
  let registry: ChildProcess;
  let folder: string;
  let crane: string;
  let gate: string;
  let direct: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    crane = installed('crane');
    if (crane === '') return;
    folder = await mkdtemp(join(tmpdir(), 'sallyport-crane-'));
    ({ registry, direct } = await serveRegistry(crane));
    web = await startWeb({
      policy,
      protocol: 'registry',
      people: true,
      upstream: () => ({ url: `http://${direct}`, credential: { basic: 'gateway:password' } }),
    });
    gate = `127.0.0.1:${String(web.port)}`;
    const auth = Buffer.from(`agent:${await web.gateway.token({ expiresIn: 1_800 })}`).toString('base64');
    await writeFile(join(folder, 'config.json'), JSON.stringify({ auths: { [gate]: { auth } } }));
    await writeFile(join(folder, 'ca.pem'), web.ca);
    env = { DOCKER_CONFIG: folder, SSL_CERT_FILE: join(folder, 'ca.pem') };
  }, 600_000);
  afterAll(async () => {
    registry?.kill();
    await web?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const run = (...parameters: string[]) => runProgram(crane, parameters, { env });

  async function succeeds(...parameters: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(...parameters);
    expect({ parameters, code, stderr: code === 0 ? '' : stderr }).toEqual({ parameters, code: 0, stderr: '' });
    return stdout.trim();
  }

  /** A layer with one file in it, as tar has it. */
  async function layer(name: string, bytes: Buffer): Promise<string> {
    const file = join(folder, `${name}.tar`);
    await writeFile(file, writeTar(new Map([['file', bytes]])));
    return file;
  }

  clientTest(group, 'pushes, lists, copies, pulls and removes, byte for byte', async () => {
    const tar = await layer('small', Buffer.from('a small layer'));
    const pushed = await succeeds('append', '--new_layer', tar, '--new_tag', `${gate}/cloud/team/app:v1`);
    expect(pushed).toContain(`${gate}/cloud/team/app@sha256:`);
    const manifest = await succeeds('manifest', `${gate}/cloud/team/app:v1`);
    expect(manifest).toBe(await succeeds('manifest', `${direct}/team/app:v1`));
    expect(await succeeds('digest', `${gate}/cloud/team/app:v1`)).toBe(pushed.split('@')[1]);
    await succeeds('tag', `${gate}/cloud/team/app:v1`, 'v2');
    expect((await succeeds('ls', `${gate}/cloud/team/app`)).split('\n')).toEqual(['v1', 'v2']);
    await succeeds('copy', `${gate}/cloud/team/app:v1`, `${gate}/cloud/team/copy:v1`);
    const one = join(folder, 'one.tar');
    const other = join(folder, 'other.tar');
    await succeeds('export', `${gate}/cloud/team/copy:v1`, one);
    await succeeds('export', `${direct}/team/app:v1`, other);
    expect((await readFile(one)).equals(await readFile(other))).toBe(true);
    await succeeds('delete', `${gate}/cloud/team/copy:v1`);
    expect((await run('digest', `${gate}/cloud/team/copy:v1`)).code).toBe(1);
    await succeeds('validate', '--remote', `${gate}/cloud/team/app:v1`);
  });

  clientTest(group, 'is told what policy says, waits for a release, and signs before it publishes', async () => {
    const tar = await layer('ruled', Buffer.from('a layer under rules'));
    const append = (reference: string) => run('append', '--new_layer', tar, '--new_tag', `${gate}/cloud/${reference}`);
    const elsewhere = await append('other/app:v1');
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.stderr).toContain('DENIED: sallyport: denied by policy: push below team/');

    expect((await append('team/ruled:v1')).code).toBe(0);
    expect((await append('team/ruled:labelled')).stderr).toContain('say whose it is');
    const own = ['mutate', '--label', 'org.example.owner=shop', '--tag', `${gate}/cloud/team/ruled:labelled`];
    await succeeds(...own, `${gate}/cloud/team/ruled:v1`);

    expect((await append('team/ruled:signed')).stderr).toContain('sign it first');
    const digest = await succeeds('digest', `${gate}/cloud/team/ruled:v1`);
    await succeeds('copy', `${gate}/cloud/team/ruled:v1`, `${gate}/cloud/team/ruled:${digest.replace(':', '-')}.sig`);
    expect((await append('team/ruled:signed')).code).toBe(0);

    const released = append('team/ruled:release');
    const { id } = await web.waiting();
    expect((await run('digest', `${direct}/team/ruled:release`)).code).toBe(1);
    await web.answer('approve', id);
    expect((await released).code).toBe(0);
    expect(await succeeds('digest', `${direct}/team/ruled:release`)).toBe(digest);
  });

  clientTest(group, 'brings a large layer in its pieces', async () => {
    const tar = await layer('large', randomBytes(large_bytes));
    await succeeds('append', '--new_layer', tar, '--new_tag', `${gate}/cloud/team/large:v1`);
    await succeeds('validate', '--remote', `${gate}/cloud/team/large:v1`);
  });
});
