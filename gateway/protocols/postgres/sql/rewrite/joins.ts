import type { JoinExpr, RangeVar, RawStmt } from 'libpg-query';
import type { RewriteRefusal } from '../../enforcing/rewriting.js';
import { as, open, strings, walk, type Wrapped } from '../ast.js';
import { qualified } from '../facts.js';
import { quoteName } from '../masks/write.js';
import { columnOf, type Source } from '../scope.js';
import { expressionTree, type Expected } from './expected.js';
import { leavesOf } from './group.js';
import type { Occurrences } from './occurrences.js';
import { unclear, type Splice } from './splice.js';
import { notHere } from './touched.js';

/**
 * USING and NATURAL of columns that are masked on the way out: they would compare masks. A condition over the values stands in their
 * place, and what they made one column of is named where it is referred to.
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
  /** What NATURAL merges. */
  readonly #merging = new Map<JoinExpr, readonly string[]>();

  constructor({ stmt }: RawStmt, seen: Occurrences, splice: Splice, reading: Reading) {
    this.#seen = seen;
    this.#splice = splice;
    this.#reading = reading;
    walk(stmt, (value) => {
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

  #item(item: Wrapped): void {
    for (const leaf of leavesOf(item)) this.#roots.set(open(leaf).body, item);
    const joins = joinsOf(item);
    if (!joins.some((join) => this.#comparesMasks(join))) return;
    if (joins.some(({ alias, join_using_alias }) => (alias ?? join_using_alias) !== undefined))
      throw notHere('a column', 'a join that compares it has a name. Leave the name out, or say ON');
    const places = new Map<JoinExpr, Place>();
    this.#place(item, places);
    this.#replaced.set(item, places);
  }

  #sources(node: Wrapped | undefined): readonly Source[] {
    return node === undefined ? [] : leavesOf(node).flatMap((leaf) => this.#seen.items.get(open(leaf).body) ?? []);
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
    const join = as<JoinExpr>(node, 'JoinExpr');
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
    const join = as<JoinExpr>(node, 'JoinExpr');
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
    const range = as<RangeVar>(leaf, 'RangeVar');
    if (range !== undefined) return splice.indexAt(range.location ?? 0) + 1;
    let first = Infinity;
    walk(leaf, ({ location }) => {
      if (typeof location === 'number' && location > 0 && location < first) first = location;
      return true;
    });
    if (first === Infinity) throw unclear('a join that is written like this');
    let index = splice.indexAt(first);
    if (as(leaf, 'RangeSubselect') === undefined) return index;
    for (let depth = 0; depth >= 0 && index > 0;) {
      const word = splice.word(--index);
      if (word === ')') depth++;
      else if (word === '(') depth--;
    }
    return splice.behindParentheses(index);
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
    const join = as<JoinExpr>(node, 'JoinExpr');
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
    const join = as<JoinExpr>(node, 'JoinExpr');
    if (join === undefined) {
      const [source] = this.#sources(node);
      if (source === undefined || source.open) return undefined;
      return source.columns.map(({ name }) => ({ name, text: () => this.#reading.cell(source, name, isClear) }));
    }
    const [left, right] = [join.larg, join.rarg].map((side) => side && this.#list(side, isClear, isReplaced));
    if (left === undefined || right === undefined || join.alias !== undefined) return undefined;
    const names = this.#names(join);
    const isRest = ({ name }: Cell): boolean => !names.includes(name);
    const merged = names.map((name) => ({
      name,
      text: () => (isReplaced ? this.#pick(node, name, isClear) : quoteName(name)),
    }));
    return [...merged, ...left.filter(isRest), ...right.filter(isRest)];
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
        expected.change(join, (copy) => {
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

const uncertain = (name: string): RewriteRefusal =>
  notHere(name, 'whose column that is, is not certain. Say ON, and put the table in front of it');

/** The joins of an item of FROM. */
function joinsOf(node: Wrapped): readonly JoinExpr[] {
  const join = as<JoinExpr>(node, 'JoinExpr');
  if (join === undefined) return [];
  return [join.larg, join.rarg].flatMap((side) => (side === undefined ? [] : joinsOf(side))).concat(join);
}
