import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { WebSocket } from 'ws';
import { HeaderWriter } from '../../gateway/protocols/kubernetes/streams/spdy-headers.js';
import {
  dataFrame,
  FrameReader,
  openFrame,
  pingFrame,
  resetFrame,
  type Frame,
} from '../../gateway/protocols/kubernetes/streams/spdy.js';
import type { Identity } from '../../gateway/protocol.js';
import { apiServer, kubeconfig } from '../support/api-server.js';
import { until } from '../support/approvals-side.js';
import { createForwarder, type Forwarder } from '../support/port-forward.js';
import { startWeb, type Web } from '../support/web.js';

/** Ports of pods: each connection is judged by its port, and what was not let through reaches nobody. */

const policyFor = (open: number, held: number, small: number) => ({
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "tunnel"} if kubernetes.opens_tunnel

allow contains {"code": "ports"} if {
  "reader" in input.principal.roles
  kubernetes.forwards_to({${open}, ${held}, ${small}})
}

deny contains {"code": "closed_pod", "message": "nobody connects to that pod"} if {
  input.operation.kubernetes.subresource == "portforward"
  input.operation.kubernetes.name == "closed"
}

approval contains {"code": "held_port", "groups": ["operators"]} if ${held} in input.operation.kubernetes.ports

limit contains {"bytes": 20} if ${small} in input.operation.kubernetes.ports

mask contains {"code": "content", "resource": "*", "with": "pattern"} if input.operation.kubernetes.name == "masked"
`,
});

let web: Web;
let forwarder: Forwarder;
let servers: Server[];
let open: number;
let held: number;
let small: number;
const sockets = new Set<WebSocket>();

/** Answers each piece with the same in large letters. */
const startShouting = () =>
  new Promise<Server>((resolve) => {
    const server = createServer((socket) => {
      socket.on('data', (chunk) => socket.write(chunk.toString('latin1').toUpperCase()));
      socket.on('error', () => undefined);
    });
    server.listen(0, '127.0.0.1', () => resolve(server));
  });

beforeAll(async () => {
  servers = await Promise.all([startShouting(), startShouting(), startShouting()]);
  [open = 0, held = 0, small = 0] = servers.map((server) => (server.address() as AddressInfo).port);
  forwarder = createForwarder();
  web = await startWeb({
    policy: policyFor(open, held, small),
    protocol: 'kubernetes',
    people: true,
    upstream: (port) => ({ kubeconfig: kubeconfig(port) }),
  });
  web.upstream.answers(apiServer);
  web.upstream.upgrades(forwarder.upgrade);
});
afterAll(async () => {
  await web?.close();
  forwarder?.close();
  servers?.forEach((server) => server.close());
});
beforeEach(() => {
  web.upstream.heard.length = 0;
  forwarder.ports.length = 0;
});
afterEach(() => {
  sockets.forEach((socket) => socket.terminate());
  sockets.clear();
});

interface Asked {
  readonly pod?: string;
  readonly query?: string;
  readonly protocol?: string;
  readonly subject?: string;
}
interface Refused {
  readonly status: number;
  readonly message: string;
}

/** The socket, or what the handshake was answered with. */
async function dial({
  pod = 'web',
  query = '',
  protocol = 'SPDY/3.1+portforward.k8s.io',
  subject = 'agent:one',
}: Asked = {}): Promise<WebSocket | Refused> {
  const url = `wss://127.0.0.1:${String(web.port)}/kubernetes/cloud/api/v1/namespaces/shop/pods/${pod}/portforward${query}`;
  const token = await web.gateway.token({ subject, roles: ['reader'] });
  // The library takes no name of a protocol with a slash.
  const headers = { authorization: `Bearer ${token}`, 'sec-websocket-protocol': protocol };
  const socket = new WebSocket(url, { ca: web.ca, headers });
  sockets.add(socket);
  socket.on('upgrade', (answer) => {
    expect(answer.headers['sec-websocket-protocol']).toBe(protocol);
    delete answer.headers['sec-websocket-protocol'];
  });
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => resolve(socket));
    socket.on('unexpected-response', (_request, answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const { message } = JSON.parse(Buffer.concat(chunks).toString()) as { message: string };
        resolve({ status: answer.statusCode ?? 0, message });
      });
    });
  });
}

async function dialled(asked?: Asked): Promise<WebSocket> {
  const socket = await dial(asked);
  if (!(socket instanceof WebSocket)) throw new Error(`${String(socket.status)} ${socket.message}`);
  return socket;
}

/** A client of a tunnel, as kubectl is one. */
class Client {
  readonly #reader = new FrameReader();
  readonly #headers = new HeaderWriter();
  readonly #text = new Map<number, string>();
  readonly #ended = new Set<number>();
  readonly #waiting = new Set<() => void>();
  #next = 1;
  closed: number | undefined;
  pings = 0;

  constructor(readonly socket: WebSocket) {
    socket.on('message', (message: Buffer) => this.#reader.push(message).forEach((frame) => this.#said(frame)));
    socket.on('close', (code) => {
      this.closed = code;
      this.#look();
    });
  }

  #said(frame: Frame): void {
    if (frame.type === 'data') this.#text.set(frame.stream, this.text(frame.stream) + frame.data.toString());
    if ((frame.type === 'data' && frame.fin) || frame.type === 'reset') this.#ended.add(frame.stream);
    if (frame.type === 'ping') this.pings++;
    this.#look();
  }

  #look(): void {
    this.#waiting.forEach((look) => look());
  }

  text = (stream: number): string => this.#text.get(stream) ?? '';
  ended = (stream: number): boolean => this.#ended.has(stream);

  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!holds()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  open(kind: string, port: number | string, id: number): number {
    const stream = this.#next;
    this.#next += 2;
    const headers = { port: String(port), requestid: String(id), streamtype: kind };
    this.socket.send(openFrame(stream, this.#headers.write(headers)));
    return stream;
  }

  connect(port: number, id = this.#next): { error: number; data: number } {
    const error = this.open('error', port, id);
    this.socket.send(dataFrame(error, Buffer.alloc(0), true));
    return { error, data: this.open('data', port, id) };
  }

  say = (stream: number, text: string): void => this.socket.send(dataFrame(stream, Buffer.from(text), false));
}

const recorded = async (...texts: string[]) =>
  until(async () =>
    (await web.gateway.records())
      .map((record) => JSON.stringify(record))
      .some((record) => texts.every((text) => record.includes(text))),
  );

describe('a tunnel', () => {
  test('carries each connection to a port that is let through, whatever its size, and records it with its bytes', async () => {
    const client = new Client(await dialled());
    const [one, other] = [client.connect(open), client.connect(open)];
    client.say(one.data, 'hello');
    client.say(other.data, 'x'.repeat(300_000));
    await client.until(() => client.text(one.data) === 'HELLO' && client.text(other.data).length === 300_000);
    expect(forwarder.ports).toEqual([open, open]);
    client.socket.send(resetFrame(one.data, 5));
    await client.until(() => client.ended(one.error));
    await recorded('"bytes":10', '"outcome"');
    await recorded(`"name":"shop/web:${String(open)}"`, '"type":"port"');
    client.socket.close();
    await until(async () => forwarder.open.size === 0);
    await recorded('"bytes":600000', '"status":"cancelled"');
  });

  test('answers pings itself', async () => {
    const client = new Client(await dialled());
    client.socket.send(pingFrame(1));
    await client.until(() => client.pings === 1);
  });

  test('refuses a port that is not let through where errors are said, and goes on', async () => {
    const client = new Client(await dialled());
    const refused = client.connect(1);
    await client.until(() => client.ended(refused.error) && client.ended(refused.data));
    expect(client.text(refused.error)).toContain('sallyport: denied by policy');
    const allowed = client.connect(open);
    client.say(allowed.data, 'still here');
    await client.until(() => client.text(allowed.data) === 'STILL HERE');
    expect(forwarder.ports).toEqual([open]);
  });

  test('holds a connection without a byte until somebody approves it', async () => {
    const client = new Client(await dialled());
    const waiting = client.connect(held);
    client.say(waiting.data, 'may I?');
    const { id } = await web.waiting();
    expect(forwarder.ports).toEqual([]);
    await web.answer('approve', id);
    await client.until(() => client.text(waiting.data) === 'MAY I?');
  });

  test('cuts a connection at its limit, and says so', async () => {
    const client = new Client(await dialled());
    const { data, error } = client.connect(small);
    client.say(data, 'fifteen letters');
    await client.until(() => client.ended(error));
    expect(client.text(error)).toContain('more than 20 bytes');
    await recorded('"code":"limit_exceeded"');
  });

  test('ends with its session, and tells whoever is connected why', async () => {
    const client = new Client(await dialled({ subject: 'agent:bad' }));
    const { data, error } = client.connect(open);
    client.say(data, 'a');
    await client.until(() => client.text(data) === 'A');
    await web.gateway.gateway.sessions.kill({ subject: 'agent:bad' }, {} as Identity, 'drill');
    await client.until(() => client.closed !== undefined);
    expect(client.text(error)).toContain('ended by an administrator: drill');
    await until(async () => forwarder.open.size === 0);
  });

  test.each([
    ['no port', (client: Client) => void client.open('error', '', 1)],
    ['a port that is none', (client: Client) => void client.open('data', '65536', 1)],
    ['a port in another form', (client: Client) => void client.open('data', '080', 1)],
    ['a stream of no kind', (client: Client) => void client.open('resize', 80, 1)],
    [
      'two ports for one connection',
      (client: Client) => {
        client.open('error', 1, 1);
        client.open('data', 2, 1);
      },
    ],
  ])('resets a stream with %s, and nothing of it is sent', async (_name, say) => {
    const client = new Client(await dialled());
    say(client);
    await client.until(() => client.ended(1) || client.ended(3));
    expect(forwarder.ports).toEqual([]);
  });

  test.each([
    ['text', (client: Client) => client.socket.send('hello')],
    ['no frame of SPDY', (client: Client) => client.socket.send(Buffer.from('8002000100000000', 'hex'))],
    ['a stream that is opened twice', (client: Client) => client.socket.send(Buffer.concat([one, two]))],
    ['errors of a client', (client: Client) => client.say(client.open('error', 80, 1), 'x')],
    [
      'a message of 2 MB for one frame',
      (client: Client) => client.socket.send(dataFrame(1, Buffer.alloc(2_000_000), false)),
    ],
  ])('ends at %s', async (_name, say) => {
    const client = new Client(await dialled());
    say(client);
    await client.until(() => client.closed !== undefined);
    expect(client.closed).toBe(1008);
    expect(forwarder.ports).toEqual([]);
  });
});

const writer = new HeaderWriter();
const headers = { port: '80', requestid: '1', streamtype: 'error' };
const [one, two] = [
  openFrame(1, writer.write(headers)),
  openFrame(1, writer.write({ ...headers, streamtype: 'data' })),
];

describe('the older form, with ports in the request,', () => {
  const ask = (ports: string): Asked => ({ query: `?${ports}`, protocol: 'v4.channel.k8s.io' });

  test('carries the ports that were let through', async () => {
    const socket = await dialled(ask(`ports=${String(open)}`));
    const said: string[] = [];
    const shouted = new Promise<void>((resolve) =>
      socket.on('message', (message: Buffer) => {
        if (message[0] === 0) said.push(message.subarray(1).toString('latin1'));
        if (said.join('').endsWith('HELLO')) resolve();
      }),
    );
    socket.send(Buffer.from('\0hello'));
    await shouted;
    expect(forwarder.ports).toEqual([open]);
  });

  test.each([
    ['a port too many', () => ask(`ports=${String(open)}&ports=1`), 403, 'denied by policy'],
    ['no port', () => ask('x=1'), 400, 'has to offer SPDY/3.1+portforward.k8s.io'],
    ['a port that is none', () => ask('ports=80,0'), 400, 'numbers from 1 to 65535'],
    ['another pod', () => ({ pod: 'closed' }), 403, 'nobody connects to that pod'],
    ['masks that cannot be put in force', () => ({ pod: 'masked' }), 403, 'is not looked into'],
  ] as const)('is refused with %s', async (_name, asked, status, message) => {
    expect(await dial(asked())).toEqual({ status, message: expect.stringContaining(message) as unknown });
    expect(web.upstream.heard).toEqual([]);
  });

  test('ends at channels that are none of it', async () => {
    const socket = await dialled(ask(`ports=${String(open)}`));
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    socket.send(Buffer.from('\u0001an error'));
    expect(await closed).toBe(1008);
  });
});

test.each([
  ['a Service', '/api/v1/namespaces/shop/services/web:80/proxy/socket'],
  ['a pod', '/api/v1/namespaces/shop/pods/web:80/proxy/'],
  ['a node', '/api/v1/nodes/one/proxy/exec/shop/web/web?command=sh'],
  ['an old form', '/api/v1/proxy/namespaces/shop/pods/web/'],
  ['what is no resource', '/socket'],
])('another protocol through %s is refused with a Status, and nothing is sent', async (_name, path) => {
  for (const protocol of ['websocket', 'SPDY/3.1', 'h2c']) {
    const answer = await web.raw(
      `GET /kubernetes/cloud${path} HTTP/1.1\r\nhost: x\r\nauthorization: ${(await web.bearer())['authorization']!}\r\n` +
        `connection: Upgrade\r\nupgrade: ${protocol}\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 501 [\s\S]*"kind":"Status"[\s\S]*are not carried by this gateway/);
  }
  expect(web.upstream.heard).toEqual([]);
});

test('SPDY on the bare connection is refused with what to do, and what was denied with its reason', async () => {
  const bearer = (await web.bearer({ roles: ['reader'] }))['authorization']!;
  const ask = (pod: string) =>
    web.raw(
      `POST /kubernetes/cloud/api/v1/namespaces/shop/pods/${pod}/portforward HTTP/1.1\r\nhost: x\r\nauthorization: ${bearer}\r\n` +
        'connection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: portforward.k8s.io\r\ncontent-length: 0\r\n\r\n',
    );
  expect(await ask('web')).toMatch(/^HTTP\/1\.1 400 [\s\S]*KUBECTL_PORT_FORWARD_WEBSOCKETS=true/);
  expect(await ask('closed')).toMatch(/^HTTP\/1\.1 403 [\s\S]*nobody connects to that pod/);
  expect(web.upstream.heard).toEqual([]);
});
