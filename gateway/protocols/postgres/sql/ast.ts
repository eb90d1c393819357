import type { Node } from 'libpg-query';

/**
 * Small helpers over libpg-query's tree. A wrapped node is an object with one key, its kind: `{SelectStmt: {…}}`.
 * Fields whose type the grammar fixes hold the body alone (`intoClause.rel` is a bare RangeVar). Zero, false and the
 * empty string are left out of the tree.
 */
export type Wrapped = Node;

export interface Opened {
  readonly kind: string;
  readonly body: object;
}

export function open(node: Wrapped): Opened {
  for (const kind in node) return { kind, body: (node as unknown as Record<string, object>)[kind] ?? {} };
  return { kind: '', body: {} };
}

/** The body where the node is of that kind. */
export function as<T extends object>(node: Wrapped | undefined, kind: string): T | undefined {
  return node === undefined ? undefined : ((node as unknown as Record<string, T>)[kind] ?? undefined);
}

/** The text of a String node; the empty string has no field of its own. */
export function text(node: Wrapped | undefined): string | undefined {
  const string = as<{ sval?: string }>(node, 'String');
  return string === undefined ? undefined : (string.sval ?? '');
}

/** A list of String nodes (a qualified name) as strings. */
export function strings(nodes: readonly Wrapped[] | undefined): string[] {
  const found: string[] = [];
  for (const node of nodes ?? []) {
    const value = text(node);
    if (value !== undefined) found.push(value);
  }
  return found;
}

/** The items of a List node; a node that is no list is a list of one. */
export function items(node: Wrapped | undefined): readonly Wrapped[] {
  if (node === undefined) return [];
  const list = as<{ items?: Wrapped[] }>(node, 'List');
  return list === undefined ? [node] : (list.items ?? []);
}

interface Constant {
  isnull?: boolean;
  ival?: { ival?: number };
  fval?: { fval?: string };
  boolval?: { boolval?: boolean };
  sval?: { sval?: string };
  bsval?: { bsval?: string };
}

/** The value of a constant as text, null for NULL; undefined where the node is no constant. Casts are looked through. */
export function constant(node: Wrapped | undefined): string | null | undefined {
  if (node === undefined) return undefined;
  const cast = as<{ arg?: Wrapped }>(node, 'TypeCast');
  if (cast !== undefined) return constant(cast.arg);
  const body = as<Constant>(node, 'A_Const');
  if (body === undefined) return undefined;
  if (body.isnull) return null;
  if (body.sval) return body.sval.sval ?? '';
  if (body.ival) return String(body.ival.ival ?? 0);
  if (body.fval) return body.fval.fval ?? '0';
  if (body.boolval) return body.boolval.boolval ? 'true' : 'false';
  if (body.bsval) return body.bsval.bsval ?? '';
  return undefined;
}

/** An integer constant; undefined for anything else. */
export function integer(node: Wrapped | undefined): number | undefined {
  const body = as<Constant>(node, 'A_Const');
  return body?.ival === undefined ? undefined : (body.ival.ival ?? 0);
}

/**
 * Calls `visit` for every object of the tree, outermost first; where it answers false, what is below is left out. The
 * insides of constants are: whoever looks at one binds what it finds to that value (see literals.ts).
 */
export function walk(tree: unknown, visit: (value: Record<string, unknown>) => boolean | undefined): void {
  if (Array.isArray(tree)) {
    for (const item of tree) walk(item, visit);
  } else if (tree !== null && typeof tree === 'object') {
    const value = tree as Record<string, unknown>;
    if (visit(value) === false) return;
    for (const key in value) {
      const child = value[key];
      if (child !== null && typeof child === 'object' && key !== 'A_Const') walk(child, visit);
    }
  }
}

/** Two trees without their locations. Only a constant that stands opposite another one is looked at. */
export function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = partsOf(a);
  return keys.length === partsOf(b).length && keys.every((key) => key in b && same(partOf(a, key), partOf(b, key)));
}

const partOf = (tree: object, key: string): unknown => (tree as Record<string, unknown>)[key];
const partsOf = (tree: object): string[] =>
  Object.keys(tree).filter((key) => key !== 'location' && partOf(tree, key) !== undefined);
