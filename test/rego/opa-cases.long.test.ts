import { describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { unsuppliedBuiltins } from '../../bundles/unsupplied.js';
import { judgeAll, table } from './opa-cases/report.js';

/** Fewer cases than this means that some were lost, not that OPA has fewer. */
const cases_min = 2400;

const hasGo = (() => {
  try {
    execFileSync('go', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe("OPA's own conformance cases for Rego v1", () => {
  // The cases come by the Go module of OPA: without go there are none, which test/expected-skips.json expects.
  (hasGo ? test : test.skip)(
    "get the answer of OPA's evaluator, are refused at build for a built-in that is refused on purpose, or stand in the list",
    async () => {
      const outcomes = await judgeAll();
      process.stdout.write(`${table(outcomes)}\n`);
      expect(outcomes.length).toBeGreaterThanOrEqual(cases_min);

      const text = await readFile(new URL('opa-cases/differences.yaml', import.meta.url), 'utf8');
      const listed = (parse(text) ?? {}) as Record<string, string>;
      const different = outcomes.filter(({ kind }) => kind === 'differs');
      expect(different.map(({ note, detail }) => [note, detail]).filter(([note]) => !(note! in listed))).toEqual([]);
      expect(Object.keys(listed).filter((note) => !different.some((one) => one.note === note))).toEqual([]);

      const refused = outcomes.filter(({ kind }) => kind === 'refused').map(({ detail }) => detail);
      expect([...new Set(refused)].filter((name) => !unsuppliedBuiltins.includes(name))).toEqual([]);
    },
    40 * 60_000,
  );
});
