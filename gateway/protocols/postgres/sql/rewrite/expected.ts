import { as, type Wrapped } from '../ast.js';
import { parseAlone } from '../parse.js';
import { StatementError } from '../../judging/statement.js';
import { unclear } from './splice.js';

/** The tree that a spliced text must give: the client's, with the trees of the gateway's own fragments in their places. */

type Tree = Record<string, unknown>;

export class Expected {
  readonly #nodes = new Map<object, readonly Wrapped[]>();
  readonly #wraps = new Map<object, (copy: Wrapped) => Wrapped>();
  readonly #changes = new Map<object, ((copy: Tree) => void)[]>();

  /** In place of a node (its body): one other, or in a list several. */
  replace(body: object, nodes: readonly Wrapped[]): void {
    this.#nodes.set(body, nodes);
  }

  /** A node around the copy of another. */
  wrap(body: object, make: (copy: Wrapped) => Wrapped): void {
    this.#wraps.set(body, make);
  }

  /** What is otherwise in a body, its copy's insides already replaced. */
  change(body: object, make: (copy: Tree) => void): void {
    this.#changes.set(body, [...(this.#changes.get(body) ?? []), make]);
  }

  copy(tree: unknown): unknown {
    if (Array.isArray(tree))
      return tree.flatMap((item: unknown): unknown[] => [...(this.#replaced(item) ?? [this.copy(item)])]);
    if (tree === null || typeof tree !== 'object') return tree;
    const replaced = this.#replaced(tree);
    if (replaced !== undefined) {
      if (replaced.length !== 1) throw unclear('a list that stands where one thing should');
      return replaced[0];
    }
    const copy: Tree = {};
    let around: ((copy: Wrapped) => Wrapped) | undefined;
    for (const key in tree) {
      const child = (tree as Tree)[key];
      copy[key] = this.copy(child);
      if (typeof child === 'object' && child !== null) around ??= this.#wraps.get(child);
    }
    for (const make of this.#changes.get(tree) ?? []) make(copy);
    return around === undefined ? copy : around(copy as unknown as Wrapped);
  }

  #replaced(node: unknown): readonly Wrapped[] | undefined {
    if (node === null || typeof node !== 'object') return undefined;
    for (const kind in node) {
      const body = (node as Tree)[kind];
      return typeof body === 'object' && body !== null ? this.#nodes.get(body) : undefined;
    }
    return undefined;
  }
}

const locations = /location$|^stmt_len$|^(rexpr_)?list_(start|end)$/;

/** Two trees, but for where their parts stand. */
export function alike(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => alike(item, b[index]));
  }
  for (const key in a) if (!locations.test(key) && !alike((a as Tree)[key], (b as Tree)[key])) return false;
  for (const key in b) if (!locations.test(key) && (b as Tree)[key] !== undefined && !(key in a)) return false;
  return true;
}

/** Throws RewriteRefusal where a text that would leave is not what it should be. */
export function assertAlike(expected: Expected, statements: readonly (Wrapped | undefined)[], text: string): void {
  const sent = parseAlone(text).statements.map(({ stmt }) => stmt);
  if (!alike(expected.copy(statements), sent))
    throw unclear('this statement as it is written: what would leave is not what was judged');
}

/** The gateway's own fragments, which come again and again. */
const fragments = new Map<string, object>();
const fragments_max = 2_000;

function queryOf(text: string): Tree {
  let found = fragments.get(text) as Tree | undefined;
  if (found !== undefined) return found;
  try {
    const { statements } = parseAlone(text);
    found = as<Tree>(statements[0]?.stmt, 'SelectStmt');
    if (statements.length !== 1 || found === undefined)
      throw unclear('a statement: the gateway read its own text otherwise');
  } catch (error) {
    if (error instanceof StatementError)
      throw unclear(`a statement: the gateway's own part of it does not parse (${error.message})`);
    throw error;
  }
  if (fragments.size >= fragments_max) fragments.clear();
  fragments.set(text, found);
  return found;
}

/** The keys that a query has which is nothing but its list, or nothing but its FROM. */
const plain: ReadonlySet<string> = new Set(['targetList', 'fromClause', 'whereClause', 'limitOption', 'op']);

function only(text: string, part: 'targetList' | 'fromClause', count: number): readonly Wrapped[] {
  const query = queryOf(text);
  const list = (query[part] as readonly Wrapped[] | undefined) ?? [];
  const foreign = Object.keys(query).filter((key) => !plain.has(key));
  if (foreign.length > 0 || list.length !== count || (part === 'targetList') !== (query.fromClause === undefined))
    throw unclear('a statement: the gateway read its own text otherwise');
  return list;
}

/** An item of FROM. */
export function fromItem(text: string): Wrapped {
  return only(`SELECT * FROM ${text}`, 'fromClause', 1)[0]!;
}

/** Items of a select list. */
export function targets(texts: readonly string[]): readonly Wrapped[] {
  return only(`SELECT ${texts.join(', ')}`, 'targetList', texts.length);
}

export function expressionTree(text: string): Wrapped {
  const { val, name } = as<{ val?: Wrapped; name?: string }>(targets([text])[0], 'ResTarget') ?? {};
  if (val === undefined || name !== undefined) throw unclear('a statement: the gateway read its own text otherwise');
  return val;
}

/** A query, as it stands in parentheses. */
export const queryTree = (text: string): Tree => queryOf(text);
