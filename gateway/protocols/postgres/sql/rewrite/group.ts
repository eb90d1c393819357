import type { ColumnRef, FuncCall, RangeVar, ResTarget, SelectStmt } from 'libpg-query';
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

/** The relations that a query's FROM names itself. */
function rangesOf(query: SelectStmt): RangeVar[] {
  const found: RangeVar[] = [];
  const visit = (node: Wrapped | undefined): void => {
    if (node === undefined) return;
    const { kind, body } = open(node);
    if (kind === 'RangeVar') found.push(body);
    else if (kind === 'JoinExpr') {
      visit((body as { larg?: Wrapped }).larg);
      visit((body as { rarg?: Wrapped }).rarg);
    } else if (kind === 'RangeTableSample') visit((body as { relation?: Wrapped }).relation);
  };
  query.fromClause?.forEach(visit);
  return found;
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
      if (value.FuncCall !== undefined && this.#isAggregate(value.FuncCall as FuncCall)) return false;
      if (value.JsonObjectAgg !== undefined || value.JsonArrayAgg !== undefined) return false;
      const name = value.ColumnRef === undefined ? undefined : this.#column(value as unknown as Wrapped);
      if (name !== undefined) found.add(name);
      const star = value.ResTarget === undefined ? undefined : this.#seen.stars.get(value.ResTarget as ResTarget);
      if (star?.sources.some(({ range }) => range === this.#range) === true)
        for (const column of this.#columns) found.add(column);
      return true;
    });
    return found;
  }

  #isAggregate(call: FuncCall): boolean {
    if (call.over !== undefined) return false;
    const { schema, name } = split(strings(call.funcname));
    return this.#names.functions(schema, name).some(({ kind }) => kind === 'a');
  }
}
