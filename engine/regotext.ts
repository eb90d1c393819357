import { quote } from './sprintf.js';

/**
 * Reads values as a compiled policy writes them in Rego's own notation (sets with braces, where JSON has only arrays), and
 * writes them as OPA does: elements of sets and keys of objects in Rego's order, so that a text has one form only.
 */

export type Term =
  | { readonly kind: 'scalar'; readonly text: string }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'array' | 'set'; readonly elements: readonly Term[] }
  | { readonly kind: 'object'; readonly entries: readonly (readonly [Term, Term])[] };

/** Deeper values are refused: each level is a level of our own stack. */
const depth_max = 500;

class Parser {
  #at = 0;
  constructor(readonly text: string) {}

  term(depth: number): Term {
    if (depth > depth_max) throw new RangeError('a value is nested too deeply');
    this.#space();
    const character = this.text[this.#at];
    if (character === '"') return { kind: 'string', value: this.#string() };
    if (this.text.startsWith('set()', this.#at)) {
      this.#at += 5;
      return { kind: 'set', elements: [] };
    }
    if (character === '[') return { kind: 'array', elements: this.#list(']', () => this.term(depth + 1)) };
    if (character === '{') return this.#braces(depth);
    const scalar = /[^\s,:\]}]+/y;
    scalar.lastIndex = this.#at;
    const match = scalar.exec(this.text);
    if (match === null) throw new SyntaxError('a value of Rego is not written as one');
    this.#at = scalar.lastIndex;
    return { kind: 'scalar', text: match[0] };
  }

  #braces(depth: number): Term {
    const entries: [Term, Term][] = [];
    const elements = this.#list('}', () => {
      const key = this.term(depth + 1);
      this.#space();
      if (this.text[this.#at] !== ':') return key;
      this.#at++;
      entries.push([key, this.term(depth + 1)]);
      return key;
    });
    return entries.length > 0 || elements.length === 0 ? { kind: 'object', entries } : { kind: 'set', elements };
  }

  #list(close: string, next: () => Term): Term[] {
    const elements: Term[] = [];
    this.#at++;
    for (this.#space(); this.text[this.#at] !== close; this.#space()) {
      if (this.text[this.#at] === ',') this.#at++;
      elements.push(next());
    }
    this.#at++;
    return elements;
  }

  #string(): string {
    const start = this.#at;
    for (this.#at++; this.text[this.#at] !== '"'; this.#at++) {
      if (this.#at >= this.text.length) throw new SyntaxError('a text of Rego has no end');
      if (this.text[this.#at] === '\\') this.#at++;
    }
    this.#at++;
    return JSON.parse(this.text.slice(start, this.#at)) as string;
  }

  #space(): void {
    while (this.text[this.#at] === ' ') this.#at++;
  }
}

export function writeTerm(term: Term): string {
  switch (term.kind) {
    case 'scalar':
      return term.text;
    case 'string':
      return quote(term.value);
    case 'array':
      return `[${term.elements.map(writeTerm).join(', ')}]`;
    case 'set':
      return term.elements.length === 0
        ? 'set()'
        : `{${[...term.elements].sort(compareTerms).map(writeTerm).join(', ')}}`;
    case 'object': {
      const entries = [...term.entries].sort(([left], [right]) => compareTerms(left, right));
      return `{${entries.map(([key, value]) => `${writeTerm(key)}: ${writeTerm(value)}`).join(', ')}}`;
    }
  }
}

/** null, false, true, numbers, texts, arrays, objects, sets. */
function rank(term: Term): number {
  if (term.kind !== 'scalar') return ['string', 'array', 'object', 'set'].indexOf(term.kind) + 4;
  return ['null', 'false', 'true'].includes(term.text) ? ['null', 'false', 'true'].indexOf(term.text) : 3;
}

export function compareTerms(left: Term, right: Term): number {
  const ranks = rank(left) - rank(right);
  if (ranks !== 0) return ranks;
  // null, false and true are each a rank of their own.
  if (left.kind === 'scalar' && right.kind === 'scalar')
    return left.text === right.text ? 0 : Number(left.text) - Number(right.text);
  if (left.kind === 'string' && right.kind === 'string')
    return Buffer.compare(Buffer.from(left.value), Buffer.from(right.value));
  const [mine, theirs] = [parts(left), parts(right)];
  for (const [index, part] of mine.entries()) {
    const other = theirs[index];
    if (other === undefined) return 1;
    const order = compareTerms(part, other);
    if (order !== 0) return order;
  }
  return mine.length - theirs.length;
}

function parts(term: Term): readonly Term[] {
  if (term.kind === 'array') return term.elements;
  if (term.kind === 'set') return [...term.elements].sort(compareTerms);
  if (term.kind !== 'object') return [];
  return [...term.entries].sort(([left], [right]) => compareTerms(left, right)).flat();
}

/** Reads one value. @throws where the text is none, or is nested too deeply. */
export function parseTerm(text: string): Term {
  return new Parser(text).term(0);
}

/** The value as JSON would have it: sets are arrays, and keys are texts. */
export function plainValue(term: Term): unknown {
  switch (term.kind) {
    case 'string':
      return term.value;
    case 'scalar':
      return rank(term) === 3 ? Number(term.text) : JSON.parse(term.text);
    case 'object':
      return Object.fromEntries(
        term.entries.map(([key, value]) => [key.kind === 'string' ? key.value : writeTerm(key), plainValue(value)]),
      );
    default:
      return term.elements.map(plainValue);
  }
}

/** What `sprintf` takes for each element: a text as it is, a number as it is written, all else as OPA writes it. */
export function readArguments(text: string): { readonly kind: 'string' | 'number' | 'other'; readonly text: string }[] {
  const term = parseTerm(text);
  if (term.kind !== 'array') throw new SyntaxError('an array was expected');
  return term.elements.map((element) => {
    if (element.kind === 'string') return { kind: 'string', text: element.value };
    if (element.kind === 'scalar' && rank(element) === 3) return { kind: 'number', text: element.text };
    return { kind: 'other', text: writeTerm(element) };
  });
}
