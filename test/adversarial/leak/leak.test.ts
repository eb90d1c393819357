import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { testServer } from '../../support/postgres.js';
import { attack } from './attack.js';
import { readCorpus, type Case } from './corpus.js';
import { runAll } from './run.js';
import { readUtility } from './utility.js';
import { makeWorld, type World } from './world.js';

/**
 * The corpus against the gateway over a superuser. (Over a role with little: least-privileged.long.test.ts.) What
 * `npm run leakcheck` shows as a table is here what must hold: nothing leaks, nothing forbidden is executed, most attempts
 * to read get masked data, and useful statements get the server's own answers.
 */
const time_ms_max = 600_000;

describe('attempts on what is masked', () => {
  let world: World;
  let cases: Case[];
  beforeAll(async () => {
    world = await makeWorld(await testServer());
    cases = readCorpus(world.words);
  }, time_ms_max);
  afterAll(async () => {
    await world?.close();
  });

  test('there are enough of them, each by a name of its own', () => {
    expect(cases.length).toBeGreaterThanOrEqual(1_000);
    expect(new Set(cases.map(({ family }) => family)).size).toBeGreaterThanOrEqual(20);
    expect(readUtility().length).toBeGreaterThanOrEqual(250);
    for (const list of [cases, readUtility()]) {
      const names = list.map(({ family, name }) => `${family}: ${name}`);
      expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    }
  });

  test(
    'leak nothing through a gateway that signs in as a superuser, and the useful is as it was',
    async () => {
      const report = await attack(world, cases, 'superuser');
      expect(report.failures).toEqual([]);
      expect(report.over_refused).toEqual([]);
      expect(report.answered).toBeGreaterThanOrEqual(0.6);
    },
    time_ms_max,
  );

  // A case that shows nothing where nothing is masked proves nothing where something is.
  test(
    'leak without a gateway: one case of each family that reads',
    async () => {
      const reads = cases.filter(({ kind, silent, expect: expected, timed }) => {
        return kind === 'read' && !silent && expected === 'masked' && !timed;
      });
      const firsts = [...new Map(reads.map((given) => [given.family, given])).values()];
      expect(firsts.length).toBeGreaterThanOrEqual(14);
      const verdicts = await runAll(
        {
          a: { filled: world.a, subject: world.direct(world.a) },
          b: { filled: world.b, subject: world.direct(world.b) },
          canaries: { a: world.a.data.canaries, b: world.b.data.canaries },
          said: [],
          newest: world.newest,
        },
        firsts,
      );
      expect(verdicts.filter(({ outcome }) => outcome !== 'leaked').map(({ case: given }) => given.name)).toEqual([]);
    },
    time_ms_max,
  );
});
