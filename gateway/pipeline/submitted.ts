import type { Decision } from '#engine';
import type { Result, Submission } from '../protocol.js';

/** Who is told what became of an operation that was let through. */
interface Settling {
  settle(decision: Decision, result: Result, submitted_ms: number): void;
}

/** A class, as there is one for every operation: its methods are made once. */
export class Submitted implements Submission {
  readonly decision: Decision;
  readonly recorded: Promise<void> | undefined;
  readonly #submitted_ms: number;
  readonly #session: Settling;
  #settled = false;

  constructor(decision: Decision, recorded: Promise<void> | undefined, submitted_ms: number, session: Settling) {
    this.decision = decision;
    this.recorded = recorded;
    this.#submitted_ms = submitted_ms;
    this.#session = session;
  }

  settle(result: Result): void {
    if (this.#settled) throw new Error(`operation ${this.decision.id} was settled twice`);
    this.#settled = true;
    this.#session.settle(this.decision, result, this.#submitted_ms);
  }
}
