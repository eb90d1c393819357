/**
 * Where messages about requests that still wait can be changed later. Slack gives such a place with each press of a button, for 30
 * minutes and five times; a message that nobody has pressed on has none. Kept in memory: whoever restarts posts the end all the same.
 */
interface Place {
  readonly url: string;
  readonly until_ms: number;
  uses_left: number;
}

/** A minute less than Slack's, for the way there. */
const kept_ms = 29 * 60_000;
/** One has been used when the press itself was answered. */
const uses_max = 4;
const places_max = 1_000;

export class Places {
  readonly #places = new Map<string, Place>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The latest one counts: it has the most time left. */
  keep(key: string, url: string | undefined): void {
    if (url === undefined) return;
    this.#places.delete(key);
    this.#places.set(key, { url, until_ms: this.#now() + kept_ms, uses_left: uses_max });
    // The oldest stands first.
    for (const oldest of this.#places.keys()) {
      if (this.#places.size <= places_max) break;
      this.#places.delete(oldest);
    }
  }

  /** @param last Nothing is to be shown there afterwards. */
  use(key: string, last: boolean): string | undefined {
    const place = this.#places.get(key);
    if (place === undefined) return undefined;
    place.uses_left -= 1;
    if (last || place.uses_left === 0 || place.until_ms < this.#now()) this.#places.delete(key);
    return place.until_ms < this.#now() ? undefined : place.url;
  }
}
