/** A map that forgets what was asked for longest ago, once it holds `entries_max`. */
export class Bounded<V> {
  readonly #entries = new Map<string, V>();
  readonly #entries_max: number;

  constructor(entries_max: number) {
    this.#entries_max = entries_max;
  }

  /** The value of this key, made where there is none. It is the youngest from now on. */
  touch(key: string, make: () => V): V {
    const known = this.#entries.get(key);
    if (known !== undefined) this.#entries.delete(key);
    else if (this.#entries.size >= this.#entries_max) {
      const [oldest] = this.#entries.keys();
      this.#entries.delete(oldest!);
    }
    const value = known ?? make();
    this.#entries.set(key, value);
    return value;
  }

  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
