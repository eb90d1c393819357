// Prints the test files that failed in a report that Jest wrote with --json, one a line: those which are worth a second run.
//
//   node scripts/ci-failed.mjs FILE
//
// Prints nothing where more than a few failed, or where there is no report: that is not one test's bad luck.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const files_max = 3;

try {
  const { testResults } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
  const failed = testResults
    .filter(
      ({ status, assertionResults }) => status === 'failed' || assertionResults.some((one) => one.status === 'failed'),
    )
    .map(({ name }) => relative(process.cwd(), name));
  if (failed.length <= files_max) for (const name of failed) process.stdout.write(`${name}\n`);
} catch (error) {
  process.stderr.write(`no report to read the failed files from: ${error.message}\n`);
}
