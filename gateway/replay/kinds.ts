import type { Input } from '#engine';
import type { Change } from './compare.js';

/**
 * One operation for each kind of difference: what differs, by which rule, for which roles, at which target, doing what. The
 * earliest in the order of the files stands for its kind, whichever thread has judged it.
 */
export interface Kind {
  readonly change: Change;
  readonly input: Input;
  readonly decision_id: string;
  /** Where it stood among the lines that were read. */
  readonly at: number;
}

/** A document that is larger stands for nothing: a later one of its kind does. */
export const kindInput_chars_max = 262_144;

export class Kinds {
  readonly #kinds = new Map<string, Kind>();
  /** Kinds that there was no room for, at least. */
  #beyond = 0;

  constructor(readonly kinds_max: number) {}

  add(kind: Kind): void {
    const key = nameOf(kind);
    const known = this.#kinds.get(key);
    if (known !== undefined && known.at <= kind.at) return;
    this.#kinds.set(key, kind);
    if (this.#kinds.size <= this.kinds_max) return;
    // The latest goes: what is kept does not depend on who was faster.
    const [last] = [...this.#kinds].reduce((one, other) => (other[1].at > one[1].at ? other : one));
    this.#kinds.delete(last);
    this.#beyond += 1;
  }

  get beyond(): number {
    return this.#beyond;
  }

  all(): Kind[] {
    return [...this.#kinds.values()].sort((one, other) => one.at - other.at);
  }
}

/** In words; equal for operations of one kind alone. */
export function nameOf({ change: { kind, rule, on }, input: { principal, target, operation } }: Kind): string {
  const roles = [...principal.roles].sort().join(', ');
  const where = on === undefined ? '' : ` on ${on}`;
  return `${kind}: ${rule}${where}; ${roles === '' ? 'no role' : `as ${roles}`}, ${operation.action} at ${target.name}`;
}
