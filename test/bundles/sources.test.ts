import { afterAll, describe, expect, test } from '@jest/globals';
import { mkdir, rename, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openSource, type Source } from '../../bundles/index.js';
import { isBranchName } from '../../bundles/git.js';
import { file_bytes_max } from '../../bundles/snapshot.js';
import { cleanUp, commit, git, goodPolicy, repository, scratch, writeTree } from './support.js';

afterAll(cleanUp);

const names = async (source: Source) => [...(await source.read()).files.keys()];

/** Resolves with the first change that a watch tells of after `act`. */
async function changeAfter(
  source: Source,
  act: () => Promise<unknown>,
  until: (head: string) => boolean,
): Promise<string> {
  let told: (head: string) => void = () => {};
  const seen = new Promise<string>((resolve) => (told = resolve));
  const look = () =>
    void source.head().then(
      (head) => until(head) && told(head),
      () => undefined,
    );
  const stop = await source.watch(look);
  try {
    await act();
    return await seen;
  } finally {
    await stop();
  }
}

describe('a directory', () => {
  test('gives policy files only, under a revision that is their digest', async () => {
    const folder = await scratch();
    await writeTree(folder, {
      ...goodPolicy,
      'README.md': 'x',
      '.github/data.json': '{}',
      'deep/er/data.json': '{}',
      'fixture.json': '{}',
    });
    const source = openSource({ directory: folder });
    expect(await names(source)).toEqual(['data.yaml', 'deep/er/data.json', 'postgres.rego', 'postgres_test.rego']);
    const before = await source.head();
    expect(before).toMatch(/^directory:[0-9a-f]{64}$/);
    await writeTree(folder, { 'README.md': 'y' });
    expect(await source.head()).toBe(before);
    await writeTree(folder, { 'data.yaml': 'secret_tables: [app.other]\n' });
    expect(await source.head()).not.toBe(before);
  });

  test.each<[string, (folder: string, outside: string) => Promise<unknown>, RegExp]>([
    [
      'a link out of it',
      (folder, outside) => symlink(path.join(outside, 'x.rego'), path.join(folder, 'x.rego')),
      /x\.rego: is a symbolic link that leads out/,
    ],
    [
      'a linked folder outside',
      (folder, outside) => symlink(outside, path.join(folder, 'more')),
      /more: is a symbolic link that leads out/,
    ],
    [
      'a link to nowhere',
      (folder) => symlink('none.rego', path.join(folder, 'x.rego')),
      /x\.rego: is a symbolic link that leads nowhere/,
    ],
    [
      'Rego that is not text',
      (folder) => writeFile(path.join(folder, 'x.rego'), Buffer.from([0x70, 0xff, 0xfe])),
      /x\.rego: is not text/,
    ],
    [
      'Rego with a zero byte',
      (folder) => writeFile(path.join(folder, 'x.rego'), 'package a\0'),
      /x\.rego: is not text/,
    ],
    [
      'a huge file',
      (folder) =>
        writeFile(path.join(folder, 'data.json'), '').then(() =>
          truncate(path.join(folder, 'data.json'), file_bytes_max + 1),
        ),
      /data\.json: is larger than 16 MiB/,
    ],
  ])('refuses %s, and names the file', async (_, arrange, message) => {
    const [folder, outside] = [await scratch(), await scratch()];
    await writeTree(folder, goodPolicy);
    await writeTree(outside, { 'x.rego': 'package x\n' });
    await arrange(folder, outside);
    await expect(openSource({ directory: folder }).read()).rejects.toThrow(message);
  });

  test('refuses what is not there, or holds no policy', async () => {
    const folder = await scratch();
    await expect(openSource({ directory: path.join(folder, 'none') }).read()).rejects.toThrow(/does not exist/);
    await expect(openSource({ directory: folder }).read()).rejects.toThrow(/no policy files were found/);
  });

  test('tells of a file that is replaced by another', async () => {
    const folder = await scratch();
    await writeTree(folder, goodPolicy);
    const source = openSource({ directory: folder });
    const before = await source.head();
    const replace = async () => {
      await writeFile(path.join(folder, '.new'), 'package more\n');
      await rename(path.join(folder, '.new'), path.join(folder, 'more.rego'));
    };
    expect(await changeAfter(source, replace, (head) => head !== before)).not.toBe(before);
  });

  test('follows a ConfigMap when Kubernetes swaps it', async () => {
    const folder = await scratch();
    await writeTree(folder, {
      '..v1/postgres.rego': 'package policy.postgres\n',
      '..v2/postgres.rego': 'package policy.postgres # 2\n',
    });
    await symlink('..v1', path.join(folder, '..data'));
    await symlink('..data/postgres.rego', path.join(folder, 'postgres.rego'));
    const source = openSource({ directory: folder });
    expect(await names(source)).toEqual(['postgres.rego']);
    const before = await source.head();
    const swap = async () => {
      await symlink('..v2', path.join(folder, '..data_tmp'));
      await rename(path.join(folder, '..data_tmp'), path.join(folder, '..data'));
    };
    await changeAfter(source, swap, (head) => head !== before);
    expect(Buffer.from((await source.read()).files.get('postgres.rego') ?? []).toString()).toContain('# 2');
  });
});

describe('a git repository', () => {
  test('gives the commit, never the work tree', async () => {
    const folder = await repository(goodPolicy);
    await writeTree(folder, { 'half.rego': 'package half {', 'postgres.rego': 'broken' });
    const source = openSource({ git: { url: folder } });
    const snapshot = await source.read();
    expect(snapshot.revision).toBe(`git:${git(folder, 'rev-parse', 'HEAD')}`);
    expect(Buffer.from(snapshot.files.get('postgres.rego') ?? []).toString()).toBe(goodPolicy['postgres.rego']);
    expect([...snapshot.files.keys()]).toEqual(Object.keys(goodPolicy).sort());
    expect(snapshot.commit).toMatchObject({
      subject: 'first',
      author: 'Ada <ada@example.com>',
      time: expect.stringMatching(/Z$/) as unknown,
    });
  });

  test('may be bare, named by file:, on another branch, below a folder', async () => {
    const work = await repository({ 'README.md': 'x' });
    git(work, 'checkout', '-q', '-b', 'live/eu');
    await commit(
      work,
      { 'site/policy/postgres.rego': 'package policy.postgres\n', 'other.rego': 'package other\n' },
      'policy',
    );
    const bare = path.join(await scratch(), 'policy.git');
    git(work, 'clone', '-q', '--bare', work, bare);
    git(bare, 'pack-refs', '--all');
    const source = openSource({ git: { url: `file://${bare}`, branch: 'live/eu', path: './site/policy/' } });
    expect(await names(source)).toEqual(['postgres.rego']);
    const next = await changeAfter(
      source,
      async () => {
        await commit(work, { 'site/policy/postgres.rego': 'package policy.postgres # 2\n' }, 'next');
        git(work, 'push', '-q', bare, 'live/eu');
      },
      (head) => head === `git:${git(work, 'rev-parse', 'HEAD')}`,
    );
    expect(next).toBe(await source.head());
  });

  test('follows links inside the commit, and refuses those that lead out of it', async () => {
    const folder = await repository(goodPolicy);
    await symlink('postgres.rego', path.join(folder, 'same.rego'));
    await commit(folder, {}, 'inner link');
    const source = openSource({ git: { url: folder } });
    const { files } = await source.read();
    expect(files.get('same.rego')).toEqual(files.get('postgres.rego'));
    for (const target of ['/etc/passwd', '../../etc/passwd', '.git/config']) {
      const name = `evil${target.replaceAll('/', '_')}.rego`;
      await symlink(target, path.join(folder, name));
      await commit(folder, {}, 'outer link');
      await expect(source.read()).rejects.toThrow(`${name}: is a symbolic link`);
      git(folder, 'rm', '-q', name);
    }
  });

  test('refuses submodules, huge files and binary Rego', async () => {
    const folder = await repository(goodPolicy);
    const source = openSource({ git: { url: folder } });
    git(folder, 'update-index', '--add', '--cacheinfo', `160000,${git(folder, 'rev-parse', 'HEAD')},vendor`);
    git(folder, 'commit', '-q', '-m', 'submodule');
    await expect(source.read()).rejects.toThrow(/vendor: is a submodule/);
    git(folder, 'rm', '-q', '--cached', 'vendor');
    await writeFile(path.join(folder, 'x.rego'), Buffer.from([0xff, 0xfe]));
    await commit(folder, {}, 'binary');
    await expect(source.read()).rejects.toThrow(/x\.rego: is not text/);
  });

  test('ignores what the environment and the repository would have git do', async () => {
    const folder = await repository(goodPolicy);
    const other = await repository({ 'evil.rego': 'package evil\n' });
    await commit(folder, { '.gitattributes': '*.rego export-ignore filter=evil\n' }, 'attributes');
    process.env['GIT_DIR'] = path.join(other, '.git');
    try {
      expect(await names(openSource({ git: { url: folder } }))).toEqual(Object.keys(goodPolicy).sort());
    } finally {
      delete process.env['GIT_DIR'];
    }
  });

  test.each<[string, object, RegExp]>([
    ['a branch that looks like an option', { branch: '--upload-pack=x' }, /is not the name of a branch/],
    ['a branch that is not there', { branch: 'none' }, /has no commit on branch none/],
    ['a path out of it', { path: '../x' }, /is not a folder inside the repository/],
    ['a path that is not there', { path: 'none' }, /has no folder "none"/],
  ])('refuses %s', async (_, options, message) => {
    const folder = await repository(goodPolicy);
    await expect((async () => openSource({ git: { url: folder, ...options } }).read())()).rejects.toThrow(message);
  });

  test('refuses what is elsewhere, and shows no password of it', () => {
    for (const url of [
      'https://user:hunter2@example.com/p.git',
      'ssh://git@example.com/p.git',
      'git@example.com:p.git',
      '--upload-pack=x',
      'file://host/p.git',
    ]) {
      expect(() => openSource({ git: { url } })).toThrow(/is not on this machine|is no repository/);
      expect(() => openSource({ git: { url } })).not.toThrow(/hunter2/);
    }
  });

  test('refuses a folder that is none', async () => {
    await expect(openSource({ git: { url: await scratch() } }).read()).rejects.toThrow(/is not a git repository/);
    const folder = await scratch();
    await mkdir(path.join(folder, 'x'));
    await expect(openSource({ git: { url: path.join(folder, 'none') } }).head()).rejects.toThrow(
      /is not a git repository/,
    );
  });
});

test.each([
  ['main', true],
  ['live/eu-1', true],
  ['-x', false],
  ['a..b', false],
  ['a b', false],
  ['a^{commit}', false],
  ['a/', false],
  ['/a', false],
  ['a.lock', false],
  ['@', false],
  ['', false],
])('%j is the name of a branch: %s', (name, is) => expect(isBranchName(name)).toBe(is));
