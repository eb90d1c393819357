import { expect, test } from '@jest/globals';
import type { Principal } from '#engine';
import { UsageCounters } from './usage.js';

const start = Date.UTC(2026, 10, 22, 23, 58, 30);
const principal = (subject: string, issuer = 'https://idp.example'): Principal => ({ subject, issuer }) as Principal;

test('all sessions of a principal count together; others do not', () => {
  const counters = new UsageCounters(() => start);
  const [one, two] = [counters.of(principal('ada')), counters.of(principal('ada'))];
  const other = counters.of(principal('ada', 'https://other.example'));
  one.operation();
  two.operation();
  two.rows(7);
  expect(one.read()).toEqual({ operations: { minute: 2, day: 2 }, rows: { day: 7 } });
  expect(other.read()).toEqual({ operations: { minute: 0, day: 0 }, rows: { day: 0 } });
});

test('a minute and a day begin anew by the clock, for sessions that are open and for those that come', () => {
  let now = start;
  const counters = new UsageCounters(() => now);
  const session = counters.of(principal('ada'));
  session.operation();
  session.rows(3);
  now += 60_000;
  session.operation();
  expect(counters.of(principal('ada')).read()).toEqual({ operations: { minute: 1, day: 2 }, rows: { day: 3 } });
  now += 60_000; // Midnight has passed.
  expect(session.read()).toEqual({ operations: { minute: 0, day: 0 }, rows: { day: 0 } });
});

test('a principal that works is not forgotten, however many come after it', () => {
  let now = Date.UTC(2026, 10, 22, 12);
  const counters = new UsageCounters(() => now);
  const busy = counters.of(principal('busy'));
  for (let minute = 1; minute <= 3; minute++) {
    busy.operation();
    for (let each = 0; each < 60_000; each++) counters.of(principal(`${String(minute)}-${String(each)}`));
    now += 60_000;
  }
  busy.operation();
  const expected = { operations: { minute: 1, day: 4 }, rows: { day: 0 } };
  expect([busy.read(), counters.of(principal('busy')).read()]).toEqual([expected, expected]);
});
