import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startTestApi, type TestApi } from '../../../test/support/api.js';
import { waitingRequest } from '../../../test/support/approvers.js';
import type { TokenOptions } from '../../../test/support/idp.js';
import { startValve } from '../../../test/support/valve.js';
import { runCommandLine } from '../index.js';

const dba: TokenOptions = { subject: 'ada@example.com', kind: 'human', groups: ['dba'] };
const bot: TokenOptions = { subject: 'agent:billing-bot', groups: ['agents'] };
const administrator: TokenOptions = { subject: 'root@example.com', groups: ['security'] };

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(async () => api?.close());
beforeEach(() => {
  api.approvers.requests.clear();
  api.approvers.answers.length = 0;
  api.approvers.given.length = 0;
  api.live.length = 0;
  api.killed.length = 0;
});

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  on: { terminal?: boolean; told?: (text: string) => void } = {},
): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const code = await runCommandLine(args, {
    env,
    fallbackFolder: api.folder,
    stdout: {
      isTTY: on.terminal === true,
      write: (text: string) => {
        stdout += text;
        on.told?.(stdout);
      },
    },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}

const environment = async (who: TokenOptions, issuer = api) => ({
  SALLYPORT_URL: issuer.url,
  SALLYPORT_CA: issuer.caFile,
  SALLYPORT_TOKEN: await issuer.idp.issueToken(who),
});
const as = async (who: TokenOptions, ...args: string[]) => run(args, await environment(who));

/** What would clear the screen, colour it, set the window's title, and turn text round. */
const evil = '\u001b[2J\u001b[31mDROP\u0007\u001b]0;owned\u0007\u202e\r\u009b1m<script>alert(1)</script>';
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/u;

describe('sallyport approvals', () => {
  test('lists what waits for whoever asks, as a table or as the API answers it', async () => {
    api.approvers.add(waitingRequest());
    const { code, stdout } = await as(dba, 'approvals');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ID +STATUS +LEFT +WHO +TARGET +YOURS +STATEMENT\n/);
    expect(stdout).toMatch(/^h-1 +waiting +14m 5\ds +agent:billing-bot +orders +to answer +DELETE FROM app\.orders/m);
    const json = await as(dba, 'approvals', 'list', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({ approvals: [{ id: 'h-1', yours: { may_answer: true } }] });
    expect((await as({ subject: 'stranger' }, 'approvals')).stdout).toBe('Nothing waits for you.\n');
  });

  test('shows the claimed prompt apart from the observed operation, with its parameters', async () => {
    api.approvers.add(waitingRequest());
    const { stdout } = await as(dba, 'approvals', 'show', 'h-1');
    const [before, claimed, observed] = stdout.split(/^-- (?:claimed|observed).*$/m);
    expect(before).toContain('agent:billing-bot');
    expect(claimed).toContain('Tidy up old orders.');
    expect(observed).toContain('DELETE FROM app.orders WHERE placed < $1');
    expect(observed).toContain('$1 = "2020-01-01"');
    expect(observed).not.toContain('Tidy up');
    expect(observed).toMatch(/needs +1 of dba: Deletes wait/);
  });

  test('shows what it does, table by table, where somebody measured it', async () => {
    const sample = [{ before: { id: '7', note: evil } }];
    const relations = [{ relation: 'app.orders', inserted: 0, updated: 0, deleted: 3, sample }];
    api.approvers.add(waitingRequest({ effect: { basis: 'estimated', relations, notes: ['a trigger was not run'] } }));
    const { stdout } = await as(dba, 'approvals', 'show', 'h-1');
    expect(stdout).toContain('an estimate: it did not run');
    expect(stdout).toContain('app.orders: 3 deleted');
    expect(stdout).toContain('- id=7');
    expect(stdout).toContain('a trigger was not run');
    expect(stdout).not.toMatch(controls);
  });

  test('keeps escape sequences in a statement, a prompt, a name or a comment from the terminal', async () => {
    const principal = { ...waitingRequest().principal!, subject: `agent:${evil}`, purpose: evil };
    const answer = {
      kind: 'approve',
      by: { issuer: 'i', subject: evil },
      groups: [],
      at_ms: 1,
      comment: evil,
      through: 'api',
    } as const;
    api.approvers.add(
      waitingRequest({ principal, statement: `DELETE ${evil}`, prompt: { text: evil }, answers: [answer], why: evil }),
    );
    for (const args of [['approvals'], ['approvals', 'show', 'h-1']]) {
      const { code, stdout } = await as(dba, ...args);
      expect(code).toBe(0);
      expect(stdout).toContain('\\u001b[2J');
      expect(stdout).not.toMatch(controls);
    }
    // As JSON it is the same value, and no more dangerous to look at.
    const json = await as(dba, 'approvals', 'show', 'h-1', '--json');
    expect(json.stdout).not.toMatch(controls);
    expect(JSON.parse(json.stdout)).toMatchObject({ prompt: { text: evil } });
    // On a terminal, our own colours and no others.
    const { stdout } = await run(['approvals', 'show', 'h-1'], await environment(dba), { terminal: true });
    expect(stdout).toContain('\u001b[1m');
    expect(stdout.replace(/\u001b\[(?:1|2|22|33|39)m/gu, '')).not.toMatch(controls);
  });

  test('approves, and says what was approved', async () => {
    api.approvers.add(waitingRequest());
    const { code, stdout } = await as(
      dba,
      'approvals',
      'approve',
      'h-1',
      '--comment',
      'checked',
      '--grant-uses',
      '3',
      '--grant-for',
      '1h',
    );
    expect(code).toBe(0);
    expect(stdout).toContain('DELETE FROM app.orders');
    expect(stdout).toMatch(/\napproved\.\n$/);
    expect(api.approvers.answers).toMatchObject([
      {
        id: 'h-1',
        answer: { kind: 'approve', comment: 'checked', through: 'cli', grant: { uses: 3, for_ms: 3_600_000 } },
      },
    ]);
  });

  test('refuses, and never without a reason', async () => {
    api.approvers.add(waitingRequest());
    expect(await as(dba, 'approvals', 'refuse', 'h-1')).toMatchObject({ code: 2 });
    expect(api.approvers.answers).toEqual([]);
    expect(await as(dba, 'approvals', 'refuse', 'h-1', '--reason', 'not tonight')).toMatchObject({ code: 0 });
    expect(api.approvers.answers).toMatchObject([{ answer: { kind: 'refuse', comment: 'not tonight' } }]);
  });

  test.each([
    ['nobody answers their own', bot, 'own_request'],
    ['what is for others to answer is not there', { subject: 'stranger' }, 'unknown'],
  ])('%s: exit code 1, with what to do', async (_, who, code) => {
    api.approvers.add(waitingRequest());
    const ran = await as(who, 'approvals', 'approve', 'h-1');
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    expect(ran.stderr).toMatch(new RegExp(`^sallyport: no: .*\\. [\`A-Z].*\\(${code}\\)\n$`));
    const json = await as(who, 'approvals', 'approve', 'h-1', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: false, code });
  });

  test('an id cannot lead to another route', async () => {
    expect(await as(dba, 'approvals', 'show', '../sessions')).toMatchObject({ code: 1 });
    expect(await as(dba, 'approvals', 'approve', 'x/../../sessions/kill?')).toMatchObject({ code: 1 });
    expect(api.killed).toEqual([]);
  });

  test('lists grants, and takes one back', async () => {
    const bound = {
      principal: { issuer: api.idp.issuer, subject: 'agent:billing-bot' },
      target: 'postgres/orders',
      hash: 'a',
      session: 's',
      revision: 'r',
    };
    const terms = { same: 'operation', session: false, uses: 5, for_ms: 3_600_000 } as const;
    api.approvers.given.push({
      id: 'g-1',
      hold: 'h-1',
      bound,
      terms,
      uses_left: 4,
      expires_ms: Date.now() + 60_000,
      given_ms: 1,
      by: ['ada'],
    });
    expect((await as(bot, 'approvals', 'grants')).stdout).toMatch(
      /^g-1 +agent:billing-bot +postgres\/orders +operation +4 /m,
    );
    expect((await as(bot, 'approvals', 'revoke', 'g-1')).stdout).toContain('Taken back: g-1');
    expect((await as(bot, 'approvals', 'grants')).stdout).toContain('revoked');
    expect(await as(bot, 'approvals', 'revoke', 'g-2')).toMatchObject({ code: 1 });
  });

  test('watches: what waits already, then whatever happens, until the gateway ends it', async () => {
    const own = await startTestApi();
    const seen: string[] = [];
    let told = (_: string): void => undefined;
    const until = (words: string) => new Promise<void>((resolve) => (told = (all) => all.includes(words) && resolve()));
    own.approvers.add(waitingRequest());
    const first = until('"event":"waiting"');
    const running = run(['approvals', 'watch', '--json', '--give-up', '1s'], await environment(dba, own), {
      told: (all) => {
        seen[0] = all;
        told(all);
      },
    });
    await first;
    const second = until('"event":"requested"');
    own.approvers.add(waitingRequest({ id: 'h-2', statement: 'DELETE FROM app.carts' }));
    await second;
    await own.close();
    expect(await running).toMatchObject({ code: 3, stderr: expect.stringContaining('ended the stream') });
    const events = seen[0]!
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; id: string });
    expect(events.map(({ event, id }) => `${event} ${id}`)).toEqual(['waiting h-1', 'requested h-2']);
  });

  test('watches on where the gateway was away, and tells what was asked and what ended meanwhile; with an old token it ends', async () => {
    const valve = await startValve({ host: '127.0.0.1', port: api.port });
    try {
      let all = '';
      let told: () => void = () => undefined;
      const until = async (...words: string[]) => {
        while (!words.every((each) => all.includes(each))) await new Promise<void>((resolve) => (told = resolve));
      };
      api.approvers.add(waitingRequest());
      api.approvers.add(waitingRequest({ id: 'h-2' }));
      const env = { ...(await environment(dba)), SALLYPORT_URL: `https://127.0.0.1:${String(valve.port)}` };
      const tokenFile = join(api.folder, 'watch.token');
      await writeFile(tokenFile, env.SALLYPORT_TOKEN);
      const running = run(['approvals', 'watch', '--token-file', tokenFile], env, {
        told: (text) => {
          all = text;
          told();
        },
      });
      await until('waiting    h-1', 'waiting    h-2');
      valve.set('shut');
      api.approvers.requests.set('h-2', waitingRequest({ id: 'h-2', status: 'refused' }));
      api.approvers.add(waitingRequest({ id: 'h-3' }));
      valve.set('open');
      await until('waiting    h-3', 'ended      h-2  refused');
      expect(all.match(/ h-1 /gu)).toHaveLength(1);
      // Whoever renews the file goes on with the new one; here it holds one that is over.
      await writeFile(tokenFile, await api.idp.issueToken({ ...dba, issuedIn: -7_200, expiresIn: -3_600 }));
      valve.set('shut');
      valve.set('open');
      const { code, stderr } = await running;
      expect(code).toBe(3);
      expect(stderr.split('\n')).toEqual([
        'sallyport: the gateway has ended the stream: it stops, or cannot be reached; trying again',
        'sallyport: the gateway is back',
        'sallyport: the gateway has ended the stream: it stops, or cannot be reached; trying again',
        'sallyport: the gateway has ended the stream: the token has expired, or was revoked',
        '',
      ]);
    } finally {
      await valve.close();
    }
  });
});

describe('sallyport sessions', () => {
  const session = (subject: string) => ({
    id: 's-1',
    started_ms: Date.now() - 90_000,
    principal: { ...waitingRequest().principal!, subject },
    target: { name: 'orders', protocol: 'postgres', labels: {} },
    client: { address: '10.0.0.7', application: `psql${evil}` },
    prompt: { text: `Tidy up ${evil}` },
    rows: 1200,
  });

  test('lists what is connected, with others’ words made harmless and the prompt marked as claimed', async () => {
    api.live.push(session('agent:billing-bot'));
    const { code, stdout } = await as(administrator, 'sessions');
    expect(code).toBe(0);
    expect(stdout).toContain('PROMPT (CLAIMED)');
    expect(stdout).toMatch(/^s-1 +1m 30s +agent:billing-bot +month-end report +orders +10\.0\.0\.7 psql/m);
    expect(stdout).not.toMatch(controls);
  });

  test('ends them; where none fits, the exit code is 1', async () => {
    api.live.push(session('agent:bad'));
    const ended = await as(administrator, 'sessions', 'kill', '--subject', 'agent:bad', '--why', 'drill');
    expect(ended).toMatchObject({ code: 0, stdout: '1 session ended.\n' });
    expect(api.killed).toEqual([{ subject: 'agent:bad' }]);
    expect(await as(administrator, 'sessions', 'kill', '--subject', 'agent:none')).toMatchObject({ code: 1 });
    expect((await api.records()).at(-2)).toMatchObject({ kind: 'administrator', act: 'session_kill', through: 'cli' });
  });

  test('asks which, and is for administrators', async () => {
    expect(await as(administrator, 'sessions', 'kill')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--subject'),
    });
    const ran = await as(bot, 'sessions', 'kill', '--subject', 'agent:other');
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('not_administrator') });
    expect(api.killed).toEqual([]);
  });
});

describe('the way to the gateway', () => {
  test('a token comes from the environment or a file, and no option takes one', async () => {
    const { SALLYPORT_TOKEN: token, ...rest } = await environment(dba);
    const file = join(api.folder, 'token');
    await writeFile(file, `${token}\n`);
    expect(await run(['approvals', '--token-file', file], rest)).toMatchObject({ code: 0 });
    expect(await run(['approvals'], { ...rest, SALLYPORT_TOKEN_FILE: file })).toMatchObject({ code: 0 });
    expect(await run(['approvals', '--token', token], rest)).toMatchObject({ code: 2 });
    const none = await run(['approvals'], rest);
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('SALLYPORT_TOKEN') });
    const broken = await run(['approvals'], { ...rest, SALLYPORT_TOKEN: 'two\r\nlines: x' });
    expect(broken).toMatchObject({ code: 2 });
    expect(broken.stderr).not.toContain('lines');
  });

  test('a refused token says to get a new one', async () => {
    const ran = await as({ ...dba, issuedIn: -600, expiresIn: -60 }, 'approvals');
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('Get a new token') });
  });

  test('a certificate that nobody vouches for ends it before the token is sent', async () => {
    const { SALLYPORT_CA: _, ...env } = await environment(dba);
    const ran = await run(['approvals'], env);
    expect(ran).toMatchObject({ code: 3, stderr: expect.stringContaining('SALLYPORT_CA') });
  });

  test('where nothing listens, it says so', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const env = { ...(await environment(dba)), SALLYPORT_URL: `https://127.0.0.1:${String(port)}` };
    expect(await run(['sessions'], env)).toMatchObject({ code: 3, stderr: expect.stringContaining('nothing listens') });
  });

  test.each(['http://127.0.0.1:1', 'https://u:p@h', 'https://h/path', 'nonsense'])('%s is no gateway', async (url) => {
    expect(await run(['approvals', '--gateway', url], await environment(dba))).toMatchObject({ code: 2 });
  });
});
