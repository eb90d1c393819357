import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tmux } from './ssh/tmux.js';
import { openSshWorld, type SshWorld } from './ssh/world.js';
import { clientTest, runProgram, type Outcome } from './support.js';

/** The supervised shell as people have it: OpenSSH's client in a terminal, OpenSSH's server behind the gateway. */

const group = 'a supervised shell in a terminal, with OpenSSH on both sides,';
const test_ms_max = 300_000;

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "known"} if not input.operation.opaque

# What the tests run of which it is never known what it does: editors, pagers, and a script of theirs.
allow contains {"code": "lines"} if {
	input.operation.ssh.entered == "shell"
	every command in input.operation.ssh.commands { command.program in {"less", "vi", "stty", "resized.sh", "bash"} }
}

allow contains {"code": "forwardings"} if input.operation.ssh.request == "forward"

deny contains {"code": "no_secrets", "message": "not that file"} if {
	some resource in input.operation.resources
	resource.type == "file"
	endswith(resource.name, "/secret")
}

approval contains {"code": "deletes_wait", "groups": ["operators"]} if input.operation.action == "delete"
`,
};

describe(group, () => {
  let world: SshWorld;
  let place: string;

  beforeAll(async () => {
    world = await openSshWorld(policy);
    place = join(world.folder, 'place');
    await mkdir(join(place, 'sub'), { recursive: true });
    await writeFile(join(place, 'secret'), 'canary\n');
    await writeFile(join(place, 'numbers'), Array.from({ length: 200 }, (_, n) => `line ${n}\n`).join(''));
    await writeFile(join(place, 'resized.sh'), 'trap "stty size; exit" WINCH\necho ready\nwhile :; do sleep 0.1; done');
  }, test_ms_max);
  afterAll(() => world?.close(), test_ms_max);

  /** An ssh in a terminal, at its prompt, in the folder of the tests. */
  async function shell(work: (screen: Tmux) => Promise<unknown>, command = 'ssh -F $F h'): Promise<void> {
    const screen = new Tmux(world.folder, `${command}; echo "ssh ended with $?"`, await world.environment('gateway'));
    try {
      await screen.until(/\$$/u);
      screen.type(`cd ${place}`);
      screen.keys('Enter');
      await screen.until(/place\$$/u);
      screen.keys('C-l');
      await screen.until((shown) => !shown.includes('\n') && shown.endsWith('place$'));
      await work(screen);
    } finally {
      screen.close();
    }
  }
  const ssh = async (script: string, input?: string): Promise<Outcome> =>
    runProgram('bash', ['-c', script], {
      env: await world.environment('gateway'),
      ...(input === undefined ? {} : { input }),
    });
  const check = (name: string, run: () => Promise<void>) => clientTest(group, name, run, test_ms_max);

  /** The last lines of the screen, without the prompt at their end and the one in front of the command. */
  const after = (shown: string, command: string): string[] => {
    const lines = shown.split('\n');
    const from = lines.findLastIndex((line) => line.endsWith(`place$ ${command}`));
    return lines.slice(from + 1, -1);
  };
  const ran = (screen: Tmux, command: string) =>
    screen.until((shown) => shown.includes(`$ ${command}\n`) && shown.endsWith('place$')).then((shown) => after(shown, command)); // prettier-ignore

  check('has lines edited as people are used to, with wide characters and rows that are full', () =>
    shell(async (screen) => {
      screen.type('ech wrd');
      screen.keys('Left', 'Left');
      screen.type('o');
      screen.keys('Home', 'Right', 'Right', 'Right');
      screen.type('o');
      screen.keys('End');
      screen.type('s');
      screen.keys('Enter');
      expect(await ran(screen, 'echo words')).toEqual(['words']);
      screen.keys('Up');
      screen.keys('C-w');
      screen.type('漢字かな👍e\u0301');
      screen.keys('Left', 'Left', 'Left', 'BSpace');
      await screen.until(/echo 漢字な👍e\u0301$/u);
      const [column] = screen.cursor;
      const before = screen.screen.split('\n').at(-1)!.indexOf('echo');
      expect(column - before).toBe('echo '.length + 4);
      screen.keys('Enter');
      expect(await ran(screen, 'echo 漢字な👍e\u0301')).toEqual(['漢字な👍e\u0301']);
      const long = `echo ${'0123456789'.repeat(12)}`;
      screen.type(long);
      screen.keys('Home', 'Delete', 'Delete', 'Delete', 'Delete');
      screen.type('echo');
      screen.keys('End', 'BSpace');
      screen.type('!');
      screen.keys('Enter');
      const shown = await screen.until((text) => text.endsWith('place$') && text.split('678!').length === 3);
      expect(shown.replaceAll('\n', '')).toContain(`echo ${'0123456789'.repeat(12).slice(0, -1)}!`);
      screen.keys('Up', 'Up', 'Up', 'Up', 'Down', 'C-c');
      await screen.until(/\^C\n.*place\$$/u);
    }),
  );

  check('takes a paste of many lines whole, and runs each of them', () =>
    shell(async (screen) => {
      const lines = Array.from({ length: 12 }, (_, number) => `echo pasted ${number}`);
      screen.paste(lines.join('\n'));
      await screen.until(/echo pasted 11$/u);
      expect(screen.screen).not.toMatch(/^pasted/mu);
      screen.keys('Enter');
      const shown = await screen.until((text) => /^pasted 11$/mu.test(text) && text.endsWith('place$'));
      expect(shown.split('\n').filter((line) => line.startsWith('pasted'))).toEqual(lines.map((line) => line.slice(5)));
    }),
  );

  check('has the size that its window has, at the prompt and while a command runs', () =>
    shell(async (screen) => {
      screen.type('stty size');
      screen.keys('Enter');
      expect(await ran(screen, 'stty size')).toEqual(['24 80']);
      screen.resize(100, 30);
      screen.type('stty size');
      screen.keys('Enter');
      await screen.until(/^30 100$/mu);
      screen.type('bash resized.sh');
      screen.keys('Enter');
      await screen.until(/ready$/u);
      screen.resize(70, 20);
      await screen.until(/^20 70\n.*place\$$/mu);
    }),
  );

  check('has a command ended with Ctrl-C, and goes on', () =>
    shell(async (screen) => {
      const running = world.sshd.running.size;
      screen.type('sleep 600');
      screen.keys('Enter');
      await screen.until(/sleep 600$/u);
      await sleeping(true);
      screen.keys('C-c');
      await screen.until(/\^C\n.*place\$$/u);
      await sleeping(false);
      screen.type('echo $?');
      screen.keys('Enter');
      expect(await ran(screen, 'echo $?')).toEqual(['130']);
      expect(world.sshd.running.size).toBe(running);
    }),
  );

  /** Whether it runs on the host; waits until it is so. */
  async function sleeping(is: boolean): Promise<void> {
    while (((await runProgram('pgrep', ['-fx', 'sleep 600'])).code === 0) !== is);
  }

  check('ends with the code of exit, and of the last line at Ctrl-D', async () => {
    await shell(async (screen) => {
      screen.type('exit 7');
      screen.keys('Enter');
      await screen.until(/^ssh ended with 7$/mu);
    });
    await shell(async (screen) => {
      screen.type('test -e nowhere');
      screen.keys('Enter');
      await ran(screen, 'test -e nowhere');
      screen.keys('C-d');
      await screen.until(/^ssh ended with 1$/mu);
    });
  });

  check('keeps its folder and its variables', () =>
    shell(async (screen) => {
      screen.type('cd sub && pwd');
      screen.keys('Enter');
      await screen.until((shown) => shown.includes(`${place}/sub\n`) && shown.endsWith('sub$'));
      for (const line of ['export LANG=C TZ=Asia/Tokyo', 'cd -', 'echo $LANG $TZ']) {
        screen.type(line);
        screen.keys('Enter');
      }
      await screen.until(/^C Asia\/Tokyo\n.*place\$$/mu);
      screen.type('date +%Z');
      screen.keys('Enter');
      expect(await ran(screen, 'date +%Z')).toEqual(['JST']);
    }),
  );

  check('gives the whole screen to a pager and to an editor, and has its own back', () =>
    shell(async (screen) => {
      screen.type('less numbers');
      screen.keys('Enter');
      await screen.until(/^line 0\n[^]*line 22\nnumbers$/u);
      screen.keys('G');
      await screen.until(/line 199\n\(END\)$/u);
      screen.keys('q');
      await screen.until(/less numbers\n+.*place\$$/u);
      screen.type('vi -u NONE new');
      screen.keys('Enter');
      await screen.until(/\n~\n[^]*new/u);
      screen.type('iwritten\x1b');
      screen.keys('Escape');
      screen.type(':wq');
      screen.keys('Enter');
      await screen.until(/vi -u NONE new\n+.*place\$$/u);
      expect(await readFile(join(place, 'new'), 'utf8')).toBe('written\n');
    }),
  );

  check('says what is denied, and waits with what people have to approve', () =>
    shell(async (screen) => {
      screen.type('cat secret');
      screen.keys('Enter');
      await screen.until(/sallyport: denied by policy: not that file\n[^]*place\$$/u);
      expect(screen.screen).not.toContain('canary');
      await writeFile(join(place, 'victim'), '');
      screen.type('rm victim');
      screen.keys('Enter');
      await screen.until(/waiting for an approval/u);
      await approve();
      await screen.until((shown) => /waiting for an approval/u.test(shown) && shown.endsWith('place$'));
      await expect(readFile(join(place, 'victim'))).rejects.toThrow('ENOENT');
    }),
  );

  async function approve(): Promise<void> {
    const { approvers } = world.gateway.gateway;
    const [request] = await approvers.list({ status: 'waiting' });
    const expires_ms = Date.now() + 60_000;
    const principal = {
      ...{ subject: 'ada@example.com', issuer: world.gateway.idp.issuer, kind: 'human' as const },
      ...{ groups: ['operators'], roles: [], attributes: {}, token: { expires: new Date(expires_ms).toISOString() } },
    };
    await approvers.answer(request!.id, { principal, expires_ms }, { kind: 'approve', through: 'api' });
  }

  check('is none where a command is asked for, with a terminal or without', async () => {
    expect(await ssh(`ssh -t -t -F $F h 'test -t 0 && cat ${place}/../place/numbers | head -n 2'; echo $?`)).toMatchObject({ stdout: 'line 0\r\nline 1\r\n0\n' }); // prettier-ignore
    const denied = await ssh(`ssh -tt -F $F h cat ${place}/secret; echo $?`);
    expect(denied.stdout).toContain('126');
    expect(denied.stdout).not.toContain('canary');
    const opaque = await ssh(`ssh -t -F $F h 'bash -c true'; echo $?`);
    expect(opaque.stdout).toContain('126');
  });

  check('takes its lines from a pipe, with a terminal (-tt) and without', async () => {
    const lines = `cd ${place}\ncat sub/../secret\necho out\nls nowhere\nexit 4\n`;
    const without = await ssh('ssh -T -F $F h; echo $?', lines);
    expect(without.stdout).toBe('out\n4\n');
    expect(without.stderr).toContain('denied by policy: not that file');
    expect(without.stderr).toContain('nowhere');
    const within = await ssh('ssh -tt -F $F h; echo $?', lines);
    expect(within.stdout).toMatch(/\$ echo out\r\n\x1b\[\?2004lout\r\n/u);
    expect(within.stdout).toMatch(/\$ exit 4\r\n\x1b\[\?2004l4\n$/u);
    expect(`${without.stdout}${within.stdout}`).not.toContain('canary');
  });

  check('is one of several over one connection, each with its own folder', async () => {
    const control = join(world.folder, 'control');
    const master = `ssh -F $F -o ControlPath=${control} -M -N -f h`;
    await ssh(master);
    try {
      await shell(async (screen) => {
        screen.type('echo first');
        screen.keys('Enter');
        await ran(screen, 'echo first');
        const others = await Promise.all(
          ['sub', '.'].map((name) => ssh(`ssh -T -F $F -o ControlPath=${control} h`, `cd ${place}/${name}\npwd\nexit 3\n`)),
        ); // prettier-ignore
        expect(others.map(({ code, stdout }) => [code, stdout])).toEqual([
          [3, `${place}/sub\n`],
          [3, `${place}\n`],
        ]);
        screen.type('pwd');
        screen.keys('Enter');
        expect((await ran(screen, 'pwd')).join('')).toBe(place);
      }, `ssh -F $F -o ControlPath=${control} h`);
    } finally {
      await ssh(`ssh -F $F -o ControlPath=${control} -O exit h`);
      await rm(control, { force: true });
    }
  });
});
