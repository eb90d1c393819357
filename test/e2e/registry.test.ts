import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { digestOf, startRegistry, type TestRegistry } from '../support/registry.js';
import { startWeb, type Web } from '../support/web.js';

/** The gate before a registry, whole: pushes, pulls, mounts and removals, as clients make them. */

const policy = {
  'registry.rego': `package policy.registry

import data.sallyport.registry

allow contains {"code": "pulls"} if registry.pulls_only

allow contains {"code": "pushes"} if registry.pushes

allow contains {"code": "removes"} if registry.removes

deny contains {"code": "secret", "message": "not for agents"} if startswith(input.operation.registry.repository, "secret/")

deny contains {"code": "unsigned", "message": "sign it first"} if {
  input.operation.registry.tag == "signed-only"
  not registry.signed
}

deny contains {"code": "labelled", "message": "no team is named"} if {
  registry.publishes
  registry.below("labelled")
  not registry.labels.team
}

deny contains {"code": "large", "message": "too large"} if input.operation.registry.manifest.size > 10000000

approval contains {"code": "releases_wait", "groups": ["operators"]} if registry.published_tag == "release"

limit contains {"bytes": 1000} if startswith(input.operation.registry.repository, "limited/")
`,
};

let registry: TestRegistry;
let web: Web;
let headers: Record<string, string>;

beforeAll(async () => {
  registry = await startRegistry();
  web = await startWeb({
    policy,
    protocol: 'registry',
    people: true,
    upstream: () => ({
      url: `http://127.0.0.1:${String(registry.port)}`,
      credential: { basic: 'gateway:its-password' },
      storage: ['127.0.0.1'],
    }),
  });
  const password = await web.gateway.token();
  headers = { authorization: `Basic ${Buffer.from(`agent:${password}`).toString('base64')}` };
});
afterAll(async () => {
  await web?.close();
  await registry?.close();
});
beforeEach(() => {
  registry.heard.length = 0;
  registry.elsewhere = false;
  registry.corrupts = undefined;
});

const oci = 'application/vnd.oci.image.manifest.v1+json';
const octets = { 'content-type': 'application/octet-stream' };
const lines = () => registry.heard.map(({ line }) => line);
const code = (answer: { text: string }) => (JSON.parse(answer.text) as { errors: { code: string }[] }).errors[0]?.code;

/** As Docker does: a start, one part, an end. */
async function pushBlob(repository: string, bytes: string): Promise<string> {
  const started = await web.call(`/v2/cloud/${repository}/blobs/uploads/`, { method: 'POST', headers });
  expect(started.status).toBe(202);
  const sent = await web.call(String(started.headers['location']), {
    method: 'PATCH',
    headers: { ...headers, ...octets },
    body: bytes,
  });
  expect(sent.status).toBe(202);
  const digest = digestOf(bytes);
  const ended = await web.call(`${String(sent.headers['location'])}?digest=${digest}`, { method: 'PUT', headers });
  expect({ status: ended.status, location: ended.headers['location'] }).toEqual({
    status: 201,
    location: `/v2/cloud/${repository}/blobs/${digest}`,
  });
  return digest;
}

interface Image {
  readonly config?: object;
  readonly more?: object;
}

/** Blobs and the text of a manifest that names them. */
async function blobsOf(repository: string, { config = {}, more = {} }: Image = {}): Promise<string> {
  const settings = JSON.stringify(config);
  const layer = `layer of ${repository}`;
  await pushBlob(repository, settings);
  await pushBlob(repository, layer);
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: oci,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(settings),
      size: settings.length,
    },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length }],
    ...more,
  });
}

const pushManifest = (repository: string, reference: string, body: string, type = oci) =>
  web.call(`/v2/cloud/${repository}/manifests/${reference}`, {
    method: 'PUT',
    headers: { ...headers, 'content-type': type },
    body,
  });

describe('who asks', () => {
  test('is asked for a password, which is the token', async () => {
    const nobody = await web.call('/v2/');
    expect(nobody).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Basic realm="sallyport"' } });
    expect(code(nobody)).toBe('UNAUTHORIZED');
    expect((await web.call('/v2/', { headers })).status).toBe(200);
    expect((await web.call('/v2/', { headers: await web.bearer() })).status).toBe(200);
    expect((await web.call('/v2/cloud/team/app/tags/list')).status).toBe(401);
    expect((await web.call('/v2/other/team/app/tags/list', { headers })).status).toBe(404);
    expect(registry.heard).toEqual([]);
  });
});

describe('a push', () => {
  test('brings blobs in parts, then the manifest, each with the credential of the gateway', async () => {
    const body = await blobsOf('team/app');
    const answer = await pushManifest('team/app', 'v1', body);
    expect(answer).toMatchObject({
      status: 201,
      headers: { location: '/v2/cloud/team/app/manifests/v1', 'docker-content-digest': digestOf(body) },
    });
    const own = `Basic ${Buffer.from('gateway:its-password').toString('base64')}`;
    expect(new Set(registry.heard.map(({ authorization }) => authorization))).toEqual(new Set([own]));
    const pulled = await web.call('/v2/cloud/team/app/manifests/v1', { headers });
    expect(pulled).toMatchObject({ status: 200, text: body, headers: { 'content-type': oci } });
    const blob = await web.call(`/v2/cloud/team/app/blobs/${digestOf('layer of team/app')}`, { headers });
    expect(blob).toMatchObject({ status: 200, text: 'layer of team/app' });
  });

  test('of a whole blob in one request is checked on its way', async () => {
    const post = (digest: string) =>
      web.call(`/v2/cloud/team/one/blobs/uploads/?digest=${digest}`, {
        method: 'POST',
        headers: { ...headers, ...octets },
        body: 'a whole blob',
      });
    expect((await post(digestOf('a whole blob'))).status).toBe(201);
    const other = await post(digestOf('another blob'));
    expect({ status: other.status, code: code(other) }).toEqual({ status: 400, code: 'DIGEST_INVALID' });
    expect([...registry.repositories.get('team/one')!.blobs.keys()]).toEqual([digestOf('a whole blob')]);
  });

  test('that ends with another digest than its bytes have does not end', async () => {
    const started = await web.call('/v2/cloud/team/one/blobs/uploads/', { method: 'POST', headers });
    const sent = await web.call(String(started.headers['location']), { method: 'PATCH', headers, body: 'bytes' });
    const place = String(sent.headers['location']);
    registry.heard.length = 0;
    const ended = await web.call(`${place}?digest=${digestOf('others')}`, { method: 'PUT', headers });
    expect({ status: ended.status, code: code(ended) }).toEqual({ status: 400, code: 'DIGEST_INVALID' });
    expect(lines()).toEqual([]);
    expect((await web.call(place, { headers })).status).toBe(204);
    expect((await web.call(place, { method: 'DELETE', headers })).status).toBe(204);
  });

  test('in several parts is told how far it is', async () => {
    const started = await web.call('/v2/cloud/team/parts/blobs/uploads/', { method: 'POST', headers });
    const part = (place: unknown, range: string, body: string) =>
      web.call(String(place), { method: 'PATCH', headers: { ...headers, 'content-range': range }, body });
    const first = await part(started.headers['location'], '0-4', 'first');
    expect(first).toMatchObject({ status: 202, headers: { range: '0-4' } });
    expect((await part(first.headers['location'], '9-14', 'second')).status).toBe(416);
    const second = await part(first.headers['location'], '5-10', 'second');
    const place = `${String(second.headers['location'])}?digest=${digestOf('firstsecond')}`;
    expect((await web.call(place, { method: 'PUT', headers })).status).toBe(201);
  });

  test('goes on for the same principal and repository alone', async () => {
    const started = await web.call('/v2/cloud/team/app/blobs/uploads/', { method: 'POST', headers });
    const place = String(started.headers['location']);
    const other = await web.bearer({ subject: 'agent:other' });
    registry.heard.length = 0;
    const sealed = place.split('/').at(-1)!;
    for (const [path, who] of [
      [place, other],
      [`/v2/cloud/team/other/blobs/uploads/${sealed}`, headers],
      [`${place.slice(0, -3)}AAA`, headers],
      ['/v2/cloud/team/app/blobs/uploads/AAAA', headers],
    ] as const) {
      const answer = await web.call(path, { method: 'PATCH', headers: who, body: 'x' });
      expect({ status: answer.status, code: code(answer) }).toEqual({ status: 404, code: 'BLOB_UPLOAD_UNKNOWN' });
    }
    expect(registry.heard).toEqual([]);
  });

  test('that policy denies reaches no registry', async () => {
    const answer = await web.call('/v2/cloud/secret/app/blobs/uploads/', { method: 'POST', headers });
    expect({ status: answer.status, code: code(answer) }).toEqual({ status: 403, code: 'DENIED' });
    expect(answer.text).toContain('not for agents');
    expect(registry.heard).toEqual([]);
  });

  test('of a manifest waits, and it is the manifest that is approved', async () => {
    const body = await blobsOf('team/held', { more: { annotations: { 'org.example.team': 'shop' } } });
    const pushed = pushManifest('team/held', 'release', body);
    const waiting = await web.waiting();
    expect(lines().filter((line) => line.startsWith('PUT /v2/team/held/manifests/'))).toEqual([]);
    expect(JSON.stringify(waiting)).toContain(digestOf(body));
    await web.answer('approve', waiting.id);
    expect((await pushed).status).toBe(201);
    const again = pushManifest('team/held', 'release', `${body} `);
    const { id } = await web.waiting();
    expect(id).not.toBe(waiting.id);
    await web.answer('refuse', id);
    expect((await again).status).toBe(403);
    expect(registry.repositories.get('team/held')!.tags.get('release')).toBe(digestOf(body));
  });

  test('is judged by the labels of its configuration', async () => {
    const without = await blobsOf('labelled/app');
    expect(code(await pushManifest('labelled/app', 'v1', without))).toBe('DENIED');
    const labelled = await blobsOf('labelled/app', { config: { config: { Labels: { team: 'shop' } } } });
    expect((await pushManifest('labelled/app', 'v1', labelled)).status).toBe(201);
  });

  test('is judged by what the manifest says of its size', async () => {
    const layer = { mediaType: 'application/octet-stream', digest: digestOf('x'), size: 10_000_001 };
    const body = await blobsOf('team/large', { more: { layers: [layer] } });
    expect(code(await pushManifest('team/large', 'v1', body))).toBe('DENIED');
  });
});

describe('a signature', () => {
  test('has to be there before a tag that asks for one, and then the very image is pulled', async () => {
    const body = await blobsOf('team/signed');
    expect(code(await pushManifest('team/signed', 'signed-only', body))).toBe('DENIED');
    const digest = digestOf(body);
    expect((await pushManifest('team/signed', digest, body)).status).toBe(201);
    const signature = await blobsOf('team/signed', { more: { annotations: { of: digest } } });
    expect((await pushManifest('team/signed', `${digest.replace(':', '-')}.sig`, signature)).status).toBe(201);
    expect((await pushManifest('team/signed', 'signed-only', body)).status).toBe(201);
    const pulled = await web.call('/v2/cloud/team/signed/manifests/signed-only', { headers });
    expect(pulled).toMatchObject({ status: 200, text: body });
    const { tags, manifests } = registry.repositories.get('team/signed')!;
    const unsigned = JSON.stringify({ ...(JSON.parse(body) as object), annotations: { other: 'image' } });
    manifests.set(digestOf(unsigned), { media: oci, bytes: Buffer.from(unsigned) });
    tags.set('signed-only', digestOf(unsigned));
    expect(code(await web.call('/v2/cloud/team/signed/manifests/signed-only', { headers }))).toBe('DENIED');
  });

  test('may be attached as a referrer', async () => {
    const body = await blobsOf('team/referred', { more: { annotations: { is: 'referred' } } });
    expect((await pushManifest('team/referred', digestOf(body), body)).status).toBe(201);
    const subject = { mediaType: oci, digest: digestOf(body), size: body.length };
    const artifactType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
    const signature = await blobsOf('team/referred', { more: { subject, artifactType } });
    expect((await pushManifest('team/referred', digestOf(signature), signature)).status).toBe(201);
    expect((await pushManifest('team/referred', 'signed-only', body)).status).toBe(201);
    const listed = await web.call(`/v2/cloud/team/referred/referrers/${digestOf(body)}`, { headers });
    expect(listed.json()).toMatchObject({ manifests: [{ digest: digestOf(signature) }] });
  });
});

describe('a mount', () => {
  test('reads one repository and writes another', async () => {
    const digest = await pushBlob('team/base', 'base layer');
    registry.heard.length = 0;
    const path = `/v2/cloud/team/app/blobs/uploads/?mount=${digest}&from=cloud/team/base`;
    const answer = await web.call(path, { method: 'POST', headers });
    expect(answer).toMatchObject({ status: 201, headers: { location: `/v2/cloud/team/app/blobs/${digest}` } });
    expect(lines()).toEqual([`POST /v2/team/app/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=team%2Fbase`]);
  });

  test('of what may not be pulled begins an upload, and mounts nothing', async () => {
    const bytes = Buffer.from('secret layer');
    const blobs = new Map([[digestOf(bytes), bytes]]);
    registry.repositories.set('secret/base', { blobs, manifests: new Map(), tags: new Map() });
    for (const from of ['cloud/secret/base', 'other/secret/base', 'secret/base', undefined]) {
      registry.heard.length = 0;
      const source = from === undefined ? '' : `&from=${from}`;
      const path = `/v2/cloud/team/app/blobs/uploads/?mount=${digestOf(bytes)}${source}`;
      const answer = await web.call(path, { method: 'POST', headers });
      expect({ from, status: answer.status, asked: lines() }).toEqual({
        from,
        status: 202,
        asked: ['POST /v2/team/app/blobs/uploads/'],
      });
    }
    expect(registry.repositories.get('team/app')!.blobs.has(digestOf(bytes))).toBe(false);
  });
});

describe('a pull', () => {
  test('of a blob that is another one, or is cut off, does not end', async () => {
    const digest = await pushBlob('team/kept', 'what it is');
    registry.corrupts = () => Buffer.from('what it isnt');
    await expect(web.call(`/v2/cloud/team/kept/blobs/${digest}`, { headers })).rejects.toThrow(/aborted|hang up/);
  });

  test('of a blob that is kept elsewhere takes no credential there', async () => {
    const digest = await pushBlob('team/kept', 'kept elsewhere');
    registry.elsewhere = true;
    const answer = await web.call(`/v2/cloud/team/kept/blobs/${digest}`, { headers });
    expect(answer).toMatchObject({ status: 200, text: 'kept elsewhere' });
    expect(registry.storage.heard).toEqual([{ authorization: undefined }]);
  });

  test('of a part of a blob is one', async () => {
    const digest = await pushBlob('team/kept', '0123456789');
    const answer = await web.call(`/v2/cloud/team/kept/blobs/${digest}`, {
      headers: { ...headers, range: 'bytes=2-4' },
    });
    expect(answer).toMatchObject({ status: 206, text: '234' });
  });

  test('is no larger than policy lets it be', async () => {
    const digest = await pushBlob('limited/kept', 'x'.repeat(2_000));
    const answer = await web.call(`/v2/cloud/limited/kept/blobs/${digest}`, { headers });
    expect({ status: answer.status, code: code(answer) }).toEqual({ status: 403, code: 'DENIED' });
  });

  test('of a manifest that cannot be judged is none, where it would be', async () => {
    const body = await blobsOf('team/unread');
    const { manifests, tags } = registry.repositories.get('team/unread')!;
    const layers = '"layers":[{"mediaType":"a/b","digest":"sha256:0","size":10000001}]';
    for (const text of [
      body.replace('"layers":', `${layers},"layers":`),
      body.replace('"layers":', `"Layers":`),
      JSON.stringify({ ...(JSON.parse(body) as object), annotations: { padding: 'x'.repeat(1_048_576) } }),
    ]) {
      manifests.set(digestOf(text), { media: oci, bytes: Buffer.from(text) });
      tags.set('v1', digestOf(text));
      for (const reference of ['v1', digestOf(text)]) {
        const answer = await web.call(`/v2/cloud/team/unread/manifests/${reference}`, { headers });
        expect({ status: answer.status, said: answer.text.includes('cannot be judged') }).toEqual({
          status: 502,
          said: true,
        });
      }
    }
  });

  test('of tags has its next page at the gateway', async () => {
    const body = await blobsOf('team/tagged');
    for (const tag of ['a', 'b', 'c']) expect((await pushManifest('team/tagged', tag, body)).status).toBe(201);
    const first = await web.call('/v2/cloud/team/tagged/tags/list', { headers });
    expect(first.json()).toMatchObject({ tags: ['a', 'b'] });
    const next = /^<(.*)>; rel="next"$/.exec(String(first.headers['link']))?.[1] ?? '';
    expect(next).toBe('/v2/cloud/team/tagged/tags/list?n=2&last=b');
    expect((await web.call(next, { headers })).json()).toMatchObject({ tags: ['c'] });
  });

  test('of what is not there says so', async () => {
    expect(code(await web.call('/v2/cloud/team/none/manifests/v1', { headers }))).toBe('MANIFEST_UNKNOWN');
    expect((await web.call('/v2/cloud/team/none/manifests/v1', { method: 'HEAD', headers })).status).toBe(404);
  });
});

test('a removal is one', async () => {
  const body = await blobsOf('team/removed');
  await pushManifest('team/removed', 'v1', body);
  const path = `/v2/cloud/team/removed/manifests/${digestOf(body)}`;
  expect((await web.call(path, { method: 'DELETE', headers })).status).toBe(202);
  expect((await web.call(path, { headers })).status).toBe(404);
});
