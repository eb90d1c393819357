/** A session with a server, however it is reached. */
export interface Connection {
  /**
   * Sends one message. Resolves when nothing more will come by the way on which it went; rejects with UpstreamError where it could not
   * be sent.
   *
   * @param origin What messages belong to that come back on the same way.
   * @param signal Aborted where nobody waits for what comes back. Absent: the target's timeout ends it.
   */
  send(text: string, origin?: object, trace?: string, signal?: AbortSignal): Promise<void>;
  /** Opens the way for what the server says by itself; undefined where it has none. */
  listen(origin: object, lastEvent: string | undefined, signal: AbortSignal): Promise<Listening | undefined>;
  /** What was agreed upon at initialize. */
  agreed(version: string): void;
  close(): void;
}

export interface Listening {
  /** Resolves when it is over; never rejects. */
  readonly over: Promise<void>;
}

/** Whoever hears what a server says. */
export interface Receiver {
  /**
   * One message. Resolves when there is room for the next.
   *
   * @param origin As it was given; undefined where the way does not tell.
   * @param event The id under which the server can repeat it.
   * @param repeats Whether it had the gateway's own credential in it, which is concealed.
   */
  message(text: string, origin: object | undefined, event: string | undefined, repeats?: boolean): Promise<void>;
  /** The server ended the session, or is gone. */
  gone(why: string): void;
}
