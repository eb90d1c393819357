import type { Input } from './input.js';

/**
 * The part of an input that a policy can read, written down exactly: two inputs with one key are one to that policy, so
 * a decision may serve for both.
 *
 * The manifest of a layer names the paths that its decision can depend on. The key holds the value at each, as JSON, in
 * the paths' order. JSON has no line break and never begins with "#" or "~", so what stands between line breaks cannot be
 * mistaken: a value, the number of a value that was written down before ("#12"), or nothing at all ("~"). Numbers are
 * given once and never again, so a key needs no hash, and two different inputs cannot collide.
 *
 * @see docs/decisions/0002-decision-cache.md
 */

/** A decision that depends on one of these is never kept: they differ from one operation to the next. */
const volatilePaths = ['time', 'usage', 'session.rows'];

/** The engine and the entry point read these themselves, whatever the manifest says. */
const alwaysRead = ['operation.resources', 'target.name', 'target.protocol'];

/** Set by the engine, echoed by the entry point; policy has no use for it. */
const ignoredPaths = ['nonce'];

/**
 * How far a path is followed: as far as the document's own schema names the fields. Below that stand names of other
 * people's making, which may have dots in them, so "principal.attributes.a.b" could be either of two paths: the value
 * above them goes into the key whole.
 */
const depth_max = 2;
const operationDepth_max = 3;

/** A longer key is not worth its memory: the decision is worked out anew. */
const key_chars_max = 32_768;
const interned_chars_max = 8_388_608;

export function overlaps(left: string, right: string): boolean {
  return left === '' || right === '' || left === right || left.startsWith(`${right}.`) || right.startsWith(`${left}.`);
}

/** Gives each text a number of its own. What was forgotten gets a new number: an old one never stands for another text. */
class Interner {
  #ids = new Map<string, string>();
  #chars = 0;
  #next = 0;

  id(text: string): string {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    if (this.#chars + text.length > interned_chars_max) {
      this.#ids = new Map();
      this.#chars = 0;
    }
    const id = `#${String(this.#next++)}`;
    this.#ids.set(text, id);
    this.#chars += text.length;
    return id;
  }
}

function isDeepFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isDeepFrozen);
}

/** Nothing in it has to be escaped: actions, stages and most names. */
const plainText = /^[\x20\x21\x23-\x5b\x5d-\x7e]{0,64}$/;

function write(value: unknown): string {
  if (typeof value === 'string' && plainText.test(value)) return `"${value}"`;
  // undefined for what JSON leaves out: an absent field, as policy sees it.
  return JSON.stringify(value) ?? '~';
}

function valueAt(root: unknown, names: readonly string[]): unknown {
  let value = root;
  for (const name of names) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

export class Projection {
  /** Below the name of the field: [[]] for the whole of it. */
  readonly #principal: readonly (readonly string[])[];
  readonly #target: readonly (readonly string[])[];
  readonly #others: readonly (readonly string[])[];
  readonly #interner = new Interner();
  /** Principals and targets are immutable: what was read of one is read once. */
  readonly #immutable = new WeakMap<object, string>();
  /** Frozen to the leaves, or not: parts of an operation that all uses of one template share. */
  readonly #templates = new WeakMap<object, string | false>();

  private constructor(paths: readonly string[]) {
    const names = paths.map((path) => path.split('.'));
    const below = (field: string) => names.filter(([first]) => first === field).map((path) => path.slice(1));
    this.#principal = below('principal');
    this.#target = below('target');
    this.#others = names.filter(([first]) => first !== 'principal' && first !== 'target');
  }

  /** @returns undefined where no decision of these reads may be kept. */
  static of(reads: readonly string[]): Projection | undefined {
    const paths = new Set<string>();
    for (const path of [...reads, ...alwaysRead]) {
      if (ignoredPaths.includes(path)) continue;
      const names = path.split('.');
      const followed = names.slice(0, names[0] === 'operation' ? operationDepth_max : depth_max).join('.');
      if (volatilePaths.some((other) => overlaps(other, followed))) return undefined;
      paths.add(followed);
    }
    const sorted = [...paths].sort();
    return new Projection(sorted.filter((path) => !sorted.some((above) => path.startsWith(`${above}.`))));
  }

  /** @returns undefined where the key would be too long. */
  key(input: Input): string | undefined {
    let key = `${this.#once(input.principal, this.#principal)}\n${this.#once(input.target, this.#target)}`;
    for (const path of this.#others) key += `\n${this.#part(valueAt(input, path))}`;
    return key.length > key_chars_max ? undefined : key;
  }

  #once(value: object, paths: readonly (readonly string[])[]): string {
    let id = this.#immutable.get(value);
    if (id === undefined) {
      id = this.#interner.id(paths.map((path) => write(valueAt(value, path))).join('\n'));
      this.#immutable.set(value, id);
    }
    return id;
  }

  #part(value: unknown): string {
    if (typeof value === 'boolean') return value ? 'true' : 'false';
    if (typeof value !== 'object' || value === null) return write(value);
    const known = this.#templates.get(value);
    if (known !== undefined) return known === false ? write(value) : known;
    if (!Object.isFrozen(value)) return write(value);
    const id = isDeepFrozen(value) ? this.#interner.id(write(value)) : false;
    this.#templates.set(value, id);
    return id === false ? write(value) : id;
  }
}
