import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { createEngine } from '#engine';
import { DirectorySource, findOpa, keepPolicy, writeTar, type PolicyKeeper } from '../../bundles/index.js';
import { statusDocument, type StatusDocument } from '../../gateway/status/document.js';
import { cleanUp, compiler, goodPolicy, scratch, writeTree, type Files } from './support.js';

/** What a gateway says of its policy, beside what a real OPA posts of the same good bundle and the same broken one. */

const run = promisify(execFile);
const broken: Files = { 'broken.rego': 'package policy.postgres\n\nallow contains nobody if true\n' };

let server: Server;
let opa: ChildProcess | undefined;
let keepers: PolicyKeeper[] = [];
let byOpa: StatusDocument;
let byUs: StatusDocument;

beforeAll(async () => {
  const folder = await scratch();
  byOpa = await postedByOpa(folder);
  byUs = await ours(folder);
}, 120_000);
afterAll(async () => {
  await Promise.all(keepers.map((keeper) => keeper.close()));
  opa?.kill('SIGKILL');
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
  await cleanUp();
});

/** `opa run --server` with two bundles and a status plug-in: what it posts once it has tried both. */
async function postedByOpa(folder: string): Promise<StatusDocument> {
  const command = await findOpa();
  await writeTree(path.join(folder, 'plain'), {
    'a.rego': 'package a\n\nb := 1\n',
    '.manifest': '{"revision":"v1","roots":["a"]}',
  });
  await run(command, ['build', '-b', 'plain', '-o', 'good.tar.gz'], { cwd: folder });
  const good = await readFile(path.join(folder, 'good.tar.gz'));
  // OPA builds no bundle that is broken: it is one that was changed afterwards.
  const unsafe = Object.entries({ ...broken, '.manifest': '{"roots":["policy"]}' });
  const bad = gzipSync(writeTar(new Map(unsafe.map(([name, text]) => [name, Buffer.from(text)]))));
  const posted = new Promise<StatusDocument>((resolve) => {
    server = createServer((request, response) => {
      if (request.method === 'GET') return void response.end(request.url?.endsWith('bad') ? bad : good);
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        response.end('{}');
        const document = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Partial<StatusDocument>;
        const { policy, base } = document.bundles ?? {};
        if (policy?.active_revision !== undefined && base?.errors !== undefined) resolve(document as StatusDocument);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const config = {
    services: { here: { url } },
    bundles: { policy: { service: 'here', resource: 'good' }, base: { service: 'here', resource: 'bad' } },
    status: { service: 'here' },
    labels: { region: 'eu' },
  };
  await writeFile(path.join(folder, 'opa.json'), JSON.stringify(config));
  opa = spawn(command, ['run', '--server', '--addr', '127.0.0.1:0', '-c', path.join(folder, 'opa.json')], { stdio: 'ignore' }); // prettier-ignore
  return posted;
}

async function ours(folder: string): Promise<StatusDocument> {
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const keep = async (name: string, files: Files) => {
    await writeTree(path.join(folder, name), files);
    const directory = path.join(folder, `${name}-state`);
    const source = new DirectorySource(path.join(folder, name));
    return keepPolicy({ source, directory, engine: createEngine(), log: silent, compiler: await compiler(), optional: true }); // prettier-ignore
  };
  const policy = await keep('policy', goodPolicy);
  const base = await keep('base', broken);
  keepers = [policy, base];
  return statusDocument({ region: 'eu', id: 'g-1', version: '0.1.0' }, new Map([['policy', policy], ['base', base]]), 'OK'); // prettier-ignore
}

/** The types of a value's parts, by path; an element of a list is "[]", and stands for all of them. */
function shapeOf(value: unknown, at = ''): Map<string, string> {
  if (Array.isArray(value))
    return new Map([[at, 'list'], ...value.slice(0, 1).flatMap((one) => [...shapeOf(one, `${at}[]`)])]);
  if (typeof value !== 'object' || value === null) return new Map([[at, typeof value]]);
  return new Map([[at, 'object'], ...Object.entries(value).flatMap(([key, one]) => [...shapeOf(one, `${at}.${key}`)])]);
}

describe('the status of a gateway and that of an OPA', () => {
  test('have the same keys with the same types', () => {
    const [theirs, own] = [shapeOf(byOpa), shapeOf(byUs)];
    expect([...own].filter(([at, type]) => theirs.get(at) !== type)).toEqual([]);
  });

  test('differ in what OPA measures of itself, and in nothing else', () => {
    const own = shapeOf(byUs);
    const missing = [...shapeOf(byOpa).keys()].filter((at) => !own.has(at) && !/\bmetrics\b/u.test(at));
    expect(missing.sort()).toEqual(['.bundles.policy.size', '.plugins.discovery', '.plugins.discovery.state']); // prettier-ignore
  });

  test('say the same of each bundle and of the whole', () => {
    expect(byUs.plugins).toEqual({ bundle: { state: 'NOT_READY' }, status: { state: 'OK' } });
    expect(byOpa.plugins).toMatchObject({ bundle: { state: 'NOT_READY' }, status: { state: 'OK' } });
    for (const { bundles, labels } of [byOpa, byUs]) {
      expect(labels).toMatchObject({ region: 'eu' });
      expect(bundles['policy']).toMatchObject({
        name: 'policy',
        active_revision: expect.any(String),
        type: 'snapshot',
      });
      expect(bundles['policy']).not.toHaveProperty('code');
      expect(bundles['base']).toMatchObject({
        name: 'base',
        code: 'bundle_error',
        last_successful_activation: '0001-01-01T00:00:00Z',
        errors: [{ location: { file: expect.stringMatching(/broken\.rego$/u), row: 3 } }],
      });
      expect(bundles['base']).not.toHaveProperty('active_revision');
    }
  });

  test('have times that one reader reads, to the nanosecond', () => {
    for (const { bundles } of [byOpa, byUs])
      for (const time of [bundles['policy']!.last_request, bundles['policy']!.last_successful_activation]) {
        expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z$/u);
        expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(600_000);
      }
  });
});
