import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { Terminal } from '../support/ssh-terminal.js';

/** The supervised shell: each line that is typed is judged as a command is, and nothing else reaches the host. */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if not input.operation.opaque

allow contains {"code": "named"} if "all" in input.principal.roles

allow contains {"code": "unclear_lines"} if {
	"unclear" in input.principal.roles
	input.operation.ssh.entered == "shell"
}

deny contains {"code": "no_secrets", "message": "not that file"} if {
	some resource in input.operation.resources
	resource.type == "file"
	endswith(resource.name, "/secret")
}

mask contains {"resource": "shell", "with": "pattern", "code": "masked"} if "masked" in input.principal.roles

limit contains {"bytes": 500} if {
	"little" in input.principal.roles
	input.operation.ssh.request == "shell"
}
`,
};

let folder: string;
let host: SshHost;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-shell-')));
  await mkdir(join(folder, 'sub/deeper dir'), { recursive: true });
  await mkdir(join(folder, 'two\nlines'));
  await mkdir(join(folder, 'gone'));
  await symlink(join(folder, 'sub'), join(folder, 'link'));
  await writeFile(join(folder, 'notes'), 'plain words\n');
  await writeFile(join(folder, 'people'), 'ada@example.com\n');
  await writeFile(join(folder, 'secret'), 'canary\n');
  await writeFile(join(folder, 'sub/secret'), 'canary\n');
  host = await startSshHost(folder);
  const upstream = { host: host.host, port: host.port, user: host.user, password: host.password };
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy,
    config: {
      listen: { ssh: '127.0.0.1:0' },
      recordings: { folder: './recordings' },
      targets: [{ name: 'build', protocol: 'ssh', upstream: { ...upstream, host_key: host.fingerprint } }],
    },
  });
});
afterAll(async () => {
  await gateway?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  /** What reached the host. */
  readonly reached: readonly string[];
}

async function connected<T>(roles: readonly string[], work: (client: Client) => Promise<T>): Promise<T> {
  const password = await gateway.token({ roles: [...roles] });
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.on('ready', resolve).on('error', reject);
    client.connect({ host: gateway.host, port: gateway.port, username: 'build', password });
  });
  try {
    return await work(client);
  } finally {
    client.end();
  }
}

/** A script on standard input, without a terminal. */
const script = (lines: string, roles: readonly string[] = []): Promise<Outcome> =>
  connected(roles, async (client) => {
    const before = host.log.length;
    const channel = await new Promise<ClientChannel>((resolve, reject) =>
      client.shell(false, (error, opened) => (error ? reject(error) : resolve(opened))),
    );
    let [stdout, stderr] = ['', ''];
    let code: number | null = null;
    channel.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    channel.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    channel.on('exit', (given: number | null) => (code = given));
    const over = new Promise<void>((resolve) => channel.once('close', () => resolve()));
    channel.end(lines);
    await over;
    return { stdout, stderr, code, reached: host.log.slice(before) };
  });

describe('a script of lines', () => {
  test('is judged and run line by line, and ends with the status of the last', async () => {
    const outcome = await script('cat notes\n\n# a comment\nls missing-file\necho last one');
    expect(outcome).toMatchObject({ stdout: 'plain words\nlast one\n', code: 0 });
    expect(outcome.stderr).toContain('missing-file');
    expect(outcome.reached).toEqual(["exec 'cat' notes", "exec 'ls' missing-file", "exec 'echo' last one"]);
    expect(await script('test -f nowhere\n')).toMatchObject({ code: 1 });
    expect(await script('exit 7\necho never\n')).toMatchObject({ stdout: '', code: 7 });
  });

  test('goes on behind a line that is denied, of which the host sees nothing', async () => {
    const outcome = await script('cat secret\nperl -e 1\necho on\n');
    expect(outcome).toMatchObject({ stdout: 'on\n', code: 0, reached: ["exec 'echo' on"] });
    expect(outcome.stderr).toContain('denied by policy: not that file');
    expect(outcome.stderr).toContain('what perl does is not known');
    expect(await script('cat secret\n')).toMatchObject({ code: 126, reached: [] });
  });

  test('keeps its folder, by the name that it really has', async () => {
    const outcome = await script('cd link && pwd\ncd "deeper dir"\npwd\ncd -\ncd ..\ncat notes\necho $PWD $?\n');
    expect(outcome.stderr).toBe(`${folder}/sub\r\n`);
    expect(outcome.stdout.split('\n')).toEqual([`${folder}/sub`, `${folder}/sub/deeper dir`, 'plain words', `${folder} 0`, '']); // prettier-ignore
    expect(outcome.reached).toContain(`exec 'cd' '${folder}/sub/deeper dir' || exit 113; 'pwd'`);
  });

  test('has names judged where they are: in the folder that a link led to', async () => {
    const outcome = await script('cd link\ncat secret\ncat ../notes ../secret\n');
    expect(outcome).toMatchObject({ stdout: '', code: 126 });
    expect(outcome.reached).toEqual(["exec 'cd' link && 'pwd' -P"]);
    const records = JSON.stringify(await gateway.records());
    expect(records).toContain(`"name":"${folder}/sub/secret"`);
    expect(records).toContain(`"name":"${folder}/secret"`);
  });
});

const terminal = <T>(work: (shell: Terminal) => Promise<T>, roles: readonly string[] = []): Promise<T> =>
  connected(roles, async (client) => {
    const window = { rows: 24, cols: 80, term: 'xterm' };
    const shell = new Terminal(
      await new Promise<ClientChannel>((resolve, reject) =>
        client.shell(window, (error, opened) => (error ? reject(error) : resolve(opened))),
      ),
    );
    await shell.until('$ ');
    return work(shell);
  });

describe('a terminal', () => {
  test('has a prompt, a line that can be edited, and what comes of it', async () => {
    await terminal(async (shell) => {
      const before = host.log.length;
      expect(await shell.line('cat nots\x1b[De')).toBe('plain words\n');
      expect(host.log.slice(before)).toEqual(['pty 80x24', "exec 'cat' notes"]);
      expect(await shell.line('cat secret')).toMatch(
        /^sallyport: denied by policy: not that file\r\n.*"outcome":"deny".*\r\n/u,
      );
      expect(await shell.line('echo $?')).toContain('126\n');
      await shell.line('cd sub');
      expect(shell.prompt).toBe(`deploy@build:${folder}/sub$ `);
      shell.type('exit 3\r');
      await shell.over;
      expect(shell.code).toBe(3);
    });
  });

  test('asks for the rest of a line, gives it up at ^C, and ends at ^D', async () => {
    await terminal(async (shell) => {
      shell.type("echo 'one\r");
      await shell.until('> ');
      shell.type("two'\r");
      expect(await shell.until('$ ')).toContain('one\ntwo\n');
      shell.type('if true; then\rrm notes\r');
      await shell.until('> ');
      await shell.until('> ');
      shell.type('\x03');
      await shell.until('$ ');
      shell.type('\x04');
      await shell.over;
      expect(shell.code).toBe(130);
    });
  });

  test('gives what is typed to the command that runs, and to no other line', async () => {
    await terminal(async (shell) => {
      const before = host.log.length;
      shell.type('cat notes -\r');
      await shell.until('plain words');
      shell.resize(50, 120);
      shell.type('rm notes\n');
      await shell.until('rm notes\n');
      expect(host.log.slice(before)).toEqual(['pty 80x24', "exec 'cat' notes -", 'window 120x50']);
      shell.end();
      await shell.over;
      expect(host.log.slice(before)).toHaveLength(3);
      expect(shell.code).toBe(0);
    });
  });

  test('runs without one what would start a pager in it', async () => {
    await terminal(async (shell) => {
      const before = host.log.length;
      await shell.line('git log');
      expect(host.log.slice(before)).toEqual(["exec 'git' log"]);
      shell.type('\x04');
    });
  });
});

describe('what is denied as a command', () => {
  test('is denied as a line, and the host sees nothing', async () => {
    for (const form of [
      'cat secret',
      'cd sub && cat secret',
      'ls\ncat secret',
      'cat <<EOF\nx\nEOF',
      'x=secret; cat $x',
      'ls & cat secret',
      "cat 'sec",
      'cd /etc; cat x',
    ]) {
      const before = host.log.length;
      await terminal(async (shell) => {
        shell.type(`\x1b[200~${form}\x1b[201~\r\x03\x04`);
        await shell.over;
      });
      const { stdout } = await script(`${form}\n`);
      expect([form, stdout.includes('canary')]).toEqual([form, false]);
      const reached = host.log.slice(before).filter((line) => line !== "exec 'ls'" && !line.startsWith('pty'));
      expect([form, reached]).toEqual([form, []]);
    }
  });
});
