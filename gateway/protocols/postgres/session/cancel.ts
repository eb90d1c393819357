import { randomInt, timingSafeEqual } from 'node:crypto';
import type { Logger } from 'pino';
import type { PostgresUpstream } from '../config.js';
import { cancelUpstream } from '../upstream.js';

/**
 * CancelRequest comes on a connection of its own, with nothing but a key to say which session it means. The client gets a
 * key of the gateway's making; the server's own never leaves the gateway.
 */
export interface CancelKey {
  readonly processId: number;
  readonly secret: number;
}

interface Cancellable {
  readonly key: CancelKey;
  readonly upstreamKey: Buffer | undefined;
  readonly upstream: PostgresUpstream;
  readonly target: string;
  /** Ends what waits for people in this session; false where nothing does, and the server is to be told. */
  readonly held: () => boolean;
  /** A cancel is on its way: further ones say nothing new. */
  running: Promise<void> | undefined;
}

export class CancelKeys {
  readonly #sessions = new Map<number, Cancellable>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  issue(
    upstreamKey: Buffer | undefined,
    upstream: PostgresUpstream,
    target: string,
    held: () => boolean = () => false,
  ): CancelKey {
    let processId: number;
    do processId = randomInt(1, 2 ** 31 - 1);
    while (this.#sessions.has(processId));
    const key = { processId, secret: randomInt(0, 2 ** 32) };
    this.#sessions.set(processId, { key, upstreamKey, upstream, target, held, running: undefined });
    return key;
  }

  revoke(key: CancelKey): void {
    this.#sessions.delete(key.processId);
  }

  /** [process id: int32][secret: int32]. A key that is none is passed over in silence, as the server does. */
  cancel(body: Buffer): void {
    if (body.length !== 8) return;
    const session = this.#sessions.get(body.readInt32BE(0));
    if (session === undefined) return;
    const secret = Buffer.alloc(4);
    secret.writeInt32BE(session.key.secret | 0);
    if (timingSafeEqual(secret, body.subarray(4)) && !session.held()) void this.#send(session);
  }

  /** The gateway itself wants it. Resolves when the server has been told, or could not be. */
  async cancelOne(key: CancelKey): Promise<void> {
    const session = this.#sessions.get(key.processId);
    if (session !== undefined) await this.#send(session);
  }

  #send(session: Cancellable): Promise<void> | undefined {
    if (session.upstreamKey === undefined) return undefined;
    session.running ??= cancelUpstream(session.upstream, session.target, session.upstreamKey)
      .catch((error: unknown) => this.#log.warn({ error, target: session.target }, 'a cancel request failed'))
      .finally(() => {
        session.running = undefined;
      });
    return session.running;
  }
}
