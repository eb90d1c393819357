import type { Use } from '#engine';
import type { SelectStmt } from 'libpg-query';
import { StatementError } from '../judging/statement.js';
import { as } from './ast.js';
import type { Definition, Named, Relation, Wanted } from './catalog.js';
import { contextOf } from './context.js';
import { Facts, qualified } from './facts.js';
import { wantedOf, type Names } from './names.js';
import { parse, type Parsed } from './parse.js';
import type { Derived, Origin } from './scope.js';

/**
 * What views do with the columns below them, out of their definitions: the same analysis as of what a client sends, with the
 * names of the same session.
 */

/** A column below a view, and the view whose query names it. */
export interface Through {
  /** "schema.relation.column" */
  readonly name: Origin;
  readonly via: string;
}

export interface ViewColumn {
  /** Whose very value it is, through views on views down to a table: all names of these columns, those of parents and children among them. */
  readonly copies: readonly Through[];
  /** What else it is made of. */
  readonly derived: readonly Through[];
}

export interface ViewUse extends Through {
  readonly use: Use;
}

/** What masks of scope output let see the clear value; an order, a group, a number of rows come out as what is selected does. */
export const isCondition = (use: Use): boolean => use === 'predicate' || use === 'join';

export interface ViewLineage {
  readonly definition: Definition;
  /** By name, in the view's order. */
  readonly columns: ReadonlyMap<string, ViewColumn>;
  /** What its query, and those of the views below, read for something else than their outputs: to filter, join, group, order, … */
  readonly uses: readonly ViewUse[];
  /** The view itself, and the views below whose lineage is known. What is reached by way of others is in `uses` as a whole. */
  readonly views: ReadonlySet<string>;
  /** It asks for a setting that its query does not name. */
  readonly readsAnySetting: boolean;
}

/** Views over views. */
export const depth_max = 32;

/** The names in a view's query; none where the gateway's grammar does not read it. */
export function namesIn(definition: Definition): readonly Wanted[] {
  const parsed = parsedOf(definition);
  return parsed === undefined ? [] : wantedOf(parsed);
}

function parsedOf(definition: Definition): Parsed | undefined {
  try {
    return parse(definition.text);
  } catch (error) {
    if (error instanceof StatementError) return undefined;
    throw error;
  }
}

/** All relations that a view's query names, and those of the views among them. */
export function relationsBelow(relation: Relation, names: Names): readonly Relation[] {
  const found = new Map<number, Relation>();
  const queue = [relation];
  for (const { definition } of queue) {
    for (const wanted of definition === undefined ? [] : namesIn(definition)) {
      const below = wanted.kind === 'relation' ? (names.named(wanted)?.value as Relation | undefined) : undefined;
      if (below === undefined || found.has(below.oid)) continue;
      found.set(below.oid, below);
      queue.push(below);
    }
  }
  return [...found.values()];
}

interface Memo {
  readonly definition: Definition;
  /** What its names meant. */
  readonly named: readonly (readonly [Wanted, Named | undefined])[];
  readonly below: readonly (readonly [Relation, ViewLineage | undefined])[];
  readonly lineage: ViewLineage | undefined;
}

const memos = new WeakMap<Relation, Memo>();
/** What was looked up with one set of answers needs no second look. */
const looked = new WeakMap<Names, Map<Relation, ViewLineage | undefined>>();

/** Undefined for what is no view, and where the gateway is not certain of what the view does. */
export function viewLineage(relation: Relation, names: Names, depth = 0): ViewLineage | undefined {
  const { definition } = relation;
  if (definition === undefined || depth > depth_max) return undefined;
  const known = looked.get(names) ?? new Map<Relation, ViewLineage | undefined>();
  looked.set(names, known);
  if (known.has(relation)) return known.get(relation);
  let memo = memos.get(relation);
  if (memo === undefined || !holds(memo, names, depth)) {
    memo = analyse(relation, definition, names, depth);
    memos.set(relation, memo);
  }
  known.set(relation, memo.lineage);
  return memo.lineage;
}

function holds(memo: Memo, names: Names, depth: number): boolean {
  return (
    memo.named.every(([wanted, named]) => names.named(wanted) === named) &&
    memo.below.every(([view, lineage]) => viewLineage(view, names, depth + 1) === lineage)
  );
}

function analyse(view: Relation, definition: Definition, names: Names, depth: number): Memo {
  const below = new Map<Relation, ViewLineage | undefined>();
  const lineage = (): ViewLineage | undefined => {
    const [raw, more] = parsedOf(definition)?.statements ?? [];
    const query = as<SelectStmt>(raw?.stmt, 'SelectStmt');
    if (query === undefined || more !== undefined) return undefined;
    const facts = new Facts((relation) => {
      const found = viewLineage(relation, names, depth + 1);
      if (relation.definition !== undefined) below.set(relation, found);
      return found;
    });
    const rows = contextOf(facts, names).select(query, undefined, 'flow');
    if (!facts.isResolved || rows.open || rows.columns.length !== view.columns.length) return undefined;
    return told(view, definition, facts, rows, [...below]);
  };
  const made = lineage();
  return {
    definition,
    named: namesIn(definition).map((wanted) => [wanted, names.named(wanted)] as const),
    below: [...below],
    lineage: made,
  };
}

/** The column's own name: those of parents and children share it, what a column is computed from does not. */
const lastOf = (origin: Origin): string => origin.slice(origin.lastIndexOf('.') + 1);

function told(
  view: Relation,
  definition: Definition,
  facts: Facts,
  rows: Derived,
  below: readonly (readonly [Relation, ViewLineage | undefined])[],
): ViewLineage {
  const via = qualified(view);
  const inner = new Map<string, ViewColumn>();
  const views = new Set([via]);
  for (const [relation, lineage] of below) {
    for (const name of lineage?.views ?? []) views.add(name);
    for (const [name, column] of lineage?.columns ?? []) inner.set(`${qualified(relation)}.${name}`, column);
  }
  const columns = new Map<string, ViewColumn>();
  for (const [index, column] of view.columns.entries()) {
    const value = rows.columns[index];
    const copies = new Map<string, Through>();
    const derived = new Map<string, Through>();
    const add = (to: Map<string, Through>, through: Through): void =>
      void to.set(`${through.name}\0${through.via}`, through);
    for (const name of value?.origins ?? []) {
      const isCopy = value?.copyOf !== undefined && lastOf(name) === lastOf(value.copyOf);
      add(isCopy ? copies : derived, { name, via });
      const beneath = inner.get(name);
      for (const through of beneath?.copies ?? []) add(isCopy ? copies : derived, through);
      for (const through of beneath?.derived ?? []) add(derived, through);
    }
    columns.set(column.name, { copies: [...copies.values()], derived: [...derived.values()] });
  }
  const uses = facts.columns
    .filter(({ access }) => access === 'read')
    .map(({ name, use, via: by }) => ({ name, use, via: by ?? via }));
  const readsAnySetting = facts.readsAnySetting || below.some(([, lineage]) => lineage?.readsAnySetting === true);
  return { definition, columns, uses, views, readsAnySetting };
}
