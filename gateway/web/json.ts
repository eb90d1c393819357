/**
 * JSON (RFC 8259) of a request as the one value that every parser would see. JSON.parse would round numbers and keep one of
 * two equal keys, without a word.
 */

/** What is no JSON, could be read in two ways, or is more than is looked at. The message quotes nothing of the text. */
export class JsonError extends Error {}

const depth_max = 64;
const nodes_max = 500_000;
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const space = /[ \t\n\r]*/y;
/** A string without escapes, quotes included: most of them are. */
const simple = /"[^"\\\u0000-\u001f]*"/y;
const anyString = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"/y;
const words = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const;

/**
 * The value that policy sees. Throws JsonError for keys that come twice (or differ only in case), texts that are no Unicode,
 * and numbers that a double does not hold.
 */
export function unambiguous(text: string): unknown {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.finish();
  return value;
}

class Reader {
  readonly #text: string;
  #at = 0;
  #nodes = 0;

  constructor(text: string) {
    this.#text = text;
  }

  finish(): void {
    this.#match(space);
    if (this.#at < this.#text.length) throw new JsonError('something stands behind the JSON');
  }

  value(depth: number): unknown {
    if (depth > depth_max) throw new JsonError(`the JSON is more than ${depth_max} levels deep`);
    if (++this.#nodes > nodes_max) throw new JsonError(`the JSON has more than ${nodes_max} values`);
    this.#match(space);
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      default:
        return this.#scalar();
    }
  }

  #object(depth: number): unknown {
    this.#at++;
    const members: [string, unknown][] = [];
    const folded = new Set<string>();
    if (!this.#next('}')) {
      do {
        this.#match(space);
        const key = this.#string();
        if (key.includes('\0')) throw new JsonError('the JSON has a key with a zero byte');
        const one = key.normalize('NFKC').toLowerCase();
        if (folded.has(one)) throw new JsonError('the JSON has a key twice (or two that differ only in case)');
        folded.add(one);
        if (!this.#next(':')) throw new JsonError('the JSON has a key without a value');
        members.push([key, this.value(depth + 1)]);
      } while (this.#next(','));
      if (!this.#next('}')) throw new JsonError('the JSON has an object without an end');
    }
    return Object.fromEntries(members);
  }

  #array(depth: number): unknown[] {
    this.#at++;
    const items: unknown[] = [];
    if (!this.#next(']')) {
      do items.push(this.value(depth + 1));
      while (this.#next(','));
      if (!this.#next(']')) throw new JsonError('the JSON has a list without an end');
    }
    return items;
  }

  #string(): string {
    const plain = this.#match(simple);
    const escaped = plain === '' ? this.#match(anyString) : '';
    if (plain === '' && escaped === '') throw new JsonError('the JSON has a malformed text');
    const text = plain === '' ? (JSON.parse(escaped) as string) : plain.slice(1, -1);
    if (/\p{Surrogate}/u.test(text)) throw new JsonError('the JSON has half of a character (a lone surrogate)');
    return text;
  }

  #scalar(): unknown {
    for (const [word, value] of words) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    const digits = this.#match(number);
    if (digits === '') throw new JsonError('the JSON is malformed');
    return numberOf(digits);
  }

  #next(character: string): boolean {
    this.#match(space);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  /** What the sticky expression matches here, and goes behind it. */
  #match(expression: RegExp): string {
    expression.lastIndex = this.#at;
    const [found = ''] = expression.exec(this.#text) ?? [];
    this.#at += found.length;
    return found;
  }
}

/** Decimal digits that every double holds. */
const digits_max = 15;
const digitsOf = (text: string): number =>
  text
    .replace(/[eE].*$/, '')
    .replace(/[-.]/g, '')
    .replace(/^0+|0+$/g, '').length;

function numberOf(text: string): number {
  const value = Number(text);
  const whole = /^-?[0-9]+$/.test(text);
  // As a fraction or with an exponent as well, where there are more digits than a double has (9007199254740993.0, 1.0000000000000001),
  // or it is nearer to zero than any double (1e-400).
  const exact = whole
    ? Number.isSafeInteger(value)
    : (!Number.isInteger(value) || digitsOf(text) <= digits_max) && (value !== 0 || digitsOf(text) === 0);
  if (!Number.isFinite(value) || !exact) {
    throw new JsonError('the JSON has a number that not every reader holds exactly: send it as a text');
  }
  return value;
}
