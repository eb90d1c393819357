import type { Spent } from './counters.js';
import type { Scopes } from './ledger.js';

/** What was used and is not written down yet, added up. */
export interface Spends {
  readonly scopes: Scopes;
  readonly spent: Spent;
  /** When the last of it was used. */
  readonly at_ms: number;
}

/** So many are kept while they cannot be written. */
const entries_max = 100_000;

export class Unwritten {
  /** By principal, then by purpose and target. */
  readonly #principals = new Map<string, Map<string, Spends>>();
  readonly #forgets: () => void;
  #entries = 0;
  #told = false;

  /** @param forgets Called once each time that there begins to be more than is kept. */
  constructor(forgets: () => void) {
    this.#forgets = forgets;
  }

  add(scopes: Scopes, spent: Spent, at_ms: number): void {
    const own = this.#principals.get(scopes.principal) ?? new Map<string, Spends>();
    const key = `${scopes.purpose} ${scopes.target}`;
    const before = own.get(key);
    if (before === undefined) {
      if (this.#entries >= entries_max) {
        if (!this.#told) this.#forgets();
        this.#told = true;
        return;
      }
      this.#entries++;
      this.#principals.set(scopes.principal, own);
    }
    own.set(key, { scopes, spent: before === undefined ? spent : sumOf(before.spent, spent), at_ms });
  }

  /** All of one principal: it is not here any more. */
  takeOf(principal: string): readonly Spends[] {
    const own = this.#principals.get(principal);
    if (own === undefined) return [];
    this.#principals.delete(principal);
    this.#entries -= own.size;
    this.#told = false;
    return [...own.values()];
  }

  /** Of the principals that have waited longest; about so many. */
  take(most: number): readonly Spends[] {
    const taken: Spends[] = [];
    for (const principal of [...this.#principals.keys()]) {
      if (taken.length >= most) break;
      taken.push(...this.takeOf(principal));
    }
    return taken;
  }

  putBack(spends: readonly Spends[]): void {
    for (const { scopes, spent, at_ms } of spends) this.add(scopes, spent, at_ms);
  }
}

const sumOf = (one: Spent, other: Spent): Spent => ({
  operations: (one.operations ?? 0) + (other.operations ?? 0),
  writes: (one.writes ?? 0) + (other.writes ?? 0),
  rows: (one.rows ?? 0) + (other.rows ?? 0),
  bytes: (one.bytes ?? 0) + (other.bytes ?? 0),
  cost: (one.cost ?? 0) + (other.cost ?? 0),
});
