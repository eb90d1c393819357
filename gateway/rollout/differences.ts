import { Tallier, type Group, type Tally } from '../replay/tally.js';

/**
 * What the revision that is tried would have decided otherwise, since the two revisions stand beside each other. It starts
 * anew with every other pair of them, and with the process.
 */
export interface ShadowReport {
  readonly format: 1;
  /** In force; undefined before the first activation. */
  readonly enforcing: string | undefined;
  /** What is tried; undefined where its source has nothing that can be used. */
  readonly shadow: string | undefined;
  readonly since: string;
  /** Judged by both. */
  readonly operations: number;
  /** Of them, those that the two decide differently. */
  readonly changed: number;
  /** Not judged by the shadow: it was busy, or its thread had failed. Nothing waits for it. */
  readonly dropped: number;
  /** Judged by the revision that is tried alone, as the canary says. */
  readonly canary: number;
  /** By kind, rule, principal and target; what loosens first, then what happens most. */
  readonly differences: readonly Group[];
  /** Operations with differences beyond the groups that are kept, by kind. */
  readonly beyond: Tally['beyond'];
  /** Why nothing is judged by the shadow now. */
  readonly failure?: string;
}

/** Groups that are kept, and shown. */
const groups_max = 1_000;

export class Differences {
  readonly #now: () => number;
  #pair: { readonly enforcing: string | undefined; readonly shadow: string | undefined };
  #since: string;
  #tallier = new Tallier(groups_max);
  #dropped = 0;
  #canary = 0;
  failure: string | undefined;

  constructor(now: () => number) {
    this.#now = now;
    this.#pair = { enforcing: undefined, shadow: undefined };
    this.#since = new Date(now()).toISOString();
  }

  /** Counts start anew where one of the two is another. */
  between(enforcing: string | undefined, shadow: string | undefined): void {
    if (this.#pair.enforcing === enforcing && this.#pair.shadow === shadow) return;
    this.#pair = { enforcing, shadow };
    this.#since = new Date(this.#now()).toISOString();
    this.#tallier = new Tallier(groups_max);
    this.#dropped = 0;
    this.#canary = 0;
  }

  /** What was compared while another pair stood there is of no interest any more. */
  add(tally: Tally, enforcing: string, shadow: string): void {
    if (this.#pair.enforcing === enforcing && this.#pair.shadow === shadow) this.#tallier.merge(tally);
  }

  drop(operations = 1): void {
    this.#dropped += operations;
  }

  byCanary(): void {
    this.#canary += 1;
  }

  report(): ShadowReport {
    const { operations, changed, groups, beyond } = this.#tallier.done();
    return {
      format: 1,
      ...this.#pair,
      since: this.#since,
      operations,
      changed,
      dropped: this.#dropped,
      canary: this.#canary,
      differences: groups,
      beyond,
      ...(this.failure === undefined ? {} : { failure: this.failure }),
    };
  }
}
