import type { JoinExpr, RangeVar, RawStmt, SelectStmt } from 'libpg-query';
import type { RewriteRefusal } from '../../enforcing/rewriting.js';
import { as, open, strings, walk, type Wrapped } from '../ast.js';
import { qualified } from '../facts.js';
import { quoteName } from '../masks/write.js';
import { columnOf, type Source } from '../scope.js';
import { expressionTree, fromItem, type Expected } from './expected.js';
import { leavesOf } from './group.js';
import type { Occurrences } from './occurrences.js';
import { unclear, type Splice } from './splice.js';
import { notHere } from './touched.js';

/**
 * USING and NATURAL of columns that are masked on the way out: they would compare masks. A condition over the values stands in their
 * place, and what they made one column of is named where it is referred to. A join with a name, `(a JOIN b …) AS j`, becomes a query
 * that lists what the join had, where that would be otherwise now or values are to be handed on.
 */

/** A column that `*` stands for. */
export interface Cell {
  readonly name: string;
  /** Undefined where it has no name of its own. */
  readonly text: () => string | undefined;
}

export interface Reading {
  /** What stands there is the mask of what a condition is to see. */
  isVeiled(source: Source, name: string): boolean;
  cell(source: Source, name: string, isClear: boolean): string | undefined;
}

/** Tokens: what is taken, and what the condition is put behind. */
interface Place {
  readonly from: number;
  readonly to: number;
  readonly behind: number;
}

/** What may stand behind an item of FROM. No alias is called so without quotes. */
const ends: ReadonlySet<string> = new Set(
  'natural join cross inner left right full on using where group having window union intersect except order limit offset fetch for returning when with'.split(
    ' ',
  ),
);

export class Joins {
  readonly #seen: Occurrences;
  readonly #splice: Splice;
  readonly #reading: Reading;
  /** The item of FROM that a name or a sub-query stands in. */
  readonly #roots = new Map<object, Wrapped>();
  /** Items whose USING is replaced, with where each of these stands. */
  readonly #replaced = new Map<Wrapped, Map<JoinExpr, Place>>();
  readonly #texts = new Map<JoinExpr, string>();
  /** Joins with names as they are without, and back. */
  readonly #inner = new Map<JoinExpr, Wrapped>();
  readonly #outer = new Map<JoinExpr, JoinExpr>();
  /** What NATURAL merges. */
  readonly #merging = new Map<JoinExpr, readonly string[]>();

  constructor({ stmt }: RawStmt, seen: Occurrences, splice: Splice, reading: Reading) {
    this.#seen = seen;
    this.#splice = splice;
    this.#reading = reading;
    walk(stmt, (value) => {
      const named = value.JoinExpr as JoinExpr | undefined;
      if (named?.alias !== undefined) this.#named(named);
      for (const key of ['fromClause', 'usingClause', 'sourceRelation']) {
        const items = value[key] as Wrapped | readonly Wrapped[] | undefined;
        for (const item of items === undefined ? [] : Array.isArray(items) ? items : [items])
          this.#item(item as Wrapped);
      }
      return true;
    });
  }

  cell(source: Source, name: string, isClear: boolean): string | undefined {
    return this.#reading.cell(source, name, isClear);
  }

  #named(join: JoinExpr): void {
    const inner = { JoinExpr: { ...join, alias: undefined } as unknown as JoinExpr };
    this.#inner.set(join, inner);
    this.#outer.set(inner.JoinExpr, join);
    this.#item(inner);
  }

  /** @param root An item of FROM, to which a join with a name is one thing; or such a join, without its name. */
  #item(root: Wrapped): void {
    for (const leaf of leaves(root)) this.#roots.set(open(leaf).body, root);
    const joins = joinsOf(root);
    if (!joins.some((join) => this.#comparesMasks(join))) return;
    if (joins.some(({ join_using_alias }) => join_using_alias !== undefined))
      throw notHere('a column', 'USING that compares it has a name. Leave the name out, or say ON');
    const places = new Map<JoinExpr, Place>();
    this.#place(root, places);
    this.#replaced.set(root, places);
  }

  #sources(node: Wrapped | undefined): readonly Source[] {
    return node === undefined ? [] : leaves(node).flatMap((leaf) => this.#seen.items.get(open(leaf).body) ?? []);
  }

  #isVeiledBelow(join: JoinExpr, name: string): boolean {
    return this.#sources({ JoinExpr: join }).some(
      (source) => columnOf(source, name) !== undefined && this.#reading.isVeiled(source, name),
    );
  }

  /** It does where it is left as it is: by names that it says, or by those of what stands beside columns on both sides. */
  #comparesMasks(join: JoinExpr): boolean {
    if (join.isNatural === true) {
      const isVeiled = [join.larg, join.rarg].map((side) =>
        this.#sources(side).some((source) => source.columns.some(({ name }) => this.#reading.isVeiled(source, name))),
      );
      if (isVeiled.every((is) => is)) return true;
      if (!isVeiled.some((is) => is)) return false;
    }
    return this.#names(join).some((name) => this.#isVeiledBelow(join, name));
  }

  /** The columns that a join makes one of. Throws RewriteRefusal where they are not known. */
  #names(join: JoinExpr): readonly string[] {
    if (join.isNatural !== true) return strings(join.usingClause);
    const known = this.#merging.get(join);
    if (known !== undefined) return known;
    const [left, right] = [join.larg, join.rarg].map((side) => this.#columns(side));
    const there = new Set(right);
    const names = [...new Set(left)].filter((name) => there.has(name));
    this.#merging.set(join, names);
    return names;
  }

  /** The names of what `*` stands for. */
  #columns(node: Wrapped | undefined): readonly string[] {
    const join = node && joinOf(node);
    if (join !== undefined) {
      const names = this.#names(join);
      const rest = [join.larg, join.rarg]
        .flatMap((side) => this.#columns(side))
        .filter((name) => !names.includes(name));
      return [...names, ...rest];
    }
    const sources = this.#sources(node);
    if (sources.length !== 1 || sources[0]!.open)
      throw notHere('a column', 'NATURAL compares columns of which it is not known which these are. Say ON');
    return sources[0]!.columns.map(({ name }) => name);
  }

  /** Where each USING and NATURAL stands: joins end in the order in which what they join by is written. */
  #place(node: Wrapped, places: Map<JoinExpr, Place>): number {
    const splice = this.#splice;
    const join = joinOf(node);
    if (join === undefined) return this.#behind(node);
    const left = join.larg === undefined ? splice.tokens.length : this.#place(join.larg, places);
    let index = join.rarg === undefined ? splice.tokens.length : this.#place(join.rarg, places);
    if (join.isNatural === true) return this.#placeNatural(join, left, places);
    if (join.quals === undefined && join.usingClause === undefined) return index;
    while (index < splice.tokens.length) {
      const word = splice.word(index);
      if (word === 'on') return index + 1;
      if (word === 'using') {
        const to = splice.behindParentheses(index + 1);
        places.set(join, { from: index, to, behind: to });
        return to;
      }
      index = word === '(' ? splice.behindParentheses(index) : index + 1;
    }
    throw unclear('a join that is written like this');
  }

  /** @param left An index within its left side, behind all that is joined there. */
  #placeNatural(join: JoinExpr, left: number, places: Map<JoinExpr, Place>): number {
    const splice = this.#splice;
    const to = (word: string, from: number): number => {
      let index = from;
      while (index < splice.tokens.length) {
        const isName = /^(\.|as)$/.test(splice.word(index - 1));
        if (splice.word(index) === word && !isName) return index;
        index = splice.word(index) === '(' ? splice.behindParentheses(index) : index + 1;
      }
      throw unclear('a join that is written like this');
    };
    const natural = to('natural', left);
    let behind = to('join', natural) + 1;
    for (let word = splice.word(behind); !/^(|\)|,|;|\])$/.test(word) && !ends.has(word); word = splice.word(behind))
      behind = word === '(' ? splice.behindParentheses(behind) : behind + 1;
    places.set(join, { from: natural, to: natural + 1, behind });
    return behind;
  }

  /** The index behind the beginning of a leaf. */
  #behind(leaf: Wrapped): number {
    const splice = this.#splice;
    const named = as<JoinExpr>(leaf, 'JoinExpr');
    if (named !== undefined) return this.#parentheses(named).close + 1;
    const range = as<RangeVar>(leaf, 'RangeVar');
    if (range !== undefined) return splice.indexAt(range.location ?? 0) + 1;
    let first = Infinity;
    walk(leaf, ({ location }) => {
      if (typeof location === 'number' && location > 0 && location < first) first = location;
      return true;
    });
    if (first === Infinity) throw unclear('a join that is written like this');
    const index = splice.indexAt(first);
    return as(leaf, 'RangeSubselect') === undefined ? index : splice.behindParentheses(this.#opening(index));
  }

  /** The parenthesis that is open at an index. */
  #opening(behind: number): number {
    let index = behind;
    for (let depth = 0; depth >= 0 && index > 0;) {
      const word = this.#splice.word(--index);
      if (word === ')') depth++;
      else if (word === '(') depth--;
    }
    return index;
  }

  /** Those that a join with a name stands in: its name comes right behind them. */
  #parentheses(join: JoinExpr): { readonly open: number; readonly close: number } {
    const splice = this.#splice;
    let close = this.#place(this.#inner.get(join)!, new Map());
    while (splice.word(close) !== ')' || splice.word(close + 1) === ')') {
      if (close >= splice.tokens.length) throw unclear('a join that is written like this');
      close = splice.word(close) === '(' ? splice.behindParentheses(close) : close + 1;
    }
    return { open: this.#opening(close), close };
  }

  isMerged(sources: readonly Source[], name: string): boolean {
    const root = this.#rootOf(sources);
    return (
      root !== undefined && this.#replaced.has(root) && joinsOf(root).some((join) => this.#names(join).includes(name))
    );
  }

  /** What an unqualified name of several sources stands for, where USING no longer says so. */
  merged(sources: readonly Source[], name: string, isClear: boolean): string {
    const root = this.#rootOf(sources);
    const text = root === undefined ? undefined : this.#pick(root, name, isClear);
    if (text === undefined) throw uncertain(name);
    return text;
  }

  #rootOf(sources: readonly Source[]): Wrapped | undefined {
    const [item] = sources.flatMap((source) => source.item ?? []);
    return item === undefined ? undefined : this.#roots.get(item);
  }

  #pick(node: Wrapped, name: string, isClear: boolean): string | undefined {
    const join = joinOf(node);
    if (join === undefined) {
      const [source] = this.#sources(node);
      return source === undefined || columnOf(source, name) === undefined
        ? undefined
        : this.#reading.cell(source, name, isClear);
    }
    const of = (side: Wrapped | undefined): string | undefined =>
      side === undefined ? undefined : this.#pick(side, name, isClear);
    const [left, right] = [of(join.larg), of(join.rarg)];
    if (this.#names(join).includes(name)) {
      if (left === undefined || right === undefined) throw uncertain(name);
      if (join.jointype === 'JOIN_FULL') return `COALESCE(${left}, ${right})`;
      return join.jointype === 'JOIN_RIGHT' ? right : left;
    }
    if (left !== undefined && right !== undefined) throw uncertain(name);
    return left ?? right;
  }

  /** Columns in the order of `*`; undefined where each source's stand one after the other. */
  star(sources: readonly Source[], isClear: boolean): readonly Cell[] | undefined {
    const roots = new Set<Wrapped>();
    const cells: Cell[] = [];
    for (const source of sources) {
      const root = source.item === undefined ? undefined : this.#roots.get(source.item);
      if (root === undefined) return undefined;
      if (roots.has(root)) continue;
      roots.add(root);
      const list = this.#list(root, isClear, this.#replaced.has(root));
      if (list === undefined) return undefined;
      cells.push(...list);
    }
    return [...roots].some((root) => joinsOf(root).some((join) => (join.usingClause ?? join.isNatural) !== undefined))
      ? cells
      : undefined;
  }

  #list(node: Wrapped, isClear: boolean, isReplaced: boolean): readonly Cell[] | undefined {
    const join = joinOf(node);
    if (join === undefined) {
      const [source] = this.#sources(node);
      if (source === undefined || source.open) return undefined;
      return source.columns.map(({ name }) => ({ name, text: () => this.#reading.cell(source, name, isClear) }));
    }
    const [left, right] = [join.larg, join.rarg].map((side) => side && this.#list(side, isClear, isReplaced));
    if (left === undefined || right === undefined) return undefined;
    const names = this.#names(join);
    const isRest = ({ name }: Cell): boolean => !names.includes(name);
    const merged = names.map((name) => ({
      name,
      text: () => (isReplaced ? this.#pick(node, name, isClear) : quoteName(name)),
    }));
    return [...merged, ...left.filter(isRest), ...right.filter(isRest)];
  }

  /** What a join with a name has, in order; undefined where that is not known. */
  cells(join: JoinExpr, isClear: boolean): readonly Cell[] | undefined {
    const root = this.#inner.get(join)!;
    return this.#list(root, isClear, this.#replaced.has(root));
  }

  /**
   * Puts a query in place of each join with a name that needs it.
   *
   * @param isWider There are columns beside those that the source is known to have.
   * @param handed What is handed on of the join, as items of a list.
   */
  writeNamed(
    expected: Expected,
    isWider: (source: Source) => boolean,
    handed: (join: JoinExpr) => readonly string[],
  ): void {
    const splice = this.#splice;
    for (const [join, root] of this.#inner) {
      const more = handed(join);
      if (more.length === 0 && !this.#replaced.has(root) && !this.#sources(root).some(isWider)) continue;
      const texts = this.cells(join, false)?.map(({ name, text }) => `${text() ?? ''} AS ${quoteName(name)}`);
      if (texts === undefined || isLateral(join))
        throw notHere('a column', 'a join with a name has what a function in FROM makes. Leave the name out');
      const list = [...texts, ...more].join(', ');
      splice.insert(splice.endOf(this.#parentheses(join).open), `SELECT ${list} FROM `);
      expected.wrap(join, (copy) => asQuery(copy, list));
    }
  }

  /** Asks for the values that take part. */
  prepare(): void {
    for (const places of this.#replaced.values())
      for (const join of places.keys()) {
        const names = this.#names(join);
        for (const name of names) this.#checkTypes(join, name);
        const compared = names.map((name) => {
          const [left, right] = [join.larg, join.rarg].map((side) => side && this.#pick(side, name, true));
          if (left === undefined || right === undefined) throw uncertain(name);
          return `(${left} = ${right})`;
        });
        this.#texts.set(join, compared.length === 0 ? 'TRUE' : compared.join(' AND '));
      }
  }

  write(expected: Expected): void {
    const splice = this.#splice;
    for (const places of this.#replaced.values())
      for (const [join, { from, to, behind }] of places) {
        const text = this.#texts.get(join)!;
        splice.replace(splice.startOf(from), splice.endOf(to - 1), join.isNatural === true ? '' : `ON ${text}`);
        if (join.isNatural === true) splice.insert(splice.endOf(behind - 1), ` ON ${text}`);
        expected.change(this.#outer.get(join) ?? join, (copy) => {
          delete copy.usingClause;
          delete copy.isNatural;
          copy.quals = expressionTree(text);
        });
      }
  }

  /** USING gives columns of different types a type that they have in common. */
  #checkTypes(join: JoinExpr, name: string): void {
    const types = this.#sources({ JoinExpr: join }).flatMap((source) => {
      const column = columnOf(source, name);
      return column === undefined ? [] : [this.#typeOf(column)];
    });
    if (types.some((type) => type === undefined || type !== types[0]))
      throw notHere(name, 'USING makes one column of two types. Say ON');
  }

  #typeOf({
    type,
    copyOf,
  }: {
    readonly type?: number | undefined;
    readonly copyOf?: string | undefined;
  }): string | undefined {
    for (const { relation } of [...this.#seen.reads.values(), ...this.#seen.targets.values()])
      for (const column of relation?.columns ?? [])
        if (copyOf === `${qualified(relation!)}.${column.name}` && column.type === type)
          return `${column.type} ${column.typmod}`;
    return undefined;
  }
}

/** Something in it may refer to what stands before it. */
function isLateral(join: JoinExpr): boolean {
  let found = false;
  walk(join, ({ RangeFunction, RangeTableFunc, JsonTable, lateral }) => {
    found ||= (RangeFunction ?? RangeTableFunc ?? JsonTable) !== undefined || lateral === true;
    return !found;
  });
  return found;
}

/** `(SELECT … FROM a JOIN b …) AS j` in place of `(a JOIN b …) AS j`. */
function asQuery(join: Wrapped, list: string): Wrapped {
  const { alias, ...inner } = as<JoinExpr>(join, 'JoinExpr')!;
  const { body } = open(fromItem(`(SELECT ${list} FROM x) AS j`));
  const { subquery } = body as { subquery?: Wrapped };
  const query = { ...as<SelectStmt>(subquery, 'SelectStmt'), fromClause: [{ JoinExpr: inner }] };
  return { RangeSubselect: { ...body, subquery: { SelectStmt: query }, alias } } as unknown as Wrapped;
}

const uncertain = (name: string): RewriteRefusal =>
  notHere(name, 'whose column that is, is not certain. Say ON, and put the table in front of it');

/** One that has a name is one thing to those around it. */
function joinOf(node: Wrapped): JoinExpr | undefined {
  const join = as<JoinExpr>(node, 'JoinExpr');
  return join?.alias === undefined ? join : undefined;
}

/** What is joined. */
function leaves(node: Wrapped): readonly Wrapped[] {
  const join = joinOf(node);
  if (join !== undefined) return [join.larg, join.rarg].flatMap((side) => (side === undefined ? [] : leaves(side)));
  return as(node, 'JoinExpr') === undefined ? leavesOf(node) : [node];
}

/** The joins of an item of FROM. */
function joinsOf(node: Wrapped): readonly JoinExpr[] {
  const join = joinOf(node);
  if (join === undefined) return [];
  return [join.larg, join.rarg].flatMap((side) => (side === undefined ? [] : joinsOf(side))).concat(join);
}
