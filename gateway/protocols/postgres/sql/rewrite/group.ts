import type { ColumnRef, FuncCall, JoinExpr, RangeVar, ResTarget, SelectStmt, SortBy } from 'libpg-query';
import { as, integer, open, strings, walk, type Wrapped } from '../ast.js';
import { quoteName } from '../masks/write.js';
import type { Names } from '../names.js';
import { split } from '../names.js';
import { expressionTree, type Expected } from './expected.js';
import type { Occurrences } from './occurrences.js';
import type { Rules } from './rules.js';
import type { Splice } from './splice.js';
import { aliasOf } from './wrap.js';

/**
 * GROUP BY a primary key lets a list name the row's other columns. A query in FROM has no key: the columns that are named are
 * added to GROUP BY, which groups as before, since the key decides them.
 */
export function groups(
  statement: Wrapped,
  rules: ReadonlyMap<RangeVar, Rules>,
  seen: Occurrences,
  names: Names,
  splice: Splice,
  expected: Expected,
): void {
  const wrappedRanges = [...rules].filter(([range]) => seen.reads.has(range));
  if (wrappedRanges.every(([, { relation }]) => relation.primaryKey.length === 0)) return;
  walk(statement, (value) => {
    const query = value.SelectStmt as SelectStmt | undefined;
    if (query?.groupClause === undefined) return true;
    const ranges = new Set(rangesOf(query));
    for (const [range, { relation }] of wrappedRanges)
      if (ranges.has(range) && relation.primaryKey.length > 0)
        new Grouping(
          query,
          range,
          relation.columns.map(({ name }) => name),
          seen,
          names,
        ).add(relation.primaryKey, splice, expected);
    return true;
  });
}

/** What an item of FROM joins: names, sub-queries, functions. */
export function leavesOf(node: Wrapped): readonly Wrapped[] {
  const { kind, body } = open(node);
  const { larg, rarg } = body as { larg?: Wrapped; rarg?: Wrapped };
  if (kind === 'JoinExpr') return [larg, rarg].flatMap((side) => (side === undefined ? [] : leavesOf(side)));
  const { relation } = body as { relation?: Wrapped };
  return kind === 'RangeTableSample' && relation !== undefined ? leavesOf(relation) : [node];
}

/** The nodes of FROM that bring columns: what is joined, and joins, which may have a name. */
const itemsOf = (node: Wrapped): readonly object[] => {
  const join = as<JoinExpr>(node, 'JoinExpr');
  const sides = [join?.larg, join?.rarg].flatMap((side) => (side === undefined ? [] : itemsOf(side)));
  return join === undefined ? leavesOf(node).map((leaf) => open(leaf).body) : [join, ...sides];
};

/** The relations that a query's FROM names itself. */
const rangesOf = (query: SelectStmt): RangeVar[] =>
  (query.fromClause ?? []).flatMap(leavesOf).flatMap((leaf) => as<RangeVar>(leaf, 'RangeVar') ?? []);

/** A query that groups, and what it reads. */
export interface Grouped {
  readonly query: object;
  readonly items: ReadonlySet<object>;
}

/** The queries whose groups references see: outside aggregates, in sub-queries as well. */
export function grouping(statement: unknown, names: Names): ReadonlyMap<ColumnRef, readonly Grouped[]> {
  const found = new Map<ColumnRef, Grouped[]>();
  walk(statement, (query) => {
    const { groupClause, fromClause, targetList, havingClause, sortClause, windowClause } = query as SelectStmt;
    if (groupClause === undefined) return true;
    const items = new Set((fromClause ?? []).flatMap(itemsOf));
    walk([targetList, havingClause, sortClause, windowClause], (part) => {
      if (isAggregating(part, names)) return false;
      const ref = part.ColumnRef as ColumnRef | undefined;
      if (ref !== undefined) found.set(ref, [...(found.get(ref) ?? []), { query, items }]);
      return true;
    });
    return true;
  });
  return found;
}

/** Items of ORDER BY and DISTINCT ON that are names of the list, before they are any column's. */
export function namesOfList(statement: unknown): ReadonlySet<ColumnRef> {
  const found = new Set<ColumnRef>();
  walk(statement, (value) => {
    const { sortClause = [], distinctClause = [], targetList } = value as SelectStmt;
    for (const node of [...sortClause, ...distinctClause]) {
      const ref = as<ColumnRef>(as<SortBy>(node, 'SortBy')?.node ?? node, 'ColumnRef');
      if (ref?.fields?.length !== 1) continue;
      const [name] = strings(ref.fields);
      const isNamed = (target: ResTarget | undefined): boolean =>
        (target?.name ?? strings(as<ColumnRef>(target?.val, 'ColumnRef')?.fields).at(-1)) === name;
      if (targetList?.some((target) => isNamed(as<ResTarget>(target, 'ResTarget'))) === true) found.add(ref);
    }
    return true;
  });
  return found;
}

function isAggregating(
  { FuncCall: call, JsonObjectAgg, JsonArrayAgg }: Record<string, unknown>,
  names: Names,
): boolean {
  if (JsonObjectAgg !== undefined || JsonArrayAgg !== undefined) return true;
  return call !== undefined && isAggregate(call as FuncCall, names);
}

export function isAggregate(call: FuncCall, names: Names): boolean {
  if (call.over !== undefined) return false;
  const { schema, name } = split(strings(call.funcname));
  return names.functions(schema, name).some(({ kind }) => kind === 'a');
}

class Grouping {
  readonly #query: SelectStmt;
  readonly #range: RangeVar;
  readonly #columns: readonly string[];
  readonly #seen: Occurrences;
  readonly #names: Names;

  constructor(query: SelectStmt, range: RangeVar, columns: readonly string[], seen: Occurrences, names: Names) {
    this.#query = query;
    this.#range = range;
    this.#columns = columns;
    this.#seen = seen;
    this.#names = names;
  }

  add(key: readonly string[], splice: Splice, expected: Expected): void {
    const items = this.#query.groupClause ?? [];
    if (items.some((item) => as(item, 'GroupingSet') !== undefined)) return;
    const grouped = new Set(items.flatMap((item) => this.#nameOf(item) ?? []));
    if (!key.every((name) => grouped.has(name))) return;
    const wanted = [...this.#named()].filter((name) => !grouped.has(name));
    const place = items.findIndex((item) => this.#nameOf(item) !== undefined);
    const body =
      as<{ location?: number }>(items[place], 'ColumnRef') ?? as<{ location?: number }>(items[place], 'A_Const');
    if (wanted.length === 0 || body === undefined) return;
    const alias = quoteName(aliasOf(this.#range));
    const texts = wanted.map((name) => `${alias}.${quoteName(name)}`);
    splice.insert(body.location ?? 0, `${texts.join(', ')}, `);
    expected.change(this.#query, (copy) => {
      const list = [...(copy.groupClause as Wrapped[])];
      list.splice(place, 0, ...texts.map((text) => expressionTree(text)));
      copy.groupClause = list;
    });
  }

  /** The column of the relation that a node is. */
  #column(node: Wrapped | undefined): string | undefined {
    const ref = as<ColumnRef>(node, 'ColumnRef');
    const use = ref === undefined ? undefined : this.#seen.columns.get(ref);
    const [source] = use?.sources ?? [];
    return use?.isCertain === true && use.sources.length === 1 && source?.range === this.#range ? use.name : undefined;
  }

  /** The column that an item of GROUP BY is, by name or by its position in the list. */
  #nameOf(item: Wrapped): string | undefined {
    const position = integer(item);
    if (position === undefined) return this.#column(item);
    const targets = (this.#query.targetList ?? []).map((node) => as<ResTarget>(node, 'ResTarget'));
    if (targets.some((target) => target !== undefined && this.#seen.stars.has(target))) return undefined;
    return this.#column(targets[position - 1]?.val);
  }

  /** Columns that are named outside aggregates. */
  #named(): ReadonlySet<string> {
    const found = new Set<string>();
    const { targetList, havingClause, sortClause } = this.#query;
    walk([targetList, havingClause, sortClause], (value) => {
      if (isAggregating(value, this.#names)) return false;
      const name = value.ColumnRef === undefined ? undefined : this.#column(value as unknown as Wrapped);
      if (name !== undefined) found.add(name);
      const star = value.ResTarget === undefined ? undefined : this.#seen.stars.get(value.ResTarget as ResTarget);
      if (star?.sources.some(({ range }) => range === this.#range) === true)
        for (const column of this.#columns) found.add(column);
      return true;
    });
    return found;
  }
}
