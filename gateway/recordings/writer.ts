import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Recorded } from '../protocol.js';

/** What is kept on its way into its file: in the order in which it came, with its digest, within its bounds. */

/** Whoever has more to say waits until this much is written: no more has been shown that a full disk could lose. */
const waiting_bytes_max = 1_048_576;

export interface WriterParts {
  readonly id: string;
  readonly file: FileHandle;
  /** Of the file. */
  readonly bytes_max: number;
  readonly fail: 'closed' | 'open';
  /** Takes bytes out of what there is room for; false: there is no more. */
  readonly take: (bytes: number) => boolean;
  readonly failed: (why: unknown) => void;
  readonly now: () => number;
}

export class Writer {
  readonly #parts: WriterParts;
  readonly #started_ms: number;
  readonly #digest = createHash('sha256');
  #bytes = 0;
  #pieces: Buffer[] = [];
  #waiting_bytes = 0;
  #writing: Promise<void> | undefined;
  #lost = false;
  /** The file takes nothing any more. */
  #broken = false;
  #ended = false;
  #onLost: () => void = () => undefined;

  constructor(parts: WriterParts) {
    this.#parts = parts;
    this.#started_ms = parts.now();
  }

  /** Since its beginning. */
  get seconds(): number {
    return (this.#parts.now() - this.#started_ms) / 1_000;
  }

  /** Whether whoever waits for what was written may be shown it: not where it was lost and has to be there. */
  get kept(): boolean {
    return !this.#lost || this.#parts.fail === 'open';
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether its first line stands in the file: until then nothing is known of whether it can be written. */
  async begun(): Promise<boolean> {
    await this.#writing;
    return !this.#lost;
  }

  onLost(listener: () => void): void {
    this.#onLost = listener;
    if (this.#lost && this.#parts.fail === 'closed') listener();
  }

  /** All of it or nothing. Of a promise, nothing more may come until then; it never rejects. */
  write(...pieces: readonly Buffer[]): Promise<void> | undefined {
    if (this.#lost || this.#ended) return undefined;
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    const { bytes_max, take } = this.#parts;
    if (this.#bytes + this.#waiting_bytes + bytes > bytes_max || !take(bytes)) {
      this.#lose(new Error('there is no room for more of it'));
      return undefined;
    }
    this.#pieces.push(...pieces);
    this.#waiting_bytes += bytes;
    this.#writing ??= this.#write();
    return this.#waiting_bytes > waiting_bytes_max ? this.#writing : undefined;
  }

  /** What comes behind the end is on nobody's screen any more. */
  async close(): Promise<Recorded> {
    this.#ended = true;
    const { id, file } = this.#parts;
    try {
      await this.#writing;
      if (!this.#broken) await file.datasync();
    } catch (error) {
      this.#lose(error);
    }
    await file.close().catch(() => undefined);
    return { id, sha256: this.#digest.digest('hex'), bytes: this.#bytes, complete: !this.#lost };
  }

  /** Writes what waits, together, until nothing does: also where there is no room for more, as it was shown. Never rejects. */
  async #write(): Promise<void> {
    // What is said in one breath is written at once.
    await Promise.resolve();
    try {
      while (this.#pieces.length > 0) {
        const bytes = Buffer.concat(this.#pieces.splice(0));
        await writeAll(this.#parts.file, bytes);
        this.#digest.update(bytes);
        this.#bytes += bytes.length;
        this.#waiting_bytes -= bytes.length;
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
