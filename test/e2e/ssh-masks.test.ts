import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';

/** What policy masks comes back over SSH with `***` in its place, whichever way it is asked for. */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if input.version == 1

mask contains {"resource": "*", "with": "pattern", "code": "no_addresses"} if "masked" in input.principal.roles

mask contains {"resource": "exec", "with": "pattern", "parameters": {"kinds": ["card"]}, "code": "no_cards"} if {
	"cards" in input.principal.roles
}

mask contains {"resource": "exec", "with": "redact", "code": "no_such_mask"} if "redacted" in input.principal.roles
`,
};

let folder: string;
let host: SshHost;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-masks-')));
  await writeFile(join(folder, 'people'), 'ada@example.com 4111 1111 1111 1111\n');
  host = await startSshHost(folder);
  const upstream = { host: host.host, port: host.port, user: host.user, password: host.password };
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy,
    config: {
      listen: { ssh: '127.0.0.1:0' },
      targets: [{ name: 'build', protocol: 'ssh', upstream: { ...upstream, host_key: host.fingerprint } }],
    },
  });
});
afterAll(async () => {
  await gateway?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

async function connected<T>(roles: readonly string[], work: (client: Client) => Promise<T>): Promise<T> {
  const password = await gateway.token({ roles: [...roles] });
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.on('ready', resolve).on('error', reject);
    client.connect({ host: gateway.host, port: gateway.port, username: 'build', password });
  });
  try {
    return await work(client);
  } finally {
    client.end();
  }
}

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function collect(channel: ClientChannel): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  let code: number | null = null;
  channel.on('data', (chunk: Buffer) => (stdout += chunk.toString('latin1')));
  channel.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('latin1')));
  channel.on('exit', (given: number | null) => (code = given));
  return new Promise((resolve) => channel.once('close', () => resolve({ stdout, stderr, code })));
}

const run = (roles: readonly string[], command: string, input = ''): Promise<Outcome> =>
  connected(
    roles,
    async (client) =>
      new Promise<Outcome>((resolve, reject) => {
        client.exec(command, (error, channel) => {
          if (error) return reject(error);
          resolve(collect(channel));
          channel.end(input);
        });
      }),
  );

describe('a pattern mask', () => {
  test('holds for output and errors, over pieces and escapes, and for those that policy means alone', async () => {
    const plain = await run([], 'cat people');
    expect(plain).toEqual({ stdout: 'ada@example.com 4111 1111 1111 1111\n', stderr: '', code: 0 });
    expect(await run(['masked'], 'cat people')).toEqual({ stdout: '*** ***\n', stderr: '', code: 0 });
    expect((await run(['cards'], 'cat people')).stdout).toBe('ada@example.com ***\n');
    const pieces = await run(
      ['masked'],
      'printf "to ad"; sleep 0.1; printf "a@exa\\033[1mmple.com end"; printf "ada@example.com" >&2; exit 3',
    );
    expect(pieces).toEqual({ stdout: 'to ***\x1b[1m end', stderr: '***', code: 3 });
  });

  test('holds in a shell, where a prompt comes without waiting for more', async () => {
    const outcome = await connected(
      ['masked'],
      (client) =>
        new Promise<Outcome>((resolve, reject) => {
          client.shell({ rows: 24, cols: 80, term: 'xterm' }, (error, channel) => {
            if (error) return reject(error);
            resolve(collect(channel));
            channel.once('data', (prompt: Buffer) => {
              expect(prompt.toString()).toContain('ready');
              channel.end('cat people\n');
            });
            channel.write('printf ready\n');
          });
        }),
    );
    expect(outcome.stdout).toBe('ready*** ***\n');
  });

  test('leaves every byte of what is no text where it was', async () => {
    const { stdout } = await run(['masked'], 'printf "\\000\\001ada@example.com\\000\\377"');
    expect(stdout).toBe(`\0\x01${'*'.repeat(15)}\0\xff`);
  });

  test('is not got round by files over SFTP or scp, nor by a forwarding', async () => {
    const before = host.log.length;
    await connected(['masked'], async (client) => {
      const sftp = await new Promise<ssh2.SFTPWrapper>((resolve, reject) =>
        client.sftp((error, opened) => (error ? reject(error) : resolve(opened))),
      );
      await expect(
        new Promise((resolve, reject) =>
          sftp.readFile('people', (error, all) => (error ? reject(error) : resolve(all))),
        ),
      ).rejects.toThrow('keeps its length');
      // Servers open for reading what asks for neither reading nor writing: 0, and "append" alone.
      for (const flags of [0, 4])
        await expect(
          new Promise((resolve, reject) =>
            sftp.open('people', flags, (error, handle) => (error ? reject(error) : resolve(handle))),
          ),
        ).rejects.toThrow('keeps its length');
      await new Promise<void>((resolve, reject) =>
        sftp.writeFile('written', 'x', (error) => (error ? reject(error) : resolve())),
      );
      await expect(
        new Promise((resolve, reject) =>
          client.forwardOut('127.0.0.1', 1, '127.0.0.1', 9, (error, all) => (error ? reject(error) : resolve(all))),
        ),
      ).rejects.toThrow();
    });
    const copied = await run(['masked'], 'scp -f people');
    expect(copied).toMatchObject({ stdout: '', code: 126 });
    expect(copied.stderr).toContain('keeps its length');
    expect(host.log.slice(before).filter((line) => /open .*people|scp|forward/u.test(line))).toEqual([]);
  });

  test('that no output can have is a refusal', async () => {
    const outcome = await run(['redacted'], 'cat people');
    expect(outcome).toMatchObject({ stdout: '', code: 126 });
    expect(outcome.stderr).toContain('mask_unenforceable');
  });

  test('holds for what is recorded of the command, too', async () => {
    await run(['masked'], 'echo ada@example.com for the record');
    const intents = (await gateway.records()).filter(({ kind }) => kind === 'intent');
    const texts = intents.map((intent) => JSON.stringify(intent)).filter((text) => text.includes('for the record'));
    expect(texts).toHaveLength(1);
    expect(texts[0]).toContain('echo *** for the record');
    expect(texts[0]).toContain('"withheld":true');
  });
});
