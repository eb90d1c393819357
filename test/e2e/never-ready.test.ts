import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { caller } from '../support/https.js';
import { startWebUpstream, type WebUpstream } from '../support/web.js';

/** What clients are told of targets whose credential could never be had or used: that, in the words of each protocol, and when to ask again. */

const policy = { 'all.rego': 'package policy.all\n\nallow contains {"code": "all"} if input.version == 1\n' };

let folder: string;
let upstream: WebUpstream;
let gateway: TestGateway;
let call: ReturnType<typeof caller>;

type Gate = 'http' | 'kubernetes' | 'registry' | 'mcp';

interface Case {
  readonly target: string;
  readonly gate: Gate;
  readonly upstream: (url: string, at: (name: string) => string) => object;
  /** As the message says it. */
  readonly why: (at: (name: string) => string) => string;
}

const ofUrl =
  (credential: (at: (name: string) => string) => object) => (url: string, at: (name: string) => string) => ({
    ...{ url, credential: credential(at) },
  });
const missing = (name: string) => (at: (name: string) => string) => `the file ${at(name)} does not exist`;
const unfit = 'the credential has a line end or a character beyond ASCII: it fits into no field';

const notOne = 'this is no kubeconfig: write one with kubectl config view --raw --flatten --minify';

const cases: readonly Case[] = [
  {
    ...{ target: 'http-missing', gate: 'http', why: missing('nowhere') },
    upstream: ofUrl((at) => ({ bearer: { file: at('nowhere') } })),
  },
  {
    ...{ target: 'http-empty', gate: 'http', why: (at) => `the file ${at('empty')} is empty` },
    upstream: ofUrl((at) => ({ bearer: { file: at('empty') } })),
  },
  {
    ...{ target: 'http-unset', gate: 'http' },
    upstream: ofUrl(() => ({ basic: `\${NEVER_SET}` })),
    why: () => 'the environment variable NEVER_SET (upstream.credential.basic) is not set, or empty',
  },
  {
    ...{ target: 'http-lines', gate: 'http', why: () => `${unfit} of a request` },
    upstream: ofUrl((at) => ({ bearer: { file: at('lines') } })),
  },
  {
    ...{ target: 'cluster-missing', gate: 'kubernetes', why: missing('nowhere') },
    upstream: (_, at) => ({ kubeconfig: { file: at('nowhere') } }),
  },
  {
    ...{ target: 'cluster-none', gate: 'kubernetes', why: () => notOne },
    upstream: (_, at) => ({ kubeconfig: { file: at('lines') } }),
  },
  {
    ...{ target: 'images-missing', gate: 'registry', why: missing('nowhere') },
    upstream: ofUrl((at) => ({ basic: { file: at('nowhere') } })),
  },
  {
    ...{ target: 'images-half', gate: 'registry', why: () => 'credential.basic has to be USER:PASSWORD' },
    upstream: ofUrl((at) => ({ basic: { file: at('half') } })),
  },
  {
    ...{ target: 'tools-missing', gate: 'mcp', why: missing('nowhere') },
    upstream: ofUrl((at) => ({ bearer: { file: at('nowhere') } })),
  },
  {
    ...{ target: 'tools-lines', gate: 'mcp', why: () => `${unfit} of a request` },
    upstream: ofUrl((at) => ({ bearer: { file: at('lines') } })),
  },
  {
    ...{ target: 'program-missing', gate: 'mcp', why: missing('nowhere') },
    upstream: (_, at) => ({ command: ['true'], environment: { KEY: { file: at('nowhere') } } }),
  },
];

const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-never-'));
  await Promise.all([
    writeFile(at('empty'), '\n'),
    writeFile(at('lines'), 'one\ntwo\n'),
    writeFile(at('half'), 'half\n'),
  ]);
  upstream = await startWebUpstream();
  const url = `http://127.0.0.1:${String(upstream.port)}`;
  gateway = await startTestGateway({
    ...{ policy, protocol: 'https' },
    config: {
      listen: { https: '127.0.0.1:0' },
      targets: cases.map((one) => ({ name: one.target, protocol: one.gate, upstream: one.upstream(url, at) })),
    },
  });
  const ca = await readFile(join(gateway.folder, '.sallyport', 'https.pem'), 'utf8');
  call = caller({ host: '127.0.0.1', port: gateway.port, ca });
});
afterAll(async () => {
  await gateway?.close();
  await upstream?.close();
  await rm(folder, { recursive: true, force: true });
});

const bearer = async () => ({ authorization: `Bearer ${await gateway.token()}` });

const paths: Readonly<Record<Gate, (target: string) => string>> = {
  http: (target) => `/http/${target}/machines`,
  kubernetes: (target) => `/kubernetes/${target}/api/v1/namespaces/shop/pods`,
  registry: (target) => `/v2/${target}/team/app/tags/list`,
  mcp: (target) => `/mcp/${target}`,
};
const asks: Readonly<Record<Gate, object>> = {
  ...{ http: {}, kubernetes: {}, registry: {} },
  mcp: {
    method: 'POST',
    body: { jsonrpc: '2.0', id: 1, method: 'initialize', params: {} },
    headers: { accept: 'application/json, text/event-stream' },
  },
};

/** The whole answer, by the words that say why. */
const answers: Readonly<
  Record<Gate, (said: string) => { readonly type: string; readonly after: string; readonly body: object }>
> = {
  http: (said) => ({
    ...{ type: 'application/problem+json; charset=utf-8', after: '5' },
    body: { type: 'about:blank', status: 503, code: 'target_unavailable', title: 'Request refused', detail: said },
  }),
  kubernetes: (said) => ({
    ...{ type: 'application/json', after: '1' },
    body: {
      ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code: 503 },
      ...{ reason: 'ServiceUnavailable', message: `sallyport: ${said}` },
      details: { causes: [{ reason: 'target_unavailable', message: said }] },
    },
  }),
  registry: (said) => ({
    ...{ type: 'application/json', after: '5' },
    body: {
      errors: [
        {
          ...{ code: 'UNAVAILABLE', message: `sallyport: ${said}` },
          detail: { code: 'target_unavailable', title: 'Request refused' },
        },
      ],
    },
  }),
  mcp: (said) => ({
    ...{ type: 'application/json', after: '5' },
    body: {
      ...{ jsonrpc: '2.0', id: null },
      error: { code: -32_003, message: `sallyport: ${said}`, data: { code: 'target_unavailable' } },
    },
  }),
};

test.each(cases)('$target', async ({ target, gate, why }) => {
  const ask = asks[gate] as { headers?: object };
  const answer = await call(paths[gate](target), {
    ...ask,
    headers: { ...ask.headers, ...(await bearer()) },
  });
  const { type, after, body } = answers[gate](`target "${target}" is not available: ${why(at)}`);
  expect({
    status: answer.status,
    type: answer.headers['content-type'],
    after: answer.headers['retry-after'],
    body: answer.json(),
  }).toEqual({ status: 503, type, after, body });
  expect(upstream.heard).toEqual([]);
});

test('who is not signed in learns of no target', async () => {
  for (const { target, gate } of cases) {
    const answer = await call(paths[gate](target), asks[gate]);
    expect({ target, status: answer.status, said: answer.text.includes('not available') }).toEqual({
      ...{ target, status: 401, said: false },
    });
  }
});

test('it is there as soon as its credential is', async () => {
  await writeFile(at('nowhere'), 'user:password\n');
  const headers = await bearer();
  let status: number;
  do ({ status } = await call(paths.http('http-missing'), { headers }));
  while (status === 503);
  expect(status).toBe(200);
  expect(upstream.heard[0]?.headers['authorization']).toBe('Bearer user:password');
});
