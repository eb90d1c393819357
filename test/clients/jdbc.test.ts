import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { clientTest, runProgram, throughGateway } from './support.js';
import { openWorld, type World } from './world.js';

const group = 'JDBC, through the gateway,';
const modes = ['simple', 'extended', 'extendedForPrepared', 'extendedCacheEverything'];

describe(group, () => {
  let world: World;

  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(() => world?.close());

  clientTest(group, 'pgjdbc works unchanged in each of its query modes', async () => {
    const probe = spawnSync('node', [join(import.meta.dirname, 'probe.mjs'), 'jdbc'], { encoding: 'utf8' });
    const { code, stdout, stderr } = await runProgram(
      'java',
      ['-cp', probe.stdout.trim(), join(import.meta.dirname, 'JdbcCheck.java'), ...modes],
      { env: await throughGateway(world.gateway) },
    );
    expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: '', stdout: `${modes.join('\n')}\n` });
  });
});
