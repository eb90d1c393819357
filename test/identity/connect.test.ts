import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { apiServer, kubeconfig } from '../support/api-server.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { startWebUpstream, type WebUpstream } from '../support/web.js';
import { clientTest, onPath, runProgram } from '../clients/support.js';

/** `sallyport connect` as people run it: the program itself, with the clients that it starts. */

const program = join(import.meta.dirname, '../../bin/sallyport.js');

let folder: string;
let state: TestDatabase;
let host: SshHost;
let cluster: WebUpstream;
let gateway: TestGateway;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-people-')));
  state = await createDatabase();
  host = await startSshHost(folder);
  cluster = await startWebUpstream();
  cluster.answers(apiServer);
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy: {
      'ssh.rego': 'package policy.ssh\n\nallow contains {"code": "everything"} if input.version == 1\n',
      'kubernetes.rego': 'package policy.kubernetes\n\nallow contains {"code": "everything"} if input.version == 1\n',
    },
    config: {
      listen: { ssh: '127.0.0.1:0', https: '127.0.0.1:0' },
      state: { directory: './.sallyport', postgres: state.url },
      targets: [
        {
          name: 'build',
          protocol: 'ssh',
          upstream: {
            host: host.host,
            port: host.port,
            user: host.user,
            password: host.password,
            host_key: host.fingerprint,
          },
        },
        { name: 'cloud', protocol: 'kubernetes', upstream: { kubeconfig: kubeconfig(cluster.port) } },
      ],
    },
  });
  await gateway.gateway.database.ready(20_000);
  const { address } = gateway.gateway.listeners.find(({ protocol }) => protocol === 'https')!;
  env = {
    SALLYPORT_URL: `https://${address.host}:${String(address.port)}`,
    SALLYPORT_CA: join(gateway.folder, '.sallyport', 'https.pem'),
    SALLYPORT_TOKEN: await gateway.token({ subject: 'ada', kind: 'human' }),
    TMPDIR: folder,
  };
}, 60_000);
afterAll(async () => {
  await gateway?.close();
  await host?.close();
  await cluster?.close();
  await state?.drop();
  await rm(folder, { recursive: true, force: true });
});

const sallyport = (...words: string[]) => runProgram(process.execPath, [program, ...words], { env });
/** What is left of the folders in which files for clients stood. */
const left = async () => (await readdir(folder)).filter((name) => name.startsWith('sallyport-connect-'));

const group = 'sallyport connect';
describe(group, () => {
  clientTest(group, "starts ssh, which believes the gateway's own key and no other", async () => {
    expect(await sallyport('connect', 'build', '--', 'echo', 'hello', ';', 'exit', '7')).toEqual({
      code: 7,
      stdout: 'hello\n',
      stderr: '',
    });
    expect(host.log).toEqual([expect.stringContaining('hello')]);
    expect(await left()).toEqual([]);
    // Another program's view of it: the command line names no secret, and the key has to be the one that is known.
    const spy = join(folder, 'bin');
    await rm(spy, { recursive: true, force: true });
    await runProgram('mkdir', [spy]);
    const script = `#!/bin/sh\nprintf '%s\\n' "$@" > '${join(folder, 'words')}'\nfor word; do case "$word" in UserKnownHostsFile=*) file=\${word#*=};; esac; done\nsed 's/AAAA[^ ]*/AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/' "$file" > "$file.other" && mv "$file.other" "$file"\nexec ${onPath('ssh') ?? 'ssh'} "$@"\n`;
    await writeFile(join(spy, 'ssh'), script, { mode: 0o755 });
    const ran = await runProgram(process.execPath, [program, 'connect', 'build', '--', 'true'], {
      env: { ...env, PATH: `${spy}:${process.env['PATH'] ?? ''}` },
    });
    expect(ran).toMatchObject({
      code: 255,
      stderr: expect.stringContaining('Host key verification failed') as unknown,
    });
    expect(host.log).toHaveLength(1);
    expect(await readFile(join(folder, 'words'), 'utf8')).not.toMatch(/spt_|eyJ/u);
  });

  clientTest(group, 'starts kubectl, with the ticket in a file that goes with it', async () => {
    const ran = await sallyport('connect', 'cloud', '--', '-n', 'shop', 'get', 'pod', 'web', '-o', 'name');
    expect(ran).toEqual({ code: 0, stdout: 'pod/web\n', stderr: '' });
    expect(await left()).toEqual([]);
  });

  clientTest(group, 'makes a kubeconfig without a secret, which has kubectl ask for a ticket', async () => {
    const { code, stdout } = await sallyport('kubeconfig', 'cloud', '--namespace', 'shop');
    expect(code).toBe(0);
    expect(stdout).not.toContain(env['SALLYPORT_TOKEN']);
    const [config, bin] = [join(folder, 'kubeconfig'), join(folder, 'plugins')];
    await writeFile(config, stdout);
    await mkdir(bin);
    const shim = `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`;
    await writeFile(join(bin, 'sallyport'), shim, { mode: 0o755 });
    const path = `${bin}:${process.env['PATH'] ?? ''}`;
    const kubectl = (...words: string[]) =>
      runProgram('kubectl', ['--kubeconfig', config, '--cache-dir', join(folder, 'cache'), ...words], {
        env: { ...env, PATH: path },
      });
    expect(await kubectl('get', 'pod', 'web', '-o', 'name')).toEqual({ code: 0, stdout: 'pod/web\n', stderr: '' });
    expect((await sallyport('kubeconfig', 'build')).stderr).toContain('is no Kubernetes target');
    expect((await sallyport('token', '--kubernetes')).stderr).toContain('--kubernetes --target NAME');
  });

  test('prints a section for ssh_config, with the key that is to be known', async () => {
    const { code, stdout } = await sallyport('env', 'build', '--format', 'ssh_config');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^# for known_hosts: \[127\.0\.0\.1\]:\d+ ssh-ed25519 AAAA\S+\n# for known_hosts: @cert-authority \S+ ssh-ed25519 AAAA\S+\nMatch originalhost build exec "sallyport ssh-cert build [^"\n]+"\nHost build\n {2}HostName 127\.0\.0\.1\n {2}Port \d+\n {2}User build\n/u,
    );
    expect((await sallyport('env', 'build', '--format', 'pg_service')).stderr).toContain('is no Postgres target');
  });
});
