import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { startValve, type Valve } from '../support/valve.js';

/** Programs that a policy repository knows, over SSH: from the commit that names them, for whoever it judges. */

const rules = `package policy.ssh

allow contains {"code": "known"} if not input.operation.opaque
`;
const knows = 'programs:\n  shelf-status: {can: [read], words: files, options: [--short]}\n';

let folder: string;
let host: SshHost;
let gateway: TestGateway;
let valve: Valve;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-programs-')));
  await writeFile(join(folder, 'notes'), 'plain words\n');
  // Commands are written down, and do not run: the host has no such program.
  host = await startSshHost(folder, { runs: false });
  valve = await startValve(host);
  const upstream = {
    ...{ host: valve.host, port: valve.port, user: host.user, password: host.password },
    host_key: host.fingerprint,
  };
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy: { 'ssh.rego': rules },
    config: { listen: { ssh: '127.0.0.1:0' }, targets: [{ name: 'build', protocol: 'ssh', upstream }] },
  });
});
afterAll(async () => {
  await gateway?.close();
  await valve?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

async function signIn(): Promise<Client> {
  const password = await gateway.token();
  const client = new ssh2.Client();
  return new Promise((resolve, reject) => {
    client
      .on('ready', () => resolve(client))
      .on('error', reject)
      .connect({ host: gateway.host, port: gateway.port, username: 'build', password });
  });
}

/** Resolves once the gateway has taken the command; `ended` with its exit code and what it said. */
function start(client: Client, command: string): Promise<{ ended: Promise<{ code: number | null; stderr: string }> }> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error: Error | undefined, channel: ClientChannel) => {
      if (error !== undefined) return reject(error);
      let stderr = '';
      let code: number | null = null;
      channel.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      channel.on('exit', (given: number | null) => (code = given));
      channel.resume();
      resolve({ ended: new Promise((told) => channel.once('close', () => told({ code, stderr }))) });
      channel.end();
    });
  });
}

async function run(command: string): Promise<{ code: number | null; stderr: string }> {
  const client = await signIn();
  try {
    return await (
      await start(client, command)
    ).ended;
  } finally {
    client.end();
  }
}

test('a program of the team is known from the commit that names it, and no longer behind one that does not', async () => {
  expect(await run('shelf-status --short notes')).toMatchObject({ code: 126 });
  await gateway.changePolicy({ 'data.yaml': knows });
  const before = host.log.length;
  expect(await run('shelf-status --short notes')).toMatchObject({ code: 0 });
  expect(host.log.slice(before).join()).toContain('shelf-status');
  expect(await run('shelf-status --all notes')).toMatchObject({
    code: 126,
    stderr: expect.stringContaining('what shelf-status --all does is not known to the policy'),
  });
  await gateway.changePolicy({ 'data.yaml': null });
  expect(await run('shelf-status --short notes')).toMatchObject({ code: 126 });
});

test('one that is built in is tightened, and a commit that would loosen one stays out of force, with its line', async () => {
  expect(await run('cat notes')).toMatchObject({ code: 0 });
  await gateway.changePolicy({ 'data.yaml': 'programs:\n  cat: {otherwise: is not used here}\n' });
  const refused = { code: 126, stderr: expect.stringContaining('cat is not used here') };
  expect(await run('cat notes')).toMatchObject(refused);
  const event = await gateway.changePolicy({ 'data.yaml': 'programs:\n  python3:\n    can: [read]\n' });
  expect(JSON.stringify(event)).toContain(
    'would loosen python3, which is built in: it can write, run, network as well',
  );
  expect(event).toMatchObject({ problems: [{ code: 'bad_data', file: 'data.yaml', line: 3 }] });
  expect(await run('cat notes')).toMatchObject(refused);
  await gateway.changePolicy({ 'data.yaml': null });
});

test('a command that was understood under another policy than judges it is refused', async () => {
  await gateway.changePolicy({ 'data.yaml': knows });
  valve.set('stuck');
  const client = await signIn();
  const before = host.log.length;
  const { ended } = await start(client, 'shelf-status --short notes');
  await gateway.changePolicy({ 'data.yaml': null });
  valve.set('open');
  expect(await ended).toMatchObject({ code: 126, stderr: expect.stringContaining('policy_changed') });
  expect(host.log.slice(before).join()).not.toContain('shelf-status');
  client.end();
});
