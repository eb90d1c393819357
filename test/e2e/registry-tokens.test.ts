import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../support/approvals-side.js';
import { oci, repositoryOf, storeImage } from '../support/images.js';
import { digestOf, startRegistry, type TestRegistry } from '../support/registry.js';
import { startTokenService, type TokenService } from '../support/token-service.js';
import { startWeb, type Web } from '../support/web.js';

/** A registry that sends its clients elsewhere for a token: the gateway goes there, and nobody else learns of it. */

const policy = {
  'registry.rego': `package policy.registry

import data.sallyport.registry

allow contains {"code": "pulls"} if registry.pulls_only

allow contains {"code": "pushes"} if registry.pushes

allow contains {"code": "removes"} if registry.removes
`,
};

const login = 'gateway:its-password';
const basic = `Basic ${Buffer.from(login).toString('base64')}`;

let folder: string;
let registry: TestRegistry;
let service: TokenService;
let web: Web;
let headers: Record<string, string>;
let client: string;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-tokens-'));
  await writeFile(join(folder, 'login'), login);
  registry = await startRegistry();
  service = await startTokenService();
  const hosts = [`127.0.0.1:${String(service.port)}`];
  const url = `http://127.0.0.1:${String(registry.port)}`;
  const target = (name: string, more: object) => ({ name, protocol: 'registry', upstream: { url, ...more } });
  web = await startWeb({
    policy,
    protocol: 'registry',
    config: {
      targets: [
        target('hub', { credential: { basic: login }, token_hosts: hosts }),
        target('nobody', { token_hosts: hosts }),
        target('unlisted', { credential: { basic: login } }),
        // It is sent to places where no token is fetched, and so learns of none.
        target('strict', { credential: { basic: login }, token_hosts: hosts }),
        target('late', { credential: { basic: login }, token_hosts: hosts }),
        target('fixed', { credential: { bearer: 'a-token-of-its-own' }, token_hosts: hosts }),
        target('rotated', { credential: { basic: { file: join(folder, 'login') } }, token_hosts: hosts }),
      ],
    },
  });
  client = await web.gateway.token();
  headers = { authorization: `Basic ${Buffer.from(`agent:${client}`).toString('base64')}` };
});
afterAll(async () => {
  await web?.close();
  await registry?.close();
  await service?.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  registry.heard.length = 0;
  service.asked.length = 0;
  service.login = login;
  service.lifetime_seconds = 300;
  service.answers = undefined;
  service.realm = `http://127.0.0.1:${String(service.port)}/token`;
  registry.challenges = (request) => service.challenge(request);
});

/** A repository of its own, with the tag v1. */
function fresh(): string {
  const name = `team/app${String(count++)}`;
  storeImage(repositoryOf(registry, name), { layers: [{ media: 'application/octet-stream', bytes: name }], tag: 'v1' });
  return name;
}

const pull = (target: string, name: string) => web.call(`/v2/${target}/${name}/manifests/v1`, { headers });
const scopes = () => service.asked.map(({ scopes: asked }) => asked.join(' '));

test('a token is fetched for what is done, once for each, and the registry alone gets it', async () => {
  const name = fresh();
  const answer = await pull('hub', name);
  expect(answer.status).toBe(200);
  expect(service.asked).toEqual([
    { scopes: [`repository:${name}:pull`], service: 'registry.test', authorization: basic },
  ]);
  const sent = registry.heard.map(({ authorization = '' }) => authorization);
  expect(sent).toEqual([basic, expect.stringMatching(/^Bearer token-/)]);
  expect(JSON.stringify(answer)).not.toMatch(/token-|www-authenticate|its-password/);
  for (let times = 0; times < 3; times++) expect((await pull('hub', name)).status).toBe(200);
  expect(service.asked).toHaveLength(1);
  const other = fresh();
  expect((await pull('hub', other)).status).toBe(200);
  expect(scopes()).toEqual([`repository:${name}:pull`, `repository:${other}:pull`]);
  expect(JSON.stringify(registry.heard) + JSON.stringify(service.asked)).not.toContain(client);
});

test('many that wait at once are served by one token', async () => {
  const name = fresh();
  const answers = await Promise.all(Array.from({ length: 10 }, () => pull('hub', name)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(scopes()).toEqual([`repository:${name}:pull`]);
});

test('uploads, mounts and removals have tokens of their own', async () => {
  const source = fresh();
  const name = `team/pushed${String(count++)}`;
  const call = (method: string, path: string, more: object = {}) => web.call(path, { method, headers, ...more });
  const whole = `/v2/hub/${name}/blobs/uploads/?digest=${digestOf('blob')}`;
  expect((await call('POST', whole, { body: 'blob' })).status).toBe(201);
  const started = await call('POST', `/v2/hub/${name}/blobs/uploads/`);
  const sent = await call('PATCH', String(started.headers['location']), { body: 'other' });
  const ended = await call('PUT', `${String(sent.headers['location'])}?digest=${digestOf('other')}`);
  expect(ended.status).toBe(201);
  const layer = digestOf(source);
  const mount = `/v2/hub/${name}/blobs/uploads/?mount=${layer}&from=hub/${source}`;
  expect((await call('POST', mount)).status).toBe(201);
  const body = repositoryOf(registry, source).manifests.get(repositoryOf(registry, source).tags.get('v1')!)!.bytes;
  const config = digestOf('{}');
  expect((await call('POST', `/v2/hub/${name}/blobs/uploads/?mount=${config}&from=hub/${source}`)).status).toBe(201);
  const put = { headers: { ...headers, 'content-type': oci }, body };
  expect((await call('PUT', `/v2/hub/${name}/manifests/v1`, put)).status).toBe(201);
  expect((await call('DELETE', `/v2/hub/${name}/manifests/${digestOf(body)}`)).status).toBe(202);
  expect(scopes()).toEqual([
    `repository:${name}:pull,push`,
    `repository:${name}:pull,push repository:${source}:pull`,
    `repository:${name}:delete`,
  ]);
});

test('a blob that is sent as the first thing of all has its token before', async () => {
  const name = `team/first${String(count++)}`;
  const whole = `/v2/late/${name}/blobs/uploads/?digest=${digestOf('first')}`;
  const answer = await web.call(whole, { method: 'POST', headers, body: 'first' });
  expect(answer.status).toBe(201);
  expect(registry.heard.map(({ line }) => line.split('?')[0])).toEqual(['GET /v2/', `POST /v2/${name}/blobs/uploads/`]);
});

test('without a credential a token is asked for as nobody', async () => {
  service.login = undefined;
  const name = fresh();
  expect((await pull('nobody', name)).status).toBe(200);
  expect(service.asked).toEqual([{ scopes: [`repository:${name}:pull`], service: 'registry.test' }]);
});

test('a token of the configuration is all that there is', async () => {
  expect((await pull('fixed', fresh())).status).toBe(502);
  expect(registry.heard.map(({ authorization }) => authorization)).toEqual(['Bearer a-token-of-its-own']);
  expect(service.asked).toEqual([]);
});

describe('a token', () => {
  test('is fetched anew where the registry takes it no longer', async () => {
    const name = fresh();
    expect((await pull('hub', name)).status).toBe(200);
    service.revoke();
    expect((await pull('hub', name)).status).toBe(200);
    expect(scopes()).toHaveLength(2);
  });

  test('is another one for a blob that is sent again', async () => {
    const name = `team/again${String(count++)}`;
    const send = (body: string) =>
      web.call(`/v2/hub/${name}/blobs/uploads/?digest=${digestOf(body)}`, { method: 'POST', headers, body });
    expect((await send('one')).status).toBe(201);
    service.revoke();
    expect((await send('two')).status).toBe(502);
    expect((await send('two')).status).toBe(201);
    expect(scopes()).toHaveLength(2);
  });

  test('is fetched anew before its end', async () => {
    service.lifetime_seconds = 0;
    const name = fresh();
    expect((await pull('hub', name)).status).toBe(200);
    expect((await pull('hub', name)).status).toBe(200);
    expect(scopes()).toHaveLength(2);
  });

  test('is fetched with the credential that is in force', async () => {
    expect((await pull('rotated', fresh())).status).toBe(200);
    service.login = 'gateway:another';
    const name = fresh();
    const refused = await pull('rotated', name);
    expect({ status: refused.status, said: refused.text.includes('does not take') }).toEqual({
      status: 502,
      said: true,
    });
    await writeFile(join(folder, 'login'), 'gateway:another');
    await until(async () => (await pull('rotated', name)).status === 200);
  });

  test.each([
    ['no text', '{"token": 1}'],
    ['two lines', '{"token": "a\\nb"}'],
    ['nothing', ''],
  ])('that is %s is none', async (_what, text) => {
    service.answers = text;
    const answer = await pull('hub', fresh());
    expect({ status: answer.status, said: answer.text.includes('answered without one') }).toEqual({
      status: 502,
      said: true,
    });
  });
});

describe('nobody gets the credential', () => {
  const places: readonly (readonly [string, string, () => string])[] = [
    ['where the configuration names no other host', 'unlisted', () => service.realm],
    ['at another port of a host that is listed', 'strict', () => `http://127.0.0.1:${String(web.upstream.port)}/token`],
    ['on the network', 'strict', () => 'https://tokens.example/token'],
    ['in clear on the network', 'strict', () => `http://tokens.example:${String(service.port)}/token`],
    ['at another name of this machine', 'strict', () => service.realm.replace('127.0.0.1', 'localhost')],
    ['with a name in the place', 'strict', () => service.realm.replace('http://', 'http://user:name@')],
    ['in a file', 'strict', () => 'file:///etc/passwd'],
    ['nowhere', 'strict', () => 'nowhere'],
  ];

  test.each(places)('%s', async (_where, target, realm) => {
    service.realm = realm();
    const answer = await pull(target, fresh());
    expect({ status: answer.status, code: answer.text.includes('sends for') }).toEqual({ status: 502, code: true });
    expect(answer.text).not.toContain(service.realm);
    expect([service.asked, web.upstream.heard]).toEqual([[], []]);
  });
});
