import { createEngine, type Input, type Layer, type Revision } from '#engine';
import { parseRecord } from '../audit/index.js';
import { compare } from './compare.js';
import { recordedOperation, type Labels } from './recorded.js';
import { Tallier, type Tally } from './tally.js';

/** A revision and what it is made of: its own layer, and the base beneath it or the team's upon it. */
export interface Standing {
  readonly id: string;
  readonly layers: readonly Layer[];
}

/** What every worker needs. It can be sent to another thread. */
export interface Task {
  readonly before: Standing;
  readonly after: Standing;
  readonly labels: Labels;
}

/** Judges records by two revisions. */
export class Judge {
  readonly #before: Revision;
  readonly #after: Revision;
  readonly #labels: Labels;
  readonly #alone: boolean;

  private constructor(before: Revision, after: Revision, labels: Labels, alone: boolean) {
    this.#before = before;
    this.#after = after;
    this.#labels = labels;
    this.#alone = alone;
  }

  static async create({ before, after, labels }: Task): Promise<Judge> {
    const engine = createEngine();
    const [earlier, later] = await Promise.all([
      engine.prepare(before.id, before.layers),
      engine.prepare(after.id, after.layers),
    ]);
    return new Judge(earlier, later, labels, before.layers.length === 1);
  }

  /** Each line is a record of the audit, or an input document. What is neither is passed by. */
  judge(lines: readonly string[]): Tally {
    const tallier = new Tallier();
    for (const line of lines) this.#one(line, tallier);
    return tallier.done();
  }

  #one(line: string, tallier: Tallier): void {
    const found = readLine(line, this.#labels);
    if (found === 'other') return;
    if (found === 'erased') return tallier.count('erased');
    const { input, decision_id } = found;
    const before = this.#before.decide(input);
    const changes = compare(before, this.#after.decide(input));
    tallier.count('operations');
    if (this.#alone && isOfTwo(found.revision)) tallier.count('upon_base');
    if (found.revision === this.#before.id && found.outcome !== before.outcome) tallier.count('unlike_recorded');
    if (changes.length === 0) return;
    tallier.count('changed');
    for (const change of changes)
      tallier.add({
        ...change,
        principal: input.principal.subject,
        target: input.target.name,
        count: 1,
        example: decision_id,
      });
  }
}

/** Records name both revisions where there was a base. */
const isOfTwo = (revision: string): boolean => revision.includes('+');

function readLine(line: string, labels: Labels): ReturnType<typeof recordedOperation> {
  const record = parseRecord(Buffer.from(line));
  if (record !== undefined) return recordedOperation(record, labels);
  let document: Partial<Input> | null;
  try {
    document = JSON.parse(line) as Partial<Input> | null;
  } catch {
    return 'other';
  }
  if (document?.version !== 1 || document.operation === undefined || document.principal === undefined) return 'other';
  return { input: document as Input, decision_id: document.operation.hash, revision: '', outcome: '' };
}
