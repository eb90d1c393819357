import type { Writable } from 'node:stream';
import type { ServerChannel } from 'ssh2';
import { allKinds, maskText, noKinds } from '../../content/index.js';
import type { Result, Session } from '../../protocol.js';
import { exitDenied, exitFailed, line } from './enforce.js';
import { Allowance } from './limits.js';
import type { Opened } from './runs.js';

export interface ShellScreenParts {
  readonly channel: ServerChannel;
  readonly opened: Opened;
  readonly session: Session;
  /** In one, there is one stream for all. */
  readonly terminal: boolean;
  /** The shell has to end, with this exit code and these words. */
  readonly stop: (said: string, code: number) => void;
}

/** A line's end, and behind it at most what sets letters and modes. */
const endsLine = /\n(?:\x1b\[[\d;?]*[mhl])*$/u;
const end_bytes_max = 64;

/** What the client of a supervised shell gets to see, and the recording of it, in one order. */
export class ShellScreen {
  readonly #parts: ShellScreenParts;
  readonly #allowance: Allowance;
  #bytes = 0;
  /** Whether the cursor is at the beginning of a line. */
  #fresh = true;
  /** Everything that was to be shown before. */
  #before: Promise<void> = Promise.resolve();
  /** Until the client has taken what was said at once. */
  #taken: Promise<void> | undefined;

  constructor(parts: ShellScreenParts) {
    this.#parts = parts;
    const { permit, recording } = parts.opened;
    this.#allowance = new Allowance(permit.limits, (what) => parts.stop(permit.stopped(what), exitDenied));
    recording?.onLost(() => parts.stop(line('stopped: it can no longer be recorded'), exitFailed));
  }

  /** What a command says: recorded first, and at the client's pace. */
  show(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    return this.#afterwards(async () => {
      const taken = this.#allowance.take(bytes.length);
      const shown = taken < bytes.length ? bytes.subarray(0, taken) : bytes;
      const { recording } = this.#parts.opened;
      if (recording !== undefined && !(await recording.output(stream, shown))) return;
      await this.#write(stream, shown);
    });
  }

  /** The gateway's own words about a line. */
  tell(text: string): Promise<void> {
    return this.show('stderr', Buffer.from(text));
  }

  /** A prompt and what is typed, at once. It is recorded when the line is whole, with what was taken back left out. */
  say(text: string): void {
    const { channel } = this.#parts;
    if (text === '' || !channel.writable) return;
    this.#fresh = endsLine.test(text);
    // Whoever types and does not read what comes of it types no more.
    if (channel.write(text) || this.#taken !== undefined) return;
    channel.pause();
    this.#taken = this.#drained(channel).then(() => {
      this.#taken = undefined;
      channel.resume();
    });
  }

  /** Resolves when the client has read so far that there is room for more. */
  async taken(): Promise<void> {
    await this.#taken;
  }

  /** Ends the line that a program left open. */
  freshLine(): void {
    if (!this.#fresh) this.say('\r\n');
  }

  /** A line as it was typed: masked where policy has masks, of whatever kind. */
  record(text: string): void {
    const { opened, session } = this.#parts;
    const kinds = session.masks() || opened.permit.kinds !== noKinds ? allKinds : noKinds;
    const kept = kinds === noKinds ? text : maskText(text, { kinds, numbers: false });
    void opened.recording?.output('stdout', Buffer.from(kept));
  }

  /** Everything that came is shown, then its end is told. */
  async close(code: number, said: string | undefined): Promise<void> {
    const { channel, opened } = this.#parts;
    if (said !== undefined) opened.recording?.note(said);
    await this.#before;
    this.#allowance.close();
    const result: Result = {
      status: opened.gone.aborted ? 'cancelled' : code === 0 ? 'ok' : 'error',
      ...(opened.gone.aborted ? {} : { code: String(code) }),
      bytes: this.#bytes,
    };
    const recording = await opened.recording?.close(result.code ?? result.status);
    opened.permit.settle({ ...result, ...(recording === undefined ? {} : { recording }) });
    if (opened.gone.aborted) return;
    channel.stderr.end(said ?? '', () => {
      channel.exit(code);
      channel.end();
    });
    channel.resume();
  }

  #afterwards(work: () => Promise<void>): Promise<void> {
    this.#before = this.#before.then(work).catch(() => undefined);
    return this.#before;
  }

  async #write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    const { channel, opened, terminal } = this.#parts;
    const to = terminal || stream === 'stdout' ? channel : channel.stderr;
    if (bytes.length === 0 || !to.writable || opened.gone.aborted) return;
    this.#bytes += bytes.length;
    this.#fresh = endsLine.test(bytes.subarray(-end_bytes_max).toString('latin1'));
    if (!to.write(bytes)) await this.#drained(to);
  }

  #drained(to: Writable): Promise<void> {
    const { gone } = this.#parts.opened;
    return new Promise<void>((resolve) => {
      const done = () => {
        to.off('drain', done);
        gone.removeEventListener('abort', done);
        resolve();
      };
      to.once('drain', done);
      gone.addEventListener('abort', done, { once: true });
      if (gone.aborted) done();
    });
  }
}
