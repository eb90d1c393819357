import { loosening, type Change, type ChangeKind } from './compare.js';

/** Differences of many operations, grouped: equal ones are counted once, with the first as the example. */

export interface Group extends Change {
  readonly principal: string;
  readonly target: string;
  readonly count: number;
  /** The id of the first decision of its kind. */
  readonly example: string;
}

export interface Tally {
  readonly operations: number;
  /** Operations whose decision differs. */
  readonly changed: number;
  readonly erased: number;
  /** Decided otherwise by the revision that judged them then: records lack what it looked at. */
  readonly unlike_recorded: number;
  /** Judged then upon an organisation's base, which this was not given. */
  readonly upon_base: number;
  /** A policy asks for budgets, and what was used by then is not in their records: decided as if nothing were. */
  readonly unmeasured: number;
  /** A filter beside masks of the base: only the target's catalog tells whether it can be put in without telling of what is masked. */
  readonly unproven: number;
  readonly groups: readonly Group[];
  /** Differences beyond the groups that are kept. */
  readonly beyond: Readonly<Partial<Record<ChangeKind, number>>>;
}

const counted = ['operations', 'changed', 'erased', 'unlike_recorded', 'upon_base', 'unmeasured', 'unproven'] as const;

const groups_default_max = 10_000;

export const emptyTally: Tally = {
  operations: 0,
  changed: 0,
  erased: 0,
  unlike_recorded: 0,
  upon_base: 0,
  unmeasured: 0,
  unproven: 0,
  groups: [],
  beyond: {},
};

export class Tallier {
  readonly #groups_max: number;
  readonly #groups = new Map<string, { -readonly [K in keyof Group]: Group[K] }>();
  readonly #beyond = new Map<ChangeKind, number>();
  readonly #counts = Object.fromEntries(counted.map((name) => [name, 0])) as Record<(typeof counted)[number], number>;

  constructor(groups_max = groups_default_max) {
    this.#groups_max = groups_max;
  }

  count(what: keyof Omit<Tally, 'groups' | 'beyond'>, by = 1): void {
    this.#counts[what] += by;
  }

  add(group: Group): void {
    const key = JSON.stringify([group.kind, group.rule, group.on, group.principal, group.target]);
    const known = this.#groups.get(key);
    if (known !== undefined) known.count += group.count;
    else if (this.#groups.size < this.#groups_max) this.#groups.set(key, { ...group });
    else this.#beyond.set(group.kind, (this.#beyond.get(group.kind) ?? 0) + group.count);
  }

  merge(other: Tally): void {
    for (const name of counted) this.count(name, other[name]);
    for (const group of other.groups) this.add(group);
    for (const [kind, count] of Object.entries(other.beyond))
      this.#beyond.set(kind as ChangeKind, (this.#beyond.get(kind as ChangeKind) ?? 0) + count);
  }

  /** What is loosened stands first, then what happens most. */
  done(): Tally {
    const groups = [...this.#groups.values()].sort(
      (one, other) => Number(loosening.has(other.kind)) - Number(loosening.has(one.kind)) || other.count - one.count,
    );
    return { ...this.#counts, groups, beyond: Object.fromEntries(this.#beyond) };
  }
}

export const isLoosened = (tally: Tally): boolean =>
  tally.groups.some(({ kind }) => loosening.has(kind)) ||
  Object.keys(tally.beyond).some((kind) => loosening.has(kind as ChangeKind));
