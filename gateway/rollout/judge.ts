import { createEngine, type Decision, type Input, type Layer, type Revision } from '#engine';
import { compare } from '../replay/compare.js';
import { Tallier, type Tally } from '../replay/tally.js';

/** What the thread needs; it can be sent there. */
export interface ShadowTask {
  readonly id: string;
  readonly layers: readonly Layer[];
}

/** One operation, and what was decided of it. */
export interface Witnessed {
  readonly input: Input;
  readonly decision: Decision;
}

/** Judges what was decided already by the revision that is tried, and tells what is different. */
export class ShadowJudge {
  readonly #revision: Revision;

  private constructor(revision: Revision) {
    this.#revision = revision;
  }

  static async create({ id, layers }: ShadowTask): Promise<ShadowJudge> {
    return new ShadowJudge(await createEngine().prepare(id, layers));
  }

  /** @param batch A list of Witnessed, as JSON: what policy sees is JSON, so nothing of it is lost. */
  judge(batch: string): Tally {
    const tallier = new Tallier();
    for (const { input, decision } of JSON.parse(batch) as Witnessed[]) {
      const changes = compare(decision, this.#revision.decide(input));
      tallier.count('operations');
      if (changes.length > 0) tallier.count('changed');
      for (const change of changes) {
        const { principal, target } = input;
        tallier.add({ ...change, principal: principal.subject, target: target.name, count: 1, example: decision.id });
      }
    }
    return tallier.done();
  }
}
