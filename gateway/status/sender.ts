import { gzipSync } from 'node:zlib';
import type { Logger } from 'pino';
import type { StatusConfig } from '../config/index.js';
import { post, type Post } from '../hooks/post.js';

/**
 * Sends a document whenever it is another, and now and then where it is not. Nothing waits for it and nothing is kept for
 * later: what failed is sent anew as it is then, after a pause that doubles.
 */
export interface SenderOptions {
  readonly config: StatusConfig;
  readonly document: () => unknown;
  readonly log: Logger;
  readonly now?: () => number;
  readonly send?: Post;
  readonly limits?: Partial<typeof senderLimits>;
}

export const senderLimits = {
  /** For one attempt. */
  attempt_ms_max: 10_000,
  /** From one to the next, however often there is something new. */
  pause_ms_min: 1_000,
  /** After the first that failed; doubles. */
  retry_ms_min: 1_000,
  retry_ms_max: 60_000,
};

/** What came of it, since the start. */
export interface Sending {
  readonly sent: number;
  readonly failed: number;
  /** Of the last attempt, where it failed: a status of HTTP or a code of the system, no address. */
  readonly failure?: { readonly why: string; readonly since_ms: number };
}

export class Sender {
  readonly #options: SenderOptions;
  readonly #limits: typeof senderLimits;
  readonly #now: () => number;
  readonly #ending = new AbortController();
  #counts: Sending = { sent: 0, failed: 0 };
  /** Failed attempts since the last that did not. */
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #attempt: Promise<void> | undefined;
  #begun_ms = -Infinity;
  #changed = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#limits = { ...senderLimits, ...options.limits };
    this.#now = options.now ?? Date.now;
  }

  get sending(): Sending {
    return this.#counts;
  }

  /** There is something new. Where attempts fail, it goes with the next one that is due. */
  changed(): void {
    if (this.#attempt !== undefined) this.#changed = true;
    else if (this.#failures === 0) this.#after(this.#pause());
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#ending.abort();
    await this.#attempt;
  }

  #pause(): number {
    return Math.max(0, this.#begun_ms + this.#limits.pause_ms_min - this.#now());
  }

  #after(wait_ms: number): void {
    clearTimeout(this.#timer);
    if (this.#ending.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#attempt = this.#try();
    }, wait_ms).unref();
  }

  /** Never rejects. */
  async #try(): Promise<void> {
    this.#begun_ms = this.#now();
    this.#changed = false;
    const why = await this.#send();
    this.#attempt = undefined;
    if (this.#ending.signal.aborted) return;
    if (why === undefined) this.#succeeded();
    else this.#failed(why);
    const { retry_ms_min, retry_ms_max } = this.#limits;
    if (this.#failures > 0) this.#after(Math.min(retry_ms_max, retry_ms_min * 2 ** Math.min(this.#failures - 1, 20)));
    else this.#after(this.#changed ? this.#pause() : this.#options.config.interval_ms);
  }

  /** Undefined: it was taken. */
  async #send(): Promise<string | undefined> {
    const { config, document, send = post } = this.#options;
    try {
      const text = JSON.stringify(document());
      const status = await send({
        url: `${config.url}/status${config.partition === undefined ? '' : `/${config.partition}`}`,
        body: config.gzip ? gzipSync(text) : Buffer.from(text),
        headers: {
          'content-type': 'application/json',
          ...(config.gzip ? { 'content-encoding': 'gzip' } : {}),
          ...(config.token === undefined ? {} : { authorization: `Bearer ${config.token}` }),
        },
        timeout_ms: this.#limits.attempt_ms_max,
        ca: config.ca,
        signal: this.#ending.signal,
      });
      return status >= 200 && status < 300 ? undefined : `HTTP ${String(status)}`;
    } catch (error) {
      return (error as Error).message;
    }
  }

  #succeeded(): void {
    if (this.#failures > 0) this.#options.log.info({}, 'the status of the policy is taken again');
    this.#failures = 0;
    this.#counts = { sent: this.#counts.sent + 1, failed: this.#counts.failed };
  }

  #failed(why: string): void {
    const { sent, failed, failure } = this.#counts;
    if (this.#failures === 0)
      this.#options.log.error({ why }, 'the status of the policy could not be sent; it is tried again');
    this.#failures += 1;
    this.#counts = { sent, failed: failed + 1, failure: { why, since_ms: failure?.since_ms ?? this.#now() } };
  }
}
