import { createHmac, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Decision, Input } from '#engine';
import { pino } from 'pino';
import { judging, openSide, person, until, type Side } from '../../test/support/approvals-side.js';
import { caller, type Sent } from '../../test/support/https.js';
import { inputOf } from '../../test/support/policy.js';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.js';
import { startReceiver, type Receiver } from '../../test/support/receiver.js';
import { hookGate, listenHttps, ownCertificate } from '../api/index.js';
import type { Webhook } from '../config/index.js';
import type { Listener } from '../protocol.js';
import { openHooks, signOwn, type Hooks } from './index.js';
import { post, type Post } from './post.js';

const issuer = 'https://idp.example';
const secret = 'a secret of thirty-two characters';
const older = 'an older secret, until it is gone';
const signingSecret = '8f742231b10e8888abcd99yyyzzz85a5';

let folder: string;
let home: TestDatabase;
let one: Side;
let other: Side;
let slack: Receiver;
let judge: (input: Input) => Decision;
let hooks: Hooks[];
let listener: Listener;
let call: (path: string, options?: Parameters<ReturnType<typeof caller>>[1]) => Promise<Sent>;
let clock_ms = 0;
/** Where messages went that were not for Slack's own host. */
const elsewhere: string[] = [];

/** What goes to hooks.slack.com arrives at the test's own Slack. */
const toSlack: Post = (message) => {
  const { host, pathname } = new URL(message.url);
  if (host !== 'hooks.slack.com') elsewhere.push(message.url);
  return post({ ...message, url: `${slack.url}${pathname}`, ca: slack.ca });
};

function webhooks(): Webhook[] {
  const usual = { timeout_ms: 2_000, attempts_max: 2, events: ['requested', 'effect', 'answered', 'ended'] } as const;
  return [
    {
      ...usual,
      name: 'pager',
      type: 'json',
      secrets: [secret, older],
      answers: { issuer, groups: ['dba'], people: { file: join(folder, 'people.yaml') } },
    },
    {
      ...usual,
      name: 'slack',
      type: 'slack',
      url: 'https://hooks.slack.com/services/T1/B1/x',
      secrets: [signingSecret],
      answers: {
        issuer,
        groups: ['dba'],
        team: 'T1',
        people: {
          UADA: { subject: 'ada', groups: ['dba'] },
          UBOB: { subject: 'bob', groups: ['dba'] },
          UEVE: { subject: 'eve', groups: ['sales'] },
          // In the group that is asked, but Slack may not speak for it.
          UOPS: { subject: 'olga', groups: ['ops'] },
          UBOT: { subject: 'agent:a', groups: ['dba'] },
        },
      },
    },
  ];
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-hooks-'));
  await writeFile(join(folder, 'people.yaml'), 'ada: {subject: ada, groups: [dba, root]}\n');
  home = await createDatabase();
  judge = await judging(
    '{"code": "looks", "groups": ["dba", "ops"], "quorum": quorum} if quorum := {"wait": 1, "two": 2}[input.principal.purpose]',
  );
  one = openSide(home);
  other = openSide(home);
  slack = await startReceiver();
  await Promise.all([one.database.ready(20_000), other.database.ready(20_000)]);
  const parts = (side: Side) => ({
    database: side.database,
    replica: side.replica,
    approvers: side.approvers,
    audit: side.audit,
    log: pino({ level: 'silent' }),
    now: () => Date.now() + clock_ms,
    webhooks: webhooks(),
    post: toSlack,
  });
  hooks = [openHooks(parts(one)), openHooks(parts(other))];
  const own = await ownCertificate(folder, ['127.0.0.1'], Date.now());
  listener = await listenHttps({
    address: { host: '127.0.0.1', port: 0, tls: own },
    gates: [hookGate(hooks[0]!.incoming, Date.now)],
    log: pino({ level: 'silent' }),
    now: Date.now,
    strictTransport: false,
  });
  call = caller({ ...listener.address, ca: own.certificate });
});
afterAll(async () => {
  await listener?.close();
  await Promise.all((hooks ?? []).map((one) => one.close()));
  await one?.stop();
  await other?.stop();
  await slack?.close();
  await home?.drop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  clock_ms = 0;
  one.records.length = 0;
  elsewhere.length = 0;
});

let asked = 0;
async function ask(purpose = 'wait', statement = 'delete from app.orders', prompt = 'Tidy up.') {
  asked += 1;
  const base = inputOf();
  const input = inputOf({
    principal: { ...base.principal, subject: 'agent:a', issuer, purpose },
    prompt: { text: prompt },
    operation: { ...base.operation, hash: String(asked).padStart(64, '0'), postgres: { statement, parameters: [] } },
  });
  return one.approvals.request(input, judge(input), input.operation.postgres);
}

const statusOf = async (id: string) => (await one.approvers.get(id))?.status;
const turnedAway = () =>
  one.records.filter(({ kind, fields }) => kind === 'webhook' && 'refused' in fields).map(({ fields }) => fields);

describe('an answer in our own form', () => {
  const said = (request: string, changes: object = {}) => ({ request, person: 'ada', answer: 'approve', ...changes });
  const send = (body: unknown, options: { id?: string; at_ms?: number; secret?: string; forge?: string } = {}) => {
    const { id = randomBytes(8).toString('hex'), at_ms = Date.now(), secret: key = secret } = options;
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    const headers = { ...signOwn(id, at_ms, bytes, [key]), 'content-type': 'application/json' };
    return call('/v1/hooks/pager', { method: 'POST', headers, body: options.forge ?? bytes.toString() });
  };

  test('counts as that of the person whom the configuration knows, by whichever secret, and says through what it came', async () => {
    for (const key of [secret, older]) {
      const { id } = await ask();
      const answer = await send(said(id, { comment: 'fine' }), { secret: key });
      expect([answer.status, answer.json()]).toEqual([200, { request: id, status: 'approved' }]);
      expect((await one.approvers.get(id))?.answers).toMatchObject([
        { kind: 'approve', by: { issuer, subject: 'ada' }, groups: ['dba'], comment: 'fine', through: 'webhook:pager' },
      ]);
    }
  });

  test.each<[string, Parameters<typeof send>[1], number, string]>([
    ['forged', { forge: '{"request":"h-1","person":"ada","answer":"approve"}' }, 401, 'signature'],
    ['signed with another secret', { secret: 'x'.repeat(32) }, 401, 'signature'],
    ['too old', { at_ms: Date.now() - 301_000 }, 401, 'stale'],
    ['from the future', { at_ms: Date.now() + 600_000 }, 401, 'stale'],
  ])('is refused where it is %s', async (_name, options, status, code) => {
    const { id } = await ask();
    const answer = await send(said(id), options);
    expect([answer.status, answer.json().code]).toEqual([status, code]);
    expect(await statusOf(id)).toBe('waiting');
    expect(turnedAway()).toEqual([{ hook: 'pager', event: 'incoming', refused: code }]);
  });

  test('is taken once, whichever replica it comes to', async () => {
    const { id } = await ask('two');
    expect((await send(said(id), { id: 'm-1' })).status).toBe(200);
    const again = await send(said(id, { person: 'ada' }), { id: 'm-1' });
    expect([again.status, again.json().code]).toEqual([409, 'replayed']);
    const body = Buffer.from(JSON.stringify(said(id)));
    const elsewhere = hooks[1]!.incoming.receive('pager', {
      headers: signOwn('m-1', Date.now(), body, [secret]),
      body,
      address: '127.0.0.1',
    });
    await expect(elsewhere).rejects.toMatchObject({ reason: 'replayed' });
    // A new message by the same person is no second person.
    const twice = await send(said(id));
    expect([twice.status, twice.json().code]).toEqual([409, 'answered_already']);
  });

  test.each<[string, unknown]>([
    ['no JSON', 'x'],
    ['an unknown key', { request: 'h-1', person: 'ada', answer: 'approve', groups: ['dba'] }],
    ['another answer', { request: 'h-1', person: 'ada', answer: 'yes' }],
    ['no person', { request: 'h-1', answer: 'approve' }],
  ])('is refused where it is %s', async (_name, body) => {
    const answer = await send(body);
    expect([answer.status, answer.json().code]).toEqual([400, 'malformed']);
  });

  test('is refused unread where it is too large, and where nobody answers through that name', async () => {
    expect((await send('x'.repeat(140_000))).status).toBe(413);
    const unknown = await call('/v1/hooks/elsewhere', { method: 'POST', body: {} });
    expect(unknown.status).toBe(404);
    expect((await call('/v1/hooks/pager', { method: 'POST', body: {} })).json().code).toBe('unsigned');
  });

  test('is refused of whom its file of people does not know any more', async () => {
    const { id } = await ask();
    await writeFile(join(folder, 'people.yaml'), 'someone: {subject: someone-else, groups: [dba]}\n');
    expect((await send(said(id))).json().code).toBe('unknown_person');
    // A word that every object knows is no person.
    expect((await send(said(id, { person: 'constructor' }))).json().code).toBe('unknown_person');
    await writeFile(join(folder, 'people.yaml'), 'ada: dba\n');
    expect((await send(said(id))).json().code).toBe('people_unreadable');
    expect(await statusOf(id)).toBe('waiting');
  });
});

describe('a press of a button in Slack', () => {
  interface Press {
    user?: string;
    team?: string;
    action?: string;
    reply?: string;
    at_ms?: number;
    secret?: string;
    tamper?: boolean;
  }
  let presses = 0;
  function made(request: string, given: Press = {}) {
    const { user = 'UADA', team = 'T1', action = 'sallyport_approve', at_ms = Date.now() } = given;
    presses += 1;
    const payload = {
      type: 'block_actions',
      trigger_id: String(presses),
      user: { id: user, team_id: team },
      team: { id: team },
      response_url: given.reply ?? `https://hooks.slack.com/actions/T1/${String(presses)}/x`,
      actions: [{ action_id: action, type: 'button', value: request }],
    };
    const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
    const timestamp = String(Math.floor(at_ms / 1000));
    const mac = createHmac('sha256', given.secret ?? signingSecret)
      .update(`v0:${timestamp}:${body}`)
      .digest('hex');
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': timestamp,
      'x-slack-signature': `v0=${mac}`,
    };
    return { body: given.tamper === true ? body.replace('UADA', 'UBOB') : body, headers };
  }
  const press = async (request: string, given: Press = {}) =>
    call('/v1/hooks/slack', { method: 'POST', ...made(request, given) });
  /** The next message that arrives at that path. */
  async function message(
    path: RegExp,
    holds: (text: string) => boolean = () => true,
  ): Promise<Record<string, unknown>> {
    const fitting = () => slack.received.find((one) => path.test(one.path) && holds(one.body.toString()));
    await until(() => fitting() !== undefined);
    return JSON.parse(fitting()!.body.toString()) as Record<string, unknown>;
  }
  const reply = () => message(new RegExp(`^/actions/T1/${String(presses)}/`, 'u'));

  test('approves, and the message shows who did, without buttons', async () => {
    const { id } = await ask();
    const first = JSON.stringify(await message(/^\/services\//u, (text) => text.includes(id)));
    expect(first).toContain('sallyport_approve');
    expect(first).toContain('delete from app.orders');
    const answer = await press(id);
    expect([answer.status, answer.text]).toEqual([200, '']);
    expect((await one.approvers.get(id))?.answers).toMatchObject([
      { by: { issuer, subject: 'ada' }, groups: ['dba'], through: 'webhook:slack' },
    ]);
    const shown = await reply();
    expect(shown['replace_original']).toBe(true);
    expect(JSON.stringify(shown)).toContain('Approved by');
    expect(JSON.stringify(shown)).not.toContain('sallyport_approve');
  });

  test.each<[string, Press, number, string]>([
    ['forged', { tamper: true }, 401, 'signature'],
    ['signed with another secret', { secret: 'x' }, 401, 'signature'],
    ['stale', { at_ms: Date.now() - 301_000 }, 401, 'stale'],
    ['of another workspace', { team: 'T2' }, 403, 'other_team'],
    ['of another button', { action: 'other_app' }, 400, 'malformed'],
  ])('is refused where it is %s', async (_name, given, status, code) => {
    const { id } = await ask();
    const answer = await press(id, given);
    expect([answer.status, answer.json().code]).toEqual([status, code]);
    expect(await statusOf(id)).toBe('waiting');
  });

  test.each<[string, string, RegExp]>([
    ['nobody knows', 'UNEW', /nobody here is known/u],
    ['is not asked', 'UEVE', /you are in none of them/u],
    ['is asked through a group that Slack may not speak for', 'UOPS', /you are in none of them/u],
    ['asks themselves', 'UBOT', /nobody answers their own request/u],
  ])('by somebody who %s does nothing, and only they are told', async (_name, user, why) => {
    const { id } = await ask();
    expect((await press(id, { user })).status).toBe(200);
    const said = await reply();
    expect(said).toMatchObject({ response_type: 'ephemeral', replace_original: false });
    expect(said['text']).toMatch(why);
    expect(await statusOf(id)).toBe('waiting');
  });

  test('is taken once when it is replayed, and a double click is one answer', async () => {
    const { id } = await ask('two');
    const once = made(id);
    expect((await call('/v1/hooks/slack', { method: 'POST', ...once })).status).toBe(200);
    const again = await call('/v1/hooks/slack', { method: 'POST', ...once });
    expect([again.status, again.json().code]).toEqual([409, 'replayed']);
    expect((await press(id)).status).toBe(200);
    expect((await reply())['text']).toMatch(/answered this already/u);
    expect((await one.approvers.get(id))?.answers.length).toBe(1);
    await press(id, { user: 'UBOB' });
    expect(await statusOf(id)).toBe('approved');
  });

  test('of two at the same moment, on the last answer that is needed, one counts', async () => {
    const { id } = await ask();
    await Promise.all([press(id), press(id, { user: 'UBOB', action: 'sallyport_refuse' })]);
    expect((await one.approvers.get(id))?.answers.length).toBe(1);
  });

  test('is answered at Slack alone, whatever it says', async () => {
    for (const reply of [
      'https://evil.example/actions/T1/1/x',
      'http://hooks.slack.com/x',
      'https://hooks.slack.com@evil.example/',
      'https://hooks.slack.com:8443/x',
    ]) {
      const { id } = await ask();
      expect((await press(id, { reply })).status).toBe(200);
      expect(await statusOf(id)).toBe('approved');
    }
    expect(elsewhere).toEqual([]);
  });

  test('that leaves it waiting: the message shows the end as well where somebody answers elsewhere, on whichever replica', async () => {
    const { id } = await ask('two');
    expect((await press(id)).status).toBe(200);
    expect(JSON.stringify(await reply())).toContain('sallyport_approve');
    await other.approvers.answer(id, person('zoe', 'dba'), { kind: 'refuse', comment: 'not now', through: 'console' });
    const path = new RegExp(`^/actions/T1/${String(presses)}/`, 'u');
    const end = await message(path, (text) => text.includes('not now'));
    expect(end['replace_original']).toBe(true);
    expect(JSON.stringify(end)).toContain('zoe');
    expect(JSON.stringify(end)).not.toContain('sallyport_approve');
  });

  test('comes too late where somebody else answered: the message shows the end', async () => {
    const { id } = await ask();
    await one.approvers.answer(id, person('zoe', 'dba'), { kind: 'refuse', comment: 'no', through: 'api' });
    await press(id);
    expect(
      JSON.stringify(await message(/^\/actions\//u, (text) => text.includes(id) && text.includes('Refused by'))),
    ).toContain('zoe');
  });
});
