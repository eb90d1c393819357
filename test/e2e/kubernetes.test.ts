import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { parse } from 'yaml';
import { apiServer, canary, kubeconfig, secret, shows } from '../support/api-server.js';
import { startWeb, type Web } from '../support/web.js';

/** The gate to an API server, whole: a client over TLS, a policy, a server that keeps what it was asked. */

const policy = {
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

deny contains {"code": "rights", "message": "rights are not changed here"} if input.operation.action == "administer"

deny contains {"code": "enters", "message": "nothing runs in containers"} if kubernetes.enters

deny contains {"code": "mounts", "message": "Secrets are not brought into containers"} if count(kubernetes.mounts) > 0

approval contains {"code": "removals_wait", "groups": ["operators"]} if input.operation.action == "delete"

mask contains {"code": "secret", "resource": "secrets:data", "with": "redact"} if kubernetes.secrets

limit contains {"bytes": 100} if input.operation.kubernetes.namespace == "small"
`,
};

const root = join(import.meta.dirname, '../..');
let web: Web;

beforeAll(async () => {
  web = await startWeb({
    policy,
    protocol: 'kubernetes',
    people: true,
    upstream: (port) => ({ kubeconfig: kubeconfig(port), impersonate: true }),
  });
});
afterAll(() => web?.close());
beforeEach(() => {
  web.upstream.heard.length = 0;
  web.upstream.answers(apiServer);
});

const secrets = '/kubernetes/cloud/api/v1/namespaces/shop/secrets';
type Options = Parameters<Web['call']>[1];
const call = async (path: string, { headers, ...options }: Options & { headers?: Record<string, string> } = {}) =>
  web.call(path, { ...options, headers: { ...(await web.bearer({ groups: ['a', 'b'] })), ...headers } });

interface Status {
  readonly kind: string;
  readonly message: string;
  readonly reason: string;
  readonly code: number;
  readonly details: { readonly causes: readonly { readonly reason: string; readonly field?: string }[] };
}

describe('what passes', () => {
  test('a request reaches the API server in the name of who asks, with the credential of the gateway', async () => {
    const { status, text } = await call('/kubernetes/cloud/api/v1/namespaces/shop/pods/web?pretty=false');
    expect(status).toBe(200);
    expect(text).toContain(canary);
    const [heard] = web.upstream.heard;
    expect(heard).toMatchObject({
      method: 'GET',
      url: '/api/v1/namespaces/shop/pods/web?pretty=false',
      headers: { authorization: 'Bearer the-real-one', 'impersonate-group': 'a, b' },
    });
    expect(heard?.headers['impersonate-user']).toMatch(/^agent:/);
  });

  test('the record has the object that was asked for, and no object that was written', async () => {
    const body = JSON.stringify({ kind: 'Secret', metadata: { name: 'new' }, stringData: { password: canary } });
    const { status, text } = await call(secrets, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    expect({ status, shown: shows(text) }).toEqual({ status: 201, shown: false });
    const written = (await web.gateway.records()).find((record) => JSON.stringify(record).includes('shop/secrets/*'));
    expect(written).toBeDefined();
    expect(shows(JSON.stringify(await web.gateway.records()))).toBe(false);
    expect(web.upstream.heard[0]?.body.toString()).toBe(body);
  });
});

describe('a write in protobuf', () => {
  const media = 'application/vnd.kubernetes.protobuf';
  const headers = { 'content-type': media, accept: `${media},application/json` };
  const vectors = readFileSync(join(root, 'gateway/protocols/kubernetes/protobuf/vectors.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { protobuf: string; json: { kind: string } });
  const { protobuf, json } = vectors.find(({ json: { kind } }) => kind === 'Secret')!;
  const body = Buffer.from(protobuf, 'hex');
  const write = (bytes: Buffer) => call(`${secrets}/db`, { method: 'PUT', body: bytes, headers });

  test('reaches the API server as the JSON that was judged, and is answered in JSON where a mask holds', async () => {
    const { status, text } = await write(body);
    expect({ status, shown: shows(text), kind: (JSON.parse(text) as { kind: string }).kind }).toEqual({
      ...{ status: 200, shown: false, kind: 'Secret' },
    });
    const [heard] = web.upstream.heard;
    expect(JSON.parse(heard!.body.toString())).toEqual(json);
    expect(heard).toMatchObject({
      headers: { 'content-type': 'application/json', accept: 'application/json' },
    });
  });

  test('is refused where it writes a masked value back', async () => {
    const shown = body
      .toString('latin1')
      .replace('\n\x08password\x12\x0bcanary-5e1d', '\n\x10password-of-shop\x12\x03***');
    const masked = Buffer.from(shown, 'latin1');
    expect(masked.equals(body)).toBe(false);
    const { status, text } = await write(masked);
    expect({ status, refused: text.includes('as it was masked for you') }).toEqual({ status: 403, refused: true });
    expect(web.upstream.heard).toEqual([]);
  });

  test('is refused with what to do where anything of it is not known, and where it is packed', async () => {
    const other = await write(Buffer.from(body.toString('latin1').replace('Secret', 'Secrer'), 'latin1'));
    expect(JSON.parse(other.text)).toMatchObject({
      ...{ kind: 'Status', code: 415, reason: 'UnsupportedMediaType' },
      message: expect.stringContaining('write it as JSON') as unknown,
    });
    const packed = await call(`${secrets}/db`, {
      method: 'PUT',
      body,
      headers: { ...headers, 'content-encoding': 'gzip' },
    });
    expect(packed.status).toBe(415);
    expect(packed.text).toContain('content_encoding');
    expect(web.upstream.heard).toEqual([]);
  });
});

describe('what is refused', () => {
  test.each([
    [
      'a change of rights',
      '/kubernetes/cloud/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
      'POST',
      403,
      'rights',
    ],
    [
      'a token of a service account',
      '/kubernetes/cloud/api/v1/namespaces/a/serviceaccounts/b/token',
      'POST',
      403,
      'rights',
    ],
    ['a program in a container', '/kubernetes/cloud/api/v1/namespaces/a/pods/b/exec?command=sh', 'POST', 403, 'enters'],
    ['a path through a service', '/kubernetes/cloud/api/v1/namespaces/a/services/b/proxy/x', 'GET', 403, 'enters'],
    ['an encoded slash', '/kubernetes/cloud/api/v1/namespaces%2Fa%2Fsecrets', 'GET', 400, 'path_encoded_slash'],
    ['a target that is none', '/kubernetes/other/api/v1/pods', 'GET', 404, 'unknown_target'],
  ])('%s, as the API server would say it, and nothing was asked there', async (_name, path, method, code, reason) => {
    const body = method === 'POST' ? '{}' : undefined;
    const { status, text } = await call(path, {
      method,
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
    const answer = JSON.parse(text) as Status;
    expect(status).toBe(code);
    expect(answer).toMatchObject({ kind: 'Status', code });
    expect(answer.details.causes.map((cause) => cause.reason)).toContain(reason);
    expect(web.upstream.heard).toEqual([]);
  });

  test('the token, wherever else in the request it stands, and in base64', async () => {
    const token = await web.gateway.token();
    const coded = Buffer.from(`agent:${token}`).toString('base64');
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const login = JSON.stringify({ auths: { gate: { auth: coded } } });
    for (const [path, more] of [
      [`/kubernetes/cloud/api/v1/pods?labelSelector=${token}`, {}],
      ['/kubernetes/cloud/api/v1/pods', { headers: { ...headers, 'user-agent': `Basic ${coded}` } }],
      [secrets, { method: 'POST', body: JSON.stringify({ kind: 'Secret', stringData: { login } }) }],
      [
        secrets,
        {
          method: 'POST',
          body: JSON.stringify({ kind: 'Secret', data: { token: Buffer.from(token).toString('base64') } }),
        },
      ],
    ] as const) {
      const { status, text } = await web.call(path, { headers, ...more });
      expect({ status, said: text.includes('token_in_request') }).toEqual({ status: 400, said: true });
    }
    expect(web.upstream.heard).toEqual([]);
  });

  test('impersonation by the client', async () => {
    const { status } = await call('/kubernetes/cloud/api/v1/pods', { headers: { 'impersonate-user': 'admin' } });
    expect(status).toBe(403);
    expect(web.upstream.heard).toEqual([]);
  });

  test('whoever has no token, whatever they ask', async () => {
    const { status, text } = await web.call('/kubernetes/other/x%2F', {});
    expect(status).toBe(401);
    expect(JSON.parse(text)).toMatchObject({ kind: 'Status', reason: 'Unauthorized' });
  });

  test('an answer that is larger than policy allows', async () => {
    const { status, text } = await call('/kubernetes/cloud/api/v1/namespaces/small/secrets/db');
    expect(status).toBe(403);
    expect(JSON.parse(text)).toMatchObject({ message: expect.stringContaining('100 bytes') as unknown });
  });
});

interface Way {
  readonly name: string;
  readonly path: string;
  readonly method?: string;
  readonly accept?: string;
  readonly encoding?: string;
  readonly media?: string;
  readonly body?: string;
  readonly refused?: boolean;
}

describe('a Secret is shown in no way', () => {
  const one = `${secrets}/db`;
  const ways = parse(readFileSync(join(import.meta.dirname, 'kubernetes-secrets.yaml'), 'utf8')) as readonly Way[];

  test('in at least 80', () => expect(ways.length).toBeGreaterThanOrEqual(80));

  test.each(ways)('$name', async ({ path, method = 'GET', accept, encoding, media, body, refused = false }) => {
    const headers = {
      ...(accept === undefined ? {} : { accept }),
      ...(encoding === undefined ? {} : { 'accept-encoding': encoding }),
      ...(media === undefined ? {} : { 'content-type': media }),
    };
    const answer = await call(`/kubernetes/cloud${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    expect(shows(answer.text + JSON.stringify(answer.headers))).toBe(false);
    expect([answer.status < 300, answer.status < 500]).toEqual([!refused, true]);
  });

  test('and removals wait for a person', async () => {
    const removed = call(one, { method: 'DELETE' });
    const { id } = await web.waiting();
    expect(web.upstream.heard).toEqual([]);
    await web.answer('approve', id);
    const { status, text } = await removed;
    expect({ status, shown: shows(text) }).toEqual({ status: 200, shown: false });
    expect(web.upstream.heard.map(({ method }) => method)).toEqual(['DELETE']);
  });

  test('while events of a watch come one by one, each whole', async () => {
    const { text } = await call(`${secrets}?watch=1`);
    const events = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; object: { data: unknown } });
    expect(events).toHaveLength(2);
    expect(events[1]).toMatchObject({ type: 'ADDED', object: { data: { password: 'Kioq' } } });
  });

  describe('nor in a list that goes on object by object', () => {
    const objects = Array.from({ length: 400 }, () => JSON.stringify({ ...secret, type: 'x'.repeat(8_192) }));
    const listed = (between: string) => (_heard: unknown, response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(
        `{"kind":"SecretList","items":[${objects.join(',')}${between}${objects[0] ?? ''}],"end":"${canary}"}`,
      );
    };

    test('which comes whole', async () => {
      web.upstream.answers(listed(','));
      const { status, text, headers } = await call(secrets);
      expect({ status, length: headers['content-length'] }).toEqual({ status: 200, length: undefined });
      const { items, end } = JSON.parse(text) as { items: { data: { password: string } }[]; end: string };
      expect(items.map(({ data }) => data.password)).toEqual(Array.from({ length: 401 }, () => 'Kioq'));
      expect(end).toBe(canary);
      expect(shows(JSON.stringify(items))).toBe(false);
    });

    test('which breaks off where it turns out to be none', async () => {
      web.upstream.answers(listed(';'));
      await expect(call(secrets)).rejects.toThrow(/aborted|reset/);
    });

    test('which is cut off where it is larger than policy allows', async () => {
      web.upstream.answers(listed(','));
      await expect(call(secrets.replace('shop', 'small'))).rejects.toThrow(/aborted|reset|hang up/);
    });
  });
});
