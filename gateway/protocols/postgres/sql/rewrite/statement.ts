import type { ColumnRef, CopyStmt, MergeStmt, RangeVar, RawStmt, ResTarget } from 'libpg-query';
import { RewriteRefusal } from '../../enforcing/rewriting.js';
import { as, strings, type Wrapped } from '../ast.js';
import type { CatalogColumn } from '../catalog.js';
import { qualified } from '../facts.js';
import { quoteName } from '../masks/write.js';
import { systemColumns, type Source } from '../scope.js';
import type { Clear } from './clear.js';
import { before, beforeTree } from './conditions.js';
import { type Expected, expressionTree, fromItem, queryTree, targets } from './expected.js';
import { filterMerge, inserts, joinsFully } from './merge.js';
import type { ColumnUse, Occurrences, RowUse, StarUse } from './occurrences.js';
import { conditionOf, isMadeOfValue, maskedValue, type Rule, type Rules } from './rules.js';
import { Shape, type Write } from './shape.js';
import { unclear, type Splice } from './splice.js';
import { looksAtCatalog } from './unchanged.js';
import { aliasOf, relationName, wrapped } from './wrap.js';

/** One statement of a text: what is put in place of which of its parts. */

const refuse = (message: string): RewriteRefusal => new RewriteRefusal('mask_unenforceable', message);

export class StatementRewriting {
  readonly #raw: RawStmt;
  readonly #splice: Splice;
  readonly #expected: Expected;
  readonly #seen: Occurrences;
  readonly #rules: ReadonlyMap<RangeVar, Rules>;
  readonly #shape: Shape;
  /** What conditions see under masks of scope `output`. */
  readonly #clear: Clear | undefined;
  /** Of targets that have no place for a condition: what they hand out looks whether they have changed. */
  readonly #unguarded = new Set<Rules>();
  /** System columns that are referred to, by the relation. */
  readonly #system = new Map<RangeVar, Set<string>>();

  constructor(
    raw: RawStmt,
    splice: Splice,
    expected: Expected,
    seen: Occurrences,
    rules: ReadonlyMap<RangeVar, Rules>,
    clear?: Clear,
  ) {
    this.#raw = raw;
    this.#splice = splice;
    this.#expected = expected;
    this.#seen = seen;
    this.#rules = rules;
    this.#clear = clear;
    this.#shape = new Shape(raw.stmt ?? ({} as Wrapped));
  }

  run(): void {
    const statement = this.#raw.stmt;
    if (statement === undefined) return;
    for (const use of this.#seen.columns.values()) this.#noteSystem(use);
    if (this.#shape.hasNatural && this.#system.size > 1)
      throw refuse('NATURAL would compare the system columns that the statement names; say ON');
    for (const [range, source] of this.#seen.reads) this.#read(range, source);
    const copy = as<CopyStmt>(statement, 'CopyStmt');
    for (const [range, source] of this.#seen.targets) {
      const rules = this.#rules.get(range);
      if (rules === undefined) continue;
      if (copy?.relation === range) this.#copy(copy, source, rules);
      else this.#write(range, rules);
    }
    for (const use of this.#seen.columns.values()) this.#column(use);
    for (const use of this.#seen.rows.values()) this.#row(use);
    for (const [item, use] of this.#seen.stars) this.#star(item, use);
    this.#clear?.write(this.#expected);
  }

  #isTarget(source: Source): boolean {
    return source.range !== undefined && this.#seen.targets.has(source.range);
  }

  /** What references to it show; undefined where it is masked where it is read. */
  #shownOf(source: Source): Rules | undefined {
    if (source.range === undefined) return undefined;
    return this.#isTarget(source) ? this.#rules.get(source.range) : undefined;
  }

  /** The rules of a source, where there are any. */
  #rulesOf(source: Source): Rules | undefined {
    return source.range === undefined ? undefined : this.#rules.get(source.range);
  }

  #noteSystem({ sources, name }: ColumnUse): void {
    if (!systemColumns.has(name)) return;
    for (const { range, relation } of sources) {
      if (range === undefined || relation === undefined || relation.columns.some((column) => column.name === name))
        continue;
      this.#system.set(range, (this.#system.get(range) ?? new Set()).add(name));
    }
  }

  // ── what is read ───────────────────────────────────────────────────────────────────────────────────────────────────

  #read(range: RangeVar, source: Source): void {
    const rules = this.#rules.get(range);
    if (rules === undefined) return;
    const splice = this.#splice;
    const first = splice.indexAt(range.location ?? 0);
    const last = splice.lastOfName(first, namesIn(range));
    let [from, to] = [first, last];
    if (range.inh === true) {
      if (splice.word(last + 1) === '*') to = last + 1;
    } else if (splice.word(first - 1) === '(') [from, to] = [first - 2, last + 1];
    else from = first - 1;
    // TABLE t is SELECT * FROM t.
    const isTable = splice.word(from - 1) === 'table';
    const sample = this.#sample(range, to);
    const alias = aliasOf(range);
    const query = wrapped({
      rules,
      alias,
      system: this.#system.get(range) ?? none,
      beside: this.#clear?.beside(range) ?? new Map<string, string>(),
      only: source.only === true && tables.has(rules.relation.kind),
      sample: sample?.text,
      isBarrier: rules.filters.length > 0 && this.#shape.mayTell,
    });
    const named = range.alias === undefined ? ` AS ${quoteName(alias)}` : '';
    splice.replace(
      splice.startOf(isTable ? from - 1 : from),
      splice.endOf(to),
      `${isTable ? 'SELECT * FROM ' : ''}${query}${named}`,
    );
    const columns = strings(range.alias?.colnames).map(quoteName).join(', ');
    const item = fromItem(`${query} AS ${quoteName(alias)}${columns === '' ? '' : ` (${columns})`}`);
    this.#expected.replace(sample?.body ?? range, [item]);
  }

  /** In a text that is put into another, a bare name could be one of the other's WITH. */
  qualify(): void {
    for (const [range, { relation }] of this.#seen.reads) {
      if (relation === undefined || this.#rules.has(range) || range.schemaname !== undefined) continue;
      const first = this.#splice.indexAt(range.location ?? 0);
      this.#splice.replace(this.#splice.startOf(first), this.#splice.endOf(first), relationName(relation));
      this.#expected.change(range, (copy) => void (copy.schemaname = relation.schema));
    }
  }

  /** Takes TABLESAMPLE out of the text behind a relation: it belongs to the table inside. */
  #sample(range: RangeVar, last: number): { readonly text: string; readonly body: object } | undefined {
    const body = this.#shape.samples.get(range);
    if (body === undefined) return undefined;
    const splice = this.#splice;
    const method = splice.indexAt(body.location ?? 0);
    const open_ = splice.lastOfName(method, body.method?.length ?? 1) + 1;
    let end = splice.behindParentheses(open_);
    if (body.repeatable !== undefined) end = splice.behindParentheses(end + 1);
    if (splice.word(method - 1) !== 'tablesample' || method - 1 <= last)
      throw unclear('TABLESAMPLE as it is written here');
    const [from, to] = [splice.startOf(method - 1), splice.endOf(end - 1)];
    splice.replace(from, to, '');
    return { text: splice.slice(from, to), body };
  }

  /** COPY t TO hands out the table's own rows without what is generated. */
  #copy(copy: CopyStmt, source: Source, rules: Rules): void {
    if (copy.is_from) {
      if (rules.filters.length > 0) throw unfilterable(rules, 'COPY … FROM');
      return;
    }
    const splice = this.#splice;
    const range = copy.relation!;
    const first = splice.indexAt(range.location ?? 0);
    let last = splice.lastOfName(first, namesIn(range));
    if (copy.attlist !== undefined) last = splice.behindParentheses(last + 1) - 1;
    const alias = aliasOf(range);
    const names =
      copy.attlist === undefined
        ? rules.relation.columns.filter(({ generated }) => generated === undefined).map(({ name }) => name)
        : strings(copy.attlist);
    const only = source.only === true && rules.relation.kind === 'r';
    const rows = wrapped({ rules, alias, system: none, only });
    const query = `SELECT ${names.map((name) => `${quoteName(alias)}.${quoteName(name)}`).join(', ')} FROM ${rows} AS ${quoteName(alias)}`;
    splice.replace(splice.startOf(first), splice.endOf(last), `(${query})`);
    this.#expected.change(copy, (other) => {
      delete other.relation;
      delete other.attlist;
      other.query = { SelectStmt: queryTree(query) };
    });
  }

  // ── what is written ────────────────────────────────────────────────────────────────────────────────────────────────

  #write(range: RangeVar, rules: Rules): void {
    const write = this.#shape.writes.get(range);
    if (write === undefined) throw refuse('masks cannot be put into this statement');
    const isFiltered = rules.filters.length > 0;
    if (write.kind === 'merge') this.#merge(write.body, range, rules);
    else if (write.kind === 'insert' && isFiltered) throw unfilterable(rules, 'INSERT');
    else if (write.kind === 'update' || write.kind === 'delete') this.#where(write, range, rules);
    else this.#unguarded.add(rules);
  }

  #merge(body: MergeStmt, range: RangeVar, rules: Rules): void {
    const condition = conditionOf(rules, quoteName(aliasOf(range)));
    if (rules.filters.length > 0 && inserts(body)) throw unfilterable(rules, 'MERGE … INSERT');
    if (condition === undefined) return;
    // Only conditions that rows can be sorted or hashed by may join fully; what compares no catalog is none by the time that is planned.
    if (rules.filters.length === 0 && joinsFully(body) && looksAtCatalog(condition)) {
      this.#unguarded.add(rules);
      return;
    }
    const from = this.#splice.indexAt(range.location ?? 0);
    filterMerge(body, condition, rules.filters.length > 0 && this.#shape.mayTell, from, this.#splice, this.#expected);
  }

  /** The filter goes before the client's own condition. */
  #where({ body }: Write, range: RangeVar, rules: Rules): void {
    const splice = this.#splice;
    const filter = conditionOf(rules, quoteName(aliasOf(range)));
    if (filter === undefined) return;
    const { whereClause } = body;
    if (as(whereClause, 'CurrentOfExpr') !== undefined) {
      if (rules.filters.length > 0) throw unfilterable(rules, 'WHERE CURRENT OF');
      this.#unguarded.add(rules);
      return;
    }
    const bounds = this.#bounds(splice.indexAt(range.location ?? 0));
    const end = splice.endOf(bounds.end - 1);
    if (whereClause === undefined) {
      splice.append(end, ` WHERE ${filter}`);
      this.#expected.change(body, (copy) => void (copy.whereClause = expressionTree(`(${filter})`)));
      return;
    }
    if (bounds.where === undefined) throw unclear('a WHERE that the gateway cannot find in the text');
    const isOrdered = rules.filters.length > 0 && this.#shape.mayTell;
    const { head, tail } = before(filter, isOrdered);
    splice.append(splice.endOf(bounds.where), head);
    splice.append(end, tail);
    this.#expected.change(body, (copy) => {
      copy.whereClause = beforeTree(filter, isOrdered, copy.whereClause as Wrapped);
    });
  }

  /** Where the statement's WHERE stands, and what it ends before: RETURNING, a closing parenthesis, the end. */
  #bounds(from: number): { readonly where: number | undefined; readonly end: number } {
    const splice = this.#splice;
    const stop = (this.#raw.stmt_location ?? 0) + (this.#raw.stmt_len ?? Infinity);
    let where: number | undefined;
    let depth = 0;
    let index = from;
    for (; index < splice.tokens.length && splice.startOf(index) < stop; index++) {
      const word = splice.word(index);
      if (word === '(' || word === '[') depth++;
      else if (word === ')' || word === ']') depth--;
      if (depth < 0) break;
      if (depth > 0 || splice.word(index - 1) === '.') continue;
      if (word === 'where') where ??= index;
      else if (word === 'returning' || word === ';') break;
    }
    return { where, end: index };
  }

  // ── references ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #column({ ref, sources, name, isCertain }: ColumnUse): void {
    if (this.#clear?.references.has(ref) === true) {
      const value = this.#clear.references.get(ref);
      if (value !== undefined) this.#replace(ref, value, name);
      return;
    }
    const ruled = sources.filter((source) => this.#rulesOf(source) !== undefined);
    if (ruled.length === 0) return;
    const shown = ruled.flatMap((source) => this.#shownOf(source) ?? []);
    const rules = shown.find(({ masked }) => masked.has(name));
    const rule = rules?.masked.get(name);
    const isRead = !ruled.some((source) => this.#isTarget(source));
    if (rules === undefined || rule === undefined) {
      if (isRead) this.#unqualify(ref);
      return;
    }
    if (!isCertain || sources.length > 1) throw refuse(`whose column ${name} is, is not certain`);
    if (this.#shape.inference.has(ref)) throw refuse(`ON CONFLICT would compare the masked column ${name}`);
    const column = rules.relation.columns.find((each) => each.name === name);
    if (column === undefined) throw refuse(`the masked column ${name} is not known`);
    const fields = strings(ref.fields).slice(isRead ? -2 : 0);
    this.#replace(ref, `(${this.#value(ref, rules, column, rule, fields.map(quoteName).join('.'))})`, name);
  }

  #row({ ref, source, isCertain }: RowUse): void {
    const shown = this.#shownOf(source);
    const rules = shown ?? this.#rulesOf(source);
    const isRebuilt = this.#isWider(source) || this.#sees(ref, [source]);
    if (this.#shape.listed.has(ref)) {
      if (rules !== undefined || isRebuilt) this.#listedRow(ref, source, isRebuilt);
      return;
    }
    if (rules === undefined) {
      if (isRebuilt)
        throw refuse(`the row of ${source.alias ?? 'a query'}, of which a condition reads values; name its columns`);
      return;
    }
    if (!isCertain) {
      if (shown !== undefined || isRebuilt)
        throw refuse(`whether ${strings(ref.fields).join('.')} is a row or a column is not certain`);
      return;
    }
    const alias = quoteName(source.alias ?? '');
    const isSpelled = shown !== undefined || isRebuilt;
    if (!isSpelled && this.#shape.fieldRows.has(ref)) {
      this.#unqualify(ref);
      return;
    }
    const values = isSpelled ? `ROW(${this.#values(ref, rules, source).join(', ')})` : `(${alias}.*)`;
    if (rules.relation.columns.length === 0) return;
    this.#replace(
      ref,
      `(CASE WHEN (${alias}.*) IS NOT DISTINCT FROM NULL THEN NULL ELSE ${values}::${relationName(rules.relation)} END)`,
      source.alias ?? '',
    );
  }

  /** It has columns beside those that are known of it. */
  #isWider(source: Source): boolean {
    return (source.range !== undefined && this.#system.has(source.range)) || this.#clear?.isWider(source) === true;
  }

  /** A condition reads values there where other parts read masks. */
  #sees(node: object, sources: readonly Source[]): boolean {
    return sources.some((source) => source.columns.some(({ name }) => this.#valueAt(node, source, name) !== undefined));
  }

  #valueAt(node: object, source: Source, name: string): string | undefined {
    return this.#clear?.isInside(node) === true ? this.#clear.value(source, name) : undefined;
  }

  /** ROW(t.*) stands for the columns. */
  #listedRow(ref: ColumnRef, source: Source, isRebuilt: boolean): void {
    const isStar = (ref.fields ?? []).some((field) => as(field, 'A_Star') !== undefined);
    if (!isRebuilt && isStar && this.#shownOf(source) === undefined) {
      this.#unqualify(ref);
      return;
    }
    throw refuse(`the row of ${source.alias ?? 'a relation'} in ROW() or a list of values; name its columns`);
  }

  /** In place of a reference to the target's own column. */
  #value(ref: ColumnRef, rules: Rules, column: CatalogColumn, rule: Rule, reference: string): string {
    const value = maskedValue(column, rule, reference);
    const { guard } = rules;
    if (rules.isApart === true && isMadeOfValue(rule.mask))
      throw refuse(
        `what EXPLAIN ANALYZE measures of a write would tell how long ${qualified(rules.relation)}.${column.name} is: leave out ANALYZE`,
      );
    return guard !== undefined && this.#unguarded.has(rules) && this.#shape.returned.has(ref)
      ? `SELECT ${value} WHERE ${guard}`
      : value;
  }

  #values(ref: ColumnRef, rules: Rules, source: Source): string[] {
    const shown = this.#shownOf(source);
    return rules.relation.columns.map((column, index) => {
      const name = source.columns[index]?.name ?? column.name;
      const reference = `${quoteName(source.alias ?? '')}.${quoteName(name)}`;
      const rule = shown?.masked.get(column.name);
      const value = this.#valueAt(ref, source, name);
      if (value !== undefined) return value;
      return rule === undefined ? reference : `(${this.#value(ref, rules, column, rule, reference)})`;
    });
  }

  /** schema.t.column: a query in FROM has no schema. */
  #unqualify(ref: ColumnRef): void {
    const fields = ref.fields ?? [];
    const isStar = as(fields[fields.length - 1], 'A_Star') !== undefined;
    if (fields.length <= 2) return;
    const parts = strings(fields)
      .slice(isStar ? -1 : -2)
      .map(quoteName);
    const text = [...parts, ...(isStar ? ['*'] : [])].join('.');
    const first = this.#splice.indexAt(ref.location ?? 0);
    this.#splice.replace(
      this.#splice.startOf(first),
      this.#splice.endOf(this.#splice.lastOfName(first, fields.length)),
      text,
    );
    this.#expected.replace(ref, [expressionTree(text)]);
  }

  /** An expression in place of a reference; what is called after the reference keeps its name. */
  #replace(ref: ColumnRef, expression: string, name: string): void {
    const first = this.#splice.indexAt(ref.location ?? 0);
    const [start, end] = [
      this.#splice.startOf(first),
      this.#splice.endOf(this.#splice.lastOfName(first, (ref.fields ?? []).length)),
    ];
    const item = this.#shape.named.get(ref);
    if (item !== undefined) {
      this.#splice.replace(start, end, `${expression} AS ${quoteName(name)}`);
      this.#expected.change(item, (copy) => void (copy.name = name));
      this.#expected.replace(ref, [expressionTree(expression)]);
      return;
    }
    const text = this.#shape.lendsName.has(ref) ? `(SELECT ${expression} AS ${quoteName(name)})` : expression;
    this.#splice.replace(start, end, text);
    this.#expected.replace(ref, [expressionTree(text)]);
  }

  // ── stars ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #star(item: ResTarget, { sources, isPlain }: StarUse): void {
    const ref = as<ColumnRef>(item.val, 'ColumnRef');
    if (ref === undefined) return;
    const ruled = sources.filter((source) => this.#rulesOf(source) !== undefined);
    const isSpelled =
      ruled.some((source) => this.#shownOf(source) !== undefined) ||
      sources.some((source) => this.#isWider(source)) ||
      this.#sees(item, sources);
    if (!isSpelled) {
      if (ruled.length > 0) this.#unqualify(ref);
      return;
    }
    const isAll = (ref.fields ?? []).length === 1;
    const merged = isAll ? this.#clear?.star(sources, this.#clear.isInside(item)) : undefined;
    if (merged === undefined && !isPlain) throw refuse('what * stands for here is not certain: name the columns');
    const texts =
      merged?.map(({ name, text }) => `${text() ?? ''} AS ${quoteName(name)}`) ??
      this.#inOrder(sources).flatMap((source) => this.#listOf(item, ref, source));
    const first = this.#splice.indexAt(ref.location ?? 0);
    this.#splice.replace(
      this.#splice.startOf(first),
      this.#splice.endOf(this.#splice.lastOfName(first, (ref.fields ?? []).length)),
      texts.join(', '),
    );
    this.#expected.replace(item, targets(texts));
  }

  /** MERGE lists what it merges first, the target last. */
  #inOrder(sources: readonly Source[]): readonly Source[] {
    const merges = sources.some(({ range }) => range !== undefined && this.#shape.writes.get(range)?.kind === 'merge');
    if (!merges) return sources;
    return [
      ...sources.filter((source) => !this.#isTarget(source)),
      ...sources.filter((source) => this.#isTarget(source)),
    ];
  }

  #listOf(item: ResTarget, ref: ColumnRef, source: Source): readonly string[] {
    const rules = this.#shownOf(source);
    if (source.alias === undefined || source.open)
      throw refuse('what * stands for here is not certain: name the columns');
    if (new Set(source.columns.map(({ name }) => name)).size < source.columns.length)
      throw refuse('* stands for two columns of one name here: name the columns');
    const alias = quoteName(source.alias);
    return source.columns.map(({ name }, index) => {
      const reference = `${alias}.${quoteName(name)}`;
      const column = rules?.relation.columns[index];
      const rule = column === undefined ? undefined : rules?.masked.get(column.name);
      const value = this.#valueAt(item, source, name);
      if (value !== undefined) return `${value} AS ${quoteName(name)}`;
      return rules === undefined || column === undefined || rule === undefined
        ? reference
        : `(${this.#value(ref, rules, column, rule, reference)}) AS ${quoteName(name)}`;
    });
  }
}

const none: ReadonlySet<string> = new Set();
const tables: ReadonlySet<string> = new Set(['r', 'p', 'f']);

const namesIn = (range: RangeVar): number =>
  1 + (range.schemaname === undefined ? 0 : 1) + (range.catalogname === undefined ? 0 : 1);

const unfilterable = ({ relation, filters }: Rules, what: string): RewriteRefusal =>
  new RewriteRefusal(
    'filter_unenforceable',
    `${what} of ${relation.schema}.${relation.name}: the filter ${filters[0]?.code ?? ''} cannot be put into it`,
  );
