import { UpstreamError } from '../../errors.js';
import type { SessionEnd } from '../../protocol.js';
import { ClientGone } from '../../web/index.js';
import type { Answer } from './answer.js';
import { responseText, type ClientRequest, type Id } from './codec.js';
import type { Masks } from './masking.js';
import { isId, type JsonObject } from './methods.js';
import type { Use } from './principals.js';

/** What the server answered: the text of its result or error, as it wrote it. */
export interface Answered {
  readonly part: 'result' | 'error';
  readonly raw: string;
  /** Under which the server can repeat it. */
  readonly event: string | undefined;
}

/** The session ended while the call ran. */
export class Ended extends ClientGone {
  constructor(readonly end: SessionEnd) {
    super();
  }
}

/** A request of the client from its first byte to its answer, under a number of the gateway's own: it is what the server calls it. */
export class Call {
  readonly request: ClientRequest;
  readonly answer: Answer;
  readonly use: Use;
  readonly number: number;
  /** The client took it back. */
  readonly cancelled = new AbortController();
  readonly answered: Promise<Answered>;
  masks: Masks | undefined;
  /** Whether the server got it. */
  sent = false;
  /** Whether the server numbers its events, so that a client may come back for what it missed. */
  resumable = false;
  /** Whether what the server said had the gateway's own credential in it. */
  repeats = false;
  #progress = 0;
  #resolve: (answered: Answered) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #timeout_ms = 0;
  #onTimeout: () => void = () => undefined;

  constructor(request: ClientRequest, parts: { readonly answer: Answer; readonly use: Use; readonly number: number }) {
    this.request = request;
    this.answer = parts.answer;
    this.use = parts.use;
    this.number = parts.number;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // It may fail before anybody waits for it.
    this.answered.catch(() => undefined);
  }

  /** What the client calls its progress; undefined where it wants to hear of none. */
  get token(): Id | undefined {
    const token = this.request.meta['progressToken'];
    return isId(token) ? token : undefined;
  }

  settle(answered: Answered): void {
    this.stop();
    this.#resolve(answered);
  }

  fail(error: Error): void {
    this.stop();
    this.#reject(error);
  }

  /** The client took it back, or may not go on. */
  cancel(end?: SessionEnd): void {
    this.cancelled.abort();
    this.fail(end === undefined ? new ClientGone() : new Ended(end));
  }

  /** From now on the server has `timeout_ms` to answer, or to tell of progress. */
  limit(timeout_ms: number, onTimeout: () => void): void {
    this.#timeout_ms = timeout_ms;
    this.#onTimeout = onTimeout;
    this.alive();
  }

  alive(): void {
    if (this.#timeout_ms === 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#onTimeout();
      this.fail(new UpstreamError('the server did not answer in time'));
    }, this.#timeout_ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timeout_ms = 0;
  }

  /** Progress that the gateway tells, and the server's: it only ever goes up. */
  progress(said: number, total?: number, message?: string): JsonObject | undefined {
    const { token } = this;
    if (token === undefined) return undefined;
    this.#progress = said > this.#progress ? said : this.#progress + 0.001;
    return {
      progressToken: token,
      progress: this.#progress,
      ...(total === undefined ? {} : { total }),
      ...(message === undefined ? {} : { message }),
    };
  }

  /** As the client gets it. Throws JsonError where it cannot be masked. */
  text({ part, raw }: Answered): string {
    const { masks } = this;
    const masked = masks === undefined ? raw : part === 'result' ? masks.result(raw) : masks.error(raw);
    return responseText(this.request.id, part, masked);
  }
}
