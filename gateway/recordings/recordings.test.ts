import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { RecordingsConfig } from '../config/index.js';
import type { RecordingAbout, Session } from '../protocol.js';
import { describe as described, kept } from './folder.js';
import { RecordingFile } from './recording.js';
import { eventsOf, openRecorder, searchRecordings, type OpenRecorder } from './index.js';

let folder: string;
let recorder: OpenRecorder | undefined;
let now_ms = 0;
const now = () => now_ms;

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'sallyport-recordings-')), 'kept');
  now_ms = 1_790_000_000_000;
});
afterEach(async () => {
  await recorder?.close();
  await rm(join(folder, '..'), { recursive: true, force: true });
});

async function open(config: Partial<RecordingsConfig> = {}): Promise<OpenRecorder> {
  const whole = {
    folder,
    bytes_max: 100_000,
    total_bytes_max: 1_000_000,
    principal_bytes_max: 1_000_000,
    input_bytes_max: 10,
    fail: 'closed',
  } as const;
  recorder = await openRecorder({ config: { ...whole, ...config }, log: pino({ level: 'silent' }), now });
  return recorder;
}

const session = {
  id: 's-1',
  principal: { issuer: 'https://idp.example', subject: 'agent:x', purpose: 'look' },
  target: { input: { name: 'build', protocol: 'ssh', labels: {} } },
} as unknown as Session;
const shell: RecordingAbout = {
  decision: 'd-abc-1',
  request: 'shell',
  terminal: { columns: 100, rows: 30, type: 'xterm' },
  masked: false,
};
const command = { decision: 'd-abc-2', request: 'exec', command: 'cat notes', masked: false };
const lines = async (id: string) =>
  (await readFile(join(folder, `${id}.cast`), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

describe('a recording', () => {
  test('is asciicast, with what is its own in the header, times, sizes and the end', async () => {
    const recording = (await (await open()).begin(session, shell))!;
    void recording.output('stdout', Buffer.from('$ '));
    now_ms += 1_500;
    // A letter of two bytes, in two pieces.
    void recording.output('stdout', Buffer.from('caf\u00c3', 'latin1'));
    void recording.output('stdout', Buffer.from('\u00a9\r\n', 'latin1'));
    recording.resize(120, 40);
    const ended = await recording.close('0');
    const text = await readFile(join(folder, 'r-abc-1.cast'));
    expect(ended).toEqual({
      ...{ id: 'r-abc-1', bytes: text.length, complete: true },
      sha256: createHash('sha256').update(text).digest('hex'),
    });
    const [header, ...events] = await lines('r-abc-1');
    expect(header).toMatchObject({
      ...{ version: 2, width: 100, height: 30, timestamp: 1_790_000_000, env: { TERM: 'xterm' } },
      sallyport: {
        id: 'r-abc-1',
        decision: 'd-abc-1',
        session: 's-1',
        target: 'build',
        principal: { subject: 'agent:x' },
      },
    });
    expect(events).toEqual([
      [0, 'o', '$ '],
      [1.5, 'o', 'caf'],
      [1.5, 'o', '\u00e9\r\n'],
      [1.5, 'r', '120x40'],
      [1.5, 'x', '0'],
    ]);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect((await stat(join(folder, 'r-abc-1.cast'))).mode & 0o777).toBe(0o600);
    expect(await described(folder, 'r-abc-1')).toMatchObject({ seconds: 1.5, exit: '0', bytes: text.length });
  });

  test('of a command shows lines as a terminal would, and of what is no text its length and digest', async () => {
    const recording = (await (await open()).begin(session, command))!;
    void recording.output('stdout', Buffer.from('one\ntwo\r'));
    void recording.output('stdout', Buffer.from('\nthree'));
    void recording.output('stderr', Buffer.from([0, 1, 2]));
    recording.input(Buffer.from('0123456789abc'));
    await recording.close('0');
    const digest = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect((await lines('r-abc-2')).slice(1)).toEqual([
      [0, 'o', 'one\r\ntwo\r'],
      [0, 'o', '\nthree'],
      [0, 'i', '0123456789'],
      [0, 'm', `stderr: no text, 3 bytes, sha256 ${digest(Buffer.from([0, 1, 2]))}`],
      [0, 'm', `input: more, 3 bytes, sha256 ${digest('abc')}`],
      [0, 'x', '0'],
    ]);
  });

  test('that has no room is lost, and whoever has to end is told', async () => {
    const recording = (await (await open({ bytes_max: 600 })).begin(session, shell))!;
    let lost = 0;
    recording.onLost(() => (lost += 1));
    const first = recording.output('stdout', Buffer.alloc(200, 'x'));
    // What has no room is not shown either; what was shown before is still written.
    expect(recording.output('stdout', Buffer.alloc(300, 'y'))).toBe(false);
    expect(lost).toBe(1);
    expect(await first).toBe(true);
    expect(await recording.close('0')).toMatchObject({ complete: false });
    expect((await stat(join(folder, 'r-abc-1.cast'))).size).toBeLessThanOrEqual(600);
    expect((await lines('r-abc-1')).slice(1)).toEqual([[0, 'o', 'x'.repeat(200)]]);
    expect(recording.output('stdout', Buffer.from('behind the end'))).toBe(false);
  });

  test('does not begin where its first line cannot stand, and leaves no file', async () => {
    const closed = await open({ bytes_max: 100 });
    await expect(closed.begin(session, shell)).rejects.toThrow('could not be recorded');
    expect(await readdir(folder)).toEqual([]);
    // Opened it was, and then the disk is full: that is known before anything is let through.
    const full = { write: () => Promise.reject(new Error('no space left on device')), close: () => Promise.resolve() };
    const recording = new RecordingFile(
      {
        ...{ id: 'r-abc-1', file: full as unknown as FileHandle, terminal: true, fail: 'closed', now },
        ...{ bytes_max: 100_000, input_bytes_max: 0, take: () => true, failed: () => undefined },
      },
      '{}\n',
    );
    expect(await recording.begun()).toBe(false);
    expect(recording.output('stdout', Buffer.from('never shown'))).toBe(false);
  });

  test('that goes on without room tells nobody where the configuration says open', async () => {
    const open_ = await open({ bytes_max: 500, total_bytes_max: 500, fail: 'open' });
    const recording = (await open_.begin(session, shell))!;
    recording.onLost(() => expect('nobody').toBe('told'));
    void recording.output('stdout', Buffer.alloc(1_000, 'x'));
    expect(recording.output('stdout', Buffer.from('shown all the same'))).toBe(true);
    expect(await recording.close('0')).toMatchObject({ complete: false });
  });

  test('does not begin twice, nor where there is no room at all: nothing goes on without it', async () => {
    const closed = await open({ total_bytes_max: 450 });
    const first = (await closed.begin(session, shell))!;
    await expect(closed.begin(session, shell)).rejects.toThrow('could not be recorded');
    void first.output('stdout', Buffer.alloc(450, 'x'));
    await first.close('0');
    await writeFile(join(folder, 'r-other-1.cast'), Buffer.alloc(500));
    await closed.close();
    const again = await open({ total_bytes_max: 450 });
    await expect(again.begin(session, command)).rejects.toThrow('could not be recorded');
    const gone = await open({ total_bytes_max: 450, fail: 'open' });
    expect(await gone.begin(session, command)).toBeUndefined();
  });
});

describe('recordings that are kept', () => {
  test('are found by who, where and by the words that stood on the screen', async () => {
    const open_ = await open();
    const one = (await open_.begin(session, shell))!;
    void one.output('stdout', Buffer.from('first line\r\nsecr\x1b[1met\x1b[0m wo'));
    now_ms += 2_000;
    void one.output('stdout', Buffer.from('rd here\r\nlast'));
    await one.close('0');
    const two = (await open_.begin(session, command))!;
    void two.output('stdout', Buffer.from('nothing'));
    await two.close('0');
    const search = async (query: object) => {
      const found = [];
      for await (const { recording, matches } of searchRecordings(folder, query, { limit: 10 }))
        found.push([recording.id, matches]);
      return found;
    };
    expect(await search({ text: 'SECRET word' })).toEqual([['r-abc-1', [{ seconds: 0, line: 'secret word here' }]]]);
    expect(await search({ principal: 'agent:x', target: 'build' })).toHaveLength(2);
    expect(await search({ principal: 'agent:y' })).toEqual([]);
    expect(await search({ text: 'no such words' })).toEqual([]);
  });

  test('are found by when they began', async () => {
    const open_ = await open();
    await (await open_.begin(session, shell))!.close('0');
    const search = async (query: object) => {
      for await (const { recording } of searchRecordings(folder, query, { limit: 10 })) return recording.id;
      return undefined;
    };
    expect(await search({ since_ms: now_ms, until_ms: now_ms + 1 })).toBe('r-abc-1');
    expect(await search({ since_ms: now_ms + 1 })).toBeUndefined();
    expect(await search({ until_ms: now_ms })).toBeUndefined();
  });

  test('show what stands beside a line separator of Unicode: no letter of the host hides an event', async () => {
    const one = (await (await open()).begin(session, shell))!;
    void one.output('stdout', Buffer.from('drop\u2028table\u2029now'));
    await one.close('0');
    const shown: string[] = [];
    for await (const [, code, text] of eventsOf(join(folder, 'r-abc-1.cast'))) if (code === 'o') shown.push(text);
    expect(shown).toEqual(['drop\u2028table\u2029now']);
  });

  test('are removed once they are old enough, and what is no recording stays', async () => {
    await (await (await open()).begin(session, shell))!.close('0');
    await recorder!.close();
    await writeFile(join(folder, 'notes.txt'), 'mine');
    const old = new Date(now_ms - 10_000);
    await utimes(join(folder, 'r-abc-1.cast'), old, old);
    await open({ retention_ms: 20_000 });
    expect(await kept(folder)).toHaveLength(1);
    await recorder!.close();
    await open({ retention_ms: 5_000 });
    expect(await kept(folder)).toHaveLength(0);
    expect(await readFile(join(folder, 'notes.txt'), 'utf8')).toBe('mine');
  });

  test('stay to be found beside one whose time is none', async () => {
    await (await (await open()).begin(session, shell))!.close('0');
    const text = await readFile(join(folder, 'r-abc-1.cast'), 'utf8');
    await writeFile(join(folder, 'r-abc-2.cast'), text.replace(/"timestamp":[0-9]+/u, '"timestamp":1e15'));
    const found: string[] = [];
    for await (const { recording } of searchRecordings(folder, {}, { limit: 10 })) found.push(recording.id);
    expect(found).toEqual(['r-abc-1']);
  });

  test('are named by ids alone: no path is made from anything else', async () => {
    await open();
    for (const id of ['../r-abc-1', 'r-../x', 'r-abc-1.cast', '', 'r-ABC/1'])
      expect(await described(folder, id)).toBeUndefined();
  });
});
