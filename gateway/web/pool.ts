import type { Target } from '../protocol.js';

/** What is kept of a target between requests: connections, most of all. */
export interface Pooled {
  /** The credential is another now: no connection is kept any longer; what is under way goes on. */
  retire(): void;
  close(): void;
}

/** One of them for each target, made anew where its upstream is another object: its credential has changed. */
export class TargetPool<U extends object, T extends Pooled> {
  readonly #make: (upstream: U, renewed: () => Promise<T | undefined>) => T;
  readonly #current = new Map<string, { readonly upstream: U; readonly made: T }>();
  /** Those that requests still have which were judged before the change: they are sent where they were judged for. */
  readonly #all = new WeakMap<U, T>();

  /** @param make `renewed` is for a credential that was refused: what to ask once more, where there is another */
  constructor(make: (upstream: U, renewed: () => Promise<T | undefined>) => T) {
    this.#make = make;
  }

  of(target: Target, upstream: U): T {
    const { name } = target.input;
    const current = this.#current.get(name);
    if (current?.upstream === upstream) return current.made;
    let made = this.#all.get(upstream);
    if (made === undefined) {
      made = this.#make(upstream, async () => {
        const another = await target.renew?.(upstream);
        return another === true ? this.of(target, target.upstream as U) : undefined;
      });
      this.#all.set(upstream, made);
    }
    if (target.upstream === upstream) {
      current?.made.retire();
      this.#current.set(name, { upstream, made });
    } else made.retire();
    return made;
  }

  close(): void {
    for (const { made } of this.#current.values()) made.close();
  }
}
