import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, createGzip, deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '../support/approvals-side.js';
import { kubeconfig } from '../support/api-server.js';
import { connectClient, startMcpServer, text, type McpServerSide } from '../support/mcp.js';
import { startWeb, type Heard, type Web } from '../support/web.js';

/** Upstreams that repeat what they were asked with: services that echo, pages for debugging, errors that quote, redirects. */

const policy = {
  'all.rego': `package policy.all

allow contains {"code": "all"} if input.version == 1
`,
  'http.rego': `package policy.http

import data.sallyport.http

mask contains {"code": "mail", "resource": "body:mail", "with": "redact"} if http.below(["masked"])
`,
};

const secrets = {
  bearer: 'canary-bearer/5f+3a==',
  basic: 'canary-pass/"word"',
  key: 'canary-key-99117',
  token: 'canary-fetched-token',
  client: 'canary-client-secret',
  aws: 'canary-aws-secret',
  session: 'canary+aws/session==',
  account: 'canary-service-account',
  environment: 'canary-environment',
};

let web: Web;
let mcp: McpServerSide;
let tokens: Server;

beforeAll(async () => {
  tokens = createServer((_request, response) =>
    response.end(JSON.stringify({ access_token: secrets.token, token_type: 'Bearer', expires_in: 3_600 })),
  );
  await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
  const token_url = `http://127.0.0.1:${String((tokens.address() as AddressInfo).port)}/`;
  mcp = await startMcpServer(
    new Map([
      [
        'about',
        {
          description: 'Tells of the request.',
          run: async (_args, { requestInfo }) => text(`asked with ${JSON.stringify(requestInfo?.headers)}`),
        },
      ],
    ]),
  );
  const first = await startWeb({ policy });
  const { port } = first.upstream;
  const url = `http://127.0.0.1:${String(port)}`;
  const http = Object.entries({
    bearer: { bearer: secrets.bearer },
    basic: { basic: `gateway:${secrets.basic}` },
    header: { header: { name: 'X-Key', value: secrets.key } },
    oauth: { oauth: { token_url, client_id: 'me', client_secret: secrets.client } },
    aws: {
      aws: {
        ...{ region: 'eu-west-1', service: 's3', access_key_id: 'AKIDREAL' },
        ...{ secret_access_key: secrets.aws, session_token: secrets.session },
      },
    },
  }).map(([name, credential]) => ({ name, protocol: 'http', upstream: { url, credential } }));
  const script = fileURLToPath(new URL('../support/mcp-stdio.mjs', import.meta.url));
  const config = kubeconfig(port).replace('the-real-one', secrets.account);
  const other = await startWeb({
    policy,
    config: {
      targets: [
        ...http,
        { name: 'own', protocol: 'http', upstream: { url } },
        { name: 'cluster', protocol: 'kubernetes', upstream: { kubeconfig: config } },
        { name: 'images', protocol: 'registry', upstream: { url, credential: { basic: `gateway:${secrets.basic}` } } },
        { name: 'tools', protocol: 'mcp', upstream: { url: mcp.url, credential: { bearer: secrets.bearer } } },
        {
          ...{ name: 'local', protocol: 'mcp' },
          upstream: {
            command: ['node', script],
            environment: { SERVICE_TOKEN: secrets.environment, MODE: 'ordinary' },
          },
        },
      ],
    },
  });
  web = {
    ...other,
    upstream: first.upstream,
    close: async () => void (await Promise.all([first.close(), other.close()])),
  };
});
afterAll(async () => {
  await web?.close();
  await mcp?.close();
  tokens?.close();
});
beforeEach(() => {
  web.upstream.heard.length = 0;
  web.upstream.answers(echo);
  known = [];
});

/** What an upstream knows beside what it is asked with. */
let known: readonly string[] = [];

/** All that came, in each form in which it may be said again. */
function echo({ headers }: Heard, response: ServerResponse): void {
  const json = JSON.stringify(headers);
  const values = Object.values(headers).map(String);
  const [scheme = '', rest = ''] = String(headers.authorization).split(' ');
  const said = [
    ...[json, json.replaceAll('/', '\\/'), values.join('\n'), encodeURIComponent(values.join(' '))],
    ...[Buffer.from(json).toString('base64'), Buffer.from(` ${json}`).toString('base64url')],
    ...[new URLSearchParams(headers as Record<string, string>).toString(), Buffer.from(rest, 'base64').toString()],
    ...[...known, JSON.stringify(Buffer.from(rest, 'base64').toString().split(':'))],
  ].join('\n');
  response.writeHead(200, {
    'content-type': 'text/plain',
    'content-length': Buffer.byteLength(said),
    location: `/next?key=${encodeURIComponent(rest || String(headers['x-key']))}`,
    'x-asked-with': [scheme, rest].join(' '),
    'x-all': values.map((value) => value.replace(/[^\x20-\x7e]/g, '')),
  });
  response.end(said);
}

/** The forms of a secret, and what of it would be left in base64. */
function* formsOf(secret: string): Generator<string> {
  yield* [secret, secret.replace(/=+$/, ''), encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  for (const before of ['', 'a', 'ab']) {
    const coded = Buffer.from(before + secret)
      .toString('base64')
      .slice(4, -4);
    yield* [coded, coded.replaceAll('+', '-').replaceAll('/', '_')];
  }
}

function expectNone(said: unknown): void {
  const shown = typeof said === 'string' ? said : JSON.stringify(said);
  for (const secret of Object.values(secrets)) for (const form of formsOf(secret)) expect(shown).not.toContain(form);
}

const headers = async () => ({ 'x-sallyport-token': await web.gateway.token() });
const get = async (path: string, more: Record<string, string> = {}) =>
  web.call(path, { headers: { ...(await headers()), ...more } });

/** The last outcome there is in the record. */
async function outcome(): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined;
  const seen = outcomes;
  await until(async () => {
    const all = (await web.gateway.records()).filter(({ kind }) => kind === 'outcome');
    outcomes = all.length;
    found = all.at(-1);
    return all.length > seen;
  });
  return found?.['result'] as Record<string, unknown>;
}
let outcomes = 0;

describe.each(['bearer', 'basic', 'header', 'oauth', 'aws'])('a target with the credential %s', (target) => {
  test('that repeats it in fields and body gives asterisks, of the same length, and the record says so', async () => {
    known = { oauth: [secrets.client], aws: [secrets.aws] }[target] ?? [];
    const { status, headers: fields, text: said } = await get(`/http/${target}/headers`);
    expect(status).toBe(200);
    expectNone(said);
    expectNone(fields);
    expect(said).toMatch(/\*{12,}/);
    expect(said).toContain('host');
    expect(Buffer.byteLength(said)).toBe(Number(fields['content-length']));
    expect(await outcome()).toMatchObject({ status: 'ok', code: '200', warnings: ['credential_repeated'] });
  });
});

describe('an answer', () => {
  const bearer = (heard: Heard) => String(heard.headers.authorization).slice('Bearer '.length);

  test('that has nothing of it is as it was, and its record has no warning', async () => {
    web.upstream.answers((_heard, response) => response.end('canary-bearer/5f+3'));
    expect((await get('/http/bearer/')).text).toBe('canary-bearer/5f+3');
    expect(await outcome()).not.toHaveProperty('warnings');
    expect(web.upstream.heard[0]?.headers['accept-encoding']).toBe('identity');
  });

  test('whose bytes come one by one is looked through as one', async () => {
    web.upstream.answers((heard, response) => {
      const said = `before ${bearer(heard)} after ${bearer(heard).slice(0, 9)}`;
      let at = 0;
      const next = () => {
        if (at === said.length) return void response.end();
        response.write(said[at++], () => setImmediate(next));
      };
      next();
    });
    expect((await get('/http/bearer/')).text).toBe(`before ${'*'.repeat(19)}== after canary-be`);
  });

  test('is masked beside: what is concealed is no clear value of a mask', async () => {
    web.upstream.answers((heard, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ mail: 'ada@example.com', asked: bearer(heard) }));
    });
    expect((await get('/http/bearer/masked')).json()).toEqual({ mail: '***', asked: `${'*'.repeat(19)}==` });
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
  ])(
    'that is packed (%s) although nobody asked for it passes as it is, and breaks off where it has it',
    async (coding, pack) => {
      const packed = pack(Buffer.from('nothing in it '.repeat(20_000)));
      web.upstream.answers((_heard, response) => {
        response.writeHead(200, { 'content-encoding': coding, 'content-length': packed.length, etag: '"packed"' });
        response.end(packed);
      });
      const clean = await get('/http/bearer/', { 'accept-encoding': 'gzip, br' });
      expect(clean.headers).toMatchObject({ 'content-encoding': coding, 'content-length': String(packed.length) });
      expect(clean.headers['etag']).toBe('"packed"');
      expect(await outcome()).toMatchObject({ status: 'ok', bytes: packed.length });
      web.upstream.answers((heard, response) => {
        response.writeHead(200, { 'content-encoding': coding });
        const bytes = pack(Buffer.from(`${'x'.repeat(300)}${bearer(heard)}`));
        response.write(bytes.subarray(0, 20), () => setImmediate(() => response.end(bytes.subarray(20))));
      });
      await expect(get('/http/bearer/')).rejects.toThrow(/aborted|hang up|reset/i);
      expect(await outcome()).toMatchObject({ status: 'lost', warnings: ['credential_repeated'] });
    },
  );

  test.each([
    ['gzip', (key: string) => Buffer.concat([gzipSync('x'), Buffer.from(`\0${key}`)])],
    ['br', (key: string) => Buffer.concat([brotliCompressSync('x'), Buffer.from(`<pre>${key}`)])],
    ['deflate', (key: string) => Buffer.concat([deflateSync('x'), Buffer.from(`<pre>${key}`)])],
    [
      'gzip',
      (key: string) => {
        const packed = gzipSync('x');
        // With a name (RFC 1952, FNAME).
        packed[3] = 8;
        return Buffer.concat([packed.subarray(0, 10), Buffer.from(`${key}\0`), packed.subarray(10)]);
      },
    ],
  ])('that is packed (%s), and has it beside what is packed, breaks off', async (coding, pack) => {
    web.upstream.answers((heard, response) => {
      response.writeHead(200, { 'content-encoding': coding }).end(pack(bearer(heard)));
    });
    await expect(get('/http/bearer/')).rejects.toThrow(/aborted|hang up|reset/i);
    expect(await outcome()).toMatchObject({ status: 'lost', warnings: ['credential_repeated'] });
  });

  test('that is packed, and a piece of which ends as the credential begins, goes on once it does not', async () => {
    web.upstream.answers((heard, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      const packing = createGzip();
      packing.pipe(response);
      packing.write(`x${bearer(heard).slice(0, 9)}`);
      packing.flush(() => setImmediate(() => packing.end('autiful')));
    });
    const { bytes } = await get('/http/bearer/');
    expect(gunzipSync(bytes).toString()).toBe('xcanary-beautiful');
  });

  test.each([
    ['zstd', 200],
    ['gzip, br', 200],
    ['gzip', 206],
  ])('that is packed so that nobody can look into it (%s, %i) is not given', async (coding, status) => {
    web.upstream.answers((_heard, response) => {
      response.writeHead(status, { 'content-encoding': coding }).end(gzipSync('x'));
    });
    const refused = await get('/http/bearer/');
    expect(refused.status).toBe(502);
    expect(refused.json()['detail']).toContain('packed');
    expect(await outcome()).toMatchObject({ status: 'error' });
  });

  // ASP.NET writes UTF-16 and Spring whatever Java knows, where Accept or Accept-Charset say so.
  test.each([
    ['text/plain; charset=utf-16', 'utf16le'],
    ['application/json;Charset="UTF-16LE"', 'utf16le'],
    ['text/plain; charset=IBM037', 'latin1'],
  ] as const)('in which letters stand otherwise than in ASCII (%s) is not given', async (type, coding) => {
    web.upstream.answers((heard, response) => {
      response.writeHead(200, { 'content-type': type }).end(Buffer.from(bearer(heard), coding));
    });
    const refused = await get('/http/bearer/', { 'accept-charset': 'utf-16' });
    expect(refused.status).toBe(502);
    expect(refused.json()['detail']).toContain('character set');
    web.upstream.answers((_heard, response) => {
      response.writeHead(200, { 'content-type': 'text/html; charset=Windows-1252' }).end('fine');
    });
    expect((await get('/http/bearer/')).text).toBe('fine');
  });

  test.each(['/http/bearer/', '/http/own/'])('that is packed on its way, unasked, is not given (%s)', async (path) => {
    web.upstream.answers((heard, response) => {
      response
        .writeHead(200, { 'transfer-encoding': 'gzip, chunked' })
        .end(gzipSync(heard.headers.authorization ?? 'x'));
    });
    const refused = await get(path);
    expect(refused.status).toBe(502);
    expect(refused.json()['detail']).toContain('Transfer-Encoding: gzip');
  });

  test('of a stored object that S3 says it got in chunks passes; so does a head without a body', async () => {
    web.upstream.answers((heard, response) => {
      response.writeHead(200, { 'content-encoding': heard.method === 'HEAD' ? 'zstd' : 'aws-chunked' }).end('object');
    });
    expect((await get('/http/bearer/')).text).toBe('object');
    const head = await web.call('/http/bearer/', { method: 'HEAD', headers: await headers() });
    expect(head.status).toBe(200);
  });

  test('where the gateway adds no credential is the client’s own affair: packed as it asks', async () => {
    await get('/http/own/', { 'accept-encoding': 'gzip' });
    expect(web.upstream.heard[0]?.headers['accept-encoding']).toBe('gzip');
  });
});

test('an API server that repeats the token of the service account, in a log, a Secret or a refusal', async () => {
  for (const path of ['/api/v1/namespaces/a/pods/b/log', '/api/v1/namespaces/a/secrets/c']) {
    const { status, text: said, headers: fields } = await get(`/kubernetes/cluster${path}`);
    expect(status).toBe(200);
    expectNone(said);
    expectNone(fields);
    expect(said).toMatch(/\*{12,}/);
    expect(await outcome()).toMatchObject({ warnings: ['credential_repeated'] });
  }
  web.upstream.upgrades((request, socket) => {
    const said = `no ${String(request.headers.authorization)}`;
    socket.end(`HTTP/1.1 403 no\r\ncontent-length: ${String(said.length)}\r\n\r\n${said}`);
  });
  const refused = await web.call('/kubernetes/cluster/api/v1/namespaces/a/pods/b/exec?command=ls&stdout=true', {
    headers: {
      ...(await headers()),
      ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
      ...{ 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==', 'sec-websocket-protocol': 'v5.channel.k8s.io' },
    },
  });
  expect(refused.text).toBe(`no Bearer ${'*'.repeat(secrets.account.length)}`);
  expect(await outcome()).toMatchObject({ warnings: ['credential_repeated'] });
});

test('a registry that repeats its login, in a list and in an error', async () => {
  const { status, text: said } = await get('/v2/images/app/tags/list');
  expect(status).toBe(200);
  expectNone(said);
  expect(said).toMatch(/\*{12,}/);
  expect(await outcome()).toMatchObject({ warnings: ['credential_repeated'] });
  web.upstream.answers((heard, response) => {
    response.writeHead(404).end(JSON.stringify({ errors: [{ code: 'X', detail: heard.headers }] }));
  });
  const digest = `sha256:${'a'.repeat(64)}`;
  const missing = await get(`/v2/images/app/blobs/${digest}`);
  expect(missing.status).toBe(404);
  expectNone(missing.text);
  expect(missing.text).toMatch(/\*{12,}/);
});

test('an MCP server that repeats what it was asked with, and a program that tells of its environment', async () => {
  const token = await web.gateway.token();
  const remote = await connectClient(web, { token, target: 'tools' });
  const told = await remote.client.callTool({ name: 'about', arguments: {} });
  expectNone(told);
  expect(JSON.stringify(told)).toMatch(/Bearer \*{12,}/);
  expect(await outcome()).toMatchObject({ warnings: ['credential_repeated'] });
  await remote.client.close();
  const local = await connectClient(web, { token, target: 'local' });
  const about = JSON.stringify(await local.client.callTool({ name: 'about', arguments: {} }));
  expectNone(about);
  expect(about).toContain(
    `SERVICE_TOKEN\\\\\\":\\\\\\"${'*'.repeat(secrets.environment.length)}`.replace(/\\\\\\/g, '\\'),
  );
  expect(about).toContain('ordinary');
  expect(await outcome()).toMatchObject({ warnings: ['credential_repeated'] });
  await local.client.close();
});
