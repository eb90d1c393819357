import { expect, test } from '@jest/globals';
import type { RuleDescription } from '#engine';
import type { PolicyStatus } from '../../bundles/index.js';
import { linked } from './rules.js';

const rule = { file: 'a folder/postgres.rego', line: 17 } as RuleDescription;
const status = (hash?: string) =>
  ({
    format: 1,
    source: 'tests',
    pid: 1,
    restored: false,
    history: [],
    ...(hash === undefined ? {} : { commit: { hash } }),
  }) as unknown as PolicyStatus;
const template = 'https://git.example/policy/blob/{commit}/{file}#L{line}';

test('a rule has the address of its line, whatever its file is called, in the commit that is in force', () => {
  expect(linked([rule], template, status('3f2c'))[0]?.link).toBe(
    'https://git.example/policy/blob/3f2c/a%20folder/postgres.rego#L17',
  );
  const odd = { ...rule, file: 'x"#?<b>/%2e.rego' };
  expect(linked([odd], template, status('3f2c'))[0]?.link).toBe(
    'https://git.example/policy/blob/3f2c/x%22%23%3F%3Cb%3E/%252e.rego#L17',
  );
});

test('without a commit, or a word about where files are read, there is none', () => {
  expect(linked([rule], template, status())).toEqual([rule]);
  expect(linked([rule], undefined, status('3f2c'))).toEqual([rule]);
});
