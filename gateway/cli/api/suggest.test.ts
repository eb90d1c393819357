import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createEngine } from '#engine';
import { startTestApi, type TestApi } from '../../../test/support/api.js';
import { waitingRequest } from '../../../test/support/approvers.js';
import { inputOf, layerOf } from '../../../test/support/policy.js';
import type { ApprovalRequest } from '../../approvals/index.js';
import { runCommandLine } from '../index.js';

/** What has always been approved, proposed as Rego that the compiler takes, and that does what it says. */

const policy = `package policy.postgres

allow contains {"code": "all"} if input.version == 1

approval contains {"code": "pg_delete", "groups": ["dba"]} if {
	input.operation.action == "delete"
	not _always_approved
}
`;

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(async () => api?.close());
beforeEach(() => api.approvers.requests.clear());

/** What would end a comment or a string, if it could. */
const evil = 'DELETE FROM app.orders -- "}\n_always_approved if true\n\u2028\u001b[31m`';
let made = 0;

function request(given: Partial<ApprovalRequest> & { fingerprint?: string; opaque?: boolean } = {}): ApprovalRequest {
  const { fingerprint = 'f1', opaque = false, ...rest } = given;
  const base = waitingRequest({ id: `h-${String((made += 1))}`, status: 'approved', ...rest });
  const { issuer } = base.principal!;
  return {
    ...base,
    operation: {
      ...base.operation!,
      opaque,
      postgres: {
        statement: evil,
        parameters: [],
        database: 'shop',
        user: 'sallyport',
        statements: [{ fingerprint, bounded: true }],
      },
    },
    answers: [
      { kind: 'approve', by: { issuer, subject: 'ada\n_x := 1' }, groups: ['dba'], at_ms: 1, through: 'api' },
      ...(rest.answers ?? []),
    ],
  };
}

const add = (count: number, given: Parameters<typeof request>[0] = {}) => {
  for (let n = 0; n < count; n++) api.approvers.add(request(given));
};

async function run(...args: string[]): Promise<{ code: number; stdout: string }> {
  let stdout = '';
  const env = {
    ...process.env,
    SALLYPORT_URL: api.url,
    SALLYPORT_CA: api.caFile,
    SALLYPORT_TOKEN: await api.idp.issueToken({ subject: 'ada@example.com', kind: 'human', groups: ['audit'] }),
  };
  const output = { write: (text: string) => (stdout += text) };
  const code = await runCommandLine(['approvals', 'suggest', ...args], {
    env,
    fallbackFolder: api.folder,
    stdout: output,
    stderr: { write: () => undefined },
  });
  return { code, stdout };
}

test('what was approved often and never refused becomes a rule; the policy that takes it up asks for the rest as before', async () => {
  add(5);
  const { code, stdout } = await run();
  expect(code).toBe(0);
  expect(stdout).toContain('add `not _always_approved` to the approval pg_delete');
  expect(stdout).toContain('# 5 from ');
  // Statements and names of others stay within their comment.
  expect(stdout.match(/^_.*$/gmu)).toEqual(['_always_approved if {']);

  const engine = createEngine();
  engine.activate(await engine.prepare('git:1', [await layerOf([policy, stdout])]));
  const { principal, operation, target } = request();
  const input = inputOf({ principal: principal!, operation: operation!, target });
  const outcome = (changes: Parameters<typeof inputOf>[0]) => engine.decide({ ...input, ...changes }).outcome;
  const { postgres } = operation as unknown as { postgres: object };
  expect(outcome({})).toBe('allow');
  const others: [string, Parameters<typeof inputOf>[0]][] = [
    ['subject', { principal: { ...principal!, subject: 'agent:other' } }],
    ['issuer', { principal: { ...principal!, issuer: 'https://other.example' } }],
    ['purpose', { principal: { ...principal!, purpose: 'another' } }],
    ['actor', { principal: { ...principal!, actor: { subject: 'eve' } } }],
    ['target', { target: { ...target, name: 'other' } }],
    [
      'fingerprint',
      { operation: { ...operation!, postgres: { ...postgres, statements: [{ fingerprint: 'f2', bounded: true }] } } },
    ],
    [
      'bounded',
      { operation: { ...operation!, postgres: { ...postgres, statements: [{ fingerprint: 'f1', bounded: false }] } } },
    ],
    ['database', { operation: { ...operation!, postgres: { ...postgres, database: 'other' } } }],
    ['opaque', { operation: { ...operation!, opaque: true } }],
    [
      'resources',
      {
        operation: {
          ...operation!,
          resources: [...operation!.resources, { type: 'relation', name: 'app.more', access: 'read' }],
        },
      },
    ],
  ];
  for (const [what, changes] of others) expect([what, outcome(changes)]).toEqual([what, 'hold']);
});

test('what was refused or expired once, answered in an emergency, is opaque, or was approved too seldom is not proposed', async () => {
  add(9, { fingerprint: 'refused' });
  add(1, { fingerprint: 'refused', status: 'refused' });
  add(9, { fingerprint: 'expired' });
  add(1, { fingerprint: 'expired', status: 'expired' });
  add(9, { fingerprint: 'emergency' });
  add(1, {
    fingerprint: 'emergency',
    answers: [
      { kind: 'approve', by: { issuer: 'i', subject: 'bo' }, groups: [], at_ms: 2, break_glass: true, through: 'api' },
    ],
  });
  add(9, { fingerprint: 'opaque', opaque: true });
  add(4, { fingerprint: 'seldom' });
  expect(await run()).toEqual({
    code: 1,
    stdout: 'Nothing was approved 5 times and never refused, of what you may see.\n',
  });
  const json = await run('--at-least', '4', '--json');
  expect(json.code).toBe(0);
  const { suggestions, rego } = JSON.parse(json.stdout) as { suggestions: { approved: number }[]; rego: string };
  expect(suggestions).toMatchObject([{ approved: 4, codes: ['pg_delete'] }]);
  expect(rego).toContain('"seldom"');
});

test('where a list was cut off, nothing is proposed from before: a refusal may stand there', async () => {
  const long_ago_ms = Date.now() - 86_400_000;
  // Newest first, as the gateway lists them.
  add(200, { fingerprint: 'other', status: 'refused' });
  add(6, { fingerprint: 'old', asked_ms: long_ago_ms });
  expect((await run()).code).toBe(1);
});
