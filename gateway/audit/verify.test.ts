import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { erase, reseal, unseal } from './chain.js';
import { fileHeadStore, openAudit, openSigner, verifyAudit, type FindingKind, type OpenSink } from './index.js';
import { openFileSink } from './file.js';
import { rotatedName } from './files.js';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-verify-'));
  file = join(folder, 'audit.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true }));

const start_ms = Date.UTC(2026, 10, 22, 9);

async function opened(writer: string, options: { path?: string; open?: OpenSink; now?: () => number } = {}) {
  const seal = { signer: await openSigner({ directory: folder }), heads: fileHeadStore(folder) };
  const { path = file, open = openFileSink, now = () => start_ms } = options;
  return openAudit({ sinks: [{ file: path }], durability: 'disk', writer, seal, open, now });
}

async function write(writer: string, records: number, path = file): Promise<void> {
  const audit = await opened(writer, { path });
  for (let id = 1; id <= records; id += 1) {
    const entry = {
      kind: 'intent',
      fields: { decision_id: `d${id}` },
      personal: { principal: { subject: 'ada' }, operation: 'select' },
    } as const;
    await audit.write(entry, { durable: true });
  }
  await audit.close();
}

async function verify(files: readonly string[] = [file], state = true) {
  const ledger = state ? await fileHeadStore(folder).read() : undefined;
  return verifyAudit(files, { keys: [], ledger });
}

async function kinds(files: readonly string[] = [file], state = true): Promise<FindingKind[]> {
  return (await verify(files, state)).findings.map(({ kind }) => kind);
}

const linesOf = (path = file) => readFileSync(path, 'utf8').split('\n').slice(0, -1);
const put = (lines: readonly string[], path = file) => writeFileSync(path, lines.map((line) => `${line}\n`).join(''));

/** The line with its hash made right again, as by somebody who knows how. */
const rehashed = (line: string, previous: string) => reseal(Buffer.from(line), previous);

describe('what nobody changed', () => {
  test('is whole, over restarts and rotated files, with and without the state directory', async () => {
    for (const writer of ['a', 'b', 'c']) await write(writer, 5);
    const all = linesOf();
    const older = rotatedName(file, start_ms);
    put(all.slice(0, 9), older);
    put(all.slice(9));
    const verified = await verify([older, file]);
    expect(verified).toMatchObject({ records: 21, count: 0, notes: [] });
    expect(verified.writers).toEqual(['a', 'b', 'c'].map((writer) => ({ writer, first: 1, last: 7, signed: 6 })));
    expect(await kinds([file, older], false)).toEqual([]);
  });

  test('stays whole when personal values are erased', async () => {
    await write('a', 3);
    put(linesOf().map((line) => (erase(unseal(Buffer.from(line))!, () => true) ?? Buffer.from(line)).toString()));
    expect(readFileSync(file, 'utf8')).not.toContain('ada');
    expect(await kinds()).toEqual([]);
  });

  test('may end in half a line', async () => {
    await write('a', 3);
    writeFileSync(file, '{"version":1,"kind":"int', { flag: 'a' });
    const { count, notes } = await verify();
    expect([count, notes]).toEqual([
      0,
      [expect.objectContaining({ line: 6, message: expect.stringContaining('not whole') })],
    ]);
    await write('b', 1);
    expect(await kinds()).toEqual([]);
  });

  test('is whole after a writer that ended without a word; the next one signs what it left', async () => {
    const audit = await opened('a');
    await audit.write({ kind: 'policy', fields: {} }, { durable: true });
    const left = readFileSync(file);
    await write('b', 1, join(folder, 'elsewhere.jsonl'));
    const ledger = readFileSync(join(folder, 'audit-heads.json'));
    await audit.close();
    writeFileSync(file, left);
    writeFileSync(join(folder, 'audit-heads.json'), ledger);
    await write('c', 1);
    const files = [file, join(folder, 'elsewhere.jsonl')];
    const { writers, findings } = await verify(files);
    expect(findings).toEqual([]);
    expect(writers[0]).toEqual({ writer: 'a', first: 1, last: 2, signed: 2 });
    put(linesOf().filter((line) => !line.startsWith('{"version":1,"kind":"policy"')));
    expect(await kinds(files)).toEqual(['truncated']);
  });

  test.each(['append', 'datasync'] as const)('is whole where a %s failed: refused, and written again', async (call) => {
    let failing = false;
    const open: OpenSink = async (path) => {
      const { file: real, torn } = await openFileSink(path);
      const fail = async (): Promise<void> => {
        failing = false;
        if (call === 'append') await real.append(Buffer.from('{"version":1,"kind":"inte'));
        throw new Error('no space left on device');
      };
      return {
        torn,
        file: {
          append: (bytes) => (failing && call === 'append' ? fail() : real.append(bytes)),
          datasync: () => (failing ? fail() : real.datasync()),
          close: () => real.close(),
        },
      };
    };
    const audit = await opened('a', { open });
    for (let round = 0; round < 3; round += 1) {
      await audit.write({ kind: 'intent', fields: { round } }, { durable: true });
      failing = true;
      audit.write({ kind: 'outcome', fields: { round } });
      await expect(audit.write({ kind: 'intent', fields: { round } }, { durable: true })).rejects.toThrow();
      audit.write({ kind: 'outcome', fields: { round: 'later' } });
      for (let written = false; !written;) {
        written = await new Promise((resolve) => setImmediate(resolve)).then(async () => {
          try {
            await audit.write({ kind: 'intent', fields: {} }, { durable: true });
            return true;
          } catch {
            return false;
          }
        });
      }
    }
    await audit.close();
    expect(await kinds()).toEqual([]);
    // Outside of what the log says of its failures, a second copy is one too many.
    const lines = linesOf();
    put([...lines, lines[1]!]);
    expect(await kinds()).toContain('duplicated');
  });
});

describe('what somebody changed is found:', () => {
  type Change = (lines: string[]) => void;
  test.each<[string, FindingKind, Change]>([
    ['a field', 'edited', (lines) => (lines[3] = lines[3]!.replace('"d3"', '"d9"'))],
    ['a personal value', 'edited', (lines) => (lines[3] = lines[3]!.replace('"ada"', '"eve"'))],
    [
      'a salt',
      'edited',
      (lines) => (lines[3] = lines[3]!.replace(/"salt":"(.)/u, (_, first) => `"salt":"${first === '_' ? '-' : '_'}`)),
    ],
    [
      'an edit with the hash made right',
      'replaced',
      (lines) => (lines[3] = hashedAfter(lines, 3, lines[3]!.replace('"d3"', '"d9"'))),
    ],
    ['a record left out', 'missing', (lines) => lines.splice(3, 1)],
    ['several left out', 'missing', (lines) => lines.splice(2, 3)],
    ['the first left out', 'beginning_missing', (lines) => lines.splice(0, 1)],
    ['a record twice', 'duplicated', (lines) => lines.splice(4, 0, lines[3]!)],
    ['a record made up', 'inserted', (lines) => lines.splice(4, 0, hashedAfter(lines, 4, lines[2]!))],
    ['two in another order', 'reordered', (lines) => lines.splice(3, 2, lines[4]!, lines[3]!)],
    ['the end', 'truncated', (lines) => lines.splice(-3)],
    [
      'a signature',
      'edited',
      (lines) => (lines[lines.length - 1] = lines.at(-1)!.replace(/"signature":"./u, '"signature":"_')),
    ],
    [
      'a signature with the hash made right',
      'forged_signature',
      (lines) => {
        const last = lines.length - 1;
        lines[last] = hashedAfter(lines, last, lines[last]!.replace(/"signature":"./u, '"signature":"_'));
      },
    ],
    ['a checkpoint left out in the middle', 'missing', (lines) => lines.splice(0, 3, lines[1]!, lines[2]!)],
    ['a line of something else', 'malformed', (lines) => lines.splice(4, 0, 'hello')],
    ['a record without its hash', 'unsigned', (lines) => (lines[3] = lines[3]!.replace(/,"chain":.*$/u, '}'))],
    [
      'records after the end',
      'inserted',
      (lines) => lines.push(hashedAfter(lines, lines.length, lines[3]!.replace('"sequence":4', '"sequence":9'))),
    ],
  ])('%s', async (_, kind, change) => {
    await write('a', 5);
    const lines = linesOf();
    change(lines);
    put(lines);
    const { findings } = await verify();
    // The first record left out is not missing in the middle.
    const expected = kind === 'missing' && !lines[0]!.includes('"sequence":1,') ? 'beginning_missing' : kind;
    expect(findings.map((finding) => finding.kind)).toContain(expected);
    expect(findings.length).toBeLessThanOrEqual(2);
    for (const { file: named, line } of findings) expect([named, line]).toEqual([file, expect.any(Number)]);
  });

  test('a chain that was made anew from one record on to the end', async () => {
    await write('a', 5);
    const lines = linesOf();
    lines[3] = lines[3]!.replace('"d3"', '"d9"');
    for (let index = 3; index < lines.length; index += 1) lines[index] = hashedAfter(lines, index, lines[index]!);
    put(lines);
    expect(await kinds()).toEqual(['replaced']);
    expect(await kinds([file], false)).toEqual(['replaced']);
  });

  test('a key of somebody else', async () => {
    await write('a', 3);
    const ledger = await fileHeadStore(folder).read();
    rmSync(join(folder, 'audit.key'));
    rmSync(join(folder, 'audit-heads.json'));
    rmSync(file);
    await write('a', 3);
    const { findings } = await verifyAudit([file], { keys: [], ledger });
    expect(new Set(findings.map(({ kind }) => kind))).toEqual(new Set(['forged_signature', 'replaced']));
  });

  test('a whole file that is gone, by what its successor and what the state directory know', async () => {
    const [one, two] = [join(folder, 'one.jsonl'), join(folder, 'two.jsonl')];
    await write('a', 3, one);
    await write('b', 3, two);
    expect(await kinds([one, two])).toEqual([]);
    expect(await kinds([two], false)).toEqual(['writer_missing']);
    expect(await kinds([one])).toEqual(['writer_missing']);
  });

  test('a rotated file that is gone', async () => {
    await write('a', 9);
    const lines = linesOf();
    const [first, second] = [rotatedName(file, start_ms), rotatedName(file, start_ms + 1)];
    put(lines.slice(0, 4), first);
    put(lines.slice(4, 8), second);
    put(lines.slice(8));
    expect(await kinds([first, second, file])).toEqual([]);
    expect(await kinds([first, file])).toEqual(['missing']);
    expect(await kinds([second, file])).toEqual(['beginning_missing']);
    put([]);
    expect(await kinds([first, second, file])).toEqual(['truncated']);
  });

  test('a record that was moved to the log of another writer', async () => {
    const [one, two] = [join(folder, 'one.jsonl'), join(folder, 'two.jsonl')];
    await write('a', 5, one);
    await write('b', 5, two);
    const lines = linesOf(one);
    const [moved] = lines.splice(3, 1);
    put(lines, one);
    put([...linesOf(two), moved!], two);
    expect(await kinds([one, two])).toContain('moved');
  });
});

function hashedAfter(lines: readonly string[], index: number, line: string): string {
  const previous =
    index === 0 ? createHash('sha256').digest('base64url') : unseal(Buffer.from(lines[index - 1]!))!.hash;
  return rehashed(line, previous).content.toString().trimEnd();
}

test('a head that is due while another is being signed waits for it', async () => {
  const heads = fileHeadStore(folder);
  const seal = { signer: await openSigner({ directory: folder }), heads };
  let now_ms = start_ms;
  let dueByTime: (() => void) | undefined;
  let appends = 0;
  let fired = false;
  const audit = await openAudit({
    sinks: [{ file }],
    durability: 'disk',
    writer: 'a',
    seal,
    now: () => now_ms,
    schedule: (run, after_ms) => {
      // The timer of the signature is this test's to fire; what lingers is written at once.
      if (after_ms >= 1_000) dueByTime = run;
      else setImmediate(run);
      return () => undefined;
    },
    open: async (path) => {
      const { file: sink, torn } = await openFileSink(path);
      const append = async (bytes: Buffer) => {
        appends += 1;
        if (appends > 50) throw new Error('it writes without end');
        // In the midst of a write after which the head is signed by its count.
        if (now_ms > start_ms && !fired) {
          fired = true;
          dueByTime?.();
        }
        await sink.append(bytes);
      };
      return { file: { append, datasync: () => sink.datasync(), close: () => sink.close() }, torn };
    },
  });
  await audit.write({ kind: 'intent', fields: {} }, { durable: true });
  expect(dueByTime).toBeDefined();
  now_ms += 60_000;
  await audit.write({ kind: 'intent', fields: {} }, { durable: true });
  await audit.close();
  expect(appends).toBeLessThan(20);
  expect(await kinds()).toEqual([]);
});

describe('checkpoints', () => {
  /** The state directory as it was after one writer; and the log that somebody with the key goes on with from there. */
  async function forked(): Promise<void> {
    await write('a', 2);
    const heads = readFileSync(join(folder, 'audit-heads.json'));
    await write('b', 2);
    writeFileSync(join(folder, 'audit-heads.json'), heads);
    await write('c', 2, join(folder, 'other.jsonl'));
  }

  test('two of one number are found, by name', async () => {
    await forked();
    const { findings } = await verify([file, join(folder, 'other.jsonl')]);
    expect(findings.map(({ kind }) => kind)).toContain('checkpoint_replaced');
    expect(findings[0]?.message).toMatch(/^checkpoint \d+ in .* is another than in /u);
  });

  test('one that was made after another is found, by name', async () => {
    await forked();
    // What the first writer signed last is taken from the first log: what follows in the other was not made after it.
    const b = linesOf().filter((line) => line.includes('"writer":"b"'));
    put(b);
    const { findings } = await verify([file, join(folder, 'other.jsonl')], false);
    expect(findings.map(({ kind }) => kind)).toContain('checkpoint_replaced');
  });

  test('the end of all files cut off, and the state directory put back with them: a copy elsewhere has it', async () => {
    await write('a', 3);
    const before = readFileSync(file);
    const heads = readFileSync(join(folder, 'audit-heads.json'));
    await write('b', 3);
    const ledger = await fileHeadStore(folder).read();
    writeFileSync(file, before);
    writeFileSync(join(folder, 'audit-heads.json'), heads);
    expect(await kinds()).toEqual([]);
    const options = { keys: [], ledger: await fileHeadStore(folder).read() };
    const { findings } = await verifyAudit([file], { ...options, elsewhere: [{ ledger, place: 'elsewhere' }] });
    expect(findings).toEqual([
      expect.objectContaining({ kind: 'writer_missing', message: expect.stringContaining('by elsewhere') }),
    ]);
    // Gone on from there, the numbers of checkpoints tell it as well.
    await write('c', 5);
    await write('d', 5);
    const later = { keys: [], ledger: await fileHeadStore(folder).read(), elsewhere: [{ ledger, place: 'elsewhere' }] };
    expect((await verifyAudit([file], later)).findings.map(({ kind }) => kind).sort()).toEqual([
      'checkpoint_replaced',
      'writer_missing',
    ]);
  });
});
