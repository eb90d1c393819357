import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Client, type ClientChannel, type SFTPWrapper } from 'ssh2';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller } from '../support/https.js';
import type { TokenOptions } from '../support/idp.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';

/** SSH from a real client's library through the gateway to a host that writes down what reaches it. */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if {
	not input.operation.opaque
	not input.operation.ssh.supervised
}

allow contains {"code": "named"} if input.principal.roles[_] == "all"

deny contains {"code": "no_secrets", "message": "not that file"} if {
	some resource in input.operation.resources
	resource.type == "file"
	endswith(resource.name, "/secret")
}

limit contains {"bytes": 100000} if "little" in input.principal.roles

limit contains {"seconds": 1} if "brief" in input.principal.roles
`,
};

let folder: string;
let host: SshHost;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-')));
  await writeFile(join(folder, 'notes'), 'plain words\n');
  await writeFile(join(folder, 'secret'), 'canary\n');
  await symlink(join(folder, 'secret'), join(folder, 'innocent'));
  await mkdir(join(folder, 'sub'));
  host = await startSshHost(folder);
  const target = (name: string, upstream: object) => ({ name, protocol: 'ssh', upstream });
  const upstream = { host: host.host, port: host.port, user: host.user, password: host.password };
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy,
    config: {
      listen: { ssh: '127.0.0.1:0', https: '127.0.0.1:0' },
      targets: [
        target('build', { ...upstream, host_key: host.fingerprint }),
        target('other', { ...upstream, host_key: `SHA256:${'A'.repeat(43)}` }),
      ],
    },
  });
});
afterAll(async () => {
  await gateway?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Options {
  readonly token?: TokenOptions;
  readonly target?: string;
  readonly password?: string;
}

async function open({ token, target = 'build', password }: Options = {}): Promise<Client> {
  const secret = password ?? (await gateway.token(token));
  const client = new ssh2.Client();
  return new Promise((resolve, reject) => {
    client
      .on('ready', () => resolve(client))
      .on('error', reject)
      .connect({ host: gateway.host, port: gateway.port, username: target, password: secret });
  });
}

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: string | undefined;
}

function collect(channel: ClientChannel): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  let code: number | null = null;
  let signal: string | undefined;
  channel.on('data', (chunk: Buffer) => (stdout += chunk.toString('latin1')));
  channel.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('latin1')));
  channel.on('exit', (given: number | null, name?: string) => {
    code = given;
    signal = name;
  });
  return new Promise((resolve) => channel.once('close', () => resolve({ stdout, stderr, code, signal })));
}

async function run(command: string, options: Options & { input?: Buffer } = {}): Promise<Outcome> {
  const client = await open(options);
  try {
    // At once: the exit may be told in the same breath.
    return await new Promise<Outcome>((resolve, reject) => {
      client.exec(command, (error, channel) => {
        if (error) return reject(error);
        resolve(collect(channel));
        channel.end(options.input);
      });
    });
  } finally {
    client.end();
  }
}

const all: TokenOptions = { roles: ['all'] };

/** What reached the host while something was done. */
async function reached(work: () => Promise<unknown>): Promise<string[]> {
  const before = host.log.length;
  await work();
  return host.log.slice(before);
}

describe('commands', () => {
  test('give their output, errors and exit code as they would without a gateway', async () => {
    expect(await run('cat notes')).toEqual({ stdout: 'plain words\n', stderr: '', code: 0, signal: undefined });
    const failed = await run('ls missing-file');
    expect(failed).toMatchObject({ stdout: '', code: 2 });
    expect(failed.stderr).toContain('missing-file');
    expect(await run('echo out; echo err >&2; exit 7', { token: all })).toMatchObject({
      stdout: 'out\n',
      stderr: 'err\n',
      code: 7,
    });
    expect(await run('kill -9 $$', { token: all })).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  test('may end by a signal for which the protocol has no name', async () => {
    expect(await run('kill -VTALRM $$', { token: all })).toMatchObject({ code: 255, signal: undefined });
    expect(await run('cat notes')).toMatchObject({ code: 0 });
  });

  test('are one for each channel, and what is asked for behind them is not given', async () => {
    const client = await open({ token: all });
    const { _protocol: protocol } = client as unknown as {
      _protocol: {
        exec(channel: number, command: string, answer: boolean): void;
        pty(
          ...given: [channel: number, rows: number, columns: number, height: number, width: number, term: string, modes: string, answer: boolean] // prettier-ignore
        ): void;
      };
    };
    // All in one breath: the command is still being judged when the rest arrives.
    const exec = protocol.exec.bind(protocol);
    protocol.exec = (channel, command, answer) => {
      exec(channel, command, answer);
      protocol.pty(channel, 24, 80, 0, 0, 'xterm', '', false);
      exec(channel, 'echo second', false);
    };
    try {
      let outcome: Outcome | undefined;
      const log = await reached(async () => {
        outcome = await new Promise<Outcome>((resolve, reject) => {
          client.exec('cat notes', (error, channel) => (error ? reject(error) : resolve(collect(channel))));
        });
      });
      expect(outcome).toEqual({ stdout: 'plain words\n', stderr: '', code: 0, signal: undefined });
      expect(log).toEqual(["exec 'cat' notes"]);
    } finally {
      client.end();
    }
    expect(await run('cat notes')).toMatchObject({ code: 0 });
  });

  test('get their input, bytes of every kind, and its end', async () => {
    const input = Buffer.alloc(3_000_000);
    for (let index = 0; index < input.length; index++) input[index] = (index * 7) % 256;
    const outcome = await run('cat', { input });
    expect(outcome.code).toBe(0);
    expect(Buffer.from(outcome.stdout, 'latin1').equals(input)).toBe(true);
  });

  test('that policy does not allow reach the host with no byte, and say why with exit code 126', async () => {
    for (const command of [
      'perl -e "print 1"',
      'cat $(echo notes)',
      'cat secret',
      'echo x > secret',
      'rm -rf /; id `w`',
    ]) {
      let outcome: Outcome | undefined;
      expect(await reached(async () => (outcome = await run(command)))).toEqual([]);
      expect(outcome).toMatchObject({ stdout: '', code: 126 });
      expect(outcome?.stderr).toContain('denied by policy');
    }
  });

  test('end on the host when their client goes away', async () => {
    const client = await open({ token: all });
    const channel = await new Promise<ClientChannel>((resolve, reject) => {
      client.exec('echo started; sleep 600', (error, opened) => (error ? reject(error) : resolve(opened)));
    });
    await new Promise<void>((resolve) => channel.once('data', () => resolve()));
    const [child] = host.running;
    const ended = new Promise<void>((resolve) => child?.once('close', () => resolve()));
    client.end();
    await ended;
    expect(host.log.slice(-3).join()).toContain('signal');
  });

  test('are recorded with their intent and outcome', async () => {
    await run('cat notes');
    const records = JSON.stringify(await gateway.records());
    expect(records).toContain('cat notes');
    expect(records).toContain('"outcome":"allow"');
  });
});

describe('limits', () => {
  test('stop what gives more bytes, behind the last that may come', async () => {
    const outcome = await run('head -c 500000 /dev/zero', { token: { roles: ['all', 'little'] } });
    expect(outcome).toMatchObject({ code: 126, signal: undefined });
    expect(outcome.stdout).toHaveLength(100_000);
    expect(outcome.stderr).toContain('stopped by policy: more than 100000 bytes');
    expect(outcome.stderr).toContain('limit_exceeded');
    expect(await run('head -c 100000 /dev/zero', { token: { roles: ['all', 'little'] } })).toMatchObject({ code: 0 });
  });

  test('stop what takes longer, and the command on the host with it', async () => {
    const client = await open({ token: { roles: ['all', 'brief'] } });
    try {
      const outcome = await new Promise<Outcome>((resolve, reject) => {
        client.exec('echo begun; exec sleep 600', (error, channel) =>
          error ? reject(error) : resolve(collect(channel)),
        );
      });
      expect(outcome).toMatchObject({ code: 126 });
      expect(outcome.stderr).toContain('stopped by policy: more than 1 seconds');
      for (const child of host.running) await once(child, 'close');
    } finally {
      client.end();
    }
  });

  test('stop a file that is longer', async () => {
    await writeFile(join(folder, 'long'), Buffer.alloc(500_000));
    const client = await open({ token: { roles: ['all', 'little'] } });
    try {
      const got = new Promise<Buffer>((resolve, reject) => {
        client.sftp((error, sftp) => {
          if (error) return reject(error);
          sftp.readFile('long', (failed: Error | null | undefined, content) =>
            failed ? reject(failed) : resolve(content),
          );
          sftp.once('close', () => reject(new Error('closed')));
        });
      });
      await expect(got).rejects.toThrow();
    } finally {
      client.end();
    }
  });
});

describe('signing in', () => {
  test('needs a token that is good, and a target that is there', async () => {
    await expect(open({ password: 'not a token' })).rejects.toThrow('authentication');
    await expect(open({ token: { expiresIn: -60, issuedIn: -120 } })).rejects.toThrow('authentication');
    await expect(open({ token: { audience: 'somebody else' } })).rejects.toThrow('authentication');
    const lost = await run('ls', { target: 'nowhere' });
    expect(lost).toMatchObject({ code: 255 });
    expect(lost.stderr).toContain('there is no target "nowhere"');
  });

  test('with a token for another target leads nowhere, says so, and disturbs nobody', async () => {
    const { address } = gateway.gateway.listeners.find(({ protocol }) => protocol === 'https')!;
    const ca = await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8');
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: await gateway.token(),
      audience: 'other',
    };
    const sent = await caller({ ...address, ca })('/v1/token', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form).toString(),
    });
    const { access_token: password } = sent.json<{ access_token: string }>();
    const outcome = await run('ls', { password });
    expect(outcome).toMatchObject({ stdout: '', code: 255 });
    expect(outcome.stderr).toContain('is for the target "other", and not for "build"');
    expect(await run('cat notes')).toMatchObject({ code: 0 });
  });

  test('leads to no host that shows another key', async () => {
    let outcome: Outcome | undefined;
    expect(await reached(async () => (outcome = await run('ls', { target: 'other' })))).toEqual([]);
    expect(outcome?.code).toBe(126);
    expect(outcome?.stderr).toContain('shows another key');
  });
});

describe('shells and terminals', () => {
  test('are opened where policy allows them, with their size', async () => {
    const client = await open({ token: all });
    try {
      const outcome = await new Promise<Outcome>((resolve, reject) => {
        client.shell({ rows: 24, cols: 80, term: 'xterm' }, (error, channel) => {
          if (error) return reject(error);
          resolve(collect(channel));
          channel.end('echo typed\nexit 3\n');
        });
      });
      expect(outcome).toMatchObject({ stdout: 'typed\n', code: 3 });
      expect(host.log).toContain('pty 80x24');
    } finally {
      client.end();
    }
  });

  test('have the name of a terminal, and no path to one', async () => {
    const client = await open({ token: all });
    const shell = (term: string) =>
      new Promise<ClientChannel>((resolve, reject) => {
        client.shell({ rows: 24, cols: 80, term }, (error, channel) => (error ? reject(error) : resolve(channel)));
      });
    try {
      await expect(shell('../../srv/terminal')).rejects.toThrow('pseudo-terminal');
      (await shell('screen.xterm-256color')).end('exit\n');
    } finally {
      client.end();
    }
  });

  test('are refused where it does not', async () => {
    const client = await open();
    try {
      const outcome = await new Promise<Outcome>((resolve, reject) => {
        client.shell((error, channel) => (error ? reject(error) : resolve(collect(channel))));
      });
      expect(outcome).toMatchObject({ code: 126 });
    } finally {
      client.end();
    }
  });
});

describe('files over SFTP', () => {
  async function files<T>(work: (sftp: SFTPWrapper) => Promise<T>): Promise<T> {
    const client = await open();
    try {
      const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
        client.sftp((error, opened) => (error ? reject(error) : resolve(opened)));
      });
      return await work(sftp);
    } finally {
      client.end();
    }
  }
  const asked = <T>(work: (done: (error: Error | null | undefined, value: T) => void) => void): Promise<T> =>
    new Promise((resolve, reject) => work((error, value) => (error ? reject(error) : resolve(value))));

  test('are read, written, listed, renamed and removed', async () => {
    await files(async (sftp) => {
      expect((await asked<Buffer>((done) => sftp.readFile('notes', done))).toString()).toBe('plain words\n');
      const big = Buffer.alloc(1_500_000, 'x');
      await asked((done) => sftp.writeFile('sub/big', big, (error) => done(error, undefined)));
      expect((await readFile(join(folder, 'sub/big'))).equals(big)).toBe(true);
      await asked((done) => sftp.rename('sub/big', 'sub/bigger', (error) => done(error, undefined)));
      const names = await asked<{ filename: string }[]>((done) => sftp.readdir('sub', done));
      expect(names.map(({ filename }) => filename)).toEqual(['bigger']);
      await asked((done) => sftp.unlink('sub/bigger', (error) => done(error, undefined)));
      await expect(asked((done) => sftp.stat('sub/bigger', done))).rejects.toThrow();
    });
  });

  test('are judged by the names they have and by where those lead', async () => {
    const log = await reached(() =>
      files(async (sftp) => {
        for (const path of ['secret', './sub/../secret', `${folder}//secret`, 'innocent']) {
          await expect(asked((done) => sftp.readFile(path, done))).rejects.toThrow('denied');
        }
      }),
    );
    expect(log.filter((line) => /open/u.test(line))).toEqual([]);
  });
});

describe('forwardings', () => {
  test('are operations of their own', async () => {
    const echo = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const { port } = echo.address() as AddressInfo;
    const forward = (client: Client) =>
      new Promise<ClientChannel>((resolve, reject) => {
        client.forwardOut('127.0.0.1', 1, '127.0.0.1', port, (error, channel) =>
          error ? reject(error) : resolve(channel),
        );
      });
    const denied = await open();
    const allowed = await open({ token: all });
    try {
      expect(await reached(() => expect(forward(denied)).rejects.toThrow())).toEqual([]);
      const channel = await forward(allowed);
      channel.write('there and back');
      expect(await new Promise((resolve) => channel.once('data', (chunk: Buffer) => resolve(chunk.toString())))).toBe(
        'there and back',
      );
    } finally {
      denied.end();
      allowed.end();
      echo.close();
    }
  });
});
