import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node } from 'yaml';

/** Steps from the root of the document to a value. */
export type KeyPath = readonly (string | number)[];

/** Something wrong at one place of the file. */
export interface Problem {
  readonly path: KeyPath;
  readonly message: string;
  readonly line: number;
  readonly column: number;
}

/** targets[0].upstream.host */
export function printPath(path: KeyPath): string {
  let printed = '';
  for (const step of path) {
    if (typeof step === 'number') printed += `[${step}]`;
    else if (/^[A-Za-z_][\w-]*$/u.test(step)) printed += printed === '' ? step : `.${step}`;
    else printed += `[${JSON.stringify(step)}]`;
  }
  return printed;
}

/** Every alias may be followed this often before the document counts as an attempt to exhaust memory. */
const aliases_max = 100;

/** A YAML file that remembers where each of its values stands. */
export class ConfigDocument {
  readonly value: unknown;
  /** What is wrong with the YAML itself; where there is anything, `value` is undefined. */
  readonly problems: readonly Problem[];
  readonly #document: Document.Parsed;
  readonly #lines = new LineCounter();

  constructor(source: string) {
    // Without prettyErrors a message quotes no line of the source, which may hold a password.
    this.#document = parseDocument(source, {
      lineCounter: this.#lines,
      prettyErrors: false,
      uniqueKeys: true,
      stringKeys: true,
    });
    const problems = [...this.#document.errors, ...this.#document.warnings].map(({ code, message, pos }) => ({
      path: [],
      message: syntaxMessages[code] ?? message,
      ...this.#position(pos[0]),
    }));
    if (problems.length === 0) {
      try {
        this.value = this.#document.toJS({ maxAliasCount: aliases_max });
      } catch {
        problems.push({ path: [], message: 'aliases are nested too deeply, or lead nowhere', line: 1, column: 1 });
      }
    }
    this.problems = problems;
  }

  /** A problem with the value at this path; where there is none, with what comes nearest above it. */
  problem(path: KeyPath, message: string): Problem {
    return { path, message, ...this.#position(this.#value(path)?.range?.[0] ?? 0) };
  }

  /** A problem with the key itself that the path ends in. */
  keyProblem(path: KeyPath, message: string): Problem {
    return { path, message, ...this.#position(this.#key(path)?.range?.[0] ?? this.#value(path)?.range?.[0] ?? 0) };
  }

  #position(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  #value(path: KeyPath): Node | undefined {
    let node = this.#follow(this.#document.contents);
    for (const step of path) {
      const child = isMap(node) || isSeq(node) ? node.get(step, true) : undefined;
      if (child === undefined) return node;
      node = this.#follow(child);
    }
    return node;
  }

  #key(path: KeyPath): Node | undefined {
    const parent = this.#value(path.slice(0, -1));
    if (!isMap(parent)) return undefined;
    const name = path.at(-1);
    const pair = parent.items.find(({ key }) => (isScalar(key) ? key.value : key) === name);
    return pair?.key as Node | undefined;
  }

  #follow(node: Node | null | undefined): Node | undefined {
    if (isAlias(node)) return node.resolve(this.#document);
    return node ?? undefined;
  }
}

/** Where the library's own words say too little, or repeat a part of the value. */
const syntaxMessages: Partial<Record<string, string>> = {
  BAD_ALIAS: 'a value that starts with "*" is an alias, and this one leads nowhere; put the value in quotes',
  DUPLICATE_KEY: 'the key stands twice in the same mapping; remove one',
  MULTIPLE_DOCS: 'there is more than one document in the file; remove the "---"',
  TAB_AS_INDENT: 'tabs cannot indent YAML; use spaces',
  TAG_RESOLVE_FAILED: 'a value that starts with "!" is a tag, and this one is not known; put the value in quotes',
};
