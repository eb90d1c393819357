/**
 * JSON (RFC 8259) as a tree that knows where each value stands in its text: so a value can be replaced and all else stays as
 * it was, numbers and the order of keys included. JSON.parse would round numbers and keep one of two equal keys, without a
 * word.
 */
export type JsonNode = JsonObject | JsonArray | JsonString | JsonScalar;

interface Span {
  /** In characters of the text; end is behind the last one. */
  readonly start: number;
  readonly end: number;
}
export interface JsonObject extends Span {
  readonly kind: 'object';
  readonly members: readonly JsonMember[];
}
export interface JsonMember {
  readonly key: string;
  readonly value: JsonNode;
}
export interface JsonArray extends Span {
  readonly kind: 'array';
  readonly items: readonly JsonNode[];
}
export interface JsonString extends Span {
  readonly kind: 'string';
  readonly value: string;
}
export interface JsonScalar extends Span {
  readonly kind: 'number' | 'true' | 'false' | 'null';
}

/** What is no JSON, or more than is looked at. The message quotes nothing of the text. */
export class JsonError extends Error {}

const depth_max = 64;
const nodes_max = 500_000;
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const space = /[ \t\n\r]*/y;
/** A string without escapes, quotes included: most of them are. */
const simple = /"[^"\\\u0000-\u001f]*"/y;
const anyString = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"/y;

/** Throws JsonError. */
function parseJson(text: string): JsonNode {
  const parser = new Parser(text);
  const root = parser.value(0);
  parser.finish();
  return root;
}

class Parser {
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

  value(depth: number): JsonNode {
    if (depth > depth_max) throw new JsonError(`the JSON is more than ${depth_max} levels deep`);
    if (++this.#nodes > nodes_max) throw new JsonError(`the JSON has more than ${nodes_max} values`);
    this.#match(space);
    const start = this.#at;
    switch (this.#text[start]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"': {
        const value = this.#string();
        return { kind: 'string', start, end: this.#at, value };
      }
      case 't':
        return this.#word('true');
      case 'f':
        return this.#word('false');
      case 'n':
        return this.#word('null');
      default: {
        if (this.#match(number) === '') throw new JsonError('the JSON is malformed');
        return { kind: 'number', start, end: this.#at };
      }
    }
  }

  #object(depth: number): JsonObject {
    const start = this.#at++;
    const members: JsonMember[] = [];
    if (!this.#next('}')) {
      do {
        this.#match(space);
        const key = this.#string();
        if (!this.#next(':')) throw new JsonError('the JSON has a key without a value');
        members.push({ key, value: this.value(depth + 1) });
      } while (this.#next(','));
      if (!this.#next('}')) throw new JsonError('the JSON has an object without an end');
    }
    return { kind: 'object', start, end: this.#at, members };
  }

  #array(depth: number): JsonArray {
    const start = this.#at++;
    const items: JsonNode[] = [];
    if (!this.#next(']')) {
      do items.push(this.value(depth + 1));
      while (this.#next(','));
      if (!this.#next(']')) throw new JsonError('the JSON has a list without an end');
    }
    return { kind: 'array', start, end: this.#at, items };
  }

  #string(): string {
    const plain = this.#match(simple);
    if (plain !== '') return plain.slice(1, -1);
    const escaped = this.#match(anyString);
    if (escaped === '') throw new JsonError('the JSON has a malformed text');
    return JSON.parse(escaped) as string;
  }

  #word(kind: 'true' | 'false' | 'null'): JsonScalar {
    const start = this.#at;
    if (!this.#text.startsWith(kind, start)) throw new JsonError('the JSON is malformed');
    this.#at += kind.length;
    return { kind, start, end: this.#at };
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

/**
 * Of a request's JSON: the value that policy sees, where every parser would see the same. Throws JsonError for keys that come
 * twice (or differ only in case), texts that are no Unicode, and numbers that a double does not hold.
 */
export function unambiguous(text: string): unknown {
  return valueOf(parseJson(text), text);
}

function valueOf(node: JsonNode, text: string): unknown {
  switch (node.kind) {
    case 'object': {
      const folded = new Set<string>();
      return Object.fromEntries(
        node.members.map(({ key, value }) => {
          checkText(key);
          if (key.includes('\0')) throw new JsonError('the JSON has a key with a zero byte');
          const one = key.normalize('NFKC').toLowerCase();
          if (folded.has(one)) throw new JsonError('the JSON has a key twice (or two that differ only in case)');
          folded.add(one);
          return [key, valueOf(value, text)];
        }),
      );
    }
    case 'array':
      return node.items.map((item) => valueOf(item, text));
    case 'string':
      checkText(node.value);
      return node.value;
    case 'number':
      return numberOf(text.slice(node.start, node.end));
    case 'null':
      return null;
    default:
      return node.kind === 'true';
  }
}

function checkText(text: string): void {
  if (/\p{Surrogate}/u.test(text)) throw new JsonError('the JSON has half of a character (a lone surrogate)');
}

function numberOf(text: string): number {
  const value = Number(text);
  const whole = /^-?[0-9]+$/.test(text);
  if (!Number.isFinite(value) || (whole && !Number.isSafeInteger(value))) {
    throw new JsonError('the JSON has a number that not every reader holds exactly: send it as a text');
  }
  return value;
}
