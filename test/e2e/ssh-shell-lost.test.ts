import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readdir, realpath, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'ssh2';
import type { Identity } from '../../gateway/protocol.js';
import { startShells, type Shells } from '../support/ssh-shells.js';
import type { Terminal } from '../support/ssh-terminal.js';

/** A supervised shell under which its session, its host or its folder goes away: that is said, and nothing stays. */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if not input.operation.opaque

allow contains {"code": "unclear_lines"} if {
	"unclear" in input.principal.roles
	input.operation.ssh.entered == "shell"
}

approval contains {"code": "one_waits", "groups": ["operators"]} if {
	some command in input.operation.ssh.commands
	"nothing" in command.argv
}
`,
};

let folder: string;
let shells: Shells;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-shell-lost-')));
  shells = await startShells(folder, policy);
  // What the gateway opens once, and keeps.
  await shells.terminal(async (shell) => {
    for (const [, at] of [moments[1]!, moments[3]!]) {
      await at(shell);
      shell.type('\x03');
      await shell.until('^C');
      await shell.until('$ ');
    }
  });
});
afterAll(async () => {
  await shells?.close();
  await rm(folder, { recursive: true, force: true });
});

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
};
const waiting = async () => (await shells.gateway.gateway.approvers.list({ status: 'waiting' })).length;
const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

/** Where a shell can be when something ends it: what was typed, and how one sees that it is there. */
const moments: readonly (readonly [string, (shell: Terminal) => Promise<unknown>])[] = [
  ['at its prompt', async () => undefined],
  [
    'in the middle of a line',
    async (shell) => {
      shell.type('echo beg');
      await shell.until('echo beg');
    },
  ],
  [
    'in the middle of a command',
    async (shell) => {
      shell.type('sleep 600\r');
      await until(() => shells.host.running.size === 1);
    },
  ],
  [
    'with a line that waits for people',
    async (shell) => {
      shell.type('rm nothing\r');
      await until(async () => (await waiting()) === 1);
    },
  ],
];

/** Ends it at a moment, and looks at what its client was told and at what is left. */
async function ended(at: (shell: Terminal) => Promise<unknown>, end: (subject: string) => Promise<unknown>) {
  const before = await descriptors();
  const subject = `agent:${String(Math.random())}`;
  const seen = await shells.terminal(
    async (shell, client: Client) => {
      const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
      await at(shell);
      await end(subject);
      await shell.over;
      await closed;
      return { code: shell.code, said: shell.shown };
    },
    { subject },
  );
  await until(() => shells.host.running.size === 0);
  await until(async () => (await waiting()) === 0);
  await until(async () => (await descriptors()) <= before);
  expect(await shells.gateway.gateway.sessions.list()).toEqual([]);
  return seen;
}

describe('a session that is ended by an administrator', () => {
  test.each(moments)('ends its shell %s, with the reason and an exit code', async (_moment, at) => {
    const administrator = {} as Identity;
    const { code, said } = await ended(at, (subject) =>
      shells.gateway.gateway.sessions.kill({ subject }, administrator, 'a drill'),
    );
    expect(said).toContain('ended by an administrator: a drill');
    expect(code).toBe(255);
  });
});

describe('a host that goes away', () => {
  test.each(moments)('ends the shell %s, with the reason and an exit code', async (_moment, at) => {
    const { code, said } = await ended(at, async () => shells.host.drop());
    expect(said).toContain('the host of build closed the connection');
    expect(code).toBe(255);
  });
});

describe('a shell whose folder is removed', () => {
  const gone = 'cannot be entered any more: the line did not run';

  test('says so, runs nothing of that line, and goes on in the home folder', async () => {
    await mkdir(join(folder, 'removed'));
    await shells.terminal(async (shell) => {
      await shell.line('cd removed');
      await rmdir(join(folder, 'removed'));
      const before = shells.host.log.length;
      expect(await shell.line('echo never')).toContain(
        `${folder}/removed ${gone}, and the next ones run in the home folder`,
      );
      expect(shell.prompt).toBe('deploy@build:~$ ');
      expect(await shell.line('echo $?')).toBe('1\n');
      expect(shells.host.log.slice(before).at(-1)).toBe("exec 'echo' 1");
    });
  });

  test('runs nothing there of what was typed for the folder that it had', async () => {
    await mkdir(join(folder, 'removed'));
    await shells.terminal(async (shell) => {
      await shell.line('cd removed');
      await rmdir(join(folder, 'removed'));
      shell.type('\x1b[200~echo never\necho nor this\x1b[201~\recho and not this\r');
      const said = await shell.until('nothing that is typed counts until Ctrl-C');
      expect(said).toContain(`${folder}/removed ${gone}; the next ones run in the home folder`);
      await shell.until('~$ ');
      shell.type('\x03');
      await shell.until('~$ ');
      expect(await shell.line('echo on')).toBe('on\n');
      expect(shells.host.log.filter((one) => one.includes('this'))).toEqual([]);
    });
    await mkdir(join(folder, 'removed'));
    const outcome = await shells.script('cd removed\nrmdir ../removed\necho never\necho nor this\n');
    expect(outcome).toMatchObject({ stdout: '', code: 1 });
    expect(outcome.stderr).toContain(`${folder}/removed ${gone}, and no other does`);
  });

  test('does not leave it for a program that ends with the same code', async () => {
    await mkdir(join(folder, 'kept'), { recursive: true });
    await shells.terminal(
      async (shell) => {
        await shell.line('cd kept');
        expect(await shell.line('(exit 113)')).toBe('');
        expect(shell.prompt).toBe(`deploy@build:${folder}/kept$ `);
        expect(await shell.line('echo $?')).toBe('113\n');
      },
      { roles: ['unclear'] },
    );
  });
});
