import { expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runHouse } from './audit/house.js';
import { randomOf } from './audit/random.js';
import { tamperings } from './audit/tampering.js';

/** The small form of `npm run chaos:audit`. */
test('processes that are killed in the midst of it, with full disks and sinks that are down, leave a log that is whole', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-chaos-'));
  try {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const report = await runHouse({
      folder: join(folder, 'house'),
      kills: 6,
      records: 6_000,
      random: randomOf(seed),
      tamperings: { first: 0, count: tamperings.length },
    });
    const { unrecorded, alarms, missed, kills } = report;
    expect({ seed, unrecorded, alarms, missed, kills }).toEqual({
      seed,
      unrecorded: [],
      alarms: [],
      missed: [],
      kills: 6,
    });
    expect(report.effects).toBeGreaterThan(100);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
