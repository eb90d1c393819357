import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import type { ApprovalRequest } from '../../gateway/approvals/index.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import type { TokenOptions } from '../support/idp.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';
import { Terminal } from '../support/ssh-terminal.js';

/** What policy puts on a supervised shell and its lines, what is recorded of both, and how they end otherwise than by "exit". */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if not input.operation.opaque

mask contains {"resource": "shell", "with": "pattern", "code": "masked"} if "masked" in input.principal.roles

mask contains {"resource": "*", "with": "pattern", "code": "masked_shell"} if {
	"masked_shell" in input.principal.roles
	input.operation.ssh.request == "shell"
}

limit contains {"bytes": 300} if {
	"little" in input.principal.roles
	input.operation.ssh.request == "shell"
}

limit contains {"seconds": 1} if {
	"short" in input.principal.roles
	input.operation.ssh.request == "shell"
}

approval contains {"code": "deletes_wait", "groups": ["operators"]} if input.operation.action == "delete"
`,
};

let folder: string;
let host: SshHost;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-shell-ends-')));
  await mkdir(join(folder, 'two\nlines'));
  await mkdir(join(folder, 'red\x1b[31m'));
  await mkdir(join(folder, "o'brien dir"));
  await mkdir(join(folder, '-n'));
  await mkdir(join(folder, 'ada@example.com'));
  await mkdir(join(folder, 'gone'));
  await writeFile(join(folder, 'people'), 'ada@example.com\n');
  await writeFile(join(folder, "o'brien dir/notes"), 'quoted\n');
  await writeFile(join(folder, '-n/notes'), 'dashed\n');
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

async function connected<T>(options: TokenOptions, work: (client: Client) => Promise<T>): Promise<T> {
  const password = await gateway.token(options);
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

const shellOf = (client: Client, window: ssh2.PseudoTtyOptions | false): Promise<ClientChannel> =>
  new Promise((resolve, reject) =>
    client.shell(window, (error: Error | undefined, opened: ClientChannel) =>
      error ? reject(error) : resolve(opened),
    ),
  );

const terminal = <T>(work: (shell: Terminal) => Promise<T>, options: TokenOptions = {}): Promise<T> =>
  connected(options, async (client) => {
    const shell = new Terminal(await shellOf(client, { rows: 24, cols: 80, term: 'xterm' }));
    await shell.until('$ ');
    return work(shell);
  });

const script = (lines: string, roles: string[] = []) =>
  connected({ roles }, async (client) => {
    const channel = await shellOf(client, false);
    let [stdout, stderr] = ['', ''];
    let code: number | null = null;
    channel.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    channel.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    channel.on('exit', (given: number | null) => (code = given));
    const over = new Promise<void>((resolve) => channel.once('close', () => resolve()));
    channel.end(lines);
    await over;
    return { stdout, stderr, code };
  });

type Entry = Record<string, unknown> & { readonly result: Record<string, unknown> };

/** Records come a moment after what they are about. */
async function recorded(fits: (entry: Entry) => boolean): Promise<Entry> {
  for (;;) {
    const found = ((await gateway.records()) as Entry[]).find(fits);
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function waiting(): Promise<ApprovalRequest> {
  for (;;) {
    const [request] = await gateway.gateway.approvers.list({ status: 'waiting' });
    if (request !== undefined) return request;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function answer(kind: 'approve' | 'refuse', id: string): Promise<void> {
  const expires_ms = Date.now() + 60_000;
  const principal = {
    ...{ subject: 'ada@example.com', issuer: gateway.idp.issuer, kind: 'human' as const, groups: ['operators'] },
    ...{ roles: [], attributes: {}, token: { expires: new Date(expires_ms).toISOString() } },
  };
  await gateway.gateway.approvers.answer(id, { principal, expires_ms }, { kind, through: 'api' });
}

describe('a line that people answer', () => {
  test('runs when it is approved, and not when it is refused', async () => {
    await terminal(async (shell) => {
      await writeFile(join(folder, 'victim'), '');
      for (const kind of ['refuse', 'approve'] as const) {
        const before = host.log.length;
        shell.type('rm victim\r');
        await shell.until('waiting for an approval');
        await answer(kind, (await waiting()).id);
        const said = await shell.until('$ ');
        expect([kind, said.includes('not approved: ada@example.com refused')]).toEqual([kind, kind === 'refuse']);
        expect(host.log.slice(before).filter((one) => one.startsWith('exec'))).toEqual(kind === 'approve' ? ["exec 'rm' victim"] : []); // prettier-ignore
      }
    });
  });

  test('is taken back with ^C, with what was typed behind it', async () => {
    await terminal(async (shell) => {
      const before = host.log.length;
      shell.type('rm people\r');
      await shell.until('waiting for an approval');
      const { id } = await waiting();
      shell.type('rm people\r\x03');
      await shell.until('^C\r\n');
      await shell.until('$ ');
      expect(await gateway.gateway.approvers.list({ status: 'waiting' })).toEqual([]);
      expect(JSON.stringify(await recorded((entry) => JSON.stringify(entry).includes('withdrawn')))).toContain(id);
      expect(await shell.line('echo $?')).toContain('130');
      expect(host.log.slice(before).filter((one) => one.includes('rm'))).toEqual([]);
    });
  });
});

describe('what policy puts on the shell', () => {
  test.each(['masked', 'masked_shell'])(
    'masks what its lines show, on the screen and in the recording (%s)',
    async (role) => {
      await terminal(
        async (shell) => {
          expect(await shell.line('cat people')).toBe('***\n');
          shell.type('exit\r');
          await shell.over;
        },
        { subject: `agent:${role}`, roles: [role] },
      );
      expect(await script('cat people\n', [role])).toMatchObject({ stdout: '***\n' });
      const file = await recordingOf(`agent:${role}`);
      expect(file).not.toContain('ada@example.com');
      expect(file).toContain('***');
    },
  );

  test('does not take a masked name of a folder for the folder', async () => {
    const outcome = await script('cd ada@example.com\npwd\n', ['masked']);
    expect(outcome).toMatchObject({ stdout: `${folder}\n` });
    expect(outcome.stderr).toContain('what policy masks stands in the name of this folder');
  });

  test('stops it at its bytes, and at its seconds, with the exit code of what is denied', async () => {
    const bytes = await script('seq 100\nseq 100\nseq 100\necho never\n', ['little']);
    expect(bytes).toMatchObject({ code: 126 });
    expect(bytes.stdout).toHaveLength(300);
    expect(bytes.stderr).toContain('stopped by policy: more than 300 bytes');
    const seconds = await script('sleep 100\necho never\n', ['short']);
    expect(seconds).toMatchObject({ code: 126, stdout: '' });
    expect(seconds.stderr).toContain('stopped by policy: more than 1 seconds');
    await terminal(
      async (shell) => {
        await shell.over;
        expect(shell.code).toBe(126);
      },
      { roles: ['short'] },
    );
  });
});

/** The recording of the one shell of an agent. */
async function recordingOf(subject: string): Promise<string> {
  const intent = await recorded(
    (entry) => entry['kind'] === 'intent' && JSON.stringify(entry).includes(`"${subject}"`) && JSON.stringify(entry).includes('"supervised":true'), // prettier-ignore
  );
  const outcome = await recorded(
    ({ kind, decision_id }) => kind === 'outcome' && decision_id === intent['decision_id'],
  );
  const { id } = outcome.result['recording'] as { id: string };
  return readFile(join(gateway.folder, 'recordings', `${id}.cast`), 'utf8');
}

describe('the recording', () => {
  test('is one for all lines, with what was shown, a marker for each decision, and outcomes that name it', async () => {
    const before = (await readdir(join(gateway.folder, 'recordings'))).length;
    await terminal(
      async (shell) => {
        await shell.line('echo taken back\x15echo one');
        await shell.line('echo two');
        shell.type('exit\r');
        await shell.over;
      },
      { subject: 'agent:recorded' },
    );
    const file = await recordingOf('agent:recorded');
    const events = file
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((text) => JSON.parse(text) as [number, string, string]);
    const shown = events
      .filter(([, kind]) => kind === 'o')
      .map(([, , text]) => text)
      .join('');
    expect(shown).toContain('$ echo one\r\n');
    expect(shown).toContain('two');
    expect(shown).not.toContain('taken back');
    const markers = events.filter(([, kind, text]) => kind === 'm' && text.startsWith('d-')).map(([, , text]) => text);
    expect(markers).toHaveLength(2);
    for (const marker of markers) {
      const outcome = await recorded(({ kind, decision_id }) => kind === 'outcome' && decision_id === marker);
      expect(file).toContain(`"${(outcome.result['recorded_in'] as string).replace('r-', 'd-')}"`);
    }
    expect(await readdir(join(gateway.folder, 'recordings'))).toHaveLength(before + 1);
  });
  test('has nothing of what a command reads without an echo', async () => {
    await terminal(
      async (shell) => {
        const before = host.log.length;
        shell.type('wc -c\r');
        while (host.log.length < before + 2) await new Promise((resolve) => setTimeout(resolve, 10));
        shell.type('hidden-word\n');
        shell.end();
        await shell.over;
      },
      { subject: 'agent:hidden' },
    );
    expect(await recordingOf('agent:hidden')).not.toContain('hidden-word');
    expect(JSON.stringify(await gateway.records())).not.toContain('hidden-word');
  });
});

describe('an end from without', () => {
  test('of the input is one for the lines that it had already, with a terminal', async () => {
    await connected({}, async (client) => {
      const shell = new Terminal(await shellOf(client, { rows: 24, cols: 80, term: 'xterm' }));
      shell.type('cd .\rcat - people\r');
      shell.end();
      await shell.over;
      expect(shell.shown).toContain('ada@example.com');
      expect(shell.code).toBe(0);
    });
  });

  test('leaves what comes behind it alone', async () => {
    const outcome = await script(`exit 4\n${'x'.repeat(1_000_000)}`);
    expect(outcome).toMatchObject({ code: 4 });
  });
});

describe('the names of folders', () => {
  test('go to the host in quotes, and those that no line can name are not entered', async () => {
    expect(await script(`cd "o'brien dir"\ncat notes\ncd ../-n\ncat notes\n`)).toMatchObject({ stdout: 'quoted\ndashed\n', code: 0 }); // prettier-ignore
    for (const name of ["$'two\\nlines'", 'two*', 'red*', 'r??????m']) {
      const outcome = await script(`cd ${name}\npwd\n`);
      expect([name, outcome.stdout]).toEqual([name, `${folder}\n`]);
    }
  });

  test('are said by the host when they are there no more, and the line does not run', async () => {
    await terminal(async (shell) => {
      await shell.line('cd gone');
      await rmdir(join(folder, 'gone'));
      expect(await shell.line('echo still')).not.toContain('still');
    });
  });

  test('are not guessed where a shell would take them for options', async () => {
    for (const text of ['cd -- && cat people', 'cd -P && cat people', 'cd "" && cat people']) {
      const outcome = await script(`${text}\n`);
      expect([text, outcome.stdout, outcome.code]).toEqual([text, '', 126]);
    }
    expect(await script('cd -n\ncd ./-n && cat notes\ncd ..\ncd - && cat notes\n')).toMatchObject({ stdout: 'dashed\ndashed\n' }); // prettier-ignore
  });
});

describe('what is too much', () => {
  test('is not run in part: long lines, and lines that are nested without end', async () => {
    await terminal(async (shell) => {
      const before = host.log.length;
      shell.type(`echo ${'a'.repeat(16_000)}`);
      await shell.until('aaa');
      shell.type('b'.repeat(1_000));
      shell.type('\r');
      await shell.until('it was not run');
      await shell.until('$ ');
      shell.type(`\x1b[200~${'f() '.repeat(4_000)}\x1b[201~\r`);
      await shell.until('nested too deeply');
      await shell.until('$ ');
      expect(host.log.slice(before)).toEqual([]);
      expect(await shell.line('echo on')).toBe('on\n');
    });
  });
});

test('ends with its token, at its prompt and in the middle of a line', async () => {
  for (const line of ['', 'sleep 600\r']) {
    await terminal(
      async (shell) => {
        shell.type(line);
        await shell.over;
        expect(shell.shown).toMatch(/token/);
      },
      { expiresIn: 3 },
    );
  }
});
