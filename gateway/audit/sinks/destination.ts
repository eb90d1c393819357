/** Where records go besides the files. */
export interface Destination {
  /**
   * Resolves when the other side has all of them, for good. May be called again with the same.
   *
   * @param records Lines of the log, without their line ends: each one record.
   * @throws NotDelivered
   */
  deliver(records: readonly Buffer[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** `message` is safe to be logged and shown to a client: a status or a code, no address, nothing that came back. */
export class NotDelivered extends Error {
  /** The other side will never take these records as they are: fewer of them at once, perhaps. */
  readonly refused: boolean;
  /** So long it wants to be left alone. */
  readonly retry_after_ms: number;

  constructor(why: string, options: { refused?: boolean; retry_after_ms?: number; cause?: unknown } = {}) {
    super(why, { cause: options.cause });
    this.refused = options.refused ?? false;
    this.retry_after_ms = options.retry_after_ms ?? 0;
  }
}
