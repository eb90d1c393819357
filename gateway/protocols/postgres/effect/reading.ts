import type { Session as GatewaySession } from '../../../protocol.js';
import { maskText, noKinds } from '../../../content/index.js';
import { leave } from '../enforcing/leaving.js';
import { askedOf } from '../enforcing/patterns.js';
import { executeOperation, type Place } from '../operation.js';
import type { Interpreter } from '../judging/statement.js';
import { reading, type Readable } from './samples.js';

/** How rows of relations are read for approvers: as policy would have it if the principal read them all. */
export class Reading {
  readonly #session: GatewaySession;
  readonly #place: Place;
  readonly #interpreter: () => Interpreter;

  constructor(session: GatewaySession, place: Place, interpreter: () => Interpreter) {
    this.#session = session;
    this.#place = place;
    this.#interpreter = interpreter;
  }

  /** Undefined where the principal's own reads would be refused, or cannot be masked: then nobody is shown any. */
  async of(relation: string): Promise<Readable | undefined> {
    const [schema, name, more] = relation.split('.');
    if (schema === undefined || name === undefined || more !== undefined) return undefined;
    try {
      const interpreter = this.#interpreter();
      const whole = await interpreter.interpret(`TABLE ${quoted(schema)}.${quoted(name)}`);
      const [read] = whole.statements;
      if (whole.opaque || read === undefined || read.facts.relations.some(({ type }) => !tables.has(type)))
        return undefined;
      const decision = this.#session.decide(executeOperation(whole, this.#place, { values: [], undecoded: false }));
      if (decision.outcome === 'deny') return undefined;
      const { masks, filters, content } = askedOf(decision);
      const template = await interpreter.interpret(reading(schema, name));
      const { text = template.text } = await leave(interpreter, template, { masks, filters });
      const masked = (value: string) =>
        content === noKinds ? value : maskText(value, { kinds: content, numbers: false });
      return { relation, text, masks, masked };
    } catch {
      // What cannot be read as policy wants it is not shown; the counts are.
      return undefined;
    }
  }
}

const tables: ReadonlySet<string> = new Set(['table', 'partitioned_table']);
const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
