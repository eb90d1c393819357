import { AuditError } from '../../errors.js';
import { parseRecord } from '../read.js';
import { Bell } from './bell.js';
import { NotDelivered, type Destination } from './destination.js';
import type { PositionStore } from './positions.js';
import { endOf, filesFrom, Tail, type Piece, type Position } from './tail.js';

export interface SinkLimits {
  /** So far it may be behind the files. */
  readonly records_max: number;
  readonly bytes_max: number;
}

/** What is left out of a sink. */
export interface Gap {
  readonly sink: string;
  /** Absent: nobody knows how many, since their files are gone. */
  readonly records?: number;
  readonly first?: { readonly writer: string; readonly sequence: number };
  readonly last?: { readonly writer: string; readonly sequence: number };
  readonly why: string;
}

export interface SinkNews {
  readonly sink: string;
  readonly event: 'failing' | 'delivering' | 'full' | 'caught_up' | 'gap';
  readonly why?: string;
  readonly records?: number | undefined;
}

export interface ForwarderOptions {
  readonly name: string;
  /** closed: what has to be recorded is refused while the sink is too far behind. open: records are left out. */
  readonly fail: 'closed' | 'open';
  readonly limits: SinkLimits;
  readonly destination: Destination;
  /** The log that is read: its current file. */
  readonly file: string;
  readonly positions: PositionStore;
  /** Records what is left out; false: it cannot be recorded now. */
  readonly onGap: (gap: Gap) => boolean;
  readonly onNews?: (news: SinkNews) => void;
  readonly timing?: Partial<typeof usual>;
}

const usual = {
  /** So long more records are waited for, to be delivered with those that came. */
  linger_ms: 100,
  retry_first_ms: 250,
  retry_last_ms: 5_000,
  /** What nobody told of is looked for so often: other processes write, too. */
  look_ms: 2_000,
  /** The place is kept so often. What was delivered after it is delivered again after a crash. */
  keep_ms: 1_000,
  /** At the end, so long is tried to deliver what is left. The rest follows after the next start. */
  farewell_ms: 3_000,
};

const batch = { records: 1_000, bytes: 1_048_576 };
const retry_after_ms_max = 60_000;

/**
 * Brings what is in the files to one sink, in order, each record at least once. The files are the queue, so nothing is held in
 * memory but what is on its way, and a sink that was down catches up, also over a restart.
 */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #timing: typeof usual;
  readonly #bell = new Bell();
  readonly #ending = new AbortController();
  #tail: Tail;
  #behind = { records: 0, bytes: 0 };
  /** Counts calls of `wrote`: whether something came while the end of the files was looked for. */
  #told = 0;
  #failing: string | undefined;
  #full = false;
  #gap: Gap | undefined;
  #dropped = 0;
  /** What is on disk of how far it is: where it begins again after a crash. */
  #kept: Position | undefined;
  #kept_ms = 0;
  #running: Promise<void> | undefined;
  #closing = false;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#timing = { ...usual, ...options.timing };
    this.#tail = new Tail(options.file, undefined);
  }

  get status() {
    const { name, fail } = this.#options;
    return { name, fail, ...this.#behind, dropped: this.#dropped, failing: this.#failing };
  }

  /** Finds where it was. To be called before the log is opened: what a new sink gets begins with that. */
  async prepare(): Promise<void> {
    const { file, positions, name } = this.#options;
    const known = await positions.read();
    const position = known === undefined ? await endOf(file) : (known ?? undefined);
    if (known === undefined) await positions.write(position ?? null);
    this.#kept = position;
    this.#tail = new Tail(file, position);
    if (!(await this.#tail.find())) {
      this.#gap = { sink: name, why: 'the files between what was delivered and the oldest that is left are gone' };
    }
    this.#behind = await this.#tail.measure();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Told of what stands in the files now. */
  wrote(records: number, bytes: number): void {
    this.#told += 1;
    this.#behind.records += records;
    this.#behind.bytes += bytes;
    this.#bell.ring();
  }

  /** Why nothing that has to be recorded may go on. */
  get refusal(): AuditError | undefined {
    if (this.#options.fail === 'open' || !this.#isTooFarBehind()) return undefined;
    const { name } = this.#options;
    return new AuditError(
      `the audit cannot be brought to its sink "${name}", so nothing that has to be recorded may go on`,
      {
        detail: `${name} is ${this.#behind.records} records behind: ${this.#failing ?? 'it is too slow'}`,
        retryable: true,
      },
    );
  }

  /** The files that have to stay for it: those that it would read if it began again now. */
  unread(): Promise<string[]> {
    return filesFrom(this.#options.file, this.#kept);
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#bell.ring();
    const timer = setTimeout(() => this.#ending.abort(), this.#timing.farewell_ms);
    await this.#running;
    clearTimeout(timer);
    await this.#keep(true).catch(() => undefined);
    await this.#tail.close();
    await this.#options.destination.close();
  }

  #isTooFarBehind(share = 1): boolean {
    const { records_max, bytes_max } = this.#options.limits;
    return this.#behind.records > records_max * share || this.#behind.bytes > bytes_max * share;
  }

  async #run(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      try {
        const told = this.#told;
        const piece = await this.#tail.next(batch);
        if (piece !== undefined) {
          if (!(await this.#bring(piece))) return;
          continue;
        }
        // Whatever was counted, at the end of the files nothing is behind.
        if (told === this.#told) this.#behind = { records: 0, bytes: 0 };
        this.#look();
        await this.#keep();
        // What was written while it was looked for goes out as well before it ends.
        if (this.#closing && told === this.#told) return;
        if (!this.#closing) await this.#bell.wait(this.#timing.look_ms);
        if (!this.#closing) await pause(this.#timing.linger_ms);
      } catch (error) {
        // The files cannot be read, or the place cannot be kept.
        this.#fails((error as NodeJS.ErrnoException).code ?? 'the files cannot be read');
        if (this.#closing) return;
        await this.#patience(this.#timing.retry_last_ms);
      }
    }
  }

  /** Delivers it, or leaves it out. False: it is given up for now, as everything ends. */
  async #bring(piece: Piece): Promise<boolean> {
    const sent = await this.#send(piece.records);
    if (sent === 'ended') return false;
    this.#taken(piece);
    if (sent === 'left out') await this.#leaveOutMore();
    this.#look();
    await this.#keep();
    return true;
  }

  #taken({ records, bytes }: Piece): void {
    this.#tail.taken();
    this.#behind.records = Math.max(0, this.#behind.records - records.length);
    this.#behind.bytes = Math.max(0, this.#behind.bytes - bytes);
  }

  async #send(records: readonly Buffer[]): Promise<'sent' | 'left out' | 'ended'> {
    const { retry_first_ms, retry_last_ms } = this.#timing;
    for (let wait_ms = retry_first_ms; ; wait_ms = Math.min(wait_ms * 2, retry_last_ms)) {
      try {
        await this.#options.destination.deliver(records, this.#ending.signal);
        this.#works();
        return 'sent';
      } catch (error) {
        const { refused, retry_after_ms, message } = asNotDelivered(error);
        // Perhaps there are too many at once, perhaps it is one among them.
        if (refused && records.length > 1) return await this.#sendHalves(records);
        this.#fails(message);
        if (this.#options.fail === 'open' && (refused || this.#isTooFarBehind())) {
          this.#leaveOut(records, message);
          return refused ? 'sent' : 'left out';
        }
        if (this.#closing) return 'ended';
        await this.#patience(Math.max(wait_ms, Math.min(retry_after_ms, retry_after_ms_max)));
        if (this.#ending.signal.aborted) return 'ended';
      }
    }
  }

  async #sendHalves(records: readonly Buffer[]): Promise<'sent' | 'left out' | 'ended'> {
    const middle = records.length >> 1;
    for (const half of [records.slice(0, middle), records.slice(middle)]) {
      const sent = await this.#send(half);
      if (sent === 'ended') return sent;
    }
    return 'sent';
  }

  /** Until the time is over. What is written meanwhile may make it too far behind, which is looked at then. */
  async #patience(wait_ms: number): Promise<void> {
    const until_ms = performance.now() + wait_ms;
    for (;;) {
      const left_ms = until_ms - performance.now();
      if (left_ms <= 0 || this.#closing) return;
      await this.#bell.wait(left_ms);
      this.#look();
      if (this.#options.fail === 'open' && this.#isTooFarBehind()) return;
    }
  }

  /** Down to half of what may wait, so that it is not each few records that a gap has to be recorded. */
  async #leaveOutMore(): Promise<void> {
    while (this.#isTooFarBehind(0.5)) {
      const piece = await this.#tail.next(batch);
      if (piece === undefined) return;
      this.#leaveOut(piece.records, this.#failing ?? 'it is too slow');
      this.#taken(piece);
    }
  }

  #leaveOut(records: readonly Buffer[], why: string): void {
    this.#dropped += records.length;
    const last = numberOf(records.at(-1));
    const first = this.#gap?.first ?? numberOf(records[0]);
    this.#gap = {
      sink: this.#options.name,
      records: (this.#gap?.records ?? 0) + records.length,
      ...(first === undefined ? {} : { first }),
      ...(last === undefined ? {} : { last }),
      why,
    };
  }

  #look(): void {
    if (!this.#full && this.#isTooFarBehind()) {
      this.#full = true;
      this.#tell('full', this.#failing);
    } else if (this.#full && !this.#isTooFarBehind(0.5)) {
      this.#full = false;
      this.#tell('caught_up');
    }
  }

  #fails(why: string): void {
    if (this.#failing !== why) this.#tell('failing', why);
    this.#failing = why;
  }

  #works(): void {
    if (this.#failing !== undefined) this.#tell('delivering');
    this.#failing = undefined;
  }

  #tell(event: SinkNews['event'], why?: string, records?: number): void {
    try {
      this.#options.onNews?.({
        sink: this.#options.name,
        event,
        ...(why === undefined ? {} : { why }),
        ...(records === undefined ? {} : { records }),
      });
    } catch {
      // A listener's mistake is not the sink's.
    }
  }

  /** The place is kept only when what was left out before it is recorded. */
  async #keep(now = false): Promise<void> {
    const { onGap, positions } = this.#options;
    if (this.#gap !== undefined) {
      if (!onGap(this.#gap)) return;
      this.#tell('gap', this.#gap.why, this.#gap.records);
      this.#gap = undefined;
    }
    const { position } = this.#tail;
    if (position === undefined || (!now && performance.now() - this.#kept_ms < this.#timing.keep_ms)) return;
    this.#kept_ms = performance.now();
    await positions.write(position);
    this.#kept = position;
  }
}

function asNotDelivered(error: unknown): NotDelivered {
  return error instanceof NotDelivered ? error : new NotDelivered((error as Error).name, { cause: error });
}

function numberOf(line: Buffer | undefined) {
  const record = line && parseRecord(line);
  return record && { writer: record.writer, sequence: record.sequence };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
