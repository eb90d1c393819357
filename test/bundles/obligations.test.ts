import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { BundleError, Compiler, findOpa, type Problem } from '../../bundles/index.js';
import { filterChecks } from '../../gateway/registry.js';
import { cleanUp, goodPolicy, snapshotOf } from './support.js';

/** Masks, filters and labels that can be known to be wrong when the policy is built, by file and line. */

type Wanted = readonly [place: string, part: string];
interface Case {
  readonly rule?: string;
  readonly data?: string;
  readonly problems?: readonly Wanted[];
  readonly warnings?: readonly Wanted[];
}

const cases = parse(readFileSync(join(import.meta.dirname, 'obligations.yaml'), 'utf8')) as readonly Case[];
let compiler: Compiler;

beforeAll(async () => {
  compiler = await Compiler.create({ opa: await findOpa(), filters: filterChecks, targets: ['orders'] });
});

afterAll(cleanUp);

test.each(cases.map((entry) => ({ ...entry, title: entry.rule ?? entry.data })))('$title', async (entry) => {
  const { rule, data, problems = [], warnings = [] } = entry;
  const files =
    rule === undefined ? { 'data.yaml': data ?? '' } : { 'masks.rego': `package policy.postgres\n\n${rule}\n` };
  const told = (found: readonly Problem[]) => found.map(({ code, line, message }) => [`${line}:${code}`, message]);
  const wanted = (list: readonly Wanted[]) => list.map(([place, part]) => [place, expect.stringContaining(part)]);
  let found: readonly Problem[] = [];
  let said: readonly Problem[] = [];
  try {
    said = (await compiler.check(snapshotOf({ ...goodPolicy, ...files }))).warnings;
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    found = error.problems;
  }
  expect(told(found)).toEqual(wanted(problems));
  expect(told(said)).toEqual(wanted(warnings));
});
