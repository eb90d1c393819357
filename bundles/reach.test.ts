import { describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Module } from './ast.js';
import { packageRoot } from './package-root.js';
import { reached } from './reach.js';
import { loadLibrary } from './workspace.js';

const module = (name: string, ...uses: string[]): Module => ({
  ...{ file: `${name}.rego`, package: name, packageLine: 1, rules: [], uses: new Set(uses) },
});
const names = (modules: readonly Module[], ...paths: string[]) =>
  reached(modules, paths)
    .map((one) => one.package)
    .sort();

describe('the modules that a question reaches', () => {
  const site = [
    module('policy.postgres', 'lib.names.known', 'sallyport.postgres.reads'),
    module('policy.ssh', 'lib.hosts'),
    module('lib.names', 'lib.deep'),
    module('lib.deep.inside'),
    module('lib.hosts'),
  ];

  test('are those of the package, and all that their rules refer to, above and below', () =>
    expect(names(site, 'policy.postgres')).toEqual(['lib.deep.inside', 'lib.names', 'policy.postgres']));

  test('are not those of a package whose name merely begins alike', () =>
    expect(names([...site, module('policy.postgresql'), module('lib.namesake')], 'policy.postgres')).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/postgresql|namesake/)]),
    ));

  test('are those of a package above, whose rules may have the rest of the path in their names', () =>
    expect(names([...site, module('policy')], 'policy.ssh')).toEqual(['lib.hosts', 'policy', 'policy.ssh']));

  test.each(['', 'sallyport', 'sallyport.decision', 'policy'])('are all that %j may lead to', (use) => {
    const found = names([...site, module('policy.http', use)], 'policy.http');
    expect(found).toEqual(expect.arrayContaining(['policy.postgres', 'policy.ssh', 'lib.hosts', 'lib.names']));
  });
});

test("our helpers for a protocol know nothing of a site's rules", async () => {
  const { rego } = await loadLibrary();
  const helpers = [...rego.keys()].filter((file) => file.includes('/'));
  expect(helpers.length).toBeGreaterThan(5);
  for (const file of helpers)
    expect(await readFile(path.join(packageRoot, 'rego/sallyport', file), 'utf8')).not.toMatch(
      /^[^#]*data\.policy|^[^#]*data\[/m,
    );
});
