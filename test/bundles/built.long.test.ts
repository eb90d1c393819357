import { createEngine, noUsage, type Input } from '#engine';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmod, mkdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { bundleFiles, findOpa, openSource, packBundle, readBundle, signedFiles } from '../../bundles/index.js';
import { packageRoot } from '../../bundles/package-root.js';
import { readTar } from '../../bundles/tar.js';
import { buildCommand, type BuildOptions } from '../../gateway/cli/build.js';
import { cleanUp, compiler, goodPolicy, scratch, snapshotOf, writeTree, type Files } from './support.js';

/** What `sallyport build` writes is a bundle to plain OPA as well, signed as OPA signs, and equal to the byte. */

const run = promisify(execFile);
const longName = `${'a-folder-with-a-long-name/'.repeat(4)}${'x'.repeat(60)}.rego`;
const policy: Files = {
  ...goodPolicy,
  [longName]: 'package policy.http\n\n# METADATA\n# custom: {code: from_metadata}\nallow contains {"message": "m"} if input.operation.action == "read"\n',
  'site/data.json': '{"pii": "hash", "a": {"z": 1, "b": [2.5, "\u2028<&>"]}}',
  '.github/workflow.rego': 'package hidden\n',
  'README.md': 'no policy\n',
}; // prettier-ignore
const keys = { rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }), ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }) }; // prettier-ignore
const publicPem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();

let folder: string;
let signed: string;

beforeAll(async () => {
  folder = await scratch();
  await writeTree(path.join(folder, 'policy'), policy);
  await writeFile(path.join(folder, 'rsa.pem'), keys.rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }));
  await writeFile(path.join(folder, 'rsa.pub.pem'), publicPem(keys.rsa.publicKey));
  await writeFile(path.join(folder, 'ec.pem'), keys.ec.privateKey.export({ type: 'sec1', format: 'pem' }));
  signed = path.join(folder, 'signed.tar.gz');
  expect(await build(path.join(folder, 'policy'), { output: signed, signingKey: path.join(folder, 'rsa.pem') })).toBe(0); // prettier-ignore
}, 120_000);
afterAll(cleanUp);

function build(from: string, options: BuildOptions): Promise<number> {
  const silent = { write: () => undefined };
  return buildCommand(from, options, { stdout: silent, stderr: silent, env: process.env });
}

const input = (protocol: 'postgres' | 'http', relation: string, action: 'read' | 'write'): Input => ({
  version: 1,
  time: '2026-11-22T09:00:00.000Z',
  principal: { subject: 'agent:a', issuer: 'https://idp.example', kind: 'agent', groups: [], roles: [], attributes: {}, token: { expires: '2026-11-22T10:00:00.000Z' } },
  session: { id: 's', started: '2026-11-22T09:00:00.000Z', client: { address: '127.0.0.1' }, rows: 0, taint: [] },
  target: { name: 'orders', protocol, labels: {} },
  operation: { stage: 'execute', action, resources: [{ type: 'relation', name: relation, access: 'read' }], opaque: false, hash: 'x' },
  usage: noUsage,
}); // prettier-ignore
const asked = [input('postgres', 'app.keys', 'read'), input('postgres', 'app.secrets', 'read'), input('postgres', 'app.keys', 'write'), input('http', 'x', 'read')]; // prettier-ignore

interface Answer {
  readonly outcome: string;
  readonly codes: readonly string[];
}
type Combined = { readonly outcome: string; readonly reasons: readonly { readonly code: string }[] };
const answer = ({ outcome, reasons }: Combined): Answer => ({ outcome, codes: reasons.map(({ code }) => code) });

/** What the engine says to the same policy, built from the folder. */
async function engineAnswers(): Promise<Answer[]> {
  const engine = createEngine();
  const { layer } = await (await compiler()).build(await openSource({ directory: path.join(folder, 'policy') }).read());
  engine.activate(await engine.prepare('directory:x', [layer]));
  return asked.map((one) => answer(engine.decide(one)));
}

describe('a bundle that was built', () => {
  test('is answered by plain opa eval as by the engine', async () => {
    const answers: Answer[] = [];
    for (const one of asked) {
      await writeFile(path.join(folder, 'input.json'), JSON.stringify(one));
      const { stdout } = await run(await findOpa(), ['eval', '--format', 'raw', '-b', signed, '-i', 'input.json', 'data.sallyport.decision.combined'], { cwd: folder }); // prettier-ignore
      answers.push(answer(JSON.parse(stdout) as Combined));
    }
    expect(answers).toEqual(await engineAnswers());
    expect(answers).toMatchObject([
      { outcome: 'allow', codes: ['agent_reads'] },
      { outcome: 'deny', codes: ['secrets_denied'] },
      { outcome: 'deny' },
      { outcome: 'allow', codes: ['from_metadata'] },
    ]);
  });

  test('is served by opa run, which verifies its signature, and not with a file that was changed', async () => {
    const opa = await findOpa();
    const socket = path.join(folder, 'opa.sock');
    const server = spawn(opa, ['run', '--server', '--addr', `unix://${socket}`, '--bundle', signed, '--verification-key', 'rsa.pub.pem'], { cwd: folder, stdio: 'ignore' }); // prettier-ignore
    try {
      await until(socket, server);
      const [engine, ...served] = [
        await engineAnswers(),
        ...(await Promise.all(asked.map((one) => post(socket, one)))),
      ];
      expect(served.map(answer)).toEqual(engine);
    } finally {
      server.kill();
    }
    const files = new Map<string, Uint8Array>(readTar(gunzipSync(await readFile(signed))));
    files.set('postgres.rego', Buffer.from('package policy.postgres\n\nallow contains {"code": "all"} if true\n'));
    await writeFile(path.join(folder, 'changed.tar.gz'), packBundle(files));
    const refused = run(opa, ['run', '--server', '--addr', `unix://${socket}2`, '--bundle', 'changed.tar.gz', '--verification-key', 'rsa.pub.pem'], { cwd: folder, timeout: 50_000 }); // prettier-ignore
    await expect(refused).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/postgres\.rego/) as unknown,
    });
  });

  test('is equal to the byte, whoever builds it, whenever, wherever, and in whatever order its files lie', async () => {
    const other = path.join(await scratch(), 'elsewhere', 'named-otherwise');
    await writeTree(other, Object.fromEntries(Object.entries(policy).reverse()));
    for (const name of Object.keys(policy)) {
      await chmod(path.join(other, name), 0o640);
      await utimes(path.join(other, name), 1, 1);
    }
    const again = path.join(folder, 'again.tar.gz');
    const command = `umask 077; TZ=Asia/Tokyo exec "$0" "$@"`;
    await run('sh', ['-c', command, process.execPath, path.join(packageRoot, 'bin/sallyport.js'), 'build', other, '-o', again, '--signing-key', path.join(folder, 'rsa.pem')]); // prettier-ignore
    const [one, two] = await Promise.all([signed, again].map((file) => readFile(file)));
    expect(two!.equals(one!)).toBe(true);
    expect([...one!.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    expect([...readTar(gunzipSync(one!)).keys()]).toContain(longName);
  }, 60_000);

  test('is policy to a gateway, signature and tests and all, with its own Rego in place of the one that came along', async () => {
    const body = await readFile(signed);
    const server = createServer((_request, response) => void response.end(body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/policy.tar.gz`;
    try {
      const signing = { keys: [{ algorithm: 'RS256', pem: publicPem(keys.rsa.publicKey) }] } as const;
      const snapshot = await openSource({ bundle: { url, signing } }).read();
      expect([...snapshot.files.keys()]).toEqual([longName, 'data.json', 'postgres.rego', 'postgres_test.rego']);
      const [ours, theirs] = await Promise.all(
        [snapshot, await openSource({ directory: path.join(folder, 'policy') }).read()].map(async (one) =>
          (await compiler()).build(one),
        ),
      );
      expect(ours!.tests).toMatchObject({ passed: 1, failed: 0 });
      expect(Buffer.from(ours!.layer.wasm).equals(theirs!.layer.wasm)).toBe(true);
      expect(ours!.layer.data).toEqual(theirs!.layer.data);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test("never has a site's rule pass for Sallyport's own", async () => {
    const built = await (await compiler()).build(snapshotOf(goodPolicy));
    const hiding = 'package policy.postgres\n\ndeny contains {"code": "never"} if input.operation.opaque\n';
    for (const text of [
      hiding,
      'package policy\n\npostgres := {"deny": {"never"}}\n',
      `# package sallyport\n${hiding}`,
      `package sallyport.x # {\n${hiding}`,
    ]) {
      const files = new Map([...bundleFiles(built, 'v1'), ['_sallyport/more.rego', Buffer.from(text)] as const]);
      const { builder } = await readBundle(packBundle(files), undefined);
      await expect((await compiler()).build(builder.finish({}))).rejects.toThrow(/_sallyport/);
    }
  });
});

describe('signing', () => {
  test('takes a key of another kind with its algorithm, its name and its scope', async () => {
    const files = bundleFiles(await (await compiler()).build(snapshotOf(goodPolicy)), 'v1');
    const bundle = packBundle(await signedFiles(files, { key: keys.ec.privateKey, algorithm: 'ES256', id: 'release', scope: 'production' })); // prettier-ignore
    const key = { algorithm: 'ES256', pem: publicPem(keys.ec.publicKey), id: 'release' } as const;
    expect((await readBundle(bundle, { keys: [key], scope: 'production' })).signer).toMatch(/^SHA256:/);
    await expect(readBundle(bundle, { keys: [{ ...key, id: 'other' }] })).rejects.toThrow(/"release"/);
    await expect(readBundle(bundle, { keys: [key], scope: 'test' })).rejects.toThrow(/not "test"/);
  });

  test('writes nothing where the key is none, is of another kind, or stands on the command line', async () => {
    const from = path.join(folder, 'policy');
    const output = path.join(folder, 'none.tar.gz');
    const rsa = await readFile(path.join(folder, 'rsa.pem'), 'utf8');
    await expect(build(from, { output, signingKey: rsa })).rejects.toThrow(/is the name of a file/);
    await expect(build(from, { output, signingKey: '/nowhere.pem' })).rejects.toThrow(/nowhere\.pem cannot be read/);
    await expect(build(from, { output, signingKey: path.join(folder, 'rsa.pub.pem') })).rejects.toThrow(/no private key/); // prettier-ignore
    await expect(build(from, { output, scope: 'production' })).rejects.toThrow(/name its key/);
    expect(await build(from, { output, signingKey: path.join(folder, 'ec.pem') })).toBe(1);
    await expect(readFile(output)).rejects.toThrow(/ENOENT/);
  });

  test('holds the tests to the codes that METADATA gives', async () => {
    const strict = path.join(folder, 'strict');
    await mkdir(strict);
    await writeTree(strict, {
      'http.rego': policy[longName]!,
      'http_test.rego': 'package policy.http_test\n\nimport data.policy.http\n\ntest_it if http.allow == {{"message": "m"}} with input as {"operation": {"action": "read"}}\n',
    }); // prettier-ignore
    expect(await build(strict, { output: path.join(folder, 'strict.tar.gz') })).toBe(1);
    await expect(readFile(path.join(folder, 'strict.tar.gz'))).rejects.toThrow(/ENOENT/);
  });
});

/** Waits until it answers. Throws where it ends instead. */
async function until(socket: string, server: ChildProcess): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`opa run ended with ${String(server.exitCode)}`);
    const answered = await post(socket, asked[0]!).catch(() => undefined);
    if (answered !== undefined) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** `data.sallyport.decision.combined`, by OPA's data API. */
function post(socketPath: string, one: Input): Promise<Combined> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method: 'POST', path: '/v1/data/sallyport/decision/combined' }, (reply) => {
      let text = '';
      reply.on('data', (chunk: Buffer) => (text += chunk.toString()));
      reply.on('end', () => resolve((JSON.parse(text) as { result: Combined }).result));
    });
    call.on('error', reject);
    call.end(JSON.stringify({ input: one }));
  });
}
