import { RewriteRefusal } from '../../enforcing/rewriting.js';
import type { RelationFact, StatementFacts } from '../../judging/statement.js';
import type { Relation } from '../catalog.js';
import { qualified, type Assignment } from '../facts.js';
import { isCondition, type ViewLineage } from '../lineage.js';
import type { Source } from '../scope.js';
import type { Occurrences } from './occurrences.js';
import type { Obliged } from './rules.js';

/** Whether all that a statement touches of what has masks or filters is where these can be put. */

/** Kinds of statements whose relations are rewritten. */
const rewritten: ReadonlySet<string> = new Set([
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'copy',
  'create_table_as',
  'explain',
  'prepare',
  'declare',
]);

export interface Views {
  lineage(relation: Relation): ViewLineage | undefined;
  /** Its query is read in its place. */
  isExpanded(relation: Relation): boolean;
}

/** @param because What stands in the way, and what to do. */
export const notHere = (what: string, because: string): RewriteRefusal =>
  refuse(`a condition cannot see the value of ${what}, which is masked on the way out: ${because}`);

const refuse = (message: string): RewriteRefusal => new RewriteRefusal('mask_unenforceable', message);

export class Touched {
  readonly #facts: StatementFacts;
  readonly #obliged: Obliged;
  readonly #views: Views;
  readonly #sources: readonly Source[];
  readonly #read: readonly Relation[];
  readonly #written: readonly Relation[];
  readonly #named: ReadonlySet<string>;
  readonly #tables: ReadonlySet<string>;
  /** Parents and children of what is named. */
  readonly #parents = new Set<string>();
  readonly #heirs = new Set<string>();
  readonly #relations: readonly RelationFact[];

  constructor(facts: StatementFacts, seen: Occurrences, obliged: Obliged, views: Views) {
    this.#facts = facts;
    this.#obliged = obliged;
    this.#views = views;
    this.#sources = [...seen.reads.values(), ...seen.targets.values()];
    const relationsOf = (of: ReadonlyMap<unknown, Source>): Relation[] =>
      [...of.values()].flatMap(({ relation }) => (relation === undefined ? [] : [relation]));
    this.#read = relationsOf(seen.reads);
    this.#written = relationsOf(seen.targets);
    const relations = this.#sources.flatMap(({ relation }) => (relation === undefined ? [] : [relation]));
    this.#named = new Set(relations.map(qualified));
    this.#tables = new Set(relations.filter(({ kind }) => kind !== 'v' && kind !== 'm').map(qualified));
    for (const { reads, heirs } of relations) {
      for (const reached of reads) if (reached.how === 'p') this.#parents.add(qualified(reached));
      for (const heir of heirs) if (!heir.policy) this.#heirs.add(qualified(heir));
    }
    this.#relations = facts.relations.filter(
      ({ name, access, via }) =>
        obliged.touches(name) && !(access === 'define' && via === undefined && isMaking(facts)),
    );
  }

  /** Something with a mask or a filter is touched. */
  get isObliged(): boolean {
    return this.#relations.length > 0 || this.#defined !== undefined;
  }

  /** A masked column that a definition is about, by whichever of its relations' names it is known. */
  get #defined(): string | undefined {
    const { kind, columns } = this.#facts;
    if (rewritten.has(kind) || kind === 'lock' || kind === 'truncate') return undefined;
    return columns.find(({ name }) => this.#obliged.mask(name) !== undefined)?.name;
  }

  /** Throws RewriteRefusal. */
  check(): void {
    const { kind } = this.#facts;
    const [first] = this.#relations;
    const defined = this.#defined;
    if (first === undefined && defined !== undefined)
      throw refuse(
        `${kind.replaceAll('_', ' ').toUpperCase()} reads the masked column ${defined}, or takes its name from it: masks cannot be put into it`,
      );
    if (first === undefined) return;
    const filtered = this.#relations.find(({ name }) => this.#obliged.filters(name).length > 0);
    if (kind === 'lock' || (kind === 'truncate' && filtered === undefined)) return;
    if (kind === 'truncate')
      throw new RewriteRefusal(
        'filter_unenforceable',
        `TRUNCATE of ${filtered?.name ?? ''} would take what the filter hides`,
      );
    if (!rewritten.has(kind))
      throw refuse(
        `${kind.replaceAll('_', ' ').toUpperCase()} of ${first.name}: masks and filters cannot be put into it`,
      );
    for (const fact of this.#relations) this.#covered(fact);
    this.#rows();
    for (const relation of this.#written) this.#cascades(relation);
    for (const view of this.#read) if (!this.#views.isExpanded(view)) this.#view(view);
    for (const view of this.#written) this.#view(view);
  }

  /** Which rows a policy shows tells of what it looks at, and in which partition a row is of what it is partitioned by: what stands in one that is named, and `tableoid`. */
  #rows(): void {
    const { columns, relations } = this.#facts;
    for (const relation of [...this.#read, ...this.#written]) {
      const name = qualified(relation);
      const isInserted = relations.every((fact) => fact.name !== name || fact.access === 'insert');
      const isSecret = (column: string): boolean => this.#obliged.mask(column)?.scope === 'source';
      const chosen = relation.policyColumns.find(isSecret);
      if (chosen !== undefined && !isInserted)
        throw refuse(`a row-level policy of ${name} depends on the masked column ${chosen}`);
      const key = relation.keysAbove.find(isSecret);
      if (key !== undefined && !isInserted)
        throw refuse(
          `which rows ${name} has tells of the masked column ${key}: read the table that it is a partition of`,
        );
      for (const { name: column, use } of columns) {
        if (column !== `${name}.tableoid`) continue;
        const scopes = relation.keysWithin.map((each) => this.#obliged.mask(each)?.scope);
        if (scopes.some((scope) => scope === 'source' || (scope === 'output' && !isCondition(use))))
          throw refuse(`${column} tells of a masked column, by which ${name} is partitioned`);
      }
    }
  }

  /** Which rows a foreign key takes a DELETE or UPDATE on to tells which values are equal: hashes do as well. */
  #cascades(written: Relation): void {
    for (const { relation, access, via, keys } of written.cascades) {
      if (!this.#facts.relations.some((fact) => fact.name === relation && fact.access === access && fact.via === via))
        continue;
      const masks = keys.map((key) => this.#obliged.mask(key));
      const masked = keys.find((_, index) => masks[index]?.scope === 'source');
      if (masked === undefined || masks.every((mask) => mask?.with === 'hash')) continue;
      throw refuse(
        `the ${access} that a foreign key takes on to ${relation} tells of the masked column ${masked}: whose rows are equal to those of ${via}`,
      );
    }
  }

  /** A function's body reads it: nothing can be put there. */
  #inBody(name: string, via: string): void {
    if (this.#obliged.filters(name).length > 0)
      throw new RewriteRefusal('filter_unenforceable', `the filter of ${name} cannot be put into the body of ${via}`);
    const column = this.#facts.columns.find((each) => each.via === via && this.#obliged.mask(each.name) !== undefined);
    if (column !== undefined)
      throw refuse(`${via} reads the masked column ${column.name} in its body, where no mask can be put`);
  }

  #covered({ name, via, access }: RelationFact): void {
    if (via?.endsWith('()')) {
      this.#inBody(name, via);
      return;
    }
    if (via === undefined && this.#named.has(name)) return;
    const filtered = this.#obliged.filters(name).length > 0;
    const isRelative = via === undefined || this.#tables.has(via) || this.#parents.has(via) || this.#heirs.has(via);
    if (isRelative && this.#parents.has(name)) return;
    if (isRelative && this.#heirs.has(name)) {
      if (filtered)
        throw new RewriteRefusal(
          'filter_unenforceable',
          `the filter of ${name} cannot be put where its rows are reached through ${via ?? 'its parent'}`,
        );
      return;
    }
    if (via !== undefined && this.#isExpanded(name)) return;
    if (filtered && via !== undefined && !this.#isPolicy(name))
      throw new RewriteRefusal(
        'filter_unenforceable',
        `the filter of ${name} cannot be put where its rows are reached through ${via}`,
      );
    if (via !== undefined && this.#throughViews(name)) return;
    if (this.#isPolicy(name)) {
      this.#policy(name);
      return;
    }
    // Of ON DELETE and ON UPDATE of foreign keys, the keys alone tell anything.
    if (via !== undefined && (access === 'delete' || access === 'update')) return;
    throw refuse(`${name} is reached ${via === undefined ? 'where' : `through ${via}, where`} masks cannot be put`);
  }

  /** All views that reach the relation are replaced by their queries, of which the same is asked. */
  #isExpanded(name: string): boolean {
    const reaching = [...this.#read, ...this.#written].filter(
      ({ kind, reads, heirs }) =>
        reads.some((reached) => (reached.how !== 'p' || isView(kind)) && qualified(reached) === name) ||
        heirs.some((heir) => qualified(heir) === name),
    );
    return reaching.length > 0 && reaching.every((view) => this.#read.includes(view) && this.#views.isExpanded(view));
  }

  /** Views that reach the relation are known to the last column; what they use it for is looked at with each. */
  #throughViews(name: string): boolean {
    const views = this.#sources.flatMap(({ relation }) =>
      relation !== undefined && isView(relation.kind) && reachedBy(relation).has(name) ? [relation] : [],
    );
    return views.length > 0 && views.every((view) => this.#views.lineage(view) !== undefined);
  }

  #isPolicy(name: string): boolean {
    return this.#sources.some(({ relation }) =>
      relation?.reads.some((reached) => reached.how === 'q' && qualified(reached) === name),
    );
  }

  /** Which rows a policy of the database shows would tell of a masked value. */
  #policy(name: string): void {
    for (const { relation } of this.#sources)
      for (const reached of relation?.reads ?? []) {
        if (reached.how !== 'q' || qualified(reached) !== name) continue;
        const column = reached.columns.find((each) => this.#obliged.mask(`${name}.${each}`)?.scope === 'source');
        if (column !== undefined)
          throw refuse(`a row-level policy of ${reached.via} depends on the masked column ${name}.${column}`);
      }
  }

  #view(relation: Relation): void {
    if (!isView(relation.kind)) return;
    const name = qualified(relation);
    const below = [...reachedBy(relation)].find((reached) => this.#obliged.touches(reached));
    const lineage = this.#views.lineage(relation);
    if (below === undefined) return;
    if (lineage === undefined) throw refuse(`what the view ${name} does with ${below} is not known`);
    for (const { name: column, use } of lineage.uses) {
      const mask = this.#obliged.mask(column);
      if (mask === undefined || (mask.scope === 'output' && isCondition(use))) continue;
      throw refuse(`the view ${name} uses the masked column ${column} for more than its output (${use})`);
    }
  }

  /** What is written into masked columns. Throws RewriteRefusal. */
  checkWrites(assigned: readonly Assignment[]): void {
    for (const { name, access, use } of this.#facts.columns) {
      if (use !== 'write' || access !== 'update' || this.#obliged.mask(name) === undefined) continue;
      throw new RewriteRefusal(
        'masked_write',
        `${name} is masked: what would be written over it may be made of its mask. Leave it out of the statement.`,
      );
    }
    for (const { column, origins } of assigned) {
      const [from] = origins.filter((origin) => this.#obliged.mask(origin) !== undefined);
      const to = column.find((name) => this.#obliged.mask(name) !== undefined);
      if (to === undefined || from === undefined) continue;
      throw new RewriteRefusal('masked_write', `${to} would be written with what is made of the mask of ${from}`);
    }
  }
}

const isView = (kind: string): boolean => kind === 'v' || kind === 'm';

/** What a view's query reads: tables and views, parents of these tables, whose masks they carry, and their children. */
const reachedBy = ({ reads, heirs }: Relation): ReadonlySet<string> =>
  new Set([
    ...reads.filter(({ how }) => how === 'v' || how === 'p').map(qualified),
    ...heirs.filter(({ policy }) => !policy).map(qualified),
  ]);

/** CREATE TABLE AS and SELECT INTO: what is made has no rows yet. */
const isMaking = ({ kind }: StatementFacts): boolean => kind === 'create_table_as' || kind === 'explain';
