#!/usr/bin/env node
// All that our own Rego has to pass (`npm run rego`): formatted, strictly checked against the schemas, tested, covered whole.
// OPA is taken from SALLYPORT_OPA, else from PATH, else (once built) from where the gateway itself gets it.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const opa = process.env.SALLYPORT_OPA || (await found()) || 'opa';
// Named one by one: OPA would load the cases and schemas beside them as data.
const folders = ['rego/sallyport', 'rego/policy'];
const output_bytes_max = 16 * 1024 * 1024;

// Each is a policy of its own, beside our library.
const examples = ['cloud-budget', 'held-secret'];
const policyOf = (example) => `examples/${example}/policy`;

const format = [...folders, ...examples.map(policyOf)];
const steps = [
  { name: 'format', args: ['fmt', '--fail', '--list', ...format], help: `run: opa fmt -w ${format.join(' ')}` },
  ...stepsOf('', folders),
  ...examples.flatMap((example) => stepsOf(` of examples/${example}`, ['rego/sallyport', policyOf(example)])),
];

function stepsOf(whose, together) {
  return [
    { name: `check${whose}`, args: ['check', '--strict', '--schema', 'rego/schemas', ...together] },
    { name: `test${whose}`, args: ['test', '--fail-on-empty', '--format', 'json', ...together], say: tests },
    {
      name: `coverage${whose}`,
      args: ['test', '--coverage', '--threshold', '100', '--format', 'json', ...together],
      say: coverage,
      help: 'every rule needs an example that it allows and one that it refuses',
    },
  ];
}

/** What `findOpa` of bundles/ finds or fetches; undefined before the first build. */
async function found() {
  const bundles = new URL('../dist/bundles/opa.js', import.meta.url);
  if (!existsSync(bundles)) return undefined;
  const { findOpa } = await import(bundles.href);
  return findOpa({ progress: (message) => console.error(message) });
}

/** Runs OPA in the root of the checkout; never rejects. */
function run(args) {
  return new Promise((resolve) => {
    execFile(opa, args, { cwd: root, maxBuffer: output_bytes_max }, (error, stdout, stderr) => {
      if (error?.code === 'ENOENT') {
        stderr = `${opa} was not found: install OPA (https://www.openpolicyagent.org/docs#1-download-opa), or set SALLYPORT_OPA to its path\n`;
      }
      resolve({ ok: !error, stdout, stderr });
    });
  });
}

function parsed(stdout) {
  try {
    return JSON.parse(stdout);
  } catch {
    return undefined;
  }
}

function tests({ stdout }) {
  const results = parsed(stdout);
  if (!Array.isArray(results)) return '';
  const failed = results.filter((result) => result.fail || result.error);
  const lines = failed.map((result) => `\n    ${result.location?.file}:${result.location?.row} ${result.name}`);
  return `${results.length - failed.length} passed, ${failed.length} failed${lines.join('')}`;
}

function coverage({ stdout }) {
  const report = parsed(stdout);
  if (report === undefined) return '';
  const lines = Object.entries(report.files ?? {}).flatMap(([file, { not_covered: ranges = [] }]) =>
    ranges.map(({ start, end }) => `\n    ${file}:${start.row}-${end.row} is not covered`),
  );
  return `${report.coverage} %${lines.join('')}`;
}

const results = await Promise.all(steps.map((step) => run(step.args)));
let failed = 0;
steps.forEach((step, index) => {
  const result = results[index];
  const said = step.say?.(result) ?? '';
  console.log(`${result.ok ? 'ok  ' : 'FAIL'} ${step.name}${said && `: ${said}`}`);
  if (result.ok) return;
  failed += 1;
  if (!step.say || !said)
    process.stdout.write(`${result.stdout}${result.stderr}`.replace(/^/gm, '     ').trimEnd() + '\n');
  if (step.help) console.log(`     ${step.help}`);
});
console.log(`${steps.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
