import { engineCapabilities } from '#engine';
import { expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findOpa } from './opa.js';
import { helpForFunction, unsuppliedBuiltins } from './unsupplied.js';

const run = promisify(execFile);

test('each built-in that OPA has is offered, or refused with what to write instead', async () => {
  const { stdout } = await run(await findOpa(), ['capabilities', '--current'], { maxBuffer: 16_777_216 });
  const { builtins } = JSON.parse(stdout) as { builtins: { name: string; deprecated?: boolean }[] };
  // What is deprecated cannot be called in Rego v1 at all.
  const known = builtins.filter(({ deprecated }) => deprecated !== true).map(({ name }) => name);
  expect(known.filter((name) => !engineCapabilities.includes(name)).sort()).toEqual([...unsuppliedBuiltins].sort());
});

test('a message about a function that is refused says what to do', () => {
  expect(helpForFunction('undefined function time.now_ns')).toMatch(/^time\.now_ns is not offered\. .*input\.time/);
  expect(helpForFunction('undefined function data.policy.mine')).toMatch(/A function of your own/);
  expect(helpForFunction('var x is unsafe')).toBeUndefined();
});
