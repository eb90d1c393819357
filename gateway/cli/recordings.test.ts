import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestApi } from '../../test/support/api.js';
import { eventLine, headerLine } from '../recordings/cast.js';
import { runCommandLine } from './index.js';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-recordings-cli-'));
  const header = headerLine({
    ...{
      version: 2,
      width: 80,
      height: 24,
      timestamp: 1_790_000_000,
      title: 'agent:x at build',
      command: 'top \u001b]0;x',
    },
    sallyport: {
      ...{ id: 'r-abc-1', decision: 'd-abc-1', session: 's-1', target: 'build', protocol: 'ssh', request: 'exec' },
      ...{ principal: { issuer: 'https://idp.example', subject: 'agent:x' }, terminal: true, masked: false },
    },
  });
  const events = [
    eventLine(0.5, 'o', '\u001b[1mbold\u001b[0m words\r\n'),
    eventLine(1, 'o', 'to \u001b]52;c;cm0gLXJmIH4K\u0007\u001b'),
    eventLine(1, 'o', '[cyou\r\n'),
    eventLine(9, 'm', 'stopped'),
    eventLine(9, 'x', '126'),
  ];
  await writeFile(join(folder, 'r-abc-1.cast'), [header, ...events].join(''));
  const copy = {
    ...{
      version: 1,
      form: 'sallyport-copy',
      timestamp: 1_780_000_000,
      title: 'agent:x at build',
      path: '/srv/\u001bnotes',
    },
    sallyport: {
      ...{ id: 'c-abc-2', decision: 'd-abc-2', session: 's-1', target: 'build', protocol: 'ssh', request: 'sftp' },
      ...{ principal: { issuer: 'https://idp.example', subject: 'agent:x' }, terminal: false, masked: false },
    },
  };
  const pieces = '[0.1,"w",0,5]\nnotes\n[0.2,"r",0,4]\nback\n[0.3,"w",7,3]\nend\n[0.4,"x","ok"]\n';
  await writeFile(join(folder, 'c-abc-2.copy'), `${JSON.stringify(copy)}\n${pieces}`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (...args: string[]) => runIn({}, ...args, '--folder', folder);

async function runIn(env: NodeJS.ProcessEnv, ...args: string[]) {
  let stdout = '';
  let stderr = '';
  const waits: number[] = [];
  const code = await runCommandLine(['recordings', ...args], {
    env,
    fallbackFolder: folder,
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    wait: (time_ms) => {
      waits.push(time_ms);
      return Promise.resolve();
    },
  });
  return { code, stdout, stderr, waits };
}

test('list shows what is kept, with nothing in it that a terminal would obey', async () => {
  const { code, stdout } = await run();
  expect(code).toBe(0);
  expect(stdout).toMatch(/r-abc-1 +agent:x +build +9s +126 +top \\u001b\]0;x/);
  expect((await run('list', '--principal', 'agent:y')).code).toBe(1);
});

test('search finds words through their colours, and says when they stood there', async () => {
  const { code, stdout } = await run('search', 'BOLD words');
  expect(code).toBe(0);
  expect(stdout).toBe('r-abc-1  agent:x  build\n        0s  bold words\n');
  expect((await run('search', 'nowhere')).code).toBe(1);
});

test('play shows it at its pace, by the id of the decision too; --text at once and without sequences', async () => {
  const played = await run('play', 'd-abc-1', '--speed', '2', '--idle', '1s');
  expect(played.waits).toEqual([250, 250, 0, 500]);
  // Neither the clipboard is written, nor a question asked that the terminal would answer into the shell.
  expect(played.stdout).toContain('\u001b[1mbold\u001b[0m words\r\nto you\r\n\r\n[sallyport: stopped]\r\n');
  const text = await run('play', 'r-abc-1', '--text');
  expect(text.stdout).toBe('bold words\nto [cyou\n\n[sallyport: stopped]\n');
  expect((await run('play', '../r-abc-1')).code).toBe(1);
});

test('save takes out of a copy what went, each piece where it belongs, into a file that was not there', async () => {
  const to = (name: string) => join(folder, name);
  const { stdout } = await run('list');
  expect(stdout).toMatch(/c-abc-2 +agent:x +build +0s +ok +\/srv\/\\u001bnotes \(copy\)/u);
  const saved = await run('save', 'd-abc-2', '--output', to('written'));
  expect(saved).toMatchObject({
    code: 0,
    stdout: `${to('written')}: 8 bytes to the target, in pieces that were not in their order\n`,
    stderr: 'sallyport: 4 bytes from the target as well: --read saves those\n',
  });
  expect(await readFile(to('written'), 'latin1')).toBe('notes\0\0end');
  expect((await stat(to('written'))).mode & 0o777).toBe(0o600);
  const read = await run('save', '--read', 'c-abc-2', '--output', to('read'));
  const sha256 = createHash('sha256').update('back').digest('hex');
  expect(read.stdout).toBe(`${to('read')}: 4 bytes from the target, sha256 ${sha256}\n`);
  expect(await run('save', 'c-abc-2', '--output', to('read'))).toMatchObject({ code: 2, stdout: '' });
  expect((await run('save', 'r-abc-1', '--output', to('none'))).code).toBe(1);
  expect((await run('play', 'c-abc-2')).code).toBe(1);
  const whole = await readFile(to('c-abc-2.copy'));
  await writeFile(to('c-abc-3.copy'), whole.subarray(0, whole.length - 25));
  const cut = await run('save', 'c-abc-3', '--output', to('cut'));
  expect(cut).toMatchObject({ code: 1, stderr: expect.stringContaining('this is not all') });
  await rm(to('c-abc-3.copy'));
});

test('with --gateway they come from a running gateway, for its auditors', async () => {
  const api = await startTestApi({ recordings: true });
  try {
    await mkdir(join(api.folder, 'recordings'));
    await copyFile(join(folder, 'r-abc-1.cast'), join(api.folder, 'recordings', 'r-abc-1.cast'));
    await copyFile(join(folder, 'c-abc-2.copy'), join(api.folder, 'recordings', 'c-abc-2.copy'));
    const as = async (group: string, ...args: string[]) => {
      const token = await api.idp.issueToken({ subject: 'eve@example.com', groups: [group] });
      return runIn({ SALLYPORT_TOKEN: token, SALLYPORT_CA: api.caFile }, ...args, '--gateway', api.url);
    };
    const here = await run();
    expect(await as('audit', 'list')).toMatchObject({ code: 0, stdout: here.stdout });
    const found = await run('search', 'bold');
    expect(await as('audit', 'search', 'bold')).toMatchObject({ code: 0, stdout: found.stdout });
    const played = await run('play', 'd-abc-1');
    expect(await as('audit', 'play', 'd-abc-1')).toMatchObject({ code: 0, stdout: played.stdout });
    const saved = await as('audit', 'save', 'd-abc-2', '--output', join(folder, 'fetched'));
    expect(saved).toMatchObject({ code: 0, stdout: expect.stringContaining('8 bytes to the target') });
    expect(await readFile(join(folder, 'fetched'), 'latin1')).toBe('notes\0\0end');
    const none = await as('audit', 'play', 'r-none');
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('no such recording') });
    expect(none.stderr).not.toContain('approvals');
    expect(await as('agents', 'play', 'r-abc-1')).toMatchObject({ code: 1, stdout: '' });
    expect((await as('audit', 'play', 'r-abc-1', '--folder', folder)).code).toBe(2);
    const acts = (await api.records()).filter(({ kind }) => kind === 'administrator').map(({ act }) => act);
    expect(acts).toEqual(['recording_search', 'recording_play', 'copy_read']);
  } finally {
    await api.close();
  }
});
