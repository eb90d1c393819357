import { expect, test } from '@jest/globals';
import { noUsage, type Principal } from '#engine';
import { Ledger } from './ledger.js';

const start = Date.UTC(2026, 10, 22, 23, 58, 30);
const principal = (subject: string, more: Partial<Principal> = {}): Principal =>
  ({ subject, issuer: 'https://idp.example', ...more }) as Principal;

const taint = (label: string, for_ms = 60_000) => ({ label, for_ms, code: 'seen' });

test('all sessions of a principal count together, by purpose and target too; others do not', () => {
  const ledger = new Ledger(() => start);
  const account = (subject: string, target = 'postgres/orders', more: Partial<Principal> = {}) =>
    ledger.account(principal(subject, more), target);
  account('ada', 'postgres/orders', { purpose: 'report' }).spend({ operations: 1, rows: 7, bytes: 70 });
  account('ada', 'ssh/build', { purpose: 'report' }).spend({ operations: 1, writes: 1, cost: 2.5 });
  account('ada', 'postgres/orders', { purpose: 'other' }).spend({ operations: 1 });
  expect(account('ada', 'postgres/orders', { purpose: 'report' }).usage()).toEqual({
    operations: { minute: 3, day: 3 },
    writes: { minute: 1, day: 1 },
    rows: { day: 7 },
    bytes: { day: 70 },
    cost: { day: 2.5 },
    purpose: {
      operations: { minute: 2, day: 2 },
      writes: { minute: 1, day: 1 },
      rows: { day: 7 },
      bytes: { day: 70 },
      cost: { day: 2.5 },
    },
    target: {
      operations: { minute: 2, day: 2 },
      writes: { minute: 0, day: 0 },
      rows: { day: 7 },
      bytes: { day: 70 },
      cost: { day: 0 },
    },
  });
  expect(account('ada', 'postgres/orders', { issuer: 'https://other.example' }).usage()).toEqual(noUsage);
});

test('a minute and a day begin anew by the clock, for sessions that are open and for those that come', () => {
  let now = start;
  const ledger = new Ledger(() => now);
  const session = ledger.account(principal('ada'), 'postgres/orders');
  session.spend({ operations: 1, writes: 1, rows: 3 });
  now += 60_000;
  session.spend({ operations: 1 });
  expect(ledger.account(principal('ada'), 'postgres/orders').usage()).toMatchObject({
    operations: { minute: 1, day: 2 },
    writes: { minute: 0, day: 1 },
    rows: { day: 3 },
  });
  now += 60_000; // Midnight has passed.
  expect(session.usage()).toEqual(noUsage);
});

test('a principal that works is not forgotten, however many come after it', () => {
  let now = Date.UTC(2026, 10, 22, 12);
  const ledger = new Ledger(() => now);
  const busy = ledger.account(principal('busy'), 'postgres/orders');
  for (let minute = 1; minute <= 3; minute++) {
    busy.spend({ operations: 1 });
    for (let each = 0; each < 60_000; each++)
      ledger.account(principal(`${String(minute)}-${String(each)}`), 'postgres/orders').spend({});
    now += 60_000;
  }
  busy.spend({ operations: 1 });
  const expected = { operations: { minute: 1, day: 4 } };
  expect(busy.usage()).toMatchObject(expected);
  expect(ledger.account(principal('busy'), 'postgres/orders').usage()).toMatchObject(expected);
});

test('labels belong to what a principal does for one purpose, over all targets, until they expire', () => {
  let now = start;
  const ledger = new Ledger(() => now);
  const report = principal('ada', { purpose: 'report' });
  ledger.account(report, 'postgres/orders').mark([taint('pii'), taint('card', 30_000)]);
  expect(ledger.account(report, 'ssh/build').taint()).toEqual(['card', 'pii']);
  expect(ledger.account(principal('ada', { purpose: 'other' }), 'postgres/orders').taint()).toEqual([]);
  now += 30_000;
  expect(ledger.account(report, 'ssh/build').taint()).toEqual(['pii']);
  now += 30_000;
  expect(ledger.account(report, 'ssh/build').taint()).toEqual([]);
});

test('a label that is earned again stays longer, and is news only when others would lose it', () => {
  let now = start;
  const ledger = new Ledger(() => now);
  const account = ledger.account(principal('ada'), 'postgres/orders');
  expect(account.mark([taint('pii')])).toHaveLength(1);
  now += 1_000;
  expect(account.mark([taint('pii')])).toHaveLength(0);
  now += 40_000;
  expect(account.mark([taint('pii')])).toHaveLength(1);
  now += 59_000;
  expect(account.taint()).toEqual(['pii']);
});
