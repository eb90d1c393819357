import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { clientTest, runProgram, throughGateway } from './support.js';
import { openWorld, type World } from './world.js';

const group = 'python, through the gateway,';

describe(group, () => {
  let world: World;

  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(() => world?.close());

  /** Runs a script of this folder; the checks that it names as done, a line each. */
  async function check(script: string): Promise<string[]> {
    const probe = spawnSync('node', [join(import.meta.dirname, 'probe.mjs'), 'python'], { encoding: 'utf8' });
    const { code, stdout, stderr } = await runProgram('python3', [join(import.meta.dirname, script)], {
      env: {
        ...(await throughGateway(world.gateway)),
        CLIENT_PACKAGES: probe.stdout.trim(),
        PYTHONDONTWRITEBYTECODE: '1',
      },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout.trim().split('\n');
  }

  clientTest(
    group,
    'psycopg 3 works unchanged: pipelines, binary, cursors, COPY, notifications, cancelling',
    async () => {
      expect(await check('psycopg_check.py')).toHaveLength(13);
    },
  );

  clientTest(group, 'asyncpg and SQLAlchemy work unchanged', async () => {
    expect(await check('asyncpg_check.py')).toEqual(['asyncpg', 'sqlalchemy']);
  });
});
