import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectPlain, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { pino } from 'pino';
import type { Identity } from '../../gateway/protocol.js';
import { clientTest, runProgram } from '../clients/support.js';
import { createAuthority } from '../support/certificates.js';
import { ask, connectTo, egressPort, say, secured, startOutside, type Outside } from '../support/egress.js';
import { until } from '../support/approvals-side.js';
import { answerAs, waitingRequest } from '../support/web.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';

/** Tunnels that the egress proxy looks into: each request is judged, with all that policy may ask of it, and nothing else gets out. */

const policy = {
  'http.rego': `package policy.http

import data.sallyport.http

allow contains {"code": "tunnels"} if {
	input.operation.http.method == "CONNECT"
	input.operation.http.connect.intercepted
	not input.operation.opaque
}

allow contains {"code": "reads"} if {
	http.reads_only
	not http.below(["v1", "secret"])
}

approval contains {"code": "asks", "groups": ["operators"]} if http.below(["v1", "held"])

mask contains {"code": "email", "resource": "body:**.email", "with": "redact"} if http.below(["v1", "masked"])

limit contains {"bytes": 1000} if {
	input.operation.http.method == "CONNECT"
	input.principal.subject == "agent:limited"
}
`,
};

const authority = createAuthority('Authority of the proxy');
let outside: Outside;
let gateway: TestGateway;
let folder: string;
const logged: string[] = [];

beforeAll(async () => {
  outside = await startOutside();
  folder = await mkdtemp(join(tmpdir(), 'sallyport-inside-'));
  await writeFile(join(folder, 'outside.pem'), outside.authority.certificate);
  await writeFile(join(folder, 'authority.pem'), authority.certificate);
  await writeFile(join(folder, 'authority.key'), authority.key, { mode: 0o600 });
  const log = pino({ level: 'error' }, { write: (line: string) => void logged.push(line) });
  gateway = await startTestGateway({ protocol: 'egress', policy, config: config(), log });
});
afterAll(async () => {
  await gateway?.close();
  await outside?.close();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  outside.heard.length = 0;
  outside.headers.length = 0;
});

const config = () => ({
  listen: {
    egress: {
      address: '127.0.0.1:0',
      authority: { certificate: { file: join(folder, 'authority.pem') }, key: { file: join(folder, 'authority.key') } },
    },
  },
  targets: [
    {
      name: 'api',
      protocol: 'http',
      upstream: {
        url: `https://localhost:${String(outside.port)}/v1`,
        tls: { ca: { file: join(folder, 'outside.pem') } },
        credential: { bearer: 'the-gateways-own' },
        egress: { intercept: true },
      },
    },
  ],
});

const place = () => `localhost:${String(outside.port)}`;
const trusted: ConnectionOptions = { ca: authority.certificate, servername: 'localhost' };

async function inside(options: Parameters<TestGateway['token']>[0] = {}, tls = trusted) {
  const said = await say(egressPort(gateway), connectTo(place(), await gateway.token(options)));
  expect(said.status).toBe(200);
  return secured(said.socket, tls);
}

const request = (path: string, more = '', method = 'GET') =>
  `${method} ${path} HTTP/1.1\r\nHost: ${place()}\r\nConnection: close\r\n${more}\r\n`;

const asking = async (bytes: string, options: Parameters<TestGateway['token']>[0] = {}) =>
  ask(await inside(options), bytes);

test('a request inside is judged, asked with the credential of the gateway, and recorded', async () => {
  const answer = await asking(request('/v1/things?q=1', 'Authorization: Bearer of-the-client\r\n'));
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer).toContain('"url":"/v1/things?q=1"');
  expect(answer).toMatch(/x-sallyport-decision: /i);
  expect(outside.headers.at(-1)).toMatchObject({ authorization: 'Bearer the-gateways-own' });
  expect(JSON.stringify(outside.headers)).not.toMatch(/of-the-client|proxy-authorization/);
  const records = await gateway.records();
  const operations = records.filter(({ kind, target }) => kind === 'intent' && target === 'api');
  expect(operations.map((record) => [record['action'], record['opaque']])).toEqual(
    expect.arrayContaining([
      ['connect', false],
      ['read', false],
    ]),
  );
});

test('what is recorded of requests inside says which tunnel they came through', async () => {
  const tunnels: string[] = [];
  for (const path of ['/v1/linked', '/v1/secret']) {
    const said = await say(egressPort(gateway), connectTo(place(), await gateway.token()));
    tunnels.push(/x-sallyport-decision: (\S+)/i.exec(said.head)?.[1] ?? '');
    await ask(await secured(said.socket, trusted), request(path));
  }
  for (const [index, tunnel] of tunnels.entries()) {
    const inside = ({ within }: { readonly within?: unknown }) => within === tunnel;
    await until(async () => (await gateway.records()).filter(inside).some(({ kind }) => kind === 'session_close'));
    const records = (await gateway.records()).filter(inside);
    const kinds = records.map(({ kind }) => kind);
    expect(kinds).toEqual(['session_open', 'intent', ...(index === 0 ? ['outcome'] : []), 'session_close']);
    expect(records.map(({ decision_id }) => decision_id)).not.toContain(tunnel);
    const own = (await gateway.records()).filter(({ decision_id }) => decision_id === tunnel);
    expect(own.map(({ kind, within }) => [kind, within])).toContainEqual(['intent', undefined]);
  }
});

test('another authority is taken where its files are replaced, and a broken one is not', async () => {
  const other = createAuthority('Another authority');
  const shows = async ({ certificate }: { readonly certificate: string }) => {
    try {
      (await inside({}, { ...trusted, ca: certificate })).destroy();
      return true;
    } catch {
      return false;
    }
  };
  const put = async ({ certificate, key }: { readonly certificate: string; readonly key: string }) => {
    await writeFile(join(folder, 'authority.pem'), certificate);
    await writeFile(join(folder, 'authority.key'), key);
  };
  const open = await inside();
  try {
    expect([await shows(authority), await shows(other)]).toEqual([true, false]);
    await put(other);
    await until(() => shows(other));
    expect(await shows(authority)).toBe(false);
    // Who is connected stays.
    expect(await ask(open, request('/v1/open'))).toMatch(/^HTTP\/1\.1 200 /);
    await put({ certificate: authority.certificate, key: 'none' });
    await until(() => logged.some((line) => line.includes('the new authority cannot be used')));
    expect(await shows(other)).toBe(true);
  } finally {
    await put(authority);
    await until(() => shows(authority));
  }
});

test('what policy denies does not get out, and the connection goes on', async () => {
  const socket = await inside();
  const keep = (path: string) => request(path).replace('Connection: close\r\n', '');
  const answer = await ask(socket, keep('/v1/secret') + keep('/v1/open') + request('/v1/last'));
  expect(answer.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 403', 'HTTP/1.1 200', 'HTTP/1.1 200']);
  expect(outside.heard).toEqual(['GET /v1/open', 'GET /v1/last']);
});

test('masks hold inside', async () => {
  const answer = await asking(request('/v1/masked'));
  expect(answer).toContain('"email":"***"');
  expect(answer).not.toContain('ada@example.com');
});

describe('what is judged is what is asked', () => {
  test.each([
    ['another host in the field', (bytes: string) => bytes.replace(/Host: \S+/, 'Host: other.example'), 421],
    ['no port in the field', (bytes: string) => bytes.replace(/Host: \S+/, 'Host: localhost'), 421],
    ['a whole URL', (bytes: string) => bytes.replace('GET /v1/x', `GET https://${place()}/v1/x`), 400],
    ['another URL', (bytes: string) => bytes.replace('GET /v1/x', 'GET https://other.example/v1/x'), 400],
    ['outside of the base', (bytes: string) => bytes.replace('/v1/x', '/v2/x'), 403],
    ['beside the base', (bytes: string) => bytes.replace('/v1/x', '/v1x'), 403],
    ['the base in another form', (bytes: string) => bytes.replace('/v1/x', '/%76%31/x'), 403],
    ['out of the base by dots', (bytes: string) => bytes.replace('/v1/x', '/v1/../v2/x'), 400],
    [
      'a second way of framing',
      (bytes: string) => bytes.replace('Connection', 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\nConnection'),
      400,
    ],
    [
      'another protocol',
      (bytes: string) => bytes.replace('Connection: close', 'Connection: close, upgrade\r\nUpgrade: websocket'),
      400,
    ],
    [
      'a field twice',
      (bytes: string) => bytes.replace('Connection', 'Content-Type: a/b\r\nContent-Type: c/d\r\nConnection'),
      400,
    ],
  ])('%s', async (_what, change, status) => {
    const answer = await asking(change(request('/v1/x')));
    expect(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])).toBe(status);
    expect(outside.heard).toEqual([]);
  });

  test('a tunnel in the tunnel', async () => {
    const answer = await asking(`CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n`);
    expect(answer).not.toMatch(/ 200 /);
    expect(outside.heard).toEqual([]);
  });

  test('another name in the hello, and HTTP/2 alone', async () => {
    await expect(inside({}, { ...trusted, servername: 'other.example' })).rejects.toThrow();
    await expect(inside({}, { ...trusted, ALPNProtocols: ['h2'] })).rejects.toThrow();
    const both = await inside({}, { ...trusted, ALPNProtocols: ['h2', 'http/1.1'] });
    expect(both.alpnProtocol).toBe('http/1.1');
    both.destroy();
  });

  test('the token in the request itself', async () => {
    const token = await gateway.token();
    const answer = await asking(request('/v1/x', `X-Other: ${token}\r\n`));
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    const said = await say(egressPort(gateway), connectTo(place(), token));
    const own = await ask(await secured(said.socket, trusted), request('/v1/x', `X-Other: ${token}\r\n`));
    expect(own).toContain('token_in_request');
  });
});

test('who does not trust the authority sends nothing, and that is recorded', async () => {
  await expect(inside({}, { ca: outside.authority.certificate, servername: 'localhost' })).rejects.toThrow(
    /certificate/,
  );
  const refused = async () =>
    (await gateway.records()).some(
      ({ kind, result }) => kind === 'outcome' && (result as { code?: string } | undefined)?.code === 'tls_refused',
    );
  while (!(await refused())) await new Promise((resolve) => setImmediate(resolve));
  expect(outside.heard).toEqual([]);
});

test('a limit of bytes on the tunnel itself is not promised', async () => {
  const said = await say(egressPort(gateway), connectTo(place(), await gateway.token({ subject: 'agent:limited' })));
  expect(said.status).toBe(403);
  expect(JSON.parse(said.body)).toMatchObject({ code: 'denied' });
});

test('a request that waits goes on once it is approved', async () => {
  const answer = asking(request('/v1/held/x'));
  const { id } = await waitingRequest(gateway);
  expect(outside.heard).toEqual([]);
  await answerAs(gateway, 'approve', id);
  expect(await answer).toContain('"url":"/v1/held/x"');
});

test('ends with its token, and when its session is killed', async () => {
  const expiring = await inside({ expiresIn: 2 });
  await once(expiring, 'close');
  const killed = await inside({ subject: 'agent:killed' });
  const closed = once(killed, 'close');
  await gateway.gateway.sessions.kill({ subject: 'agent:killed' }, {} as Identity, 'test');
  await closed;
});

test('is refused at the start without an authority, with one that is none, and with a key that others may read', async () => {
  const refused = async (change: (given: ReturnType<typeof config>) => unknown) =>
    startTestGateway({ protocol: 'egress', policy, config: change(config()) as Record<string, unknown> }).then(
      async (made) => made.close().then(() => 'started'),
      (error: Error) => error.message,
    );
  expect(await refused((given) => ({ ...given, listen: { egress: '127.0.0.1:0' } }))).toMatch(
    /listen\.egress\.authority/,
  );
  const leaf = authority.issue();
  await writeFile(join(folder, 'leaf.pem'), leaf.certificate);
  await writeFile(join(folder, 'leaf.key'), leaf.key, { mode: 0o600 });
  const of = (name: string) => (given: ReturnType<typeof config>) => ({
    ...given,
    listen: {
      egress: {
        address: '127.0.0.1:0',
        authority: { certificate: { file: join(folder, `${name}.pem`) }, key: { file: join(folder, `${name}.key`) } },
      },
    },
  });
  expect(await refused(of('leaf'))).toMatch(/sallyport\.yaml:\d+.*not one of an authority/s);
  await writeFile(join(folder, 'open.pem'), authority.certificate);
  await writeFile(join(folder, 'open.key'), authority.key);
  await chmod(join(folder, 'open.key'), 0o644);
  expect(await refused(of('open'))).toMatch(/sallyport\.yaml:\d+.*chmod 600/s);
});

test('a hello in pieces, and a client that stops in the middle of it', async () => {
  const said = await say(egressPort(gateway), connectTo(place(), await gateway.token()));
  const pair = await pieces(said.socket);
  expect(await ask(await secured(pair, trusted), request('/v1/pieces'))).toContain('/v1/pieces');
  const half = await say(egressPort(gateway), connectTo(place(), await gateway.token()));
  half.socket.end(Buffer.from([22, 3, 1, 2, 0, 1]));
  half.socket.resume();
  await once(half.socket, 'close');
});

/** A connection whose bytes reach the other one by one. */
async function pieces(socket: Socket): Promise<Socket> {
  const { createServer } = await import('node:net');
  const server = createServer((near) => {
    near.on('data', (chunk) => {
      for (const byte of chunk) socket.write(Buffer.of(byte));
    });
    socket.on('data', (chunk) => near.write(chunk));
    socket.on('close', () => near.destroy());
    near.on('close', () => socket.destroy());
    near.on('error', () => undefined);
    socket.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = connectPlain((server.address() as { port: number }).port, '127.0.0.1');
  await once(near, 'connect');
  server.close();
  return near;
}

const group = 'curl, through a proxy that looks in,';

describe(group, () => {
  const environment = async () => ({
    HTTPS_PROXY: `http://agent:${await gateway.token()}@127.0.0.1:${String(egressPort(gateway))}`,
    NO_PROXY: '',
  });

  clientTest(group, 'asks with the authority that it was handed', async () => {
    const ca = join(folder, 'authority.pem');
    const run = (path: string) =>
      environment().then((env) =>
        runProgram('curl', ['-sS', '--max-time', '60', '--cacert', ca, `https://${place()}${path}`], { env }),
      );
    expect((await run('/v1/masked/curl')).stdout).toContain('"email":"***"');
    expect((await run('/v1/secret')).stdout).toContain('denied');
  });
});
