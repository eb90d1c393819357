import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import ssh2 from 'ssh2';
import { runCommandLine } from '../../gateway/cli/index.js';
import { parseCertificate, WireReader } from '../../gateway/openssh/index.js';
import { makeKey, utils } from '../../gateway/protocols/ssh/library.js';
import { presentMinted, type Minted } from '../../gateway/protocols/ssh/minted.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { clientTest, runProgram } from '../clients/support.js';

/** `sallyport ssh-cert` and OpenSSH's own client: from a token to a command on the host, without a password. */

const program = join(import.meta.dirname, '../../bin/sallyport.js');
const group = 'ssh with a certificate';

let folder: string;
let host: SshHost;
let gateway: TestGateway;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-cert-')));
  host = await startSshHost(folder);
  const upstream = { host: host.host, port: host.port, user: host.user, password: host.password };
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy: {
      'ssh.rego': `package policy.ssh

allow contains {"code": "with_a_purpose"} if {
	input.principal.purpose == "tests"
	input.target.name == "build"
}
`,
    },
    config: {
      listen: { ssh: '127.0.0.1:0', https: '127.0.0.1:0' },
      targets: ['build', 'other'].map((name) => ({
        name,
        protocol: 'ssh',
        upstream: { ...upstream, host_key: host.fingerprint },
      })),
    },
  });
  const { address } = gateway.gateway.listeners.find(({ protocol }) => protocol === 'https')!;
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await writeFile(join(bin, 'sallyport'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`, { mode: 0o755 });
  env = {
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    SALLYPORT_URL: `https://${address.host}:${String(address.port)}`,
    SALLYPORT_CA: join(gateway.folder, '.sallyport', 'https.pem'),
    SALLYPORT_TOKEN: await gateway.token({ subject: 'ada', kind: 'human' }),
    XDG_STATE_HOME: join(folder, 'state'),
  };
}, 60_000);
afterAll(async () => {
  await gateway?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

async function sallyport(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [[] as string[], [] as string[]];
  const around = {
    env,
    fallbackFolder: folder,
    stdout: { write: (text: string) => stdout.push(text) },
    stderr: { write: (text: string) => stderr.push(text) },
  };
  const code = await runCommandLine(words, around);
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

async function filesOf(target: string): Promise<{ key: string; certificate: string }> {
  const at = join(folder, 'state', 'sallyport', 'ssh');
  const [name = ''] = await readdir(at);
  return { key: join(at, name, 'id_ed25519'), certificate: join(at, name, `${target}-cert.pub`) };
}

async function certificateOf(target: string): Promise<Buffer> {
  const line = await readFile((await filesOf(target)).certificate, 'utf8');
  return Buffer.from(line.split(' ')[1] ?? '', 'base64');
}

/** A client's configuration as `sallyport env` prints it, and of what it says of the gateway's key the lines that fit. */
async function configure(target: string, fits: RegExp): Promise<string> {
  const { stdout, stderr } = await sallyport('env', target, '--format', 'ssh_config');
  expect(stderr).toBe('');
  const known = join(folder, 'known_hosts');
  const lines = [...stdout.matchAll(/^# for known_hosts: (.*)$/gmu)]
    .map(([, line = '']) => line)
    .filter((line) => fits.test(line));
  expect(lines).toHaveLength(1);
  await writeFile(known, `${lines.join('\n')}\n`);
  const file = join(folder, `${target}.config`);
  const rest = `  UserKnownHostsFile ${known}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n`;
  await writeFile(file, stdout + rest);
  return file;
}

function signIn(shown: Minted, username = 'build'): Promise<void> {
  const client = new ssh2.Client();
  return new Promise<void>((resolve, reject) => {
    client.on('ready', resolve).on('error', reject);
    client.connect({ host: gateway.host, port: gateway.port, username, privateKey: makeKey().private });
    presentMinted(client, shown);
  }).finally(() => client.end());
}

describe(group, () => {
  test('sallyport makes a key that nobody else can read, and leaves a certificate that is good as it is', async () => {
    expect(await sallyport('ssh-cert', 'build', '--purpose', 'tests')).toMatchObject({ code: 0, stderr: '' });
    const { key, certificate } = await filesOf('build');
    expect((await stat(key)).mode & 0o777).toBe(0o600);
    const before = await readFile(certificate, 'utf8');
    expect(await sallyport('ssh-cert', 'build')).toMatchObject({ code: 0, stdout: `${certificate}\n` });
    expect(await readFile(certificate, 'utf8')).toBe(before);
    expect(await sallyport('ssh-cert', 'build', '--purpose', 'tests', '--force')).toMatchObject({ code: 0 });
    expect(await readFile(certificate, 'utf8')).not.toBe(before);
    expect(parseCertificate(await certificateOf('build'))).toMatchObject({ kind: 'user', principals: ['build'] });
    expect(await sallyport('ssh-cert', 'nowhere')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no SSH target "nowhere"') as unknown,
    });
    expect(JSON.stringify(await gateway.records())).toContain('ssh_certificate_issue');
  });

  test('is nothing without its key, for another user name, or cut off', async () => {
    const own = utils.parseKey(await readFile((await filesOf('build')).key));
    if (own instanceof Error) throw own;
    const certificate = await certificateOf('build');
    const other = generateKeyPairSync('ed25519').privateKey;
    await signIn({ certificate, privateKey: createPrivateKey(own.getPrivatePEM()) });
    await expect(signIn({ certificate, privateKey: other })).rejects.toThrow('authentication');
    // The library hides nothing of this from the gate: it is what a client could send.
    const key = createPrivateKey(own.getPrivatePEM());
    await expect(signIn({ certificate, privateKey: key }, 'other')).rejects.toThrow('authentication');
    await expect(signIn({ certificate: certificate.subarray(0, -1), privateKey: key })).rejects.toThrow(
      'authentication',
    );
  });

  clientTest(group, 'signs in at its target, with its purpose, until it is revoked', async () => {
    await sallyport('ssh-cert', 'build', '--purpose', 'tests');
    const config = await configure('build', /^@cert-authority/u);
    // All that is known of the gateway is who vouches for its key.
    const ssh = () => runProgram('ssh', ['-F', config, 'build', 'echo', 'hello'], { env });
    expect(await ssh()).toEqual({ code: 0, stdout: 'hello\n', stderr: '' });
    expect(host.log.at(-1)).toContain('hello');

    const option = parseCertificate(await certificateOf('build')).criticalOptions.get('token@sallyport') as Buffer;
    const claims = JSON.parse(
      Buffer.from(new WireReader(option).text().split('.')[1] ?? '', 'base64url').toString(),
    ) as {
      jti: string;
    };
    await gateway.gateway.database.ready(60_000);
    const who = { principal: { subject: 'root', issuer: 'https://idp.example' }, expires_ms: Date.now() + 60_000 };
    await gateway.gateway.revocations.revoke({ jti: claims.jti }, who as never);
    expect(await ssh()).toMatchObject({ code: 255, stderr: expect.stringContaining('Permission denied') as unknown });
  });

  clientTest(group, 'is renewed by ssh itself, and good for no other target', async () => {
    const config = await configure('other', /^\[127/u);
    // It signs in, and policy says no.
    const ran = await runProgram('ssh', ['-F', config, 'other', 'true'], { env });
    expect(ran).toMatchObject({ code: 126, stderr: expect.stringContaining('denied by policy') as unknown });
    const { certificate } = await filesOf('other');
    const text = (await readFile(config, 'utf8')).replace('User other', 'User build');
    await writeFile(config, text);
    expect(text).toContain(`CertificateFile "${certificate}"`);
    expect(await runProgram('ssh', ['-F', config, 'other', 'true'], { env })).toMatchObject({
      code: 255,
      stderr: expect.stringContaining('Permission denied') as unknown,
    });
  });
});
