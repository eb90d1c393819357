import { describe, expect, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditError } from '../errors.js';
import {
  findDecision,
  mustBeOnDisk,
  openAudit,
  readRecords,
  type AuditRecord,
  type Entry,
  type OpenSink,
} from './index.js';
import type { AuditOptions } from './log.js';

const intent = (id: number): Entry => ({ kind: 'intent', fields: { decision_id: `d${id}` } });
const outcome = (id: number): Entry => ({ kind: 'outcome', fields: { decision_id: `d${id}`, rows: id } });
const denied = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });

/** A disk in memory whose calls are counted and fail, or wait, where the test wants it. */
class Disk {
  content = '';
  /** How much of the content a power cut would leave. */
  synced = '';
  calls: string[] = [];
  /** Called before each call takes effect; what it throws fails the call. */
  before: (call: 'open' | 'append' | 'datasync', bytes: Buffer) => void | Promise<void> = () => undefined;
  /** Of an append that fails, so many bytes are written all the same. */
  partial = 0;

  readonly open: OpenSink = async () => {
    this.calls.push('open');
    await this.before('open', Buffer.alloc(0));
    return {
      torn: this.content !== '' && !this.content.endsWith('\n'),
      file: {
        append: async (bytes) => {
          this.calls.push('append');
          try {
            await this.before('append', bytes);
          } catch (error) {
            this.content += bytes.subarray(0, this.partial).toString();
            throw error;
          }
          this.content += bytes.toString();
        },
        datasync: async () => {
          this.calls.push('datasync');
          await this.before('datasync', Buffer.alloc(0));
          this.synced = this.content;
        },
        close: () => {
          this.calls.push('close');
          return Promise.resolve();
        },
      },
    };
  };

  get records(): AuditRecord[] {
    return this.content
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditRecord);
  }
}

/** Timers that run when the test says so. */
class Timers {
  #waiting: { run: () => void; after_ms: number }[] = [];
  readonly schedule = (run: () => void, after_ms: number) => {
    const timer = { run, after_ms };
    this.#waiting.push(timer);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== timer);
    };
  };
  get delays_ms(): number[] {
    return this.#waiting.map(({ after_ms }) => after_ms);
  }
  fire(): void {
    const due = this.#waiting;
    this.#waiting = [];
    for (const { run } of due) run();
  }
}

/** Lets everything run that is ready to. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function open(disk: Disk, options: Partial<AuditOptions> = {}) {
  const timers = new Timers();
  const failures: AuditError[] = [];
  const audit = await openAudit({
    sinks: [{ file: 'audit.jsonl' }],
    durability: 'by_action',
    writer: 'w',
    now: () => Date.UTC(2026, 10, 22, 9),
    open: disk.open,
    schedule: timers.schedule,
    onFailure: (error) => failures.push(error),
    ...options,
  });
  disk.calls.length = 0;
  return { audit, timers, failures };
}

describe('a record', () => {
  test('has its place in the sequence, its time, and what may identify a person apart, with a salt', async () => {
    const disk = new Disk();
    const { audit } = await open(disk, { version: '1.2.3' });
    await audit.write(
      { kind: 'intent', fields: { decision_id: 'd1', target: 'orders' }, personal: { statement: 'select\n\u2028"x"' } },
      { durable: true },
    );
    await audit.write({ kind: 'policy', fields: {} }, { durable: true });
    await audit.close();
    const [first, second] = disk.records;
    expect(first).toEqual({
      version: 1,
      kind: 'intent',
      writer: 'w',
      sequence: 1,
      timestamp: '2026-11-22T09:00:00.000Z',
      labels: { id: 'w', version: '1.2.3' },
      decision_id: 'd1',
      target: 'orders',
      salt: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/u),
      personal: { statement: 'select\n\u2028"x"' },
      chain: { previous: 'A'.repeat(43), hash: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/u) },
    });
    expect(second).toEqual({
      version: 1,
      kind: 'policy',
      writer: 'w',
      sequence: 2,
      timestamp: '2026-11-22T09:00:00.000Z',
      labels: { id: 'w', version: '1.2.3' },
      chain: { previous: first?.chain?.hash, hash: expect.not.stringMatching(first?.chain?.hash ?? '') },
    });
  });

  test('has a salt of its own', async () => {
    const disk = new Disk();
    const { audit } = await open(disk);
    for (let id = 0; id < 600; id += 1) audit.write({ ...intent(id), personal: { subject: 'ada' } });
    await audit.close();
    expect(new Set(disk.records.map(({ salt }) => salt)).size).toBe(600);
  });

  test('that cannot be written as JSON, or takes a reserved name, is refused and leaves no gap', async () => {
    const disk = new Disk();
    const { audit } = await open(disk);
    expect(() => audit.write({ kind: 'intent', fields: { rows: 1n } })).toThrow(AuditError);
    expect(() => audit.write({ kind: 'intent', fields: { sequence: 7 } })).toThrow(AuditError);
    await audit.write(intent(1), { durable: true });
    expect(disk.records.map(({ sequence }) => sequence)).toEqual([1]);
    await audit.close();
  });
});

describe('writing', () => {
  test('is durable only when it was flushed', async () => {
    const disk = new Disk();
    const { audit } = await open(disk);
    let release = (): void => undefined;
    disk.before = (call) => (call === 'datasync' ? new Promise<void>((resolve) => (release = resolve)) : undefined);
    let done = false;
    const written = audit.write(intent(1), { durable: true }).then(() => (done = true));
    await settle();
    expect(disk.records).toHaveLength(1);
    expect(done).toBe(false);
    release();
    await written;
    expect(disk.synced).toBe(disk.content);
    disk.before = () => undefined;
    await audit.close();
  });

  test('keeps the order, and shares one write and one flush among what arrives together', async () => {
    const disk = new Disk();
    const { audit } = await open(disk);
    const waits: Promise<void>[] = [];
    for (let id = 1; id <= 1_000; id += 1) {
      if (id % 3 === 0) waits.push(audit.write(intent(id), { durable: true }));
      else audit.write(intent(id));
    }
    await Promise.all(waits);
    expect(disk.calls).toEqual(['append', 'datasync']);
    await audit.close();
    expect(disk.records.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1));
    expect(disk.records.map(({ decision_id }) => decision_id)).toEqual(
      Array.from({ length: 1_000 }, (_, i) => `d${i + 1}`),
    );
  });

  test('takes what arrives during a write into the next one', async () => {
    const disk = new Disk();
    const { audit } = await open(disk);
    let second: Promise<void> | undefined;
    disk.before = (call) => {
      if (call === 'datasync') second ??= audit.write(intent(2), { durable: true });
    };
    await audit.write(intent(1), { durable: true });
    await second;
    expect(disk.calls).toEqual(['append', 'datasync', 'append', 'datasync']);
    await audit.close();
  });

  test('follows a write that ends at this very moment', async () => {
    const disk = new Disk();
    const { audit } = await open(disk);
    // Each of these lands in another microtask around the end of the write before it.
    for (let hops = 0; hops < 12; hops += 1) {
      const first = audit.write(intent(hops), { durable: true });
      await first;
      for (let hop = 0; hop < hops; hop += 1) await Promise.resolve();
      await audit.write(intent(hops), { durable: true });
    }
    expect(disk.records).toHaveLength(24);
    await audit.close();
  });

  test('without anybody who waits lingers a little, and is not flushed', async () => {
    const disk = new Disk();
    const { audit, timers } = await open(disk);
    expect(audit.write(intent(1))).toBeUndefined();
    expect(audit.write(intent(2))).toBeUndefined();
    await settle();
    expect(disk.calls).toEqual([]);
    expect(timers.delays_ms).toEqual([10]);
    timers.fire();
    await settle();
    expect(disk.calls).toEqual(['append']);
    expect(disk.records).toHaveLength(2);
    await audit.close();
    expect(disk.synced).toBe(disk.content);
  });

  test('is at an end when somebody asks whether it is, whatever is under way; what cannot be is not waited for', async () => {
    const disk = new Disk();
    const { audit } = await open(disk);
    const durable = audit.write(intent(1), { durable: true });
    await new Promise((resolve) => setImmediate(resolve));
    audit.write(intent(2));
    await audit.written();
    expect(disk.calls).toEqual(['append', 'datasync', 'append']);
    await durable;
    disk.before = () => Promise.reject(denied);
    audit.write(intent(3));
    await audit.written();
    expect(disk.records).toHaveLength(2);
  });

  test('never flushes with durability: memory', async () => {
    const disk = new Disk();
    const { audit } = await open(disk, { durability: 'memory' });
    await audit.write(intent(1), { durable: true });
    await audit.close();
    expect(disk.calls).toEqual(['append', 'close']);
  });

  test('goes to every sink, and waits for the slowest', async () => {
    const disks = [new Disk(), new Disk()];
    const { audit } = await open(disks[0] as Disk, {
      sinks: [{ file: '0' }, { file: '1' }],
      open: (path) => (disks[Number(path)] as Disk).open(path),
    });
    await audit.write(intent(1), { durable: true });
    expect(disks.map(({ synced }) => synced)).toEqual([disks[0]?.content, disks[0]?.content]);
    await audit.close();
  });

  test('is refused when too much waits', async () => {
    const disk = new Disk();
    const { audit } = await open(disk, { buffer_bytes_max: 500 });
    const written: unknown[] = [];
    expect(() => {
      for (let id = 1; id < 100; id += 1) written.push(audit.write(intent(id)));
    }).toThrow(/cannot keep up/u);
    expect(written.length).toBeGreaterThan(1);
    await audit.close();
    expect(disk.records).toHaveLength(written.length);
  });

  test('is refused after the log was closed', async () => {
    const disk = new Disk();
    const { audit } = await open(disk);
    await audit.close();
    expect(() => audit.write(intent(1))).toThrow(/is closed/u);
    await audit.close();
  });

  test.each([
    ['disk', 'read', true],
    ['memory', 'define', false],
    ['by_action', 'read', false],
    ['by_action', 'session', false],
    ['by_action', 'write', true],
    ['by_action', 'execute', true],
  ] as const)('with durability %s, a record of %s waits for the disk: %s', (durability, action, expected) => {
    expect(mustBeOnDisk(durability, action)).toBe(expected);
  });
});

describe('a disk that fails', () => {
  test.each(['append', 'datasync'] as const)('at %s refuses whoever waits, and everything after it', async (at) => {
    const disk = new Disk();
    const { audit, failures } = await open(disk);
    disk.before = (call) => {
      if (call === at) throw denied;
    };
    const waits = [audit.write(intent(1), { durable: true }), audit.write(intent(2), { durable: true })];
    for (const wait of waits) await expect(wait).rejects.toBeInstanceOf(AuditError);
    expect(() => audit.write(intent(3), { durable: true })).toThrow(AuditError);
    expect(() => audit.write(intent(4))).toThrow(AuditError);
    expect(failures).toHaveLength(1);
    expect(failures[0]?.detail).toBe('no space left on device');
    expect(failures[0]?.message).not.toContain('device');
    await expect(audit.close()).rejects.toBeInstanceOf(AuditError);
  });

  test('is tried again, less and less often, and then everything is there that was not refused', async () => {
    const disk = new Disk();
    let resumed = 0;
    const { audit, timers, failures } = await open(disk, { onResume: () => (resumed += 1) });
    audit.write(intent(1));
    const refused = audit.write(intent(2), { durable: true });
    audit.write(outcome(1));
    disk.before = (call) => {
      if (call !== 'open') throw denied;
    };
    disk.partial = 30;
    await expect(refused).rejects.toBeInstanceOf(AuditError);
    await settle();
    // What is over already waits for the log; it cannot be refused any more.
    audit.write(outcome(7));
    const delays_ms: number[] = [];
    for (let attempt = 0; attempt < 8; attempt += 1) {
      delays_ms.push(...timers.delays_ms);
      timers.fire();
      await settle();
    }
    expect(delays_ms).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    expect(resumed).toBe(0);
    expect(failures).toHaveLength(1);

    disk.before = () => undefined;
    timers.fire();
    await settle();
    expect(resumed).toBe(1);
    await audit.write(intent(8), { durable: true });
    await audit.close();
    const whole = disk.content.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as AuditRecord];
      } catch {
        return [];
      }
    });
    expect(whole.map(({ sequence, kind }) => [sequence, kind])).toEqual([
      [1, 'intent'],
      [3, 'outcome'],
      [4, 'audit'],
      [5, 'outcome'],
      [6, 'intent'],
    ]);
    expect(whole[2]).toMatchObject({ event: 'failed', error: 'ENOSPC', refused: [[2, 2]] });
  });

  test.each(Array.from({ length: 14 }, (_, n) => n))(
    'at its call number %i loses nothing that was promised',
    async (n) => {
      const disk = new Disk();
      const { audit, timers } = await open(disk);
      let calls = 0;
      disk.partial = 17;
      disk.before = () => {
        calls += 1;
        if (calls === n + 1) throw denied;
      };
      const promised: number[] = [];
      let refused = 0;
      for (let id = 1; id <= 12; id += 1) {
        try {
          await audit.write(intent(id), { durable: true });
          promised.push(id);
          expect(disk.synced).toContain(`"decision_id":"d${id}"`);
        } catch (error) {
          expect(error).toBeInstanceOf(AuditError);
          refused += 1;
          await settle();
          timers.fire();
          await settle();
        }
      }
      await audit.close();
      expect(promised.length + refused).toBe(12);
      expect(refused).toBe(1);
      const lines = disk.synced.split('\n').filter((line) => line.startsWith('{"version":1') && line.endsWith('}'));
      expect(lines.length).toBeGreaterThanOrEqual(promised.length);
    },
  );

  test('stops the start where a sink cannot be opened', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-audit-'));
    await expect(openAudit({ sinks: [{ file: folder }], durability: 'disk' })).rejects.toThrow(/cannot be opened/u);
    await expect(openAudit({ sinks: [{ file: '/dev/null' }], durability: 'disk' })).rejects.toThrow(
      /not a regular file/u,
    );
    rmSync(folder, { recursive: true });
  });
});

describe('files', () => {
  async function inFile<T>(use: (file: string) => Promise<T>): Promise<T> {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-audit-'));
    try {
      return await use(join(folder, 'logs', 'audit.jsonl'));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  const read = async (file: string, damaged: number[] = []) => {
    const records: AuditRecord[] = [];
    for await (const record of readRecords(file, { onDamaged: ({ line }) => damaged.push(line) })) records.push(record);
    return records;
  };

  test('are readable by their owner alone, and appended to', () =>
    inFile(async (file) => {
      for (const id of [1, 2]) {
        const audit = await openAudit({ sinks: [{ file }], durability: 'disk' });
        await audit.write(intent(id), { durable: true });
        await audit.close();
      }
      expect(statSync(file).mode & 0o777).toBe(0o600);
      const records = await read(file);
      expect(records.map(({ decision_id, sequence }) => [decision_id, sequence])).toEqual([
        ['d1', 1],
        ['d2', 1],
      ]);
      expect(records[0]?.writer).not.toBe(records[1]?.writer);
    }));

  test('that a crash left with half a line keep it apart, and say so', () =>
    inFile(async (file) => {
      const first = await openAudit({ sinks: [{ file }], durability: 'disk', writer: 'first' });
      await first.write(intent(1), { durable: true });
      await first.close();
      const whole = readFileSync(file, 'utf8');
      for (const cut of [1, 20, whole.length - 2]) {
        writeFileSync(file, whole + whole.slice(0, cut));
        expect(await read(file)).toHaveLength(1);
        const torn: string[] = [];
        const audit = await openAudit({ sinks: [{ file }], durability: 'disk', onTorn: (path) => torn.push(path) });
        await audit.write(intent(2), { durable: true });
        await audit.close();
        expect(torn).toEqual([file]);
        const damaged: number[] = [];
        const records = await read(file, damaged);
        expect(records.map(({ kind }) => kind)).toEqual(['intent', 'audit', 'intent']);
        expect(damaged).toEqual([2]);
      }
    }));

  test('are read in pieces, whatever the lines hold', () =>
    inFile(async (file) => {
      const audit = await openAudit({ sinks: [{ file }], durability: 'memory' });
      const texts = ['\u2028', 'é'.repeat(300_000), '\n\r\0', 'x'.repeat(262_144)];
      for (const text of texts) audit.write({ kind: 'intent', fields: {}, personal: { text } });
      await audit.close();
      expect((await read(file)).map(({ personal }) => (personal as { text: string }).text)).toEqual(texts);
    }));

  test('tell what became of one decision', () =>
    inFile(async (file) => {
      const audit = await openAudit({ sinks: [{ file }], durability: 'disk', writer: 'w' });
      for (let id = 1; id <= 20; id += 1) audit.write({ ...intent(id), personal: { statement: 'select "d7"' } });
      await audit.write(outcome(7), { durable: true });
      await audit.close();
      writeFileSync(file, readFileSync(file, 'utf8').split('\n').slice(-2).join('\n'), { flag: 'a' });
      const found = await findDecision([`${file}.missing`, file], 'd7');
      expect(found?.intent).toMatchObject({ kind: 'intent', sequence: 7 });
      expect(found?.outcome).toMatchObject({ kind: 'outcome', sequence: 21, rows: 7 });
      expect(found?.records).toHaveLength(2);
      expect(await findDecision([file], 'd3')).not.toHaveProperty('outcome');
      expect(await findDecision([file], 'd99')).toBeUndefined();
    }));
});
