/**
 * Values in a JSON text, found by path and replaced where they stand: every other byte of the text stays as it was, so
 * that numbers keep their digits and keys their order.
 *
 * @see RFC 8259
 */

/** One step of a path: a member by name, any member, any element, or any depth. */
export type PathStep = { readonly member: string } | 'members' | 'elements' | 'depth';
export type JsonPath = readonly PathStep[];

/** Paths of which an object or array is one value, by their index: else each value in it is one. */
export type WholePaths = ReadonlySet<number>;

/** Where in the text a value stands that a path leads to, or that stands in one. */
export interface JsonValue {
  readonly start: number;
  /** Of the character after it. */
  readonly end: number;
  /** tree: an object or an array, where a path leads to it that asks for it whole. */
  readonly kind: 'string' | 'number' | 'literal' | 'tree';
  /** Index of the first path, in the order given, that leads here or above. */
  readonly path: number;
}

/** A text that is no JSON, or deeper than is looked into. */
export class JsonError extends Error {}

const depth_max = 256;
const path_steps_max = 64;

/**
 * `data.*`, `spec.containers[*].env[*].value`, `metadata.annotations["example.com/token"]`, `**.password`.
 *
 * @throws {JsonError} where it is no path
 */
export function readJsonPath(text: string): JsonPath {
  const steps: PathStep[] = [];
  while (pathStep.lastIndex < text.length) {
    const at = pathStep.lastIndex;
    const found = pathStep.exec(text);
    const step = found === null || steps.length >= path_steps_max ? undefined : readStep(found, at === 0);
    if (step === undefined) {
      pathStep.lastIndex = 0;
      throw new JsonError(
        `${JSON.stringify(text)} is no path, from character ${at + 1} on: write names with "." between, [*] for each element, ["a.b"] for other names`,
      );
    }
    steps.push(step);
  }
  pathStep.lastIndex = 0;
  if (steps.length === 0) throw new JsonError('an empty text is no path');
  return steps;
}

function readStep(
  [, dot, depth, members, name, elements, quoted]: RegExpExecArray,
  first: boolean,
): PathStep | undefined {
  if (elements !== undefined) return 'elements';
  if (quoted !== undefined) {
    try {
      return { member: JSON.parse(quoted) as string };
    } catch {
      return undefined;
    }
  }
  if ((dot === '') !== first) return undefined;
  if (depth !== undefined) return 'depth';
  return members === undefined ? { member: name! } : 'members';
}

/**
 * Every string, number and literal that a path leads to, or that stands in an object or array that one leads to, in the
 * order of the text.
 *
 * @param at Where the text stands in the document that the paths are of: names and elements.
 * @throws {JsonError} where the text is no JSON
 */
export function findInJson(
  text: string,
  paths: readonly JsonPath[],
  whole: WholePaths = new Set(),
  at: JsonPath = [],
): JsonValue[] {
  const found: JsonValue[] = [];
  const scanner = new Scanner(text, paths, whole, (value) => found.push(value));
  scanner.whole(at);
  return found;
}

/** The text with each value that a path leads to in another form; `replace` gets its own text, and what path led to it. */
export function editJson(
  text: string,
  paths: readonly JsonPath[],
  replace: (raw: string, value: JsonValue) => string,
  whole?: WholePaths,
  at?: JsonPath,
): string {
  let edited = '';
  let copied = 0;
  for (const value of findInJson(text, paths, whole, at)) {
    edited += text.slice(copied, value.start) + replace(text.slice(value.start, value.end), value);
    copied = value.end;
  }
  return copied === 0 ? text : edited + text.slice(copied);
}

/** Where the paths stand: of each, the steps that may come next; a path that has led here holds for all below. */
interface Standing {
  readonly reached: number | undefined;
  readonly states: readonly (readonly [path: number, step: number])[];
}

const nowhere: Standing = { reached: undefined, states: [] };

/** Whether a step of a path leads where the text stands. */
function isStep(step: PathStep, here: PathStep): boolean {
  if (typeof here !== 'object') return step === here;
  return step === 'members' || (typeof step === 'object' && step.member === here.member);
}

class Scanner {
  #at = 0;

  constructor(
    private readonly text: string,
    private readonly paths: readonly JsonPath[],
    private readonly asOne: WholePaths,
    private readonly found: (value: JsonValue) => void,
  ) {}

  whole(at: JsonPath): void {
    let standing = this.#arrive(this.paths.map((_, path) => [path, 0] as const));
    for (const here of at) standing = this.#into(standing, (step) => isStep(step, here));
    this.#space();
    this.#value(standing, at.length);
    this.#space();
    if (this.#at < this.text.length) throw this.#wrong('something follows the value');
  }

  /** What is reached here; `**` may stand for nothing. */
  #arrive(states: readonly (readonly [number, number])[]): Standing {
    if (states.length === 0) return nowhere;
    const open: (readonly [number, number])[] = [];
    let reached: number | undefined;
    const add = (path: number, step: number): void => {
      // Two ways to one place would double with every level.
      if (open.some(([other, where]) => other === path && where === step)) return;
      open.push([path, step]);
      const steps = this.paths[path]!;
      if (step >= steps.length) reached = Math.min(reached ?? path, path);
      else if (steps[step] === 'depth') add(path, step + 1);
    };
    for (const [path, step] of states) add(path, step);
    return { reached, states: open };
  }

  #into(standing: Standing, fits: (step: PathStep) => boolean): Standing {
    if (standing.reached !== undefined || standing.states.length === 0) return standing;
    const next: [number, number][] = [];
    for (const [path, step] of standing.states) {
      const here = this.paths[path]![step]!;
      if (here === 'depth') next.push([path, step]);
      else if (fits(here)) next.push([path, step + 1]);
    }
    return this.#arrive(next);
  }

  #value(standing: Standing, depth: number): void {
    if (depth > depth_max) throw this.#wrong(`it is deeper than ${depth_max} levels`);
    const start = this.#at;
    const first = this.text.charCodeAt(start);
    if (first === 0x7b || first === 0x5b) {
      const { reached } = standing;
      const asOne = reached !== undefined && this.asOne.has(reached);
      const inside = asOne ? nowhere : standing;
      if (first === 0x7b) this.#object(inside, depth);
      else this.#array(inside, depth);
      if (asOne) this.found({ start, end: this.#at, kind: 'tree', path: reached });
      return;
    }
    const kind = first === 0x22 ? 'string' : first === 0x2d || (first >= 0x30 && first <= 0x39) ? 'number' : 'literal';
    if (kind === 'string') this.#string();
    else this.#match(kind === 'number' ? number : literal);
    if (standing.reached !== undefined) this.found({ start, end: this.#at, kind, path: standing.reached });
  }

  #object(standing: Standing, depth: number): void {
    this.#at++;
    this.#space();
    if (this.#take(0x7d)) return;
    do {
      this.#space();
      if (this.text.charCodeAt(this.#at) !== 0x22) throw this.#wrong('a name was expected');
      const start = this.#at;
      this.#string();
      const raw = this.text.slice(start, this.#at);
      this.#space();
      if (!this.#take(0x3a)) throw this.#wrong('a ":" was expected');
      this.#space();
      // Names are read only where a path may go on.
      const needed = standing.reached === undefined && standing.states.length > 0;
      const name = needed ? (raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1)) : '';
      const inside = needed
        ? this.#into(standing, (step) => step === 'members' || (typeof step === 'object' && step.member === name))
        : standing;
      this.#value(inside, depth + 1);
      this.#space();
    } while (this.#take(0x2c));
    if (!this.#take(0x7d)) throw this.#wrong('a "}" was expected');
  }

  #array(standing: Standing, depth: number): void {
    this.#at++;
    this.#space();
    if (this.#take(0x5d)) return;
    const inside = this.#into(standing, (step) => step === 'elements');
    do {
      this.#space();
      this.#value(inside, depth + 1);
      this.#space();
    } while (this.#take(0x2c));
    if (!this.#take(0x5d)) throw this.#wrong('a "]" was expected');
  }

  #string(): void {
    let at = this.#at + 1;
    for (;;) {
      plain.lastIndex = at;
      plain.test(this.text);
      at = plain.lastIndex;
      const code = this.text.charCodeAt(at);
      if (code === 0x22) {
        this.#at = at + 1;
        return;
      }
      escape.lastIndex = at;
      if (code !== 0x5c || !escape.test(this.text)) break;
      at = escape.lastIndex;
    }
    throw this.#wrong('a string does not end, or has a character that it may not have');
  }

  #match(pattern: RegExp): void {
    pattern.lastIndex = this.#at;
    if (!pattern.test(this.text)) throw this.#wrong('a value was expected');
    this.#at = pattern.lastIndex;
  }

  #space(): void {
    const { text } = this;
    for (;;) {
      const code = text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #take(code: number): boolean {
    if (this.text.charCodeAt(this.#at) !== code) return false;
    this.#at++;
    return true;
  }

  #wrong(what: string): JsonError {
    return new JsonError(`no JSON at character ${this.#at + 1}: ${what}`);
  }
}

const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const literal = /true|false|null/y;
const plain = /[^"\\\u0000-\u001f]*/y;
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const pathStep = /(\.?)(?:(\*\*)|(\*)|([^.[\]*"\s]+))|(\[\*\])|\[("(?:[^"\\]|\\.)*")\]/y;
