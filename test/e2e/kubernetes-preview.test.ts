import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { kubeconfig } from '../support/api-server.js';
import { startWeb, type Web } from '../support/web.js';
import { writableApiServer, type Fields, type Writable } from '../support/writable-api-server.js';

/** Writes that policy judges by what they would become, at an API server that keeps what it is sent. */

const policy = {
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

_runs if kubernetes.resource in {"deployments.apps", "pods"}

preview contains {"code": "images"} if _runs

preview contains {"code": "config"} if kubernetes.resource in {"configmaps", "gadgets.example.com"}

deny contains {"code": "registry", "message": "images come from registry.example"} if {
  _runs
  not kubernetes.images_from({"registry.example/"})
}

deny contains {"code": "twisted", "message": "what is tried is not what is allowed"} if {
  some change in input.operation.kubernetes.result.changes
  change.path == "data.forbidden"
}

deny contains {"code": "untried"} if input.operation.kubernetes.field_manager == "nobody"

approval contains {"code": "replicas", "groups": ["operators"], "preview": "effect"} if {
  kubernetes.resource in {"statefulsets.apps", "secrets"}
}

mask contains {"code": "tokens", "resource": "statefulsets.apps:spec.token", "with": "redact"} if {
  kubernetes.resource == "statefulsets.apps"
}
`,
};

let web: Web;
let server: Writable;

beforeAll(async () => {
  web = await startWeb({
    policy,
    protocol: 'kubernetes',
    people: true,
    upstream: (port) => ({ kubeconfig: kubeconfig(port), impersonate: true }),
  });
});
afterAll(() => web?.close());

const apps = '/apis/apps/v1/namespaces/shop';
const web1 = `${apps}/deployments/web`;
const db = `${apps}/statefulsets/db`;
const settings = '/api/v1/namespaces/shop/configmaps/settings';
const container = (image: string, name = 'web') => ({ name, image });
const deployment = (image: string) => ({
  kind: 'Deployment',
  apiVersion: 'apps/v1',
  metadata: { name: 'web', resourceVersion: '7', managedFields: [{ manager: 'x' }] },
  spec: { replicas: 1, template: { spec: { containers: [container(image)] } } },
  status: { replicas: 1 },
});

beforeEach(() => {
  server = writableApiServer();
  web.upstream.heard.length = 0;
  web.upstream.answers(server.answer);
  server.objects.set(web1, deployment('registry.example/web:1'));
  const set = { kind: 'StatefulSet', apiVersion: 'apps/v1', metadata: { name: 'db', resourceVersion: '8' } };
  server.objects.set(db, { ...set, spec: { replicas: 1, token: 'canary-5e1d' } });
  const config = { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'settings', resourceVersion: '9' } };
  server.objects.set(settings, { ...config, data: { a: 'b' } });
});

type Answer = Awaited<ReturnType<Web['call']>>;
const media = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
  object: 'application/json',
} as const;

async function write(method: string, path: string, form: keyof typeof media, body: unknown): Promise<Answer> {
  return web.call(`/kubernetes/cloud${path}`, {
    method,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { ...(await web.bearer()), 'content-type': media[form] },
  });
}

const causes = ({ text }: Answer) =>
  (JSON.parse(text) as { details: { causes: { reason: string }[] } }).details.causes.map(({ reason }) => reason);
const asked = () => web.upstream.heard.map(({ method, url }) => `${method} ${url}`);
const replicas = (path: string) => (server.objects.get(path)?.['spec'] as { replicas: number }).replicas;
const containersOf = (image: string, name?: string) => ({
  spec: { template: { spec: { containers: [container(image, name)] } } },
});
const image = '/spec/template/spec/containers/0/image';

describe('a patch is judged by what it would make of the object', () => {
  test.each([
    ['json', [{ op: 'replace', path: image, value: 'registry.example/web:2' }]],
    ['merge', containersOf('registry.example/web:2')],
    ['strategic', containersOf('registry.example/web:2')],
    ['apply', { apiVersion: 'apps/v1', kind: 'Deployment', ...containersOf('registry.example/web:2') }],
  ] as const)('%s: tried, judged, and done as it was tried', async (form, patch) => {
    const { status } = await write('PATCH', web1, form, patch);
    expect(status).toBe(200);
    expect(asked()).toEqual([`GET ${web1}`, `PATCH ${web1}?dryRun=All`, `PATCH ${web1}`]);
    const [, tried, done] = web.upstream.heard;
    // The same bytes, for the one version of the object.
    expect(done?.body).toEqual(tried?.body);
    expect(done?.body.toString()).toContain('"7"');
    expect(done?.headers).toMatchObject({ authorization: 'Bearer the-real-one', 'content-type': media[form] });
    expect(tried?.headers['impersonate-user']).toBe(done?.headers['impersonate-user']);
    expect(JSON.stringify(server.objects.get(web1))).toContain('registry.example/web:2');
  });

  test.each([
    ['json', [{ op: 'replace', path: image, value: 'evil.example/web:2' }]],
    ['merge', containersOf('evil.example/web:2')],
    ['strategic', containersOf('evil.example/web:2')],
    ['strategic', containersOf('registry.example.evil/web:2', 'other')],
    ['apply', { apiVersion: 'apps/v1', kind: 'Deployment', ...containersOf('evil.example/web:2') }],
  ] as const)('%s: what it would become is not allowed, and nothing of it is done', async (form, patch) => {
    const answer = await write('PATCH', web1, form, patch);
    expect(answer.status).toBe(403);
    expect(causes(answer)).toContain('registry');
    expect(asked()).toEqual([`GET ${web1}`, `PATCH ${web1}?dryRun=All`]);
    expect(JSON.stringify(server.objects.get(web1))).not.toContain('evil');
  });

  test('an object that has another image already is changed in no other respect either', async () => {
    server.objects.set(web1, deployment('evil.example/web:1'));
    const answer = await write('PATCH', web1, 'merge', { spec: { replicas: 2 } });
    expect(causes(answer)).toContain('registry');
    expect(replicas(web1)).toBe(1);
  });

  test('what admission would make of it counts', async () => {
    server.admission = (object) => {
      ((object['spec'] as Fields)['template'] as Fields)['sidecar'] = { image: 'evil.example/sidecar:1' };
      return undefined;
    };
    const answer = await write('PATCH', web1, 'merge', { spec: { replicas: 2 } });
    expect(causes(answer)).toContain('registry');
  });

  test('an update and a create are tried as well', async () => {
    const object = deployment('registry.example/web:3');
    const { metadata: _, ...rest } = object;
    const updated = await write('PUT', web1, 'object', { ...rest, metadata: { name: 'web' } });
    expect(updated.status).toBe(200);
    expect(web.upstream.heard.at(-1)?.body.toString()).toContain('"resourceVersion":"7"');
    const made = { ...rest, metadata: { name: 'new' } };
    expect((await write('POST', `${apps}/deployments`, 'object', made)).status).toBe(201);
    expect(asked().slice(-2)).toEqual([`POST ${apps}/deployments?dryRun=All`, `POST ${apps}/deployments`]);
    const wrong = { ...deployment('evil.example/web:1'), metadata: { generateName: 'new-' } };
    expect(causes(await write('POST', `${apps}/deployments`, 'object', wrong))).toContain('registry');
  });

  test('policy that denies it by what it says has nothing tried', async () => {
    const answer = await write('PATCH', `${web1}?fieldManager=nobody`, 'merge', { spec: { replicas: 2 } });
    expect(causes(answer)).toContain('untried');
    expect(asked()).toEqual([]);
  });

  test('kinds that no rule asks for are not tried', async () => {
    const path = '/api/v1/namespaces/shop/services/web';
    server.objects.set(path, { kind: 'Service', metadata: { name: 'web', resourceVersion: '3' } });
    expect((await write('PATCH', path, 'merge', { spec: {} })).status).toBe(200);
    expect(asked()).toEqual([`PATCH ${path}`]);
  });

  test('records have the trial before it is made, which fields would change, and no values', async () => {
    await write('PATCH', settings, 'merge', { data: { secretly: 'canary-77' } });
    const records = (await web.gateway.records()) as {
      kind: string;
      stage?: string;
      operation?: { kubernetes?: unknown };
    }[];
    const own = records.filter((record) => JSON.stringify(record).includes('configmaps/settings'));
    expect(own.map(({ kind, stage }) => [kind, stage])).toEqual([
      ['intent', 'prepare'],
      ['intent', 'execute'],
    ]);
    expect(JSON.stringify(own[1])).toContain('"changes":[{"path":"metadata.annotations"},{"path":"data.secretly"}]');
  });
});

describe('what cannot be found out is not let through', () => {
  test('a webhook that has effects of its own, and is not tried', async () => {
    server.admission = (_, dry) =>
      dry ? { status: 400, reason: 'BadRequest', message: 'admission webhook does not support dry run' } : undefined;
    const answer = await write('PATCH', settings, 'merge', { data: { c: 'd' } });
    expect(answer.status).toBe(403);
    expect(causes(answer)).toContain('preview_failed');
    expect(answer.text).toContain('a dry run of it with 400');
    expect(server.objects.get(settings)?.['data']).toEqual({ a: 'b' });
    // Rules that say what it may become let nothing through that is not known either.
    expect(causes(await write('PATCH', web1, 'merge', { spec: { replicas: 2 } }))).toContain('registry');
    expect(replicas(web1)).toBe(1);
  });

  test.each([
    ['a removal', 'DELETE', web1, undefined],
    ['a dry run of an unknown kind', 'PATCH', `${web1}?dryRun=Some`, { spec: {} }],
    [
      'a subresource that answers with something else',
      'POST',
      '/api/v1/namespaces/shop/pods/web/binding',
      { target: {} },
    ],
  ])('%s', async (_name, method, path, body) => {
    const headers = body === undefined ? {} : { 'content-type': method === 'PATCH' ? media.merge : media.object };
    const answer = await web.call(`/kubernetes/cloud${path}`, {
      method,
      headers: { ...(await web.bearer()), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    expect(answer.status).toBe(403);
    expect(asked()).toEqual([]);
  });

  test.each([
    ['of a kind that is none', { status: 200, text: '{"kind":"Status","metadata":{}}' }],
    ['that is no JSON', { status: 200, text: 'fine' }],
    [
      'of more than a megabyte',
      { status: 200, text: JSON.stringify({ kind: 'ConfigMap', metadata: {}, a: 'x'.repeat(1_100_000) }) },
    ],
    ['that is an error of its own', { status: 500, text: '{}' }],
  ])('an answer %s', async (_name, { status, text }) => {
    web.upstream.answers((request, response) => {
      if (!request.url.includes('dryRun')) return server.answer(request, response);
      response.writeHead(status, { 'content-type': 'application/json' }).end(text);
    });
    const answer = await write('PATCH', settings, 'merge', { data: { c: 'd' } });
    expect([answer.status, causes(answer)]).toEqual([403, expect.arrayContaining(['preview_failed'])]);
    expect(asked()).toHaveLength(2);
  });

  test('an object that may be written and not looked at', async () => {
    web.upstream.answers((request, response) => {
      if (request.method !== 'GET') return server.answer(request, response);
      response.writeHead(403, { 'content-type': 'application/json' }).end('{"kind":"Status","code":403}');
    });
    expect(causes(await write('PATCH', settings, 'merge', { data: {} }))).toContain('preview_failed');
    expect(asked()).toEqual([`GET ${settings}`]);
  });
});

describe('a group that may be served by somebody else is tried where its description knows dry runs', () => {
  const group = '/apis/example.com/v1';
  const gadget = `${group}/namespaces/shop/gadgets/one`;
  const described = `GET /openapi/v3${group}`;
  const template = `${group}/namespaces/{namespace}/gadgets/{name}`;
  const dryRun = { name: 'dryRun', in: 'query' };

  /** A server that does whatever it is asked, and describes itself so. */
  const describes = (status: number, text: string) =>
    web.upstream.answers((request, response) => {
      if (!request.url.startsWith('/openapi/')) return server.answer(request, response);
      response.writeHead(status, { 'content-type': 'application/json' }).end(text);
    });
  beforeEach(() => {
    server.objects.set(gadget, { kind: 'Gadget', metadata: { name: 'one', resourceVersion: '3' } });
  });

  test.each([
    ['of the write', { paths: { [template]: { patch: { parameters: [dryRun] } } } }],
    ['of all that is done there', { paths: { [template]: { parameters: [dryRun], patch: {} } } }],
  ])('a parameter %s', async (_name, description) => {
    describes(200, JSON.stringify(description));
    expect((await write('PATCH', gadget, 'merge', { spec: {} })).status).toBe(200);
    expect(asked()).toEqual([described, `GET ${gadget}`, `PATCH ${gadget}?dryRun=All`, `PATCH ${gadget}`]);
    const [look, , , done] = web.upstream.heard;
    expect(look?.headers['impersonate-user']).toBe(done?.headers['impersonate-user']);
    expect(look?.body).toHaveLength(0);
  });

  const other = { [template]: { put: { parameters: [dryRun] }, patch: { parameters: [{ ...dryRun, in: 'header' }] } } };
  test.each([
    ['none', 404, '{}'],
    ['one that may not be read', 403, '{}'],
    ['no JSON', 200, '<html>'],
    ['null', 200, 'null'],
    ['another write', 200, JSON.stringify({ paths: other })],
    ['another place', 200, JSON.stringify({ paths: { [`${template}/status`]: { patch: { parameters: [dryRun] } } } })],
    ['no such write', 200, JSON.stringify({ paths: { [template]: { parameters: [dryRun] } } })],
    ['more than is read', 200, JSON.stringify({ x: 'x'.repeat(4_300_000) })],
  ])('nothing is tried with a description of %s', async (_name, status, text) => {
    describes(status, text);
    const answer = await write('PATCH', gadget, 'merge', { spec: {} });
    expect(causes(answer)).toContain('preview_failed');
    expect(answer.text).toContain('nothing says that the server of example.com knows dry runs');
    expect(asked()).toEqual([described]);
  });
});

describe('what the API server refuses when it is tried is its own answer', () => {
  test.each([
    ['no such object', 404, `${apps}/deployments/other`, { spec: {} }],
    ['a version that is gone', 409, web1, { metadata: { resourceVersion: '6' }, spec: { replicas: 2 } }],
    [
      'a version that is gone, in a JSON patch',
      409,
      web1,
      [{ op: 'replace', path: '/metadata/resourceVersion', value: '6' }],
    ],
    ['a version that is tested', 422, web1, [{ op: 'test', path: '/metadata/resourceVersion', value: '6' }]],
  ])('%s', async (_name, status, path, body) => {
    const answer = await write('PATCH', path, Array.isArray(body) ? 'json' : 'merge', body);
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain('sallyport');
    expect(asked().filter((line) => line.startsWith('PATCH') && !line.includes('dryRun'))).toEqual([]);
  });
});

describe('what is done is what was judged', () => {
  test('an object that changes between the trial and the write is left alone', async () => {
    let writes = 0;
    server.admission = () => {
      // The second is the write itself, of which the version was compared by then.
      writes++;
      return undefined;
    };
    web.upstream.answers((request, response) => {
      const isWrite = request.method === 'PATCH' && !request.url.includes('dryRun');
      if (isWrite)
        server.objects.set(web1, {
          ...deployment('evil.example/web:1'),
          metadata: { name: 'web', resourceVersion: '70' },
        });
      server.answer(request, response);
    });
    for (const [form, patch] of [
      ['merge', { spec: { replicas: 2 } }],
      ['json', [{ op: 'replace', path: '/spec/replicas', value: 2 }]],
    ] as const) {
      server.objects.set(web1, deployment('registry.example/web:1'));
      const answer = await write('PATCH', web1, form, patch);
      expect(answer.status).toBe(409);
      expect(JSON.parse(answer.text)).toMatchObject({
        reason: 'Conflict',
        message: expect.stringContaining('changed while') as unknown,
      });
      expect(replicas(web1)).toBe(1);
    }
    expect(writes).toBe(2);
  });

  test('an object that changes between the look and the trial is looked at again', async () => {
    let changed = false;
    server.before = () => {
      changed = true;
      server.objects.set(web1, {
        ...deployment('registry.example/web:9'),
        metadata: { name: 'web', resourceVersion: '70' },
      });
    };
    expect((await write('PATCH', web1, 'merge', { spec: { replicas: 2 } })).status).toBe(200);
    expect(changed).toBe(true);
    expect(asked().filter((line) => line.startsWith('GET'))).toHaveLength(2);
    expect(JSON.stringify(server.objects.get(web1))).toContain('web:9');
  });

  test('a client that has its own version has its own bytes sent', async () => {
    const patch = { metadata: { resourceVersion: '7' }, spec: { replicas: 2 } };
    expect((await write('PATCH', web1, 'merge', patch)).status).toBe(200);
    expect(web.upstream.heard.map(({ body }) => body.toString())).toEqual([
      '',
      JSON.stringify(patch),
      JSON.stringify(patch),
    ]);
    expect(replicas(web1)).toBe(2);
  });

  test.each([
    ['beside the metadata', { $patch: 'replace', ...deployment('registry.example/web:1') }],
    ['in the metadata', { metadata: { $retainKeys: ['labels'], labels: {} } }],
  ])('directives of a strategic merge %s, where a version may go unheeded, are not tried', async (_name, patch) => {
    expect((await write('PATCH', web1, 'strategic', patch)).status).toBe(403);
    expect(asked()).toEqual([]);
  });

  test('a dry run of the client stays one', async () => {
    expect((await write('PATCH', `${web1}?dryRun=All`, 'merge', { spec: { replicas: 2 } })).status).toBe(200);
    expect(asked()).toEqual([`GET ${web1}`, `PATCH ${web1}?dryRun=All`, `PATCH ${web1}?dryRun=All`]);
    expect(replicas(web1)).toBe(1);
  });
});

/** What approvers see of a request, once its effect is there: it may wait a moment before. */
async function withEffect(id: string): Promise<string> {
  const headers = await web.bearer({ subject: 'ada@example.com', kind: 'human', groups: ['operators'] });
  for (;;) {
    const { text } = await web.call(`/v1/approvals/${id}`, { headers });
    if ('effect' in (JSON.parse(text) as object)) return text;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a hold is for the effect that was shown', () => {
  const scaled = { spec: { replicas: 3, token: 'canary-new' } };

  test('people see which fields change, masked; its requester does not; approved, it is done', async () => {
    const running = write('PATCH', db, 'merge', scaled);
    const { id } = await web.waiting();
    const shown = async (token: Parameters<Web['bearer']>[0]) =>
      (await web.call(`/v1/approvals/${id}`, { headers: await web.bearer(token) })).text;
    const seen = JSON.parse(await withEffect(id)) as {
      effect: { relations: unknown[] };
      operation: { kubernetes: object };
    };
    expect(seen.effect.relations).toEqual([
      {
        ...{ relation: 'shop/statefulsets.apps/db', inserted: 0, updated: 1, deleted: 0 },
        sample: [
          {
            before: { 'spec.replicas': '1', 'spec.token': '***' },
            after: { 'metadata.annotations': '{"admitted":"yes"}', 'spec.replicas': '3', 'spec.token': '***' },
          },
        ],
      },
    ]);
    expect(seen.operation.kubernetes).not.toHaveProperty('result');
    const own = await shown({});
    expect(own).not.toContain('"effect":{');
    expect(own).not.toContain('canary-5e1d');
    expect(asked()).toEqual([`GET ${db}`, `PATCH ${db}?dryRun=All`]);
    await web.answer('approve', id);
    expect((await running).status).toBe(200);
    expect(replicas(db)).toBe(3);
    // Tried once more before it was done.
    expect(asked().slice(2)).toEqual([`GET ${db}`, `PATCH ${db}?dryRun=All`, `PATCH ${db}`]);
    expect(JSON.stringify(await web.gateway.records())).not.toContain('canary-5e1d');
  });

  test.each([
    ['another value under it', { replicas: 2, token: 'canary-5e1d' }],
    ['another field beside it', { replicas: 1, token: 'canary-5e1d', paused: true }],
  ])('approved, and %s meanwhile: it is refused, and nothing is done', async (_name, spec) => {
    const running = write('PATCH', db, 'merge', scaled);
    const { id } = await web.waiting();
    server.objects.set(db, { ...server.objects.get(db), metadata: { name: 'db', resourceVersion: '80' }, spec });
    await web.answer('approve', id);
    const answer = await running;
    expect(answer.status).toBe(409);
    expect(causes(answer)).toEqual(['effect_changed']);
    expect(server.objects.get(db)?.['spec']).toEqual(spec);
  });

  test('approved, and only its status and version moved: it is done', async () => {
    const running = write('PATCH', db, 'merge', scaled);
    const { id } = await web.waiting();
    server.objects.set(db, {
      ...server.objects.get(db),
      metadata: { name: 'db', resourceVersion: '81' },
      status: { ready: 1 },
    });
    await web.answer('approve', id);
    expect((await running).status).toBe(200);
    expect(replicas(db)).toBe(3);
  });

  test('what the API server refuses is not told to who waits: people see that it is not known', async () => {
    const running = write('PATCH', `${apps}/statefulsets/none`, 'merge', scaled);
    const { id } = await web.waiting();
    expect(JSON.parse(await withEffect(id))).toMatchObject({
      effect: { basis: 'estimated', reason: expect.stringContaining('404') as unknown },
    });
    await web.answer('approve', id);
    expect((await running).status).toBe(404);
  });

  test('a Secret shows which keys change, and no value', async () => {
    const path = '/api/v1/namespaces/shop/secrets';
    const secret = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 's' }, data: { key: 'Y2FuYXJ5' } };
    server.admission = (object) => {
      (object['data'] as Fields)['added'] = 'Y2FuYXJ5';
      return undefined;
    };
    const running = write('POST', path, 'object', secret);
    const { id } = await web.waiting();
    const text = await withEffect(id);
    expect(text).toContain('"data.added":"withheld"');
    expect(text).not.toContain('Y2FuYXJ5');
    await web.answer('approve', id);
    expect((await running).status).toBe(201);
  });
});
