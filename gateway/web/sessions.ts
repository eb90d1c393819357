import type { Socket } from 'node:net';
import { UpstreamError } from '../errors.js';
import type { Session, SessionEnd } from '../protocol.js';
import { sha256 } from './hashing.js';

/**
 * HTTP has no sessions: one is what one token does at one target through one connection. It is opened with the first
 * request, and closed with the connection.
 */
export interface WebSession {
  readonly session: Session;
  /** Called once where the session ends from outside (expired, killed) while this request runs. Gives what leaves again. */
  enter(ended: (end: SessionEnd) => void): () => void;
}

/** Of one connection: whoever needs more at once takes a second one. */
const sessions_max = 32;

class Held implements WebSession {
  readonly session: Session;
  readonly #running = new Set<(end: SessionEnd) => void>();
  #end: SessionEnd | undefined;

  constructor(session: Session, over: () => void) {
    this.session = session;
    session.onEnd((end) => {
      this.#end = end;
      over();
      for (const tell of [...this.#running]) tell(end);
      session.close(end.code);
    });
  }

  get idle(): boolean {
    return this.#running.size === 0;
  }

  enter(ended: (end: SessionEnd) => void): () => void {
    if (this.#end !== undefined) ended(this.#end);
    this.#running.add(ended);
    return () => this.#running.delete(ended);
  }
}

export class ConnectionSessions {
  readonly #bySocket = new WeakMap<Socket, Map<string, Held>>();

  /** The session of this token at this target through this connection; `open` makes it where there is none yet. */
  of(socket: Socket, token: string, target: string, open: () => Session): WebSession {
    const sessions = this.#of(socket);
    const key = sha256(JSON.stringify([target, token]));
    const known = sessions.get(key);
    if (known !== undefined) return known;
    if (sessions.size >= sessions_max) this.#makeRoom(sessions);
    const session = open();
    const held = new Held(session, () => {
      if (sessions.get(key)?.session === session) sessions.delete(key);
    });
    sessions.set(key, held);
    return held;
  }

  #of(socket: Socket): Map<string, Held> {
    let sessions = this.#bySocket.get(socket);
    if (sessions === undefined) {
      const made = new Map<string, Held>();
      sessions = made;
      this.#bySocket.set(socket, made);
      socket.once('close', () => {
        for (const { session } of made.values()) session.close('disconnected');
        made.clear();
      });
    }
    return sessions;
  }

  #makeRoom(sessions: Map<string, Held>): void {
    for (const [key, held] of sessions) {
      if (!held.idle) continue;
      sessions.delete(key);
      held.session.close('idle');
      return;
    }
    throw new UpstreamError('too many tokens and targets at once on one connection: open another one');
  }
}
