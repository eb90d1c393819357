import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Decision, Input } from '#engine';
import { pino } from 'pino';
import { judging, openSide, person, until, type Side } from '../../test/support/approvals-side.js';
import { inputOf } from '../../test/support/policy.js';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.js';
import { startReceiver, type Received, type Receiver } from '../../test/support/receiver.js';
import type { Webhook } from '../config/index.js';
import { Deliveries } from './deliveries.js';
import { post } from './post.js';
import { checkOwn } from './signature.js';

let home: TestDatabase;
let one: Side;
let other: Side;
let receiver: Receiver;
let judge: (input: Input) => Decision;
const telling: Deliveries[] = [];

const secrets = ['new '.repeat(8), 'old '.repeat(8)];

beforeAll(async () => {
  home = await createDatabase();
  judge = await judging('{"code": "looks", "groups": ["dba"], "quorum": 2} if input.principal.purpose == "wait"');
  one = openSide(home);
  other = openSide(home);
  receiver = await startReceiver();
  await Promise.all([one.database.ready(20_000), other.database.ready(20_000)]);
});
afterAll(async () => {
  await one?.stop();
  await other?.stop();
  await receiver?.close();
  await home?.drop();
});
beforeEach(async () => {
  await Promise.all(telling.splice(0).map((deliveries) => deliveries.close()));
  await one.database.query('delete from sallyport.requests');
  one.records.length = 0;
  other.records.length = 0;
  receiver.answers.length = 0;
});

function tell(side: Side, changes: Partial<Webhook> = {}): void {
  const webhook: Webhook = {
    name: 'on-call',
    type: 'json',
    url: `${receiver.url}/told`,
    ca: receiver.ca,
    secrets,
    events: ['requested', 'effect', 'answered', 'ended'],
    timeout_ms: 2_000,
    attempts_max: 3,
    ...changes,
  };
  telling.push(
    new Deliveries({
      database: side.database,
      replica: side.replica,
      approvers: side.approvers,
      audit: side.audit,
      log: pino({ level: 'silent' }),
      now: Date.now,
      webhooks: [webhook],
      link: (hold) => `https://gateway.example/console/approvals/${hold}`,
      post,
    }),
  );
}

let asked = 0;
async function ask(side: Side, recorded?: unknown) {
  asked += 1;
  const base = inputOf();
  const statement = `delete from app.orders where id = ${String(asked)}`;
  const input = inputOf({
    principal: { ...base.principal, purpose: 'wait' },
    prompt: { id: 'p-1', text: 'Tidy up.' },
    operation: { ...base.operation, hash: String(asked).padStart(64, '0'), postgres: { statement, parameters: [] } },
  });
  return side.approvals.request(input, judge(input), recorded ?? input.operation.postgres);
}

const json = ({ body }: Received) =>
  JSON.parse(body.toString()) as { type: string; request: Record<string, Record<string, unknown>> };
const ends = () =>
  [...one.records, ...other.records].filter(({ kind }) => kind === 'webhook').map(({ fields }) => fields);

describe('a webhook', () => {
  test('is told of the request, of each answer and of the end, signed with both secrets, once by all replicas together', async () => {
    tell(one);
    tell(other);
    const hold = await ask(one);
    const first = await receiver.next();
    expect(json(first)).toMatchObject({
      type: 'request.requested',
      request: {
        id: hold.id,
        status: 'waiting',
        link: `https://gateway.example/console/approvals/${hold.id}`,
        principal: { purpose: 'wait' },
        claimed: { prompt: { id: 'p-1', text: 'Tidy up.' } },
        observed: { postgres: { statement: `delete from app.orders where id = ${String(asked)}` }, whole: true },
      },
    });
    expect(first.headers['webhook-id']).toBe(`${hold.id}.requested`);
    // Whoever knows either secret can check it, by the book.
    for (const secret of secrets) {
      const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = first.headers;
      const mac = createHmac('sha256', secret).update(`${String(id)}.${String(timestamp)}.${first.body.toString()}`);
      expect(String(signature).split(' ')).toContain(`v1,${mac.digest('base64')}`);
      expect(checkOwn(first.headers, first.body, [secret], Date.now())).toBe(id);
    }
    await one.approvers.answer(hold.id, person('ada', 'dba'), { kind: 'approve', through: 'api' });
    expect(json(await receiver.next())).toMatchObject({
      type: 'request.answered',
      request: { status: 'waiting', answers: [{ answer: 'approve', by: { subject: 'ada' } }] },
    });
    await other.approvers.answer(hold.id, person('bob', 'dba'), { kind: 'refuse', comment: 'no', through: 'api' });
    const last = [json(await receiver.next()), json(await receiver.next())];
    expect(last.map(({ type }) => type).sort()).toEqual(['request.answered', 'request.ended']);
    expect(last[0]).toMatchObject({ request: { status: 'refused' } });
    await until(() => ends().length === 4);
    expect(ends()).toEqual(Array(4).fill(expect.objectContaining({ outcome: 'delivered', attempts: 1 })));
    expect(receiver.received.length).toBe(4);
  });

  test('hears of a withdrawal and its reason', async () => {
    tell(one, { events: ['ended'] });
    const hold = await ask(one);
    hold.withdraw('client_gone');
    expect(json(await receiver.next())).toMatchObject({
      type: 'request.ended',
      request: { status: 'withdrawn', why: 'client_gone' },
    });
  });

  test('gets what the audit withholds withheld, and is told that it is not all', async () => {
    tell(one, { events: ['requested'] });
    await ask(one, { statement: "delete from app.orders where email = 'withheld:x'" });
    const message = await receiver.next();
    expect(json(message).request['observed']).toMatchObject({ whole: false });
    expect(message.body.toString()).toContain('withheld:x');
    expect(message.body.toString()).not.toContain(`id = ${String(asked)}`);
    expect(message.body.toString()).not.toContain(String(asked).padStart(64, '0'));
  });

  test('that fails, redirects or says nothing is asked again, and given up after its attempts; redirects are not followed', async () => {
    tell(one, { events: ['requested'], timeout_ms: 300 });
    receiver.answers.push({ status: 302, location: `${receiver.url}/elsewhere` }, { status: 0 }, { status: 500 });
    const hold = await ask(one);
    const paths: string[] = [];
    for (let attempt = 0; attempt < 3; attempt += 1) {
      paths.push((await receiver.next()).path);
      // Not after the wait that comes between: at the next beat.
      await until(async () => {
        const rows = await one.database.query<{ soon: boolean }>(
          `update sallyport.deliveries set due = now() where ended is null and due > now() + interval '1 second' and due < now() + interval '14 seconds' returning true as soon`,
        );
        return rows.length > 0 || ends().length > 0;
      });
    }
    await until(() => ends().length > 0);
    expect(paths).toEqual(['/told', '/told', '/told']);
    expect(ends()).toEqual([
      { hook: 'on-call', event: 'requested', hold_id: hold.id, outcome: 'failed', attempts: 3, why: 'status 500' },
    ]);
  });

  test('whose queue is full is not told of the newest, and that is recorded', async () => {
    const hold = await ask(one);
    await one.database.query(
      `insert into sallyport.deliveries (hook, event, type, request, due)
         select 'on-call', 'x ' || n, 'requested', $1, now() + interval '1 hour' from generate_series(1, 1000) n`,
      [hold.id],
    );
    tell(one, { events: ['requested'] });
    await ask(one);
    await until(() => ends().length > 0);
    expect(ends()[0]).toMatchObject({ outcome: 'dropped', event: 'requested' });
  });

  test('that cannot be verified is not told anything', async () => {
    tell(one, { events: ['requested'], ca: (await startOtherAuthority()).ca, attempts_max: 1 });
    await ask(one);
    await until(() => ends().length > 0);
    expect(ends()[0]).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/CERT|SIGNATURE|ISSUER|VERIFY/u) });
  });
});

async function startOtherAuthority(): Promise<{ ca: string }> {
  const { createAuthority } = await import('../../test/support/certificates.js');
  return { ca: createAuthority('somebody else').certificate };
}
