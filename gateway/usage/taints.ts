import type { Taint } from '#engine';
import { Bounded } from './bounded.js';

/** Labels on what a principal does for one purpose, each until it expires. */

/** How many works carry labels at once. */
const works_max = 100_000;
/** More labels than this on one work are not kept apart: the one that ends first makes room. */
const labels_max = 64;

/** A label as it stands on a work. */
export interface Label {
  readonly label: string;
  readonly until_ms: number;
}

const none: readonly string[] = Object.freeze([]);

export class Taints {
  readonly #works = new Bounded<Map<string, number>>(works_max);

  /** Sorted; the same array as long as nothing changed would be, for whoever compares: equal labels give equal JSON. */
  read(work: string, now_ms: number): readonly string[] {
    const labels = this.#works.get(work);
    if (labels === undefined) return none;
    for (const [label, until_ms] of labels) if (until_ms <= now_ms) labels.delete(label);
    if (labels.size === 0) {
      this.#works.delete(work);
      return none;
    }
    return [...labels.keys()].sort();
  }

  /** Returns those that are new, or last longer than before. */
  add(work: string, taints: readonly Taint[], now_ms: number): readonly Taint[] {
    const labels = this.#works.touch(work, () => new Map<string, number>());
    return taints.filter(({ label, for_ms }) => {
      const until_ms = now_ms + for_ms;
      const before_ms = labels.get(label) ?? 0;
      this.#put(labels, label, Math.max(before_ms, until_ms));
      // A label is renewed by every operation that earns it: news is what others do not know within a twentieth of its life.
      return before_ms < until_ms - for_ms / 20;
    });
  }

  /** What another gateway, or an earlier process, has written down. */
  learn(work: string, label: string, until_ms: number): void {
    const labels = this.#works.touch(work, () => new Map<string, number>());
    this.#put(labels, label, Math.max(labels.get(label) ?? 0, until_ms));
  }

  #put(labels: Map<string, number>, label: string, until_ms: number): void {
    if (!labels.has(label) && labels.size >= labels_max) {
      const [first] = [...labels].sort(([, one], [, other]) => one - other);
      labels.delete(first![0]);
    }
    labels.set(label, until_ms);
  }
}
