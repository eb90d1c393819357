import { hash } from 'node:crypto';
import { RewriteRefusal, type Plan } from '../../enforcing/rewriting.js';
import { StatementError } from '../../judging/statement.js';
import { formOf, type Form, type Literal, type Watched } from '../literals.js';
import { text_bytes_max } from '../parse.js';
import { spliced, type Edit, type Spliced } from './splice.js';

/**
 * What was put into one text, carried to the others of its form: they are neither parsed nor analysed nor checked. Why
 * what leaves is, to the byte, what rewriting such a text anew would give:
 *
 * 1. Rewriting is a function of the tree, the tokens, the catalog and the obligations. Trees and token lists of one form
 *    are the same but for the values of literals and for where things stand (literals.ts). A look at a value in the tree
 *    is noted by the watch; `Splice.word` hands out none; a part of the text that is taken, or replaced, counts as a look
 *    at the literals in it. Where things stand is only compared, or looked up among tokens: texts of a form have
 *    everything in the same order. So of two texts with equal values where there was a look, the run is the same run,
 *    with the same edits at the same tokens.
 * 2. The check that each rewritten text has to pass (it is parsed again, and gives the tree that it should) was passed
 *    by a probe, made when a second text of the form came: other values in place of all that nobody looked at, each unlike
 *    all others and unlike anything in the text, so that no two can be mistaken for each other. In what leaves, each
 *    of these literals stands between the same characters as in the probe, and the scanner ends a token by these and not
 *    by the value. The grammar asks for no constant's value either. So what leaves has the probe's tree, with each value
 *    where the probe has its own, and so has the tree that it should give.
 * 3. The probe goes both ways, and is compared: what does not come out the same is not shared.
 */

/** A text and what became of it. */
export interface Made {
  readonly text: string;
  readonly outcome: Plan | RewriteRefusal;
  /** In order, in bytes; none where the text leaves as it is or is refused. */
  readonly edits: readonly Edit[];
  /** What was looked at, before the tree as a whole was compared; undefined where nothing can be shared. */
  readonly watched: Watched | undefined;
}

export class Sharing {
  readonly #made: Made;
  readonly #watched: Watched;
  /** Undefined until a second text comes. */
  #isProven: boolean | undefined;

  constructor(made: Made, watched: Watched) {
    this.#made = made;
    this.#watched = watched;
  }

  /** @param form The text's own; equal to ours where we looked. Undefined where the text is to be rewritten by itself. */
  of(text: string, form: Form, make: (text: string) => Made): Plan | RewriteRefusal | undefined {
    if (text === this.#made.text) return this.#made.outcome;
    if (form.key !== this.#watched.form.key) return undefined;
    this.#isProven ??= this.#prove(make);
    return this.#isProven ? this.#tell(text, form) : undefined;
  }

  #prove(make: (text: string) => Made): boolean {
    const text = this.#probe();
    const form = formOf(text);
    if (form?.key !== this.#watched.form.key) return false;
    const told = this.#tell(text, form);
    try {
      return told !== undefined && isSame(told, make(text).outcome);
    } catch (error) {
      if (error instanceof StatementError) return false;
      throw error;
    }
  }

  #probe(): string {
    const { text, outcome } = this.#made;
    const around = outcome instanceof RewriteRefusal ? text : text + outcome.text;
    const { form, seen } = this.#watched;
    let next = probes_first;
    let made = '';
    let at = 0;
    for (const [index, literal] of form.literals.entries()) {
      do next++;
      while (around.includes(String(next)));
      made += text.slice(at, literal.at) + (seen.has(index) ? literal.text : another[literal.kind](next));
      at = literal.at + literal.text.length;
    }
    return made + text.slice(at);
  }

  #tell(text: string, form: Form): Plan | RewriteRefusal | undefined {
    const { outcome, edits } = this.#made;
    if (outcome instanceof RewriteRefusal) return outcome;
    const { hidden, guarded } = outcome;
    if (edits.length === 0) return { ...outcome, text };
    const made = this.#splice(text, form);
    // Of a longer one nobody knows whether it parses; a character takes at most three bytes.
    if (made.text.length > text_bytes_max / 3) return undefined;
    // Positions are asked for where something fails: until then the text is enough.
    const position = (sent: number): number | undefined => this.#splice(text, form).position(sent);
    return { key: keyOfText(made.text), text: made.text, hidden, guarded, position };
  }

  #splice(text: string, form: Form): Spliced {
    const from = this.#watched.form.literals;
    const moved: Edit[] = [];
    let by = 0;
    let passed = 0;
    for (const edit of this.#made.edits) {
      // Nothing that may be otherwise lies within an edit: its end moves as far as its start.
      for (; passed < from.length && endOf(from[passed]!) <= edit.start; passed++)
        by += form.literals[passed]!.text.length - from[passed]!.text.length;
      moved.push({ start: edit.start + by, end: edit.end + by, text: edit.text });
    }
    return spliced(text, moved);
  }
}

export const keyOfText = (text: string): string => hash('sha256', text, 'hex');

const endOf = ({ at, text }: Literal): number => at + text.length;

/** Nine digits are an integer still. */
const probes_first = 700_000_000;
const another = {
  integer: (value: number) => String(value),
  decimal: (value: number) => `${value}.5`,
  string: (value: number) => `'probe ${value}'`,
} as const;

/** To look for each takes a walk over the text. */
const positions_max = 64;

function isSame(one: Plan | RewriteRefusal, other: Plan | RewriteRefusal): boolean {
  if (one instanceof RewriteRefusal || other instanceof RewriteRefusal)
    return (
      one instanceof RewriteRefusal &&
      other instanceof RewriteRefusal &&
      one.code === other.code &&
      one.message === other.message
    );
  const isHidden = [...one.hidden].every((column) => other.hidden.has(column));
  if (one.text !== other.text || one.key !== other.key || one.guarded !== other.guarded) return false;
  if (one.hidden.size !== other.hidden.size || !isHidden) return false;
  const step = Math.ceil(one.text.length / positions_max);
  for (let at = 1; at <= one.text.length; at += step) if (one.position(at) !== other.position(at)) return false;
  return true;
}
