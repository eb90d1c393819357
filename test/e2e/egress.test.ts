import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Identity } from '../../gateway/protocol.js';
import { inputOf } from '../support/policy.js';
import { clientTest, runProgram } from '../clients/support.js';
import {
  ask,
  authorityFile,
  connectTo,
  egressPort,
  say,
  secured,
  startOutside,
  type Outside,
} from '../support/egress.js';
import { createAuthority } from '../support/certificates.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller } from '../support/https.js';

/** Tunnels through the egress proxy, and every way past what is named that was thought of. */

const policy = {
  'http.rego': `package policy.http

import data.sallyport.http

allow contains {"code": "tunnels"} if http.tunnel

deny contains {"code": "not_they", "message": "not for them"} if input.principal.subject == "agent:denied"

limit contains {"bytes": 20000} if input.principal.subject == "agent:limited"

approval contains {"code": "asks", "groups": ["operators"]} if input.principal.subject == "agent:held"

limit contains {"seconds": 1} if input.principal.subject == "agent:hurried"

mask contains {"code": "masked", "resource": "*", "with": "pattern"} if input.principal.subject == "agent:masked"
`,
};

let outside: Outside;
let gateway: TestGateway;
let port: number;

beforeAll(async () => {
  outside = await startOutside();
  const near = [`localhost:${String(outside.port)}`, `127.0.0.1:${String(outside.port)}`];
  gateway = await startTestGateway({
    protocol: 'egress',
    policy,
    config: {
      listen: { egress: '127.0.0.1:0' },
      targets: [
        {
          name: 'near',
          protocol: 'http',
          upstream: { egress: { hosts: near, addresses: ['127.0.0.0/8', '::1/128'] } },
        },
        { name: 'far', protocol: 'http', upstream: { egress: { hosts: [`*.localhost:${String(outside.port)}`] } } },
      ],
    },
  });
  port = egressPort(gateway);
});
afterAll(async () => {
  await gateway?.close();
  await outside?.close();
});

const administrator: Identity = { principal: inputOf().principal, expires_ms: Date.now() + 3_600_000 };
const place = () => `localhost:${String(outside.port)}`;
const trusted = () => ({ ca: outside.authority.certificate, servername: 'localhost' });
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;

async function open(options: Parameters<TestGateway['token']>[0] = {}, to = place(), more = '') {
  return say(port, connectTo(to, await gateway.token(options), more));
}

const decisionOf = ({ head }: { head: string }) => /x-sallyport-decision: (\S+)/i.exec(head)?.[1];

/** What became of a tunnel, once that is recorded. */
async function outcomeOf(said: { head: string }): Promise<Record<string, unknown>> {
  for (;;) {
    const found = (await gateway.records()).find(
      (record) => record['kind'] === 'outcome' && record['decision_id'] === decisionOf(said),
    );
    if (found !== undefined) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a tunnel', () => {
  test('leads to a host that is named, carries TLS, and is recorded with what went through', async () => {
    const said = await open();
    expect(said.status).toBe(200);
    const answer = await ask(await secured(said.socket, trusted()), get('/hello'));
    expect(answer).toContain('"url":"/hello"');
    const sent = outside.headers.at(-1)!;
    expect(JSON.stringify(sent)).not.toContain('proxy-authorization');
    const outcome = await outcomeOf(said);
    expect(outcome).toMatchObject({ target: 'near', result: { status: 'ok' } });
    const { bytes, sent_bytes } = outcome['result'] as { bytes: number; sent_bytes: number };
    expect(bytes).toBeGreaterThan(answer.length);
    expect(sent_bytes).toBeGreaterThan(200);
    const intent = (await gateway.records()).find(
      (record) => record['kind'] === 'intent' && record['decision_id'] === decisionOf(said),
    );
    expect(intent).toMatchObject({
      ...{ action: 'connect', opaque: true, resources: [{ type: 'host', name: place(), access: 'use' }] },
      personal: { operation: { method: 'CONNECT', connect: { host: 'localhost', port: outside.port } } },
    });
  });

  test('takes the token as a bearer as well, and answers whoever has none with 407 and both challenges', async () => {
    const token = await gateway.token();
    const bearer = `CONNECT ${place()} HTTP/1.1\r\nHost: ${place()}\r\nProxy-Authorization: Bearer ${token}\r\n\r\n`;
    const { status, socket } = await say(port, bearer);
    expect(status).toBe(200);
    socket.destroy();
    for (const field of ['', `Authorization: Bearer ${token}\r\n`, 'Proxy-Authorization: Bearer nothing\r\n']) {
      const said = await say(port, `CONNECT ${place()} HTTP/1.1\r\nHost: ${place()}\r\n${field}\r\n`);
      expect(said.status).toBe(407);
      expect(said.head).toMatch(/proxy-authenticate: Basic realm="sallyport", Bearer realm="sallyport"/i);
      expect(said.head).not.toMatch(/^www-authenticate/im);
    }
  });

  test('is denied by policy, in words that an agent can read, before anything was sent', async () => {
    const before = outside.connections();
    for (const subject of ['agent:denied', 'agent:masked']) {
      const { status, body } = await open({ subject });
      expect(status).toBe(403);
      expect(JSON.parse(body)).toMatchObject({ code: 'denied', target: 'near' });
    }
    expect(outside.connections()).toBe(before);
  });

  test('ends at the bytes and the seconds that policy gives', async () => {
    const limited = await open({ subject: 'agent:limited' });
    const answer = await ask(await secured(limited.socket, trusted()), get('/large'));
    expect(answer.length).toBeLessThan(20_000);
    expect(await outcomeOf(limited)).toMatchObject({ result: { status: 'error', code: 'limit_exceeded' } });
    const hurried = await open({ subject: 'agent:hurried' });
    const inner = await secured(hurried.socket, trusted());
    await once(inner, 'close');
    expect(await outcomeOf(hurried)).toMatchObject({ result: { code: 'limit_exceeded' } });
  });

  test('ends with its token, and when its session is killed', async () => {
    const expiring = await secured((await open({ expiresIn: 2 })).socket, trusted());
    await once(expiring, 'close');
    const killed = await secured((await open({ subject: 'agent:killed' })).socket, trusted());
    const closed = once(killed, 'close');
    await gateway.gateway.sessions.kill({ subject: 'agent:killed' }, {} as Identity, 'test');
    await closed;
  });

  test('cannot wait for people: where policy asks for them it is denied, and nothing is asked of the host', async () => {
    const before = outside.connections();
    const { status, body } = await open({ subject: 'agent:held' });
    expect(status).toBe(403);
    expect(JSON.parse(body)).toMatchObject({ code: 'denied', reasons: [{ code: 'approval_unsupported' }] });
    expect(outside.connections()).toBe(before);
  });

  test('ends when its token is revoked, and no other is opened with that', async () => {
    const token = await gateway.token({ subject: 'agent:revoked' });
    const inner = await secured((await say(port, connectTo(place(), token))).socket, trusted());
    const closed = once(inner, 'close');
    await gateway.gateway.revocations.revoke({ subject: 'agent:revoked' }, administrator);
    await closed;
    expect((await say(port, connectTo(place(), token))).status).toBe(407);
  });

  test('gives bytes only as they are read', async () => {
    const { socket } = await open();
    const inner = await secured(socket, trusted());
    inner.pause();
    inner.write(get('/large'));
    await once(inner, 'readable');
    let bytes = 0;
    for await (const chunk of inner) bytes += (chunk as Buffer).length;
    expect(bytes).toBeGreaterThan(1_000_000);
  });
});

describe('a proxy that speaks TLS', () => {
  const authority = createAuthority();
  const clients = createAuthority('Clients');
  const billing = 'spiffe://example.org/agent/billing';
  const jwks = { file: './jwks.json' };
  let other: TestGateway;

  beforeAll(async () => {
    const egress = { hosts: [place()], addresses: ['127.0.0.0/8', '::1/128'] };
    const own = authority.issue();
    const provider = { name: 'tests', type: 'oidc', issuer: 'https://idp.example', audience: 'sallyport', jwks };
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-egress-'));
    await writeFile(join(folder, 'own.pem'), own.certificate);
    await writeFile(join(folder, 'own.key'), own.key, { mode: 0o600 });
    await writeFile(join(folder, 'clients.pem'), clients.certificate);
    try {
      const at = (name: string) => ({ file: join(folder, name) });
      const tls = { certificate: at('own.pem'), key: at('own.key'), client_authorities: at('clients.pem') };
      other = await startTestGateway({
        ...{ protocol: 'egress', policy },
        config: {
          listen: { egress: { address: '127.0.0.1:0', tls }, https: { address: '127.0.0.1:0', tls } },
          identity: { providers: [provider], mtls: { trust_domain: 'example.org' } },
          targets: [
            { name: 'near', protocol: 'http', upstream: { egress } },
            { name: 'api', protocol: 'http', upstream: { url: 'https://api.example' } },
          ],
        },
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
  afterAll(() => other?.close());

  test('carries tunnels inside it, and looks at their names as well', async () => {
    const asked = connectTo(place(), await other.token());
    const said = await say(egressPort(other), asked, authority.certificate);
    expect(said.status).toBe(200);
    expect(await ask(await secured(said.socket, trusted()), get('/twice'))).toContain('"url":"/twice"');
    const wrong = await say(egressPort(other), asked, authority.certificate);
    const names = { ca: outside.authority.certificate, servername: 'other.example' };
    await expect(secured(wrong.socket, names)).rejects.toThrow(/unrecognized name|alert/);
  });

  test("knows clients by their certificates, and takes none for whoever brings another one's token", async () => {
    const leaf = clients.issue({ client: true, names: [billing], validFrom_days: -1 / 48, validTo_days: 1 / 48 });
    const shown = { ca: authority.certificate, cert: leaf.certificate, key: leaf.key };
    const asked = `CONNECT ${place()} HTTP/1.1\r\nHost: ${place()}\r\n`;
    const alone = await say(egressPort(other), `${asked}\r\n`, shown);
    expect(alone.status).toBe(200);
    alone.socket.destroy();
    const both = await say(egressPort(other), connectTo(place(), await other.token({ subject: billing })), shown);
    expect(both.status).toBe(200);
    both.socket.destroy();
    const another = await say(egressPort(other), connectTo(place(), await other.token({ subject: 'agent:a' })), shown);
    expect(another.status).toBe(407);
    expect(JSON.parse(another.body)).toMatchObject({ code: 'certificate' });
    const foreign = authority.issue({ client: true, names: [billing] });
    const bad = { ...shown, cert: foreign.certificate, key: foreign.key };
    expect((await say(egressPort(other), `${asked}\r\n`, bad)).status).toBe(407);
  });

  test('is no way below /http/ to what has no URL, and the API offers none', async () => {
    const { port: api } = other.gateway.listeners.find(({ protocol }) => protocol === 'https')!.address;
    const call = caller({ host: '127.0.0.1', port: api, ca: authority.certificate });
    const headers = { authorization: `Bearer ${await other.token()}` };
    expect((await call('/v1/targets/near', { headers })).json()).toEqual({
      name: 'near',
      protocol: 'http',
      tls: false,
    });
    expect((await call('/v1/targets/api', { headers })).json()).toMatchObject({ path: '/http/api' });
    expect((await call('/http/near/x', { headers })).json()).toMatchObject({ code: 'egress_only' });
  });

  test('ends its tunnels when the gateway stops', async () => {
    const said = await say(egressPort(other), connectTo(place(), await other.token()), authority.certificate);
    const inner = await secured(said.socket, trusted());
    const closed = once(inner, 'close');
    await other.close();
    await closed;
  });
});

describe('no way past what is named', () => {
  test.each([
    ['another port', 'localhost:1'],
    ['a host that nobody names', 'unknown.example:443'],
    ['a name below one that is named whole', 'a.b:443'],
    ['the metadata service', '169.254.169.254:80'],
    ['the metadata service by IPv6', '[fd00:ec2::254]:80'],
    ['loopback by another number', `127.0.0.2:PORT`],
    ['loopback mapped into IPv6', `[::ffff:127.0.0.1]:PORT`],
    ['IPv6 loopback', `[::1]:PORT`],
  ])('%s', async (_what, to) => {
    const before = outside.connections();
    const { status, body } = await open({}, to.replace('PORT', String(outside.port)));
    expect(status).toBe(403);
    expect(JSON.parse(body)).toMatchObject({ code: 'unknown_host' });
    expect(outside.connections()).toBe(before);
  });

  test.each(['2130706433', '0177.0.0.1', '0x7f000001', '127.1', 'localhost.', 'LOCALHOST%00', 'a@localhost', ''])(
    'a host in no form of its own: "%s"',
    async (host) => {
      const { status } = await open({}, `${host}:${String(outside.port)}`);
      expect(status).toBe(400);
    },
  );

  test('a name that leads to this machine, where the target names no such network', async () => {
    const before = outside.connections();
    const { status, body } = await open({}, `x.localhost:${String(outside.port)}`);
    // Where nothing resolves names below localhost, it leads nowhere at all.
    expect([403, 502]).toContain(status);
    expect(['address_refused', 'upstream']).toContain((JSON.parse(body) as { code: string }).code);
    expect(outside.connections()).toBe(before);
  });

  test.each([
    ['another name in the hello', { servername: 'other.example' }, 'sni_mismatch'],
    ['no name in the hello', { servername: '' }, 'no_sni'],
  ])('%s', async (_what, names, code) => {
    const asked = outside.heard.length;
    const said = await open();
    await expect(secured(said.socket, { ca: outside.authority.certificate, ...names })).rejects.toThrow(
      /unrecognized name|alert/,
    );
    expect(await outcomeOf(said)).toMatchObject({ result: { status: 'error', code, sent_bytes: 0 } });
    expect(outside.heard.length).toBe(asked);
  });

  test('an address has no name in its hello, and must not have another', async () => {
    const to = `127.0.0.1:${String(outside.port)}`;
    const inner = await secured((await open({}, to)).socket, { ca: outside.authority.certificate, host: '127.0.0.1' });
    expect(await ask(inner, get('/by-address'))).toContain('/by-address');
    const other = await open({}, to);
    await expect(secured(other.socket, trusted())).rejects.toThrow();
  });

  test('what is no TLS', async () => {
    const said = await open();
    said.socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    said.socket.resume();
    await once(said.socket, 'close');
    expect(await outcomeOf(said)).toMatchObject({ result: { code: 'not_tls', sent_bytes: 0 } });
  });

  test('a client that says nothing more once it was refused is cut off, though it keeps its side open', async () => {
    const { socket } = await open();
    socket.allowHalfOpen = true;
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    socket.resume();
    await once(socket, 'end');
    // Only who writes to a connection that is cut hears of it.
    const writing = setInterval(() => socket.write('x'), 100);
    await new Promise((resolve) => socket.once('close', resolve));
    clearInterval(writing);
  });

  test('bytes behind CONNECT, a body of it, and another place in its Host', async () => {
    const token = await gateway.token();
    const behind = await say(port, `${connectTo(place(), token)}GET / HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    expect(behind).toMatchObject({ status: 400 });
    expect(JSON.parse(behind.body)).toMatchObject({ code: 'early_bytes' });
    for (const field of ['Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n'])
      expect((await say(port, connectTo(place(), token, field))).status).toBe(400);
    const other = connectTo(place(), token).replace(/Host: \S+/, 'Host: other.example:443');
    expect(JSON.parse((await say(port, other)).body)).toMatchObject({ code: 'host_mismatch' });
    const twice = connectTo(place(), token, `Host: ${place()}\r\n`);
    expect((await say(port, twice)).status).toBe(400);
  });

  test('requests in clear, and requests to the proxy itself', async () => {
    const token = await gateway.token();
    const basic = Buffer.from(`agent:${token}`).toString('base64');
    for (const target of ['http://localhost/', `http://${place()}/`, '/']) {
      const said = await say(
        port,
        `GET ${target} HTTP/1.1\r\nHost: localhost\r\nProxy-Authorization: Basic ${basic}\r\n\r\n`,
      );
      expect(said.status).toBe(405);
      expect(JSON.parse(said.body)).toMatchObject({ code: 'connect_only' });
    }
    expect(outside.heard.filter((line) => line === 'GET /')).toEqual([]);
  });
});

const group = 'curl, through the egress proxy,';

describe(group, () => {
  const curl = async (...parameters: string[]) => {
    const ca = await authorityFile(gateway, outside);
    return runProgram('curl', ['-sS', '--max-time', '60', '--cacert', ca, ...parameters], {
      env: { HTTPS_PROXY: '', https_proxy: '', NO_PROXY: '', no_proxy: '' },
    });
  };
  const url = (path: string) => `https://${place()}${path}`;

  clientTest(group, 'goes where it may, with the token in the URL of the proxy or in a field', async () => {
    const token = await gateway.token();
    const { code, stdout } = await curl('-x', `http://agent:${token}@127.0.0.1:${String(port)}`, url('/curl'));
    expect({ code, stdout: JSON.parse(stdout) as unknown }).toMatchObject({ code: 0, stdout: { url: '/curl' } });
    const field = `Proxy-Authorization: Bearer ${token}`;
    const second = await curl('-x', `http://127.0.0.1:${String(port)}`, '--proxy-header', field, url('/field'));
    expect(second).toMatchObject({ code: 0 });
    expect(JSON.stringify(outside.headers.at(-1))).not.toContain(token);
  });

  clientTest(group, 'hears where it may not, and that it has to sign in', async () => {
    const token = await gateway.token();
    const proxy = `http://agent:${token}@127.0.0.1:${String(port)}`;
    expect((await curl('-x', proxy, 'https://unknown.example/')).stderr).toMatch(/403/);
    expect((await curl('-x', `http://127.0.0.1:${String(port)}`, url('/nobody'))).stderr).toMatch(/407/);
    expect((await curl('-x', proxy, '-w', '%{http_code}', `http://${place()}/`)).stdout).toMatch(/connect_only.*405$/s);
  });
});
