import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { openSshWorld, type SshWorld } from './ssh/world.js';
import { clientTest } from './support.js';

/** Clients of SSH that are not OpenSSH's come to the same through the gateway as straight to OpenSSH's server. */

const group = 'SSH from Python, through the gateway,';
const test_ms_max = 600_000;
const ways = ['direct', 'gateway'] as const;

describe(group, () => {
  let world: SshWorld;
  /** Somebody listens there, whom policy leads nobody to. */
  const forbidden = createServer((socket) => socket.end('you should not be here'));
  let refused: string;

  beforeAll(async () => {
    await new Promise<void>((resolve) => forbidden.listen(0, '127.0.0.1', resolve));
    refused = String((forbidden.address() as AddressInfo).port);
    world = await openSshWorld({
      'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if true

deny contains {"code": "not_there"} if input.operation.ssh.forward.port == ${refused}
`,
    });
  }, test_ms_max);
  afterAll(async () => {
    await world?.close();
    forbidden.close();
  }, test_ms_max);

  /** The folder of a client's packages; it was installed when it was found out whether it can be. */
  function packagesOf(client: string): string {
    const probe = [join(import.meta.dirname, 'probe.mjs'), client];
    return spawnSync('node', probe, { encoding: 'utf8' }).stdout.trim();
  }

  /** Runs a script with what a client in Python has to know, and returns the JSON that it ends with. */
  async function outcome(script: string, client: string, how: (typeof ways)[number]): Promise<unknown> {
    const { sshd, gateway, folder } = world;
    const place =
      how === 'direct'
        ? `HOST=${sshd.host} PORT=${String(sshd.port)} USERNAME=${sshd.user} KEY=${join(folder, 'identity')}`
        : `HOST=${gateway.host} PORT=${String(gateway.port)} USERNAME=build PASSWORD=$TOKEN`;
    // Straight there, whatever listens would answer: nobody does.
    const settings = `CLIENT_PACKAGES=${packagesOf(client)} PYTHONDONTWRITEBYTECODE=1 REFUSED=${how === 'direct' ? '1' : refused}`;
    const run = `export ${place} ${settings}\n${script}`;
    const { code, stdout, stderr } = await world.run({ name: client, run }, how);
    expect({ how, code, stderr }).toEqual({ how, code: 0, stderr: '' });
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  }

  const library = (name: string, expected: Readonly<Record<string, unknown>>) =>
    clientTest(
      group,
      `${name}: commands, files, forwardings, new keys`,
      async () => {
        const check = join(import.meta.dirname, 'ssh', `${name}_check.py`);
        for (const how of ways) expect(await outcome(`python3 ${check}`, 'python-ssh', how)).toEqual(expected);
      },
      test_ms_max,
    );

  const common = {
    'a command': ['out\n', 'err\n', 7],
    'bytes there': true,
    'bytes back': true,
    'bytes both ways': true,
    'a terminal': ['33', '101', 'vt100'],
    'a file there and back': true,
    'a list': ['d', 'l', 's'],
    'what a file is': [2_000_000, '0o640'],
    'where a link leads': true,
    'a file that is changed': 'shorter',
    'one that is cut': 3,
    'what is left': ['l'],
    'a forwarding': true,
    'commands after that': 'still here\n',
    'a forwarding back': 'from there',
    'whether somebody is there': [null, true],
    'new keys': true,
  };
  library('paramiko', {
    ...common,
    // It has no way to tell which.
    'a signal': -1,
    'what is not there': 'FileNotFoundError',
    'a forwarding that is refused': 'ChannelException',
    'a forwarding to nobody': 'ChannelException',
  });
  library('asyncssh', {
    ...common,
    'a signal': 'KILL',
    'many at once': [0, 1, 2, 3, 4, 5, 6, 7],
    'a socket': true,
    'what is not there': 'SFTPNoSuchFile',
    'a forwarding that is refused': 'ChannelOpenError',
    'a forwarding to nobody': 'ChannelOpenError',
  });

  /** What Ansible is told stays out of the way, unless it fails. */
  const setUp = (settings: string) => `
    export ${settings} PYTHONPATH=$CLIENT_PACKAGES ANSIBLE_HOME=$L/ansible ANSIBLE_REMOTE_TMP=$R/.ansible
    export ANSIBLE_SSH_ARGS="-F $F -o ControlMaster=auto -o ControlPersist=10" ANSIBLE_SSH_CONTROL_PATH_DIR=$L/cp
    export ANSIBLE_HOST_KEY_CHECKING=0 ANSIBLE_TIMEOUT=120 ANSIBLE_NOCOLOR=1
    printf 'Hello, {{ whom }}!\\n' > $L/greeting.j2
    echo "h ansible_python_interpreter=$(command -v python3) \${PASSWORD:+ansible_password=$PASSWORD}" > $L/inventory
    python3 $CLIENT_PACKAGES/bin/ansible-playbook -i $L/inventory ${join(import.meta.dirname, 'ssh/playbook.yaml')} > $L/told ||
      { cat $L/told >&2; exit 1; }
    cmp $L/random $L/fetched && cat $L/outcome.json`;
  const ansible = (name: string, settings: string, over: readonly (typeof ways)[number][]) =>
    clientTest(
      group,
      `ansible sets up a host, ${name}`,
      async () => {
        for (const how of over)
          expect(await outcome(setUp(settings), 'ansible', how)).toEqual({
            ping: 'pong',
            command: "a  b|*|it's|",
            failing: 1,
            shell: ['given', 'err'],
            changed: [true, false],
            folder: [true, '0711'],
            greeting: 'Hello, host!\nanother line\n',
          });
      },
      test_ms_max,
    );
  // Straight there once is enough: the modules come to the same however they get there.
  ansible('with files for every module', 'ANSIBLE_PIPELINING=0', ['gateway']);
  ansible('with pipelining', 'ANSIBLE_PIPELINING=1', ways);
});
