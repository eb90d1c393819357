/** What became of an operation that was let through. */
export interface Result {
  readonly status: 'ok' | 'error' | 'cancelled' | 'lost';
  readonly rows?: number;
  readonly bytes?: number;
  /** The upstream's own code: SQLSTATE, exit code, HTTP status. */
  readonly code?: string;
  /** What the upstream said it did ("UPDATE 3"). */
  readonly tag?: string;
  /** Bytes that went to the upstream, where the protocol counts them apart. */
  readonly sent_bytes?: number;
  /** What was read from and written to a file that the operation opened. */
  readonly file?: { readonly read?: Transferred; readonly written?: Transferred };
  /** Connections that came through what the operation listens on. */
  readonly connections?: number;
  readonly recording?: Recorded;
  /** The recording that it is part of, which another operation began. */
  readonly recorded_in?: string;
  /** What is kept of what was transferred, where policy asks for that. */
  readonly copy?: Copied;
  /** credential_repeated: the answer had the gateway's own credential in it, which was concealed. */
  readonly warnings?: readonly 'credential_repeated'[];
}

export interface Transferred {
  readonly bytes: number;
  /** Of these bytes from the first to the last; absent where they were not transferred in their order. */
  readonly sha256?: string;
}

/** What is kept of one operation's screen, once it is over. */
export interface Recorded {
  readonly id: string;
  /** Of the file. */
  readonly sha256: string;
  readonly bytes: number;
  /** False: something went on after it could not be recorded any more. */
  readonly complete: boolean;
}

/** What is kept of what one operation transferred, once it is over. */
export interface Copied extends Recorded {
  /** True: it has stars where policy masks. */
  readonly masked: boolean;
}
