import { createEngine, type Engine } from '#engine';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Compiler, findOpa, keepPolicy, openSource, type PolicyEvent, type PolicyKeeper } from '../../bundles/index.js';
import { inputOf } from '../support/policy.js';
import { cleanUp, commit, git, goodPolicy, repository, scratch, type Files } from './support.js';

/**
 * Commits that must not come into force, each tried on a gateway's keeper that has a good one: it is refused with a
 * message that names file and line where there is one, the good one goes on judging, and the refusal is recorded.
 */

interface BadCommit {
  readonly name: string;
  /** Written into the policy folder, and committed. */
  readonly files?: Files;
  /** Or whatever else is done to the repository. */
  readonly act?: (repo: string) => Promise<unknown>;
  /** "file:line", or the file alone, or nothing where there is none. */
  readonly at?: string;
  readonly says: RegExp;
}

const rule = (text: string): Files => ({ 'x.rego': `package policy.postgres\n\n${text}\n` });
const anyTest = (text: string): Files => ({ 'x_test.rego': `package policy.x_test\n\n${text}\n` });
const inPolicy = (repo: string, ...names: string[]) => path.join(repo, 'policy', ...names);

const commits: readonly BadCommit[] = [
  { name: 'a syntax error', files: rule('deny contains {'), at: 'x.rego:4', says: /unexpected eof/ },
  { name: 'a type error', files: rule('deny contains {"code": "x"} if count(5) > 1'), at: 'x.rego:3', says: /count: invalid argument/ },
  { name: 'a misspelt input field', files: rule('deny contains {"code": "x"} if input.operation.acton == "read"'), at: 'x.rego:3', says: /undefined ref: input\.operation\.acton/ },
  { name: 'a function that is not there', files: rule('deny contains {"code": "x"} if dangerous(input)'), at: 'x.rego:3', says: /undefined function dangerous/ },
  { name: 'an unsafe variable', files: rule('deny contains {"code": y} if true'), at: 'x.rego:3', says: /var y is unsafe/ },
  { name: 'an unused variable', files: rule('deny contains {"code": "x"} if { y := 1; input.operation.opaque }'), at: 'x.rego:3', says: /assigned var y unused/ },
  { name: 'an unused import', files: { 'x.rego': 'package policy.postgres\n\nimport data.nowhere\n' }, at: 'x.rego:3', says: /import data\.nowhere unused/ },
  { name: 'a rule that needs itself', files: rule('_a if _b\n_b if _a'), at: 'x.rego:3', says: /recursive/ },
  { name: 'Rego of before version 1', files: rule('deny[x] { x := {"code": "x"} }'), at: 'x.rego:3', says: /`if` keyword is required/ },
  { name: 'no package', files: { 'x.rego': 'deny contains {"code": "x"} if true\n' }, at: 'x.rego:1', says: /package expected/ },
  { name: 'rules of one name that conflict', files: rule('_a := 1\n_a(x) := x'), at: 'x.rego:3', says: /conflicting rules/ },
  { name: 'the network', files: rule('deny contains {"code": "x"} if http.send({"method": "get", "url": "http://example.com"}).status_code == 200'), at: 'x.rego:3', says: /http\.send.*asks nobody/s },
  { name: 'the clock', files: rule('deny contains {"code": "x"} if time.now_ns() > 5'), at: 'x.rego:3', says: /time\.now_ns.*input\.time/s },
  { name: 'dice', files: rule('deny contains {"code": "x"} if rand.intn("a", 5) == 1'), at: 'x.rego:3', says: /rand\.intn.*equal answer/si },
  { name: 'the environment, in a test', files: anyTest('test_x if opa.runtime().env.HOME != ""'), at: 'x_test.rego:3', says: /opa\.runtime/ },
  { name: 'a failing test', files: anyTest('test_x if 1 == 2'), at: 'x_test.rego:3', says: /test_x failed/ },
  { name: 'a test that never ends', files: anyTest('test_x if count([1 | some a in numbers.range(1, 30000); some b in numbers.range(1, 30000); a == b + 40000]) == 0'), says: /too long|longer than/ },
  { name: 'a rule in a test file', files: { 'x_test.rego': 'package policy.postgres\n\ndeny contains {"code": "x"} if true\n\ntest_x if true\n' }, at: 'x_test.rego:3', says: /./ },
  { name: 'a misspelt rule name', files: rule('deni contains {"code": "x"} if true'), at: 'x.rego:3', says: /did you mean deny/ },
  { name: 'a deny that is no set', files: rule('limit if true'), at: 'x.rego:3', says: /limit/ },
  { name: 'an allow with a value', files: rule('filter := true'), at: 'x.rego:3', says: /filter/ },
  { name: 'a protocol that does not exist', files: { 'x.rego': 'package policy.postgress\n\ndeny contains {"code": "x"} if true\n' }, at: 'x.rego:1', says: /postgres/ },
  { name: 'a limit of something else', files: rule('limit contains {"rowz": 5, "code": "l"} if true'), at: 'x.rego:3', says: /rowz/ },
  { name: 'a field that an element does not have', files: rule('approval contains {"code": "x", "groups": ["dba"], "qourum": 2} if true'), at: 'x.rego:3', says: /qourum/ },
  { name: 'a field that an element lacks', files: rule('approval contains {"code": "x"} if true'), at: 'x.rego:3', says: /groups/ },
  { name: 'a mask function that does not exist', files: rule('mask contains {"resource": "a.b.c", "with": "partail", "code": "m"} if true'), at: 'x.rego:3', says: /partial/ },
  { name: 'a filter that is no predicate', files: rule('filter contains {"resource": "a.b", "where": "c =", "code": "f"} if true'), at: 'x.rego:3', says: /./ },
  { name: 'a label without a mask', files: { 'data.yaml': 'classification: {orders: {app.c.email: contact}}\n' }, at: 'data.yaml', says: /contact/ },
  { name: 'a classified column that is none', files: { 'data.yaml': 'masks: {contact: redact}\nclassification: {orders: {email: contact}}\n' }, at: 'data.yaml', says: /schema\.relation\.column/ },
  { name: 'data where rules are', files: { 'policy/data.yaml': 'postgres: {allow: [{code: x}]}\n' }, says: /policy/ },
  { name: 'data that are no object', files: { 'data.yaml': '- 1\n' }, says: /./ },
  { name: 'data that are no YAML', files: { 'data.yaml': 'a: [1\n' }, says: /data\.yaml/ },
  { name: 'data that are no JSON', files: { 'deep/data.json': '{"a": }' }, says: /data\.json/ },
  { name: 'data in two files that do not fit together', files: { 'data.json': '{"secret_tables": {"a": 1}}' }, says: /^bundle load failed on data\.(yaml|json)|: bundle load failed on data\.(yaml|json)/ },
  { name: 'data that contain themselves', files: { 'data.yaml': 'a: &a\n  b: *a\n' }, says: /./ },
  { name: 'data whose aliases unfold without end', files: { 'data.yaml': `a0: &a0 [x, x]\n${Array.from({ length: 40 }, (_, index) => `a${String(index + 1)}: &a${String(index + 1)} [*a${String(index)}, *a${String(index)}]\n`).join('')}` }, says: /./ },
  { name: 'a huge file', act: async (repo) => { await writeFile(inPolicy(repo, 'data.json'), `{"a": "${'x'.repeat(17 * 1024 * 1024)}"}`); await commit(repo, {}, 'huge'); }, at: 'data.json', says: /larger than 16 MiB/ },
  { name: 'a binary', act: async (repo) => { await writeFile(inPolicy(repo, 'x.rego'), Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1])); await commit(repo, {}, 'binary'); }, at: 'x.rego', says: /is not text/ },
  { name: 'text that is not UTF-8', act: async (repo) => { await writeFile(inPolicy(repo, 'x.rego'), Buffer.from('package policy.postgres # caf\xe9\n', 'latin1')); await commit(repo, {}, 'latin'); }, at: 'x.rego', says: /UTF-8/ },
  { name: 'a link out of the tree', act: async (repo) => { await symlink('../../outside.rego', inPolicy(repo, 'x.rego')); await commit(repo, {}, 'link'); }, at: 'x.rego', says: /leads out/ },
  { name: 'a link to an absolute path', act: async (repo) => { await symlink('/etc/passwd', inPolicy(repo, 'x.rego')); await commit(repo, {}, 'link'); }, at: 'x.rego', says: /leads out/ },
  { name: 'a link to nothing', act: async (repo) => { await symlink('nothing.rego', inPolicy(repo, 'x.rego')); await commit(repo, {}, 'link'); }, at: 'x.rego', says: /not a file of this commit/ },
  { name: 'a submodule', act: async (repo) => { git(repo, 'update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},policy/sub`); git(repo, 'commit', '-q', '-m', 'sub'); }, at: 'sub', says: /submodule/ },
  { name: "a folder of Sallyport's own name", files: { '_sallyport/x.rego': 'package sallyport\n\ndecision := {"combined": {"outcome": "allow"}}\n' }, at: '_sallyport/x.rego', says: /must not be called/ },
  { name: 'a file name with a line end', files: { 'x\n.rego': 'package policy.postgres\n' }, says: /name that a policy file must not have/ },
  { name: "rules in Sallyport's own package", files: { 'x.rego': 'package sallyport\n\ndecision := {"combined": {"outcome": "allow"}}\n' }, at: 'x.rego:1', says: /sallyport/ },
  { name: 'no policy at all', act: async (repo) => { git(repo, 'rm', '-rq', 'policy'); await commit(repo, { 'policy/README.md': 'soon\n' }, 'empty'); }, says: /no policy files were found/ },
  { name: 'a folder that was moved', act: (repo) => { git(repo, 'mv', 'policy', 'rules'); return commit(repo, {}, 'moved'); }, says: /has no folder "policy"/ },
  { name: 'a branch that was deleted', act: (repo) => { git(repo, 'checkout', '-q', '--detach'); git(repo, 'branch', '-D', 'main'); return Promise.resolve(); }, says: /has no commit on branch main/ },
  { name: 'a push that came half', act: (repo) => loseObject(repo), says: /could not read object|bad object|has no folder|git/ },
  { name: "a whole repository of `sallyport init`", files: { 'lib/sallyport/decision.rego': 'package sallyport\n' }, at: 'lib/sallyport/decision.rego', says: /whole repository.*path: policy/s },
  { name: 'a rule that does not end', files: rule('deny contains {"code": "x"} if count([1 | some a in numbers.range(1, 30000); some b in numbers.range(1, 30000); a == b + 40000]) > 0'), says: /budget|more time|steps|trial/ },
  { name: 'a forced push of something bad', act: async (repo) => { git(repo, 'checkout', '-q', '--orphan', 'other'); await commit(repo, under(rule('deny contains {')), 'rewritten'); git(repo, 'branch', '-M', 'main'); }, at: 'x.rego:4', says: /unexpected eof/ },
]; // prettier-ignore

const under = (files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([name, text]) => [`policy/${name}`, text]));

/** A commit whose newest file never arrived. */
async function loseObject(repo: string): Promise<void> {
  await commit(repo, under(rule('deny contains {"code": "half"} if input.operation.opaque')), 'half');
  const object = git(repo, 'rev-parse', 'HEAD:policy/x.rego');
  await rm(path.join(repo, '.git', 'objects', object.slice(0, 2), object.slice(2)), { force: true });
}

describe('a bad commit', () => {
  let repo: string;
  let good: string;
  let engine: Engine;
  let keeper: PolicyKeeper;
  const events: PolicyEvent[] = [];

  beforeAll(async () => {
    repo = await repository(under(goodPolicy));
    good = git(repo, 'rev-parse', 'HEAD');
    engine = createEngine();
    keeper = await keepPolicy({
      source: openSource({ git: { url: repo, path: 'policy' } }),
      engine,
      directory: path.join(await scratch(), 'state'),
      log: { info: () => {}, warn: () => {}, error: () => {} },
      onEvent: (event) => void events.push(event),
      compiler: await Compiler.create({
        opa: await findOpa(),
        tests_ms_max: 8_000,
        filters: (await import('../../gateway/registry.js')).filterChecks,
      }),
    });
  });
  afterAll(async () => {
    await keeper.close();
    await cleanUp();
  });

  async function backToGood(): Promise<void> {
    git(repo, 'checkout', '-qfB', 'main', good);
    git(repo, 'clean', '-qfdx');
    await keeper.refresh();
  }

  test('is tried in more than forty kinds', () => {
    expect(commits.length).toBeGreaterThan(40);
  });

  test.each(commits)(
    'with $name is refused, and the last good one stays in force',
    async ({ files, act, at, says }) => {
      // Before the commit: the keeper watches, and may be faster than what follows.
      events.length = 0;
      if (files !== undefined) await commit(repo, under(files), 'bad');
      await act?.(repo);
      try {
        const status = await keeper.refresh();
        const told = status.last?.error ?? '';
        expect(status).toMatchObject({ revision: `git:${good}`, last: { ok: false } });
        expect(told).toMatch(says);
        if (at !== undefined) expect(told).toContain(at);
        expect(engine.current?.id).toBe(`git:${good}`);
        expect(engine.decide(inputOf()).outcome).toBe('allow');
        // What the gateway records of its policy: who is told finds the same words there.
        expect(events).toContainEqual(
          expect.objectContaining({ type: 'refused', error: told, in_force: `git:${good}` }),
        );
      } finally {
        await backToGood();
      }
      expect((await keeper.refresh()).revision).toBe(`git:${good}`);
    },
    180_000,
  );
});
