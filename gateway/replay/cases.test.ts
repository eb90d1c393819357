import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Input } from '#engine';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { cleanUp, commit, compiler, repository, scratch, snapshotOf, type Files } from '../../test/bundles/support.js';
import { inputOf } from '../../test/support/policy.js';
import { auditOf, check, replayedIn } from '../../test/support/replay.js';
import type { ReplayCommandOptions } from '../cli/replay.js';
import { minimise, type Json } from './minimise.js';

afterAll(cleanUp);

const policyOf = (rules: string): Files => ({ 'postgres.rego': `package policy.postgres\n\n${rules}` });
const reads = 'allow contains {"code": "agents_read"} if input.operation.action == "read"\n';
const masked = `
mask contains {"resource": "app.customers.email", "with": "redact", "code": "emails"} if {
	some resource in input.operation.resources
	resource.name == "app.customers.email"
}
`;
const held = `
approval contains {"code": "looked_at", "groups": ["dba"], "expires": "45m"} if startswith(input.operation.postgres.statement, "SELECT")
`;
const writes = `
allow contains {"code": "agents_write"} if {
	input.operation.action == "write"
	"writer" in input.principal.roles
}
`;
const counted = 'cost contains {"code": "priced", "units": 3} if input.operation.action == "read"\n';
const marked = 'taint contains {"code": "saw_pii", "label": "pii", "for": "90m"} if input.operation.action == "read"\n';
const earlier = policyOf(reads + masked + marked);
const later = policyOf(reads + writes + held + counted);

const canary = 'canary-7f3a9';
const read = inputOf({
  principal: { ...inputOf({}).principal, subject: `agent:${canary}`, roles: ['readonly', 'writer'] },
  prompt: { id: canary, text: `the prompt of ${canary}` },
  session: { ...inputOf({}).session, client: { address: '10.1.2.3', application: canary } },
  operation: {
    stage: 'execute', action: 'read', opaque: false, hash: 'a'.repeat(64),
    resources: [
      { type: 'relation', name: `app.${canary}`, access: 'read' },
      { type: 'column', name: 'app.customers.email', access: 'read', use: 'output' },
    ],
    postgres: { statement: `SELECT email FROM app.customers WHERE name = '${canary}'`, parameters: [canary], database: canary },
  },
}); // prettier-ignore
const write: Input = {
  ...read,
  operation: { ...read.operation, action: 'write', hash: 'b'.repeat(64), resources: [{ type: 'relation', name: 'app.orders', access: 'insert' }] },
}; // prettier-ignore

let repo: string;
let audit: string;
beforeAll(async () => {
  repo = await repository(earlier);
  await commit(repo, later, 'rewritten');
  audit = await auditOf([read, write, read, write, read], 'git:then', (await check(snapshotOf(earlier))).layer);
}, 120_000);

async function smallest(options: Partial<ReplayCommandOptions> = {}) {
  const file = path.join(await scratch(), 'small.cases.yaml');
  const { err } = await replayedIn(repo, audit, 'HEAD~1..HEAD', { minimise: file, failOn: 'never', ...options });
  const text = await readFile(file, 'utf8');
  const { cases } = parse(text) as { cases: { description: string; input: Input; want: object }[] };
  return { text, err, cases };
}

/** What `sallyport test` says of a policy with these cases beside it. */
const tested = async (policy: Files, text: string) =>
  (await compiler()).test(snapshotOf({ ...policy, 'small.cases.yaml': text }));

describe('the smallest cases of a replay', () => {
  test('are one for each kind of difference, pass on the later commit by opa and by wasm, and fail on the earlier one', async () => {
    const { text, err, cases } = await smallest();
    expect(err).toMatch(/^5 smallest cases in /m);
    expect(cases.map(({ description, want }) => [description, want])).toEqual([
      ['hold_added: looked_at; as readonly, writer, read at orders', { outcome: 'hold' }],
      [
        'mask_lost: emails on app.customers.email; as readonly, writer, read at orders',
        { outcome: 'allow', masks: [] },
      ],
      ['taint_lost: saw_pii on pii; as readonly, writer, read at orders', { outcome: 'allow', taints: [] }],
      ['cost_raised: cost; as readonly, writer, read at orders', { outcome: 'allow', cost: 3 }],
      ['newly_allowed: not_allowed; as readonly, writer, write at orders', { outcome: 'allow' }],
    ]);
    expect(await tested(later, text)).toMatchObject({ passed: 5, failed: 0 });
    const report = await tested(earlier, text);
    expect(report).toMatchObject({ passed: 0, failed: 5 });
    expect(report.problems.map(({ file, line, message }) => ({ file, line, message }))).toContainEqual({
      file: 'small.cases.yaml',
      line: expect.any(Number),
      message: expect.stringMatching(/^newly_allowed.*: wanted the outcome "allow", and it is "deny"/),
    });
  }, 120_000);

  test('the other way round, keep a change from being made: they pass before it and fail with it', async () => {
    const { text } = await smallest({ want: 'before' });
    expect(text).toContain('for: 90m');
    expect(await tested(earlier, text)).toMatchObject({ passed: 5, failed: 0 });
    expect(await tested(later, text)).toMatchObject({ passed: 0, failed: 5 });
  }, 120_000);

  test('have nothing of an operation that no rule looks at, and of a text only what has to be in it', async () => {
    const { text, cases } = await smallest({ cases_max: 5 });
    expect(text).not.toContain(canary);
    expect(text).not.toContain('10.1.2.3');
    const floor = { version: 1, principal: {}, target: { name: 'orders', protocol: 'postgres' } };
    const resources = [{ name: 'app.customers.email' }];
    expect(cases[1]!.input).toEqual({ ...floor, operation: { action: 'read', resources } });
    expect(cases[0]!.input).toMatchObject({ operation: { postgres: { statement: 'SELECT' } } });
    expect(cases[4]!.input).toMatchObject({ principal: { roles: ['writer'] }, operation: { action: 'write' } });
    // The same records give the same file, whatever thread was faster.
    expect((await smallest({ cases_max: 5 })).text).toBe(text);
  });

  test('are shown by this repository alone: what only the base makes of it is said, not written', async () => {
    const base = await repository(policyOf(`allow contains {"code": "all"} if true\n${masked}`));
    const { cases } = await smallest({ base, at: 'HEAD' });
    // The base masks too, so no mask is lost.
    expect(cases.map(({ description }) => description.split(':')[0])).toEqual([
      ...['hold_added', 'taint_lost', 'cost_raised', 'newly_allowed'],
    ]);
  });
});

describe('a case that is none is refused, with its line', () => {
  test.each([
    ['without anything to want', 'cases:\n  - description: a\n    want: {}\n', /asks for nothing/],
    ['with a key that is unknown', 'cases:\n  - description: a\n    wants: {outcome: deny}\n', /unknown key "wants"/],
    [
      'with another outcome',
      'cases:\n  - description: a\n    want: {outcome: maybe}\n',
      /none of allow, deny and hold/,
    ],
    ['twice', `cases:\n${'  - {description: a, want: {outcome: deny}}\n'.repeat(2)}`, /two cases are called "a"/],
    ['in a file without a list', 'title: nothing\n', /has no list of "cases"/],
    ['in what is no YAML', 'cases: [\n', /is not YAML/],
  ])('%s', async (_what, text, said) => {
    await expect((await compiler()).check(snapshotOf({ ...earlier, 'a.cases.yaml': text }))).rejects.toThrow(said);
  });

  test('and one that fails keeps the policy from being built', async () => {
    const text = 'cases:\n  - description: nobody reads\n    input: {operation: {action: read}}\n    want: {outcome: deny, codes: [never]}\n'; // prettier-ignore
    await expect((await compiler()).build(snapshotOf({ ...earlier, 'a.cases.yaml': text }))).rejects.toThrow(/a\.cases\.yaml:2: nobody reads: wanted the codes \["never"\]/); // prettier-ignore
  });
});

describe('leaving out', () => {
  const all = { mayGo: () => true, mayCut: () => true, questions_max: 1_000 };

  test('ends with what is needed, in lists and texts too', () => {
    const document = { a: { b: [1, 2, 3, 4, 5, { c: 'xxneedlexx', d: null }], e: 'gone' }, f: [] };
    const holds = (one: Json) => JSON.stringify(one).includes('needle');
    expect(minimise(document, { ...all, holds })).toEqual({ a: { b: [{ c: 'needle' }] } });
  });

  test('asks no more often than it may, and has kept what holds', () => {
    let asked = 0;
    const holds = (one: Json) => {
      asked += 1;
      return JSON.stringify(one).includes('needle');
    };
    const document = { list: [...Array.from({ length: 500 }, (_, index) => `value ${index}`), 'needle'] };
    const least = minimise(document, { ...all, holds, questions_max: 20 });
    expect(asked).toBe(20);
    expect(JSON.stringify(least)).toContain('needle');
  });
});
