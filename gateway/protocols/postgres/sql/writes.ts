import type {
  CopyStmt,
  DeleteStmt,
  InsertStmt,
  MergeStmt,
  MergeWhenClause,
  OnConflictClause,
  RangeVar,
  ResTarget,
  ReturningClause,
  SelectStmt,
  UpdateStmt,
} from 'libpg-query';
import { as, strings, type Wrapped } from './ast.js';
import { isBounded } from './bounded.js';
import type { Relation } from './catalog.js';
import { expression, looseExpressions } from './expressions.js';
import { qualified, type Access } from './facts.js';
import { withClause } from './ctes.js';
import { from, targetList } from './query.js';
import {
  columnOf,
  itemOf,
  nothing,
  openDerived,
  relationSource,
  relatives,
  Scope,
  used,
  wholeRow,
  type Context,
  type Derived,
  type Source,
  type Value,
} from './scope.js';

/** INSERT, UPDATE, DELETE, MERGE and COPY of a relation. What flows into a write has the use `write` with access `read`. */

const none: Derived = { columns: [], open: false, pool: [] };

/** The relation that is written, under the name that the statement's expressions know it by. */
function target(context: Context, range: RangeVar | undefined, access: Access): Source {
  const alias = range?.alias?.aliasname;
  const relation = range?.relname === undefined ? undefined : context.relation(range.schemaname, range.relname, access);
  if (range === undefined || relation === undefined) return { ...openDerived([]), alias: alias ?? range?.relname };
  const only = range.inh !== true || (access !== 'update' && access !== 'delete' && relation.kind === 'r');
  const source = { ...relationSource(relation, alias, [], only), range };
  context.recorder?.target(range, source);
  return source;
}

/** Notes a column as written, and what goes into it. */
function written(
  context: Context,
  source: Source,
  name: string,
  access: 'insert' | 'update',
  value: Value | undefined,
): void {
  if (source.relation === undefined) return;
  const { facts } = context;
  const names = [`${qualified(source.relation)}.${name}`];
  facts.column(names[0]!, 'write', access);
  for (const other of relatives(source.relation, source.only === true)) {
    if (!other.has(name)) continue;
    names.push(`${other.prefix}.${name}`);
    facts.column(`${other.prefix}.${name}`, 'write', access, other.via);
  }
  if (value !== undefined && value.origins.length > 0)
    facts.assigned.push({ column: names, origins: value.origins, access });
}

/** The values of an INSERT with the columns that they go to; the listed ones, or as many of all as there are values. */
function inserted(
  context: Context,
  into: Source,
  listed: readonly string[],
  given: Derived,
): readonly (readonly [string, Value])[] {
  const all = into.columns.map((column) => column.name);
  const names =
    listed.length > 0 ? listed : given.open || given.columns.length === 0 ? all : all.slice(0, given.columns.length);
  const values = names.map((name, index): [string, Value] => {
    // Where the columns of the source are not all known, each value may be made of any of them.
    return [name, given.open ? wholeRow(given) : (given.columns[index] ?? nothing)];
  });
  for (const [name, value] of values) written(context, into, name, 'insert', value);
  return values;
}

export function insert(
  context: Context,
  statement: InsertStmt,
  parent: Scope | undefined,
  use: 'output' | 'flow',
): Derived {
  const { facts } = context;
  facts.act('write');
  const scope = new Scope(parent);
  withClause(context, statement.withClause, scope);
  const into = target(context, statement.relation, 'insert');
  if (into.relation !== undefined) facts.write(into.relation, 'insert', into.only);
  const select = as<SelectStmt>(statement.selectStmt, 'SelectStmt');
  const given = select === undefined ? none : context.select(select, scope, 'write');
  const listed = (statement.cols ?? []).map((col) => as<ResTarget>(col, 'ResTarget')?.name ?? '');
  for (const col of statement.cols ?? [])
    looseExpressions(context, as<ResTarget>(col, 'ResTarget')?.indirection, scope, 'write');
  const values = inserted(context, into, listed, given);
  scope.push(itemOf(into));
  if (statement.onConflictClause !== undefined)
    conflict(context, statement.onConflictClause, into, scope, new Map(values));
  return returning(context, statement.returningClause, into, scope, use);
}

function conflict(
  context: Context,
  clause: OnConflictClause,
  into: Source,
  scope: Scope,
  proposed: ReadonlyMap<string, Value>,
): void {
  const { facts } = context;
  looseExpressions(context, clause.infer, scope, 'predicate');
  for (const node of clause.infer?.indexElems ?? []) {
    const name = as<{ name?: string }>(node, 'IndexElem')?.name;
    if (name !== undefined && into.relation !== undefined)
      facts.column(`${qualified(into.relation)}.${name}`, 'predicate', 'read');
  }
  if (into.relation !== undefined) facts.rowsOf(into.relation);
  if (clause.action !== 'ONCONFLICT_UPDATE') return;
  if (into.relation !== undefined) facts.write(into.relation, 'update', into.only, assignedNames(clause.targetList));
  // What was proposed: the statement's own values, of which nothing is read from the target.
  const excluded: Source = {
    alias: 'excluded',
    columns: into.columns.map(({ name, type }) => ({ name, origins: proposed.get(name)?.origins ?? [], type })),
    open: into.open,
    pool: [],
  };
  const inner = new Scope(scope.parent);
  for (const [name, cte] of scope.ctes) inner.ctes.set(name, cte);
  inner.push(itemOf(into), itemOf(excluded));
  inner.qualifiedOnly.add(excluded);
  assignments(context, clause.targetList, into, inner);
  expression(context, clause.whereClause, inner, 'predicate');
}

const assignedNames = (targets: readonly Wrapped[] | undefined): readonly string[] =>
  (targets ?? []).map((target) => as<ResTarget>(target, 'ResTarget')?.name ?? '');

function assignments(context: Context, targets: readonly Wrapped[] | undefined, into: Source, scope: Scope): void {
  for (const node of targets ?? []) {
    const assigned = as<ResTarget>(node, 'ResTarget');
    if (assigned === undefined) continue;
    looseExpressions(context, assigned.indirection, scope, 'write');
    const value = expression(context, assigned.val, scope, 'write');
    written(context, into, assigned.name ?? '', 'update', value);
  }
}

export function update(
  context: Context,
  statement: UpdateStmt,
  parent: Scope | undefined,
  use: 'output' | 'flow',
): Derived {
  const { facts } = context;
  facts.act('write');
  const scope = new Scope(parent);
  withClause(context, statement.withClause, scope);
  const into = target(context, statement.relation, 'update');
  if (into.relation !== undefined) facts.write(into.relation, 'update', into.only, assignedNames(statement.targetList));
  scope.push(itemOf(into));
  for (const node of statement.fromClause ?? []) scope.push(from(context, node, scope));
  assignments(context, statement.targetList, into, scope);
  expression(context, statement.whereClause, scope, 'predicate');
  if (!isBounded(statement.whereClause, into)) facts.bounded = false;
  return returning(context, statement.returningClause, into, scope, use);
}

export function remove(
  context: Context,
  statement: DeleteStmt,
  parent: Scope | undefined,
  use: 'output' | 'flow',
): Derived {
  const { facts } = context;
  facts.act('delete');
  const scope = new Scope(parent);
  withClause(context, statement.withClause, scope);
  const into = target(context, statement.relation, 'delete');
  if (into.relation !== undefined) facts.write(into.relation, 'delete', into.only);
  scope.push(itemOf(into));
  for (const node of statement.usingClause ?? []) scope.push(from(context, node, scope));
  expression(context, statement.whereClause, scope, 'predicate');
  if (!isBounded(statement.whereClause, into)) facts.bounded = false;
  return returning(context, statement.returningClause, into, scope, use);
}

export function mergeInto(
  context: Context,
  statement: MergeStmt,
  parent: Scope | undefined,
  use: 'output' | 'flow',
): Derived {
  const { facts } = context;
  facts.act('write');
  const scope = new Scope(parent);
  withClause(context, statement.withClause, scope);
  const into = target(context, statement.relation, 'update');
  if (into.relation !== undefined) targetRead(context, into.relation, into.only);
  scope.push(itemOf(into));
  if (statement.sourceRelation !== undefined) scope.push(from(context, statement.sourceRelation, scope));
  // RETURNING * begins with the source's columns.
  scope.stars.reverse();
  expression(context, statement.joinCondition, scope, 'join');
  for (const node of statement.mergeWhenClauses ?? []) {
    const clause = as<MergeWhenClause>(node, 'MergeWhenClause');
    if (clause === undefined) continue;
    expression(context, clause.condition, scope, 'predicate');
    if (clause.commandType === 'CMD_UPDATE' || clause.commandType === 'CMD_DELETE') {
      // What has no match in the source is bounded by its own condition alone.
      const matched = clause.matchKind !== 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE';
      if (!(matched && isBounded(statement.joinCondition, into)) && !isBounded(clause.condition, into))
        facts.bounded = false;
    }
    switch (clause.commandType) {
      case 'CMD_UPDATE':
        if (into.relation !== undefined)
          facts.write(into.relation, 'update', into.only, assignedNames(clause.targetList));
        assignments(context, clause.targetList, into, scope);
        break;
      case 'CMD_INSERT': {
        if (into.relation !== undefined) facts.write(into.relation, 'insert', into.only);
        const listed = (clause.targetList ?? []).map((col) => as<ResTarget>(col, 'ResTarget')?.name ?? '');
        const columns = (clause.values ?? []).map((value) => ({
          ...expression(context, value, scope, 'write'),
          name: '',
        }));
        inserted(context, into, listed, { columns, open: false, pool: [] });
        break;
      }
      case 'CMD_DELETE':
        facts.act('delete');
        if (into.relation !== undefined) facts.write(into.relation, 'delete', into.only);
        break;
      default:
        break;
    }
  }
  return returning(context, statement.returningClause, into, scope, use);
}

/** Reading what is written: what stands behind it is noted with the write. */
function targetRead({ facts }: Context, relation: Relation, only: boolean | undefined): void {
  facts.relation(qualified(relation), relation.kind, 'read');
  facts.heirs(relation, 'read', only);
}

function returning(
  context: Context,
  clause: ReturningClause | undefined,
  into: Source,
  scope: Scope,
  use: 'output' | 'flow',
): Derived {
  if (clause === undefined) return none;
  if (into.relation !== undefined) targetRead(context, into.relation, into.only);
  // old and new, or what RETURNING WITH (OLD AS …) calls them, are the target's row before and after.
  const names = new Map([
    ['OLD', 'old'],
    ['NEW', 'new'],
  ]);
  for (const node of clause.options ?? []) {
    const option = as<{ option?: string; value?: string }>(node, 'ReturningOption');
    if (option?.value !== undefined) names.set(option.option === 'RETURNING_OPTION_OLD' ? 'OLD' : 'NEW', option.value);
  }
  for (const alias of names.values()) {
    if (scope.sources.some((source) => source.alias === alias)) continue;
    const row: Source = { ...into, alias, schema: undefined };
    scope.sources.push(row);
    scope.qualifiedOnly.add(row);
  }
  return targetList(context, clause.exprs ?? [], scope, use);
}

/** COPY of a relation or a query, to or from the client, a file or a program. */
export function copy(context: Context, statement: CopyStmt, query: (node: Wrapped) => void): void {
  const { facts } = context;
  facts.act(statement.is_from ? 'write' : 'read');
  if (statement.filename !== undefined) {
    facts.act('transfer');
    const type = statement.is_program ? 'program' : 'file';
    facts.other({
      type,
      name: statement.filename,
      access: statement.is_program ? 'execute' : statement.is_from ? 'read' : 'update',
    });
    // What a command does, or what reads and runs a file of the server's machine, no statement says.
    facts.opaque(`it goes through a ${type} on the server's machine`);
  }
  if (statement.query !== undefined) query(statement.query);
  if (statement.relation === undefined) return;
  // COPY … TO of a table that others inherit from leaves these out.
  const source = target(context, statement.relation, statement.is_from ? 'insert' : 'read');
  const scope = new Scope(undefined);
  scope.push(itemOf(source));
  if (source.relation !== undefined) {
    const listed = strings(statement.attlist);
    // What the server computes itself is neither given nor handed out.
    const own = source.relation.columns.filter((column) => column.generated === undefined);
    const names = listed.length > 0 ? listed : own.map((column) => column.name);
    if (statement.is_from) {
      facts.write(source.relation, 'insert', source.only);
      for (const name of names) written(context, source, name, 'insert', undefined);
    } else {
      facts.read(source.relation, source.only);
      const prefix = qualified(source.relation);
      const read = (name: string): Value =>
        used(context, columnOf(source, name) ?? { origins: [`${prefix}.${name}`] }, 'output');
      facts.outputs = { columns: names.map((name) => ({ ...read(name), name })), open: false, pool: [] };
    }
  }
  expression(context, statement.whereClause, scope, 'predicate');
}
