/**
 * Where random things come from: a list of numbers, each of which settles one choice. When it is used up every choice is
 * the first, which is the simplest there. So a shorter list makes a simpler thing, and fast-check, which shrinks lists,
 * shrinks whatever is made of them.
 */
export class Choices {
  #at = 0;
  constructor(private readonly tape: readonly number[]) {}

  /** As many as a world needs, out of one seed (mulberry32). */
  static fromSeed(seed: number, count: number): Choices {
    let state = seed | 0;
    return new Choices(
      Array.from({ length: count }, () => {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
        mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
        return (mixed ^ (mixed >>> 14)) >>> 0;
      }),
    );
  }

  get spent(): boolean {
    return this.#at >= this.tape.length;
  }

  /** 0 up to, not including, `below`. */
  number(below: number): number {
    return below <= 1 ? 0 : (this.tape[this.#at++] ?? 0) % below;
  }

  /** Once in so many; never when the choices are used up. */
  once(inSoMany: number): boolean {
    return this.number(inSoMany) === inSoMany - 1 && inSoMany > 1;
  }

  one<T>(among: readonly T[]): T {
    const chosen = among[this.number(among.length)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  }

  /** Some of them, in their order, at least one. */
  some<T>(among: readonly T[], inSoMany = 2): T[] {
    const chosen = among.filter(() => this.once(inSoMany));
    return chosen.length > 0 ? chosen : [this.one(among)];
  }
}
