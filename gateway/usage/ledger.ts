import type { Principal, Taint, Usage } from '#engine';
import { Bounded } from './bounded.js';
import { Counter, type Spent, type Totals } from './counters.js';
import { Taints, type Label } from './taints.js';

/**
 * What principals have used and seen: the `usage` and the `session.taint` of the input document. One ledger for a
 * gateway.
 *
 * A principal is an issuer and a subject; two providers with the same subject are two. Its work is what it does for one
 * purpose: labels belong to that.
 */

/** How many counters are kept; the one that has been quiet longest is forgotten first. */
const counters_max = 300_000;

/** What one operation is counted for: the principal, its purpose, the target. */
export interface Scopes {
  readonly principal: string;
  readonly purpose: string;
  readonly target: string;
}

export const scopesOf = ({ issuer, subject, purpose = '' }: Principal, target: string): Scopes => {
  const principal = JSON.stringify([issuer, subject]);
  return {
    principal,
    purpose: JSON.stringify([issuer, subject, 'purpose', purpose]),
    target: JSON.stringify([issuer, subject, 'target', target]),
  };
};

export class Ledger {
  readonly #counters = new Bounded<Counter>(counters_max);
  readonly #taints = new Taints();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param target "postgres/orders" */
  account(principal: Principal, target: string): Account {
    return new Account(scopesOf(principal, target), this.#counters, this.#taints, this.#now);
  }
}

/** One session's way to its principal's counters and labels. Everything here is done at once, in one turn. */
export class Account {
  readonly scopes: Scopes;
  readonly #counters: Bounded<Counter>;
  readonly #taints: Taints;
  readonly #now: () => number;
  #held: readonly [Counter, Counter, Counter] | undefined;
  /** When this session last touched its counters: once a minute is enough to say that they are not quiet. */
  #touched_minute = -1;

  constructor(scopes: Scopes, counters: Bounded<Counter>, taints: Taints, now: () => number) {
    this.scopes = scopes;
    this.#counters = counters;
    this.#taints = taints;
    this.#now = now;
  }

  usage(): Usage {
    const now_ms = this.#now();
    const [principal, purpose, target] = this.#current(now_ms);
    return { ...principal.read(now_ms), purpose: purpose.read(now_ms), target: target.read(now_ms) };
  }

  taint(): readonly string[] {
    return this.#taints.read(this.scopes.purpose, this.#now());
  }

  /** What is known of it elsewhere: what this gateway says from now on. */
  learn(totals: readonly [Totals, Totals, Totals], labels: readonly Label[]): void {
    for (const [index, counter] of this.#current(this.#now()).entries()) counter.load(totals[index]!);
    for (const { label, until_ms } of labels) this.#taints.learn(this.scopes.purpose, label, until_ms);
  }

  spend(spent: Spent): void {
    const now_ms = this.#now();
    for (const counter of this.#current(now_ms)) counter.add(spent, now_ms);
  }

  /** Returns the labels that are news. */
  mark(taints: readonly Taint[]): readonly Taint[] {
    return this.#taints.add(this.scopes.purpose, taints, this.#now());
  }

  #current(now_ms: number): readonly [Counter, Counter, Counter] {
    const minute = Math.floor(now_ms / 60_000);
    if (this.#held !== undefined && this.#touched_minute === minute) return this.#held;
    this.#touched_minute = minute;
    const { principal, purpose, target } = this.scopes;
    const [first, second, third] = this.#held ?? [];
    const touch = (key: string, own: Counter | undefined) => this.#counters.touch(key, () => own ?? new Counter());
    this.#held = [touch(principal, first), touch(purpose, second), touch(target, third)];
    return this.#held;
  }
}
