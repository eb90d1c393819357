import type { Principal } from '#engine';
import type { Session, SessionEnd } from '../../protocol.js';
import { sha256 } from '../../web/index.js';

/**
 * Who uses a session of MCP: one principal, with whichever token it has at the time. Tokens are renewed and the session goes on; what was
 * begun with a token ends with it.
 */
export interface Use {
  readonly session: Session;
  /** Called once where the token ends while something runs. Gives what leaves again. */
  enter(ended: (end: SessionEnd) => void): () => void;
}

/** What may not change within a session: another person, purpose or actor begins their own. */
export const ownerOf = ({ issuer, subject, purpose, actor }: Principal): string =>
  sha256(JSON.stringify([issuer, subject, purpose ?? null, actor?.subject ?? null]));

const tokens_max = 8;

class Held implements Use {
  readonly #running = new Set<(end: SessionEnd) => void>();
  end: SessionEnd | undefined;

  constructor(readonly session: Session) {}

  get idle(): boolean {
    return this.#running.size === 0;
  }

  enter(ended: (end: SessionEnd) => void): () => void {
    if (this.end !== undefined) ended(this.end);
    this.#running.add(ended);
    return () => this.#running.delete(ended);
  }

  over(end: SessionEnd): void {
    this.end = end;
    for (const tell of [...this.#running]) tell(end);
    this.session.close(end.code);
  }
}

export class Uses {
  readonly #held = new Map<string, Held>();
  readonly #killed: (end: SessionEnd) => void;

  /** @param killed Somebody ended what this principal does, or the gateway stops: not the token alone is over. */
  constructor(killed: (end: SessionEnd) => void) {
    this.#killed = killed;
  }

  /** What is done with this token. Throws what `open` throws. */
  of(token: string, open: () => Session): Use {
    const key = sha256(token);
    const known = this.#held.get(key);
    if (known !== undefined) return known;
    if (this.#held.size >= tokens_max) this.#makeRoom();
    const held = new Held(open());
    this.#held.set(key, held);
    held.session.onEnd((end) => {
      if (this.#held.get(key) === held) this.#held.delete(key);
      held.over(end);
      if (end.code !== 'token_expired') this.#killed(end);
    });
    return held;
  }

  close(reason: string): void {
    for (const { session } of this.#held.values()) session.close(reason);
    this.#held.clear();
  }

  #makeRoom(): void {
    for (const [key, held] of this.#held) {
      if (!held.idle) continue;
      this.#held.delete(key);
      held.session.close('idle');
      return;
    }
  }
}
