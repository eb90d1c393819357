import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { clientTest, runProgram, throughGateway } from './support.js';
import { openWorld, type World } from './world.js';

const group = 'pgbench, through the gateway,';

describe(group, () => {
  let world: World;
  let env: Record<string, string>;

  beforeAll(async () => {
    world = await openWorld();
    env = await throughGateway(world.gateway);
  });
  afterAll(() => world?.close());

  async function pgbench(...parameters: string[]): Promise<string> {
    const { code, stdout, stderr } = await runProgram('pgbench', parameters, { env });
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.not.stringMatching(/error|aborted/i) });
    return stdout;
  }

  /** Makes pgbench's own tables where they are not there yet: with COPY, VACUUM and DDL, all through the gateway. */
  async function ready(): Promise<void> {
    const [there] = await world.database.sql("select to_regclass('pgbench_accounts') is not null as yes");
    if (there?.['yes'] !== true) await pgbench('-i', '-s', '1', '-q');
  }

  clientTest(group, 'makes its tables', async () => {
    await ready();
    const [counted] = await world.database.sql('select count(*)::int as n from pgbench_accounts');
    expect(counted).toEqual({ n: 100_000 });
  });

  for (const mode of ['simple', 'extended', 'prepared']) {
    clientTest(group, `reads and writes in ${mode} mode, and the sums agree`, async () => {
      await ready();
      await world.database.sql(
        'truncate pgbench_history; update pgbench_tellers set tbalance = 0; update pgbench_branches set bbalance = 0',
      );
      const [before] = await world.database.sql('select sum(abalance)::int as n from pgbench_accounts');
      const written = await pgbench('-n', '-M', mode, '-c', '4', '-t', '20');
      expect(written).toContain('number of transactions actually processed: 80/80');
      const [sums] = await world.database.sql(
        `select count(*)::int as transactions, sum(delta) = (select sum(tbalance) from pgbench_tellers) as tellers,
           sum(delta) = (select sum(bbalance) from pgbench_branches) as branches,
           sum(delta) = (select sum(abalance) from pgbench_accounts) - ${Number(before?.['n'])} as accounts
         from pgbench_history`,
      );
      expect(sums).toEqual({ transactions: 80, tellers: true, branches: true, accounts: true });
      const read = await pgbench('-n', '-S', '-M', mode, '-c', '4', '-t', '100');
      expect(read).toContain('number of transactions actually processed: 400/400');
    });
  }

  clientTest(group, 'connects anew for each transaction', async () => {
    await ready();
    expect(await pgbench('-n', '-S', '-C', '-c', '2', '-t', '10')).toContain('actually processed: 20/20');
  });
});
