// Reads what Jest wrote with --json and says what it comes to.
//
//   node scripts/ci-summary.mjs FILE… --tests-min N [--jest-exit-code N] [--checks-passed N] [--checks-failed N]
//                               [--expected-skips FILE] [--again FILE]…
//
// Names what failed and what was skipped; the last line, alone, is "N passed, N failed, N skipped". A test may be skipped
// only if test/expected-skips.json names it and the program that it needs is not there. A skip that nobody expected, a
// test that is "to do", a suite that did not load, and fewer tests than --tests-min each count as a failure.
//
// --again names the report of a second run, alone, of files that failed beside the others. What passed there counts as
// passed, and is named, with what it had failed of: a test that passes only sometimes is to be mended all the same.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const probe_ms_max = 20_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'tests-min': { type: 'string' },
    'jest-exit-code': { type: 'string', default: '0' },
    'checks-passed': { type: 'string', default: '0' },
    'checks-failed': { type: 'string', default: '0' },
    again: { type: 'string', multiple: true, default: [] },
    'expected-skips': { type: 'string', default: join(root, 'test/expected-skips.json') },
  },
});

const number = (name) => {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} wants a whole number`);
  return value;
};

let passed = number('checks-passed');
let failed = number('checks-failed');
let skipped = 0;
let tests = 0;
const say = (line) => process.stdout.write(`${line}\n`);
const fail = (line) => {
  failed += 1;
  say(`failed: ${line}`);
};

/** Whether the program that a test needs is here: its probe starts and says so. */
const present = (probe) => {
  const [command, ...args] = probe;
  return spawnSync(command, args, { stdio: 'ignore', timeout: probe_ms_max }).status === 0;
};

/** One run's report as Jest wrote it, or nothing, which is a failure. */
const read = (file) => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    fail(`the tests gave no report (${error.message})`);
    return undefined;
  }
};

const reports = positionals.map(read);
if (reports.length === 0) fail('no report was named');

/** The second runs' suites, by the file's name. */
const again = new Map(
  values.again.flatMap((file) => read(file)?.testResults ?? []).map((suite) => [suite.name, suite]),
);

/** What a test that failed came to in the second run of its file, where there was one. */
const secondStatus = (suite, fullName) =>
  again.get(suite.name)?.assertionResults.find((one) => one.fullName === fullName)?.status;

const firstLine = (messages) => String(messages?.[0] ?? '').split('\n', 1)[0];

if (reports.length > 0 && !reports.includes(undefined)) {
  const expected = new Map(JSON.parse(readFileSync(values['expected-skips'], 'utf8')).map((one) => [one.test, one]));
  for (const first of reports.flatMap(({ testResults }) => testResults)) {
    const file = relative(root, first.name);
    // A file that could not even be loaded has no tests of its own to compare: its second run stands for it.
    const unloaded = first.assertionResults.length === 0 && first.status !== 'passed';
    const suite = unloaded ? (again.get(first.name) ?? first) : first;
    if (suite.assertionResults.length === 0 && suite.status !== 'passed') fail(`${file} did not run: ${suite.message}`);
    else if (suite !== first) say(`again: ${file} ran the second time, alone`);
    for (const { status, fullName, failureMessages } of suite.assertionResults) {
      tests += 1;
      if (status === 'passed') {
        passed += 1;
      } else if (status === 'failed' && secondStatus(suite, fullName) === 'passed') {
        passed += 1;
        say(`again: ${file}: ${fullName}: passed the second time, alone; the first: ${firstLine(failureMessages)}`);
      } else if (status === 'failed') {
        fail(`${file}: ${fullName}`);
      } else {
        const allowed = expected.get(fullName);
        if (allowed === undefined)
          fail(`${file}: ${fullName}: ${status}, which test/expected-skips.json does not expect`);
        else if (present(allowed.unless)) fail(`${file}: ${fullName}: skipped although ${allowed.unless[0]} is here`);
        else {
          skipped += 1;
          say(`skipped: ${fullName} (needs ${allowed.needs})`);
        }
      }
    }
  }
  const floor = number('tests-min');
  if (tests < floor) fail(`only ${tests} tests were found where at least ${floor} were expected`);
  // A leak or a crash after the last test leaves every test green.
  if (failed === number('checks-failed') && number('jest-exit-code') !== 0) {
    fail(`the tests ended with exit code ${values['jest-exit-code']} though none of them failed`);
  }
}

say(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
