import { afterEach, describe, expect, test } from '@jest/globals';
import { compare, constraintErrors, makeSides, type Sides } from './interference/sides.js';

/** noninterference.test.ts over twenty worlds: other schemas, masks, filters and rows with each. SALLYPORT_SECONDS is for each. */
const seconds = Number(process.env['SALLYPORT_SECONDS'] ?? 1);
const first = Number(process.env['SALLYPORT_SEED'] ?? 1);
const seeds = Array.from({ length: 20 }, (_, at) => first + at);

describe('non-interference over many worlds', () => {
  let sides: Sides | undefined;
  afterEach(() => sides?.close());

  test.each(seeds)(
    'seed %i: nothing that a client receives depends on a masked value',
    async (seed) => {
      sides = await makeSides(seed);
      const sessions = [await sides.through(0, []), await sides.through(1, [])] as const;
      const tally = await compare(sides, sessions, { seed, seconds, apart: true, excepted: constraintErrors });
      expect(tally.answered).toBeGreaterThan(tally.scripts * 0.4);
    },
    (seconds + 180) * 1_000,
  );
});
