import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { testServer } from '../../support/postgres.js';
import { attack } from './attack.js';
import { readCorpus, type Case } from './corpus.js';
import { makeWorld, type World } from './world.js';

const time_ms_max = 600_000;

let world: World;
let cases: Case[];
beforeAll(async () => {
  world = await makeWorld(await testServer());
  cases = readCorpus(world.words);
}, time_ms_max);
afterAll(async () => {
  await world?.close();
});

test(
  'attempts on what is masked leak nothing through a gateway that signs in as a role with little',
  async () => {
    const report = await attack(world, cases, 'least privileged', 'simple');
    expect(report.failures).toEqual([]);
    expect(report.answered).toBeGreaterThanOrEqual(0.6);
  },
  time_ms_max,
);
