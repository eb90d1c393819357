import { expect, test } from '@jest/globals';
import { pino } from 'pino';
import { Keeper } from './keeper.js';
import { single, type Place } from './place.js';

/** A clock of one's own, and a place that counts how often it was asked. */
function keeping() {
  let now_ms = 0;
  let asked = 0;
  const place: Place = {
    name: 'the place',
    read: async () => {
      asked += 1;
      return { values: single(`value ${String(asked)}`) };
    },
  };
  const keeper = new Keeper(place, { log: pino({ level: 'silent' }), now: () => now_ms });
  return { keeper, asked: () => asked, pass: (ms: number) => (now_ms += ms) };
}

test('whoever is refused on purpose has no lease made and no command run each time', async () => {
  const { keeper, asked, pass } = keeping();
  await keeper.start();
  for (let second = 0; second < 600; second += 1, pass(1_000)) await keeper.renew();
  // One at the start, five at once, and two a minute.
  expect(asked()).toBeLessThanOrEqual(1 + 5 + 20);
  expect(asked()).toBeGreaterThan(6);
});

test('after a while without any it is asked at once again', async () => {
  const { keeper, asked, pass } = keeping();
  await keeper.start();
  for (let time = 0; time < 10; time += 1, pass(1_000)) await keeper.renew();
  const before = asked();
  pass(300_000);
  await keeper.renew();
  expect(asked()).toBe(before + 1);
});

test('what is closed asks no more', async () => {
  const { keeper, asked } = keeping();
  await keeper.start();
  keeper.close();
  await keeper.renew();
  expect(asked()).toBe(1);
});
