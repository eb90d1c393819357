import { maskWeight, noLooser, type Filter, type Mask } from '#engine';
import { RewriteRefusal, type Obligations } from '../../enforcing/rewriting.js';
import type { CatalogColumn, Relation } from '../catalog.js';
import { qualified } from '../facts.js';
import type { ViewLineage } from '../lineage.js';
import { nullOf, MaskError, type MaskColumn } from '../masks/column.js';
import { maskExpression } from '../masks/expression.js';
import { filterColumns, filterExpression } from '../masks/filter.js';
import type { Source } from '../scope.js';
import { unchanged } from './unchanged.js';

/** What masks and filters come to for one relation as it is named in one place. */

/** A column that is not handed out as it is. */
export interface Rule {
  /** Undefined for what is made of masked columns: it is not handed out at all. */
  readonly mask: Mask | undefined;
  readonly scope: 'source' | 'output';
}

export interface Rules {
  readonly relation: Relation;
  /** By column. */
  readonly masked: ReadonlyMap<string, Rule>;
  readonly filters: readonly Filter[];
  /** A condition that fails where the relation, or what lies below it, is no longer what was judged. */
  readonly guard: string | undefined;
  /** What is read in place of a view: its own query, rewritten. */
  readonly query?: string | undefined;
  /** EXPLAIN ANALYZE measures rows, and a mask is computed of a value: before anything holds the row, so that no length of it is told. */
  readonly isApart?: boolean;
}

/** What is done with a statement: EXPLAIN only plans it, or measures it with ANALYZE. */
export type Doing = 'run' | 'planned' | 'measured';

/** At the source, a mask that is made of the value. */
export const isMadeOfValue = (mask: Mask | undefined): boolean =>
  mask?.scope === 'source' && mask.with !== 'null' && mask.with !== 'redact';

export const hasOutput = (masked: Rules['masked']): boolean =>
  [...masked.values()].some(({ scope }) => scope === 'output');

export const asMaskColumn = (column: CatalogColumn): MaskColumn => ({
  name: column.name,
  typeOid: column.type,
  baseTypeOid: column.baseType,
  baseTypmod: column.baseTypmod,
  isFree: column.isFree,
  labels: column.labels,
  typmod: column.typmod,
  typeText: column.typeText,
  collation: column.collation,
});

/** What is known of views. */
export interface ViewsBelow {
  lineage(relation: Relation): ViewLineage | undefined;
  /** All relations that its query reads, by way of other views as well. */
  below(relation: Relation): readonly Relation[];
}

export class Obliged {
  readonly #masks = new Map<string, Mask>();
  readonly #filters = new Map<string, Filter[]>();
  readonly #views: ViewsBelow;
  readonly doing: Doing;
  /** Resources that were found to be columns. */
  readonly #met = new Set<string>();

  constructor({ masks, filters }: Obligations, views: ViewsBelow, doing: Doing = 'run') {
    this.#views = views;
    this.doing = doing;
    for (const mask of masks) {
      const known = this.#masks.get(mask.resource);
      if (known === undefined || maskWeight(mask) < maskWeight(known)) this.#masks.set(mask.resource, mask);
    }
    for (const filter of filters)
      this.#filters.set(filter.resource, [...(this.#filters.get(filter.resource) ?? []), filter]);
  }

  get isEmpty(): boolean {
    return this.#masks.size === 0 && this.#filters.size === 0;
  }

  mask(column: string): Mask | undefined {
    return this.#masks.get(column);
  }

  filters(relation: string): readonly Filter[] {
    return this.#filters.get(relation) ?? [];
  }

  /** Whether a relation of that name has masks of its own. */
  masks(relation: string): boolean {
    for (const resource of this.#masks.keys()) if (resource.startsWith(`${relation}.`)) return true;
    return false;
  }

  touches(relation: string): boolean {
    return this.#filters.has(relation) || this.masks(relation);
  }

  /** What shows no more than any of the masks on these names. They may be of several layers, and of different columns' authors. */
  strictest(names: Iterable<string>): Mask | undefined {
    let found: Mask | undefined;
    for (const name of names) {
      const mask = this.#masks.get(name);
      if (mask === undefined) continue;
      this.#met.add(name);
      found = found === undefined ? mask : noLooser(found, mask);
    }
    return found;
  }

  /** @param source The relation as it is named: what its columns' names are says the analysis. */
  rules(source: Source): Rules | undefined {
    const { relation } = source;
    if (relation === undefined) return undefined;
    const name = qualified(relation);
    const lineage = relation.definition === undefined ? undefined : this.#views.lineage(relation);
    const masked = new Map<string, Rule>();
    const named = new Map<string, Iterable<string>>();
    for (const [index, column] of relation.columns.entries()) {
      const below = lineage?.columns.get(column.name);
      const names = new Set([`${name}.${column.name}`]);
      // Parents and children call it the same; what it is computed from is called otherwise.
      for (const origin of source.columns[index]?.origins ?? [])
        if (origin.endsWith(`.${column.name}`)) names.add(origin);
      for (const copy of below?.copies ?? []) names.add(copy.name);
      const derived = (below?.derived ?? []).map((through) => through.name);
      const rule = this.#rule(names, derived);
      named.set(column.name, [...names, ...derived]);
      if (rule !== undefined) masked.set(column.name, rule);
    }
    this.#generated(relation, masked);
    const filters = [name, ...relation.reads.filter(({ how }) => how === 'p').map(qualified)].flatMap((each) =>
      this.filters(each),
    );
    this.#known(relation, name);
    if (masked.size === 0 && filters.length === 0) return undefined;
    demandUnseen(relation, filters, named);
    const isApart = this.doing === 'measured' && [...masked.values()].some(({ mask }) => isMadeOfValue(mask));
    return { relation, masked, filters: distinct(filters), guard: this.#guard(relation), isApart };
  }

  /** What is said of a view's own columns, where its query is read in its place. */
  ownRules(relation: Relation, query: string): Rules {
    const name = qualified(relation);
    const masked = new Map<string, Rule>();
    for (const column of relation.columns) {
      const mask = this.strictest([`${name}.${column.name}`]);
      if (mask !== undefined) masked.set(column.name, { mask, scope: mask.scope });
    }
    this.#known(relation, name);
    const filters = this.filters(name);
    demandUnseen(
      relation,
      filters,
      new Map(relation.columns.map((column) => [column.name, [`${name}.${column.name}`]])),
    );
    return { relation, masked, filters: distinct(filters), guard: this.#guard(relation), query };
  }

  #guard(relation: Relation): string | undefined {
    return unchanged(
      relation,
      relation.definition === undefined ? [] : this.#views.below(relation),
      this.doing !== 'planned',
    );
  }

  /** @param copied The names that the column's very values go by. @param derived Those of columns that it is made of. */
  #rule(copied: Iterable<string>, derived: Iterable<string>): Rule | undefined {
    const made = [...derived].map((name) => this.strictest([name])).filter((mask) => mask !== undefined);
    const mask = this.strictest(copied);
    const isSource = [...made, mask].some((each) => each?.scope === 'source');
    if (made.length > 0) return { mask: undefined, scope: isSource ? 'source' : 'output' };
    return mask === undefined ? undefined : { mask, scope: mask.scope };
  }

  /** What the server computes from masked columns is as they are. */
  #generated(relation: Relation, masked: Map<string, Rule>): void {
    if (masked.size === 0) return;
    for (const column of relation.columns) {
      if (column.generated === undefined) continue;
      const { inputs } = column;
      if (masked.has(column.name)) continue;
      const from = inputs.length === 0 ? [...masked.values()] : inputs.map((input) => masked.get(input));
      const scopes = from.map((rule) => rule?.scope);
      if (scopes.includes('source')) masked.set(column.name, { mask: undefined, scope: 'source' });
      else if (scopes.includes('output')) masked.set(column.name, { mask: undefined, scope: 'output' });
    }
  }

  #known(relation: Relation, name: string): void {
    for (const [resource, mask] of this.#masks) {
      if (!resource.startsWith(`${name}.`) || this.#met.has(resource)) continue;
      throw new RewriteRefusal(
        'mask_unknown_column',
        `${qualified(relation)} has no column ${resource.slice(name.length + 1)}, which the mask ${mask.code} is for`,
      );
    }
  }
}

/**
 * Refuses filters that read what an earlier layer of policy masks: which rows they let through would tell.
 *
 * @param named By column, the names that it and what it is made of go by.
 */
function demandUnseen(
  relation: Relation,
  filters: readonly Filter[],
  named: ReadonlyMap<string, Iterable<string>>,
): void {
  for (const { where, resource, code, unseen = [] } of filters) {
    if (unseen.length === 0) continue;
    const names = new Set(unseen);
    const isHidden = (column: string): boolean => [...(named.get(column) ?? [])].some((name) => names.has(name));
    for (const column of refusing(() => filterColumns(where), resource)) {
      if (![column, ...inputsOf(relation, column)].some(isHidden)) continue;
      throw new RewriteRefusal(
        'filter_unenforceable',
        `the filter ${code} of ${resource} reads ${column}, which the policy beneath it masks: which rows come would tell its values`,
      );
    }
  }
}

/** What the server computes a generated column of: all columns, where that is not known. Of any other column none. */
function inputsOf({ columns }: Relation, column: string): readonly string[] {
  const generated = columns.find(({ name }) => name === column);
  if (generated?.generated === undefined) return [];
  return generated.inputs.length > 0 ? generated.inputs : columns.map(({ name }) => name);
}

const distinct = (filters: readonly Filter[]): readonly Filter[] => {
  const seen = new Set<string>();
  return filters.filter(({ where }) => !seen.has(where) && seen.add(where));
};

/** What stands in place of a reference to a masked column. */
export function maskedValue(column: CatalogColumn, rule: Rule, reference: string): string {
  const is = asMaskColumn(column);
  const { mask } = rule;
  if (mask === undefined) return nullOf(is);
  return refusing(() => maskExpression(mask, is, reference), mask.resource);
}

/** All filters of a relation as one predicate, and what fails where it is another one. */
export function conditionOf({ relation, filters, guard }: Rules, alias: string): string | undefined {
  const conditions = filters.map(({ where, resource }) =>
    refusing(() => filterExpression(where, relation, alias), resource),
  );
  if (guard !== undefined) conditions.push(guard);
  return conditions.length === 0 ? undefined : conditions.join(' AND ');
}

function refusing<T>(make: () => T, resource: string): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof MaskError) throw new RewriteRefusal(error.code, `${resource}: ${error.message}`);
    throw error;
  }
}
