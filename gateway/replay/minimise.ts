/**
 * The smallest document for which something still holds, by leaving out one part after the other (hierarchical delta
 * debugging; Misherghi and Su, ICSE 2006): first whole branches, then what is below those that have to stay. What nobody looks
 * at is gone by construction; texts that are looked at are cut down to what has to be in them.
 *
 * The same document and the same question give the same answer. It is never asked more often than `questions_max`: then the
 * answer is the smallest so far.
 */
export interface MinimiseOptions {
  readonly holds: (document: Json) => boolean;
  /** Whether a part at this path may go, or a text be cut. */
  readonly mayGo: (path: readonly string[]) => boolean;
  readonly mayCut: (path: readonly string[]) => boolean;
  readonly questions_max: number;
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export function minimise(document: Json, options: MinimiseOptions): Json {
  const search = new Search(document, options);
  // What is left out later may make something needless that was needed before.
  while (search.pass());
  return search.document;
}

/** A text shorter than this in its pieces is left as it is. */
const pieces_max = 16;

class Search {
  document: Json;
  readonly #options: MinimiseOptions;
  #questions = 0;

  constructor(document: Json, options: MinimiseOptions) {
    this.document = document;
    this.#options = options;
  }

  /** True where it became smaller, and there may be more. */
  pass(): boolean {
    const before = JSON.stringify(this.document).length;
    this.#reduce([]);
    return JSON.stringify(this.document).length < before && this.#questions < this.#options.questions_max;
  }

  #reduce(path: readonly string[]): void {
    const value = at(this.document, path);
    if (typeof value === 'string') return this.#cut(path, value);
    if (Array.isArray(value)) return this.#thin(path);
    if (typeof value !== 'object' || value === null) return;
    for (const key of Object.keys(value)) {
      const below = [...path, key];
      if (!this.#options.mayGo(below) || !this.#try(without(this.document, below))) this.#reduce(below);
    }
  }

  /** Lists lose halves, then quarters, then single elements; what stays is reduced itself. */
  #thin(path: readonly string[]): void {
    const list = () => at(this.document, path) as readonly Json[];
    for (let size = Math.ceil(list().length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
      for (let start = 0; start < list().length; )
        if (!this.#try(put(this.document, path, [...list().slice(0, start), ...list().slice(start + size)]))) start += size; // prettier-ignore
    for (const index of list().keys()) this.#reduce([...path, String(index)]);
  }

  #cut(path: readonly string[], text: string): void {
    if (text === '' || !this.#options.mayCut(path) || this.#try(put(this.document, path, ''))) return;
    let rest = text;
    const least = Math.max(1, Math.ceil(text.length / pieces_max));
    for (let size = Math.ceil(text.length / 2); size >= least; size = size === 1 ? 0 : Math.ceil(size / 2))
      for (let start = 0; start < rest.length;) {
        const shorter = rest.slice(0, start) + rest.slice(start + size);
        if (this.#try(put(this.document, path, shorter))) rest = shorter;
        else start += size;
      }
  }

  #try(candidate: Json): boolean {
    if (this.#questions >= this.#options.questions_max) return false;
    this.#questions += 1;
    if (!this.#options.holds(candidate)) return false;
    this.document = candidate;
    return true;
  }
}

const at = (value: Json, path: readonly string[]): Json =>
  path.reduce<Json>((inner, key) => (inner as { readonly [key: string]: Json })[key] ?? null, value);

/** Copies what is on the way: a document that was judged before is never changed. */
function put(value: Json, [key, ...rest]: readonly string[], leaf: Json): Json {
  if (key === undefined) return leaf;
  if (Array.isArray(value))
    return value.map((one: Json, index) => (String(index) === key ? put(one, rest, leaf) : one));
  const fields = value as { readonly [key: string]: Json };
  return { ...fields, [key]: put(fields[key] ?? null, rest, leaf) };
}

function without(value: Json, path: readonly string[]): Json {
  const key = path.at(-1)!;
  const above = path.slice(0, -1);
  const { [key]: _gone, ...rest } = at(value, above) as { readonly [key: string]: Json };
  return put(value, above, rest);
}
