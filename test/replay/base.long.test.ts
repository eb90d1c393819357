import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Input } from '#engine';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cleanUp, commit, git, repository, scratch, snapshotOf, writeTree, type Files } from '../bundles/support.js';
import { inputOf } from '../support/policy.js';
import { auditOf, check, replayedIn } from '../support/replay.js';
import type { ReplayCommandOptions } from '../../gateway/cli/replay.js';
import { namedBase } from '../../gateway/layers.js';
import type { Report } from '../../gateway/replay/report.js';

// A team's repository stands upon the organisation's base: what a change of either does shows only where both judge.

afterAll(cleanUp);

const allow = (...actions: string[]) =>
  `allow contains {"code": "allowed"} if input.operation.action in ${JSON.stringify(actions)}\n`;
const mask = (code: string) => `
mask contains {"resource": "app.customers.email", "with": "redact", "code": "${code}"} if {
	some resource in input.operation.resources
	resource.name == "app.customers.email"
}
`;
const noWrites = 'deny contains {"code": "no_writes"} if input.operation.action == "write"\n';
const policyOf = (...rules: string[]): Files => ({ 'postgres.rego': `package policy.postgres\n\n${rules.join('\n')}` });

const read = inputOf({
  operation: {
    stage: 'execute', action: 'read', opaque: false, hash: 'a'.repeat(64),
    resources: [{ type: 'column', name: 'app.customers.email', access: 'read', use: 'output' }],
    postgres: { statement: 'SELECT email FROM app.customers' },
  },
}); // prettier-ignore
const write: Input = {
  ...read,
  operation: { ...read.operation, action: 'write', hash: 'b'.repeat(64), resources: [{ type: 'relation', name: 'app.orders', access: 'insert' }] },
}; // prettier-ignore

const teamThen = policyOf(allow('read'), mask('team_mask'));
let team: string;
let base: string;
let audit: string;
beforeAll(async () => {
  team = await repository(teamThen);
  await commit(team, policyOf(allow('read', 'write')), 'no mask, and writes');
  // Its history: imposes both, gives up both.
  base = await repository(policyOf(allow('read', 'write'), mask('base_mask'), noWrites));
  git(base, 'tag', 'strict');
  await commit(base, policyOf(allow('read', 'write')), 'leave it to the teams');
  git(base, 'tag', 'open');
  const layer = async (files: Files) => (await check(snapshotOf(files))).layer;
  const below = await layer(policyOf(allow('read', 'write'), mask('base_mask'), noWrites));
  audit = await auditOf([read, write], 'git:base+git:team', namedBase(below), await layer(teamThen));
}, 120_000);

async function replayed(repo: string, options: Partial<ReplayCommandOptions>, range = 'HEAD~1..HEAD') {
  const { code, out, err } = await replayedIn(repo, audit, range, options);
  const report = (out === '' ? undefined : JSON.parse(out)) as Report | undefined;
  return { code, err, report, kinds: report?.tally.groups.map(({ kind }) => kind).sort() };
}

describe("a change of a team's policy", () => {
  test('that drops a mask and widens an allow loosens nothing where the base imposes the mask and refuses the rest', async () => {
    const { code, kinds, report } = await replayed(team, { base, at: 'strict' });
    expect(kinds).toEqual([]);
    expect(code).toBe(0);
    const revision = `git:${git(base, 'rev-parse', 'strict')}`;
    expect(report).toMatchObject({ beside: { role: 'base', revision, from: base }, tally: { operations: 2, changed: 0, upon_base: 0 } }); // prettier-ignore
  });

  test('that does the same loosens both where the base leaves it to the team', async () => {
    const { code, kinds } = await replayed(team, { base, at: 'open' });
    expect(kinds).toEqual(['mask_lost', 'newly_allowed']);
    expect(code).toBe(1);
  });

  test('shows both without the base, and says that these operations were judged upon one', async () => {
    const { kinds, report } = await replayed(team, {});
    expect(kinds).toEqual(['mask_lost', 'newly_allowed']);
    expect(report).toMatchObject({ tally: { upon_base: 2 } });
    const { out } = await replayedIn(team, audit, 'HEAD~1..HEAD', { format: 'text' });
    expect(out).toMatch(/2 operations were judged upon the organisation's base when they came, and here without/);
  });

  test('is judged upon the base of the configuration, and the answer says which', async () => {
    const folder = await scratch();
    const config = path.join(folder, 'sallyport.yaml');
    await writeFile(
      config,
      `listen: {postgres: 127.0.0.1:15432}
identity: {providers: [{name: idp, type: oidc, issuer: "https://idp.example", audience: sallyport, jwks: {file: jwks.json}}]}
policy: {directory: ./team, base: {git: {url: ${base}, branch: main}}}
targets: [{name: orders, protocol: postgres, upstream: {host: db.internal, database: shop, user: u, password: p}}]
`,
    );
    await writeTree(folder, { ...Object.fromEntries(Object.entries(teamThen).map(([name, text]) => [`team/${name}`, text])), 'jwks.json': '{"keys": []}' }); // prettier-ignore
    const open = await replayed(team, { config });
    expect({ ...open.report, kinds: open.kinds }).toMatchObject({
      beside: { revision: `git:${git(base, 'rev-parse', 'open')}`, from: expect.stringContaining(base) },
      kinds: ['mask_lost', 'newly_allowed'],
    });
    // In the base's own repository the configuration's team stands upon both.
    expect((await replayed(base, { config, team: true }, 'strict..open')).kinds).toEqual([]);
  });
});

describe('a change of the base itself', () => {
  test('loosens nothing where the team keeps the mask and allows no more, and does where it does not', async () => {
    const kept = await replayed(base, { team, at: 'HEAD~1' }, 'strict..open');
    expect(kept.report).toMatchObject({ beside: { role: 'team' }, tally: { operations: 2, changed: 0 } });
    expect((await replayed(base, { team, at: 'HEAD' }, 'strict..open')).kinds).toEqual(['mask_lost', 'newly_allowed']);
  });

  test('is not judged upon itself', async () => {
    await expect(replayed(base, { base, at: 'strict' }, 'strict..open')).rejects.toThrow(/a commit of the base itself/);
  });
});

test('what does not go together is refused', async () => {
  await expect(replayed(team, { base, team })).rejects.toThrow(/give one/);
  await expect(replayed(team, { base: true })).rejects.toThrow(/no policy\.base is known/);
  await expect(replayed(team, { at: 'strict' })).rejects.toThrow(/--at and --at-path/);
  const broken = await scratch();
  await writeTree(broken, { 'postgres.rego': 'package policy.postgres\n\nallow if true\n' });
  const { err } = await replayed(team, { base: broken });
  expect(err).toMatch(/in the base: /);
});
