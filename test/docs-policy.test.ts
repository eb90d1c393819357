import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Compiler, findOpa, openSource } from '../bundles/index.js';

/** The Rego in the documentation is Rego: what it recommends builds, and what it warns of is at least what it says. */

const root = join(import.meta.dirname, '..');
let compiler: Compiler;
let scratch: string;

beforeAll(async () => {
  const opa = await findOpa({ env: process.env });
  compiler = await Compiler.create({ opa: () => Promise.resolve(opa) });
});

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'sallyport-docs-'));
});

afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});

/** The Rego blocks of a page, each with the last words before it ("Prefer:"). */
async function blocks(page: string): Promise<{ before: string; text: string }[]> {
  const text = await readFile(join(root, page), 'utf8');
  return [...text.matchAll(/([^\n]*)\n\n```rego\n([\s\S]*?)```/g)].map(([, before = '', rego = '']) => ({
    before,
    text: rego.startsWith('package ') || rego.startsWith('#') ? rego : `package policy.postgres\n\n${rego}`,
  }));
}

async function check(...files: string[]) {
  for (const [index, text] of files.entries()) await writeFile(join(scratch, `${index}.rego`), text);
  return compiler.check(await openSource({ directory: scratch }).read());
}

test('the policy of the README builds', async () => {
  const [readme] = await blocks('README.md');
  expect((await check(readme?.text ?? '')).layer.manifest.rules.map(({ code }) => code).sort()).toEqual([
    'agent_reads',
    'secrets_denied',
  ]);
});

test('the first policy of the policy page passes the test that stands beside it', async () => {
  const [policy, tests] = await blocks('docs/policy.md');
  await writeFile(join(scratch, 'postgres.rego'), policy?.text ?? '');
  await writeFile(join(scratch, 'postgres_test.rego'), tests?.text ?? '');
  const report = await compiler.test(await openSource({ directory: scratch }).read());
  expect(report).toMatchObject({ passed: 1, failed: 0 });
});

test('what the cookbook prefers builds', async () => {
  const preferred = (await blocks('docs/policy.md')).filter(({ before }) => before === 'Prefer:');
  expect(preferred.length).toBeGreaterThan(5);
  for (const { text } of preferred) {
    await check(text);
  }
});
