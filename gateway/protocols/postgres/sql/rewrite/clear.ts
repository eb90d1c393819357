import type { ColumnRef, JoinExpr, RangeVar, RawStmt, SelectStmt } from 'libpg-query';
import type { RewriteRefusal } from '../../enforcing/rewriting.js';
import { as, walk, type Wrapped } from '../ast.js';
import type { Relation } from '../catalog.js';
import { qualified } from '../facts.js';
import { quoteName } from '../masks/write.js';
import type { Names } from '../names.js';
import { columnOf, type Origin, type Source } from '../scope.js';
import { type Expected, targets } from './expected.js';
import { grouping, namesOfList, type Grouped } from './group.js';
import { Handing, type Handed } from './handing.js';
import { Joins, type Cell } from './joins.js';
import type { ColumnUse, Occurrences } from './occurrences.js';
import { hasOutput, type Rule, type Rules } from './rules.js';
import type { Splice } from './splice.js';
import { notHere } from './touched.js';

/**
 * Masks of scope `output`: conditions read the value, everything else reads the mask. So a relation is read through its masks, as
 * under scope `source`, and hands on the value beside the mask, under a name of the gateway's own, where a condition asks for it;
 * a query in FROM or WITH through which a condition looks hands it on likewise. Nothing but a condition refers to these names.
 */

/** Fields of the tree that are conditions, with all that is in them. */
const conditions: ReadonlySet<string> = new Set([
  'whereClause',
  'havingClause',
  'quals',
  'joinCondition',
  'condition',
  'agg_filter',
]);

/** What nothing in a client's text may be called. */
const ownName = /^sallyport\.\d+$/;
const nameOf = (number: number): string => `sallyport.${String(number)}`;

export interface Parts {
  readonly raw: RawStmt;
  readonly seen: Occurrences;
  readonly all: ReadonlyMap<RangeVar, Rules>;
  readonly names: Names;
  readonly splice: Splice;
  /** Whether a column of a view that is read through its own query is made of what is masked on the way out. */
  readonly isWithin: (relation: Relation, column: string) => boolean;
}

export class Clear {
  /** References that are replaced, by what; undefined for those that see the value as they are. */
  readonly references = new Map<ColumnRef, string | undefined>();
  /** A condition reads the value of something that is masked on the way out. */
  isAny: boolean;
  readonly #parts: Parts;
  readonly #joins: Joins;
  readonly #handing: Handing;
  /** All nodes in conditions. */
  readonly #inside = new Set<object>();
  /** Lists of EXISTS, of which nothing is read. */
  readonly #unread = new Set<object>();
  readonly #masked: ReadonlySet<Origin>;
  /** Values beside masks: by the relation as it is read, and by the query. */
  readonly #beside = new Map<RangeVar, Map<string, string>>();
  readonly #handed = new Map<SelectStmt | JoinExpr, Map<number, Handed>>();
  /** The queries that group, by references of theirs that see groups. */
  readonly #grouped: ReadonlyMap<ColumnRef, readonly Grouped[]>;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { raw, seen, names, splice } = parts;
    this.#masked = maskedOnTheWayOut(parts);
    walk(raw.stmt, (value) => {
      for (const key in value) if (conditions.has(key)) this.#gather(value[key], this.#inside);
      const { subLinkType, subselect } = value;
      if (subLinkType === 'EXISTS_SUBLINK')
        this.#gather(as<SelectStmt>(subselect as Wrapped, 'SelectStmt')?.targetList, this.#unread);
      return true;
    });
    this.isAny = [...parts.all].some(([range, { masked }]) => this.#inside.has(range) && hasOutput(masked));
    this.#grouped = grouping(raw.stmt, names);
    this.#joins = new Joins(raw, seen, splice, {
      isVeiled: (source, name) => this.#isVeiled(source, name),
      cell: (source, name, isClear) => this.#text(source, name, isClear),
    });
    this.#handing = new Handing(parts, this.#joins, (use) => this.#clearText(use));
    this.#joins.prepare();
    const listed = namesOfList(raw.stmt);
    for (const use of seen.columns.values()) if (!listed.has(use.ref)) this.#column(use);
    for (const { ref, source } of seen.rows.values()) {
      if (!this.#inside.has(ref)) continue;
      for (const { name } of source.columns) this.#text(source, name, true);
      this.#checkCertain(source.alias ?? '', source.open ? source.pool : []);
    }
    for (const [item, { sources }] of seen.stars)
      if (this.#inside.has(item) && !this.#unread.has(item))
        for (const source of sources) for (const { name } of source.columns) this.#text(source, name, true);
    if (this.#beside.size > 0 || this.#handed.size > 0) this.#checkNames(raw);
  }

  #gather(tree: unknown, into: Set<object>): void {
    walk(tree, (value) => {
      if (into.has(value)) return false;
      into.add(value);
      return true;
    });
  }

  /** What is put where relations are read. */
  put(): ReadonlyMap<RangeVar, Rules> {
    const { all } = this.#parts;
    return new Map(
      [...all].map(([range, rules]) => [range, this.#inside.has(range) ? ofScope(rules, 'source') : rules]),
    );
  }

  /** Columns of a relation whose values are handed on beside their masks, and as what. */
  beside(range: RangeVar): ReadonlyMap<string, string> {
    return this.#beside.get(range) ?? none;
  }

  isInside(node: object): boolean {
    return this.#inside.has(node) && !this.#unread.has(node);
  }

  /** There are columns beside those that the source is known to have. */
  isWider({ range, query, join }: Source): boolean {
    const by = query ?? join;
    return (range !== undefined && this.#beside.has(range)) || (by !== undefined && this.#handed.has(by));
  }

  /** A column of a source as a condition reads it; undefined where it stands for itself. */
  value(source: Source, name: string): string | undefined {
    return this.#isVeiled(source, name) ? this.#text(source, name, true) : undefined;
  }

  /** All columns of what `*` stands for, where some are merged. */
  star(sources: readonly Source[], isClear: boolean): readonly Cell[] | undefined {
    return this.#joins.star(sources, isClear);
  }

  /** Puts into queries what they hand on beside their lists, and conditions in place of USING. */
  write(expected: Expected): void {
    const { splice } = this.#parts;
    this.#joins.write(expected);
    const named = (by: SelectStmt | JoinExpr): readonly string[] =>
      [...(this.#handed.get(by)?.values() ?? [])]
        .sort((a, b) => a.index - b.index)
        .map(({ text, name }) => `${text} AS ${quoteName(name)}`);
    this.#joins.writeNamed(expected, (source) => this.isWider(source), named);
    for (const query of this.#handed.keys()) {
      if (isJoin(query) || (query.op !== undefined && query.op !== 'SETOP_NONE')) continue;
      const texts = named(query);
      splice.append(this.#handing.endOf(query), `, ${texts.join(', ')}`);
      expected.change(query, (copy) => void (copy.targetList = [...(copy.targetList as Wrapped[]), ...targets(texts)]));
    }
  }

  /** Not the value, but its mask, is what stands there. */
  #isVeiled(source: Source, name: string): boolean {
    const { seen } = this.#parts;
    const { range, query, join } = source;
    if (range !== undefined && seen.reads.has(range) && this.#inside.has(range)) return this.#isWithin(source, name);
    const by = query ?? join;
    if (by !== undefined && this.#inside.has(by)) return false;
    const value = columnOf(source, name);
    return (value?.origins ?? (source.open ? source.pool : [])).some((origin) => this.#masked.has(origin));
  }

  #column(use: ColumnUse): void {
    const { ref, sources, name } = use;
    const isInside = this.#inside.has(ref);
    if (isInside) this.#checkCertain(name, use.origins);
    if (sources.length > 1 && this.#joins.isMerged(sources, name)) {
      if (!use.isCertain || use.isShadowed) throw this.#uncertain(name);
      if (isInside) this.#checkGroups(ref, sources, name);
      this.references.set(ref, this.#joins.merged(sources, name, isInside));
      return;
    }
    if (!isInside) return;
    const { range } = sources[0] ?? {};
    if (!sources.some((source) => this.#isVeiled(source, name))) return;
    this.isAny = true;
    if (range !== undefined && this.#parts.seen.targets.has(range)) this.references.set(ref, undefined);
    else this.references.set(ref, this.#clearText(use));
  }

  /** Throws RewriteRefusal. @param origins What a name may stand for. */
  #checkCertain(name: string, origins: readonly Origin[]): void {
    if (origins.some((origin) => this.#masked.has(origin)))
      throw notHere(
        name,
        'it may be what a function in FROM makes of such a column. Put the condition where its table is read',
      );
  }

  /** What stands in place of a reference that sees the value; undefined where it stays. */
  #clearText({ ref, sources, name, isCertain, isShadowed }: ColumnUse): string | undefined {
    const [source, other] = sources;
    if (source === undefined || !sources.some((each) => this.#isVeiled(each, name))) return undefined;
    if (!isCertain || isShadowed) throw this.#uncertain(name);
    if (other !== undefined && this.#joins.isMerged(sources, name)) return this.#joins.merged(sources, name, true);
    if (other !== undefined) throw this.#uncertain(name);
    this.#checkGroups(ref, sources, name);
    return this.#text(source, name, true);
  }

  #uncertain(name: string): RewriteRefusal {
    return notHere(
      name,
      'whose column that is, is not certain. Give each table a name of its own, and put that in front',
    );
  }

  /** A column of a source, in clear where it is asked for so. */
  #text(source: Source, name: string, isClear: boolean): string | undefined {
    const plain = source.alias === undefined ? undefined : `${quoteName(source.alias)}.${quoteName(name)}`;
    if (!isClear || !this.#isVeiled(source, name)) return plain;
    this.isAny = true;
    const { range, relation, query, join } = source;
    if (range !== undefined && this.#parts.seen.targets.has(range)) return plain;
    const hidden =
      range !== undefined && relation !== undefined
        ? this.#ofRelation(range, source, name)
        : query === undefined
          ? join && this.#ofJoin(join, source, name)
          : this.#hand(query, this.#indexOf(source, name));
    if (hidden === undefined || source.alias === undefined)
      throw notHere(
        name,
        'it is what a function, VALUES, or a WITH that recurs or writes makes of such a column. Put the condition where its table is read',
      );
    return hidden === '' ? plain : `${quoteName(source.alias)}.${quoteName(hidden)}`;
  }

  #ofRelation(range: RangeVar, source: Source, name: string): string {
    const { all } = this.#parts;
    const rules = all.get(range);
    const index = source.columns.findIndex((column) => column.name === name);
    const column = rules?.relation.columns[index];
    const label = `${qualified(source.relation!)}.${column?.name ?? name}`;
    if (this.#isWithin(source, name))
      throw notHere(label, 'its view is read through a query of its own. Read the tables below it');
    if (column === undefined || rules?.masked.get(column.name)?.scope !== 'output') return '';
    const own = nameOf(column.number);
    const beside = this.#beside.get(range) ?? new Map<string, string>();
    this.#beside.set(range, beside.set(column.name, own));
    return own;
  }

  #isWithin({ range, relation, columns }: Source, name: string): boolean {
    const rules = range === undefined ? undefined : this.#parts.all.get(range);
    if (rules?.query === undefined || relation === undefined) return false;
    const column = relation.columns[columns.findIndex((each) => each.name === name)];
    return column !== undefined && this.#parts.isWithin(relation, column.name);
  }

  #indexOf({ columns, open: isOpen }: Source, name: string): number {
    if (columns.filter((column) => column.name === name).length !== 1 || isOpen)
      throw notHere(name, 'which column of the query that is, is not certain. Give each a name of its own');
    return columns.findIndex((column) => column.name === name);
  }

  #ofJoin(join: JoinExpr, source: Source, name: string): string {
    const index = this.#indexOf(source, name);
    const own = nameOf(index + 1);
    const handed = this.#handed.get(join) ?? new Map<number, Handed>();
    if (handed.has(index)) return own;
    const text = this.#joins.cells(join, true)?.[index]?.text();
    if (text === undefined)
      throw notHere(name, 'a join with a name has what a function in FROM makes. Leave the name out');
    this.#handed.set(join, handed.set(index, { index, name: own, text }));
    return own;
  }

  #hand(query: SelectStmt, index: number): string {
    const name = nameOf(index + 1);
    const handed = this.#handed.get(query) ?? new Map<number, Handed>();
    if (handed.has(index)) return name;
    this.#handed.set(query, handed);
    if (query.op === undefined || query.op === 'SETOP_NONE')
      handed.set(index, { index, name, ...this.#handing.item(query, index) });
    else {
      if (query.op !== 'SETOP_UNION' || query.all !== true || query.larg === undefined || query.rarg === undefined)
        throw notHere(
          'a column',
          'UNION, INTERSECT and EXCEPT compare masks. Say UNION ALL, or put the condition into each of their queries',
        );
      handed.set(index, { index, name, text: '' });
      this.#hand(query.larg, index);
      this.#hand(query.rarg, index);
    }
    return name;
  }

  #checkGroups(ref: ColumnRef, sources: readonly Source[], name: string): void {
    const groups = (this.#grouped.get(ref) ?? []).filter(({ query }) => !this.#inside.has(query));
    if (groups.some(({ items }) => sources.some(({ item }) => item !== undefined && items.has(item))))
      throw notHere(
        name,
        'GROUP BY makes groups of masks. Put the condition into WHERE, or into FILTER of an aggregate',
      );
  }

  /** Nothing may reach what is handed on by another road. Throws RewriteRefusal. */
  #checkNames(raw: RawStmt): void {
    walk(raw.stmt, (value) => {
      for (const key in value)
        if (typeof value[key] === 'string' && ownName.test(value[key]))
          throw notHere('a column', `${value[key]} is a name of the gateway's own. Use another`);
      return true;
    });
  }
}

const isJoin = (by: SelectStmt | JoinExpr): by is JoinExpr => 'jointype' in by;

const none: ReadonlyMap<string, string> = new Map();

const ofScope = (rules: Rules, scope: Rule['scope']): Rules => ({
  ...rules,
  masked: new Map([...rules.masked].filter(([, rule]) => rule.scope === scope)),
});

/** The names of all columns that conditions see and nothing else does, those of views among them. */
function maskedOnTheWayOut({ seen, all, isWithin }: Parts): ReadonlySet<Origin> {
  const found = new Set<Origin>();
  for (const [range, source] of [...seen.reads, ...seen.targets]) {
    const rules = all.get(range);
    if (rules === undefined) continue;
    for (const [index, { origins }] of source.columns.entries()) {
      const column = rules.relation.columns[index];
      if (column === undefined) continue;
      const isMasked =
        rules.masked.get(column.name)?.scope === 'output' ||
        (rules.query !== undefined && isWithin(rules.relation, column.name));
      if (isMasked) for (const origin of origins) found.add(origin);
    }
  }
  return found;
}
