import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { Lines } from '../../content/index.js';
import { UpstreamError } from '../../errors.js';
import { Concealing, Sought } from '../../web/index.js';
import type { StdioServer } from './config.js';
import type { Connection, Listening, Receiver } from './connection.js';

/**
 * A program of this session's own that is spoken to over its standard input and output, a message a line. It finds nothing in its
 * environment but what the configuration says, and ends with the session, its children included.
 *
 * @see https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#stdio
 */
type Child = ChildProcessByStdio<Writable, Readable, Readable>;

const kill_after_ms = 2_000;
/** Of what the program says on standard error: what goes beyond is read and thrown away. */
const said_chars_max = 16_384;

export class StdioConnection implements Connection {
  readonly #child: Child;
  readonly #receiver: Receiver;
  readonly #over: Promise<void>;
  readonly #secrets: Sought | undefined;
  #closed = false;

  /** Throws UpstreamError where nothing can be started; a program that turns out to be none is gone a moment later. */
  constructor(server: StdioServer, receiver: Receiver, said: (line: string) => void) {
    this.#receiver = receiver;
    this.#child = started(server);
    this.#secrets = Sought.of(secretsIn(server.environment));
    this.#over = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
      this.#child.once('error', () => resolve());
    });
    this.#child.once('error', (error) =>
      this.#gone(`the program could not be run (${(error as NodeJS.ErrnoException).code ?? 'error'})`),
    );
    this.#child.once('exit', (code, signal) => this.#gone(`the program ended (${signal ?? `exit code ${code ?? 0}`})`));
    this.#child.stdin.on('error', () => undefined);
    void this.#read(server.answer_bytes_max);
    void this.#hear(said);
  }

  agreed(): void {
    // Nothing of it is said here.
  }

  async send(text: string): Promise<void> {
    const { stdin } = this.#child;
    if (this.#closed || !stdin.writable) throw new UpstreamError('the program that serves this session has ended');
    await new Promise<void>((resolve, reject) =>
      stdin.write(`${text}\n`, (error) =>
        error === null || error === undefined
          ? resolve()
          : reject(new UpstreamError('the program does not listen any more', { cause: error })),
      ),
    );
  }

  async listen(_origin: object, _lastEvent: string | undefined, signal: AbortSignal): Promise<Listening> {
    const left = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    return { over: Promise.race([this.#over, left]) };
  }

  /** The specification's order: end of input, then signals. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#child.stdin.end();
    const kill = (signal: NodeJS.Signals) => {
      try {
        if (this.#child.pid !== undefined) process.kill(-this.#child.pid, signal);
      } catch {
        // Nothing of the group is left.
      }
    };
    const first = setTimeout(() => kill('SIGTERM'), kill_after_ms);
    const last = setTimeout(() => kill('SIGKILL'), 2 * kill_after_ms);
    for (const timer of [first, last]) timer.unref();
    void this.#over.then(() => {
      clearTimeout(first);
      clearTimeout(last);
      // Whatever it started and left behind.
      kill('SIGKILL');
    });
  }

  #gone(why: string): void {
    if (this.#closed) return;
    this.#receiver.gone(why);
    this.close();
  }

  async #read(bytes_max: number): Promise<void> {
    const { stdout } = this.#child;
    const decoder = new TextDecoder('utf-8');
    const lines = new Lines('any');
    const tooLarge = () => this.#gone('the program sent a message that is too large');
    try {
      for await (const chunk of stdout as AsyncIterable<Buffer>) {
        for (const line of lines.push(decoder.decode(chunk, { stream: true }))) {
          if (line.length > bytes_max) return tooLarge();
          if (line.trim() === '') continue;
          const said = this.#secrets?.concealed(line) ?? line;
          await this.#receiver.message(said, undefined, undefined, said !== line);
        }
        if (lines.length > bytes_max) return tooLarge();
      }
    } catch {
      this.#gone('what the program says cannot be read');
    }
  }

  async #hear(said: (line: string) => void): Promise<void> {
    let left = said_chars_max;
    const concealing = this.#secrets && new Concealing(this.#secrets, () => undefined);
    const say = (bytes: Buffer): void => {
      const text = bytes.toString('utf8').slice(0, Math.max(left, 0));
      left -= text.length;
      if (text !== '') said(text.trimEnd());
    };
    try {
      for await (const chunk of this.#child.stderr as AsyncIterable<Buffer>) say(concealing?.push(chunk) ?? chunk);
      if (concealing !== undefined) say(concealing.finish());
    } catch {
      // It says nothing any more.
    }
  }
}

/** What the program is given to know, and nobody else: by the names that such variables have. */
const secretsIn = (environment: StdioServer['environment']): readonly string[] =>
  Object.entries(environment)
    .filter(([name]) => /(?:TOKEN|SECRET|PASSWORD|PASSWD|PASS|_PWD|CREDENTIALS?|KEY|_PAT)$/i.test(name))
    .map(([, value]) => value);

function started({ command: [program, ...rest], environment, directory }: StdioServer): Child {
  let child: Child;
  try {
    child = spawn(found(program), rest, {
      env: environment,
      ...(directory === undefined ? {} : { cwd: directory }),
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own: what it starts ends with it.
      detached: true,
    });
  } catch (error) {
    if (error instanceof UpstreamError) throw error;
    const { code = 'error' } = error as NodeJS.ErrnoException;
    throw new UpstreamError(`the program could not be run (${code})`, { cause: error });
  }
  // Where there are no descriptors left, Node makes no pipes either, whatever its types say, and tells of the error later.
  if ((child as Partial<Child>).stdin !== undefined) return child;
  child.once('error', () => undefined);
  throw new UpstreamError('the program could not be run: the gateway has too many files and connections open');
}

/** By the gateway's own PATH: the program itself has none unless it is given one. */
function found(program: string): string {
  if (program.includes('/')) return program;
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const file = join(folder, program);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // The next one.
    }
  }
  throw new UpstreamError(`there is no program "${program}"`);
}
