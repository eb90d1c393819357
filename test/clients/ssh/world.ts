import { spawn } from 'node:child_process';
import { chmod, copyFile, cp, mkdir, mkdtemp, realpath, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestGateway, type PolicyFiles, type TestGateway } from '../../support/gateway.js';
import { runProgram, type Outcome } from '../support.js';
import type { Behaviour } from './behaviours.js';
import { startSshd, type Sshd } from './sshd.js';

export type Way = 'direct' | 'gateway';

/** OpenSSH's server and client, and a gateway between them where a script is to go through it. */
export interface SshWorld {
  readonly sshd: Sshd;
  readonly gateway: TestGateway;
  readonly folder: string;
  /** Runs a script of a table; `how` says which way `h` is. */
  run(behaviour: Behaviour, how: Way): Promise<Outcome>;
  /** What a script needs to know, beside where its folders are. */
  environment(how: Way): Promise<Readonly<Record<string, string>>>;
  close(): Promise<void>;
}

const everything = {
  'ssh.rego': 'package policy.ssh\n\nallow contains {"code": "everything"} if true\n',
};
const random_bytes = 2_000_000;
/** What start-up files of the account say by themselves is no answer: pyenv complains now and then where many shells begin at once. */
const fromStartUp = /^.*(?:\/\.pyenv\/|pyenv: ).*\n/gm;

export async function openSshWorld(policy: PolicyFiles = everything): Promise<SshWorld> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-openssh-')));
  await mkdir(join(folder, 'keys'));
  const sshd = await startSshd(join(folder, 'keys'));
  const gateway = await startTestGateway({
    protocol: 'ssh',
    policy,
    config: {
      listen: { ssh: '127.0.0.1:0' },
      targets: [
        {
          name: 'build',
          protocol: 'ssh',
          upstream: {
            host: sshd.host,
            port: sshd.port,
            user: sshd.user,
            private_key: sshd.privateKey,
            host_key: sshd.fingerprint,
          },
        },
      ],
    },
  });
  const echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket));
  await listening(echo, { port: 0, host: '127.0.0.1' });
  await writeConfigurations(folder, sshd, gateway);
  const template = join(folder, 'template');
  await fillFolder(template);
  const local = join(folder, 'local');
  const remote = join(folder, 'remote');

  const environment = async (how: Way) => ({
    F: join(folder, how),
    SSH_ASKPASS: join(folder, 'askpass'),
    SSH_ASKPASS_REQUIRE: 'force',
    TOKEN: await gateway.token(),
    GIT_SSH_COMMAND: `ssh -F ${join(folder, how)}`,
    GIT_CONFIG_GLOBAL: join(folder, 'gitconfig'),
    LANG: 'C.UTF-8',
  });

  return {
    sshd,
    gateway,
    folder,
    environment,
    async run({ run }, how) {
      await rm(local, { recursive: true, force: true });
      await rm(remote, { recursive: true, force: true });
      await cp(template, local, { recursive: true, preserveTimestamps: true });
      await mkdir(remote);
      const socket = createServer({ allowHalfOpen: true }, (one) => one.on('error', () => undefined).pipe(one));
      await listening(socket, { path: join(local, 'echo.sock') });
      const port = await freePort();
      try {
        const outcome = await runProgram('bash', ['-c', run], {
          env: {
            ...(await environment(how)),
            L: local,
            R: remote,
            P: String(port),
            E: String((echo.address() as AddressInfo).port),
          },
        });
        return { ...outcome, stderr: outcome.stderr.replaceAll(fromStartUp, '') };
      } finally {
        await new Promise((resolve) => socket.close(resolve));
      }
    },
    async close() {
      echo.close();
      await gateway.close();
      await sshd.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function listening(server: Server, where: { port?: number; host?: string; path?: string }): Promise<void> {
  return new Promise((resolve, reject) => server.once('error', reject).listen(where, resolve));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await listening(server, { port: 0, host: '127.0.0.1' });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function writeConfigurations(folder: string, sshd: Sshd, gateway: TestGateway): Promise<void> {
  const place = (name: string) => join(folder, name);
  await writeFile(place('identity'), sshd.privateKey, { mode: 0o600 });
  await writeFile(place('askpass'), '#!/bin/sh\nprintf "%s\\n" "$TOKEN"\n');
  await chmod(place('askpass'), 0o755);
  await writeFile(
    place('gitconfig'),
    '[user]\nname = T\nemail = t@example.com\n[safe]\ndirectory = *\n[init]\ndefaultBranch = main\n',
  );
  const common = ['StrictHostKeyChecking no', 'UserKnownHostsFile /dev/null', 'LogLevel ERROR', 'ConnectTimeout 60'];
  await writeFile(
    place('direct'),
    [
      'Host h',
      'HostName 127.0.0.1',
      `Port ${sshd.port}`,
      `User ${sshd.user}`,
      `IdentityFile ${place('identity')}`,
      'IdentitiesOnly yes',
      ...common,
    ].join('\n'),
  );
  await writeFile(
    place('gateway'),
    [
      'Host h',
      `HostName ${gateway.host}`,
      `Port ${gateway.port}`,
      'User build',
      'PubkeyAuthentication no',
      ...common,
    ].join('\n'),
  );
}

/** What every script finds in $L. */
async function fillFolder(local: string): Promise<void> {
  const place = (name: string) => join(local, name);
  await mkdir(place('tree/below'), { recursive: true });
  const random = Buffer.alloc(random_bytes);
  // Every byte, and no pattern that would compress away; the same in each run.
  let state = 1;
  for (let at = 0; at < random.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    random[at] = state >>> 24;
  }
  await writeFile(place('random'), random);
  await writeFile(place('empty'), '');
  await writeFile(place('a b'), 'blanks\n');
  for (const name of ['one.txt', 'two.txt', 'below/three']) await writeFile(place(`tree/${name}`), `${name}\n`);
  await script(place('tree/run'), 'true');
  const then = new Date('2026-01-02T03:04:05Z');
  await utimes(place('tree/run'), then, then);
  await script(place('resized.sh'), 'trap "stty size; exit" WINCH\necho ready\nwhile :; do sleep 0.1; done');
  await script(
    place('interrupted.sh'),
    'trap "echo interrupted; exit 3" INT\necho ready\nread -r line\necho "got $line"\nwhile :; do sleep 0.1; done',
  );
  for (const name of ['terminal.py', 'forward.py']) await copyFile(join(import.meta.dirname, name), place(name));
  await repository(place('repository.git'), local);
}

async function script(path: string, body: string): Promise<void> {
  await writeFile(path, `#!/bin/bash\n${body}\n`);
  await chmod(path, 0o755);
}

/** A bare repository with one commit. */
async function repository(path: string, folder: string): Promise<void> {
  const work = join(folder, 'work');
  const run = `git init -q -b main ${work} && cd ${work} && echo content > file && git add file &&
    git -c user.name=T -c user.email=t@example.com commit -q -m first && git clone -q --bare ${work} ${path} &&
    git --git-dir ${path} config uploadarchive.allowUnreachable true`;
  await new Promise<void>((resolve, reject) => {
    spawn('bash', ['-c', run], { stdio: 'ignore' })
      .once('error', reject)
      .once('close', (code) => (code === 0 ? resolve() : reject(new Error(`git ended with ${String(code)}`))));
  });
}
