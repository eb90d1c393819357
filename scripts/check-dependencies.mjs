// Checks who imports whom, by the rules in .dependency-cruiser.cjs.
//
//   node scripts/check-dependencies.mjs [--root DIR] [--at-least N] [--json]
//
// Exit code 0: every import is allowed. 1: one is not, or fewer than N modules of our own were seen, since a check that
// looked at nothing proves nothing (a compiler that the tool cannot load, or a moved folder, has that effect).
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = join(dirname(fileURLToPath(import.meta.url)), '..');
const folders = ['bin', 'engine', 'bundles', 'gateway', 'examples', 'test', 'bench', 'scripts'];

const { values } = parseArgs({
  options: {
    root: { type: 'string', default: here },
    'at-least': { type: 'string', default: '25' },
    json: { type: 'boolean', default: false },
  },
});
const root = resolve(values.root);
const floor = Number(values['at-least']);
if (!Number.isInteger(floor) || floor < 1) {
  process.stderr.write(`--at-least wants a whole number above 0, not "${values['at-least']}".\n`);
  process.exit(2);
}

const present = folders.filter((folder) => existsSync(join(root, folder)));
const run = spawnSync(
  process.execPath,
  [
    join(here, 'node_modules', 'dependency-cruiser', 'bin', 'dependency-cruise.mjs'),
    '--config',
    join(here, '.dependency-cruiser.cjs'),
    '--output-type',
    'json',
    '--',
    ...present,
  ],
  { cwd: root, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 },
);

let result;
try {
  result = JSON.parse(run.stdout);
} catch {
  process.stderr.write(`dependency-cruiser gave no result:\n${run.stderr}${run.stdout.slice(0, 4000)}\n`);
  process.exit(1);
}

const own = result.modules.filter((module) => !module.coreModule && !/(^|\/)node_modules\//.test(module.source));
const violations = result.summary.violations.map(({ rule, from, to, cycle }) => ({
  rule: rule.name,
  from,
  to: cycle ? cycle.map((step) => step.name ?? step).join(' → ') : to,
}));
const reasons = new Map(result.summary.ruleSetUsed.forbidden.map((rule) => [rule.name, rule.comment ?? '']));

if (values.json) {
  process.stdout.write(`${JSON.stringify({ modules: own.length, violations })}\n`);
} else {
  for (const { rule, from, to } of violations) {
    process.stdout.write(`${from}\n  imports ${to}\n  which ${rule} forbids. ${reasons.get(rule)}\n\n`);
  }
  const verdict = violations.length === 0 ? 'every import is allowed' : `${violations.length} not allowed`;
  process.stdout.write(`${own.length} modules, ${result.summary.totalDependenciesCruised} imports: ${verdict}\n`);
}
if (own.length < floor) {
  process.stderr.write(
    `Only ${own.length} modules were seen where at least ${floor} were expected: nothing is proven.\n`,
  );
}
process.exit(violations.length === 0 && own.length >= floor ? 0 : 1);
