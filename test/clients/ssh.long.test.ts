import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import * as behaviours from './ssh/behaviours.js';
import { openSshWorld, type SshWorld } from './ssh/world.js';
import { clientTest } from './support.js';

/** OpenSSH's own programs come to the same through the gateway as straight to OpenSSH's server. */

const group = 'OpenSSH, through the gateway,';
const test_ms_max = 600_000;

describe(group, () => {
  let world: SshWorld;

  beforeAll(async () => {
    world = await openSshWorld();
  }, test_ms_max);
  afterAll(() => world?.close(), test_ms_max);

  async function same(table: readonly behaviours.Behaviour[]): Promise<void> {
    const direct: Record<string, unknown> = {};
    const through: Record<string, unknown> = {};
    for (const behaviour of table) {
      direct[behaviour.name] = await world.run(behaviour, 'direct');
      through[behaviour.name] = await world.run(behaviour, 'gateway');
    }
    expect(through).toEqual(direct);
    // Each has something to show: two that fail in the same way would be the same, too.
    expect(Object.entries(direct).filter(([, outcome]) => (outcome as { stdout: string }).stdout === '')).toEqual([]);
  }

  const check = (name: string, table: readonly behaviours.Behaviour[]) =>
    clientTest(group, name, () => same(table), test_ms_max);

  check('commands: output, errors, exit codes, signals, input', behaviours.commands);
  check('terminals: their size, what is typed, Ctrl-C', behaviours.terminals);
  check('files: scp old and new, sftp, tar', behaviours.files);
  check('forwardings: local, remote, dynamic, of standard input, of sockets', behaviours.forwardings);
  check('multiplexing, and new keys in the middle', behaviours.multiplexing);
  check('git clones, pushes, fetches', behaviours.git);
  check('ssh-agents: their keys, what they sign', behaviours.agents);
  check('rsync copies and compares', behaviours.rsync);
});
