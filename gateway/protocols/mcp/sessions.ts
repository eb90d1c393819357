import { randomBytes } from 'node:crypto';
import { RequestRefusal } from '../../web/index.js';
import type { McpSession } from './session.js';

/**
 * Sessions by their ids: random ones of the gateway's own, since the server's are its affair. An id alone opens nothing, as every
 * request has to come from the principal that began the session.
 */
export class Sessions {
  readonly #sessions = new Map<string, Kept>();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#sweep(), sweep_ms);
    this.#timer.unref();
  }

  /** Throws RequestRefusal where there are as many as there may be. */
  room(owner: string): void {
    let own = 0;
    for (const kept of this.#sessions.values()) if (kept.owner === owner) own++;
    if (own >= own_max || this.#sessions.size >= sessions_max)
      throw new RequestRefusal(503, 'busy', 'too many sessions are open: end one (DELETE), or try again later');
  }

  add(session: McpSession, target: string, owner: string, idle_ms: number): string {
    const id = randomBytes(24).toString('base64url');
    this.#sessions.set(id, { session, target, owner, idle_ms });
    return id;
  }

  /** Undefined for a session that is over, was never there, or is somebody else's: nobody can tell which. */
  find(id: string, target: string, owner: string): McpSession | undefined {
    const kept = this.#sessions.get(id);
    return kept?.target === target && kept.owner === owner ? kept.session : undefined;
  }

  remove(session: McpSession): void {
    for (const [id, kept] of this.#sessions) if (kept.session === session) this.#sessions.delete(id);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { session } of [...this.#sessions.values()]) session.close('shutdown');
    this.#sessions.clear();
  }

  #sweep(): void {
    const now = Date.now();
    for (const { session, idle_ms } of [...this.#sessions.values()])
      if (session.idle && now - session.used_ms > idle_ms) session.close('idle');
  }
}

interface Kept {
  readonly session: McpSession;
  readonly target: string;
  readonly owner: string;
  readonly idle_ms: number;
}

const sweep_ms = 10_000;
/** Of one principal; of all. */
const own_max = 64;
const sessions_max = 4_096;
