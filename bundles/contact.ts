/** When a source was asked, and what came of it: milliseconds since the epoch; absent where it never was. */
export interface SourceContact {
  /** Asked, whatever the answer was. */
  readonly asked_ms?: number;
  /** Asked, and it said what it has; to the process before this one, too. */
  readonly answered_ms?: number;
  /** Read as a whole. */
  readonly read_ms?: number;
}

/** Takes the times of one source. */
export class Contact {
  #times: SourceContact = {};

  get times(): SourceContact {
    return this.#times;
  }

  /** What is known from before this process. */
  remember(answered_ms: number): void {
    this.#times = { ...this.#times, answered_ms };
  }

  /** @param what The name of the question. Rejects as `question` does. */
  async note<T>(what: 'answered_ms' | 'read_ms', question: () => Promise<T>): Promise<T> {
    this.#times = { ...this.#times, asked_ms: Date.now() };
    const answer = await question();
    const now = Date.now();
    this.#times = { ...this.#times, answered_ms: now, [what]: now };
    return answer;
  }
}
