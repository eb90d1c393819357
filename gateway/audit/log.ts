import { randomUUID } from 'node:crypto';
import type { Durability } from '../config/index.js';
import { AuditError } from '../errors.js';
import { Batch, Spares, type Line, type Tip } from './batch.js';
import { genesis, type Unsealed } from './chain.js';
import type { Cut } from './checkpoint.js';
import { openFileSink, type OpenSink, type SinkFile } from './file.js';
import { Formatter } from './format.js';
import { afterTheFact, type Audit, type Entry } from './record.js';
import { removeOutdated } from './retention.js';
import { rotatingSink, type Rotation } from './rotating.js';
import { Sealer, sealed_ms_max, type SealOptions } from './sealer.js';

/** Records that wait to be written may have this many bytes together; a record that would exceed it is refused. */
export const buffer_bytes_max = 67_108_864;
/** A record that nobody waits for is written after this time at the latest, or with the next that somebody waits for. */
const linger_ms = 10;
/** So much is written without lingering. */
const batch_bytes = 262_144;
const retry_first_ms = 100;
const retry_last_ms = 5_000;
const retain_again_ms = 1_000;
const retain_every_ms = 600_000;

export interface AuditOptions {
  /** Each gets every record; a record counts as written when all have it. */
  readonly sinks: readonly { readonly file: string }[];
  /** memory: nothing is flushed to disk, and a durable write resolves when the operating system has it. */
  readonly durability: Durability;
  /** Names this process in its records. Made up when absent. */
  readonly writer?: string;
  /** The product's version, for `labels`. */
  readonly version?: string;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Told each time the log stops being written. From then on writes throw, until it is written again. */
  readonly onFailure?: (error: AuditError) => void;
  /** Told when the log is written again. */
  readonly onResume?: () => void;
  /** Told of a file that was found to end in the middle of a line. */
  readonly onTorn?: (file: string) => void;
  /** Who signs how far the chain has come, and where that is remembered. Absent: nothing is signed. */
  readonly seal?: SealOptions | undefined;
  /** Told when a head could not be signed or remembered; it is tried again. */
  readonly onUnsealed?: (error: unknown) => void;
  readonly open?: OpenSink;
  /** Absent: files grow. */
  readonly rotation?: Rotation | undefined;
  /** Files that were rotated away longer ago are removed, once a checkpoint says so. Needs `seal`. */
  readonly retention_ms?: number | undefined;
  readonly onRemoved?: (files: readonly string[]) => void;
  readonly onUnremoved?: (error: unknown) => void;
  /** Which of the files that were rotated away somebody has to read still: they stay. */
  readonly unread?: () => Promise<ReadonlySet<string>>;
  /** Told of what stands in the files now, as it was asked for. */
  readonly onWritten?: (records: number, bytes: number) => void;
  /** Runs something later; returns what cancels it. */
  readonly schedule?: (run: () => void, after_ms: number) => () => void;
  readonly buffer_bytes_max?: number;
}

/** Opens the log; throws AuditError where a sink cannot be written. */
export async function openAudit(options: AuditOptions): Promise<Audit> {
  const log = new AuditLog(options);
  await log.open();
  return log;
}

/**
 * One queue for all sinks, with group commit: whatever arrives while a batch is being written becomes the next batch,
 * so many records share one write and one flush.
 *
 *     open ──write fails──▶ failed ──reopened and written──▶ open
 *
 * When a write fails nothing is known of what is on disk. Those who wait are told that their record is not; what nobody
 * waited for is kept and written again, with the numbers it had: a reader that finds a number twice takes it once.
 */
class AuditLog implements Audit {
  get refusal(): AuditError | undefined {
    return this.#failure;
  }

  readonly #options: AuditOptions;
  readonly #formatter: Formatter;
  readonly #now: () => number;
  readonly #schedule: (run: () => void, after_ms: number) => () => void;
  readonly #buffer_bytes_max: number;
  #files: SinkFile[] = [];
  #sequence = 0;
  #writtenUntil = 0;
  readonly #spares = new Spares();
  #batch = new Batch(this.#spares, { sequence: 0, hash: genesis });
  /** In `#batch` and in the batch being written. */
  #buffered_bytes = 0;
  #writing: Promise<void> | undefined;
  #failure: AuditError | undefined;
  #unsynced = false;
  #retry_ms = retry_first_ms;
  #cancelTimer: (() => void) | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #closing: Promise<void> | undefined;
  readonly #sealer: Sealer | undefined;
  #sealing: Promise<void> | undefined;
  /** The head is to be signed with the next write, even if there is nothing to write. */
  #sealSoon = false;
  #cancelSealing: (() => void) | undefined;
  readonly #openSink: OpenSink;
  #retaining: Promise<void> | undefined;
  #cancelRetaining: (() => void) | undefined;

  constructor(options: AuditOptions) {
    this.#options = options;
    const writer = options.writer ?? randomUUID();
    this.#formatter = new Formatter(writer, options.version);
    this.#now = options.now ?? Date.now;
    if (options.seal !== undefined) this.#sealer = new Sealer(options.seal, writer, this.#now);
    this.#schedule = options.schedule ?? later;
    this.#buffer_bytes_max = options.buffer_bytes_max ?? buffer_bytes_max;
    const { open = openFileSink, rotation } = options;
    this.#openSink =
      rotation === undefined ? open : rotatingSink(open, rotation, this.#now, () => setImmediate(() => this.#retain()));
  }

  async open(): Promise<void> {
    try {
      await this.#openFiles();
      const fields = await this.#sealer?.start(this.#options.sinks.map(({ file }) => file));
      if (fields !== undefined) this.#add({ kind: 'audit', fields }, false);
    } catch (error) {
      await this.#closeFiles();
      throw new AuditError(`the audit log cannot be opened: ${(error as Error).message}`, { cause: error });
    }
    this.#wake(false);
    this.#retain();
  }

  /** Removes what is older than has to be kept: at the start, whenever a file was rotated away, and from time to time. */
  #retain(): void {
    const { retention_ms, sinks, onUnremoved } = this.#options;
    if (retention_ms === undefined || this.#sealer === undefined || this.#closing !== undefined) return;
    this.#retainAfter(retain_every_ms);
    this.#retaining ??= (async () => {
      for (const { file } of sinks) await this.#retainFiles(file, retention_ms);
    })()
      .catch((error: unknown) => tell(() => onUnremoved?.(error)))
      .finally(() => (this.#retaining = undefined));
  }

  async #retainFiles(file: string, retention_ms: number): Promise<void> {
    const { onRemoved, unread = () => Promise.resolve(new Set<string>()) } = this.#options;
    const { removed, waits } = await removeOutdated(file, {
      before_ms: this.#now() - retention_ms,
      sign: (cuts) => this.#recordCut(cuts),
      unread,
    });
    if (removed.length > 0) tell(() => onRemoved?.(removed));
    // Most often somebody still reads the file that was just rotated away.
    if (waits && this.#closing === undefined) this.#retainAfter(retain_again_ms);
  }

  #retainAfter(after_ms: number): void {
    this.#cancelRetaining?.();
    this.#cancelRetaining = this.#schedule(() => this.#retain(), after_ms);
  }

  async #recordCut(cuts: readonly Cut[]): Promise<void> {
    const checkpoint = await this.#sealer?.cut(cuts);
    if (checkpoint === undefined) throw new AuditError('nothing is signed, so nothing may be removed');
    await this.write({ kind: 'audit', fields: { event: 'checkpoint', removed: true, checkpoint } }, { durable: true });
  }

  write(entry: Entry, options: { durable: true }): Promise<void>;
  write(entry: Entry, options?: { durable?: false }): undefined;
  write(entry: Entry, options?: { durable?: boolean }): Promise<void> | undefined {
    const durable = options?.durable === true;
    if (this.#closing !== undefined) throw new AuditError('the audit log is closed');
    if (this.#failure !== undefined && (durable || !afterTheFact.has(entry.kind))) {
      throw unwritable(this.#failure.cause);
    }
    this.#add(entry, durable);
    const written = durable ? this.#batch.written : undefined;
    if (this.#failure === undefined) this.#wake(durable || this.#batch.bytes >= batch_bytes);
    return written;
  }

  /** @param always Also beyond the bound, for the few records without which the others could not be understood. */
  #add(entry: Entry, durable: boolean, always = false): void {
    const sequence = this.#sequence + 1;
    const record = this.#formatter.line(entry, sequence, this.#now());
    if (!always && this.#buffered_bytes + chars(record) > this.#buffer_bytes_max) {
      throw new AuditError('the audit log cannot keep up: too much waits to be written', { retryable: true });
    }
    this.#sequence = sequence;
    this.#buffered_bytes += this.#batch.add(record, sequence, durable);
  }

  async written(): Promise<void> {
    const { sequence } = this.#batch.tip;
    // A batch that is under way may have been taken before the last of them.
    while (this.#failure === undefined && this.#writtenUntil < sequence) {
      this.#start();
      await this.#writing;
    }
  }

  /** Sees to it that the batch is written: now for whoever waits, soon for the rest. */
  #wake(now: boolean): void {
    if (this.#writing !== undefined || this.#batch.empty) return;
    if (now) {
      // At the end of this turn of the event loop: what other connections ask for meanwhile comes along.
      this.#immediate ??= setImmediate(() => this.#start());
    } else {
      this.#cancelTimer ??= this.#schedule(() => this.#start(), linger_ms);
    }
  }

  #start(): void {
    this.#calm();
    this.#writing ??= this.#run().finally(() => {
      this.#writing = undefined;
      // Something may have come between the last look at the batch and this.
      if (this.#failure === undefined) this.#wake(this.#batch.awaited);
    });
  }

  #calm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
  }

  /** Never rejects: what goes wrong is told to those who wait, and to `onFailure`. */
  async #run(): Promise<void> {
    // What is to be signed waits for the signature that is being made: with nothing to write this would be a loop without end.
    while (this.#failure === undefined && (!this.#batch.empty || (this.#sealSoon && this.#sealing === undefined))) {
      const batch = this.#take();
      const due = this.#sealDue(batch);
      try {
        await this.#writeBatch(batch, batch.awaited || due, due);
        if (due) this.#seal(batch.tip);
      } catch (error) {
        await this.#fail(batch, error);
      }
    }
  }

  /** Only what is on disk is signed: a head without its records would look like records that were cut off. */
  #sealDue(batch: Batch): boolean {
    if (this.#sealer === undefined || this.#sealing !== undefined) return false;
    const due = this.#sealer.due(batch.records) || this.#sealSoon;
    this.#sealSoon = false;
    if (!due && this.#sealer.unsigned && this.#closing === undefined) {
      this.#cancelSealing ??= this.#schedule(() => {
        this.#cancelSealing = undefined;
        this.#sealSoon = true;
        if (this.#failure === undefined) this.#start();
      }, sealed_ms_max);
    }
    return due;
  }

  #seal(tip: Tip): void {
    this.#cancelSealing?.();
    this.#cancelSealing = undefined;
    this.#sealing = this.#sign(tip).finally(() => {
      this.#sealing = undefined;
      if (this.#sealSoon && this.#failure === undefined && this.#closing === undefined) this.#start();
    });
  }

  async #sign(tip: Tip, ended?: true): Promise<void> {
    try {
      const checkpoint = await this.#sealer?.seal(tip, ended);
      if (checkpoint === undefined) return;
      this.#add({ kind: 'audit', fields: { event: 'checkpoint', checkpoint } }, false, true);
      if (this.#failure === undefined && this.#closing === undefined) this.#wake(false);
    } catch (error) {
      tell(() => this.#options.onUnsealed?.(error));
    }
  }

  #take(): Batch {
    const batch = this.#batch;
    this.#batch = new Batch(this.#spares, batch.tip);
    return batch;
  }

  /** What was kept goes on from the last record that is known to be there. */
  #startAgain(lines: readonly Line[], previous: Tip): void {
    this.#batch = new Batch(this.#spares, previous);
    this.#buffered_bytes = 0;
    for (const line of lines) this.#buffered_bytes += this.#batch.addAgain(line);
  }

  async #writeBatch(batch: Batch, sync: boolean, signed = false): Promise<void> {
    const content = batch.content();
    await all(this.#files, (file) => file.append(content));
    this.#unsynced = true;
    if (sync) await this.#sync(signed);
    this.#buffered_bytes -= batch.bytes;
    this.#writtenUntil = batch.tip.sequence;
    const { records, bytes } = batch;
    batch.resolve();
    tell(() => this.#options.onWritten?.(records, bytes));
  }

  /** @param signed Also with durability: memory. */
  async #sync(signed = false): Promise<void> {
    if ((this.#options.durability === 'memory' && !signed) || !this.#unsynced) return;
    this.#unsynced = false;
    await all(this.#files, (file) => file.datasync());
  }

  async #fail(batch: Batch, cause: unknown): Promise<void> {
    const failure = unwritable(cause);
    this.#failure = failure;
    const next = this.#take();
    const parts = [batch.reject(failure), next.reject(failure)];
    this.#startAgain(
      parts.flatMap(({ kept }) => kept),
      batch.previous,
    );
    const refused = ranges(parts.flatMap((part) => part.refused));
    const { code } = cause as NodeJS.ErrnoException;
    const fields = { event: 'failed', error: code ?? 'unknown', refused, after: batch.previous.hash };
    this.#add({ kind: 'audit', fields }, false, true);
    tell(() => this.#options.onFailure?.(failure));
    await this.#closeFiles();
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#closing !== undefined) return;
    this.#cancelTimer = this.#schedule(() => {
      this.#cancelTimer = undefined;
      this.#writing ??= this.#reopen().finally(() => {
        this.#writing = undefined;
        if (this.#failure === undefined) this.#wake(this.#batch.awaited);
        else this.#retryLater();
      });
    }, this.#retry_ms);
    this.#retry_ms = Math.min(this.#retry_ms * 2, retry_last_ms);
  }

  /** The log counts as written again only when what was kept is on disk. */
  async #reopen(): Promise<void> {
    const batch = this.#take();
    try {
      await this.#openFiles();
      await this.#writeBatch(batch, true);
    } catch (error) {
      this.#failure = unwritable(error);
      const later = this.#take();
      const failure = this.#failure;
      this.#startAgain(
        [batch, later].flatMap((part) => part.reject(failure).kept),
        batch.previous,
      );
      await this.#closeFiles();
      return;
    }
    this.#failure = undefined;
    this.#retry_ms = retry_first_ms;
    tell(() => this.#options.onResume?.());
  }

  async #openFiles(): Promise<void> {
    const { sinks, onTorn } = this.#options;
    for (const { file: path } of sinks) {
      const { file, torn } = await this.#openSink(path);
      this.#files.push(file);
      if (!torn) continue;
      // The half line stays as it is; what follows must not become a part of it.
      await file.append(Buffer.from('\n'));
      if (this.#failure === undefined) {
        tell(() => onTorn?.(path));
        this.#add({ kind: 'audit', fields: { event: 'torn', file: path } }, false);
      }
    }
  }

  async #closeFiles(): Promise<void> {
    const files = this.#files;
    this.#files = [];
    await Promise.allSettled(files.map((file) => file.close()));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#calm();
    this.#cancelSealing?.();
    this.#cancelRetaining?.();
    await this.#writing;
    await this.#retaining;
    await this.#sealing;
    this.#calm();
    this.#sealSoon = false;
    if (this.#failure === undefined) await this.#run();
    if (this.#failure !== undefined) await this.#reopen();
    if (this.#failure === undefined) {
      try {
        await this.#end();
      } catch (error) {
        this.#failure = unwritable(error);
      }
    }
    await this.#closeFiles();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The last head is signed when all else is on disk, and the checkpoint with it is the last record. */
  async #end(): Promise<void> {
    await this.#sync(this.#sealer !== undefined);
    if (this.#sealer === undefined) return;
    await this.#sealing;
    if (!this.#batch.empty) await this.#writeBatch(this.#take(), true, true);
    await this.#sign(this.#batch.tip, true);
    await this.#writeBatch(this.#take(), true);
  }
}

function unwritable(cause: unknown): AuditError {
  return new AuditError('the audit log cannot be written, so nothing that has to be recorded may go on', {
    detail: cause instanceof Error ? cause.message : String(cause),
    cause,
    retryable: true,
  });
}

/** Bytes, but for what is beyond ASCII: the exact number is known when it is written. */
function chars({ head, parts }: Unsealed): number {
  let count = head.length;
  for (const { text } of parts) count += text.length;
  return count;
}

/** Waits for all, also when one fails: nothing may go on in a file that is about to be closed. */
async function all(files: readonly SinkFile[], use: (file: SinkFile) => Promise<void>): Promise<void> {
  const settled = await Promise.allSettled(files.map(use));
  const failed = settled.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** [3, 4, 5, 9] as [[3, 5], [9, 9]]. */
function ranges(numbers: readonly number[]): [number, number][] {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found;
}

/** A listener's mistake must not become the log's. */
function tell(listener: () => void): void {
  try {
    listener();
  } catch {
    // The log has nobody to complain to but the listener.
  }
}

function later(run: () => void, after_ms: number): () => void {
  const timer = setTimeout(run, after_ms);
  return () => clearTimeout(timer);
}
