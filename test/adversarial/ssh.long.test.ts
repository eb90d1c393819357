import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Client, type ClientChannel, type SFTPWrapper } from 'ssh2';
import { parse } from 'yaml';
import { continuationOf } from '../../gateway/shell/index.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';

/**
 * What the starter policy forbids to an agent, in many forms: each is denied, and the host has seen nothing of it. And what
 * it must not forbid. The host runs no command.
 */

type Attempt =
  | string
  | { readonly exec: string; readonly terminal?: boolean; readonly environment?: Record<string, string> }
  | { readonly sftp: string; readonly path: string; readonly to?: string; readonly write?: boolean }
  | { readonly forward: number; readonly host?: string }
  | { readonly remote: number }
  | { readonly socket: string }
  | { readonly subsystem: string }
  | { readonly shell: string };

const table = <T>(name: string) => parse(readFileSync(new URL(`ssh/${name}.yaml`, import.meta.url), 'utf8')) as T;
const acts = table<readonly { readonly act: string; readonly forms: readonly Attempt[] }[]>('attempts');
const legitimate = table<readonly Attempt[]>('legitimate');

let folder: string;
let host: SshHost;
let gateway: TestGateway;
let client: Client;
let files: SFTPWrapper;

/** The starter policy; without its approvals, so that what would wait for people has to be denied by itself, or goes on. */
async function starter(): Promise<string> {
  const text = await readFile(new URL('../../rego/policy/ssh/ssh.rego', import.meta.url), 'utf8');
  const rules = text.split(/^(?=# METADATA$)/mu);
  const kept = rules.filter((rule) => !rule.includes('\napproval contains'));
  expect(kept).toHaveLength(rules.length - 1);
  // What the last rule's block has behind it are helpers of all.
  return [...kept, ...rules.filter((rule) => rule.includes('\napproval contains')).map(helpers)].join('');
}
const helpers = (rule: string): string => rule.slice(rule.indexOf('\n_'));

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-attempts-')));
  await mkdir(join(folder, 'srv'));
  await writeFile(join(folder, 'key'), 'key');
  host = await startSshHost(folder, { runs: false });
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy: { 'ssh.rego': await starter() },
    config: {
      listen: { ssh: '127.0.0.1:0' },
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
      ],
    },
  });
  const password = await gateway.token({ kind: 'agent', roles: ['readonly', 'operator', 'shell'] });
  client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client
      .on('ready', resolve)
      .on('error', reject)
      .connect({ host: gateway.host, port: gateway.port, username: 'build', password });
  });
  files = await asked<SFTPWrapper>((done) => client.sftp(done));
}, 120_000);
afterAll(async () => {
  client?.end();
  await gateway?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

const asked = <T>(work: (done: (error: Error | null | undefined, value: T) => void) => unknown): Promise<T> =>
  new Promise((resolve, reject) => void work((error, value) => (error ? reject(error) : resolve(value))));

/** "done", or the words of the refusal. */
async function outcome(attempt: Attempt): Promise<string> {
  try {
    if (typeof attempt === 'string') return await command((done) => client.exec(attempt, done));
    if ('exec' in attempt) {
      const options = { pty: attempt.terminal === true, env: attempt.environment ?? {} };
      return await command((done) => client.exec(attempt.exec, options, done));
    }
    if ('shell' in attempt) return await command((done) => client.shell(false, done), `${attempt.shell}\n`);
    if ('subsystem' in attempt) return await command((done) => client.subsys(attempt.subsystem, done));
    if ('sftp' in attempt) await file(attempt);
    else if ('forward' in attempt)
      await asked((done) => client.forwardOut('127.0.0.1', 1, attempt.host ?? '127.0.0.1', attempt.forward, done));
    else if ('remote' in attempt) await asked<number>((done) => client.forwardIn('127.0.0.1', attempt.remote, done));
    else await asked((done) => client.openssh_forwardOutStreamLocal(attempt.socket, done));
    return 'done';
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
}

type Opened = (error: Error | undefined, channel: ClientChannel) => void;

async function command(open: (done: Opened) => unknown, input = ''): Promise<string> {
  let said = '';
  let code: number | null = null;
  await new Promise<void>((resolve, reject) => {
    // At once: the exit may be told in the same breath.
    open((error, channel) => {
      if (error) return reject(error);
      channel.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
      channel.on('exit', (given: number | null) => (code = given));
      channel.once('close', () => resolve());
      channel.resume();
      channel.end(input);
    });
  });
  if (code === 0 && said === '') return 'done';
  return `${code === 126 ? 'refused' : `ended with ${String(code)}`}: ${said.split('\r\n')[0] ?? ''}`;
}

async function file({ sftp, path, to = '', write = false }: Extract<Attempt, { sftp: string }>): Promise<void> {
  const finished = (work: (done: (error?: Error | null) => void) => unknown) =>
    asked<undefined>((done) => work((error) => done(error, undefined)));
  switch (sftp) {
    case 'open': {
      const handle = await asked<Buffer>((done) => files.open(path, write ? 'w' : 'r', done));
      return finished((done) => files.close(handle, done));
    }
    case 'opendir':
      return void (await asked((done) => files.readdir(path, done)));
    case 'stat':
      return void (await asked((done) => files.stat(path, done)));
    case 'remove':
      return finished((done) => files.unlink(path, done));
    case 'rmdir':
      return finished((done) => files.rmdir(path, done));
    case 'mkdir':
      return finished((done) => files.mkdir(path, done));
    case 'rename':
      return finished((done) => files.rename(path, to, done));
    case 'symlink':
      return finished((done) => files.symlink(path, to, done));
    default:
      throw new Error(`the test knows no ${sftp}`);
  }
}

describe('an agent under the starter policy', () => {
  test('is tried with ten acts in at least 150 forms', () => {
    expect(acts).toHaveLength(10);
    expect(acts.flatMap(({ forms }) => forms).length).toBeGreaterThanOrEqual(150);
    expect(legitimate.length).toBeGreaterThanOrEqual(60);
  });

  test.each(acts)('cannot $act, in no form of it, and the host sees nothing', async ({ forms }) => {
    const before = host.log.length;
    const let_through: unknown[] = [];
    for (const attempt of forms) {
      const said = await outcome(attempt);
      if (!said.startsWith('refused')) let_through.push([attempt, said]);
    }
    expect(let_through).toEqual([]);
    expect(host.log.slice(before)).toEqual([]);
  });

  test.each(acts)('cannot $act by what is typed into a shell, and the host sees nothing', async ({ forms }) => {
    // Two lines are two commands in a shell, the first of which may be allowed.
    const lines = forms.filter((form): form is string => typeof form === 'string' && !form.includes('\n'));
    const before = host.log.length;
    // Pasted one after the other; what goes on is given up.
    const typed = lines.map((text) => `\x1b[200~${text}\x1b[201~\r\x03`).join('');
    const inTerminal = await command(
      (done) => client.shell({ rows: 24, cols: 80, term: 'xterm' }, done),
      `${typed}\x04`,
    );
    expect(inTerminal).toContain('ended with 130');
    const whole = lines.filter((text) => continuationOf(text) === 'none');
    const inScript = await command((done) => client.shell(false, done), `${whole.join('\n')}\ncat /etc/shadow\n`);
    expect(inScript).toContain('refused');
    expect(host.log.slice(before).filter((line) => line.startsWith('exec'))).toEqual([]);
  });

  test('does its daily work', async () => {
    const stopped: unknown[] = [];
    for (const attempt of legitimate) {
      const said = await outcome(attempt);
      if (said !== 'done') stopped.push([attempt, said]);
    }
    expect(stopped).toEqual([]);
  });

  test('has its words reach the host in quotes, so that no shell reads them otherwise', async () => {
    await outcome('cat "/etc/ho"sts | grep -v \'^#\' 2>&1');
    expect(host.log.at(-1)).toBe("exec 'cat' /etc/hosts | 'grep' -v '^#' 2>&1");
  });
});
