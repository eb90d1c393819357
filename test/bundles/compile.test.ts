import { afterAll, describe, expect, test } from '@jest/globals';
import { BundleError, Compiler, findOpa, type Problem } from '../../bundles/index.js';
import { cleanUp, compiler, type Files, goodPolicy, snapshotOf } from './support.js';

afterAll(cleanUp);

async function problemsOf(files: Files): Promise<readonly Problem[]> {
  try {
    await (await compiler()).build(snapshotOf({ ...goodPolicy, ...files }));
  } catch (error) {
    if (error instanceof BundleError) return error.problems;
    throw error;
  }
  return [];
}

const site = (rules: string, name = 'policy.postgres') => `package ${name}\n\n${rules}\n`;

describe('a policy that keeps the contract', () => {
  test('becomes a layer with its rules, its packages, its data and what it reads', async () => {
    const { layer, tests, warnings } = await (await compiler()).build(snapshotOf(goodPolicy));
    expect(layer.manifest.rules).toEqual([
      {
        code: 'agent_reads',
        package: 'policy.postgres',
        set: 'allow',
        title: 'Agents read',
        file: 'postgres.rego',
        line: 6,
      },
      {
        code: 'secrets_denied',
        package: 'policy.postgres',
        set: 'deny',
        title: 'No secrets',
        file: 'postgres.rego',
        line: 10,
      },
    ]);
    expect(layer.manifest.packages).toEqual(['postgres']);
    expect(layer.data).toEqual({ secret_tables: ['app.secrets'] });
    expect(Buffer.from(layer.wasm.subarray(0, 4)).toString('latin1')).toBe('\0asm');
    expect(layer.manifest.reads['postgres']).toEqual(
      expect.arrayContaining(['operation.action', 'operation.resources', 'target.protocol']),
    );
    expect(layer.manifest.reads['postgres']).not.toContain('');
    // What only the Postgres rules read costs another protocol nothing.
    expect(layer.manifest.reads['ssh']).not.toContain('operation.action');
    expect(tests).toMatchObject({ passed: 1, failed: 0, ran: true });
    expect(warnings).toEqual([]);
  });

  test('reads what the rules of its last version read, though another protocol was asked before', async () => {
    const own = await Compiler.create({ opa: await findOpa() });
    const reads = async (files: Files) => (await own.build(snapshotOf(files))).layer.manifest.reads;
    const lib = (body: string) => ({ 'lib.rego': `package lib\n\nokay if ${body}\n` });
    const rules = {
      'ssh.rego': site('allow contains {"code": "s"} if input.principal.kind == "human"', 'policy.ssh'),
      'http.rego': site('allow contains {"code": "h"} if data.lib.okay', 'policy.http'),
    };
    const first = await reads({ ...rules, ...lib('input.principal.purpose == "audit"') });
    expect(first['http']).toContain('principal.purpose');
    const second = await reads({ ...rules, ...lib('input.session.rows < 5') });
    expect(second['http']).toContain('session.rows');
    expect(second['http']).not.toContain('principal.purpose');
    expect(second['ssh']).toEqual(first['ssh']);
  });

  test('gives the same layer again, byte for byte', async () => {
    const [one, two] = [
      await (await compiler()).build(snapshotOf(goodPolicy)),
      await (await compiler()).build(snapshotOf(goodPolicy)),
    ];
    expect(Buffer.compare(one.layer.wasm, two.layer.wasm)).toBe(0);
    expect(one.layer.manifest).toEqual(two.layer.manifest);
  });

  test('has names that fit a bundle', async () => {
    const file = `${'n'.repeat(96)}.rego`;
    expect(await problemsOf({ [file]: 'package lib\n' })).toMatchObject([{ code: 'long_name', file }]);
  });

  test('needs no tests and no data, and says how many tests there were', async () => {
    const { layer, tests } = await (
      await compiler()
    ).build(snapshotOf({ 'a.rego': goodPolicy['postgres.rego'] ?? '' }));
    expect(tests).toMatchObject({ passed: 0, failed: 0 });
    expect(layer.data).toEqual({});
  });

  test('has its data where OPA puts it: a file in a folder is the document at that path', async () => {
    const { layer } = await (
      await compiler()
    ).build(
      snapshotOf({
        ...goodPolicy,
        'masks/data.json': '{"pii": "redact"}',
        'classification/orders/data.yaml': 'app.customers.email: pii\n',
      }),
    );
    expect(layer.data).toMatchObject({
      masks: { pii: 'redact' },
      classification: { orders: { 'app.customers.email': 'pii' } },
    });
  });

  test('has codes filled in from METADATA where the element has none', async () => {
    const files = {
      'more.rego': site(`# METADATA
# title: Few rows
# custom: {code: few_rows}
limit contains {"rows": 10} if input.operation.action == "read"

# METADATA
# custom: {code: "empty \\"one\\""}
deny contains {} if input.operation.action == "transfer"

# METADATA
# custom: {code: after_umlaut}
deny contains {
	"message": "ü",
} if input.operation.action == "delete"`),
    };
    const { layer } = await (await compiler()).build(snapshotOf({ ...goodPolicy, ...files }));
    expect(layer.manifest.rules.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['few_rows', 'empty "one"', 'after_umlaut']),
    );
    // The string constants of the policy stand in the wasm.
    const constants = Buffer.from(layer.wasm).toString('latin1');
    expect(constants).toContain('few_rows');
    expect(constants).toContain('empty "one"');
    expect(constants).toContain('after_umlaut');
  });

  test.each([
    ['names that start with an underscore', '_draft contains 1'],
    ['names that another rule uses', 'helper if input.operation.opaque\n\ndeny contains {"code": "x"} if helper'],
    ['functions that another rule uses', 'far(x) if x > 3\n\ndeny contains {"code": "x"} if far(input.usage.rows.day)'],
    ['tests in the file itself', 'test_it if count(deny) == 0 with input as {}'],
  ])('may have %s', async (_, rules) => {
    expect(await problemsOf({ 'more.rego': site(rules) })).toEqual([]);
  });

  test('may be used from another package, through an import or a full path', async () => {
    const files = {
      'lists.rego': site('known if input.principal.kind == "agent"', 'site.lists'),
      'all.rego': site('import data.policy.postgres as pg\n\ndeny contains {"code": "all"} if pg.shared', 'policy.all'),
      'more.rego': site('shared if data.site.lists.known'),
    };
    expect(await problemsOf(files)).toEqual([]);
  });
});

describe('what compiles and would silently do nothing is refused', () => {
  const cases: [string, Files, { code: string; file: string; line?: number; message: RegExp }][] = [
    [
      'a boolean deny',
      { 'b.rego': site('deny if input.operation.opaque') },
      { code: 'not_a_set', file: 'b.rego', line: 3, message: /must be a set/ },
    ],
    [
      'a boolean deny in a package that has no other',
      { 'b.rego': site('deny if input.operation.opaque', 'policy.ssh') },
      { code: 'not_a_set', file: 'b.rego', line: 3, message: /must be a set/ },
    ],
    [
      'a misspelt deny',
      { 'b.rego': site('deni contains {"code": "x"} if input.operation.opaque') },
      { code: 'unknown_rule', file: 'b.rego', line: 3, message: /did you mean deny/ },
    ],
    [
      'a misspelt deny that has a test',
      {
        'b.rego': site('deni contains {"code": "x"} if input.operation.opaque'),
        'b_test.rego': site(
          'import data.policy.postgres\n\ntest_x if count(postgres.deni) == 0 with input as {}',
          'policy.postgres_test',
        ),
      },
      { code: 'unknown_rule', file: 'b.rego', message: /deni/ },
    ],
    [
      'a default for a set',
      { 'b.rego': site('default mask := {}') },
      { code: 'not_a_set', file: 'b.rego', line: 3, message: /mask/ },
    ],
    [
      'a set given as one value',
      { 'b.rego': site('filter := {{"resource": "a", "where": "b"}}') },
      { code: 'not_a_set', file: 'b.rego', message: /filter/ },
    ],
    [
      'a contract name as a function',
      { 'b.rego': site('approval(x) if x') },
      { code: 'not_a_set', file: 'b.rego', message: /approval/ },
    ],
    [
      'a contract name as an object of sets',
      { 'b.rego': site('limit.rows contains 3') },
      { code: 'not_a_set', file: 'b.rego', message: /limit/ },
    ],
    [
      'an unknown protocol',
      { 'b.rego': site('deny contains {"code": "x"}', 'policy.postgre') },
      { code: 'unknown_package', file: 'b.rego', line: 1, message: /policy\.postgres\?/ },
    ],
    [
      'a package below a known one',
      { 'b.rego': site('deny contains {"code": "x"}', 'policy.postgres.more') },
      { code: 'unknown_package', file: 'b.rego', line: 1, message: /policy\.postgres\.more/ },
    ],
    [
      'the package above',
      { 'b.rego': site('postgres.deny contains {"code": "x"}', 'policy') },
      { code: 'unknown_package', file: 'b.rego', message: /policy/ },
    ],
    [
      "Sallyport's own package",
      { 'b.rego': site('decision := {"combined": {"outcome": "allow"}}', 'sallyport.more') },
      { code: 'reserved_package', file: 'b.rego', message: /own/ },
    ],
    [
      'a deny in a test file',
      { 'b_test.rego': site('deny contains {"code": "x"} if input.operation.opaque') },
      { code: 'contract_in_test', file: 'b_test.rego', line: 3, message: /test file/ },
    ],
    [
      'a label without a mask',
      {
        'data.yaml':
          'masks: {contact: partial}\nclassification:\n  orders:\n    app.a.b: contact\n    app.a.c: [contact, identity]\n',
      },
      { code: 'mask_missing', file: 'data.yaml', line: 5, message: /app\.a\.c.*"identity"/ },
    ],
    [
      'a mask that is none',
      { 'data.yaml': 'masks: {contact: blur}\n' },
      { code: 'unknown_mask', file: 'data.yaml', line: 1, message: /blur/ },
    ],
    [
      'data where rules are',
      { 'policy/postgres/data.json': '{"x": 1}' },
      { code: 'reserved_data', file: 'policy/postgres/data.json', message: /policy/ },
    ],
  ];
  test.each(cases)('%s', async (_, files, { code, file, line, message }) => {
    const problems = await problemsOf(files);
    const found = problems.find((problem) => problem.code === code);
    expect({ problems, found }).toMatchObject({
      found: { code, file, message: expect.stringMatching(message) as unknown },
    });
    if (line !== undefined) expect(found?.line).toBe(line);
  });
});

describe('what does not compile or pass is refused, with its place', () => {
  test.each<[string, Files, { code: string; file?: string; line?: number; message: RegExp }]>([
    [
      'a syntax error',
      { 'b.rego': site('deny contains {') },
      { code: 'rego_parse_error', file: 'b.rego', message: /./ },
    ],
    [
      'an unused variable',
      { 'b.rego': site('deny contains {"code": "x"} if {\n\tx := input.operation\n}') },
      { code: 'rego_compile_error', file: 'b.rego', line: 4, message: /unused/ },
    ],
    [
      'a field that the input does not have',
      { 'b.rego': site('deny contains {"code": "x"} if input.principal.role == "x"') },
      { code: 'rego_type_error', file: 'b.rego', line: 3, message: /input\.principal\.role/ },
    ],
    [
      'a failing test',
      { 'b_test.rego': site('test_wrong if 1 == 2', 'policy.b_test') },
      { code: 'test_failed', file: 'b_test.rego', line: 3, message: /test_wrong failed/ },
    ],
    [
      'the network',
      { 'b.rego': site('deny contains {"code": "x"} if http.send({"method": "get", "url": "http://127.0.0.1"})') },
      { code: 'rego_type_error', file: 'b.rego', line: 3, message: /http\.send/ },
    ],
    [
      'the network in a test',
      { 'b_test.rego': site('test_x if http.send({"method": "get", "url": "http://127.0.0.1"})', 'policy.b_test') },
      { code: 'rego_type_error', file: 'b_test.rego', line: 3, message: /http\.send/ },
    ],
    [
      'the environment in a test',
      { 'b_test.rego': site('test_x if opa.runtime().env.HOME', 'policy.b_test') },
      { code: 'rego_type_error', file: 'b_test.rego', line: 3, message: /opa\.runtime/ },
    ],
    [
      'a built-in that the engine lacks',
      { 'b.rego': site('deny contains {"code": "x"} if time.now_ns() > 3') },
      { code: 'rego_type_error', file: 'b.rego', line: 3, message: /time\.now_ns/ },
    ],
    [
      'a rule that only a test file defines',
      {
        'b.rego': site('deny contains {"code": "x"} if from_test'),
        'b_test.rego': site('from_test if input.operation.opaque'),
      },
      { code: 'build_failed', message: /from_test/ },
    ],
    ['data that is not YAML', { 'data.yaml': 'a: [' }, { code: 'compile_error', message: /data\.yaml/ }],
    [
      'a folder of our name',
      { '_sallyport/x.rego': site('x := 1', 'x') },
      { code: 'reserved_folder', file: '_sallyport/x.rego', message: /_sallyport/ },
    ],
  ])('%s', async (_, files, { code, file, line, message }) => {
    const problems = await problemsOf(files);
    const found = problems.find((problem) => problem.code === code);
    expect({ problems, found }).toMatchObject({ found: { code, message: expect.stringMatching(message) as unknown } });
    if (file !== undefined) expect(found?.file).toBe(file);
    if (line !== undefined) expect(found?.line).toBe(line);
  });

  test('a test that runs away is stopped', async () => {
    const slow = await Compiler.create({ opa: await findOpa(), tests_ms_max: 1_500 });
    const loop =
      'test_loop if {\n\tcount([1 | some a in numbers.range(1, 10000); some b in numbers.range(1, 10000); a * b == -1]) == 3\n}';
    const started = performance.now();
    await expect(
      slow.build(snapshotOf({ ...goodPolicy, 'loop_test.rego': site(loop, 'policy.loop_test') })),
    ).rejects.toThrow(/test_loop took too long|longer than/);
    expect(performance.now() - started).toBeLessThan(15_000);
  });

  test('a test that eats memory is stopped', async () => {
    const small = await Compiler.create({ opa: await findOpa(), memory_mib_max: 384 });
    const eat =
      'test_eat if {\n\tx := [y | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); y := {"a": a, "b": b}]\n\tcount(x) == 3\n}';
    // Go's runtime says that memory is out, or falls over where it comes to that.
    await expect(
      small.build(snapshotOf({ ...goodPolicy, 'eat_test.rego': site(eat, 'policy.eat_test') })),
    ).rejects.toThrow(/memory|longer than|SIGSEGV/);
  });
});

describe('warnings', () => {
  test('a code that two rules have, and one that cannot be filled in', async () => {
    const files = {
      'more.rego': site(`deny contains {"code": "agent_reads"} if input.operation.opaque

# METADATA
# custom: {code: elsewhere}
deny contains reason if {
	reason := {"message": "x"}
	input.operation.opaque
}`),
    };
    const { warnings } = await (await compiler()).build(snapshotOf({ ...goodPolicy, ...files }));
    expect(warnings.map(({ code }) => code).sort()).toEqual(['code_not_filled', 'code_twice']);
  });
});
