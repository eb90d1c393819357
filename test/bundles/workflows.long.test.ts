import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { findOpa } from '../../bundles/index.js';
import { packageRoot } from '../../bundles/package-root.js';
import { initCommand } from '../../gateway/cli/init.js';
import { cleanUp, git, scratch } from './support.js';

/** What `sallyport init` lays down for CI and for commits, run: each step in order, as the forges' shells do, in a clone. */

let home: string;
let bin: string;
let origin: string;
/** Of what is installed by the first steps, and of the forges, what these are here. */
const provided = /^(go install|npm install|apt-get)/;

beforeAll(async () => {
  home = await scratch();
  bin = path.join(home, 'bin');
  await mkdir(bin);
  await symlink(await findOpa(), path.join(bin, 'opa'));
  await symlink(path.join(packageRoot, 'bin/sallyport.js'), path.join(bin, 'sallyport'));
  // Whatever it is called with, and what stands in the files that it names.
  const posts = ['#!/bin/sh', 'echo "$@" >> "$POSTED"', 'for word; do', '  case "$word" in *.md) cat "$(echo "$word" | sed s/^body@//)" >> "$POSTED" ;; esac', 'done', ''].join('\n');
  for (const name of ['gh', 'curl']) await writeFile(path.join(bin, name), posts, { mode: 0o755 });
  origin = path.join(home, 'origin');
  const quiet = { write: () => undefined };
  expect(await initCommand(origin, {}, { stdout: quiet, stderr: quiet, env: process.env, fallbackFolder: '/' })).toBe(0);
  git(origin, 'init', '-q', '-b', 'main');
  git(origin, 'add', '-A');
  git(origin, 'commit', '-q', '-m', 'the start');
}); // prettier-ignore
afterAll(cleanUp);

interface Ran {
  readonly code: number;
  readonly said: string;
}

function shell(folder: string, script: string, env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const around = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}`, GIT_CONFIG_NOSYSTEM: '1', ...env };
  return new Promise((resolve) => {
    execFile('bash', ['-e', '-o', 'pipefail', '-c', script], { cwd: folder, env: around }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, said: `${out}${err}` }),
    );
  });
}

/** A clone with a branch on which `change` was committed; the commit that it starts from, and its own. */
async function clone(change: (folder: string) => Promise<void>): Promise<{ folder: string; base: string; head: string }> {
  const folder = path.join(await scratch(), 'clone');
  git(home, 'clone', '-q', origin, folder);
  const base = git(folder, 'rev-parse', 'HEAD');
  git(folder, 'checkout', '-q', '-b', 'change');
  await change(folder);
  git(folder, 'commit', '-q', '--allow-empty', '-a', '-m', 'a change');
  return { folder, base, head: git(folder, 'rev-parse', 'HEAD') };
} // prettier-ignore

/** One operation as it is recorded: an agent that reads. */
const operation = JSON.stringify({
  version: 1,
  time: '2026-01-01T00:00:00.000Z',
  principal: { subject: 'agent:a', issuer: 'i', kind: 'agent', groups: [], roles: ['readonly'], attributes: {}, token: { expires: '2026-01-02T00:00:00.000Z' } },
  session: { id: 's', started: '2026-01-01T00:00:00.000Z', client: { address: '192.0.2.1' }, rows: 0, taint: [] },
  target: { name: 'orders', protocol: 'postgres', labels: {} },
  operation: { stage: 'execute', action: 'connect', opaque: false, hash: '0'.repeat(64), resources: [{ type: 'database', name: 'shop', access: 'use' }] },
  usage: {},
}); // prettier-ignore

type Steps = readonly { readonly run: string; readonly always: boolean; readonly env?: Record<string, string> }[];

async function github(folder: string): Promise<Steps> {
  const text = await readFile(path.join(folder, '.github/workflows/policy.yml'), 'utf8');
  const { jobs } = parse(text) as { jobs: { policy: { steps: { run?: string; if?: string; env?: Record<string, string> }[] } } };
  return jobs.policy.steps.flatMap(({ run, if: when, env }) =>
    run === undefined || provided.test(run) ? [] : [{ run, always: when?.includes('always()') === true, ...(env && { env }) }],
  );
} // prettier-ignore

async function gitlab(folder: string): Promise<Steps> {
  const { policy } = parse(await readFile(path.join(folder, '.gitlab-ci.yml'), 'utf8')) as {
    policy: { script: string[]; after_script: string[] };
  };
  const of = (steps: string[], always: boolean) => steps.map((run) => ({ run, always }));
  return [...of(policy.script, false), ...of(policy.after_script, true)];
}

/** As the forge does it: what fails ends all but what is always run. */
async function runAll(steps: Steps, folder: string, values: (name: string) => string, env: NodeJS.ProcessEnv) {
  let failed: Ran | undefined;
  for (const step of steps) {
    if (failed !== undefined && !step.always) continue;
    const own = Object.fromEntries(Object.entries(step.env ?? {}).map(([name, text]) => [name, text.replace(/\$\{\{\s*(.*?)\s*\}\}/g, (_, inner: string) => values(inner))])); // prettier-ignore
    const ran = await shell(folder, step.run, { ...env, ...own });
    if (ran.code !== 0) failed ??= ran;
  }
  return failed;
}

const forges = ['github', 'gitlab'] as const;

/** Where what was posted stands. */
async function pipeline(forge: (typeof forges)[number], change: (folder: string) => Promise<void>, recorded: boolean) {
  const { folder, base, head } = await clone(change);
  const audit = path.join(folder, '..', 'recorded.jsonl');
  const posted = path.join(folder, '..', 'posted');
  await writeFile(audit, `${operation}\n`);
  await writeFile(posted, '');
  const of: Record<string, string> = {
    'vars.SALLYPORT_AUDIT': recorded ? audit : '',
    'github.event.pull_request.base.sha': base,
    'github.event.pull_request.head.sha': head,
    'github.event.pull_request.number': '7',
    'github.repository': 'example/policy',
    'github.token': 'token',
  };
  const env = {
    ...{ POSTED: posted, GITHUB_STEP_SUMMARY: path.join(folder, '..', 'summary') },
    ...(recorded && { SALLYPORT_AUDIT: audit }),
    ...{ CI_MERGE_REQUEST_DIFF_BASE_SHA: base, CI_COMMIT_SHA: head, CI_MERGE_REQUEST_IID: '7', CI_PROJECT_ID: '3' },
    ...{ CI_API_V4_URL: 'https://forge.example/api/v4', SALLYPORT_COMMENT_TOKEN: 'token' },
  };
  const steps = await { github, gitlab }[forge](folder);
  expect(steps.length).toBeGreaterThan(5);
  const failed = await runAll(steps, folder, (name) => of[name] ?? `no ${name}`, env);
  return { failed, posted: await readFile(posted, 'utf8') };
} // prettier-ignore

/** Agents need no purpose any longer, and operators may do whatever they like: formatted, and with tests. */
async function loosen(folder: string): Promise<void> {
  for (const name of ['all.rego', 'all_test.rego']) {
    const file = path.join(folder, 'policy/all', name);
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll('"agent"', '"service"'));
  }
  const rule = 'package policy.postgres\n\nallow contains {"code": "ops"} if "ops" in input.principal.groups\n';
  const tested = 'package policy.postgres_test\n\nimport data.policy.postgres\n\ntest_ops if {\n\tpostgres.allow == {{"code": "ops"}} with input as {"principal": {"groups": ["ops"], "roles": []}}\n}\n';
  await writeFile(path.join(folder, 'policy/postgres/ops.rego'), rule);
  await writeFile(path.join(folder, 'policy/postgres/ops_test.rego'), tested);
  git(folder, 'add', '-A');
} // prettier-ignore

describe.each(forges)('the workflow for %s', (forge) => {
  test('passes what init made, and says on the request that nothing was replayed', async () => {
    const { failed, posted } = await pipeline(forge, () => Promise.resolve(), false);
    expect(failed).toBeUndefined();
    expect(posted).toMatch(/What the check of this policy says[^]*\d+ rules, and no advice\.[^]*Nothing was replayed/);
  });

  test('fails where a change loosens, and posts advice and what it does to recorded operations', async () => {
    const { failed, posted } = await pipeline(forge, loosen, true);
    expect(failed?.code).toBe(1);
    expect(posted).toMatch(/postgres\/ops\.rego:3`[^]*asks nothing of the operation/);
    expect(posted).toMatch(/newly allowed[^]*purpose_missing[^]*no commit says that this is meant/);
  });

  test('fails where the policy is refused, and posts why', async () => {
    const { failed, posted } = await pipeline(
      forge,
      async (folder) => {
        await writeFile(path.join(folder, 'policy/all/more.rego'), 'package policy.all\n\ndeni contains {"code": "x"} if input.operation.opaque\n');
        await writeFile(path.join(folder, 'policy/all/more_test.rego'), 'package policy.all_test\n\nimport data.policy.all\n\ntest_more if count(all.deni) == 1 with input as {"operation": {"opaque": true}}\n');
        git(folder, 'add', '-A');
      },
      true,
    ); // prettier-ignore
    expect(failed?.code).toBe(1);
    expect(posted).toMatch(/It is refused[^]*`all\/more\.rego:3`[^]*did you mean deny/);
  });
});

describe('the commit hook', () => {
  const commit = (folder: string) =>
    shell(folder, 'git -c user.name=a -c user.email=a@example.com commit -q -m x', { HOME: home });

  test('looks at what is committed and not at what lies in the folder; says how to format', async () => {
    const { folder } = await clone(() => Promise.resolve());
    git(folder, 'config', 'core.hooksPath', '.githooks');
    const file = path.join(folder, 'policy/all/all.rego');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('"agent"', '"service"'));
    git(folder, 'add', '-A');
    await writeFile(file, text);
    const refused = await commit(folder);
    expect([refused.code, refused.said]).toEqual([1, expect.stringMatching(/all_test\.rego:\d+: test_an_agent_needs/)]);

    await writeFile(file, `${text}\n\n_x:=1\n`);
    git(folder, 'add', '-A');
    const odd = await commit(folder);
    expect([odd.code, odd.said]).toEqual([1, expect.stringContaining('opa fmt --write policy')]);

    await writeFile(file, text.replace('An agent needs', 'Agents need'));
    git(folder, 'add', '-A');
    await writeFile(file, 'not Rego at all');
    expect(await commit(folder)).toMatchObject({ code: 0 });
  });
});
