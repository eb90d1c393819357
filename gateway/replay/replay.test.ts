import { noUsage, type Input } from '#engine';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cleanUp, commit, repository, scratch, snapshotOf, type Files } from '../../test/bundles/support.js';
import { startTestApi, type TestApi } from '../../test/support/api.js';
import { inputOf } from '../../test/support/policy.js';
import { auditOf, check, replayedIn } from '../../test/support/replay.js';
import { readRecords } from '../audit/index.js';
import { trailer, type ReplayCommandOptions } from '../cli/replay.js';
import { compare } from './compare.js';
import type { PublishedReport } from './published.js';
import { recordedOperation, type Recorded } from './recorded.js';
import { emptyTally, isLoosened, type Tally } from './tally.js';

afterAll(cleanUp);

const policyOf = (rules: string): Files => ({ 'postgres.rego': `package policy.postgres\n\n${rules}` });
const reads = 'allow contains {"code": "agents_read"} if input.operation.action == "read"\n';
const widened = 'allow contains {"code": "agents_write"} if input.operation.action in {"read", "write"}\n';
const masked = `
mask contains {"resource": "app.customers.email", "with": "redact", "code": "emails"} if {
	some resource in input.operation.resources
	resource.name == "app.customers.email"
}
`;
const before = policyOf(reads + masked);

const read = inputOf({
  operation: {
    stage: 'execute',
    action: 'read',
    resources: [{ type: 'column', name: 'app.customers.email', access: 'read', use: 'output' }],
    opaque: false,
    hash: 'a'.repeat(64),
    postgres: { statement: 'SELECT email FROM app.customers' },
  },
});
const write: Input = {
  ...read,
  operation: {
    ...read.operation,
    action: 'write',
    resources: [{ type: 'relation', name: 'app.orders', access: 'insert' }],
    hash: 'b'.repeat(64),
  },
};

let repo: string;
let audit: string;
beforeAll(async () => {
  repo = await repository(before);
  const { layer } = await check(snapshotOf(before));
  audit = await auditOf([read, read, write], 'git:then', layer);
}, 120_000);

const replayed = (range: string, options?: Partial<ReplayCommandOptions>) => replayedIn(repo, audit, range, options);

describe('replay', () => {
  test('catches a change that silently drops a mask', async () => {
    await commit(repo, policyOf(reads), 'tidy up');
    const { code, out } = await replayed('HEAD~1..HEAD');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      loosened: true,
      tally: {
        operations: 3,
        changed: 2,
        groups: [{ kind: 'mask_lost', rule: 'emails', on: 'app.customers.email', principal: 'agent:a', target: 'orders', count: 2 }],
      },
    }); // prettier-ignore
  });

  test('catches an allow that is widened, and lets it pass where a commit says that it is meant', async () => {
    await commit(repo, before, 'back');
    await commit(repo, policyOf(widened + masked), 'simplify');
    const caught = await replayed('HEAD~1..', { format: 'text' });
    expect(caught.code).toBe(1);
    expect(caught.out).toMatch(/! +1 {2}newly allowed +not_allowed · agent:a at orders · e\.g\. \S+\n/);
    expect(caught.out).toMatch(/no commit says that this is meant/);

    await commit(repo, {}, `simplify\n\n${trailer}: agents may write orders since May`);
    const meant = await replayed('HEAD~2..', { format: 'markdown' });
    expect(meant.code).toBe(0);
    expect(meant.out).toMatch(/\| ⚠️ newly allowed \| 1 \| `not_allowed` \| `agent:a` \| `orders` \|/);
    expect(meant.out).toMatch(/as the commits say: agents may write orders since May/);
  });

  test('catches what is lost beside the outcome: a filter, a limit, a taint, a cost', async () => {
    const obligations = (rows: number, units: number) => `
limit contains {"rows": ${rows}} if input.operation.action == "read"
cost contains {"code": "priced", "units": ${units}} if input.operation.action == "read"
`;
    const regional = `
filter contains {"code": "regional", "resource": "app.customers", "where": "region = 'EU'"} if input.operation.action == "read"
taint contains {"code": "saw_pii", "label": "pii"} if input.operation.action == "read"
`;
    await commit(repo, policyOf(reads + masked + obligations(10, 2) + regional), 'bounded');
    await commit(repo, policyOf(reads + masked + obligations(20, 1)), 'tidy up');
    const { code, out } = await replayed('HEAD~1..HEAD');
    expect(code).toBe(1);
    const { groups } = (JSON.parse(out) as { tally: Tally }).tally;
    expect(groups.map(({ kind, rule, on, count }) => [kind, rule, on, count])).toEqual([
      ['filter_lost', 'regional', 'app.customers', 2],
      ['limit_raised', 'limit', 'rows', 2],
      ['taint_lost', 'saw_pii', 'pii', 2],
      ['cost_lowered', 'cost', undefined, 2],
    ]);
    expect(groups.every((group) => isLoosened({ ...emptyTally, groups: [group] }))).toBe(true);
    expect(JSON.parse((await replayed('HEAD..HEAD~1')).out)).toMatchObject({ loosened: false, tally: { changed: 2 } });
  });

  test('is content with a stricter policy, unless it is asked for any difference', async () => {
    await commit(repo, before, 'back');
    await commit(repo, policyOf(`${reads}${masked}deny contains {"code": "closed"} if input.operation.action == "read"\n`), 'close');
    expect((await replayed('HEAD~1..')).code).toBe(0);
    const { code, out } = await replayed('HEAD~1..', { failOn: 'changed' });
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ loosened: false, tally: { groups: [{ kind: 'newly_denied', rule: 'closed', count: 2 }] } });
  }); // prettier-ignore

  test('decides by the budget, rows and taints that were recorded, and counts what has no budget in its record', async () => {
    const rules = (most: number) =>
      policyOf(
        `${reads}deny contains {"code": "busy"} if input.usage.operations.day > ${most}\ndeny contains {"code": "much"} if {\n\tinput.session.rows > ${most}\n\t"pii" in input.session.taint\n}\n`,
      );
    await commit(repo, rules(50), 'budget');
    await commit(repo, rules(5), 'a smaller one');
    const { layer } = await check(snapshotOf(rules(50)));
    const used = { ...read, usage: { ...noUsage, operations: { minute: 1, day: 8 } } };
    const seen = { ...read, usage: { ...noUsage }, session: { ...read.session, rows: 9, taint: ['pii'] } };
    const unmeasured = { ...read, usage: noUsage };
    const recorded = await auditOf([used, seen, unmeasured], 'git:then', layer);
    const { out } = await replayed('HEAD~1..HEAD', { audit: [recorded] });
    expect(JSON.parse(out)).toMatchObject({
      unseen: [],
      tally: {
        ...{ operations: 3, changed: 2, unmeasured: 1, unproven: 0 },
        groups: [{ rule: 'busy', count: 1 }, { rule: 'much', count: 1 }],
      },
    }); // prettier-ignore
    const text = (await replayed('HEAD~1..HEAD', { audit: [recorded], format: 'text' })).out;
    expect(text).toMatch(/1 operations cannot be decided for certain: a policy reads usage/);
  });

  test('says what the policy looks at and records do not have', async () => {
    await commit(
      repo,
      policyOf(`${reads}deny contains {"code": "new"} if input.session.started > "2030"\n`),
      'started',
    );
    expect(JSON.parse((await replayed('HEAD~1..HEAD')).out)).toMatchObject({ unseen: ['session.started'] });
    await commit(repo, policyOf(`${reads}deny contains {"code": "new"} if input.target.labels.a == "b"\n`), 'labels');
    expect((await replayed('HEAD~1..HEAD', { format: 'text' })).out).toContain('name it with --config');
  });

  test('says nothing of nothing: an audit without operations is a failure', async () => {
    const empty = path.join(await scratch(), 'audit.jsonl');
    await writeFile(
      empty,
      '{"version":1,"kind":"audit","writer":"w","sequence":1,"timestamp":"2026-11-22T09:00:00.000Z"}\n',
    );
    const { code, err } = await replayed('HEAD..HEAD', { audit: [empty] });
    expect(code).toBe(3);
    expect(err).toMatch(/no recorded operations were found/);
  });

  test('refuses a commit that is not there, and a range that is none', async () => {
    expect(await replayed('nowhere..HEAD')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/has no commit "nowhere"/),
    });
    await expect(replayed('HEAD')).rejects.toThrow(/write A\.\.B/);
    await expect(replayed('HEAD..HEAD', { audit: ['/nowhere/x'] })).rejects.toThrow(/x is not there: --audit names files that a gateway has recorded/); // prettier-ignore
  });
});

test('an operation read back from its record is what policy saw, but for what no record has', async () => {
  const found: Recorded[] = [];
  for await (const record of readRecords(audit)) {
    const one = recordedOperation(record, { orders: { environment: 'test' } });
    if (typeof one !== 'string') found.push(one);
  }
  const { input } = found[0]!;
  expect({
    ...input,
    time: read.time,
    session: { ...input.session, started: read.session.started },
    target: read.target,
  }).toEqual(read);
  expect(input.target.labels).toEqual({ environment: 'test' });
});

describe('a decision differs', () => {
  const allow = {
    id: 'd', outcome: 'allow', reasons: [{ code: 'a' }], masks: [], filters: [], approvals: [], limits: {}, revision: 'r',
  } as const; // prettier-ignore
  const approval = { code: 'x', groups: ['dba'], quorum: 2, expires_ms: 1000, reason: 'r' } as never;
  const held = { ...allow, outcome: 'hold', approvals: [approval] } as const;
  const mask = { resource: 'a.b.c', with: 'redact', scope: 'source' } as const;
  const taint = { label: 'pii', for_ms: 1000, code: 'saw_pii' } as const;
  const kinds = (one: object, other: object) => compare(one as never, other as never).map(({ kind }) => kind);

  test.each([
    ['a hold that is gone', held, allow, ['hold_removed']],
    ['a hold that is new', allow, held, ['hold_added']],
    ['fewer people', held, { ...held, approvals: [{ ...(approval as object), quorum: 1 }] }, ['approval_weakened']],
    ['other people', held, { ...held, approvals: [{ ...(approval as object), groups: ['dev'] }] }, ['approval_weakened']],
    ['more people', held, { ...held, approvals: [{ ...(approval as object), quorum: 3 }] }, ['approval_changed']],
    ['a hold in place of a refusal', { ...allow, outcome: 'deny' }, held, ['newly_allowed']],
    ['a weaker mask', { ...allow, masks: [mask] }, { ...allow, masks: [{ ...mask, with: 'partial' }] }, ['mask_lost']],
    ['a stricter mask', { ...allow, masks: [mask] }, { ...allow, masks: [{ ...mask, with: 'null' }] }, ['mask_added']],
    ['a filter that is gone', { ...allow, filters: [{ resource: 'a.b', where: 'x = 1' }] }, allow, ['filter_lost']],
    ['a limit that is raised', { ...allow, limits: { rows: 5 } }, { ...allow, limits: { rows: 6 } }, ['limit_raised']],
    ['a limit that is new', allow, { ...allow, limits: { bytes: 6 } }, ['limit_lowered']],
    ['a mask that predicates see through', { ...allow, masks: [mask] }, { ...allow, masks: [{ ...mask, with: 'null', scope: 'output' }] }, ['mask_lost']],
    ['a pattern in place of a part', { ...allow, masks: [{ ...mask, with: 'partial' }] }, { ...allow, masks: [{ ...mask, with: 'pattern', parameters: { kinds: ['card'] } }] }, ['mask_lost']],
    ['a pattern that finds less', { ...allow, masks: [{ ...mask, with: 'pattern' }] }, { ...allow, masks: [{ ...mask, with: 'pattern', parameters: { kinds: ['card'] } }] }, ['mask_lost']],
    ['a pattern that finds more', { ...allow, masks: [{ ...mask, with: 'pattern', parameters: { kinds: ['card'] } }] }, { ...allow, masks: [{ ...mask, with: 'pattern', parameters: { kinds: ['email', 'card'] } }] }, ['mask_added']],
    ['a taint that is gone', { ...allow, taints: [taint] }, allow, ['taint_lost']],
    ['a taint that goes sooner', { ...allow, taints: [taint] }, { ...allow, taints: [{ ...taint, for_ms: 999 }] }, ['taint_lost']],
    ['another taint', { ...allow, taints: [taint] }, { ...allow, taints: [{ ...taint, label: 'secret' }] }, ['taint_lost', 'taint_added']],
    ['a taint by two rules of which one is gone', { ...allow, taints: [{ ...taint, for_ms: 5 }, taint] }, { ...allow, taints: [taint] }, []],
    ['a taint beside a hold that is new', { ...allow, taints: [taint] }, held, ['hold_added', 'taint_lost']],
    ['a filter that is another', { ...allow, filters: [{ resource: 'a.b', where: 'x = 1' }] }, { ...allow, filters: [{ resource: 'a.b', where: 'true' }] }, ['filter_lost', 'filter_added']],
    ['an approval of two that is gone', { ...held, approvals: [approval, { ...(approval as object), groups: ['sec'] }] }, held, ['approval_weakened']],
    ['an approval that stays open for longer', held, { ...held, approvals: [{ ...(approval as object), expires_ms: 2000 }] }, ['approval_weakened']],
    ['an approval that may become a grant', held, { ...held, approvals: [{ ...(approval as object), grant: { same: 'operation', session: true, uses: 2, for_ms: 1 } }] }, ['approval_weakened']],
    ['an approval whose asker may answer it', held, { ...held, approvals: [{ ...(approval as object), break_glass: { groups: ['dba'] } }] }, ['approval_weakened']],
    ['an approval without a look at the effect', { ...held, approvals: [{ ...(approval as object), preview: 'effect' }] }, held, ['approval_weakened']],
    ['a part that shows more', { ...allow, masks: [{ ...mask, with: 'partial', parameters: { keep_end: 2 } }] }, { ...allow, masks: [{ ...mask, with: 'partial', parameters: { keep_end: 8 } }] }, ['mask_lost']],
    ['a date that shows more', { ...allow, masks: [{ ...mask, with: 'truncate', parameters: { to: 'year' } }] }, { ...allow, masks: [{ ...mask, with: 'truncate', parameters: { to: 'day' } }] }, ['mask_lost']],
    ['a limit that is gone', { ...allow, limits: { seconds: 5 } }, allow, ['limit_raised']],
    ['a look beforehand that is gone', { ...allow, previews: [{ code: 'p' }] }, allow, ['preview_lost']],
    ['a look beforehand that is new', allow, { ...allow, previews: [{ code: 'p' }] }, ['preview_added']],
    ['a look beforehand by another rule', { ...allow, previews: [{ code: 'p' }] }, { ...allow, previews: [{ code: 'q' }] }, []],
    ['a look beforehand that is gone beside a hold that is new', { ...allow, previews: [{ code: 'p' }] }, held, ['hold_added', 'preview_lost']],
    ['a copy that is gone', { ...allow, keeps: [{ code: 'k' }] }, allow, ['copy_lost']],
    ['a copy that is new', allow, { ...allow, keeps: [{ code: 'k' }] }, ['copy_added']],
    ['a refusal', allow, { ...allow, outcome: 'deny' }, ['newly_denied']],
    ['a lower cost', { ...allow, cost: 2 }, { ...allow, cost: 1.5 }, ['cost_lowered']],
    ['a cost that is gone', { ...allow, cost: 2 }, allow, ['cost_lowered']],
    ['a cost that is new', allow, { ...allow, cost: 2 }, ['cost_raised']],
    ['the order in which a cost was summed', { ...allow, cost: 0.1 + 0.2 }, { ...allow, cost: 0.3 }, []],
    ['nothing', held, held, []],
  ])('by %s', (_what, one, other, wanted) => {
    expect(kinds(one, other)).toEqual(wanted);
  }); // prettier-ignore
});

describe('what is published', () => {
  let api: TestApi;
  let around: Partial<ReplayCommandOptions>;
  beforeAll(async () => {
    api = await startTestApi();
    const tokenFile = path.join(await scratch(), 'token');
    await writeFile(tokenFile, await api.idp.issueToken({ subject: 'ci', groups: ['ci'] }));
    around = { publish: { gateway: api.url, ca: api.caFile, tokenFile } };
  });
  afterAll(() => api?.close());

  test('is at the gateway as the command says it, with the revisions', async () => {
    await commit(repo, before, 'back');
    const hash = await commit(repo, policyOf(reads), 'tidy up');
    const { code, out, err } = await replayed('HEAD~1..HEAD', around);
    expect(code).toBe(1);
    const id = /published at \S+\/console\/#\/replays\/(\S+)/u.exec(err)?.[1] ?? '';
    const headers = { authorization: `Bearer ${await api.idp.issueToken({ groups: ['audit'] })}` };
    const { report } = (await api.call(`/v1/replays/${id}`, { headers })).json<{ report: PublishedReport }>();
    expect(report).toMatchObject({ from: 'HEAD~1', to: 'HEAD', after: `git:${hash}`, tally: { changed: 2 } });
    expect(report.tally).toEqual((JSON.parse(out) as { tally: Tally }).tally);
  });

  test('fails the command where it is not taken, and where it is not said by whom', async () => {
    const tokenFile = path.join(await scratch(), 'token');
    await writeFile(tokenFile, await api.idp.issueToken({ subject: 'agent:a', groups: ['agents'] }));
    const { code, err } = await replayed('HEAD..HEAD', { publish: { ...around.publish, tokenFile } });
    expect([code, err]).toEqual([3, expect.stringMatching(/not published: only publishers may do this/u)]);
    await expect(replayed('HEAD..HEAD', { publish: { ...around.publish, tokenFile: '/nowhere/token' } })).rejects.toThrow(/token cannot be read/u); // prettier-ignore
  });
});
