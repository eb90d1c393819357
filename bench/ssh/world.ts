import type { ChildProcess } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startSshd, type Sshd } from '../../test/clients/ssh/sshd.js';
import { createIdentityProvider } from '../../test/support/idp.js';
import { end, run, said } from '../processes.js';

/** A way to the host: straight, or through a proxy. */
export interface Subject {
  readonly name: string;
  /** Of the proxy; undefined for the host itself, whose processes come and go with connections. */
  readonly pid: number | undefined;
  /** OpenSSH's configuration, in which `h` is the host. */
  readonly configuration: string;
}

export interface World {
  readonly subjects: readonly Subject[];
  readonly folder: string;
  /** For ssh: how it gets at the token where it asks for a password. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const host = '127.0.0.1';

export async function makeWorld(): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  const processes: ChildProcess[] = [];
  let sshd: Sshd | undefined;
  const stop = async () => {
    await Promise.all(processes.map(end));
    await sshd?.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const keys = join(folder, 'keys');
    await mkdir(keys);
    sshd = await startSshd(keys);
    await writeFile(join(folder, 'identity'), sshd.privateKey, { mode: 0o600 });
    const key = [`User ${sshd.user}`, `IdentityFile ${join(folder, 'identity')}`, 'IdentitiesOnly yes'];
    const relay = run(processes, process.execPath, [
      ...['--import', join(root, 'bench/typescript.mjs'), join(root, 'bench/ssh/relay.ts'), host, String(sshd.port)],
    ]);
    const relayPort = await said(relay, /^(\d+)$/m);
    const { child: gateway, port, token } = await startGateway(folder, sshd, processes);
    const askpass = join(folder, 'askpass');
    await writeFile(askpass, '#!/bin/sh\nprintf "%s\\n" "$BENCH_TOKEN"\n');
    await chmod(askpass, 0o755);
    const subjects = [
      await subject(folder, 'direct', undefined, [`Port ${String(sshd.port)}`, ...key]),
      await subject(folder, 'relay', relay.pid, [`Port ${relayPort}`, ...key]),
      await subject(folder, 'gateway', gateway.pid, [`Port ${port}`, 'User build', 'PubkeyAuthentication no']),
    ];
    const environment = { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force', BENCH_TOKEN: token };
    return { subjects, folder, environment, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function subject(folder: string, name: string, pid: number | undefined, lines: string[]): Promise<Subject> {
  const configuration = join(folder, `${name}.config`);
  const common = ['HostName 127.0.0.1', 'StrictHostKeyChecking no', 'UserKnownHostsFile /dev/null', 'LogLevel ERROR'];
  await writeFile(configuration, ['Host h', ...common, ...lines].join('\n'));
  return { name, pid, configuration };
}

/** As it ships, with the audit on, and a policy that lets everything through. */
async function startGateway(folder: string, sshd: Sshd, processes: ChildProcess[]) {
  const home = join(folder, 'gateway');
  await mkdir(join(home, 'policy'), { recursive: true });
  const rule = 'allow contains {"code": "everything"} if input.version == 1';
  await writeFile(join(home, 'policy/ssh.rego'), `package policy.ssh\n\n${rule}\n`);
  const idp = await createIdentityProvider();
  await idp.writeJwks(join(home, 'jwks.json'));
  await writeFile(join(home, 'key'), sshd.privateKey, { mode: 0o600 });
  await writeFile(
    join(home, 'sallyport.yaml'),
    `listen: {ssh: "${host}:0"}
identity:
  providers:
    - {name: bench, type: oidc, issuer: "${idp.issuer}", audience: ${idp.audience}, jwks: {file: ./jwks.json}, algorithms: [ES256]}
  token_lifetime_max: 1h
policy: {directory: ./policy}
targets:
  - name: build
    protocol: ssh
    upstream: {host: ${host}, port: ${String(sshd.port)}, user: ${sshd.user}, private_key: {file: ./key}, host_key: "${sshd.fingerprint}"}
state: {directory: ./state}
audit: {sinks: [{file: ./audit.jsonl}]}
`,
  );
  const program = [join(root, 'bin/sallyport.js'), 'run', '-c', join(home, 'sallyport.yaml')];
  const child = run(processes, process.execPath, program);
  const port = await said(child, /^sallyport: ssh on \S*:(\d+),/m);
  return { child, port, token: await idp.issueToken({ expiresIn: 3_500 }) };
}
