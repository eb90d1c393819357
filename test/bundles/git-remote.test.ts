import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { execFileSync, spawn } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { deflateSync, inflateSync } from 'node:zlib';
import { openSource } from '../../bundles/index.js';
import { RemoteGitSource, type RemoteGitOptions } from '../../bundles/git-remote.js';
import { clientTest, onPath } from '../clients/support.js';
import { cleanUp, commit, git, goodPolicy, repository, scratch, signingKey } from './support.js';

/** A real repository behind git's own server for HTTP, that asks for a token. */

let server: Server;
let root: string;
let asked = 0;
let redirect: string | undefined;
const token = 'the-token-of-the-gateway';

beforeAll(async () => {
  server = createServer((request, response) => {
    asked += 1;
    const { method = 'GET', url = '/', headers } = request;
    if (redirect !== undefined) return response.writeHead(302, { location: redirect + url }).end();
    const basic = `Basic ${Buffer.from(`git:${token}`).toString('base64')}`;
    if (headers.authorization !== basic) return response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
    const [pathname = '', query = ''] = url.split('?');
    const backend = spawn('git', ['http-backend'], {
      env: {
        ...{ PATH: process.env['PATH'], GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: pathname },
        ...{ QUERY_STRING: query, REQUEST_METHOD: method, CONTENT_TYPE: headers['content-type'] ?? '' },
        ...{
          HTTP_CONTENT_ENCODING: headers['content-encoding'] ?? '',
          GIT_PROTOCOL: String(headers['git-protocol'] ?? ''),
        },
        ...{ GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' },
      },
    });
    request.pipe(backend.stdin);
    const chunks: Buffer[] = [];
    backend.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    backend.on('close', () => {
      const answer = Buffer.concat(chunks);
      const end = answer.indexOf('\r\n\r\n');
      const fields = answer.toString('latin1', 0, Math.max(end, 0)).split('\r\n').map((line) => line.split(': ') as [string, string]); // prettier-ignore
      const status = Number(fields.find(([name]) => name === 'Status')?.[1]?.slice(0, 3) ?? 200);
      for (const [name, value] of fields) if (name !== 'Status' && value !== undefined) response.setHeader(name, value);
      response.writeHead(status).end(answer.subarray(end + 4));
    });
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await cleanUp();
});
beforeEach(() => {
  redirect = undefined;
});

const url = () => `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;

async function remote(folder: string, more: Partial<RemoteGitOptions> = {}): Promise<RemoteGitSource> {
  root = path.dirname(folder);
  const directory = await scratch();
  const at = `${url()}/${path.basename(folder)}/.git`;
  return new RemoteGitSource({ url: at, branch: 'main', path: '.', token, poll_ms: 60_000, directory, ...more });
}

describe('a repository elsewhere', () => {
  test('gives the newest commit alone, from a folder inside it, and what is forced after it', async () => {
    const folder = await repository({ 'deep/postgres.rego': goodPolicy['postgres.rego']!, 'other.rego': 'package other\n' }); // prettier-ignore
    await commit(folder, { 'deep/data.yaml': 'secret_tables: []\n' }, 'second');
    const source = await remote(folder, { path: 'deep' });
    const snapshot = await source.read();
    expect(snapshot).toMatchObject({
      revision: `git:${git(folder, 'rev-parse', 'HEAD')}`,
      commit: { subject: 'second' },
    });
    expect([...snapshot.files.keys()]).toEqual(['data.yaml', 'postgres.rego']);

    git(folder, 'reset', '-q', '--hard', 'HEAD~1');
    await commit(folder, { 'deep/data.yaml': 'secret_tables: [forced]\n' }, 'forced');
    // Asked a moment ago: it is not asked again until it is due, or somebody says so.
    const before = asked;
    expect(await source.head()).toBe(snapshot.revision);
    expect(asked).toBe(before);
    source.poke();
    expect(await source.head()).toBe(`git:${git(folder, 'rev-parse', 'HEAD')}`);
    expect((await source.read()).commit).toMatchObject({ subject: 'forced' });
  });

  test('whose branch is deleted says so, and comes back with it', async () => {
    const folder = await repository(goodPolicy);
    git(folder, 'branch', 'policy');
    const source = await remote(folder, { branch: 'policy' });
    const first = await source.head();
    git(folder, 'branch', '-D', 'policy');
    source.poke();
    await expect(source.head()).rejects.toThrow(/has no branch policy/);
    git(folder, 'branch', 'policy');
    source.poke();
    expect(await source.head()).toBe(first);
  });

  test('that refuses the token, or leads elsewhere, is unreachable, and no message has the token', async () => {
    const folder = await repository(goodPolicy);
    const wrong = await remote(folder, { token: 'another-token' });
    await expect(wrong.head()).rejects.toThrow(/cannot be fetched.*(401|Authentication|could not read)/s);
    await expect(wrong.head()).rejects.not.toThrow(/another-token|YW5vdGhlci10b2tlbg/);
    const source = await remote(folder);
    redirect = `${url()}/elsewhere`;
    await expect(source.head()).rejects.toThrow(/cannot be fetched/);
  });

  test('of more bytes than a policy has is not kept, and leaves nothing behind', async () => {
    const folder = await repository({ ...goodPolicy, 'noise.bin': randomBytes(600_000).toString('base64') });
    const directory = await scratch();
    const source = await remote(folder, { directory, fetch_bytes_max: 65_536 });
    const packs = async () => (await readdir(directory, { recursive: true })).filter((name) => /pack\/tmp_/.test(name));
    for (let fetches = 0; fetches < 2; fetches++) {
      source.poke();
      await expect(source.head()).rejects.toThrow(/cannot be fetched/);
      // Of the last one alone, until the next.
      expect((await packs()).length).toBeLessThanOrEqual(1);
    }
    const patient = await remote(folder, { directory });
    await patient.head();
    expect(await packs()).toEqual([]);
  });

  test('by SSH is asked with the key that is configured, and never with those of the account', async () => {
    const programs = await scratch();
    const told = path.join(programs, 'told');
    await writeFile(path.join(programs, 'ssh'), `#!/bin/sh\nprintf '%s\\n' "$@" > ${told}\nexit 1\n`, { mode: 0o755 });
    const before = process.env['PATH'];
    process.env['PATH'] = `${programs}:${before}`;
    try {
      for (const [sshKey, identity] of [
        [undefined, 'none'],
        ['/keys/deploy 100%', '"/keys/deploy 100%%"'],
      ] as const) {
        const more = sshKey === undefined ? {} : { sshKey };
        const options = { url: 'git@git.example:policy', branch: 'main', path: '.', poll_ms: 60_000, ...more };
        const source = new RemoteGitSource({ ...options, directory: await scratch() });
        await expect(source.head()).rejects.toThrow(/cannot be fetched/);
        const words = (await readFile(told, 'utf8')).split('\n');
        expect(words).toEqual(expect.arrayContaining([`IdentityFile=${identity}`, 'IdentitiesOnly=yes', 'IdentityAgent=none'])); // prettier-ignore
        expect(words).not.toContain('-i');
      }
    } finally {
      process.env['PATH'] = before;
    }
  });

  test.each(['git://example.com/policy', 'http://example.com/policy', 'ext::sh -c id', 'ftp://example.com/x'])(
    'is never one that comes in clear or runs something: %s',
    async (bad) => {
      const directory = await scratch();
      await expect(async () => openSource({ git: { url: bad } }, directory).head()).rejects.toThrow();
    },
  );
});

const signatures = 'where signatures are asked for';

describe(signatures, () => {
  test('a machine without ssh-keygen says that it cannot look', async () => {
    const folder = await repository(goodPolicy);
    const lines = git(folder, 'cat-file', 'commit', 'HEAD').split('\n');
    const signature = 'gpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----';
    const at = lines.findIndex((line) => line.startsWith('committer '));
    const object = [...lines.slice(0, at + 1), signature, ...lines.slice(at + 1), ''].join('\n');
    const made = path.join(await scratch(), 'commit');
    await writeFile(made, object);
    git(folder, 'update-ref', 'HEAD', git(folder, 'hash-object', '-t', 'commit', '-w', made));
    const programs = await scratch();
    await symlink(onPath('git')!, path.join(programs, 'git'));
    const source = openSource({ git: { url: folder }, signing: { keys: ['ssh-ed25519 AAAA'] } });
    const before = process.env['PATH'];
    process.env['PATH'] = programs;
    try {
      await expect(source.read()).rejects.toThrow(/git found no ssh-keygen/);
    } finally {
      process.env['PATH'] = before;
    }
  });

  clientTest(signatures, 'a commit is policy only when one of the keys signed it, and the key is named', async () => {
    const keys = await scratch();
    for (const name of ['good', 'other']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path.join(keys, name)]); // prettier-ignore
    const publicKey = execFileSync('ssh-keygen', ['-y', '-f', path.join(keys, 'good')], { encoding: 'utf8' }).trim();
    const folder = await repository(goodPolicy);
    const source = openSource({ git: { url: folder }, signing: { keys: [publicKey] } });
    await expect(source.read()).rejects.toThrow(/is not signed/);
    const signed = (name: string) =>
      git(folder, '-c', 'gpg.format=ssh', '-c', `user.signingkey=${path.join(keys, name)}`, 'commit', '-q', '-S', '--allow-empty', '-m', name); // prettier-ignore
    signed('other');
    await expect(source.read()).rejects.toThrow(/is signed by SHA256:\S+, which is none of policy\.signing\.keys/);
    signed('good');
    const fingerprint = execFileSync('ssh-keygen', ['-l', '-f', path.join(keys, 'good')], { encoding: 'utf8' }).split(' ')[1]; // prettier-ignore
    expect((await source.read()).commit).toMatchObject({ subject: 'good', signer: fingerprint });

    // What the repository's own configuration says of programs has no say.
    await commit(folder, {}, 'Good "git" signature for x with ED25519 key SHA256:abc');
    git(folder, 'config', 'gpg.ssh.program', 'true');
    git(folder, 'config', 'gpg.program', 'true');
    await expect(source.read()).rejects.toThrow(/is not signed/);
  });

  clientTest(
    signatures,
    'what is read is what was signed, whatever lies in the repository under its name',
    async () => {
      const key = await signingKey();
      const folder = await repository({ 'a/deep/data.yaml': 'secret_tables: []\n', 'a/deep/run': 'x', 'b.rego': 'package b\n' }); // prettier-ignore
      key.sign(folder, 'signed');
      const source = openSource({ git: { url: folder, path: 'a' }, signing: { keys: [key.publicKey] } });
      expect([...(await source.read()).files.keys()]).toEqual(['deep/data.yaml']);
      expect((await openSource({ git: { url: folder }, signing: { keys: [key.publicKey] } }).read()).files.size).toBe(
        2,
      );
      await expect(
        openSource({ git: { url: folder, path: 'a/none' }, signing: { keys: [key.publicKey] } }).read(),
      ).rejects.toThrow(/has no folder/);

      // Whoever may push into a folder may write there, too; git reads most trees and all files without hashing them.
      for (const [name, from, to] of [
        ['HEAD:a/deep/data.yaml', 'secret_tables', 'public_tables'],
        ['HEAD:a/deep', 'run\0', 'x.rego\0'],
        ['HEAD:a', 'deep', 'peed'],
        ['HEAD^{tree}', ' a\0', ' c\0'],
      ] as const) {
        const object = git(folder, 'rev-parse', name);
        const file = path.join(folder, '.git', 'objects', object.slice(0, 2), object.slice(2));
        const before = await readFile(file);
        const content = inflateSync(before).toString('latin1');
        expect(content).toContain(from);
        const text = content.slice(content.indexOf('\0') + 1).replace(from, to);
        await rm(file);
        await writeFile(file, deflateSync(Buffer.from(`${content.split(' ')[0]!} ${text.length}\0${text}`, 'latin1')));
        await expect(source.read()).rejects.toThrow(/is not what its name says|has no folder .* that could be read/);
        await rm(file);
        await writeFile(file, before);
      }
      expect((await source.read()).commit).toMatchObject({ subject: 'signed' });
    },
  );
});
