import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { findOpa, openSource, writeTar } from '../../bundles/index.js';
import type { BundleKeys } from '../../bundles/opa-signatures.js';
import { readTar } from '../../bundles/tar.js';
import { cleanUp, compiler, goodPolicy, scratch, writeTree, type Files } from './support.js';

/** Policy from a server of OPA bundles, built and signed by OPA itself. */

const run = promisify(execFile);
let server: Server;
let serve: (request: IncomingMessage, response: ServerResponse) => void;
const asked: IncomingMessage['headers'][] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request.headers);
    serve(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await cleanUp();
});
beforeEach(() => void asked.splice(0));

const url = () => `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/policy.tar.gz`;

interface Signing {
  readonly keys: BundleKeys;
  readonly options: readonly string[];
}

async function signing(id?: string): Promise<Signing> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const file = path.join(await scratch(), 'key.pem');
  await writeFile(file, privateKey.export({ type: 'pkcs1', format: 'pem' }));
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  return { keys: { keys: [{ algorithm: 'RS256', pem, ...(id === undefined ? {} : { id }) }] }, options: ['--signing-key', file] }; // prettier-ignore
}

/** What `opa build -b` makes of it. */
async function bundle(files: Files, options: readonly string[] = []): Promise<Buffer> {
  const folder = await scratch();
  await writeTree(path.join(folder, 'policy'), files);
  await run(await findOpa(), ['build', '-b', 'policy', '-o', 'b.tar.gz', '--revision', 'v7', ...options], { cwd: folder }); // prettier-ignore
  return readFile(path.join(folder, 'b.tar.gz'));
}

/** The same archive with other files in it. */
function changed(archive: Buffer, change: (files: Map<string, Uint8Array>) => void): Buffer {
  const files = new Map<string, Uint8Array>(readTar(gunzipSync(archive)));
  change(files);
  return gzipSync(writeTar(files));
}

const always = (body: Buffer, etag = '"1"') => {
  serve = (request, response) => {
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end();
    return void response.writeHead(200, { etag, 'content-type': 'application/gzip' }).end(body);
  };
};

describe('a bundle', () => {
  test('is policy as it was built, asked for with the token, and with the ETag of the last one', async () => {
    always(await bundle(goodPolicy));
    const source = openSource({ bundle: { url: url(), token: 'bundle-token' } });
    const snapshot = await source.read();
    expect(snapshot.revision).toMatch(/^bundle:[0-9a-f]{64}$/);
    expect(snapshot.commit).toMatchObject({ subject: 'v7' });
    expect([...snapshot.files.keys()].map((name) => path.basename(name)).sort()).toEqual(['data.json', 'postgres.rego', 'postgres_test.rego']); // prettier-ignore
    expect((await (await compiler()).build(snapshot)).tests).toMatchObject({ passed: 1, failed: 0 });
    source.poke!();
    expect(await source.head()).toBe(snapshot.revision);
    expect(asked).toMatchObject([{ authorization: 'Bearer bundle-token', prefer: 'modes=snapshot' }, { 'if-none-match': '"1"' }]); // prettier-ignore
  });

  test('that is another comes as soon as it is there, from a server that holds the request', async () => {
    const [first, second] = [await bundle(goodPolicy), await bundle({ ...goodPolicy, 'data.yaml': 'secret_tables: []\n' })]; // prettier-ignore
    let held: ServerResponse | undefined;
    const heldNow = new Promise<void>((resolve) => {
      serve = ({ headers }, response) => {
        if (headers['if-none-match'] === undefined) return void response.writeHead(200, { etag: '"1"' }).end(first);
        held = response;
        return resolve();
      };
    });
    const source = openSource({ bundle: { url: url(), long_poll_ms: 60_000, poll_ms: 60_000 } });
    const before = await source.head();
    let tell = () => {};
    const told = new Promise<void>((resolve) => (tell = resolve));
    const stop = await source.watch(tell);
    await heldNow;
    expect(asked.at(-1)).toMatchObject({ prefer: 'modes=snapshot;wait=60', 'if-none-match': '"1"' });
    held!.writeHead(200, { etag: '"2"', 'content-type': 'application/vnd.openpolicyagent.bundles' }).end(second);
    await told;
    expect(await source.head()).not.toBe(before);
    await stop();
  });

  test('is refused where the server refuses, sends what is none, or only a change to another', async () => {
    const refused = async () => openSource({ bundle: { url: url() } }).read();
    serve = (_request, response) => void response.writeHead(403).end();
    await expect(refused()).rejects.toThrow(/cannot be fetched: the server answers 403/);
    always(Buffer.from('no archive'));
    await expect(refused()).rejects.toThrow(/is no bundle/);
    always(changed(await bundle(goodPolicy), (files) => files.set('patch.json', Buffer.from('{}'))));
    await expect(refused()).rejects.toThrow(/patch\.json: is a change to another bundle/);
    const linked = gunzipSync(await bundle(goodPolicy));
    linked.write('2', 156);
    always(gzipSync(linked));
    await expect(refused()).rejects.toThrow(/neither a file nor a folder/);
    for (const url of ['http://bundles.example/b.tar.gz', 'http://localhost:80@bundles.example/b.tar.gz'])
      expect(() => openSource({ bundle: { url, token: 'bundle-token' } })).toThrow(/is not https/);
    const git = { url: 'http://localhost:80@git.example/policy.git', token: 'git-token' };
    expect(() => openSource({ git }, '/nowhere')).toThrow(/is not https/);
  });
});

describe('a bundle whose signature is asked for', () => {
  test('is policy with a signature of a key, of which the fingerprint is kept', async () => {
    const { keys, options } = await signing('default');
    always(await bundle(goodPolicy, options));
    const source = openSource({ bundle: { url: url(), signing: keys } });
    const { commit } = await source.read();
    expect(commit?.signer).toMatch(/^SHA256:/);
    expect(source.accepts!(commit)).toBe(true);
    // What was kept while no signature was asked for is none.
    expect(source.accepts!({ ...commit!, signer: 'SHA256:another' })).toBe(false);
  });

  const bad: [string, RegExp, (archive: Buffer) => Buffer][] = [
    ['it has none', /is not signed/, (archive) => changed(archive, (files) => files.delete('.signatures.json'))],
    ['a rule was changed', /postgres\.rego: is not what was signed/, (archive) => changed(archive, (files) => edit(files, 'postgres.rego'))],
    ['data were changed', /data\.json: is not what was signed/, (archive) => changed(archive, (files) => files.set('data.json', Buffer.from('{"secret_tables":[]}')))],
    ['a file was put in', /more\.rego: is not in the signature/, (archive) => changed(archive, (files) => files.set('more.rego', Buffer.from('package policy.http\n')))],
    ['a file was taken out', /postgres_test\.rego: was signed, and is not in the bundle/, (archive) => changed(archive, (files) => drop(files, 'postgres_test.rego'))],
    ['it has two', /does not hold one signature/, (archive) => changed(archive, (files) => files.set('.signatures.json', Buffer.from('{"signatures":["a","b"]}')))],
    ['it says it needs no key', /signed by none of the keys/, (archive) => changed(archive, (files) => files.set('.signatures.json', Buffer.from(`{"signatures":["${unsecured()}"]}`)))],
  ]; // prettier-ignore
  const keyOf = (files: Map<string, Uint8Array>, name: string) => [...files.keys()].find((key) => key.endsWith(name))!;
  const edit = (files: Map<string, Uint8Array>, name: string) =>
    files.set(keyOf(files, name), Buffer.from('package policy.postgres\n\nallow contains {"code": "all"} if true\n'));
  const drop = (files: Map<string, Uint8Array>, name: string) => files.delete(keyOf(files, name));
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const unsecured = () => `${part({ alg: 'none' })}.${part({ files: [] })}.`;

  test.each(bad)('is refused where %s', async (_name, message, spoil) => {
    const { keys, options } = await signing();
    always(spoil(await bundle(goodPolicy, options)));
    await expect(openSource({ bundle: { url: url(), signing: keys } }).read()).rejects.toThrow(message);
  });

  test('is refused with a signature of another key, of another name, and for another scope', async () => {
    const { keys, options } = await signing();
    always(await bundle(goodPolicy, options));
    const refused = (other: BundleKeys) => openSource({ bundle: { url: url(), signing: other } }).read();
    await expect(refused((await signing()).keys)).rejects.toThrow(/signed by none of the keys/);
    await expect(refused({ keys: [{ ...keys.keys[0]!, id: 'release' }] })).rejects.toThrow(/by the key "default", which is not called so/); // prettier-ignore
    await expect(refused({ ...keys, scope: 'production' })).rejects.toThrow(/not "production"/);
  });

  test('has the data that were signed, however another reader would take the bytes', async () => {
    const { keys, options } = await signing();
    const folder = await scratch();
    const files = { ...goodPolicy, 'data.yaml': 'secret_tables: []\nfrozen: "on"\ncode: "010"\n' };
    await writeTree(folder, files);
    await run(await findOpa(), ['sign', ...options, '--bundle', '.'], { cwd: folder });
    const signatures = await readFile(path.join(folder, '.signatures.json'));
    const archive = (data: string) =>
      gzipSync(writeTar(new Map(Object.entries({ ...files, 'data.yaml': data, '.signatures.json': signatures }).map(([name, content]) => [name, Buffer.from(content)])))); // prettier-ignore
    const read = (data: string) => {
      always(archive(data));
      return openSource({ bundle: { url: url(), signing: keys } }).read();
    };
    const genuine = await read(files['data.yaml']);
    // Its value is the same by YAML 1.2; by 1.1, as OPA reads it, this is true.
    const other = await read(files['data.yaml'].replace('"on"', 'on'));
    expect(other.revision).toBe(genuine.revision);
    expect(Buffer.from(other.files.get('data.yaml')!).toString()).toBe(
      '{"code":"010","frozen":"on","secret_tables":[]}',
    );
    await expect(read(files['data.yaml'].replace('"on"', 'yes'))).rejects.toThrow(/data\.yaml: is not what was signed/);
    await expect(read('{')).rejects.toThrow(/data\.yaml: cannot be read/);
    await expect(read(`${files['data.yaml']}#${'x'.repeat(1_048_576)}\n`)).rejects.toThrow(/larger than 1 MiB: write it as data\.json/); // prettier-ignore
  });
});
