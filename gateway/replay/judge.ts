import { createEngine, type Input, type Layer, type Revision } from '#engine';
import { parseRecord } from '../audit/index.js';
import { compare } from './compare.js';
import { kindInput_chars_max, nameOf, type Kind } from './kinds.js';
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
  /** The two without what they are judged together with; absent: there is nothing else. */
  readonly own?: { readonly before: Standing; readonly after: Standing };
  /** Operations that are kept, one for each kind of difference. Absent: none. */
  readonly kinds_max?: number;
}

/** Of some lines. */
export interface Judged {
  readonly tally: Tally;
  /** Of kinds that this judge has not seen before. */
  readonly kinds: readonly Kind[];
}

/** Judges records by two revisions. */
export class Judge {
  readonly #before: Revision;
  readonly #after: Revision;
  readonly #labels: Labels;
  readonly #alone: boolean;
  /** Protocols whose decisions depend on what was used. */
  readonly #budgeted: ReadonlySet<string>;
  readonly #kinds_max: number;
  /** Names of the kinds that were handed out: lines come in order, so the first of a kind is the one that counts. */
  readonly #seen = new Set<string>();

  private constructor(before: Revision, after: Revision, task: Task) {
    const { labels, kinds_max = 0 } = task;
    const { layers } = task.before;
    this.#before = before;
    this.#after = after;
    this.#labels = labels;
    this.#alone = layers.length === 1;
    this.#kinds_max = kinds_max;
    this.#budgeted = new Set([...layers, ...task.after.layers].flatMap(({ manifest }) => readersOf(manifest.reads)));
  }

  static async create(task: Task): Promise<Judge> {
    const engine = createEngine();
    const [earlier, later] = await Promise.all([
      engine.prepare(task.before.id, task.before.layers),
      engine.prepare(task.after.id, task.after.layers),
    ]);
    return new Judge(earlier, later, task);
  }

  /**
   * Each line is a record of the audit, or an input document. What is neither is passed by.
   *
   * @param first How many lines were read before these.
   */
  judge(lines: readonly string[], first = 0): Judged {
    const tallier = new Tallier();
    const kinds: Kind[] = [];
    for (const [index, line] of lines.entries()) this.#one(line, first + index, tallier, kinds);
    return { tally: tallier.done(), kinds };
  }

  #one(line: string, at: number, tallier: Tallier, kinds: Kind[]): void {
    const found = readLine(line, this.#labels);
    if (found === 'other') return;
    if (found === 'erased') return tallier.count('erased');
    const { input, decision_id } = found;
    const before = this.#before.decide(input);
    const after = this.#after.decide(input);
    const changes = compare(before, after);
    tallier.count('operations');
    if (!found.measured && this.#budgeted.has(input.target.protocol)) tallier.count('unmeasured');
    if ([before, after].some(({ filters }) => filters.some(({ unseen }) => unseen !== undefined)))
      tallier.count('unproven');
    if (this.#alone && isOfTwo(found.revision)) tallier.count('upon_base');
    if (found.revision === this.#before.id && found.outcome !== before.outcome) tallier.count('unlike_recorded');
    if (changes.length === 0) return;
    tallier.count('changed');
    for (const change of changes) {
      const { principal, target } = input;
      tallier.add({ ...change, principal: principal.subject, target: target.name, count: 1, example: decision_id });
      if (line.length <= kindInput_chars_max) this.#note({ change, input, decision_id, at }, kinds);
    }
  }

  #note(kind: Kind, kinds: Kind[]): void {
    if (this.#seen.size >= this.#kinds_max || this.#seen.has(nameOf(kind))) return;
    this.#seen.add(nameOf(kind));
    kinds.push(kind);
  }
}

const readersOf = (reads: Readonly<Record<string, readonly string[]>>): string[] =>
  Object.entries(reads).flatMap(([protocol, paths]) =>
    paths.some((path) => path === '' || path === 'usage' || path.startsWith('usage.')) ? [protocol] : [],
  );

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
  return {
    input: document as Input,
    decision_id: document.operation.hash,
    revision: '',
    outcome: '',
    measured: document.usage !== undefined,
  };
}
