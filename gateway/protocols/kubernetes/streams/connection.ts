import type { Result } from '../../../protocol.js';

/** A connection to a port of a pod that was let through. */
export interface Allowed {
  /** Of both directions. */
  readonly bytes_max: number | undefined;
  readonly seconds: number | undefined;
  /** Exactly once. */
  settle(result: Result): void;
}

/** One connection inside of a tunnel: a stream with its bytes, and one with what went wrong. */
export class Connection {
  readonly port: number;
  /** Of the client; undefined until it has opened it. */
  error: number | undefined;
  data: number | undefined;
  /** Of the gateway at the API server; undefined until the connection was let through. */
  upstream: { readonly error: number; readonly data: number } | undefined;
  allowed: Allowed | undefined;
  /** What came from the client before that. */
  readonly waiting: Buffer[] = [];
  waiting_bytes = 0;
  bytes = 0;
  /** Which side has said all it has to say. */
  readonly finished = { client: false, upstream: false };
  /** Of the error stream: whether it carried anything, and whether it is over. */
  failed = false;
  told = false;
  timer: NodeJS.Timeout | undefined;
  readonly #gone = new AbortController();

  constructor(port: number) {
    this.port = port;
  }

  /** Aborted where nobody waits for it any more. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get complete(): boolean {
    return this.error !== undefined && this.data !== undefined;
  }

  /** Records how it ended, once. */
  settle(result: Omit<Result, 'bytes'>): void {
    clearTimeout(this.timer);
    this.#gone.abort();
    this.allowed?.settle({ ...result, bytes: this.bytes });
    this.allowed = undefined;
  }
}
