import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSshWorld, type SshWorld } from './ssh/world.js';
import { clientTest } from './support.js';

/** What OpenSSH's client is told where policy refuses, and what becomes of commands whose client is gone. */

const group = 'OpenSSH, under a policy that allows what is known,';
const test_ms_max = 300_000;
const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "known"} if not input.operation.opaque
`,
};

describe(group, () => {
  let world: SshWorld;

  beforeAll(async () => {
    world = await openSshWorld(policy);
  }, test_ms_max);
  afterAll(() => world?.close(), test_ms_max);

  const check = (name: string, run: () => Promise<void>) => clientTest(group, name, run, test_ms_max);
  /** A script of its own is stopped where it hangs: 124. */
  const script = (run: string) => world.run({ name: '', run }, 'gateway');

  check('is refused a forwarding at once, of every kind, and its other channels go on', async () => {
    const { stdout } = await script(`
      exec 2>/dev/null
      timeout 60 ssh -F $F -W 127.0.0.1:$E h </dev/null; echo "-W $?"
      timeout 60 ssh -F $F -o ExitOnForwardFailure=yes -N -R 127.0.0.1:$P:127.0.0.1:$E h; echo "-R $?"
      timeout 60 ssh -F $F -o ExitOnForwardFailure=yes -N -R $R/s.sock:127.0.0.1:$E h; echo "-R socket $?"
      ssh -F $F -o ControlPath=$L/m -M -N -f -L 127.0.0.1:$P:127.0.0.1:$E -L $L/l.sock:$L/echo.sock h
      timeout 60 python3 -c 'import socket, sys; s = socket.create_connection(("127.0.0.1", int(sys.argv[1]))); print("-L", s.recv(9))' $P
      timeout 60 python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print("-L socket", s.recv(9))' $L/l.sock
      timeout 60 ssh -F $F -o ControlPath=$L/m h echo others go on; echo $?
      ssh -F $F -o ControlPath=$L/m -O exit h
      ls $R`);
    expect(stdout.split('\n')).toEqual([
      '-W 255',
      '-R 255',
      '-R socket 255',
      "-L b''",
      "-L socket b''",
      'others go on',
      '0',
      '',
    ]);
  });

  check('reaches no subsystem past its gate: not by its program’s path, nor by another name', async () => {
    const program = '$(ls /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server 2>/dev/null)';
    const tries = [
      `ssh -F $F h ${program}`,
      `ssh -F $F h "exec ${program}"`,
      `ssh -F $F h "cd / && ${program} -e"`,
      `ssh -F $F -s h ${program}`,
      `ssh -F $F -s h netconf`,
      `printf 'get $L/random $L/back\\n' | sftp -q -oBatchMode=no -s ${program} -b - -F $F h`,
    ];
    for (const one of tries) {
      const { stdout, stderr, code } = await script(`timeout 60 ${one} </dev/null; echo $?; ls $L/back`);
      expect([one, stdout.split('\n')[0], code]).toEqual([one, one.startsWith('printf') ? '255' : '126', 2]);
      expect(stderr).toContain('sallyport: denied by policy');
    }
  });

  check('leaves no command behind on the host when it is killed', async () => {
    // To what runs without a terminal as root OpenSSH's server passes no signals on.
    for (const way of process.getuid?.() === 0 ? ['-tt'] : ['-tt', '']) {
      const { stdout } = await script(`
        mkfifo $L/in; ssh ${way} -F $F h sleep 601 <>$L/in >/dev/null 2>&1 &
        until pgrep -fx 'sleep 601'; do sleep 0.1; done >/dev/null
        kill -KILL $!; while pgrep -fx 'sleep 601'; do sleep 0.1; done >/dev/null; echo ended`);
      expect(stdout).toBe('ended\n');
    }
  });

  check('leaves nothing behind of a shell that is killed in the middle of a line', async () => {
    const before = world.sshd.running.size;
    const { stdout } = await script(`
      mkfifo $L/in; (echo 'sleep 602'; sleep 600) > $L/in & feeder=$!
      ssh -tt -F $F h < $L/in >/dev/null 2>&1 &
      until pgrep -fx 'sleep 602'; do sleep 0.1; done >/dev/null
      kill -KILL $! $feeder; while pgrep -fx 'sleep 602'; do sleep 0.1; done >/dev/null; echo ended`);
    expect(stdout).toBe('ended\n');
    while (world.sshd.running.size > before) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  check('has its words on standard error, and what the host says apart from them', async () => {
    const { stdout } = await script(`
      ssh -F $F h 'cat $L/one.txt; cat nowhere; python3 -c 1' > $L/out 2> $L/err; echo $?; wc -c < $L/out; grep -c sallyport: $L/err
      ssh -F $F h "cat $L/tree/one.txt nowhere" > $L/out 2> $L/err; echo $?; cat $L/out; grep -c nowhere $L/err`);
    expect(stdout.split(/\s+/u)).toEqual(['126', '0', '2', '1', 'one.txt', '1', '']);
    expect(await readFile(join(world.folder, 'local', 'out'), 'utf8')).toBe('one.txt\n');
  });
});
