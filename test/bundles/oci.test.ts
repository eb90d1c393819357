import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openSource, packBundle, signedFiles, type Source } from '../../bundles/index.js';
import type { Reply } from '../../bundles/asking.js';
import { Registry } from '../../bundles/oci-registry.js';
import { goodPolicy } from './support.js';

/** Policy from a registry of images: a small one with what the distribution specification asks of one, and its bad days. */

const digestOf = (content: Uint8Array) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
const bundleType = 'application/vnd.oci.image.layer.v1.tar+gzip';
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
const signing = { keys: [{ algorithm: 'RS256', pem }] } as const;

const tags = new Map<string, Buffer>();
const blobs = new Map<string, Buffer>();
let auth: 'none' | 'basic' | 'token';
let asked: { method: string; url: string; authorization: string | undefined }[];
/** In place of what the registry would answer; true where it did. */
let spoil: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
let server: Server;
let host: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push({ method: request.method!, url: request.url!, authorization: request.headers.authorization });
    if (spoil?.(request, response) === true) return;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  [auth, asked, spoil] = ['none', [], undefined];
  for (const kept of [tags, blobs]) kept.clear();
});

function answer({ method, url = '', headers: { authorization } }: IncomingMessage, response: ServerResponse): void {
  const send = (status: number, headers: Record<string, string> = {}, body?: Buffer) =>
    void response.writeHead(status, headers).end(method === 'HEAD' ? undefined : body);
  if (url.startsWith('/token')) {
    if (authorization !== basic('robot', 'secret')) return send(401);
    return send(200, {}, Buffer.from(JSON.stringify({ token: 'short-lived', expires_in: 60 })));
  }
  if (url.startsWith('/elsewhere/')) return send(200, {}, blobs.get(url.slice('/elsewhere/'.length)));
  const challenge = { basic: 'Basic realm="registry"', token: `Bearer realm="http://${host}/token",service="registry",scope="repository:team/policy:pull,push"`, none: '' }[auth]; // prettier-ignore
  const wanted = { basic: basic('robot', 'secret'), token: 'Bearer short-lived', none: authorization }[auth];
  if (authorization !== wanted) return send(401, { 'www-authenticate': challenge });
  const [, kind, name = ''] = /^\/v2\/team\/policy\/(manifests|blobs)\/(.+)$/.exec(url) ?? [];
  const found = kind === 'blobs' ? blobs.get(name) : (tags.get(name) ?? blobs.get(name));
  if (found === undefined) return send(404);
  if (kind === 'blobs') return send(307, { location: `/elsewhere/${name}` });
  return send(200, { 'docker-content-digest': digestOf(found) }, found);
}

const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

interface Layer {
  readonly type: string;
  readonly content: Buffer;
  readonly title?: string;
}

/** Puts an artifact there; gives its digest. */
function push(tag: string, layers: readonly Layer[], more: object = {}): string {
  const described = layers.map(({ type, content, title }) => {
    blobs.set(digestOf(content), content);
    return { mediaType: type, digest: digestOf(content), size: content.length, ...(title !== undefined && { annotations: { 'org.opencontainers.image.title': title } }) }; // prettier-ignore
  });
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: described, ...more }));
  tags.set(tag, manifest);
  blobs.set(digestOf(manifest), manifest);
  return digestOf(manifest);
}

const files = (more: Record<string, string> = {}) =>
  new Map(Object.entries({ ...goodPolicy, ...more, '.manifest': '{"revision":"v7"}' }).map(([name, text]) => [name, Buffer.from(text)])); // prettier-ignore
const bundle = (more?: Record<string, string>): Layer => ({ type: bundleType, content: packBundle(files(more)) });
const at = (reference: string, more: object = {}): Source => openSource({ oci: { url: `oci://${host}/team/policy${reference}`, ...more } }); // prettier-ignore

describe('an artifact', () => {
  test('is policy as it was pushed, asked for again by its digest alone, and whole when that is another', async () => {
    const digest = push('v1', [bundle()], { annotations: { 'org.opencontainers.image.created': '2026-11-22T09:00:00Z' } }); // prettier-ignore
    const source = at(':v1');
    const snapshot = await source.read();
    expect(snapshot.revision).toBe(`oci:${digest.slice(7)}`);
    expect(snapshot.commit).toMatchObject({ subject: 'v7', time: '2026-11-22T09:00:00.000Z' });
    expect([...snapshot.files.keys()]).toEqual(Object.keys(goodPolicy).sort());
    source.poke!();
    expect(await source.head()).toBe(snapshot.revision);
    expect(asked.map(({ method }) => method)).toEqual(['GET', 'GET', 'GET', 'HEAD']);
    const next = push('v1', [bundle({ 'data.yaml': 'secret_tables: []\n' })]);
    // Asked a moment ago: it is not asked again until it is due, or somebody says so.
    expect(await source.head()).toBe(snapshot.revision);
    source.poke!();
    expect(await source.head()).toBe(`oci:${next.slice(7)}`);
    expect(await at(`@${digest}`).head()).toBe(snapshot.revision);
  });

  test('is taken with a layer for each file, as conftest pushes them', async () => {
    const opa = 'application/vnd.cncf.openpolicyagent';
    const rego = { type: `${opa}.policy.layer.v1+rego`, content: Buffer.from('package policy.http\n'), title: 'http/a.rego' }; // prettier-ignore
    const data = { type: `${opa}.data.layer.v1+json`, content: Buffer.from('{"a":1}'), title: 'site/data.json' };
    push('v1', [rego, data, { type: `${opa}.manifest.layer.v1+json`, content: Buffer.from('{"revision":"v8"}') }]);
    const { files: found, commit } = await at(':v1').read();
    expect([...found.keys()]).toEqual(['http/a.rego', 'site/data.json']);
    expect(commit).toMatchObject({ subject: 'v8' });
    for (const title of ['http/a.rego.bak', '../a.rego', '.hidden/a.rego', undefined]) {
      push('v2', [data, { ...rego, ...(title === undefined ? { title: '' } : { title }) }]);
      await expect(at(':v2').read()).rejects.toThrow(/title of no policy file|must not have/);
    }
  });

  test('is fetched with a password, or the token that it buys, which goes nowhere else', async () => {
    push('v1', [bundle()]);
    for (auth of ['basic', 'token'] as const) {
      asked = [];
      await at(':v1', { user: 'robot', password: 'secret' }).read();
      const own = auth === 'basic' ? basic('robot', 'secret') : 'Bearer short-lived';
      expect(asked.filter(({ url }) => url.startsWith('/v2/')).map(({ authorization }) => authorization)).toEqual([undefined, own, own]); // prettier-ignore
      expect(asked.find(({ url }) => url.startsWith('/elsewhere/'))?.authorization).toBeUndefined();
      // No more is asked for than to pull this one.
      const [token] = asked.filter(({ url }) => url.startsWith('/token'));
      if (auth === 'token') expect(token?.url).toBe('/token?service=registry&scope=repository%3Ateam%2Fpolicy%3Apull');
    }
    await at(':v1', { token: 'short-lived' }).read();
    await expect(at(':v1', { user: 'robot', password: 'wrong' }).read()).rejects.toThrow(/gives no token: it answers 401/); // prettier-ignore
    await expect(at(':v1').read()).rejects.toThrow(/gives no token/);
    spoil = (_request, response) => Boolean(response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://tokens.example/x"' }).end()); // prettier-ignore
    await expect(at(':v1', { user: 'robot', password: 'secret' }).read()).rejects.toThrow(/tokens\.example\S*, which is not https/); // prettier-ignore
  });
});

describe('a registry elsewhere', () => {
  test('sends nobody to what listens on this machine, for a blob or for a token', async () => {
    const registry = (spoken: (url: string) => Partial<Reply>) =>
      new (class extends Registry {
        protected override send(url: string): Promise<Reply> {
          reached.push(url);
          return Promise.resolve({ status: 200, headers: {}, body: Buffer.alloc(0), ...spoken(url) });
        }
      })({ origin: 'https://registry.example', repository: 'team/policy', user: 'robot', password: 'secret' });
    const reached: string[] = [];
    const here = `http://${host}/admin`;
    const leads = registry(() => ({ status: 307, headers: { location: here } }));
    await expect(leads.blob(digestOf(Buffer.from('x')), 1)).rejects.toThrow(/leads to .*which is not https/);
    const asks = registry(() => ({ status: 401, headers: { 'www-authenticate': `Bearer realm="${here}"` } }));
    await expect(asks.manifest('v1', [], { bytes_max: 1 })).rejects.toThrow(/for a token to .*which is not https/);
    expect(reached.filter((url) => url.startsWith('http:'))).toEqual([]);
  });

  test('alone says where its tokens are given: not whoever it leads to', async () => {
    push('v1', [bundle()]);
    auth = 'basic';
    spoil = ({ url = '' }, response) => url.startsWith('/elsewhere/') && Boolean(response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${host}/token"` }).end()); // prettier-ignore
    await expect(at(':v1', { user: 'robot', password: 'secret' }).read()).rejects.toThrow(/answers 401/);
    expect(asked.filter(({ url }) => url.startsWith('/token'))).toEqual([]);
  });
});

describe('an artifact is refused', () => {
  test('where it only drips, a byte now and then, and says when it was given up', async () => {
    push('v1', [bundle()]);
    let dripping: NodeJS.Timeout | undefined;
    let closed: (() => void) | undefined;
    const ended = new Promise<void>((resolve) => (closed = resolve));
    spoil = ({ url = '' }, response) => {
      if (!url.startsWith('/elsewhere/')) return false;
      response.writeHead(200);
      dripping = setInterval(() => response.write('x'), 20);
      response.once('close', () => (clearInterval(dripping), closed?.()));
      return true;
    };
    await expect(at(':v1', { time_ms_max: 500 }).read()).rejects.toThrow(/cannot be fetched: no end within 0\.5 s/);
    // The connection is given up as well, and not only the waiting.
    await ended;
  });

  test('where any of it is not what its digest or its size says', async () => {
    const digest = push('v1', [bundle()]);
    const other = packBundle(files({ 'more.rego': 'package policy.http\n' }));
    for (const [path, body, message] of [
      ['/elsewhere/', other, /as its manifest says|what the registry sent for|more than/],
      ['/elsewhere/', blobs.get(digest)!, /as its manifest says/],
      [`/manifests/${digest}`, tags.get('v1')!.subarray(1), /what the registry sent for sha256/],
    ] as const) {
      spoil = ({ url = '' }, response) => url.includes(path) && Boolean(response.end(body));
      await expect(at(`@${digest}`).read()).rejects.toThrow(message);
    }
    spoil = ({ url = '' }, response) => url.includes('/manifests/') && Boolean(response.writeHead(200, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }).end(tags.get('v1'))); // prettier-ignore
    await expect(at(':v1').read()).rejects.toThrow(/what the registry sent for/);
  });

  test('where it is too large, an index, of several bundles or kinds, leads elsewhere in clear, or is not there', async () => {
    const big = { mediaType: bundleType, digest: `sha256:${'0'.repeat(64)}`, size: 10 ** 9 };
    push('v1', [], { layers: [big] });
    await expect(at(':v1').read()).rejects.toThrow(/too large/);
    push('v1', [], { layers: [{ ...big, size: -1 }] });
    await expect(at(':v1').read()).rejects.toThrow(/no type, digest or size/);
    push('v1', [], { layers: undefined, manifests: [] });
    await expect(at(':v1').read()).rejects.toThrow(/has no layers/);
    push('v1', [bundle(), bundle({ 'a.rego': 'package a\n' })]);
    await expect(at(':v1').read()).rejects.toThrow(/neither one bundle/);
    push('v1', [bundle(), { type: 'application/x', content: Buffer.from('x') }]);
    await expect(at(':v1').read()).rejects.toThrow(/application\/x/);
    push('v1', []);
    await expect(at(':v1').read()).rejects.toThrow(/layers are none/);
    await expect(at(':v2').read()).rejects.toThrow(/cannot be fetched: the registry answers 404/);
    push('v1', [bundle()]);
    spoil = ({ url = '' }, response) => url.includes('/blobs/') && Boolean(response.writeHead(307, { location: 'http://blobs.example/x' }).end()); // prettier-ignore
    await expect(at(':v1').read()).rejects.toThrow(/blobs\.example\/x, which is not https/);
  });

  test('where its name is none, or would lead to another path of the registry', () => {
    for (const url of ['https://ghcr.io/a:v1', 'oci://ghcr.io/a', 'oci://ghcr.io/../a:v1', 'oci://u@ghcr.io/a:v1', 'oci://ghcr.io/a:v1/../b', 'oci://ghcr.io/a@sha256:12', 'oci://ghcr.io/a:v1?x', 'oci://ghcr.io/A:v1'])
      expect(() => openSource({ oci: { url } })).toThrow(/names no artifact/); // prettier-ignore
  });

  test('without a signature where one is asked for, with one over other files, or of another key', async () => {
    const signed = await signedFiles(files(), { key: privateKey, algorithm: 'RS256' });
    push('v1', [{ type: bundleType, content: packBundle(signed) }]);
    const source = at(':v1', { signing });
    const { commit } = await source.read();
    expect(commit?.signer).toMatch(/^SHA256:/);
    expect(source.accepts!(commit)).toBe(true);
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' });
    const strange = { keys: [{ algorithm: 'RS256', pem: other.toString() }] };
    await expect(at(':v1', { signing: strange }).read()).rejects.toThrow(/signed by none of the keys/);

    push('v1', [bundle()]);
    source.poke!();
    await expect(source.read()).rejects.toThrow(/the bundle is not signed/);
    push('v1', [{ type: bundleType, content: packBundle(new Map([...signed, ['more.rego', Buffer.from('package policy.http\n')] as const])) }]); // prettier-ignore
    source.poke!();
    await expect(source.read()).rejects.toThrow(/more\.rego: is not in the signature/);
    // Files of their own cannot be signed as one.
    push('v1', [{ type: 'application/vnd.cncf.openpolicyagent.policy.layer.v1+rego', content: Buffer.from('package a\n'), title: 'a.rego' }]); // prettier-ignore
    source.poke!();
    await expect(source.read()).rejects.toThrow(/the bundle is not signed/);
  });
});
