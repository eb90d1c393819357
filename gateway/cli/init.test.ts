import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { findOpa } from '../../bundles/index.js';
import { cleanUp, scratch } from '../../test/bundles/support.js';
import { protocols } from '../registry.js';
import { initCommand } from './init.js';
import { checkCommand, testCommand } from './policy-commands.js';

const run = promisify(execFile);

function io() {
  let out = '';
  const around = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: () => undefined },
    env: process.env,
    fallbackFolder: '/',
  };
  return { around, out: () => out };
}

let repository: string;
beforeAll(async () => {
  repository = path.join(await scratch(), 'policy-repository');
  expect(await initCommand(repository, {}, io().around)).toBe(0);
});
afterAll(cleanUp);

const inside = (...names: string[]) => path.join(repository, ...names);

describe('a repository that init made', () => {
  test("passes Sallyport's own checks and its tests, with rules for each protocol", async () => {
    const checked = io();
    expect([await checkCommand(inside('policy'), { json: true }, checked.around), checked.out()]).toEqual([0, expect.any(String)]);
    const { packages, warnings, advice } = JSON.parse(checked.out()) as Record<'packages' | 'warnings' | 'advice', unknown[]>;
    expect(packages).toEqual(expect.arrayContaining(protocols.map(({ name }) => name)));
    expect([warnings, advice]).toEqual([[], []]);
    expect(await testCommand(inside('policy'), {}, io().around)).toBe(0);
  }); // prettier-ignore

  test('passes what its workflows run of opa: format, strict check with the schemas, tests with full coverage', async () => {
    const opa = await findOpa();
    const steps = [
      ['fmt', '--fail', '--list', 'policy'],
      ['check', '--strict', '--schema', 'schemas', 'policy', 'lib'],
      ['test', '--coverage', '--threshold', '100', '--format', 'json', 'policy', 'lib'],
    ];
    for (const step of steps) {
      await run(opa, step, { cwd: repository, maxBuffer: 1 << 24 });
      for (const file of ['.github/workflows/policy.yml', '.gitlab-ci.yml'])
        expect(await readFile(inside(file), 'utf8')).toContain(`opa ${step.join(' ')}`);
    }
  });

  test('has workflows that are YAML and name versions, editor settings that are JSON, and a hook that can be run', async () => {
    for (const file of ['.github/workflows/policy.yml', '.gitlab-ci.yml', '.regal/config.yaml']) {
      const text = await readFile(inside(file), 'utf8');
      expect(parse(text)).toBeInstanceOf(Object);
      expect(text).not.toMatch(/_VERSION@/);
    }
    const given = JSON.parse(await readFile(inside('input.json'), 'utf8')) as Record<string, Record<string, unknown>>;
    // Regal completes by this file: what it lacks is not offered.
    expect(given['principal']).toHaveProperty('purpose');
    for (const { name } of protocols) expect(given['operation']).toHaveProperty(name);
    expect(given['operation']).toMatchObject({ resources: [{ access: 'read' }], http: { connect: { host: '' } } });
    for (const file of ['settings.json', 'extensions.json'])
      expect(JSON.parse(await readFile(inside('.vscode', file), 'utf8'))).toBeInstanceOf(Object);
    expect((await stat(inside('.githooks/pre-commit'))).mode & 0o111).toBe(0o111);
    await run('sh', ['-n', inside('.githooks/pre-commit')]);
  });

  test('says where a rule that is changed breaks a test', async () => {
    const file = inside('policy/all/all.rego');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('input.principal.kind == "agent"', 'input.principal.kind == "service"'));
    const told = io();
    expect(await testCommand(inside('policy'), {}, told.around)).toBe(1);
    expect(told.out()).toMatch(/all\/all_test\.rego:\d+: test_an_agent_needs_a_purpose failed/);
    await writeFile(file, text);
  });

  test('is checked by its folder with the policy; as a whole it is refused in one sentence that says so', async () => {
    const told = io();
    expect(await checkCommand(repository, { json: true }, told.around)).toBe(1);
    expect(JSON.parse(told.out())).toMatchObject({
      problems: [{ code: 'whole_repository', help: expect.stringContaining('sallyport check policy') as unknown }],
    });
  });

  test('is never written over; its helpers and schemas are renewed when that is asked for', async () => {
    await expect(initCommand(repository, {}, io().around)).rejects.toThrow(/is not empty/);
    const schema = inside('schemas/input.json');
    await writeFile(schema, '{}');
    await writeFile(inside('input.json'), '{}');
    await writeFile(inside('README.md'), 'ours');
    expect(await initCommand(repository, { update: true }, io().around)).toBe(0);
    for (const file of [schema, inside('input.json')])
      expect((await readFile(file, 'utf8')).length).toBeGreaterThan(100);
    expect(await readFile(inside('README.md'), 'utf8')).toBe('ours');
    await expect(initCommand(await scratch(), { update: true }, io().around)).rejects.toThrow(/no folder "policy"/);
  });
});
