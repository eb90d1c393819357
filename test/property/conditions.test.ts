import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { checkConditions, checkRows, makeConditioned } from './interference/conditioned.js';
import type { Sides } from './interference/sides.js';

/**
 * Under scope `output` conditions see values, and nothing else does. Over two databases whose masked values differ, but so that no
 * condition comes out otherwise, what the client receives is the same to the byte, and has no masked value in it. And the
 * rows that conditions let through are those that the server itself lets through.
 *
 * Everything comes from the seed, as in noninterference.test.ts; conditions.long.test.ts looks at many of them, and at
 * what is made of masks where no condition is over a masked value.
 */
const seed = Number(process.env['SALLYPORT_SEED'] ?? 7);
const seconds = Number(process.env['SALLYPORT_SECONDS'] ?? 2);

describe(`what conditions see, seed ${String(seed)}`, () => {
  let sides: Sides;
  beforeAll(async () => {
    sides = await makeConditioned(seed);
  });
  afterAll(() => sides.close());

  test(
    'what a client receives depends on values by what conditions make of them alone, and has none in it',
    async () => {
      const { answered, scripts } = await checkConditions(sides, seed, seconds);
      expect(answered).toBeGreaterThan(scripts * 0.6);
    },
    (seconds + 120) * 1_000,
  );

  test(
    'conditions let through the rows that the server lets through',
    async () => {
      const { answered, scripts } = await checkRows(sides, seed, seconds);
      expect(answered).toBeGreaterThan(scripts * 0.6);
    },
    (seconds + 120) * 1_000,
  );
});
