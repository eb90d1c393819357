import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'ssh2';
import { shellOf, startShells, type Shells } from '../support/ssh-shells.js';

/** A supervised shell into which too much is typed: it is bounded, told, and nobody else waits for it. */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if not input.operation.opaque

approval contains {"code": "deletes_wait", "groups": ["operators"]} if input.operation.action == "delete"
`,
};

let folder: string;
let shells: Shells;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-shell-floods-')));
  shells = await startShells(folder, policy);
});
afterAll(async () => {
  await shells?.close();
  await rm(folder, { recursive: true, force: true });
});

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
};
const waiting = () => shells.gateway.gateway.approvers.list({ status: 'waiting' });

/** Runs a command beside it, and gives how long that took. */
async function served_ms(client: Client): Promise<number> {
  const start_ms = performance.now();
  await new Promise<void>((resolve, reject) => {
    client.exec('true', (error, channel) => {
      if (error) return reject(error);
      channel.once('close', resolve).resume();
    });
  });
  return performance.now() - start_ms;
}

describe('too much that is typed', () => {
  /** What costs most for each character that is sent. */
  const floods: readonly (readonly [string, string])[] = [
    ['lines before and after', '\x1b[A\x1b[B'.repeat(40_000)],
    ['what was cut out, put in again', `${'x'.repeat(16_000)}${'\x15\x19'.repeat(60_000)}`],
    ['words back and forth', `${'x'.repeat(16_000)}${'\x1bb\x1bf'.repeat(60_000)}`],
    ['empty lines', '\r'.repeat(200_000)],
    ['keys that are none', '\x1b[99~'.repeat(60_000)],
  ];

  test.each(floods)('at the prompt has nobody else wait: %s', async (_name, keys) => {
    await shells.connected({ subject: 'agent:beside' }, async (beside) => {
      await shells.terminal(async (shell) => {
        const line = `echo ${'y'.repeat(16_000)}`;
        await shell.line(line);
        shell.type(keys);
        for (let asked = 0; asked < 10; asked++) expect(await served_ms(beside)).toBeLessThan(2_000);
      });
    });
  });

  test('of a client that does not read is not read on either', async () => {
    await shells.connected({}, async (client) => {
      const channel = await shellOf(client, { rows: 24, cols: 80, term: 'xterm' });
      channel.pause();
      let taken = false;
      // More than both windows hold, of which every letter gives a line of some fifty.
      channel.write('\r'.repeat(8_000_000), () => (taken = true));
      await shells.connected({}, async (beside) => {
        for (let asked = 0; asked < 20; asked++) await served_ms(beside);
      });
      expect(taken).toBe(false);
    });
  });

  test('before its turn is told, and nothing of it is run; Ctrl-C takes the line back that waits all the same', async () => {
    await shells.terminal(async (shell) => {
      const before = shells.host.log.length;
      shell.type('rm -r nothing\r');
      await until(async () => (await waiting()).length === 1);
      shell.type('echo never\r'.repeat(100_000));
      await shell.until('characters were typed ahead; nothing that is typed counts until Ctrl-C');
      shell.type('\x03');
      await shell.until('^C\r\n');
      await until(async () => (await waiting()).length === 0);
      await shell.until('$ ');
      expect(await shell.line('echo on')).toBe('on\n');
      expect(shells.host.log.slice(before).filter((one) => one.startsWith('exec'))).toEqual(["exec 'echo' on"]);
    });
  });

  test('while a command runs waits until it is read', async () => {
    await shells.terminal(async (shell) => {
      shell.type('sleep 2\r');
      await until(() => shells.host.running.size === 1);
      // It reads nothing of it: all of that is gone with it.
      shell.type('echo never\r'.repeat(400_000));
      await shell.until('$ ');
      const rest = await shell.line('\x15\x03');
      expect(rest).not.toContain('never\n');
    });
  });

  test('as a paste of a megabyte is no line', async () => {
    await shells.terminal(async (shell) => {
      const before = shells.host.log.length;
      shell.type(`\x1b[200~${'echo never\n'.repeat(95_000)}\x1b[201~\r`);
      const said = await shell.until('it was not run');
      // It is not answered with as many bells.
      expect(said.length).toBeLessThan(100_000);
      await shell.until('$ ');
      expect(shells.host.log.slice(before)).toEqual([]);
      expect(await shell.line('echo on')).toBe('on\n');
    });
  });

  test('as a script is told, and the script ends there', async () => {
    for (const lines of [`echo ${'x'.repeat(1_000_000)}\n`, `echo '${'\n'.repeat(501)}rm never\n'\n`]) {
      const outcome = await shells.script(`echo first\n${lines}echo never\n`);
      expect(outcome).toMatchObject({ stdout: 'first\n', code: 126, reached: ["exec 'echo' first"] });
      expect(outcome.stderr).toContain('a line has more than 16384 characters, or 500 lines');
    }
  });

  test('of a line that goes on and on leaves no rest that would be lines of their own', async () => {
    const inner = `echo never\n`;
    await shells.terminal(async (shell) => {
      const before = shells.host.log.length;
      shell.type(`\x1b[200~echo '${inner.repeat(600)}'\x1b[201~\r`);
      await shell.until('it was not run');
      await shell.until('$ ');
      shell.type(`echo '${inner.replace('\n', '\r').repeat(600)}'\r`);
      await shell.until('it was not run; nothing that is typed counts until Ctrl-C');
      shell.type('\x03');
      await shell.until('^C\r\n');
      await shell.until('$ ');
      expect(await shell.line('echo on')).toBe('on\n');
      expect(shells.host.log.slice(before).filter((one) => one.startsWith('exec'))).toEqual(["exec 'echo' on"]);
    });
  });

  test('of which the parser would read more than a megabyte is not run', async () => {
    await shells.connected({}, async (beside) => {
      await shells.terminal(async (shell) => {
        shell.type(`\x1b[200~(${`${'$(a)'.repeat(8)}\n`.repeat(490)}\x1b[201~\r`);
        const served = await served_ms(beside);
        await shell.until('too much to read');
        expect(served).toBeLessThan(2_000);
      });
    });
  });
});

test('a line that was begun when a command takes the terminal is the command’s, whole', async () => {
  await shells.terminal(async (shell) => {
    const before = shells.host.log.length;
    shell.type('cat\recho never');
    await shell.until('never');
    shell.type(' again\n');
    await shell.until(' again\n');
    shell.end();
    await shell.over;
    expect(shells.host.log.slice(before).filter((one) => one.startsWith('exec'))).toEqual(["exec 'cat'"]);
  });
});
