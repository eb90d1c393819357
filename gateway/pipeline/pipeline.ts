import type { Principal } from '#engine';
import type { Opening, Session } from '../protocol.js';
import { fits, type KillQuery, type LiveSession } from '../sessions.js';
import { Ledger } from '../usage/ledger.js';
import { PipelineSession, type PipelineParts } from './session.js';

/**
 * The one loop: operation → decide → record → (the protocol enforces) → record. Everything that is judged is judged here,
 * and everything that is written down is written from here.
 */
export class Pipeline {
  readonly #parts: PipelineParts;
  readonly #ledger: Ledger;
  readonly #sessions = new Set<PipelineSession>();

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#ledger = new Ledger(parts.now);
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  open(opening: Opening): Session {
    const { name, protocol } = opening.target.input;
    const account = this.#ledger.account(opening.identity.principal, `${protocol}/${name}`);
    const session = new PipelineSession(this.#parts, opening, account, () => this.#sessions.delete(session));
    this.#sessions.add(session);
    return session;
  }

  /** What is connected to this gateway now. */
  live(): LiveSession[] {
    return [...this.#sessions].map((session) => session.live());
  }

  /** Ends every session that fits all that is given; returns how many. */
  kill(query: KillQuery, message: string): number {
    const fitting = [...this.#sessions].filter((session) => fits(session.live(), query));
    for (const session of fitting) session.end({ code: 'killed', message });
    return fitting.length;
  }

  /** Ends the sessions of whoever fits: their tokens were revoked. */
  revoke(fitsPrincipal: (principal: Principal) => boolean, message: string): void {
    for (const session of [...this.#sessions]) {
      if (fitsPrincipal(session.principal)) session.end({ code: 'killed', message });
    }
  }

  /** Another policy is in force: what waits for people by an older one is judged by it now. */
  policyChanged(): void {
    for (const session of [...this.#sessions]) session.policyChanged();
  }

  /** Ends every session: the gateway stops. */
  close(): void {
    for (const session of [...this.#sessions]) {
      session.end({ code: 'shutdown', message: 'terminating connection: the gateway shuts down' });
    }
  }
}
