import { afterAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { releaseAsset } from './opa-fetch.js';
import { findOpa, pinnedVersion, versionFits } from './opa.js';

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

async function scratch(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-opa-'));
  folders.push(folder);
  return folder;
}

const fakeOpa = (version: string) => `#!/bin/sh\necho "Version: ${version}"\n`;

async function executable(file: string, content: string): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, content);
  await chmod(file, 0o755);
  return file;
}

/** Serves one release asset; counts what is asked of it. */
async function releases(content: string) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (request.url === `/v${pinnedVersion}/${releaseAsset(process.platform, process.arch)}`) response.end(content);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, asked, close: () => new Promise((resolve) => server.close(resolve)) };
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('an opa that is there', () => {
  test('the one that SALLYPORT_OPA names comes first', async () => {
    const folder = await scratch();
    const named = await executable(path.join(folder, 'named'), fakeOpa('1.21.0'));
    await executable(path.join(folder, 'bin', 'opa'), fakeOpa('1.22.2'));
    expect(
      await findOpa({ env: { SALLYPORT_OPA: named, PATH: path.join(folder, 'bin') }, cacheDirectory: folder }),
    ).toBe(named);
  });

  test.each([
    ['is of a version that does not fit', '0.70.0', /is opa 0\.70\.0\n\s+Sallyport needs at least 1\.20 and below 2/],
    ['is of the next major version', '2.0.0', /is opa 2\.0\.0/],
  ])('SALLYPORT_OPA that %s is refused, not passed over', async (_, version, message) => {
    const folder = await scratch();
    const named = await executable(path.join(folder, 'named'), fakeOpa(version));
    await expect(findOpa({ env: { SALLYPORT_OPA: named, PATH: '' }, cacheDirectory: folder })).rejects.toThrow(message);
  });

  test('SALLYPORT_OPA that does not exist, or does not answer, is refused', async () => {
    const folder = await scratch();
    await expect(
      findOpa({ env: { SALLYPORT_OPA: path.join(folder, 'none') }, cacheDirectory: folder }),
    ).rejects.toThrow(/does not exist/);
    const mute = await executable(path.join(folder, 'mute'), '#!/bin/sh\nexit 0\n');
    await expect(findOpa({ env: { SALLYPORT_OPA: mute }, cacheDirectory: folder })).rejects.toThrow(/does not answer/);
  });

  test('on PATH the first that fits is taken, and relative folders are no part of it', async () => {
    const folder = await scratch();
    await executable(path.join(folder, 'old', 'opa'), fakeOpa('0.60.1'));
    const good = await executable(path.join(folder, 'good', 'opa'), fakeOpa('1.20.0'));
    expect(
      await findOpa({
        env: { PATH: `.:${path.join(folder, 'old')}:${path.join(folder, 'good')}` },
        cacheDirectory: folder,
      }),
    ).toBe(good);
  });

  test.each([
    ['1.20.0', true],
    ['1.22.2', true],
    ['1.99.0-dev', true],
    ['1.19.9', false],
    ['2.0.0', false],
    ['nonsense', false],
  ])('version %s fits: %s', (version, fits) => expect(versionFits(version)).toBe(fits));
});

describe('an opa that is fetched', () => {
  test('is the release asset with the right checksum, fetched once, with progress', async () => {
    const folder = await scratch();
    const content = fakeOpa(pinnedVersion);
    const server = await releases(content);
    const told: string[] = [];
    const env = { PATH: '/bin', SALLYPORT_OPA_URL: `${server.url}/`, SALLYPORT_OPA_SHA256: sha256(content) };
    const options = { env, cacheDirectory: folder, progress: (message: string) => void told.push(message) };
    const found = await findOpa(options);
    expect(found).toBe(path.join(folder, 'opa', pinnedVersion, 'opa'));
    expect(await readFile(found, 'utf8')).toBe(content);
    expect(told[0]).toContain(server.url);
    expect(await findOpa(options)).toBe(found);
    expect(server.asked).toHaveLength(1);
    expect(await readdir(path.dirname(found))).toEqual(['opa']);
    await server.close();
  });

  test('is thrown away where its checksum is another', async () => {
    const folder = await scratch();
    const server = await releases(fakeOpa(pinnedVersion));
    const env = { PATH: '/bin', SALLYPORT_OPA_URL: server.url, SALLYPORT_OPA_SHA256: sha256('another') };
    await expect(findOpa({ env, cacheDirectory: folder })).rejects.toThrow(/expected was [0-9a-f]{64}: thrown away/);
    expect(await readdir(path.join(folder, 'opa', pinnedVersion))).toEqual([]);
    await server.close();
  });

  test('is never taken without a checksum: nothing is even asked for', async () => {
    const folder = await scratch();
    const server = await releases(fakeOpa(pinnedVersion));
    const env = { PATH: '/bin', SALLYPORT_OPA_URL: server.url };
    await expect(findOpa({ env, cacheDirectory: folder })).rejects.toThrow(/SALLYPORT_OPA_SHA256/);
    await expect(findOpa({ env: { ...env, SALLYPORT_OPA_SHA256: 'abc' }, cacheDirectory: folder })).rejects.toThrow(
      /64 hexadecimal digits/,
    );
    expect(server.asked).toEqual([]);
    await server.close();
  });

  test('is asked for clearly where the server does not have it, or is not there', async () => {
    const folder = await scratch();
    const server = await releases('');
    const env = { PATH: '/bin', SALLYPORT_OPA_URL: `${server.url}/elsewhere`, SALLYPORT_OPA_SHA256: sha256('x') };
    await expect(findOpa({ env, cacheDirectory: folder })).rejects.toThrow(/HTTP 404/);
    await server.close();
    await expect(findOpa({ env, cacheDirectory: folder })).rejects.toThrow(/could not be fetched.*ECONNREFUSED/);
  });

  test('is fetched by one of two who need it at once', async () => {
    const folder = await scratch();
    const content = fakeOpa(pinnedVersion);
    const server = await releases(content);
    const env = { PATH: '/bin', SALLYPORT_OPA_URL: server.url, SALLYPORT_OPA_SHA256: sha256(content) };
    const found = await Promise.all([
      findOpa({ env, cacheDirectory: folder }),
      findOpa({ env, cacheDirectory: folder }),
    ]);
    expect(found[0]).toBe(found[1]);
    expect(server.asked).toHaveLength(1);
    await server.close();
  });

  test('a lock that a process left behind when it died is taken over', async () => {
    const folder = await scratch();
    const content = fakeOpa(pinnedVersion);
    const server = await releases(content);
    const cache = path.join(folder, 'opa', pinnedVersion);
    await mkdir(cache, { recursive: true });
    // Process ids are far smaller than this.
    await writeFile(path.join(cache, 'opa.lock'), '2000000000');
    const env = { PATH: '/bin', SALLYPORT_OPA_URL: server.url, SALLYPORT_OPA_SHA256: sha256(content) };
    expect(await findOpa({ env, cacheDirectory: folder })).toBe(path.join(cache, 'opa'));
    await server.close();
  });
});

describe('where Go is there', () => {
  /** A `go` that notes its environment and arguments, and "builds". */
  async function fakeGo(folder: string, ends: string): Promise<string> {
    const bin = path.join(folder, 'bin');
    await executable(
      path.join(bin, 'go'),
      `#!/bin/sh\necho "$@" > "${folder}/arguments"\n/usr/bin/env > "${folder}/environment"\n${ends}\n`,
    );
    // What the script needs, and no opa.
    for (const tool of ['printf', 'chmod'])
      await symlink(`/usr/bin/${tool}`, path.join(bin, tool)).catch(() => undefined);
    return bin;
  }

  test('the pinned version is built by it, without seeing our secrets', async () => {
    const folder = await scratch();
    const bin = await fakeGo(
      folder,
      `printf '#!/bin/sh\\necho "Version: ${pinnedVersion}"\\n' > "$GOBIN/opa"; chmod 755 "$GOBIN/opa"`,
    );
    const env = { PATH: bin, HOME: folder, GOFLAGS: '-mod=mod', UPSTREAM_PASSWORD: 'hunter2' };
    expect(await findOpa({ env, cacheDirectory: folder })).toBe(path.join(folder, 'opa', pinnedVersion, 'opa'));
    expect((await readFile(path.join(folder, 'arguments'), 'utf8')).trim()).toBe(
      `install github.com/open-policy-agent/opa@v${pinnedVersion}`,
    );
    const seen = await readFile(path.join(folder, 'environment'), 'utf8');
    expect(seen).toContain('GOFLAGS=-mod=mod -buildvcs=false');
    expect(seen).not.toContain('hunter2');
  });

  test('the official release follows where it fails', async () => {
    const folder = await scratch();
    const bin = await fakeGo(folder, 'echo "no network" >&2; exit 1');
    const told: string[] = [];
    await expect(
      findOpa({ env: { PATH: bin }, cacheDirectory: folder, progress: (message) => void told.push(message) }),
    ).rejects.toThrow(/no checksum is pinned|could not be fetched/);
    expect(told.join('\n')).toMatch(/go install failed \(no network\)/);
  });
});
