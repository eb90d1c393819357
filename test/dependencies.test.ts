import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

/** The rules are only worth something if they catch: a scratch house with every forbidden import in it. */

const root = join(import.meta.dirname, '..');

/** A house of the same layout in which every import is allowed. */
const allowed: Readonly<Record<string, string>> = {
  'engine/index.ts': "export { evaluate } from './wasm.js';",
  'engine/wasm.ts': "import opa from '@open-policy-agent/opa-wasm';\nexport const evaluate = opa;",
  'bundles/index.ts':
    "import { readFileSync } from 'node:fs';\nimport { evaluate } from '#engine';\nexport const read = [readFileSync, evaluate];",
  'gateway/errors.ts': 'export const errors = 1;',
  'gateway/protocol.ts': "export type { evaluate } from '#engine';",
  'gateway/registry.ts':
    "export { one } from './protocols/one/index.js';\nexport { two } from './protocols/two/index.js';",
  'gateway/protocols/one/index.ts':
    "export { codec as one } from './codec.js';\nimport '../../errors.js';\nimport '#engine';",
  'gateway/protocols/one/codec.ts': "import { Buffer } from 'node:buffer';\nexport const codec = Buffer;",
  'gateway/protocols/two/index.ts': 'export const two = 2;',
  'gateway/pipeline/pipeline.ts': "import '../registry.js';\nimport '../../bundles/index.js';",
  'test/support.ts': 'export const support = 1;',
};

/** [file, what it imports, the rule that forbids it] */
const forbidden: readonly (readonly [string, string, string])[] = [
  ['engine/a.ts', "import '../gateway/errors.js';", 'engine-knows-nobody'],
  ['engine/b.ts', "import '../bundles/index.js';", 'engine-knows-nobody'],
  ['engine/c.ts', "import 'node:fs/promises';", 'engine-does-no-io'],
  ['engine/f.ts', "import 'node:net';", 'engine-does-no-io-but-reads-addresses'],
  ['engine/d.ts', "import '@open-policy-agent/opa-wasm';", 'one-importer-of-opa-wasm'],
  ['engine/e.ts', "export type { errors } from '../gateway/errors.js';", 'engine-knows-nobody'],
  ['bundles/a.ts', "import '../gateway/errors.js';", 'bundles-know-the-engine-only'],
  ['bundles/b.ts', "import '../engine/wasm.js';", 'engine-by-its-door'],
  [
    'gateway/a.ts',
    "export const late = () => import('./protocols/one/index.js');",
    'only-the-registry-knows-protocols',
  ],
  ['gateway/b.ts', "import '../engine/wasm.js';", 'engine-by-its-door'],
  ['gateway/c.ts', "import '../bundles/a.js';", 'bundles-by-their-door'],
  ['gateway/d.ts', "import './nowhere.js';", 'resolvable'],
  ['gateway/e.ts', "import './f.js';\nexport const e = 1;", 'no-cycles'],
  // The other half of the cycle: one cycle is reported once, under its first module.
  ['gateway/f.ts', "import './e.js';\nexport const f = 1;", ''],
  ['gateway/g.ts', "import '../test/support.js';", 'product-without-tests'],
  ['gateway/h.ts', "import 'oidc-provider';", 'product-without-dev-dependencies'],
  ['gateway/protocols/one/a.ts', "import '../two/index.js';", 'protocols-are-islands'],
  ['gateway/protocols/one/b.ts', "import '../../pipeline/pipeline.js';", 'protocols-are-islands'],
  ['gateway/protocols/one/c.ts', "import '../../../bundles/index.js';", 'protocols-are-islands'],
  ['gateway/protocols/one/d.ts', "import 'pg';", 'no-client-library-in-protocols'],
  ['gateway/protocols/two/codec.ts', "import 'node:net';", 'codecs-are-pure'],
  ['gateway/protocols/two/upstream.ts', 'export const secret = 1;', ''],
  ['gateway/protocols/two/enforce.ts', "import './upstream.js';", 'enforcement-has-no-upstream'],
];

let scratch: string;
const write = async (file: string, text: string): Promise<void> => {
  await mkdir(join(scratch, dirname(file)), { recursive: true });
  await writeFile(join(scratch, file), `${text}\n`);
};

interface Report {
  modules: number;
  violations: { rule: string; from: string; to: string }[];
}

function check(atLeast: number): { code: number | null; report: Report; stderr: string } {
  const run = spawnSync(
    process.execPath,
    [join(root, 'scripts/check-dependencies.mjs'), '--json', '--root', scratch, '--at-least', String(atLeast)],
    { encoding: 'utf8' },
  );
  if (run.stdout === '') throw new Error(`no report: ${run.stderr}`);
  return { code: run.status, report: JSON.parse(run.stdout) as Report, stderr: run.stderr };
}

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'sallyport-dependencies-'));
  for (const file of ['package.json', 'tsconfig.json', 'tsconfig.check.json'])
    await cp(join(root, file), join(scratch, file));
  await symlink(join(root, 'node_modules'), join(scratch, 'node_modules'), 'dir');
  for (const [file, text] of Object.entries(allowed)) await write(file, text);
});

afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});

describe('the dependency rules', () => {
  test('let a house pass in which every import is allowed', () => {
    const { code, report } = check(Object.keys(allowed).length);
    expect(report.violations).toEqual([]);
    expect(code).toBe(0);
  });

  test('catch every import that they forbid, and nothing else', async () => {
    for (const [file, text] of forbidden) await write(file, text);
    const { code, report } = check(1);
    const caught = new Set(report.violations.map(({ from, rule }) => `${from} ${rule}`));
    const wanted = forbidden.filter(([, , rule]) => rule !== '').map(([file, , rule]) => `${file} ${rule}`);
    expect([...caught].sort()).toEqual([...wanted].sort());
    expect(code).toBe(1);
  });

  test('fail when fewer modules were seen than the house has', () => {
    const { code, report, stderr } = check(Object.keys(allowed).length + 1);
    expect(report.violations).toEqual([]);
    expect(code).toBe(1);
    expect(stderr).toContain('nothing is proven');
  });
});
