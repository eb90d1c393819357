import type { WebSocket } from 'ws';
import { ContentStream, maskText, noKinds, type Kinds } from '../../../content/index.js';
import type { Recording, Result } from '../../../protocol.js';
import { statusOf } from '../enforce.js';
import type { Problem } from '../../../web/index.js';
import { channel, fromClient, fromServer, readEnd, type Ended } from './channels.js';
import { pass } from './pressure.js';
import { RecordedInput, sizeIn } from './recorded.js';
import { Shown } from './shown.js';

/**
 * A command in a container: the client's WebSocket joined with the API server's. Messages pass as they came, or masked, with
 * the back-pressure of both connections; what neither side has a right to say ends both.
 */

/** In a terminal what is typed comes back letter by letter: it is shown after this long, though more might follow. */
const terminal_flush_ms = 60;
/** Of the Status at the end. */
const status_bytes_max = 65_536;
const normal = 1_000;
const policyViolation = 1_008;

export interface RelayOptions {
  readonly client: WebSocket;
  readonly upstream: WebSocket;
  readonly protocol: string;
  readonly kinds: Kinds;
  readonly terminal: boolean;
  readonly recording: Recording | undefined;
  /** Whether what it does is not known from its words: then its input is recorded too. */
  readonly opaque: boolean;
  readonly bytes_max: number | undefined;
  /** More came than `bytes_max`. */
  readonly exceeded: () => Problem;
}

const unrecorded: Problem = {
  status: 503,
  code: 'recording_failed',
  title: 'Not recorded',
  detail: 'stopped: it can no longer be recorded',
};

export class ChannelRelay {
  readonly #options: RelayOptions;
  readonly #output = new Map<number, ContentStream>();
  readonly #shown: Shown;
  readonly #input: RecordedInput | undefined;
  #bytes = 0;
  #ended: Ended | undefined;
  #flush: NodeJS.Timeout | undefined;
  #over = false;
  #finish: (result: Result) => void = () => undefined;
  /** How it ended; never rejects. */
  readonly done: Promise<Result>;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.done = new Promise((resolve) => (this.#finish = resolve));
    const { client, upstream, kinds, terminal, recording, opaque } = options;
    this.#shown = new Shown(recording, upstream, client);
    if (recording !== undefined && opaque && !terminal) this.#input = new RecordedInput(recording, kinds);
    if (kinds !== noKinds)
      for (const each of [channel.stdout, channel.stderr])
        this.#output.set(each, new ContentStream({ kinds, numbers: false }));
    client.on('message', (data, binary) => this.#fromClient(data as Buffer, binary));
    upstream.on('message', (data) => this.#fromServer(data as Buffer));
    // What is no frame of WebSocket: the library has said so to whoever sent it.
    client.on('error', () => this.#end({ status: 'error', code: 'protocol' }));
    upstream.on('error', () => this.#lost('the API server said what is no part of the protocol'));
    client.once('close', () => this.#end({ status: this.#ended === undefined ? 'cancelled' : 'ok' }));
    upstream.once('close', () => this.#serverLeft());
    recording?.onLost(() => this.stop(unrecorded, { status: 'cancelled', code: unrecorded.code }));
  }

  /** Ends it from outside, and says why as the API server says how a command ended. */
  stop(problem: Problem, result: Pick<Result, 'status' | 'code'>): void {
    if (this.#over) return;
    this.#options.recording?.note(problem.detail);
    this.#say(channel.error, Buffer.from(statusOf(problem)));
    this.#end(result);
  }

  #fromClient(message: Buffer, binary: boolean): void {
    const { client, upstream, protocol } = this.#options;
    if (this.#over) return;
    if (!fromClient(message, protocol)) {
      client.close(policyViolation, 'a channel that is not for clients');
      return this.#end({ status: 'error', code: 'protocol' });
    }
    this.#record(message);
    pass(message, binary, client, upstream);
  }

  #record(message: Buffer): void {
    const on = message[0]!;
    if (on === channel.stdin) this.#input?.push(message.subarray(1));
    else if (on === channel.close) this.#input?.end();
    else {
      const size = sizeIn(message.subarray(1));
      if (size !== undefined) this.#options.recording?.resize(size.columns, size.rows);
    }
  }

  #fromServer(message: Buffer): void {
    const { bytes_max } = this.#options;
    if (this.#over) return;
    if (!fromServer(message)) return this.#lost('the API server said what is no part of the protocol');
    const on = message[0]!;
    if (on === channel.error) return this.#statusCame(message.subarray(1));
    this.#bytes += message.length - 1;
    if (bytes_max !== undefined && this.#bytes > bytes_max)
      return this.stop(this.#options.exceeded(), { status: 'cancelled', code: 'limit_exceeded' });
    const output = this.#output.get(on);
    // The first message is empty, and says that all is well.
    if (output === undefined || message.length === 1) return this.#show(on, message.subarray(1));
    const shown = output.push(message.subarray(1));
    if (shown.length > 0) this.#show(on, shown);
    if (this.#options.terminal) this.#showSoon();
  }

  #statusCame(status: Buffer): void {
    this.#showRest();
    const text = status.subarray(0, status_bytes_max).toString('utf8');
    this.#ended = readEnd(text) ?? this.#ended;
    const { client, upstream, kinds, recording } = this.#options;
    const shown = kinds === noKinds ? status : Buffer.from(maskText(text, { kinds, numbers: true }));
    this.#shown.behind(() => {
      if (this.#over) return;
      if (this.#ended?.ok !== true) recording?.note(shown.toString('utf8', 0, status_bytes_max));
      pass(framed(channel.error, shown), true, upstream, client);
    });
  }

  /** To the client, once it is recorded. */
  #show(on: number, text: Buffer): void {
    const { client, upstream } = this.#options;
    this.#shown.output(on === channel.stderr ? 'stderr' : 'stdout', text, () => {
      if (!this.#over) pass(framed(on, text), true, upstream, client);
    });
  }

  #showSoon(): void {
    clearTimeout(this.#flush);
    const held = [...this.#output.values()].some((output) => output.held > 0);
    if (held) this.#flush = setTimeout(() => this.#showRest(), terminal_flush_ms);
  }

  #showRest(): void {
    clearTimeout(this.#flush);
    for (const [on, output] of this.#output) {
      const rest = output.finish();
      if (rest.length > 0) this.#show(on, rest);
    }
  }

  #say(on: number, text: Buffer): void {
    const { client } = this.#options;
    if (client.readyState === client.OPEN) client.send(framed(on, text));
  }

  #serverLeft(): void {
    if (this.#over) return;
    this.#showRest();
    this.#shown.behind(() => {
      if (this.#ended === undefined) this.#lost('the API server broke off the connection');
      else this.#end({ status: this.#ended.ok ? 'ok' : 'error' });
    });
  }

  #lost(detail: string): void {
    this.stop({ status: 502, code: 'upstream', title: 'Upstream failed', detail }, { status: 'lost' });
  }

  #end({ status, code = this.#ended?.code }: Pick<Result, 'status' | 'code'>): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#flush);
    const { client, upstream, recording } = this.#options;
    // Where it was paused, what it has still to say is dropped.
    for (const socket of [client, upstream]) {
      socket.resume();
      socket.close(normal);
    }
    const failed = status === 'ok' && this.#ended?.ok === false ? 'error' : status;
    const result = { status: failed, bytes: this.#bytes, ...(code === undefined ? {} : { code }) };
    if (recording === undefined) return this.#finish(result);
    this.#input?.end();
    void recording.close(code ?? failed).then((kept) => this.#finish({ ...result, recording: kept }));
  }
}

const framed = (on: number, text: Buffer): Buffer => Buffer.concat([Buffer.from([on]), text]);
