import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeTar } from '../../bundles/tar.js';
import { until } from '../support/approvals-side.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { startWeb, type Web } from '../support/web.js';
import { installed, registryPolicy, serveRegistry } from './crane-registry.js';
import { clientTest, onPath, runProgram } from './support.js';

/** docker as it is, with a daemon of its own, against a gateway in front of a real registry. No container runs. */

const policy = { 'registry.rego': registryPolicy };

const group = 'docker, through the gateway,';
const layer_bytes = 12 * 1024 * 1024;

describe(group, () => {
  let web: Web;
  let registry: ChildProcess;
  /** One whose repositories have each blobs of their own. */
  let strict: TestRegistry;
  let daemon: ChildProcess;
  let folder: string;
  let gate: string;
  let direct: string;
  let token: string;

  beforeAll(async () => {
    const crane = ['docker', 'dockerd'].map(onPath).includes(undefined) ? '' : installed('crane');
    if (crane === '') return;
    folder = await mkdtemp(join(tmpdir(), 'sallyport-docker-'));
    ({ registry, direct } = await serveRegistry(crane));
    strict = await startRegistry();
    web = await startWeb({
      policy,
      protocol: 'registry',
      people: true,
      config: {
        targets: [
          { name: 'cloud', protocol: 'registry', upstream: { url: `http://${direct}` } },
          { name: 'strict', protocol: 'registry', upstream: { url: `http://127.0.0.1:${String(strict.port)}` } },
        ],
      },
    });
    gate = `127.0.0.1:${String(web.port)}`;
    token = await web.gateway.token({ expiresIn: 1_800 });
    const places = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')];
    const own = ['-H', socket(), '--pidfile', join(folder, 'pid'), ...places];
    const bare = ['--storage-driver', 'vfs', '--bridge', 'none', '--iptables=false', '--ip6tables=false'];
    daemon = spawn('dockerd', [...own, ...bare, '--ip-forward=false'], { stdio: 'ignore' });
    await until(async () => (await docker('version')).code === 0);
  }, 600_000);
  afterAll(async () => {
    registry?.kill();
    await web?.close();
    await strict?.close();
    if (daemon !== undefined) {
      daemon.kill();
      await once(daemon, 'exit');
    }
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const socket = () => `unix://${join(folder, 'docker.sock')}`;
  const docker = (...parameters: string[]) => dockerWith('', ...parameters);
  const dockerWith = (input: string, ...parameters: string[]) =>
    runProgram('docker', ['-H', socket(), '--config', folder, ...parameters], { input });

  async function succeeds(...parameters: string[]): Promise<string> {
    const { code, stdout, stderr } = await docker(...parameters);
    expect({ parameters, code, stderr: code === 0 ? '' : stderr }).toEqual({ parameters, code: 0, stderr: '' });
    return stdout.trim();
  }

  /** An image of one layer, under this name. */
  async function image(name: string): Promise<void> {
    const tar = join(folder, 'layer.tar');
    await writeFile(tar, writeTar(new Map([['file', randomBytes(layer_bytes)]])));
    await succeeds('import', tar, name);
  }

  const login = (password: string) => dockerWith(password, 'login', '-u', 'agent', '--password-stdin', gate);

  clientTest(
    group,
    'signs in with the token as a password, pushes, pulls by tag and digest, and signs out',
    async () => {
      expect((await login('no-token')).code).not.toBe(0);
      expect((await login(token)).stdout).toContain('Login Succeeded');
      await image(`${gate}/cloud/team/app:v1`);
      const [digest = ''] = /sha256:[0-9a-f]{64}/.exec(await succeeds('push', `${gate}/cloud/team/app:v1`)) ?? [];
      await succeeds('image', 'rm', `${gate}/cloud/team/app:v1`);
      expect(await succeeds('pull', `${gate}/cloud/team/app:v1`)).toContain(digest);
      await succeeds('pull', `${gate}/cloud/team/app@${digest}`);
      await succeeds('pull', `${direct}/team/app@${digest}`);
      await succeeds('logout', gate);
      // Of a registry on this machine docker tries http:// last, and shows what came of that.
      expect((await docker('pull', `${gate}/cloud/team/app:v1`)).code).not.toBe(0);
    },
  );

  clientTest(
    group,
    'mounts a layer that another repository has, and brings it where that is of another target',
    async () => {
      await login(token);
      await image(`${gate}/strict/team/app:v1`);
      await succeeds('push', `${gate}/strict/team/app:v1`);
      await succeeds('tag', `${gate}/strict/team/app:v1`, `${gate}/strict/team/other:v1`);
      expect(await succeeds('push', `${gate}/strict/team/other:v1`)).toContain('Mounted from strict/team/app');
      expect(strict.heard.map(({ line }) => line)).toContainEqual(expect.stringMatching(/^POST .*[?&]mount=sha256/));
      await succeeds('tag', `${gate}/strict/team/app:v1`, `${gate}/cloud/team/elsewhere:v1`);
      expect(await succeeds('push', `${gate}/cloud/team/elsewhere:v1`)).not.toContain('Mounted');
      await succeeds('pull', `${direct}/team/elsewhere:v1`);
    },
  );

  clientTest(group, 'is told what policy says, and waits for a release that people approve', async () => {
    await login(token);
    await image(`${gate}/cloud/other/app:v1`);
    const elsewhere = await docker('push', `${gate}/cloud/other/app:v1`);
    expect(elsewhere.code).not.toBe(0);
    expect(elsewhere.stderr).toContain('push below team/');
    await succeeds('tag', `${gate}/cloud/other/app:v1`, `${gate}/cloud/team/app:release`);
    const release = succeeds('push', `${gate}/cloud/team/app:release`);
    const { id } = await web.waiting();
    await web.answer('approve', id);
    expect(await release).toContain('release: digest: sha256:');
  });
});
