import { once } from 'node:events';
import { mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import ssh2, { type Client } from 'ssh2';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';

/** What comes to the SSH listener that is no SSH, or stops being it: nothing of it stays, and others are served meanwhile. */

const test_ms_max = 600_000;
const malformed = 10_000;
const atOnce = 50;

let folder: string;
let host: SshHost;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-packets-')));
  host = await startSshHost(folder);
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy: { 'ssh.rego': 'package policy.ssh\n\nallow contains {"code": "everything"} if input.version == 1\n' },
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
}, test_ms_max);
afterAll(async () => {
  await gateway?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
}, test_ms_max);

/** Numbers that look random and are the same in each run. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state >>> 8;
  }
}

const random = numbers(20_261_127);
const next = (below: number): number => random.next().value % below;

/** A packet before encryption (RFC 4253, section 6). */
function packet(payload: Buffer): Buffer {
  const padding = 8 - ((payload.length + 5) % 8) + 8;
  const bytes = Buffer.alloc(5 + payload.length + padding);
  bytes.writeUInt32BE(1 + payload.length + padding);
  bytes[4] = padding;
  payload.copy(bytes, 5);
  return bytes;
}

/** What the client of the library says first: a whole KEXINIT. */
async function opening(): Promise<Buffer> {
  const lists = [
    'curve25519-sha256',
    'ssh-ed25519',
    'aes128-ctr',
    'aes128-ctr',
    'hmac-sha2-256',
    'hmac-sha2-256',
    'none',
    'none',
    '',
    '',
  ];
  const list = (text: string) => Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]);
  return packet(Buffer.concat([Buffer.of(20), Buffer.alloc(16, 1), ...lists.map(list), Buffer.alloc(5)]));
}

const banner = Buffer.from('SSH-2.0-OpenSSH_9.2\r\n');

function disturbed(good: Buffer): Buffer {
  const noise = Buffer.from(Array.from({ length: next(200) }, () => next(256)));
  const changed = Buffer.concat([banner, good]);
  switch (next(5)) {
    case 0:
      return noise;
    case 1:
      return Buffer.concat([banner, noise]);
    case 2:
      return Buffer.concat([banner, packet(noise)]);
    case 3:
      return Buffer.concat([banner, good, packet(noise)]);
    default:
      changed[banner.length + next(good.length)]! ^= 1 + next(255);
      return Buffer.concat([changed, packet(Buffer.concat([Buffer.of(30), noise]))]);
  }
}

async function send(bytes: Buffer): Promise<void> {
  const socket: Socket = connect(gateway.port, gateway.host);
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'connect').catch(() => undefined);
  socket.resume();
  socket.end(bytes);
  await closed;
}

async function signIn(): Promise<Client> {
  const client = new ssh2.Client();
  const password = await gateway.token();
  await new Promise<void>((resolve, reject) => {
    client.on('ready', resolve).on('error', reject);
    client.connect({ host: gateway.host, port: gateway.port, username: 'build', password });
  });
  client.on('error', () => undefined);
  return client;
}

const run = (client: Client, command: string): Promise<number> =>
  new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error) return reject(error);
      channel.resume().stderr.resume();
      channel.once('exit', (code: number) => resolve(code));
      channel.end();
    });
  });

const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

/** Waits until no more are open than before: what ends takes a moment. */
async function backTo(before: number): Promise<void> {
  while ((await descriptors()) > before) await new Promise((resolve) => setImmediate(resolve));
}

describe('the SSH listener', () => {
  test(
    `takes ${malformed} connections that say nothing proper, and serves others meanwhile`,
    async () => {
      const good = await opening();
      const client = await signIn();
      // The way to the host is opened behind the sign-in: from now on it stands.
      expect(await run(client, 'true')).toBe(0);
      const before = await descriptors();
      let begun = 0;
      const one = async (): Promise<void> => {
        while (begun < malformed) {
          begun += 1;
          const asked = begun % 1_000 === 0;
          await send(disturbed(good));
          if (asked) expect(await run(client, 'true')).toBe(0);
        }
      };
      await Promise.all(Array.from({ length: atOnce }, one));
      await backTo(before);
      expect(await run(client, 'true')).toBe(0);
      client.end();
    },
    test_ms_max,
  );

  test(
    `leaves nothing of ${atOnce} sessions that break off on either side in the middle of a command`,
    async () => {
      const before = await descriptors();
      for (const breaks of ['client', 'host'] as const) {
        const clients = await Promise.all(Array.from({ length: atOnce }, signIn));
        const begun = clients.map(
          (client) =>
            new Promise<void>((resolve, reject) => {
              client.exec('echo begun; exec sleep 600', (error, channel) => {
                if (error) return reject(error);
                channel.once('data', () => resolve());
                channel.on('error', () => undefined);
              });
            }),
        );
        await Promise.all(begun);
        expect(host.running.size).toBe(atOnce);
        if (breaks === 'client') for (const client of clients) client.destroy();
        else for (const child of host.running) child.kill('SIGKILL');
        while (host.running.size > 0) await new Promise((resolve) => setImmediate(resolve));
        for (const client of clients) client.destroy();
        await backTo(before);
      }
      const client = await signIn();
      expect(await run(client, 'true')).toBe(0);
      client.end();
    },
    test_ms_max,
  );

  test(
    'has whoever guesses wait longer each time, and hangs up after six',
    async () => {
      const start_ms = performance.now();
      const client = new ssh2.Client();
      let asked = 0;
      const ended = new Promise<void>((resolve) => client.once('close', () => resolve()));
      client.on('error', () => undefined);
      client.connect({
        ...{ host: gateway.host, port: gateway.port, username: 'build' },
        authHandler: (_left, _partial, go) => {
          asked += 1;
          go({ type: 'password', username: 'build', password: `guess ${asked}` });
        },
      });
      await ended;
      expect(asked).toBe(6);
      // 250 ms for the first, 500 for the second, …: 3.75 s for the five that were answered.
      expect(performance.now() - start_ms).toBeGreaterThan(3_700);
    },
    test_ms_max,
  );
});
