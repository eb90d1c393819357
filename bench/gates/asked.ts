import { createHash } from 'node:crypto';

/** What is asked of each gate, and what the server behind it answers: small, so that what is measured is the way there. */

export const protocols = ['http', 'kubernetes', 'registry', 'mcp'] as const;
export type Protocol = (typeof protocols)[number];

/** The names of the gateway's targets. */
export const targets = { http: 'api', kubernetes: 'cluster', registry: 'images', mcp: 'tools' } as const;

export interface Ask {
  readonly protocol: Protocol;
  readonly what: string;
  readonly method: 'GET' | 'POST';
  /** As the server has it; the gateway has its own name before it. The n-th of some: no two in turn are the same. */
  readonly path: (n: number) => string;
  readonly body?: string;
  readonly status: number;
  /** What the gateway has to have taken out of the answer. */
  readonly masked?: string;
}

const different = 100;
const email = 'ada.lovelace@example.com';

const order = (n: string) => ({
  id: Number(n),
  state: 'paid',
  customer: { name: 'Ada', email, city: 'London' },
  lines: [
    { sku: 'a-1', count: 2, price: 12.5 },
    { sku: 'b-7', count: 1, price: 99 },
  ],
});

const pod = (name: string) => ({
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: { name, namespace: 'shop', uid: 'f3b5', labels: { app: 'web' } },
  spec: { containers: [{ name: 'web', image: 'registry.example/web:1.0', env: [{ name: 'A', value: 'b' }] }] },
  status: { phase: 'Running', podIP: '10.0.0.7' },
});

const secretValue = Buffer.from('not for everybody').toString('base64');
const secret = (name: string) => ({
  kind: 'Secret',
  apiVersion: 'v1',
  metadata: { name, namespace: 'shop', uid: 'f3b6' },
  type: 'Opaque',
  data: { password: secretValue },
});

const digestOf = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: manifestType,
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf('{}'), size: 2 },
  layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: digestOf('a'), size: 1 }],
});

const call = (tool: string) =>
  JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: tool, arguments: { words: 'x' } } });

const numbered = (path: string) => (n: number) => `${path}${String(n % different)}`;
const pods = '/api/v1/namespaces/shop/pods';

export const asks: readonly Ask[] = [
  { protocol: 'http', what: 'GET', method: 'GET', path: numbered('/orders/'), status: 200 },
  {
    protocol: 'http',
    what: 'POST',
    method: 'POST',
    path: () => '/orders',
    body: JSON.stringify({ customer: 7, lines: [{ sku: 'a-1', count: 2 }] }),
    status: 201,
  },
  {
    protocol: 'http',
    what: 'GET, a field masked',
    method: 'GET',
    path: numbered('/masked/'),
    status: 200,
    masked: email,
  },
  { protocol: 'kubernetes', what: 'get a pod', method: 'GET', path: numbered(`${pods}/web-`), status: 200 },
  {
    protocol: 'kubernetes',
    what: 'create a pod',
    method: 'POST',
    path: () => pods,
    body: JSON.stringify(pod('web')),
    status: 201,
  },
  {
    protocol: 'kubernetes',
    what: 'get a Secret, its data masked',
    method: 'GET',
    path: numbered('/api/v1/namespaces/shop/secrets/key-'),
    status: 200,
    masked: secretValue,
  },
  { protocol: 'registry', what: 'list tags', method: 'GET', path: () => '/v2/team/app/tags/list', status: 200 },
  {
    protocol: 'registry',
    what: 'pull a manifest, its digest checked',
    method: 'GET',
    path: () => `/v2/team/app/manifests/${digestOf(manifest)}`,
    status: 200,
  },
  {
    protocol: 'registry',
    what: 'begin an upload',
    method: 'POST',
    path: () => '/v2/team/app/blobs/uploads/',
    status: 202,
  },
  { protocol: 'mcp', what: 'call a tool', method: 'POST', path: () => '/mcp', body: call('say'), status: 200 },
  {
    protocol: 'mcp',
    what: 'call a tool, a field masked',
    method: 'POST',
    path: () => '/mcp',
    body: call('lookup'),
    status: 200,
    masked: email,
  },
];

export interface Answer {
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly text: string;
}

const json = (status: number, value: unknown, fields: Answer['fields'] = {}): Answer => ({
  status,
  fields: { 'content-type': 'application/json', ...fields },
  text: typeof value === 'string' ? value : JSON.stringify(value),
});

/** What the server answers; it keeps nothing. */
export function answerTo(method: string, path: string, body: string): Answer {
  const last = path.slice(path.lastIndexOf('/') + 1);
  if (path === '/mcp') return method === 'POST' ? answerMcp(body) : json(method === 'DELETE' ? 200 : 405, {});
  if (path.startsWith('/v2/')) return answerRegistry(method, path);
  if (path.startsWith('/api/v1/')) {
    if (method === 'POST') return json(201, body);
    return json(200, path.includes('/secrets/') ? secret(last) : pod(last));
  }
  return method === 'POST' ? json(201, { id: 7 }) : json(200, order(last));
}

function answerRegistry(method: string, path: string): Answer {
  if (path.includes('/manifests/'))
    return json(200, manifest, { 'content-type': manifestType, 'docker-content-digest': digestOf(manifest) });
  if (method === 'POST') return { status: 202, fields: { location: `${path}5c1f`, range: '0-0' }, text: '' };
  return json(200, { name: 'team/app', tags: ['1.0', '1.1', 'latest'] });
}

function answerMcp(body: string): Answer {
  const { id, method, params } = JSON.parse(body) as { id?: number; method?: string; params?: { name?: string } };
  const result = (value: unknown) => json(200, { jsonrpc: '2.0', id, result: value }, { 'mcp-session-id': 'one' });
  switch (method) {
    case 'initialize':
      return result({
        protocolVersion: '2025-06-18',
        capabilities: { tools: {} },
        serverInfo: { name: 'bench', version: '1' },
      });
    case 'notifications/initialized':
      return { status: 202, fields: {}, text: '' };
    case 'tools/list':
      return result({ tools: ['say', 'lookup'].map(tool) });
    default: {
      const said = params?.name === 'lookup' ? { customer: { name: 'Ada', email } } : { said: 'x' };
      return result({ content: [{ type: 'text', text: JSON.stringify(said) }], structuredContent: said });
    }
  }
}

const tool = (name: string) => ({
  name,
  description: 'Says it.',
  inputSchema: {
    type: 'object',
    properties: { words: { type: 'string' } },
    required: ['words'],
    additionalProperties: false,
  },
});

export const policy: Readonly<Record<Protocol, string>> = {
  http: `package policy.http

import data.sallyport.http

allow contains {"code": "all"} if input.operation.http.method != ""

mask contains {"code": "email", "resource": "body:customer.email", "with": "redact"} if http.below(["masked"])
`,
  kubernetes: `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

mask contains {"code": "secret", "resource": "secrets:data", "with": "redact"} if kubernetes.secrets
`,
  registry: `package policy.registry

allow contains {"code": "all"} if input.version == 1
`,
  mcp: `package policy.mcp

allow contains {"code": "all"} if input.version == 1

mask contains {"code": "mail", "resource": "lookup:customer.email", "with": "redact"} if input.operation.mcp.tool == "lookup"
`,
};
