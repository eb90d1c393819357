import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { openSshWorld, type SshWorld } from './ssh/world.js';
import { clientTest } from './support.js';

/** OpenSSH's ssh -A where no rule of the policy lends the host an agent. */

const group = "OpenSSH's ssh -A without a rule for it";
const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "commands"} if input.operation.ssh.request in {"connect", "exec"}
`,
};
const test_ms_max = 120_000;

describe(group, () => {
  let world: SshWorld;

  beforeAll(async () => {
    world = await openSshWorld(policy);
  }, test_ms_max);
  afterAll(() => world?.close(), test_ms_max);

  clientTest(
    group,
    'runs the command at once, and the host has no way to the keys',
    async () => {
      const script = `eval "$(ssh-agent -s)" > /dev/null; trap 'ssh-agent -k > /dev/null' EXIT
        ssh-add -q "\${F%/*}/identity"; ssh-add -L > /dev/null || exit 9
        timeout 60 ssh -F $F -A h 'ssh-add -l 2>&1; echo "\${SSH_AUTH_SOCK:-none}"'`;
      const { stdout, code } = await world.run({ name: 'ssh -A', run: script }, 'gateway');
      expect({ stdout, code }).toEqual({
        stdout: 'Could not open a connection to your authentication agent.\nnone\n',
        code: 0,
      });
    },
    test_ms_max,
  );
});
