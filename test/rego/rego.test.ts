import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TSchema } from 'typebox';
import { findOpa } from '../../bundles/opa.js';
import { inputSchema } from '../../engine/input.js';
import { protocols } from '../../gateway/registry.js';
import { schemaFiles } from '../../scripts/rego-schemas.mjs';
import { execute, root } from './cases.js';

const schemas = path.join(root, 'rego/schemas');
let opa: string;
let folder: string;

beforeAll(async () => {
  opa = await findOpa();
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-rego-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('our own Rego is formatted, checked, tested and covered whole', async () => {
  const { SALLYPORT_OPA: before } = process.env;
  process.env['SALLYPORT_OPA'] = opa;
  try {
    expect(await execute(process.execPath, [path.join(root, 'scripts/rego-check.mjs')])).toMatch(
      /^10 passed, 0 failed$/m,
    );
  } finally {
    if (before === undefined) delete process.env['SALLYPORT_OPA'];
    else process.env['SALLYPORT_OPA'] = before;
  }
});

describe('the schemas', () => {
  test('are what their sources say (else: npm run schemas)', async () => {
    const wanted = schemaFiles({
      inputSchema,
      protocols: Object.fromEntries(protocols.map(({ name, operationSchema }) => [name, operationSchema as TSchema])),
      actions: Object.fromEntries(protocols.map(({ name, actions }) => [name, actions])),
    });
    expect((await readdir(schemas)).sort()).toEqual(Object.keys(wanted).sort());
    for (const [name, text] of Object.entries(wanted))
      expect(await readFile(path.join(schemas, name), 'utf8')).toBe(text);
  });

  test('use none of what OPA reads wrongly: a list of types is taken for its first', async () => {
    for (const name of await readdir(schemas))
      expect(await readFile(path.join(schemas, name), 'utf8')).not.toMatch(/"type": \[/);
  });
});

/** `opa check --strict` of a site's file that says nothing of schemas, beside our library: what it complains of. */
async function check(rego: string, named = 'policy.postgres'): Promise<string> {
  const file = path.join(folder, 'site.rego');
  await writeFile(file, `package ${named}\n\n${rego}\n`);
  const args = ['check', '--strict', '--schema', schemas, path.join(root, 'rego/sallyport'), file];
  return execute(opa, args).then(
    () => '',
    (error: Error) => error.message,
  );
}

describe('a site is checked against the schema without asking for it', () => {
  test.each([
    ['in a body', 'allow contains {"code": "a"} if input.principal.rolez == ["a"]', 'rolez'],
    ['negated', 'allow contains {"code": "a"} if not input.operation.opaqe', 'opaqe'],
    ['in a head', 'mask contains {"resource": r.nam, "with": "hash"} if some r in input.operation.resources', 'nam'],
    [
      'in a comprehension',
      'allow contains {"code": "a"} if count([1 | input.operation.resources[_].acess]) > 0',
      'acess',
    ],
    [
      'through a name',
      'allow contains {"code": "a"} if {\n\top := input.operation\n\top.actoin == "read"\n}',
      'actoin',
    ],
    ['below a protocol', 'allow contains {"code": "a"} if input.operation.postgres.statements[0].bound', 'bound'],
    ['of a type that never matches', 'allow contains {"code": "a"} if input.operation.action == 7', 'match error'],
    ['of the nonce, which policy never reads', 'allow contains {"code": "a"} if input.nonce', 'nonce'],
  ])('a mistake %s is found', async (_where, rego, complaint) => {
    expect(await check(rego)).toContain(complaint);
  });

  test('in policy.all and in tests too', async () => {
    expect(await check('allow contains {"code": "a"} if input.princpal', 'policy.all')).toContain('princpal');
    expect(await check('test_a if input.princpal', 'policy.postgres_test')).toContain('princpal');
  });

  test.each([
    ['labels and attributes of any name', 'input.target.labels.tier == "gold"; input.principal.attributes.team == "x"'],
    [
      'parameters that are text or null',
      'input.operation.postgres.parameters[0] == null; input.operation.postgres.parameters[1] == "a"',
    ],
    [
      'what may be absent',
      'input.prompt.text; input.principal.actor.subject; input.operation.postgres.statements[0].limit < 10',
    ],
  ])('%s pass', async (_what, body) => {
    expect(await check(`allow contains {"code": "a"} if {\n\t${body.replaceAll('; ', '\n\t')}\n}`)).toBe('');
  });

  test('partial inputs of tests pass', async () => {
    const rego = 'test_a if data.policy.postgres.x with input as {"principal": {"roles": []}, "operation": {}}';
    expect(await check(rego, 'policy.postgres_test')).toBe('');
  });
});
