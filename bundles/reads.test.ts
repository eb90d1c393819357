import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { dependencies, type Tool } from './opa-run.js';
import { findOpa } from './opa.js';
import { minimal, readPaths, wholeDocument } from './reads.js';

describe('the output of opa deps', () => {
  const input = { type: 'var', value: 'input' };
  const string = (value: string) => ({ type: 'string', value });
  const output = (...base: object[][]) => JSON.stringify({ base });

  test.each<[string, string, string[]]>([
    ['constant paths', output([input, string('principal'), string('roles')]), ['principal.roles']],
    ['the bare input', output([input]), [wholeDocument]],
    ['data, which is no input', output([{ type: 'var', value: 'data' }, string('masks')]), []],
    [
      'a part that is not a string',
      output([input, string('operation'), { type: 'number', value: 3 }, string('x')]),
      ['operation'],
    ],
    [
      'a key with a dot in it',
      output([input, string('principal'), string('attributes'), string('a.b')]),
      ['principal.attributes'],
    ],
    ['a head that is neither', output([{ type: 'var', value: 'x' }]), [wholeDocument]],
    ['an empty reference', output([]), [wholeDocument]],
    ['nothing at all', '{}', []],
    ['what is not JSON', 'oops', [wholeDocument]],
  ])('%s', (_, json, paths) => expect(readPaths(json)).toEqual(paths));

  test("a path stands for what lies below it, and the nonce is nobody's business", () => {
    expect(minimal(['operation.postgres.statements', 'operation', 'operations', 'nonce', 'target.name'])).toEqual([
      'operation',
      'operations',
      'target.name',
    ]);
    expect(minimal(['a', wholeDocument, 'b'])).toEqual([wholeDocument]);
  });
});

describe('what rules read, as opa sees it', () => {
  let folder: string;
  let tool: Tool;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-reads-'));
    tool = { opa: await findOpa(), folder, bundle: '.', capabilities: '', limits: {}, tests_ms_max: 1 };
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test.each<[string, string, string[]]>([
    ['a plain reference', 'r if input.principal.kind == "agent"', ['principal.kind']],
    ['a variable key', 'r if {\n\tsome k\n\tinput[k] == 1\n}', [wholeDocument]],
    ['a key that is computed', 'r if {\n\tk := concat("", ["us", "age"])\n\tinput[k]\n}', [wholeDocument]],
    ['the input given to a function', 'f(x) if x.usage.rows.day > 3\n\nr if f(input)', [wholeDocument]],
    ['a part of it given to a function', 'f(x) if x.rows > 3\n\nr if f(input.session)', ['session']],
    ['a walk', 'r if {\n\twalk(input.operation, [_, v])\n\tv == 1\n}', ['operation']],
    ['an alias', 'r if {\n\tx := input.session\n\tx.rows > 3\n}', ['session.rows']],
    ['an alias of the whole', 'r if {\n\tx := input\n\ty := x.usage\n\ty.rows.day > 3\n}', ['usage.rows.day']],
    ['object.get', 'r if object.get(input, ["usage", "rows"], 0) == 1', [wholeDocument]],
    ['every', 'r if every x in input.operation.resources { x.access == "read" }', ['operation.resources']],
    ['a replaced input', 'g if input.session.rows > 3\n\nr if g with input.session as {"rows": 4}', ['session']],
    ['an input replaced by itself', 'g if input.x == 1\n\nr if g with input as {"x": input.time}', [wholeDocument]],
    ['a comprehension', 'r if count({x | some x in input.principal.groups}) > 1', ['principal.groups']],
    [
      'a nested key that is itself read',
      'r if input.operation[input.target.protocol].statement',
      ['operation', 'target.protocol'],
    ],
    ['through another rule', 'a if b\n\nb if c\n\nc if input.time > "2"\n\nr if a', ['time']],
    [
      'an else',
      'v := 1 if input.usage.operations.day > 3\n\nelse := 2 if input.session.rows > 1\n\nr if v == 2',
      ['session.rows', 'usage.operations.day'],
    ],
    ['an import of a part', 'r if us.rows.day > 3', ['usage.rows.day']],
  ])('%s', async (name, rules, paths) => {
    const head = name === 'an import of a part' ? 'import input.usage as us\n\n' : '';
    await writeFile(path.join(folder, 'a.rego'), `package policy.postgres\n\n${head}${rules}\n`);
    const found = await dependencies(tool, 'data.policy.postgres; data.policy.all');
    // More than was expected is right as well, as long as nothing is missed.
    for (const wanted of paths)
      expect(found.some((path) => path === wholeDocument || path === wanted || wanted.startsWith(`${path}.`))).toBe(
        true,
      );
    expect(found).toEqual(paths);
  });

  test('a query that opa does not understand reads everything', async () => {
    expect(await dependencies(tool, 'data.policy[')).toEqual([wholeDocument]);
  });
});
