import type { Use } from '#engine';
import type { JoinExpr, RangeSubselect, RangeVar, SelectStmt } from 'libpg-query';
import type { Wrapped } from './ast.js';
import type { Relation, Routine } from './catalog.js';
import { qualified, type Access, type Facts } from './facts.js';
import type { Names } from './names.js';
import type { Recorder } from './recorder.js';

/**
 * What names mean inside a query. Each column that a source of rows hands out knows its origins: the columns of relations
 * whose values it is made of. Uses are noted where a value is used, for all its origins; a lineage from outputs to base
 * columns is the `origins` of the outermost query's columns.
 */

/** "schema.relation.column" */
export type Origin = string;

export interface Value {
  readonly origins: readonly Origin[];
  /** The type's OID where it is certain; 705 (unknown) for a literal that takes its neighbour's type. */
  readonly type?: number | undefined;
  /** The column whose very value it is, where it is nothing else: not cast, not computed, not one of several. */
  readonly copyOf?: Origin | undefined;
}

export const nothing: Value = { origins: [] };

export interface OutColumn extends Value {
  readonly name: string;
}

/** Rows that a query, a CTE, VALUES or a function hands out. */
export interface Derived {
  readonly columns: readonly OutColumn[];
  /** True where there may be columns that are not listed; `pool` is what they may be made of. */
  readonly open: boolean;
  readonly pool: readonly Origin[];
  /** The query that hands them out, where its list is all that there is to them: not one that recurs. */
  readonly query?: SelectStmt | undefined;
}

export interface Source extends Derived {
  /** What columns are qualified with; undefined for a join without an alias. */
  readonly alias: string | undefined;
  /** schema.alias is understood where a relation has no alias of its own. */
  readonly schema?: string | undefined;
  readonly relation?: Relation | undefined;
  /** The relation without its children. */
  readonly only?: boolean;
  /** The name in the text that brings the relation. */
  readonly range?: RangeVar;
  /** The node of FROM that brings it, where that is a name, a sub-query, or a join with a name. */
  readonly item?: RangeVar | RangeSubselect | JoinExpr;
  /** The same, where it is a join. */
  readonly join?: JoinExpr;
}

/** What an item of FROM brings. */
export interface Item {
  /** What names are looked up in. */
  readonly sources: readonly Source[];
  /** What * stands for: USING and NATURAL merge columns, and put them first. */
  readonly star: Derived;
}

/** System columns, which every table has and `*` leaves out. */
export const systemColumns: ReadonlySet<string> = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

export class Scope {
  readonly parent: Scope | undefined;
  readonly sources: Source[] = [];
  /** What * stands for, item by item. */
  readonly stars: Derived[] = [];
  readonly ctes = new Map<string, Derived>();
  /** Sources that a qualified name finds and an unqualified one doesn't (excluded, old, new). */
  readonly qualifiedOnly = new Set<Source>();

  constructor(parent: Scope | undefined) {
    this.parent = parent;
  }

  push(...items: readonly Item[]): void {
    for (const { sources, star } of items) {
      this.sources.push(...sources);
      this.stars.push(star);
    }
  }

  cte(name: string): Derived | undefined {
    return this.ctes.get(name) ?? this.parent?.cte(name);
  }

  /** The source of that name, in this query or one around it. */
  source(alias: string, schema?: string): Source | undefined {
    const found = this.sources.find((s) => s.alias === alias && (schema === undefined || s.schema === schema));
    return found ?? this.parent?.source(alias, schema);
  }

  /**
   * An unqualified column: all sources of the innermost query that has the name (a merged column of USING stands in
   * several). Where none is known to have it, those whose columns are not known may, so the search goes on outwards
   * behind them; where one is, another that has it as well makes the server refuse it as ambiguous.
   */
  column(name: string): Value | undefined {
    const origins: Origin[] = [];
    const pool: Origin[] = [];
    let first: Value | undefined;
    let count = 0;
    let open = false;
    for (const source of this.sources) {
      if (this.qualifiedOnly.has(source)) continue;
      const value = columnOf(source, name);
      if (value !== undefined) {
        first ??= value;
        origins.push(...value.origins);
        count++;
      } else if (source.open) {
        open = true;
        pool.push(...source.pool);
      }
    }
    if (first !== undefined) return count === 1 ? first : { origins, copyOf: this.#merged(name)?.copyOf };
    const outer = this.parent?.column(name);
    if (!open) return outer;
    return { origins: [...pool, ...(outer?.origins ?? [])] };
  }

  /** Whose column an unqualified name is. Not certain: it may be one of a source whose columns are not known. */
  sourcesOf(name: string): { readonly sources: readonly Source[]; readonly isCertain: boolean } {
    const asked = this.sources.filter((source) => !this.qualifiedOnly.has(source));
    const sources = asked.filter((source) => columnOf(source, name) !== undefined);
    if (sources.length > 0) return { sources, isCertain: true };
    const outer = this.parent?.sourcesOf(name) ?? { sources: [], isCertain: true };
    return asked.some((source) => source.open) ? { ...outer, isCertain: false } : outer;
  }

  /** A column that USING or NATURAL made of several. */
  #merged(name: string): OutColumn | undefined {
    const found = this.stars.flatMap((star) => star.columns.filter((column) => column.name === name));
    return found.length === 1 ? found[0] : undefined;
  }
}

/** A column of a source by name; undefined where it has none of that name that is certain. */
export function columnOf(source: Source, name: string): Value | undefined {
  const found = source.columns.filter((column) => column.name === name);
  const [first] = found;
  if (first !== undefined) return found.length === 1 ? first : { origins: found.flatMap((column) => column.origins) };
  if (source.relation !== undefined && systemColumns.has(name)) {
    const origin = `${qualified(source.relation)}.${name}`;
    return { origins: [origin], copyOf: origin };
  }
  return undefined;
}

/** Everything that a row of the source is made of. */
export function wholeRow(source: Derived): Value {
  return { origins: [...source.columns.flatMap((column) => column.origins), ...source.pool] };
}

/** Children whose columns are told one by one, as their parent's are; beyond, the children stand for their columns. */
export const heirs_with_columns_max = 32;

interface Relative {
  readonly prefix: string;
  readonly via: string;
  has(column: string): boolean;
}

/** The relations whose columns are one with the relation's own: its parents, and the children that are reached with it. */
export function relatives(relation: Relation, only: boolean): readonly Relative[] {
  const parents = relation.reads
    .filter((reached) => reached.how === 'p')
    .map((parent) => ({
      prefix: qualified(parent),
      via: parent.via,
      has: (column: string) => parent.columns.includes(column),
    }));
  if (only || relation.kind === 'v' || relation.kind === 'm' || relation.heirs.length > heirs_with_columns_max)
    return parents;
  const heirs = relation.heirs.filter((heir) => !heir.policy);
  return [...parents, ...heirs.map((heir) => ({ prefix: qualified(heir), via: heir.via, has: () => true }))];
}

/** `only`: without the relation's children. */
export function relationSource(
  relation: Relation,
  alias: string | undefined,
  names: readonly string[] = [],
  only = false,
): Source {
  const prefix = qualified(relation);
  // A partition's or child's columns are its parent's: what policy says of the parent holds for them.
  const others = relatives(relation, only);
  return {
    alias: alias ?? relation.name,
    schema: alias === undefined ? relation.schema : undefined,
    relation,
    only,
    open: false,
    pool: [],
    columns: relation.columns.map((column, index) => ({
      name: names[index] ?? column.name,
      // What is computed tells of what it is computed from.
      origins: [column.name, ...column.inputs].flatMap((name) => [
        `${prefix}.${name}`,
        ...others.filter((other) => other.has(name)).map((other) => `${other.prefix}.${name}`),
      ]),
      // 0 where the same string makes the relation.
      type: column.type === 0 ? undefined : column.type,
      copyOf: `${prefix}.${column.name}`,
    })),
  };
}

/** An item of one source. */
export const itemOf = (source: Source): Item => ({ sources: [source], star: source });

/** Renames the first columns, as an alias with a column list does. */
export function renamed(derived: Derived, names: readonly string[]): Derived {
  if (names.length === 0) return derived;
  const columns = derived.columns.map((column, index) =>
    names[index] === undefined ? column : { ...column, name: names[index] },
  );
  if (derived.open) {
    for (const name of names.slice(columns.length)) columns.push({ name, origins: derived.pool });
  }
  return { ...derived, columns };
}

/** A value that is made of several. */
export function merge(values: readonly Value[]): Value {
  const origins = new Set<Origin>();
  for (const value of values) for (const origin of value.origins) origins.add(origin);
  return { origins: [...origins] };
}

/** The rows of both. */
export function united(left: Derived, right: Derived): Derived {
  const pool = [...left.pool, ...right.pool];
  return {
    open: left.open || right.open,
    pool,
    columns: left.columns.map((column, index) => {
      const other = right.columns[index];
      return { ...either(column, other ?? { origins: right.open ? right.pool : [] }), name: column.name };
    }),
  };
}

/** A value that is the one or the other. */
export const either = (one: Value, other: Value): Value => ({
  origins: merge([one, other]).origins,
  type: one.type === other.type ? one.type : undefined,
  copyOf: one.copyOf === other.copyOf ? one.copyOf : undefined,
});

export const openDerived = (pool: readonly Origin[]): Derived => ({ columns: [], open: true, pool });

/** How a value is used: noted at once, or (flow) left to whoever uses the column that it becomes. */
export type Flow = Use | 'flow';

/** What the parts of the analysis share. */
export interface Context {
  readonly facts: Facts;
  readonly names: Names;
  /** The relation of a name in FROM or as a target; unresolved ones are noted. Understands what earlier statements made. */
  relation(schema: string | undefined, name: string, access?: Access): Relation | undefined;
  /** A query inside an expression or FROM. */
  select(statement: SelectStmt, scope: Scope | undefined, use: Flow): Derived;
  /** SELECT, INSERT, UPDATE, DELETE or MERGE: a CTE's query, or a whole statement. */
  query(node: Wrapped, scope: Scope | undefined, use: Flow): Derived;
  readonly recorder?: Recorder | undefined;
  /** What earlier statements of the same string made. */
  readonly made: (schema: string | undefined, name: string) => Relation | undefined;
  /** Bodies of functions that are looked into, one within the other. */
  readonly depth: number;
  /** What a call of a function of somebody's own hands out, where all that its body does is known: it is noted then. */
  body(routine: Routine, args: readonly Value[]): Value | undefined;
}

/** Notes a use of all origins. */
export function used(context: Context, value: Value, use: Flow): Value {
  for (const origin of value.origins) {
    if (use === 'flow') context.facts.flow(origin);
    else context.facts.column(origin, use, 'read');
  }
  return value;
}
