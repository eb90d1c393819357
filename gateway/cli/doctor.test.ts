import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdir, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import path from 'node:path';
import { packBundle } from '../../bundles/index.js';
import { createIdentityProvider } from '../../test/support/idp.js';
import { cleanUp, goodPolicy, scratch, writeTree } from '../../test/bundles/support.js';
import { runCommandLine } from './index.js';

let folder: string;
let server: Server;

beforeAll(async () => {
  folder = await scratch();
  await writeTree(path.join(folder, 'policy'), goodPolicy);
  await (await createIdentityProvider()).writeJwks(path.join(folder, 'jwks.json'));
  server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  await cleanUp();
});

interface Found {
  readonly ok: boolean;
  readonly findings: readonly { check: string; status: string; message: string; mend?: string }[];
}

async function configured(more: string): Promise<string> {
  const file = path.join(folder, 'sallyport.yaml');
  const identity = 'identity: {providers: [{name: a, type: oidc, issuer: "https://idp.example", audience: s, jwks: {file: ./jwks.json}, algorithms: [ES256]}]}\n'; // prettier-ignore
  await writeFile(file, `${identity}audit: {sinks: [{file: ./audit.jsonl}]}\n${more}`);
  return file;
}

async function printConfig(more: string, env: NodeJS.ProcessEnv): Promise<string> {
  let [out, said] = ['', ''];
  const code = await runCommandLine(['run', '-c', await configured(more), '--print-config'], {
    ...{ env: { ...process.env, ...env }, fallbackFolder: folder },
    stderr: { write: (text: string) => (said += text) },
    stdout: { write: (text: string) => (out += text) },
  });
  expect([code, said]).toEqual([0, '']);
  return out;
}

async function doctor(
  more: string,
  ...flags: string[]
): Promise<Found & { code: number; of(check: string): Found['findings'][number] | undefined }> {
  const file = await configured(more);
  let out = '';
  const code = await runCommandLine(['doctor', '-c', file, '--json', ...flags], {
    ...{ env: process.env, fallbackFolder: folder, stderr: { write: () => true } },
    stdout: { write: (text: string) => (out += text) },
  });
  const found = JSON.parse(out) as Found;
  return { ...found, code, of: (check) => found.findings.find((one) => one.check === check) };
}

test('what is wired is said to be, part by part', async () => {
  const { port } = server.address() as AddressInfo;
  const found = await doctor(`policy: {directory: ./policy}\nlisten: {https: "127.0.0.1:0"}\ntargets: [{name: cloud, protocol: http, upstream: {url: "http://127.0.0.1:${port}"}}]\n`); // prettier-ignore
  for (const check of ['configuration', 'identity a', 'state.directory', 'policy tests', 'audit file', 'target cloud'])
    expect(found.of(check)).toMatchObject({ status: 'ok' });
  expect(found).toMatchObject({ code: 0, ok: true });
  // The policy has rules for Postgres alone.
  expect(found.findings).toContainEqual(expect.objectContaining({ status: 'warn', message: expect.stringMatching(/says nothing of http/) as unknown })); // prettier-ignore
});

test('what is not is a failure with its mend, and all of it is looked at', async () => {
  await mkdir(path.join(folder, 'broken'), { recursive: true });
  await writeFile(path.join(folder, 'broken', 'postgres.rego'), 'package policy.postgres\n\ndeny if true\n');
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', () => resolve()));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const found = await doctor(`policy: {directory: ./broken}\nlisten: {postgres: "0.0.0.0:0"}\ntargets: [{name: orders, protocol: postgres, upstream: {host: 127.0.0.1, port: ${port}, database: d, user: u}}]\n`); // prettier-ignore
  expect(found.of('policy')).toMatchObject({ status: 'fail', message: expect.stringMatching(/postgres\.rego:3/) as unknown }); // prettier-ignore
  expect(found.of('target orders')).toMatchObject({ status: 'fail', mend: expect.stringMatching(/firewall/) as unknown }); // prettier-ignore
  expect(found.of('listen.postgres')).toMatchObject({ status: 'warn' });
  expect(found).toMatchObject({ code: 1, ok: false });
});

test('who is told of the policy is asked whether it takes the token; which actions no rule answers for is said', async () => {
  const service = createHttpServer(({ headers, url }, response) => {
    response.writeHead(headers.authorization !== 'Bearer good' ? 401 : url === '/status/eu' ? 405 : 500).end();
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', () => resolve()));
  const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  const more = (token: string, partition: string) => `policy: {directory: ./policy, status: {url: "${url}", token: "${token}", partition: ${partition}}}\nlisten: {https: "127.0.0.1:0"}\n`; // prettier-ignore
  const found = await doctor(more('good', 'eu'));
  expect(found.of('policy.status')).toMatchObject({ status: 'ok', message: `${url}/status/eu answers` });
  expect(found.of('policy coverage')).toMatchObject({ status: 'warn', message: expect.stringMatching(/^postgres\.rego:\d+: no rule of postgres answers for this.*administer/) as unknown }); // prettier-ignore
  const wrong = await doctor(more('bad', 'eu'));
  expect(wrong.of('policy.status')).toMatchObject({ status: 'fail', message: `${url}/status/eu answers 401: it does not take the token` }); // prettier-ignore
  expect([wrong.code, JSON.stringify(wrong).includes('bad"')]).toEqual([1, false]);
  expect((await doctor(more('good', 'us'))).of('policy.status')).toMatchObject({ status: 'warn' });
  service.closeAllConnections();
  await new Promise((resolve) => service.close(resolve));
  const gone = (await doctor(more('good', 'eu'))).of('policy.status');
  expect(gone).toMatchObject({ status: 'fail', message: expect.stringMatching(/cannot be reached/) as unknown });
});

test('where agents run, a target that can be reached is one that can be reached around the gateway', async () => {
  const { port } = server.address() as AddressInfo;
  const target = (name: string, at: number) => `{name: ${name}, protocol: http, upstream: {url: "http://127.0.0.1:${at}"}}`; // prettier-ignore
  const found = await doctor(`policy: {directory: ./policy}\nlisten: {https: "127.0.0.1:0"}\ntargets: [${target('open', port)}, ${target('closed', 9)}]\n`, '--around'); // prettier-ignore
  expect(found).toMatchObject({ code: 0, findings: [{ check: 'around open', status: 'warn', mend: expect.stringMatching(/firewall/) as unknown }, { check: 'around closed', status: 'ok' }] }); // prettier-ignore
});

test('a configuration that is none is the one finding', async () => {
  const found = await doctor('polcy: {}\n');
  expect(found).toMatchObject({ code: 1, findings: [{ check: 'configuration', status: 'fail' }] });
});

test('policy from a registry is fetched and built, and its password is in no answer', async () => {
  const sha256 = (content: Uint8Array) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
  const bundle = packBundle(new Map(Object.entries(goodPolicy).map(([name, text]) => [name, Buffer.from(text)])));
  const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: sha256(bundle), size: bundle.length }; // prettier-ignore
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [layer] }));
  const wanted = `Basic ${Buffer.from('robot:hunter2').toString('base64')}`;
  const registry = createHttpServer(({ url, headers }, response) => {
    if (headers.authorization !== wanted) response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    else response.end(url === '/v2/team/policy/manifests/v1' ? manifest : bundle);
  });
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', () => resolve()));
  try {
    const url = `oci://127.0.0.1:${(registry.address() as AddressInfo).port}/team/policy:v1`;
    const policy = (password: string) => `policy: {oci: {url: "${url}", user: robot, password: "${password}"}}\n`;
    const target = 'listen: {https: "127.0.0.1:0"}\ntargets: [{name: cloud, protocol: http, upstream: {url: "http://127.0.0.1:9"}}]\n'; // prettier-ignore
    const found = await doctor(policy('hunter2') + target);
    expect(found.of('policy')).toMatchObject({ status: 'ok', message: `oci:${sha256(manifest).slice(7)} from oci ${url.slice(6)}: 2 rules` }); // prettier-ignore
    expect(found.of('policy tests')).toMatchObject({ status: 'ok' });
    const wrong = (await doctor(policy('hunter3') + target)).of('policy');
    expect(wrong).toMatchObject({ status: 'fail', message: expect.stringMatching(/answers 401/) as unknown });

    const printed = await printConfig(policy('$' + '{REGISTRY_PASSWORD}') + target, { REGISTRY_PASSWORD: 'hunter2' });
    expect((JSON.parse(printed) as { policy: object }).policy).toMatchObject({ oci: { url, user: 'robot' } });
    expect(JSON.stringify(found) + JSON.stringify(wrong) + printed).not.toMatch(/hunter|cm9ib3Q/);
  } finally {
    registry.closeAllConnections();
    await new Promise((resolve) => registry.close(resolve));
  }
});
