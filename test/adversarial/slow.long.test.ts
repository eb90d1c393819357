import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import ssh2 from 'ssh2';
import { kubeconfig } from '../support/api-server.js';
import { createAuthority } from '../support/certificates.js';
import { connectTo, say } from '../support/egress.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller } from '../support/https.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { sslRequest } from '../support/relay.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { message, rows } from '../support/wire.js';
import { beginOn, mcpRequest } from './floods/mcp.js';
import { startStreaming, type StreamingUpstream } from './floods/streams.js';
import { framed, written, type Draft } from './floods/draft.js';
import { Lane } from './floods/lane.js';

/**
 * Clients that come slowly, or take slowly, at each listener: they hold it up for a while and in a number that is bounded, and nobody
 * else waits for them.
 */
const bounds = { connections: 60, strangers: 6, greeting: '1500ms', request: '2s', stalled: '1500ms' };
/** For what is bounded by one and a half seconds, on a machine that has other things to do. */
const over_ms_max = 20_000;
/** How often somebody slow says one more byte. */
const drip_ms = 40;

const policy = { 'all.rego': 'package policy.all\n\nallow contains {"code": "all"} if input.version == 1\n' };

let folder: string;
let database: TestDatabase;
let host: SshHost;
let web: StreamingUpstream;
let cluster: StreamingUpstream;
let tools: StreamingUpstream;
let pouring: Server;
let gateway: TestGateway;
let ca: string;
let call: ReturnType<typeof caller>;
const open = new Set<Socket>();
const poured = new Set<Socket>();

const authority = createAuthority();
const leaf = authority.issue();
const port = (protocol: string) =>
  gateway.gateway.listeners.find((one) => one.protocol === protocol)?.address.port ?? 0;
const outsidePort = () => (pouring.address() as AddressInfo).port;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-slow-'));
  [database, host, web, cluster, tools] = await Promise.all([
    createDatabase(),
    startSshHost(folder),
    startStreaming('http'),
    startStreaming('kubernetes'),
    startStreaming('mcp'),
  ]);
  // Says more than anybody keeps, to whoever has said anything.
  pouring = createServer((socket) => {
    poured.add(socket);
    socket.once('close', () => poured.delete(socket));
    const piece = Buffer.alloc(65_536, 'x');
    const pour = () => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on('error', () => undefined);
    socket.once('data', pour).on('drain', pour);
  }).listen(0, '127.0.0.1');
  await once(pouring, 'listening');
  const url = ({ port: number }: StreamingUpstream, path = '') => `http://127.0.0.1:${String(number)}${path}`;
  const listener = { address: '127.0.0.1:0', bounds };
  gateway = await startTestGateway({
    ...{ database, policy, tls: { certificate: leaf.certificate + authority.certificate, key: leaf.key } },
    config: {
      listen: {
        ...{ https: listener, ssh: listener, egress: listener },
        postgres: { ...listener, tls: { certificate: { file: './certificate.pem' }, key: { file: './key.pem' } } },
      },
      targets: [
        {
          ...{ name: 'orders', protocol: 'postgres' },
          upstream: {
            ...{ host: database.host, port: database.port, database: database.database, user: database.user },
            ...{ password: database.password, tls: 'disable' },
          },
        },
        {
          ...{ name: 'build', protocol: 'ssh' },
          upstream: {
            ...{ host: host.host, port: host.port, user: host.user, host_key: host.fingerprint },
            password: host.password,
          },
        },
        { name: 'web', protocol: 'http', upstream: { url: url(web) } },
        { name: 'cluster', protocol: 'kubernetes', upstream: { kubeconfig: kubeconfig(cluster.port) } },
        { name: 'tools', protocol: 'mcp', upstream: { url: url(tools, '/mcp') } },
        {
          ...{ name: 'outside', protocol: 'http' },
          upstream: {
            egress: { hosts: [`localhost:${String(outsidePort())}`], addresses: ['127.0.0.0/8', '::1/128'] },
          },
        },
      ],
    },
  });
  ca = await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8');
  call = caller({ host: '127.0.0.1', port: port('https'), ca });
});
afterEach(() => {
  for (const socket of open) socket.destroy();
  open.clear();
});
afterAll(async () => {
  await gateway?.close();
  pouring?.close();
  for (const socket of poured) socket.destroy();
  await Promise.all([web?.close(), cluster?.close(), tools?.close(), host?.close(), database?.drop()]);
  await rm(folder, { recursive: true, force: true });
});

/** A connection that is closed in the end; what comes on it is dropped, until it is told not to read. */
async function dial(protocol: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: port(protocol), noDelay: true });
  open.add(socket);
  socket.on('error', () => undefined).resume();
  await once(socket, 'connect');
  return socket;
}

async function dialTls(protocol: string): Promise<TLSSocket> {
  const socket = connectTls({ socket: await dial(protocol), ca, servername: 'localhost', rejectUnauthorized: false });
  open.add(socket);
  socket.on('error', () => undefined).resume();
  await once(socket, 'secureConnect');
  return socket;
}

/** One byte, and one more, as long as somebody listens. */
function drip<S extends Socket>(socket: S, bytes: Buffer | string): S {
  const text = Buffer.from(bytes);
  let at = 0;
  const timer = setInterval(() => {
    if (at < text.length && socket.writable) socket.write(text.subarray(at, ++at));
  }, drip_ms);
  socket.once('close', () => clearInterval(timer));
  return socket;
}

/** Resolves once it is closed from the other side. */
function closed(socket: Socket): Promise<true> {
  return new Promise((resolve, reject) => {
    if (socket.destroyed) return resolve(true);
    const timer = setTimeout(() => reject(new Error('the connection stays open')), over_ms_max);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

/** The first part of a hello, as OpenSSL says it. */
function hello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.once('data', (bytes: Buffer) => {
        socket.destroy();
        server.close();
        resolve(bytes);
      });
    }).listen(0, '127.0.0.1', () => {
      const client = connectTls({
        port: (server.address() as AddressInfo).port,
        host: '127.0.0.1',
        servername: 'localhost',
      });
      client.on('error', () => undefined);
    });
  });
}

/** Somebody who is served while others are slow. */
const served: Readonly<Record<string, () => Promise<unknown>>> = {
  https: async () => {
    const headers = { authorization: `Bearer ${await gateway.token()}` };
    return [(await call('/healthz')).status, (await call('/v2/', { headers })).status];
  },
  egress: async () => (await say(port('egress'), connectTo('nowhere.example:443', await gateway.token()))).status,
  postgres: async () => {
    const client = await gateway.open();
    const answer = rows(await client.query('select 42'));
    await client.end();
    return answer;
  },
  ssh: () => command('echo 42').then(({ text, client }) => (client.end(), text)),
};
const whenServed: Readonly<Record<string, unknown>> = {
  ...{ https: [200, 200], egress: 403, postgres: [['42']], ssh: '42\n' },
};

/** What a command over SSH says, all of it or as far as it is read. */
async function command(line: string, read = true) {
  const client = new ssh2.Client();
  const password = await gateway.token();
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve).once('error', reject);
    client.connect({ host: '127.0.0.1', port: port('ssh'), username: 'build', password, readyTimeout: over_ms_max });
  });
  client.on('error', () => undefined);
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
    client.exec(line, (error, made) => (error === undefined ? resolve(made) : reject(error))),
  );
  if (!read) return { client, channel, text: '' };
  let text = '';
  channel.on('data', (chunk: Buffer) => (text += chunk.toString()));
  channel.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(channel, 'close');
  return { client, channel, text };
}

const head = 'GET /http/web/events HTTP/1.1\r\nHost: localhost\r\nX-Note: '.padEnd(4_000, 'x');
const plain = { user: 'agent', database: 'orders' };

/** What somebody slow does before anybody knows who it is, by listener. */
const slow: readonly (readonly [listener: string, what: string, begin: () => Promise<Socket>])[] = [
  ['https', 'says nothing', () => dial('https')],
  ['https', 'drips the hello of TLS', async () => drip(await dial('https'), await hello())],
  ['https', 'says nothing in TLS', () => dialTls('https')],
  ['https', 'drips a head', async () => drip(await dialTls('https'), head)],
  ['egress', 'says nothing', () => dial('egress')],
  ['egress', 'drips a head', async () => drip(await dial('egress'), `CONNECT x:443 HTTP/1.1\r\nX: ${head}`)],
  ['postgres', 'says nothing', () => dial('postgres')],
  ['postgres', 'drips a start-up packet', async () => drip(await dial('postgres'), message.startup(plain))],
  [
    'postgres',
    'asks for TLS, and drips its hello',
    async () => {
      const socket = await dial('postgres');
      socket.write(sslRequest);
      await once(socket, 'data');
      return drip(socket, await hello());
    },
  ],
  [
    'postgres',
    'never says a password',
    async () => {
      const socket = await dial('postgres');
      socket.write(message.startup(plain));
      return socket;
    },
  ],
  ['ssh', 'says nothing', () => dial('ssh')],
  ['ssh', 'drips its name', async () => drip(await dial('ssh'), 'SSH-2.0-'.padEnd(200, 'x'))],
  [
    'ssh',
    'drips its keys',
    async () => {
      const socket = await dial('ssh');
      socket.write('SSH-2.0-slow\r\n');
      return drip(socket, Buffer.concat([Buffer.from('00000400', 'hex'), Buffer.alloc(2_000, 1)]));
    },
  ],
];

describe.each(slow)('%s: whoever %s', (listener, _what, begin) => {
  test('is waited for for a while, with few others, and holds nobody up', async () => {
    const all: Socket[] = [];
    const ends: Promise<true>[] = [];
    // The room is full by then, and those that came first have left it to the others.
    for (let count = 0; count < bounds.strangers + 4; count++) {
      const one = await begin();
      all.push(one);
      ends.push(closed(one));
    }
    await Promise.all(ends.slice(0, 4));
    expect(await served[listener]!()).toEqual(whenServed[listener]);
    // Of them none is left, whatever they go on to say.
    expect(await Promise.all(ends)).toEqual(all.map(() => true));
    expect(await served[listener]!()).toEqual(whenServed[listener]);
  });
});

const ask = (token: string, method: string, target: string, fields: Draft['fields'] = []): Draft => ({
  ...{ method, target, version: 'HTTP/1.1', body: Buffer.alloc(0) },
  fields: [['Host', 'localhost'], ['Authorization', `Bearer ${token}`], ...fields],
});
const place = () => ({ host: '127.0.0.1', port: port('https'), ca });

test('https: a body that drips is waited for for a while, and its client is told', async () => {
  const token = await gateway.token();
  const lane = await Lane.open(place());
  open.add(lane.socket);
  lane.say(framed(ask(token, 'PUT', '/http/web/x'), ['Content-Length: 5000'], ''));
  drip(lane.socket, 'x'.repeat(5_000));
  expect(await served['https']!()).toEqual([200, 200]);
  expect(await lane.next(over_ms_max)).toMatchObject({ status: 408 });
  await lane.closed(over_ms_max);
  expect(web.heard.filter((line) => line.startsWith('PUT'))).toEqual([]);
});

describe('who has signed in and takes nothing of what comes', () => {
  const larges: readonly (readonly [string, () => StreamingUpstream, (token: string, lane: Lane) => Promise<Draft>])[] =
    [
      ['an answer over HTTP', () => web, async (token) => ask(token, 'GET', '/http/web/large')],
      [
        'a watch',
        () => cluster,
        async (token) => ask(token, 'GET', '/kubernetes/cluster/api/v1/namespaces/large/secrets?watch=1'),
      ],
      [
        'a stream of MCP',
        () => tools,
        async (token, lane) => {
          const draft = mcpRequest(token, 'GET', await beginOn(lane, token));
          return { ...draft, fields: [...draft.fields, ['Last-Event-ID', 'large']] };
        },
      ],
    ];
  test.each(larges)(
    'https: of %s is cut off, and the target is let go; who waits for an event waits on',
    async (_what, from, of) => {
      const token = await gateway.token();
      const waits = await Lane.open(place());
      open.add(waits.socket);
      waits.say(written(ask(token, 'GET', '/http/web/events')));
      const lane = await Lane.open(place());
      open.add(lane.socket);
      const draft = await of(token, lane);
      lane.socket.pause();
      lane.say(written(draft));
      const { large } = from();
      await until(() => large.blocked, 'nothing is poured');
      await until(() => large.gone, 'the target is held');
      expect(await served['https']!()).toEqual([200, 200]);
      web.tell();
      await waits.until('it-happened', over_ms_max);
    },
  );
});

async function until(holds: () => boolean, otherwise: string): Promise<void> {
  for (const end_ms = Date.now() + over_ms_max; !holds(); await new Promise((resolve) => setTimeout(resolve, 20)))
    if (Date.now() > end_ms) throw new Error(otherwise);
}

test('egress: a tunnel out of which nothing is taken is cut off', async () => {
  const { socket, status } = await say(
    port('egress'),
    connectTo(`localhost:${String(outsidePort())}`, await gateway.token()),
  );
  expect(status).toBe(200);
  open.add(socket);
  socket.pause();
  socket.write(await hello());
  await until(() => poured.size === 1, 'nothing is poured');
  await until(() => poured.size === 0, 'the tunnel stays');
  expect(await served['egress']!()).toBe(403);
});
test('postgres: rows of which nothing is taken end the session, and the server stops', async () => {
  const client = await gateway.open();
  open.add(client.socket);
  client.socket.pause();
  client.sendRaw(message.query("select repeat('x', 10000) from generate_series(1, 1000000)"));
  const running = () =>
    database.sql(
      "select 1 from pg_stat_activity where query like '%generate_series(1, 1000000)%' and datname = current_database() and pid <> pg_backend_pid()",
    );
  for (const wanted of [1, 0])
    for (const end_ms = Date.now() + over_ms_max; (await running()).length !== wanted;)
      if (Date.now() > end_ms) throw new Error(wanted === 1 ? 'it does not run' : 'it runs on');
  expect(await served['postgres']!()).toEqual([['42']]);
});

test('ssh: a command of whose output nothing is taken waits, and holds up nobody else', async () => {
  const { client } = await command('yes', false);
  const socket = (client as unknown as { _sock: Socket })._sock;
  open.add(socket);
  socket.pause();
  await until(() => host.running.size === 1, 'it does not run');
  expect(await served['ssh']!()).toBe('42\n');
  socket.destroy();
  await until(() => host.running.size === 0, 'it runs on');
});

test('nobody has more than half of the connections, and others are served', async () => {
  const token = await gateway.token({ subject: 'agent:greedy' });
  const lanes: Lane[] = [];
  const statuses: (number | undefined)[] = [];
  for (let count = 0; count <= bounds.connections / 2; count++) {
    const lane = await Lane.open(place());
    lanes.push(lane);
    open.add(lane.socket);
    lane.say(written(ask(token, 'GET', '/v2/')));
    statuses.push((await lane.next(over_ms_max))?.status);
  }
  expect(statuses.slice(0, -1).every((status) => status === 200)).toBe(true);
  expect(statuses.at(-1)).toBe(503);
  expect(await served['https']!()).toEqual([200, 200]);
  lanes[0]!.close();
  await until(() => lanes[0]!.socket.destroyed, 'it is not closed');
  let status: number | undefined;
  do {
    const lane = await Lane.open(place());
    open.add(lane.socket);
    lane.say(written(ask(token, 'GET', '/v2/')));
    status = (await lane.next(over_ms_max))?.status;
    lane.close();
  } while (status === 503);
  expect(status).toBe(200);
});
