import { expect, test } from '@jest/globals';
import { Timestamps } from './timestamp.js';

test('says the same as Date, in whatever order times come', () => {
  const timestamps = new Timestamps();
  const start = Date.UTC(2026, 10, 22, 9, 59, 59, 990);
  const times = [0, 1, 999, 1_000, -1, -1_000, ...Array.from({ length: 40 }, (_, at) => start + at), start, start + 1];
  expect(times.map((time) => timestamps.at(time))).toEqual(times.map((time) => new Date(time).toISOString()));
});

test('refuses what is no time', () => {
  expect(() => new Timestamps().at(Number.NaN)).toThrow(RangeError);
  expect(() => new Timestamps().at(8.64e15 + 1_000)).toThrow(RangeError);
});
