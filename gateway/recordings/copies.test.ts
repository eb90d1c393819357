import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import pino from 'pino';
import type { RecordingsConfig } from '../config/index.js';
import type { CopyAbout, Session } from '../protocol.js';
import { openRecorder, piecesIn, searchRecordings, type OpenRecorder, type Piece } from './index.js';

let folder: string;
let recorder: OpenRecorder | undefined;
const now_ms = 1_790_000_000_000;

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'sallyport-copies-')), 'kept');
});
afterEach(async () => {
  await recorder?.close();
  await rm(join(folder, '..'), { recursive: true, force: true });
});

async function open(config: Partial<RecordingsConfig> = {}): Promise<OpenRecorder> {
  await recorder?.close();
  const rooms = { bytes_max: 100_000, total_bytes_max: 1_000_000, principal_bytes_max: 1_000_000, input_bytes_max: 10 };
  const whole = { folder, ...rooms, fail: 'closed' as const, ...config };
  recorder = await openRecorder({ config: whole, log: pino({ level: 'silent' }), now: () => now_ms });
  return recorder;
}

const sessionOf = (subject: string): Session =>
  ({
    id: 's-1',
    principal: { subject, issuer: 'https://idp.example' },
    target: { input: { name: 'build', protocol: 'ssh' } },
  }) as unknown as Session;
const session = sessionOf('agent:x');
const about = (number: number, rest: Partial<CopyAbout> = {}): CopyAbout => ({
  ...{ decision: `d-abc-${number}`, request: 'sftp', path: '/srv/a', masked: false },
  ...rest,
});
const file = (number: number) => join(folder, `c-abc-${number}.copy`);

async function piecesOf(input: Readable): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for await (const piece of piecesIn(input)) pieces.push(piece);
  return pieces;
}

describe('a copy', () => {
  test('has what went each way, in its order, whatever the bytes, and is what its digest is of', async () => {
    const copy = (await (await open()).copy(session, about(1)))!;
    const awkward = Buffer.from('[0,"w",0,3]\nno\0piece\n[1,"x","ok"]\n');
    expect(copy.piece('written', awkward, 0)).toBe(true);
    expect(copy.piece('read', Buffer.from('back'))).toBe(true);
    expect(copy.piece('written', Buffer.from('again'), 2)).toBe(true);
    expect(copy.piece('read', Buffer.from('more'))).toBe(true);
    const copied = await copy.close('ok');
    const text = await readFile(file(1));
    expect(copied).toEqual({
      ...{ id: 'c-abc-1', bytes: text.length, complete: true, masked: false },
      sha256: createHash('sha256').update(text).digest('hex'),
    });
    const pieces = [
      { way: 'written', offset: 0, bytes: awkward },
      { way: 'read', offset: 0, bytes: Buffer.from('back') },
      { way: 'written', offset: 2, bytes: Buffer.from('again') },
      { way: 'read', offset: 4, bytes: Buffer.from('more') },
    ];
    expect(await piecesOf(createReadStream(file(1)))).toEqual(pieces);
    // However it comes.
    const bytewise = Readable.from([...text].map((byte) => Buffer.of(byte)));
    expect(await piecesOf(bytewise)).toEqual(pieces);
  });

  test('that was cut off gives what is there, and says so; what is none is none', async () => {
    const copy = (await (await open()).copy(session, about(1)))!;
    void copy.piece('read', Buffer.from('first'));
    void copy.piece('read', Buffer.from('second'));
    await copy.close('ok');
    const text = (await readFile(file(1))).toString();
    const cut = text.slice(0, text.indexOf('second') + 3);
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { bytes } of piecesIn(Readable.from([Buffer.from(cut)]))) seen.push(bytes.toString());
    })();
    await expect(reading).rejects.toThrow('cut off');
    expect(seen).toEqual(['first']);
    for (const other of ['', '{"version":2}\n', 'text\n', `${text.split('\n')[0]!}\nnot a piece\n`])
      await expect(piecesOf(Readable.from([Buffer.from(other)]))).rejects.toThrow(/no copy|cut off/u);
  });

  test('of nothing is not kept', async () => {
    const copy = (await (await open()).copy(session, about(1)))!;
    expect(await readdir(folder)).toEqual(['c-abc-1.copy']);
    expect(await copy.close('ok')).toBeUndefined();
    expect(await readdir(folder)).toEqual([]);
  });

  test('that has no more room lets nothing more through, and tells; where the configuration says open it does', async () => {
    const copy = (await (await open({ bytes_max: 1_000 })).copy(session, about(1)))!;
    let told = 0;
    copy.onLost(() => (told += 1));
    expect(copy.piece('written', Buffer.alloc(100))).toBe(true);
    expect(copy.piece('written', Buffer.alloc(1_000))).toBe(false);
    expect(copy.piece('written', Buffer.alloc(1))).toBe(false);
    expect(told).toBe(1);
    expect(await copy.close('recording_failed')).toMatchObject({ complete: false });
    const lenient = (await (await open({ bytes_max: 1_000, fail: 'open' })).copy(session, about(2)))!;
    expect(lenient.piece('written', Buffer.alloc(2_000))).toBe(true);
    expect(lenient.piece('written', Buffer.alloc(1))).toBe(true);
    expect(await lenient.close('ok')).toMatchObject({ complete: false });
  });

  test('waits where the disk is slower than what comes', async () => {
    const copy = (await (await open({ bytes_max: 10_000_000, total_bytes_max: 10_000_000, principal_bytes_max: 10_000_000 })).copy(session, about(1)))!; // prettier-ignore
    const kept = Array.from({ length: 3 }, () => copy.piece('read', Buffer.alloc(600_000)));
    expect(kept[0]).toBe(true);
    expect(kept[2]).toBeInstanceOf(Promise);
    expect(await kept[2]).toBe(true);
    expect(await copy.close('ok')).toMatchObject({ complete: true });
  });

  test('is listed beside recordings, with its path, and removed as they are; no words are looked for in it', async () => {
    const open_ = await open();
    const copy = (await open_.copy(session, about(1)))!;
    void copy.piece('read', Buffer.from('words'));
    await copy.close('ok');
    const search = async (query: object) => {
      const found = [];
      for await (const { recording } of searchRecordings(folder, query, { limit: 10 })) found.push(recording);
      return found;
    };
    expect(await search({ principal: 'agent:x' })).toEqual([
      expect.objectContaining({
        ...{ id: 'c-abc-1', kind: 'copy', exit: 'ok' },
        header: expect.objectContaining({ path: '/srv/a' }) as unknown,
      }),
    ]);
    expect(await search({ text: 'words' })).toEqual([]);
    const old = new Date(now_ms - 10_000);
    await utimes(file(1), old, old);
    await open({ retention_ms: 5_000 });
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('one principal', () => {
  const rooms = { total_bytes_max: 10_000, principal_bytes_max: 1_600 };
  const fill = async (subject: string, number: number) => {
    const copy = (await recorder!.copy(sessionOf(subject), about(number)))!;
    const fits = copy.piece('written', Buffer.alloc(1_000));
    await copy.close('ok');
    return fits;
  };

  test('does not take the room of others, nor more after the gateway was started again', async () => {
    await open(rooms);
    expect(await fill('agent:x', 1)).toBe(true);
    await expect(fill('agent:x', 2)).rejects.toThrow('could not be recorded');
    expect(await fill('agent:y', 4)).toBe(true);
    await open(rooms);
    await expect(fill('agent:x', 5)).rejects.toThrow('could not be recorded');
    expect(await fill('agent:z', 6)).toBe(true);
    // What nobody is known to own counts for all together.
    await writeFile(join(folder, 'c-other-1.copy'), Buffer.alloc(10_000));
    await open(rooms);
    await expect(fill('agent:w', 7)).rejects.toThrow('could not be recorded');
  });
});
