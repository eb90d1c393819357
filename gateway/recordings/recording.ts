import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import type { Recorded, Recording } from '../protocol.js';
import { eventLine, type CastCode } from './cast.js';

/** One recording on its way into its file. */

/** Whoever has more to say waits until this much is written: no more has been shown that a full disk could lose. */
const waiting_bytes_max = 1_048_576;

export interface RecordingParts {
  readonly id: string;
  readonly file: FileHandle;
  readonly terminal: boolean;
  /** Of the file. */
  readonly bytes_max: number;
  readonly input_bytes_max: number;
  readonly fail: 'closed' | 'open';
  /** Takes bytes out of what all recordings may have together; false: there are no more. */
  readonly take: (bytes: number) => boolean;
  readonly failed: (why: unknown) => void;
  readonly now: () => number;
}

export class RecordingFile implements Recording {
  readonly id: string;
  readonly #parts: RecordingParts;
  readonly #started_ms: number;
  readonly #digest = createHash('sha256');
  readonly #streams: Readonly<Record<'stdout' | 'stderr' | 'input', Stream>>;
  #bytes = 0;
  #lines: string[] = [];
  #waiting_bytes = 0;
  #writing: Promise<void> | undefined;
  #lost = false;
  /** The file takes nothing any more. */
  #broken = false;
  #ended = false;
  #onLost: () => void = () => undefined;
  #closed: Promise<Recorded> | undefined;

  constructor(parts: RecordingParts, header: string) {
    this.#parts = parts;
    this.id = parts.id;
    this.#started_ms = parts.now();
    const { terminal } = parts;
    this.#streams = { stdout: new Stream(terminal), stderr: new Stream(terminal), input: new Stream(true) };
    void this.#line(header);
  }

  /** Whether its first line stands in the file: until then nothing is known of whether it can be written. */
  async begun(): Promise<boolean> {
    await this.#writing;
    return !this.#lost;
  }

  output(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<boolean> | boolean {
    // What comes behind the end was stopped: nobody is shown it.
    if (this.#ended) return false;
    const text = this.#streams[stream].read(bytes);
    const written = text === '' ? undefined : this.#event('o', text);
    const kept = () => !this.#lost || this.#parts.fail === 'open';
    return written === undefined ? kept() : written.then(kept);
  }

  input(bytes: Buffer): void {
    const { input } = this.#streams;
    const left = this.#parts.input_bytes_max - input.shown_bytes;
    const text = input.read(bytes, left);
    if (text !== '') void this.#event('i', text);
  }

  resize(columns: number, rows: number): void {
    void this.#event('r', `${columns}x${rows}`);
  }

  note(text: string): void {
    void this.#event('m', text);
  }

  onLost(listener: () => void): void {
    this.#onLost = listener;
    if (this.#lost && this.#parts.fail === 'closed') listener();
  }

  close(exit: string | undefined): Promise<Recorded> {
    this.#closed ??= this.#finish(exit);
    return this.#closed;
  }

  async #finish(exit: string | undefined): Promise<Recorded> {
    for (const [name, stream] of Object.entries(this.#streams)) {
      const rest = stream.rest();
      if (rest !== '') void this.#event(name === 'input' ? 'i' : 'o', rest);
      const unseen = stream.unseen(name);
      if (unseen !== undefined) void this.#event('m', unseen);
    }
    if (exit !== undefined) void this.#event('x', exit);
    // What comes behind the end is on nobody's screen any more.
    this.#ended = true;
    const { file } = this.#parts;
    try {
      await this.#writing;
      if (!this.#broken) await file.datasync();
    } catch (error) {
      this.#lose(error);
    }
    await file.close().catch(() => undefined);
    const { id } = this;
    return { id, sha256: this.#digest.digest('hex'), bytes: this.#bytes, complete: !this.#lost };
  }

  #event(code: CastCode, text: string): Promise<void> | undefined {
    return this.#line(eventLine((this.#parts.now() - this.#started_ms) / 1_000, code, text));
  }

  #line(line: string): Promise<void> | undefined {
    if (this.#lost || this.#ended) return undefined;
    const bytes = Buffer.byteLength(line);
    const { bytes_max, take } = this.#parts;
    if (this.#bytes + this.#waiting_bytes + bytes > bytes_max || !take(bytes)) {
      this.#lose(new Error('there is no room for more of it'));
      return undefined;
    }
    this.#lines.push(line);
    this.#waiting_bytes += bytes;
    this.#writing ??= this.#write();
    return this.#waiting_bytes > waiting_bytes_max ? this.#writing : undefined;
  }

  /** Writes what waits, together, until nothing does: also where there is no room for more, as it was shown. Never rejects. */
  async #write(): Promise<void> {
    // What is said in one breath is written at once.
    await Promise.resolve();
    try {
      while (this.#lines.length > 0) {
        const text = Buffer.from(this.#lines.splice(0).join(''));
        await writeAll(this.#parts.file, text);
        this.#digest.update(text);
        this.#bytes += text.length;
        this.#waiting_bytes -= text.length;
      }
    } catch (error) {
      this.#broken = true;
      this.#lose(error);
    }
    this.#writing = undefined;
  }

  #lose(why: unknown): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#parts.failed(why);
    if (this.#parts.fail === 'closed') this.#onLost();
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at);
    at += bytesWritten;
  }
}

/** One stream as text; of what is none, or is too much, its length and digest. */
class Stream {
  readonly #decoder = new StringDecoder('utf8');
  readonly #terminal: boolean;
  #unseen: Hash | undefined;
  #unseen_bytes = 0;
  #binary = false;
  #return = false;
  shown_bytes = 0;

  constructor(terminal: boolean) {
    this.#terminal = terminal;
  }

  /** @param most Bytes that may still be shown. */
  read(bytes: Buffer, most = Infinity): string {
    this.#binary ||= !this.#terminal && bytes.includes(0);
    const shown = this.#binary ? 0 : Math.min(bytes.length, Math.max(0, most));
    this.shown_bytes += shown;
    if (shown < bytes.length) {
      this.#unseen ??= createHash('sha256');
      this.#unseen.update(bytes.subarray(shown));
      this.#unseen_bytes += bytes.length - shown;
    }
    return shown === 0 ? '' : this.#lines(this.#decoder.write(bytes.subarray(0, shown)));
  }

  rest(): string {
    return this.#lines(this.#decoder.end());
  }

  unseen(name: string): string | undefined {
    if (this.#unseen === undefined) return undefined;
    const what = this.#binary ? 'no text' : 'more';
    return `${name}: ${what}, ${this.#unseen_bytes} bytes, sha256 ${this.#unseen.digest('hex')}`;
  }

  /** Players show it in a terminal, where a line ends with a carriage return. */
  #lines(text: string): string {
    if (this.#terminal || text === '') return text;
    const before = this.#return;
    this.#return = text.endsWith('\r');
    return text.replace(/\r?\n/gu, (end, at: number) => (end === '\n' && at === 0 && before ? end : '\r\n'));
  }
}
