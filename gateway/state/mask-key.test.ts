import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMaskKey } from './mask-key.js';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sallyport-mask-key-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test('a key is made once, for its owner alone, and kept', async () => {
  const first = await openMaskKey({ directory });
  const key = first('orders');
  expect(key).toMatch(/^[0-9a-f]{64}$/);
  expect((await stat(join(directory, 'mask.key'))).mode & 0o777).toBe(0o600);
  expect(await readFile(join(directory, 'mask.key'), 'utf8')).not.toContain(key);
  expect(await readdir(directory)).toEqual(['mask.key']);
  expect((await openMaskKey({ directory }))('orders')).toBe(key);
});

test('each target has its own', async () => {
  const key = await openMaskKey({ directory });
  expect(key('orders')).not.toBe(key('billing'));
  expect(key('orders')).toBe(key('orders'));
});

test('processes that start together come to one', async () => {
  const keys = await Promise.all(Array.from({ length: 8 }, () => openMaskKey({ directory })));
  expect(new Set(keys.map((key) => key('orders'))).size).toBe(1);
  expect(await readdir(directory)).toEqual(['mask.key']);
});

test('one that is configured stands before the kept one, and nothing is written', async () => {
  const options = { directory, key: 'k'.repeat(32) };
  const key = (await openMaskKey(options))('orders');
  expect((await openMaskKey(options))('orders')).toBe(key);
  expect((await openMaskKey({ directory, key: 'l'.repeat(32) }))('orders')).not.toBe(key);
  expect(await readdir(directory)).toEqual([]);
});

test.each(['', 'short', 'g'.repeat(64)])('one that is damaged (%j) stops the start', async (content) => {
  await writeFile(join(directory, 'mask.key'), content);
  await expect(openMaskKey({ directory })).rejects.toMatchObject({
    name: 'ConfigError',
    message: expect.stringContaining('restore it'),
  });
});

test('one that cannot be made stops the start', async () => {
  await expect(openMaskKey({ directory: join(directory, 'nowhere') })).rejects.toMatchObject({ name: 'ConfigError' });
});
