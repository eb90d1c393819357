import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWeb, type Web } from '../support/web.js';
import { installed, registryPolicy, serveRegistry } from './crane-registry.js';
import { clientTest, onPath, runProgram } from './support.js';

/** podman, buildah and skopeo as they are, against a gateway in front of a real registry: images made of nothing, kept as plain folders. */

const policy = { 'registry.rego': registryPolicy };

const group = 'podman, buildah and skopeo, through the gateway,';

describe(group, () => {
  let web: Web;
  let registry: ChildProcess;
  let folder: string;
  let gate: string;
  let direct: string;
  let token: string;
  let storage: readonly string[];
  let trusting: readonly string[];

  beforeAll(async () => {
    const crane = onPath('podman') === undefined ? '' : installed('crane');
    if (crane === '') return;
    folder = await mkdtemp(join(tmpdir(), 'sallyport-podman-'));
    ({ registry, direct } = await serveRegistry(crane));
    web = await startWeb({
      policy,
      protocol: 'registry',
      people: true,
      upstream: () => ({ url: `http://${direct}`, credential: { basic: 'gateway:its-own-password' } }),
    });
    gate = `127.0.0.1:${String(web.port)}`;
    token = await web.gateway.token({ expiresIn: 1_800 });
    await mkdir(join(folder, 'certificates'));
    await writeFile(join(folder, 'certificates', 'ca.crt'), web.ca);
    await writeFile(join(folder, 'file'), 'of an image that has nothing else');
    await writeFile(join(folder, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    storage = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
    trusting = ['--cert-dir', join(folder, 'certificates'), '--authfile', join(folder, 'auth.json')];
  }, 600_000);
  afterAll(async () => {
    registry?.kill();
    await web?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const podman = (command: string, ...parameters: string[]) =>
    runProgram('podman', [...storage, command, ...trusting, ...parameters]);
  const buildah = (command: string, ...parameters: string[]) =>
    runProgram('buildah', [...storage, command, ...parameters]);
  const skopeo = (command: string, ...parameters: string[]) => runProgram('skopeo', [command, ...parameters]);
  const copy = (from: string, to: string) => {
    const [, place = '', ...auth] = trusting;
    const both = ['--src-cert-dir', place, '--dest-cert-dir', place, ...auth];
    return skopeo('copy', ...both, '--preserve-digests', from, to);
  };

  async function succeeds(running: ReturnType<typeof runProgram>): Promise<string> {
    const { code, stdout, stderr } = await running;
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    return stdout.trim();
  }

  /** An image of one file, under this name. */
  async function build(name: string, ...labels: string[]): Promise<void> {
    const lines = ['FROM scratch', 'COPY file /file', ...labels.map((label) => `LABEL ${label}`)];
    await writeFile(join(folder, 'Containerfile'), `${lines.join('\n')}\n`);
    await succeeds(buildah('build', '--isolation', 'chroot', '--tag', name, folder));
  }

  const login = () =>
    runProgram('podman', ['login', ...trusting, '-u', 'agent', '--password-stdin', gate], { input: token });

  clientTest(group, 'sign in with the token as a password, push, pull, copy, list and remove', async () => {
    const wrong = await runProgram('podman', ['login', ...trusting, '-u', 'agent', '--password-stdin', gate], {
      input: 'no-token',
    });
    expect(wrong.code).not.toBe(0);
    expect(await succeeds(login())).toContain('Login Succeeded');
    await build('localhost/app:v1');
    await succeeds(podman('push', 'localhost/app:v1', `${gate}/cloud/team/app:v1`));
    const digest = await succeeds(
      skopeo('inspect', ...trusting, '--format', '{{.Digest}}', `docker://${gate}/cloud/team/app:v1`),
    );
    const there = await succeeds(
      skopeo('inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${direct}/team/app:v1`),
    );
    expect(digest).toBe(there);
    await succeeds(podman('pull', '--quiet', `${gate}/cloud/team/app@${digest}`));
    await succeeds(runProgram('podman', [...storage, 'rmi', '--all', '--force']));
    await succeeds(podman('pull', '--quiet', `${gate}/cloud/team/app:v1`));
    await succeeds(buildah('push', ...trusting, `${gate}/cloud/team/app:v1`, `docker://${gate}/cloud/team/again:v2`));
    await succeeds(copy(`docker://${gate}/cloud/team/app:v1`, `docker://${gate}/cloud/team/copy:v1`));
    const copied = await succeeds(
      skopeo('inspect', ...trusting, '--format', '{{.Digest}}', `docker://${gate}/cloud/team/copy:v1`),
    );
    expect(copied).toBe(digest);
    const tags = JSON.parse(
      await succeeds(skopeo('list-tags', ...trusting, `docker://${gate}/cloud/team/copy`)),
    ) as object;
    expect(tags).toMatchObject({ Tags: ['v1'] });
    const into = join(folder, 'taken');
    await succeeds(copy(`docker://${gate}/cloud/team/copy:v1`, `dir:${into}`));
    const manifest = JSON.parse(await readFile(join(into, 'manifest.json'), 'utf8')) as {
      layers: { digest: string }[];
    };
    expect(await readdir(into)).toContain(manifest.layers[0]?.digest.replace('sha256:', ''));
    await succeeds(skopeo('delete', ...trusting, `docker://${gate}/cloud/team/copy:v1`));
    const gone = await skopeo('inspect', ...trusting, `docker://${gate}/cloud/team/copy@${digest}`);
    expect(gone.code).not.toBe(0);
    await succeeds(runProgram('podman', ['logout', '--authfile', join(folder, 'auth.json'), gate]));
    const out = await podman('pull', `${gate}/cloud/team/app:v1`);
    expect(out.code).not.toBe(0);
    expect(out.stderr).toMatch(/unauthorized|authentication required/i);
  });

  clientTest(group, 'are told what policy says, and wait for a release that people approve', async () => {
    await succeeds(login());
    await build('localhost/app:plain');
    const push = (tag: string, image = 'localhost/app:plain') => podman('push', image, `${gate}/cloud/${tag}`);
    const elsewhere = await push('other/app:v1');
    expect(elsewhere.code).not.toBe(0);
    expect(elsewhere.stderr).toContain('push below team/');
    const unlabelled = await push('team/app:labelled');
    expect(unlabelled.code).not.toBe(0);
    expect(unlabelled.stderr).toContain('say whose it is');
    await build('localhost/app:owned', 'org.example.owner=me');
    await succeeds(push('team/app:labelled', 'localhost/app:owned'));
    const release = push('team/app:release', 'localhost/app:owned');
    const { id } = await web.waiting();
    await web.answer('approve', id);
    await succeeds(release);
  });

  clientTest(group, 'push an image of several platforms, and Docker’s own form of a manifest', async () => {
    await succeeds(login());
    await build('localhost/app:one');
    await succeeds(buildah('manifest', 'create', 'localhost/list:v1', 'localhost/app:one'));
    const all = ['manifest', 'push', '--all', ...trusting, 'localhost/list:v1', `docker://${gate}/cloud/team/list:v1`];
    await succeeds(runProgram('buildah', [...storage, ...all]));
    const raw = await succeeds(skopeo('inspect', '--raw', ...trusting, `docker://${gate}/cloud/team/list:v1`));
    expect(JSON.parse(raw)).toMatchObject({ manifests: [{ digest: expect.stringMatching(/^sha256:/) }] });
    await succeeds(podman('push', '--format', 'v2s2', 'localhost/app:one', `${gate}/cloud/team/docker:v1`));
    const docker = await succeeds(skopeo('inspect', '--raw', ...trusting, `docker://${gate}/cloud/team/docker:v1`));
    expect(JSON.parse(docker)).toMatchObject({ mediaType: 'application/vnd.docker.distribution.manifest.v2+json' });
  });
});
