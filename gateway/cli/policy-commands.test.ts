import { afterAll, describe, expect, test } from '@jest/globals';
import { Command } from 'commander';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cleanUp, goodPolicy, scratch, writeTree, type Files } from '../../test/bundles/support.js';
import { buildCommand } from './build.js';
import { checkCommand, registerPolicyCommands, testCommand } from './policy-commands.js';
import { policyOrderCommand, policyStatusCommand, registerPolicyOrders } from './policy-orders.js';

afterAll(cleanUp);

function io() {
  let out = '';
  let err = '';
  const told = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
    env: process.env,
  };
  return { io: told, out: () => out, err: () => err, json: () => JSON.parse(out) as Record<string, unknown> };
}

async function policy(files: Files = {}): Promise<string> {
  const folder = await scratch();
  await writeTree(folder, { ...goodPolicy, ...files });
  return folder;
}

const misspelt: Files = {
  'x.rego': 'package policy.postgres\n\ndeni contains {"code": "x"} if input.operation.opaque\n',
};
const failing: Files = { 'x_test.rego': 'package x_test\n\ntest_x if 1 == 2\n' };

describe('check', () => {
  test('says what it found, without colours where nobody reads them', async () => {
    const spoken = io();
    expect(await checkCommand(await policy(), {}, spoken.io)).toBe(0);
    expect(spoken.out()).toMatch(
      /^ok 2 rules in policy\.postgres \(\d+ ms\)\nadvice: [^]*\nadvice: postgres\.rego:\d+: no test makes deny "secrets_denied" answer\n/,
    );
  });

  test('names an allow that asks neither who nor what, and none that does', async () => {
    const narrow =
      'package policy.http\n\nallow contains {"code": "narrow"} if {\n\t"readers" in input.principal.groups\n\tinput.operation.action == "read"\n}\n';
    const spoken = io();
    expect(await checkCommand(await policy({ 'http.rego': narrow }), { json: true }, spoken.io)).toBe(0);
    const { advice } = spoken.json() as { advice: { code: string }[] };
    expect(advice.filter(({ code }) => code === 'wide_allow')).toMatchObject([
      { file: 'postgres.rego', message: expect.stringMatching(/agent_reads.*: read \(postgres\)$/) as unknown },
    ]);
  });

  test('ends with 1 for advice where that is asked for, and is a comment for a pull request', async () => {
    const masks = 'package policy.postgres\n\nmask contains {"code": "m", "resource": "b|c", "with": "redact"} if true\n'; // prettier-ignore
    const folder = await policy();
    expect(await checkCommand(folder, { failOn: 'advice' }, io().io)).toBe(1);
    const spoken = io();
    expect(await checkCommand(folder, { markdown: true }, spoken.io)).toBe(0);
    expect(spoken.out()).toMatch(/^### What the check[^]*\n\| `postgres\.rego:10` \| no test makes deny "secrets\\_denied" answer \| Write a test/); // prettier-ignore
    const refused = io();
    expect(await checkCommand(await policy({ 'm.rego': masks }), { markdown: true }, refused.io)).toBe(1);
    expect(refused.out()).toMatch(/It is refused[^]*\n\| `m\.rego:3` \|.*b\\\|c/);
  });

  test('takes a folder of catalogs, and names one that is none', async () => {
    const folder = await scratch();
    const masks = 'package policy.postgres\n\nmask contains {"code": "m", "resource": "app.customers.emial", "with": "redact"} if true\n'; // prettier-ignore
    const catalog = { target: 'orders', columns: [{ column: 'app.customers.email', type: 'text' }] };
    await writeTree(folder, { 'README.md': 'none', 'orders.json': JSON.stringify(catalog) });
    const spoken = io();
    const dir = await policy({ 'm.rego': masks });
    expect(await checkCommand(dir, { json: true, catalog: [folder] }, spoken.io)).toBe(0);
    const { advice } = spoken.json() as { advice: { code: string }[] };
    expect(advice.filter(({ code }) => code === 'unknown_column')).toMatchObject([{ file: 'm.rego', line: 3, help: 'Did you mean app.customers.email?' }]); // prettier-ignore
    await writeTree(folder, { 'x.json': '{}' });
    const odd = io();
    expect(await checkCommand(dir, { catalog: [folder] }, odd.io)).toBe(1);
    expect(odd.out()).toMatch(/x\.json: is no catalog of a target/);
    await expect(checkCommand(dir, { catalog: ['/nowhere'] }, io().io)).rejects.toThrow(
      /catalog \/nowhere cannot be read/,
    );
  });

  test('against a base says what is allowed in vain, and what is wrong with the base by its own folder', async () => {
    const base = await scratch();
    await writeTree(base, { 'http.rego': 'package policy.http\n\nallow contains {"code": "b"} if "x" in input.principal.groups\n' }); // prettier-ignore
    const spoken = io();
    expect(await checkCommand(await policy(), { json: true, base }, spoken.io)).toBe(0);
    const { advice } = spoken.json() as { advice: { code: string }[] };
    // What the base refuses to everybody is no wide allow either.
    expect(advice.filter(({ code }) => code === 'base_silent' || code === 'wide_allow')).toMatchObject([
      { code: 'base_silent', file: 'postgres.rego', line: expect.any(Number) as unknown },
    ]);
    await writeTree(base, misspelt);
    const refused = io();
    expect(await checkCommand(await policy(), { json: true, base }, refused.io)).toBe(1);
    expect(refused.json()).toMatchObject({ problems: [{ code: 'unknown_rule', file: path.join(base, 'x.rego') }] });
  });

  test('answers no with file, line and what to do', async () => {
    const spoken = io();
    expect(await checkCommand(await policy(misspelt), {}, spoken.io)).toBe(1);
    expect(spoken.out()).toMatch(/^no x\.rego:3: deni .*did you mean deny\?\n {4}Known are allow, deny/);
  });

  test('gives the same as JSON', async () => {
    const spoken = io();
    expect(await checkCommand(await policy(misspelt), { json: true }, spoken.io)).toBe(1);
    expect(spoken.json()).toMatchObject({ ok: false, problems: [{ code: 'unknown_rule', file: 'x.rego', line: 3 }] });
  });

  test('does not run tests', async () => {
    expect(await checkCommand(await policy(failing), {}, io().io)).toBe(0);
  });

  test('of a folder that is not there is wrong use', async () => {
    const spoken = io();
    expect(await checkCommand(path.join(await scratch(), 'none'), {}, spoken.io)).toBe(2);
    expect(spoken.out()).toMatch(/does not exist/);
  });

  test('without a usable opa has failed', async () => {
    const spoken = io();
    const env = { ...process.env, SALLYPORT_OPA: '/nonexistent/opa' };
    expect(await checkCommand(await policy(), {}, { ...spoken.io, env })).toBe(3);
    expect(spoken.out()).toMatch(/SALLYPORT_OPA/);
  });
});

describe('test', () => {
  test('counts what passed', async () => {
    const spoken = io();
    expect(await testCommand(await policy(), {}, spoken.io)).toBe(0);
    expect(spoken.out()).toBe('ok 1 test passed, 0 failed\n');
  });

  test('names what failed', async () => {
    const spoken = io();
    expect(await testCommand(await policy(failing), { json: true }, spoken.io)).toBe(1);
    expect(spoken.json()).toMatchObject({
      ok: false,
      tests: { passed: 1, failed: 1 },
      problems: [{ file: 'x_test.rego', line: 3 }],
    });
  });
});

describe('build', () => {
  test('writes an archive, the same bytes each time', async () => {
    const [one, two] = [await policy(), await policy()];
    const out = await scratch();
    expect(await buildCommand(one, { output: path.join(out, 'a', 'one.tar.gz') }, io().io)).toBe(0);
    expect(await buildCommand(two, { output: path.join(out, 'two.tgz') }, io().io)).toBe(0);
    const [first, second] = await Promise.all([
      readFile(path.join(out, 'a', 'one.tar.gz')),
      readFile(path.join(out, 'two.tgz')),
    ]);
    expect(first.equals(second)).toBe(true);
    expect(await readdir(path.join(out, 'a'))).toEqual(['one.tar.gz']);
  });

  test('writes a folder where one is named', async () => {
    const out = path.join(await scratch(), 'bundle');
    const spoken = io();
    expect(await buildCommand(await policy(), { output: out, json: true }, spoken.io)).toBe(0);
    expect((await readdir(out)).sort()).toEqual(['.manifest', '_sallyport', 'data.json', 'postgres.rego', 'postgres_test.rego']); // prettier-ignore
    expect(spoken.json()).toMatchObject({
      ok: true,
      output: out,
      tests: { passed: 1 },
      signed: false,
      revision: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
    });
    // What is left of an earlier policy would be loaded with it.
    await expect(buildCommand(await policy(), { output: out }, io().io)).rejects.toThrow(/is not empty/);
  });

  test('writes nothing where a test fails', async () => {
    const out = path.join(await scratch(), 'bundle');
    expect(await buildCommand(await policy(failing), { output: out }, io().io)).toBe(1);
    await expect(readdir(out)).rejects.toThrow(/ENOENT/);
  });
});

describe('policy', () => {
  const status = {
    format: 1,
    source: 'git /srv/policy, branch main',
    pid: process.pid,
    revision: `git:${'a'.repeat(40)}`,
    since: '2026-11-22T09:00:00.000Z',
    commit: {
      hash: 'a'.repeat(40),
      subject: 'No secrets',
      author: 'Ada <ada@example.com>',
      time: '2026-11-22T08:59:59.000Z',
    },
    restored: false,
    last: {
      revision: `git:${'b'.repeat(40)}`,
      at: '2026-11-22T09:01:00.000Z',
      ok: false,
      error: 'postgres.rego:3: unexpected eof',
      duration_ms: 12,
    },
    history: [{ revision: `git:${'a'.repeat(40)}`, at: '2026-11-22T09:00:00.000Z', how: 'built' }],
  };

  async function state(content?: object): Promise<string> {
    const folder = await scratch();
    await mkdir(path.join(folder, 'policy'));
    if (content !== undefined) await writeFile(path.join(folder, 'policy', 'status.json'), JSON.stringify(content));
    return folder;
  }

  test('status tells what is in force and why the last change is not', async () => {
    const spoken = io();
    expect(await policyStatusCommand({ state: await state(status) }, spoken.io)).toBe(1);
    expect(spoken.out()).toMatch(/in force\s+git:a{40}, since 2026/);
    expect(spoken.out()).toMatch(/No secrets — Ada/);
    expect(spoken.out()).toMatch(/no refused git:b{40}/);
    expect(spoken.out()).toMatch(/postgres\.rego:3: unexpected eof/);
    expect(spoken.out()).toMatch(/running, process/);
  });

  test('status is done where the last change is in force', async () => {
    const spoken = io();
    const last = { revision: status.revision, at: status.since, ok: true, duration_ms: 200, commit_to_force_ms: 231 };
    expect(await policyStatusCommand({ state: await state({ ...status, last }) }, spoken.io)).toBe(0);
    expect(spoken.out()).toMatch(/in force 231 ms after the commit/);
  });

  test('status of a folder that no gateway used is no', async () => {
    const spoken = io();
    expect(await policyStatusCommand({ state: await state(), json: true }, spoken.io)).toBe(1);
    expect(spoken.json()).toMatchObject({ ok: false, error: 'no_status' });
  });

  test('rollback without a gateway has failed', async () => {
    const spoken = io();
    expect(await policyOrderCommand({ action: 'rollback' }, { state: await state(), timeout_ms: 100 }, spoken.io)).toBe(
      3,
    );
    expect(spoken.out()).toMatch(/no gateway .* answered/);
  });
});

test('the commands are on the command line, and speak through the exit code', async () => {
  const spoken = io();
  const program = new Command('sallyport').exitOverride();
  registerPolicyCommands(program, spoken.io);
  registerPolicyOrders(program, spoken.io);
  expect(program.commands.find((one) => one.name() === 'policy')?.commands.map((one) => one.name())).toEqual([
    ...['status', 'shadow', 'promote', 'rollback', 'pin', 'unpin'],
  ]);
  const before = process.exitCode;
  await program.parseAsync(['check', await policy(misspelt), '--json'], { from: 'user' });
  const said = process.exitCode;
  process.exitCode = before;
  expect(said).toBe(1);
  expect(spoken.json()).toMatchObject({ ok: false });
});
