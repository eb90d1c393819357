import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createEngine, type Approval, type Decision, type Input } from '#engine';
import { pino } from 'pino';
import { inputOf, layerOf } from '../../test/support/policy.js';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.js';
import type { Entry } from '../audit/record.js';
import { ApprovalError } from '../errors.js';
import type { Identity } from '../protocol.js';
import { openDatabase, type Database } from '../state/database.js';
import { givenHome } from '../state/home.js';
import { openReplica } from '../state/replica.js';
import { boundOf, openApprovals, type AnswerInput, type Bound, type OpenedApprovals } from './index.js';

/** One replica as far as approvals go, over a database that several may share. */
interface Side extends OpenedApprovals {
  readonly database: Database;
  readonly records: Entry[];
  stop(): Promise<void>;
}

let home: TestDatabase;
let one: Side;
let other: Side;
let held: (input: Input) => Decision;

const policy = `package policy.postgres

allow contains {"code": "all"} if input.version == 1

approval contains {
	"code": "two_of_dba", "groups": ["dba"], "quorum": 2, "reason": "look twice",
	"grant": {"same": "fingerprint", "uses": 2, "for": "10m", "session": false}
} if input.principal.purpose == "two"

approval contains {"code": "one_of_ops", "groups": ["ops"]} if input.principal.purpose in {"one", "both"}

approval contains {"code": "one_of_dba", "groups": ["dba"], "break_glass": {"groups": ["oncall"]}} if input.principal.purpose in {"glass", "both"}

approval contains {
	"code": "wide", "groups": ["dba"],
	"grant": {"same": "fingerprint", "uses": 2, "for": "10m", "session": false}
} if input.principal.purpose == "wide"
`;

beforeAll(async () => {
  home = await createDatabase();
  const engine = createEngine();
  engine.activate(await engine.prepare('git:1', [await layerOf(policy)]));
  held = (input) => engine.decide(input);
  one = side();
  other = side();
  await Promise.all([one.database.ready(20_000), other.database.ready(20_000)]);
});

afterAll(async () => {
  await one.stop();
  await other.stop();
  await home.drop();
});

function side(): Side {
  const { host, port, database: name, user, password } = home;
  const log = pino({ level: 'silent' });
  const database = openDatabase({ home: givenHome({ host, port, database: name, user, password }), log });
  const replica = openReplica({ database, log });
  const records: Entry[] = [];
  const audit = {
    write: (entry: Entry, options?: { durable?: boolean }) => {
      records.push(entry);
      return (options?.durable === true ? Promise.resolve() : undefined) as never;
    },
    written: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const opened = openApprovals({
    recordedHash: (hash) => hash,
    database,
    replica,
    audit,
    log,
    waiting_max: 100,
    per_principal_max: 50,
    receipt_ms: 60_000,
    preview_ms: 60_000,
  });
  return {
    ...opened,
    database,
    records,
    async stop() {
      await opened.close();
      await replica.close();
      await database.close();
    },
  };
}

let asked = 0;
function input(purpose: string, changes: { subject?: string; actor?: string } = {}): Input {
  const base = inputOf();
  asked += 1;
  return inputOf({
    principal: {
      ...base.principal,
      subject: changes.subject ?? 'agent:a',
      purpose,
      ...(changes.actor === undefined ? {} : { actor: { subject: changes.actor } }),
    },
    operation: {
      ...base.operation,
      hash: String(asked).padStart(64, '0'),
      postgres: { fingerprint: 'f1' },
    },
  });
}

const person = (subject: string, ...groups: string[]): Identity => ({
  principal: { ...inputOf().principal, subject, kind: 'human', groups },
  expires_ms: Date.now() + 60_000,
});
const approve: AnswerInput = { kind: 'approve', through: 'api' };

async function ask(given: Input, at = one) {
  const decision = held(given);
  expect(decision.outcome).toBe('hold');
  const hold = await at.approvals.request(given, decision, given.operation.postgres);
  return { hold, bound: boundOf(given, decision.revision), approvals: decision.approvals };
}

const problem = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof ApprovalError ? error.reason : String(error)),
  );

test('what is held on one replica and answered on the other ends at once, and its receipt serves once', async () => {
  const { hold, bound, approvals } = await ask(input('one'));
  expect(await one.approvals.redeem(bound, approvals)).toBeUndefined();
  const after = await other.approvers.answer(hold.id, person('bo', 'ops'), approve);
  expect(after.status).toBe('approved');
  expect(await hold.ended).toEqual({ how: 'approved' });
  const receipt = await one.approvals.redeem(bound, approvals);
  expect(receipt).toMatchObject({ hold: hold.id, approvers: ['bo'] });
  expect(await one.approvals.redeem(bound, approvals)).toBeUndefined();
  expect(other.records.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['answer', 'hold_end']));
});

test('a receipt fits only what it is bound to: each bound thing changed by one is asked again', async () => {
  const { hold, bound, approvals } = await ask(input('one', { actor: 'ada' }));
  await other.approvers.answer(hold.id, person('bo', 'ops'), approve);
  const changed: Partial<Record<keyof Bound, Bound>> = {
    principal: { ...bound, principal: { ...bound.principal, subject: 'agent:b' } },
    actor: { ...bound, actor: 'adb' },
    purpose: { ...bound, purpose: 'onf' },
    target: { ...bound, target: 'postgres/orderz' },
    hash: { ...bound, hash: `1${bound.hash.slice(1)}` },
    fingerprint: { ...bound, fingerprint: 'f2' },
    session: { ...bound, session: 's2' },
    revision: { ...bound, revision: 'git:2' },
  };
  // Nothing that a receipt is bound to is left out here.
  expect(Object.keys(changed).sort()).toEqual(Object.keys(bound).sort());
  for (const [what, like] of Object.entries(changed)) {
    expect([what, await other.approvals.redeem(like, approvals)]).toEqual([what, undefined]);
  }
  const { actor: _, ...withoutActor } = bound;
  const issuer = { ...bound, principal: { ...bound.principal, issuer: 'https://other.example' } };
  expect(await one.approvals.redeem(withoutActor, approvals)).toBeUndefined();
  expect(await one.approvals.redeem(issuer, approvals)).toBeUndefined();
  const [approval] = approvals;
  const more: Approval[] = [...approvals, { ...approval!, code: 'another' }];
  const stricter: Approval[] = [{ ...approval!, quorum: 2 }];
  expect(await one.approvals.redeem(bound, more)).toBeUndefined();
  expect(await one.approvals.redeem(bound, stricter)).toBeUndefined();
  expect(await one.approvals.redeem(bound, approvals)).toMatchObject({ hold: hold.id });
});

test('a receipt that has expired, and one that somebody wrote into the state, let nothing through', async () => {
  const late = await ask(input('one'));
  await other.approvers.answer(late.hold.id, person('bo', 'ops'), approve);
  await home.sql(`update sallyport.requests set receipt_expires = now() where id = '${late.hold.id}'`);
  expect(await one.approvals.redeem(late.bound, late.approvals)).toBeUndefined();

  const first = await ask(input('one'));
  await other.approvers.answer(first.hold.id, person('bo', 'ops'), approve);
  const second = await ask(input('one'));
  await home.sql(
    `update sallyport.requests r set status = 'approved', receipt_expires = now() + interval '1 hour',
       receipt = (select receipt from sallyport.requests where id = '${first.hold.id}') where id = '${second.hold.id}'`,
  );
  await expect(one.approvals.redeem(second.bound, second.approvals)).rejects.toThrow('does not say what its row says');
});

test('of many that redeem one receipt at once on two replicas, one gets it', async () => {
  for (let round = 0; round < 5; round++) {
    const { hold, bound, approvals } = await ask(input('one'));
    await other.approvers.answer(hold.id, person('bo', 'ops'), approve);
    const got = await Promise.all(
      Array.from({ length: 8 }, (_, index) => (index % 2 === 0 ? one : other).approvals.redeem(bound, approvals)),
    );
    expect(got.filter((receipt) => receipt !== undefined)).toHaveLength(1);
  }
});

test('fifty times: of two answers at once on two replicas one ends the request, and of all that redeem meanwhile and afterwards one passes at most', async () => {
  const refuse: AnswerInput = { kind: 'refuse', through: 'api' };
  const seen = { approved: 0, refused: 0 };
  for (let round = 0; round < 50; round++) {
    const { hold, bound, approvals } = await ask(input('one'), round % 2 === 0 ? one : other);
    const redeem = () => [one, other, one, other].map((at) => at.approvals.redeem(bound, approvals));
    const early = redeem();
    const answers = [
      problem(one.approvers.answer(hold.id, person('bo', 'ops'), approve)),
      problem(other.approvers.answer(hold.id, person('cy', 'ops'), round % 3 === 0 ? approve : refuse)),
    ];
    const between = redeem();
    expect((await Promise.all(answers)).sort()).toEqual(['ended', 'none']);
    const { how } = await hold.ended;
    const receipts = await Promise.all([...early, ...between, ...redeem()]);
    expect(receipts.filter((receipt) => receipt !== undefined)).toHaveLength(how === 'approved' ? 1 : 0);
    seen[how as keyof typeof seen]++;
  }
  // Every third was approved by both.
  expect(seen.approved).toBeGreaterThanOrEqual(17);
}, 60_000);

test('twenty times: of two uses of a grant, two of those that ask at once on two replicas get one, also where it is revoked meanwhile', async () => {
  for (let round = 0; round < 20; round++) {
    const { hold, bound, approvals } = await ask(input('wide'));
    await other.approvers.answer(hold.id, person('bo', 'dba'), { ...approve, grant: {} });
    const { id } = (await one.approvers.grants()).find((grant) => grant.hold === hold.id)!;
    const asking = Array.from({ length: 6 }, (_, n) =>
      (n % 2 === 0 ? one : other).approvals.redeem({ ...bound, hash: `values ${String(n)}` }, approvals),
    );
    if (round % 2 === 1) await other.approvers.revoke(id, person('cy', 'dba'));
    const got = (await Promise.all(asking)).filter((receipt) => receipt !== undefined);
    if (round % 2 === 0) expect(got).toHaveLength(2);
    else expect(got.length).toBeLessThanOrEqual(2);
    expect(await one.approvals.redeem(bound, approvals)).toBeUndefined();
  }
}, 60_000);

test('a quorum is of different people, each approval has its own, and one refusal ends it', async () => {
  const two = await ask(input('two'));
  expect((await one.approvers.answer(two.hold.id, person('bo', 'dba'), approve)).status).toBe('waiting');
  expect(await problem(other.approvers.answer(two.hold.id, person('bo', 'dba'), approve))).toBe('answered_already');
  expect(await problem(one.approvers.answer(two.hold.id, person('dan', 'ops'), approve))).toBe('not_in_group');
  expect((await other.approvers.answer(two.hold.id, person('cy', 'dba'), approve)).status).toBe('approved');

  const both = await ask(input('both'));
  expect((await one.approvers.answer(both.hold.id, person('bo', 'dba'), approve)).status).toBe('waiting');
  expect((await one.approvers.answer(both.hold.id, person('cy', 'ops'), approve)).status).toBe('approved');
  const alone = await ask(input('both'));
  expect((await one.approvers.answer(alone.hold.id, person('bo', 'dba', 'ops'), approve)).status).toBe('approved');

  const refused = await ask(input('two'));
  await one.approvers.answer(refused.hold.id, person('bo', 'dba'), approve);
  await other.approvers.answer(refused.hold.id, person('cy', 'dba'), { kind: 'refuse', comment: 'no', through: 'api' });
  expect(await refused.hold.ended).toEqual({ how: 'refused', by: 'cy', comment: 'no' });
  expect(await one.approvals.redeem(refused.bound, refused.approvals)).toBeUndefined();
});

test('nobody answers their own request, nor one on their behalf; in an emergency only as policy lets them', async () => {
  const { hold } = await ask(input('both', { subject: 'ada', actor: 'eve' }));
  const inAll = ['dba', 'ops', 'oncall'];
  expect(await problem(one.approvers.answer(hold.id, person('ada', ...inAll), approve))).toBe('own_request');
  expect(await problem(one.approvers.answer(hold.id, person('eve', ...inAll), approve))).toBe('own_request');
  const agent = person('agent:x', ...inAll);
  const forAda = { ...agent, principal: { ...agent.principal, actor: { subject: 'ada' } } };
  expect(await problem(one.approvers.answer(hold.id, forAda, approve))).toBe('own_request');
  // One of its two approvals knows no emergency.
  const emergency = { ...approve, break_glass: true, comment: 'the site is down' };
  expect(await problem(one.approvers.answer(hold.id, person('ada', ...inAll), emergency))).toBe('own_request');

  const glass = await ask(input('glass', { subject: 'ada' }));
  const ada = person('ada', 'oncall');
  expect(await problem(one.approvers.answer(glass.hold.id, person('ada', 'dba'), emergency))).toBe('own_request');
  const silent = { ...approve, break_glass: true, comment: ' ' };
  expect(await problem(one.approvers.answer(glass.hold.id, ada, silent))).toBe('needs_comment');
  expect((await one.approvers.answer(glass.hold.id, ada, emergency)).status).toBe('approved');
  expect(one.records.at(-2)).toMatchObject({ kind: 'answer', fields: { break_glass: true, met: true } });
});

test('a grant is no wider than policy and everybody who approved let it be, counts down, and can be revoked', async () => {
  const first = await ask(input('wide'));
  const wider: AnswerInput = { ...approve, grant: { uses: 3 } };
  expect(await problem(one.approvers.answer(first.hold.id, person('bo', 'dba'), wider))).toBe('too_wide');
  const narrow = await ask(input('one'));
  expect(await problem(one.approvers.answer(narrow.hold.id, person('bo', 'ops'), { ...approve, grant: {} }))).toBe(
    'too_wide',
  );
  await one.approvers.answer(first.hold.id, person('bo', 'dba'), { ...approve, grant: {} });
  expect(await first.hold.ended).toEqual({ how: 'approved' });
  const elsewhere = { ...first.bound, hash: 'other values', session: 'another' };
  const otherStatement = { ...first.bound, fingerprint: 'f2' };
  expect(await one.approvals.redeem(otherStatement, first.approvals)).toBeUndefined();
  expect(await one.approvals.redeem({ ...first.bound, revision: 'git:2' }, first.approvals)).toBeUndefined();
  expect(await one.approvals.redeem(first.bound, first.approvals)).toBeDefined();
  const last = await Promise.all([
    one.approvals.redeem(elsewhere, first.approvals),
    other.approvals.redeem(elsewhere, first.approvals),
  ]);
  expect(last.filter((receipt) => receipt !== undefined)).toHaveLength(1);

  const second = await ask(input('wide'));
  await one.approvers.answer(second.hold.id, person('bo', 'dba'), { ...approve, grant: {} });
  const [grant] = await other.approvers.grants();
  expect(grant).toMatchObject({ hold: second.hold.id, uses_left: 2, by: ['bo'] });
  expect(await other.approvers.revoke(grant!.id, person('cy', 'dba'))).toMatchObject({ revoked: { by: 'cy' } });
  expect(await one.approvals.redeem(second.bound, second.approvals)).toBeUndefined();
});

test('who waits no longer takes the request back, and what was given then serves nobody', async () => {
  const gone = await ask(input('one'));
  gone.hold.withdraw('client_gone');
  expect(await gone.hold.ended).toEqual({ how: 'withdrawn', why: 'client_gone' });
  while ((await one.approvers.get(gone.hold.id))?.status === 'waiting') await new Promise(setImmediate);
  expect(await problem(one.approvers.answer(gone.hold.id, person('bo', 'ops'), approve))).toBe('ended');
  expect(await problem(one.approvers.answer('h-unknown', person('bo', 'ops'), approve))).toBe('unknown');
});

test('what waits in a replica that is gone cannot be answered, whether or not somebody has swept it up', async () => {
  const { hold } = await ask(input('one'));
  await home.sql(`update sallyport.requests set replica = 'of a process that ended' where id = '${hold.id}'`);
  expect(await problem(other.approvers.answer(hold.id, person('bo', 'ops'), approve))).toBe('ended');
  while ((await one.approvers.get(hold.id))?.status === 'waiting') await new Promise(setImmediate);
  expect(await one.approvers.get(hold.id)).toMatchObject({ status: 'withdrawn', why: 'replica_gone' });
});

test('more requests than one principal may have waiting are refused', async () => {
  const given = input('one', { subject: 'agent:many' });
  const decision = held(given);
  const before = one.records.length;
  const results = await Promise.all(
    Array.from({ length: 55 }, () => problem(one.approvals.request(given, decision, undefined))),
  );
  expect(results.filter((result) => result === 'none')).toHaveLength(50);
  expect(results.filter((result) => result === 'too_many')).toHaveLength(5);
  // What was refused was never asked: whoever sent it has its own record of that.
  expect(one.records.slice(before).map(({ kind }) => kind)).toEqual(Array.from({ length: 50 }, () => 'hold'));
  await home.sql(`update sallyport.requests set status = 'withdrawn' where status = 'waiting'`);
});
