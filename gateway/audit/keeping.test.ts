import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eraseIn, fileHeadStore, filesOf, openAudit, openSigner, verifyAudit } from './index.js';
import type { AuditOptions } from './log.js';

let folder: string;
let file: string;
let now_ms: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-keeping-'));
  file = join(folder, 'audit.jsonl');
  now_ms = Date.UTC(2026, 10, 22, 9);
});
afterEach(() => rmSync(folder, { recursive: true }));

async function opened(writer: string, options: Partial<AuditOptions> = {}) {
  const seal = { signer: await openSigner({ directory: folder }), heads: fileHeadStore(folder) };
  return openAudit({ sinks: [{ file }], durability: 'disk', writer, seal, now: () => now_ms, ...options });
}

async function write(audit: Awaited<ReturnType<typeof opened>>, records: number, subject = 'ada'): Promise<void> {
  for (let id = 1; id <= records; id += 1)
    await audit.write(
      { kind: 'intent', fields: { id }, personal: { principal: { subject }, operation: 'select' } },
      { durable: true },
    );
}

const verify = async () => verifyAudit(await filesOf(file), { keys: [], ledger: await fileHeadStore(folder).read() });

describe('files', () => {
  test('that are large are rotated away, and the chain goes on over all of them', async () => {
    const audit = await opened('a', { rotation: { bytes_max: 2_000 } });
    await write(audit, 30);
    await audit.close();
    expect((await filesOf(file)).length).toBeGreaterThan(4);
    expect(await verify()).toMatchObject({ records: 32, count: 0, notes: [] });
  });

  test('that are old are rotated away, by what their first record says, also after a restart', async () => {
    const rotation = { age_ms_max: 3_600_000 };
    const first = await opened('a', { rotation });
    await write(first, 3);
    await first.close();
    now_ms += 3_599_000;
    const second = await opened('b', { rotation });
    await write(second, 1);
    expect(await filesOf(file)).toHaveLength(1);
    now_ms += 1_000;
    await write(second, 1);
    expect(await filesOf(file)).toHaveLength(2);
    await second.close();
    expect((await verify()).count).toBe(0);
  });

  test('that cannot be rotated are a failed write, and it goes on when they can', async () => {
    let failing = true;
    const { openFileSink } = await import('./file.js');
    const audit = await opened('a', {
      rotation: { bytes_max: 1_000 },
      schedule: (run) => {
        setImmediate(run);
        return () => undefined;
      },
      open: async (path) => {
        const sink = await openFileSink(path);
        const datasync = () =>
          failing && readFileSync(file).length > 1_000 ? Promise.reject(new Error('broken')) : sink.file.datasync();
        return {
          ...sink,
          file: { append: (bytes) => sink.file.append(bytes), datasync, close: () => sink.file.close() },
        };
      },
    });
    await expect(write(audit, 30)).rejects.toThrow('cannot be written');
    failing = false;
    for (let written = false; !written;) {
      written = await write(audit, 1).then(
        () => true,
        () => new Promise<boolean>((resolve) => setImmediate(() => resolve(false))),
      );
    }
    await audit.close();
    expect((await verify()).count).toBe(0);
  });
});

describe('retention', () => {
  const small = { rotation: { bytes_max: 2_000 } };
  const keep = { retention_ms: 86_400_000 };

  async function removed(audit: (removed: (files: readonly string[]) => void) => Promise<{ close(): Promise<void> }>) {
    let told: (files: readonly string[]) => void;
    const files = new Promise<readonly string[]>((resolve) => (told = resolve));
    const open = await audit((files) => told(files));
    const gone = await files;
    await open.close();
    return gone;
  }

  test('removes whole files, signs where the chains begin then, and verification says so', async () => {
    const first = await opened('a', small);
    await write(first, 30);
    await first.close();
    const before = (await filesOf(file)).length;
    now_ms += 2 * 86_400_000;
    const gone = await removed((onRemoved) => opened('b', { ...keep, onRemoved }));
    expect(gone).toHaveLength(before - 1);
    expect(await filesOf(file)).toHaveLength(1);
    const { count, notes, writers } = await verify();
    expect([count, writers[0]!.first > 20]).toEqual([0, true]);
    expect(notes.map(({ message }) => message)).toEqual([expect.stringContaining('is proven from record')]);
    // Without the state directory, the signatures in the files say the same.
    expect((await verifyAudit([file], { keys: [] })).count).toBe(0);
  });

  test('is no excuse for what goes beyond it', async () => {
    const first = await opened('a', small);
    await write(first, 12);
    await first.close();
    now_ms += 2 * 86_400_000;
    await removed((onRemoved) => opened('b', { ...keep, onRemoved }));
    const lines = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, lines.slice(1).join('\n'));
    expect((await verify()).findings.map(({ kind }) => kind)).toContain('beginning_missing');
  });

  test('removes nothing where the signature cannot be recorded', async () => {
    const first = await opened('a', small);
    await write(first, 30);
    await first.close();
    const before = readdirSync(folder).filter((name) => name.startsWith('audit.jsonl'));
    now_ms += 2 * 86_400_000;
    const heads = fileHeadStore(folder);
    let updates = 0;
    let told: (error: unknown) => void;
    const failed = new Promise<unknown>((resolve) => (told = resolve));
    const second = await opened('b', {
      ...keep,
      seal: {
        signer: await openSigner({ directory: folder }),
        heads: {
          read: () => heads.read(),
          update: (change) => ((updates += 1) === 2 ? Promise.reject(new Error('lost')) : heads.update(change)),
        },
      },
      onUnremoved: (error) => told(error),
    });
    expect(await failed).toMatchObject({ message: 'lost' });
    await second.close();
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(before));
  });
});

test('a person is erased from files, and nobody else is; the chain is what it was', async () => {
  const audit = await opened('a', { rotation: { bytes_max: 1_500 } });
  await write(audit, 5, 'ada');
  await write(audit, 5, 'eve');
  await write(audit, 5, 'ada');
  await audit.close();
  let records = 0;
  for (const path of await filesOf(file)) records += (await eraseIn(path, { subject: 'ada' })).records;
  expect(records).toBe(10);
  const text = (await filesOf(file)).map((path) => readFileSync(path, 'utf8')).join('');
  expect([text.includes('"ada"'), text.match(/"eve"/gu)?.length]).toEqual([false, 5]);
  expect((await verify()).count).toBe(0);
  expect(readdirSync(folder).filter((name) => name.endsWith('.erasing'))).toEqual([]);
});
