import { actions, type Action, type Resource, type Use } from '#engine';
import { StatementError, type ColumnFact, type RelationFact, type StatementFacts } from '../judging/statement.js';
import { carried, carriedBy, carriedBySetting } from './carriers.js';
import type { AskedCast, Cascade, Reached, Relation } from './catalog.js';
import { isHarmlessHidden, mayMoveNames } from './functions.js';
import type { ViewColumn, ViewLineage } from './lineage.js';
import type { Derived, Origin } from './scope.js';

/** Gathers what one statement touches, and turns it into what policy sees. */

/** More than this of one statement is refused: policy has to look at each. */
export const resources_max = 20_000;

/** Why a statement is opaque is told up to so many reasons. */
const reasons_max = 20;

export type Access = Resource['access'];

const kinds: Readonly<Record<string, string>> = {
  r: 'table',
  v: 'view',
  m: 'materialized_view',
  f: 'foreign_table',
  p: 'partitioned_table',
  S: 'sequence',
  i: 'index',
  I: 'index',
  c: 'composite_type',
  t: 'toast_table',
  n: 'table',
  '?': 'unresolved',
};

/** A column that is written, and what the new value is made of. */
export interface Assignment {
  /** All its names: its own, its parents' and its children's. */
  readonly column: readonly Origin[];
  readonly origins: readonly Origin[];
  readonly access: 'insert' | 'update';
}

const currentSetting = 'pg_catalog.current_setting';

const tableKinds: ReadonlySet<string> = new Set(['r', 'p', 'f']);

export const qualified = (relation: { readonly schema: string; readonly name: string }): string =>
  relation.schema === '' ? relation.name : `${relation.schema}.${relation.name}`;

export class Facts {
  kind = 'unknown';
  action: Action = 'session';
  bounded = true;
  limit: number | undefined;
  /** What it sets the session's prompt to, where that is a constant. */
  prompt: string | undefined;
  /** What the statement's effects on names are, as far as they are not the statement's kind alone. */
  movesPath = false;
  movesAnything = false;
  /** What it does is measured: how large the rows are that it writes anew depends on all of their columns. */
  isMeasured = false;
  movesIsolation = false;
  /** It asks for a setting that it does not name. */
  readsAnySetting = false;
  /** What the statement, or the query in it, hands out. */
  outputs: Derived | undefined;
  /** What is written where, apart from constants. */
  readonly assigned: Assignment[] = [];
  readonly #relations = new Map<string, RelationFact>();
  readonly #columns = new Map<string, ColumnFact>();
  readonly #functions = new Set<string>();
  readonly #settings = new Set<string>();
  readonly #others = new Map<string, Resource>();
  readonly #because = new Set<string>();
  readonly #unresolved = new Set<string>();
  /** Columns that flowed into a sub-query's output: listed as output where nothing else used them. */
  readonly #flowed = new Map<string, string>();
  readonly #used = new Set<string>();
  /** By column: functions of casts that nobody has to say. */
  readonly #casts = new Map<string, readonly string[]>();
  /** By column: those that a cast runs, and what makes JSON of it. */
  readonly #castsAsked = new Map<string, readonly AskedCast[]>();
  /** By the name of a table's tableoid: the columns that it tells of, since they put a row into its partition. */
  readonly #keys = new Map<string, readonly string[]>();
  /** Bodies of functions, whose names are looked for as they run. */
  #hasBodies = false;
  /** Columns of the views that are read, by their full names: what uses them uses what they are made of. */
  readonly #through = new Map<string, ViewColumn>();
  readonly #lineage: (relation: Relation) => ViewLineage | undefined;

  constructor(lineage: (relation: Relation) => ViewLineage | undefined) {
    this.#lineage = lineage;
  }

  /** The action is the strongest of the parts'. */
  act(action: Action): void {
    if (actions.indexOf(action) > actions.indexOf(this.action)) this.action = action;
  }

  opaque(because: string): void {
    if (this.#because.size < reasons_max) this.#because.add(because);
    // Whoever lets through what is opaque for reasons that they know must see that there are others.
    else if (!this.#because.has(because)) this.#because.add('there is more to it than is listed');
  }

  get isOpaque(): boolean {
    return this.#because.size > 0;
  }

  /** Every name was found. */
  get isResolved(): boolean {
    return this.#unresolved.size === 0;
  }

  /** The uses of columns that were noted so far. */
  get columns(): readonly ColumnFact[] {
    return [...this.#columns.values()];
  }

  relation(name: string, kind: string, access: Access, via?: string): void {
    const key = `${access}\0${name}\0${via ?? ''}`;
    if (this.#relations.has(key)) return;
    this.#relations.set(key, { name, access, type: kinds[kind] ?? 'table', ...(via === undefined ? {} : { via }) });
    this.#bound();
  }

  column(name: string, use: Use, access: Access, via?: string): void {
    this.#used.add(name);
    this.#column(name, use, access, via);
    const below = this.#through.get(name);
    if (below === undefined) return;
    for (const each of below.copies) this.#column(each.name, use, access, each.via);
    // What is made of columns can't be written.
    if (access === 'read') for (const each of below.derived) this.#column(each.name, use, access, each.via);
  }

  #column(name: string, use: Use, access: Access, via?: string): void {
    const key = `${use}\0${access}\0${name}\0${via ?? ''}`;
    if (this.#columns.has(key)) return;
    this.#columns.set(key, { name, use, access, ...(via === undefined ? {} : { via }) });
    this.#bound();
    for (const each of this.#keys.get(name) ?? []) this.#column(each, use, access, name);
    for (const fn of access === 'read' ? (this.#casts.get(name) ?? []) : [])
      this.hidden(fn, `the type of ${name} runs ${fn}() unasked, whose body is not known`, name);
    const what = carried(name);
    if (what !== undefined) this.opaque(what);
  }

  /** A column that a sub-query hands out: what uses it is found where it is used. */
  flow(name: string): void {
    this.#flowed.set(name, name);
  }

  function(name: string): void {
    this.#functions.add(name);
  }

  /** A function that runs without being named: by a trigger, a default, a view. */
  hidden(name: string, because: string, via: string): void {
    if (isHarmlessHidden(name)) return;
    this.other({ type: 'function', name, access: 'execute', via });
    this.#functions.add(name);
    this.opaque(because);
    if (mayMoveNames(name)) this.movesAnything = true;
  }

  /** Takes over what the body of a function touches. @param via How the function is called in a fact: `app.total()`. */
  absorb(body: Facts, via: string): void {
    this.#hasBodies = true;
    for (const { name, access, type } of body.#relations.values()) {
      this.#relations.set(`${access}\0${name}\0${via}`, { name, access, type, via });
      this.#bound();
    }
    for (const { name, use, access } of body.#columns.values()) this.#column(name, use, access, via);
    for (const name of body.#flowed.keys()) if (!body.#used.has(name)) this.#column(name, 'output', 'read', via);
    for (const name of body.#functions) this.#functions.add(name);
    for (const name of body.#settings) this.#settings.add(name);
    for (const resource of body.#others.values()) this.other({ ...resource, via });
  }

  /** It does nothing but read, and all of it is known. */
  get isPlainRead(): boolean {
    return (
      !this.isOpaque &&
      this.isResolved &&
      (this.action === 'session' || this.action === 'read') &&
      !this.movesPath &&
      !this.movesAnything &&
      !this.readsAnySetting &&
      [...this.#relations.values()].every(({ access }) => access === 'read')
    );
  }

  get functions(): ReadonlySet<string> {
    return this.#functions;
  }

  setting(name: string, access: 'use' | 'administer' | 'read'): void {
    this.#settings.add(name);
    if (access !== 'read' && /isolation/i.test(name)) this.movesIsolation = true;
    const what = access === 'read' ? carriedBySetting(name) : undefined;
    if (what !== undefined) this.opaque(what);
    this.other({ type: 'setting', name, access });
  }

  other(resource: Resource): void {
    this.#others.set(`${resource.type}\0${resource.name}\0${resource.access}\0${resource.via ?? ''}`, resource);
    this.#bound();
  }

  unresolved(what: string, name: string): void {
    this.#unresolved.add(name);
    this.opaque(`there is no ${what} ${name} where the server would look for it`);
  }

  /** What the server may run unasked on values of a relation's columns counts where they are read. */
  #castable(relation: Relation, name: string): void {
    for (const { name: column, casts, castsAsked } of relation.columns) {
      if (casts.length > 0) this.#casts.set(`${name}.${column}`, casts);
      if (castsAsked.length > 0) this.#castsAsked.set(`${name}.${column}`, castsAsked);
    }
  }

  /** A value that is made of these columns is cast to one of these types, or to any where that is not known. */
  castAsked(columns: readonly string[], to: readonly number[] | undefined): void {
    if (this.#castsAsked.size === 0) return;
    for (const column of columns)
      for (const { function: fn, to: type } of this.#castsAsked.get(column) ?? [])
        if (to === undefined || to.includes(type))
          this.hidden(fn, `a cast of ${column} runs ${fn}(), whose body is not known`, column);
  }

  /** Reading a relation, and what is read behind it. `only`: without its children. */
  read(relation: Relation, only = false): void {
    const name = qualified(relation);
    this.relation(name, relation.kind, 'read');
    this.#behind(relation, name, 'read', only);
  }

  /** Which rows there are to see is decided by what a partition's table is partitioned by, and by what policies look at. */
  rowsOf(relation: Relation): void {
    for (const key of [...relation.keysAbove, ...relation.policyColumns])
      this.#column(key, 'predicate', 'read', qualified(relation));
  }

  /** All columns of a relation, by its parents' names as well, for a use that names none of them. */
  columnsOf(relation: Relation, use: Use): void {
    for (const { name } of relation.columns) this.column(`${qualified(relation)}.${name}`, use, 'read');
    for (const parent of relation.reads)
      if (parent.how === 'p')
        for (const name of parent.columns) this.column(`${qualified(parent)}.${name}`, use, 'read');
  }

  /** Writing a relation: triggers, rules, defaults and cascades are part of it. `changed`: the columns that an UPDATE names. */
  write(
    relation: Relation,
    access: 'insert' | 'update' | 'delete' | 'truncate',
    only = false,
    changed?: readonly string[],
  ): void {
    const name = qualified(relation);
    this.relation(name, relation.kind, access);
    this.#behind(relation, name, access, only);
    // pg_trigger.tgtype: 4 insert, 8 delete, 16 update, 32 truncate.
    const bit = { insert: 4, delete: 8, update: 16, truncate: 32 }[access];
    for (const trigger of relation.triggers) {
      if ((trigger.type & bit) === 0) continue;
      this.hidden(
        trigger.function,
        `trigger ${trigger.name} of ${trigger.relation} runs ${trigger.function}(), whose body is not known`,
        trigger.relation,
      );
    }
    // pg_rewrite.ev_type: 2 update, 3 insert, 4 delete.
    const event = { insert: '3', delete: '4', update: '2', truncate: '' }[access];
    for (const rule of relation.rules) {
      if (rule.event === event) this.opaque(`rule ${rule.name} of ${rule.relation} does more than the statement says`);
    }
    if (access === 'insert' || access === 'update') {
      for (const fn of relation.writeFunctions)
        this.hidden(fn, `writing ${name} runs ${fn}(), whose body is not known`, name);
    }
    if (access !== 'delete' && access !== 'update') return;
    this.cascade(relation, access === 'delete' ? 'd' : 'u', changed);
    if (this.isMeasured) this.columnsOf(relation, 'output');
  }

  /** What foreign keys do in the wake of a write. */
  cascade(relation: Relation, start: Cascade['start'], changed?: readonly string[]): void {
    // A view's columns, and a BEFORE trigger's, are called otherwise or are not named at all.
    const names = relation.kind === 'v' || relation.triggers.length > 0 ? undefined : changed;
    for (const cascade of relation.cascades) {
      if (cascade.start !== start) continue;
      if (names !== undefined && cascade.changed?.some((name) => names.includes(name)) === false) continue;
      const { relation: name, access, via } = cascade;
      this.relation(name, cascade.kind, access, via);
      for (const key of cascade.keys) this.#column(key, 'predicate', 'read', via);
      for (const fn of cascade.functions)
        this.hidden(fn, `the ${access} that goes on to ${name} runs ${fn}(), whose body is not known`, name);
      if (cascade.isRuled) this.opaque(`a rule of ${name} does more than the ${access} that goes on to it`);
    }
  }

  /**
   * A table's children, whose rows are its own: the server asks for rights on the parent alone, policy may have something to
   * say about each. ONLY means nothing to a view. What is inserted goes to a table itself, or to one of its partitions.
   */
  heirs(relation: Relation, access: Access, only = false): void {
    if (only && tableKinds.has(relation.kind)) return;
    for (const heir of relation.heirs) {
      if (access === 'insert' && !heir.partition && !heir.policy) continue;
      this.relation(qualified(heir), heir.kind, heir.policy ? 'read' : access, heir.via);
    }
    if (relation.moreHeirs) this.opaque(`${qualified(relation)} has more children than the gateway tells apart`);
  }

  #behind(relation: Relation, name: string, access: Access, only: boolean): void {
    this.#castable(relation, name);
    this.#keys.set(`${name}.tableoid`, relation.keysWithin);
    if (access !== 'insert') this.rowsOf(relation);
    const lineage = this.#lineage(relation);
    for (const [column, below] of lineage?.columns ?? []) this.#through.set(`${name}.${column}`, below);
    for (const { name: column, use, via } of lineage?.uses ?? []) this.#column(column, use, 'read', via);
    if (
      lineage?.readsAnySetting ??
      (relation.definition !== undefined && relation.readFunctions.includes(currentSetting))
    )
      this.opaque(`reading ${name} runs current_setting() on a name that is not known`);
    for (const reached of relation.reads)
      this.#reached(reached, reached.how === 'q' || reached.how === 't' ? 'read' : access, lineage);
    this.heirs(relation, access, only);
    for (const fn of relation.readFunctions)
      this.hidden(fn, `reading ${name} runs ${fn}(), whose body is not known`, name);
  }

  #reached(reached: Reached, access: Access, lineage: ViewLineage | undefined): void {
    const name = qualified(reached);
    this.relation(name, reached.kind, access, reached.via);
    if (reached.how === 'p') return;
    if (access !== 'read') this.relation(name, reached.kind, 'read', reached.via);
    // What a view of known lineage does with its columns is told by whoever uses the view's own.
    if (reached.how === 'v' && lineage?.views.has(reached.via)) return;
    // The server's own views on them hand out what their columns say.
    const what = /^(pg_catalog|information_schema)\./.test(reached.via) ? undefined : carriedBy(name);
    if (what !== undefined) this.opaque(`${name}, which ${reached.via} reads, ${what}`);
    for (const column of reached.columns)
      this.#column(`${name}.${column}`, reached.how === 'q' ? 'predicate' : 'output', 'read', reached.via);
  }

  #bound(): void {
    if (this.#relations.size + this.#columns.size + this.#others.size > resources_max) {
      throw new StatementError(
        '54000',
        `the statement touches more than ${resources_max} things`,
        undefined,
        'Split it.',
      );
    }
  }

  /** `database` stands in where nothing else is touched. */
  finish(fingerprint: string, database: string): { facts: StatementFacts; resources: Resource[] } {
    if (this.#hasBodies && this.movesPath)
      this.opaque('names in the body of a function may mean something else by the time that it runs');
    for (const name of this.#flowed.keys()) if (!this.#used.has(name)) this.column(name, 'output', 'read');
    const unresolved = [...this.#unresolved];
    const resources: Resource[] = [];
    for (const { name, access, via, type } of this.#relations.values()) {
      resources.push({
        type: 'relation',
        name,
        access,
        ...(via === undefined ? {} : { via }),
        ...(type === 'unresolved' ? { unresolved: true } : {}),
      });
    }
    for (const { name, access, use, via } of this.#columns.values()) {
      resources.push({ type: 'column', name, access, use, ...(via === undefined ? {} : { via }) });
    }
    resources.push(...this.#others.values());
    for (const name of this.#functions) {
      if (!resources.some((r) => r.type === 'function' && r.name === name)) {
        resources.push({
          type: 'function',
          name,
          access: 'execute',
          ...(this.#unresolved.has(name) ? { unresolved: true } : {}),
        });
      }
    }
    if (resources.length === 0) {
      resources.push(
        this.action === 'session' || this.action === 'connect'
          ? { type: 'session', name: 'session', access: 'use' }
          : { type: 'database', name: database, access: this.action === 'read' ? 'read' : 'use' },
      );
    }
    const facts: StatementFacts = {
      kind: this.kind,
      action: this.action,
      opaque: this.isOpaque,
      bounded: this.bounded,
      fingerprint,
      relations: [...this.#relations.values()],
      columns: [...this.#columns.values()],
      functions: [...this.#functions],
      settings: [...this.#settings],
      ...(this.limit === undefined ? {} : { limit: this.limit }),
      unresolved,
      ...(this.isOpaque ? { because: [...this.#because] } : {}),
    };
    return { facts, resources };
  }
}
