import { afterEach, describe, expect, test } from '@jest/globals';
import { checkConditions, checkOutputs, checkRows, makeConditioned } from './interference/conditioned.js';
import { ladderKind, mixedKind } from './interference/ladder.js';
import type { Sides } from './interference/sides.js';

/** conditions.test.ts over many worlds: as many as SALLYPORT_WORLDS says. SALLYPORT_SECONDS is for each property of each. */
const seconds = Number(process.env['SALLYPORT_SECONDS'] ?? 8);
const first = Number(process.env['SALLYPORT_SEED'] ?? 1);
const seeds = Array.from({ length: Number(process.env['SALLYPORT_WORLDS'] ?? 4) }, (_, at) => first + at);

const checks = {
  conditions: { check: checkConditions, kind: ladderKind },
  rows: { check: checkRows, kind: ladderKind },
  outputs: { check: checkOutputs, kind: mixedKind },
};

describe.each(Object.entries(checks))('%s under scope output, over many worlds', (name, { check, kind }) => {
  let sides: Sides | undefined;
  const total = { scripts: 0, answered: 0, refused: 0, failed: 0 };
  afterEach(() => sides?.close());

  test.each(seeds)(
    'seed %i',
    async (seed) => {
      sides = await makeConditioned(seed, kind);
      const tally = await check(sides, seed, seconds);
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += tally[key];
      expect(tally.answered).toBeGreaterThan(tally.scripts * 0.6);
      if (seed === seeds.at(-1)) process.stdout.write(`${name}: ${JSON.stringify(total)}\n`);
    },
    (seconds + 180) * 1_000,
  );
});
