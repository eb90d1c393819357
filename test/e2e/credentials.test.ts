import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { inspect } from 'node:util';
import pg from 'pg';
import { pino } from 'pino';
import ssh2 from 'ssh2';
import { loadConfig, printable } from '../../gateway/config/index.js';
import { protocols } from '../../gateway/registry.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller } from '../support/https.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { startVault, type TestVault } from '../support/vault.js';
import { startWebUpstream, type WebUpstream } from '../support/web.js';

/** Credentials that change while clients work: who is connected stays, who comes next is let in, and nobody reads one. */

const canary = 'canary-4b1d';
const policy = { 'all.rego': `package policy.all\n\nallow contains {"code": "all"} if input.version == 1\n` };

let folder: string;
let database: TestDatabase;
let vault: TestVault;
let api: WebUpstream;
let host: SshHost;
let gateway: TestGateway;
let logged = '';
let call: ReturnType<typeof caller>;
const role = `rotated_${process.pid}`;
const clients: pg.Client[] = [];

const secret = (name: string) => join(folder, name);
const port = (protocol: string) =>
  gateway.gateway.listeners.find((one) => one.protocol === protocol)?.address.port ?? 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-rotation-'));
  [database, vault, api, host] = await Promise.all([
    createDatabase(),
    startVault(),
    startWebUpstream(),
    startSshHost(folder),
  ]);
  await database.sql(`create role ${role} login password '${canary} 1'`);
  await Promise.all([
    writeFile(secret('password'), `${canary} 1\n`),
    writeFile(secret('bearer'), `${canary}-bearer-1\n`),
    writeFile(secret('ssh'), `${canary} of nobody\n`),
  ]);
  const { host: address, port: number, database: name } = database;
  const postgres = { host: address, port: number, database: name, tls: 'disable' };
  const leased = (field: string) => ({ vault: { path: 'database/creds/shop', field, engine: 'database' } });
  const target = (targetName: string, protocol: string, upstream: object) => ({ name: targetName, protocol, upstream });
  gateway = await startTestGateway({
    policy,
    log: pino({ level: 'trace' }, { write: (line: string) => void (logged += line) }),
    config: {
      listen: { postgres: '127.0.0.1:0', https: '127.0.0.1:0', ssh: '127.0.0.1:0' },
      vault: { address: vault.address, auth: { token: vault.rootToken } },
      console: { administrators: ['administrators'] },
      targets: [
        target('orders', 'postgres', { ...postgres, user: role, password: { file: secret('password') } }),
        target('leased', 'postgres', { ...postgres, user: leased('username'), password: leased('password') }),
        target('cloud', 'http', {
          url: `http://127.0.0.1:${api.port}`,
          credential: { bearer: { command: ['cat', secret('bearer')], refresh: '1h' } },
        }),
        target('build', 'ssh', {
          ...{ host: host.host, port: host.port, user: host.user, host_key: host.fingerprint },
          password: { file: secret('ssh') },
        }),
      ],
    },
  });
  const ca = await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8');
  call = caller({ host: '127.0.0.1', port: port('https'), ca });
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  await gateway?.close();
  await database?.sql(`drop role if exists ${role}`);
  await database?.drop();
  await Promise.all([vault?.close(), api?.close(), host?.close()]);
  await rm(folder, { recursive: true, force: true });
});

async function open(name: string): Promise<pg.Client> {
  const client = new pg.Client({ ...(await gateway.connection()), database: name });
  client.on('error', () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

const userOf = async (client: pg.Client) => (await client.query<{ u: string }>('select session_user as u')).rows[0]?.u;

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end_ms = Date.now() + 30_000; !(await holds()); await setTimeout(20))
    if (Date.now() > end_ms) throw new Error(`it did not become so: ${String(holds)}`);
}

describe('Postgres', () => {
  test('a password that is changed under way drops no session, and lets the next one in at once', async () => {
    const first = await open('orders');
    await database.sql(`alter role ${role} password '${canary} 2'`);
    // The file comes after the database, as it does: meanwhile nobody new gets in.
    await expect(open('orders')).rejects.toThrow(/does not accept the gateway's credential/u);
    expect(await userOf(first)).toBe(role);
    await writeFile(secret('password'), `${canary} 2\n`);
    let second: pg.Client | undefined;
    await until(async () => {
      second = await open('orders').catch(() => undefined);
      return second !== undefined;
    });
    expect(await userOf(second!)).toBe(role);
    expect(await userOf(first)).toBe(role);
    const connects = (await gateway.records()).filter((record) => record['kind'] === 'intent');
    expect(connects.length).toBeGreaterThan(2);
  });

  test('a lease that ends while Vault is away keeps its sessions, and refuses new ones with the reason', async () => {
    let made = 0;
    vault.roles.set('database/creds/shop', async () => {
      made += 1;
      const username = `${role}_${made}`;
      await database.sql(`create role ${username} login password '${canary} v${made}'`);
      return { username, password: `${canary} v${made}`, lease_duration: 1.5 };
    });
    // It was asked at the start, when there was nothing yet.
    await until(async () => (await open('leased').catch(() => undefined)) !== undefined);
    vault.fails(503);
    vault.final.leases = true;
    const held = clients.at(-1)!;
    const before = await userOf(held);
    await until(async () => (await open('leased').then(() => '', String)).includes('is sealed, or under maintenance'));
    expect(await userOf(held)).toBe(before);
    const { status, text } = await call('/readyz', {});
    expect({ status, body: JSON.parse(text) as unknown }).toEqual({
      status: 200,
      body: { status: 'ready', warnings: expect.arrayContaining(['credentials of target leased']) as unknown },
    });
    vault.fails(undefined);
    await until(async () => (await open('leased').catch(() => undefined)) !== undefined);
    expect(await userOf(clients.at(-1)!)).not.toBe(before);
    expect(await userOf(held)).toBe(before);
    await Promise.all(clients.splice(0).map((client) => client.end()));
    vault.fails(503);
    await database.sql(Array.from({ length: made }, (_, index) => `drop role ${role}_${index + 1}`).join(';'));
  });
});

describe('HTTP', () => {
  test('a bearer that is refused is asked for once more, and the request with it; the client sees one answer', async () => {
    let taken = `${canary}-bearer-1`;
    api.answers(({ headers }, response) =>
      response.writeHead(headers.authorization === `Bearer ${taken}` ? 200 : 401).end('{}'),
    );
    const headers = { authorization: `Bearer ${await gateway.token()}` };
    expect((await call('/http/cloud/a', { headers })).status).toBe(200);
    taken = `${canary}-bearer-2`;
    await writeFile(secret('bearer'), `${canary}-bearer-2\n`);
    const heard = api.heard.length;
    expect((await call('/http/cloud/b', { method: 'POST', headers })).status).toBe(200);
    expect(api.heard.length - heard).toBe(2);
    expect((await call('/http/cloud/c', { headers })).status).toBe(200);
    expect(api.heard.length - heard).toBe(3);
    // Nothing new to be had: the answer is the client's, and nothing is asked twice.
    taken = 'another';
    expect((await call('/http/cloud/d', { headers })).status).toBe(401);
    expect(api.heard.length - heard).toBe(4);
  });
});

describe('SSH', () => {
  const whoever = async () => {
    const client = new ssh2.Client();
    const password = await gateway.token();
    return new Promise<string>((resolve, reject) => {
      client
        .on('error', reject)
        .on('ready', () =>
          client.exec('echo in', (error, channel) => {
            if (error) return reject(error);
            let said = '';
            channel.on('data', (chunk: Buffer) => (said += chunk.toString()));
            channel.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
            channel.once('close', () => resolve(said));
          }),
        )
        .connect({ host: '127.0.0.1', port: port('ssh'), username: 'build', password });
    }).finally(() => client.end());
  };

  test('a password that the host refuses is read once more, and the next is let in', async () => {
    expect(await whoever()).toMatch(/does not let deploy log in with the gateway's credential/u);
    await writeFile(secret('ssh'), 'secret of the host\n');
    await until(async () => (await whoever()) === 'in\n');
  });
});

test('no credential is in logs, records, answers of the API, or what is printed of the configuration', async () => {
  const file = join(gateway.folder, 'sallyport.yaml');
  const config = await loadConfig(file, { env: {}, protocols });
  const headers = { authorization: `Bearer ${await gateway.token({ groups: ['administrators'] })}` };
  const answers = await Promise.all(
    ['/v1/sessions', '/v1/policy', '/v1/audit', '/v1/targets/orders', '/readyz', '/metrics'].map((path) =>
      call(path, { headers }),
    ),
  );
  const shown = JSON.stringify(printable(config));
  const all = [
    logged,
    JSON.stringify(await gateway.records()),
    ...answers.map(({ text }) => text),
    ...[shown, JSON.stringify(config), inspect(config, { depth: 12 })],
  ];
  expect(logged).toContain('"target":"leased"');
  for (const text of all) {
    expect(text).not.toContain(canary);
    expect(text).not.toContain(vault.rootToken);
    expect(text).not.toContain('secret of the host');
  }
  expect((printable(config) as { secrets: object }).secrets).toMatchObject({
    'targets[0].upstream.password': `file ${secret('password')}`,
    'targets[1].upstream.user': 'vault database/creds/shop, field username',
    'targets[2].upstream.credential.bearer': 'command cat',
    'vault.auth.token': expect.stringMatching(/^the configuration itself, line [0-9]+$/u) as unknown,
  });
  expect(shown).toContain('"password":"***"');
});
