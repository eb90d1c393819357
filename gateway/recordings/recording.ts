import { createHash, type Hash } from 'node:crypto';
import { StringDecoder } from 'node:string_decoder';
import type { Recorded, Recording } from '../protocol.js';
import { eventLine, type CastCode } from './cast.js';
import { Writer, type WriterParts } from './writer.js';

/** One recording on its way into its file. */

export interface RecordingParts extends WriterParts {
  readonly terminal: boolean;
  readonly input_bytes_max: number;
}

export class RecordingFile implements Recording {
  readonly id: string;
  readonly #writer: Writer;
  readonly #input_bytes_max: number;
  readonly #streams: Readonly<Record<'stdout' | 'stderr' | 'input', Stream>>;
  #closed: Promise<Recorded> | undefined;

  constructor(parts: RecordingParts, header: string) {
    this.id = parts.id;
    this.#writer = new Writer(parts);
    this.#input_bytes_max = parts.input_bytes_max;
    const { terminal } = parts;
    this.#streams = { stdout: new Stream(terminal), stderr: new Stream(terminal), input: new Stream(true) };
    void this.#writer.write(Buffer.from(header));
  }

  begun(): Promise<boolean> {
    return this.#writer.begun();
  }

  output(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<boolean> | boolean {
    // What comes behind the end was stopped: nobody is shown it.
    if (this.#writer.ended) return false;
    const text = this.#streams[stream].read(bytes);
    const written = text === '' ? undefined : this.#event('o', text);
    return written === undefined ? this.#writer.kept : written.then(() => this.#writer.kept);
  }

  input(bytes: Buffer): void {
    const { input } = this.#streams;
    const left = this.#input_bytes_max - input.shown_bytes;
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
    this.#writer.onLost(listener);
  }

  close(exit: string | undefined): Promise<Recorded> {
    this.#closed ??= this.#finish(exit);
    return this.#closed;
  }

  #finish(exit: string | undefined): Promise<Recorded> {
    for (const [name, stream] of Object.entries(this.#streams)) {
      const rest = stream.rest();
      if (rest !== '') void this.#event(name === 'input' ? 'i' : 'o', rest);
      const unseen = stream.unseen(name);
      if (unseen !== undefined) void this.#event('m', unseen);
    }
    if (exit !== undefined) void this.#event('x', exit);
    return this.#writer.close();
  }

  #event(code: CastCode, text: string): Promise<void> | undefined {
    return this.#writer.write(Buffer.from(eventLine(this.#writer.seconds, code, text)));
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
