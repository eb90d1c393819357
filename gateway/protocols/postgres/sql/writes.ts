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
import { from, targetList, withClause } from './query.js';
import {
  itemOf,
  openDerived,
  relationSource,
  relatives,
  Scope,
  used,
  wholeRow,
  type Context,
  type Derived,
  type Source,
} from './scope.js';

/** INSERT, UPDATE, DELETE, MERGE and COPY of a relation. What flows into a write has the use `write` with access `read`. */

const none: Derived = { columns: [], open: false, pool: [] };

/** The relation that is written, under the name that the statement's expressions know it by. */
function target(context: Context, range: RangeVar | undefined, access: Access): Source {
  const alias = range?.alias?.aliasname;
  const relation = range?.relname === undefined ? undefined : context.relation(range.schemaname, range.relname, access);
  return relation === undefined
    ? { ...openDerived([]), alias: alias ?? range?.relname }
    : relationSource(
        relation,
        alias,
        [],
        range?.inh !== true || (access !== 'update' && access !== 'delete' && relation.kind === 'r'),
      );
}

function written(context: Context, source: Source, names: readonly string[], access: 'insert' | 'update'): void {
  if (source.relation === undefined) return;
  const prefix = qualified(source.relation);
  for (const name of names) {
    context.facts.column(`${prefix}.${name}`, 'write', access);
    for (const other of relatives(source.relation, source.only === true)) {
      if (other.has(name)) context.facts.column(`${other.prefix}.${name}`, 'write', access, other.via);
    }
  }
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
  const all = into.columns.map((column) => column.name);
  written(
    context,
    into,
    listed.length > 0 ? listed : given.open || given.columns.length === 0 ? all : all.slice(0, given.columns.length),
    'insert',
  );
  scope.push(itemOf(into));
  if (statement.onConflictClause !== undefined) conflict(context, statement.onConflictClause, into, scope);
  return returning(context, statement.returningClause, into, scope, use);
}

function conflict(context: Context, clause: OnConflictClause, into: Source, scope: Scope): void {
  const { facts } = context;
  looseExpressions(context, clause.infer, scope, 'predicate');
  for (const node of clause.infer?.indexElems ?? []) {
    const name = as<{ name?: string }>(node, 'IndexElem')?.name;
    if (name !== undefined && into.relation !== undefined)
      facts.column(`${qualified(into.relation)}.${name}`, 'predicate', 'read');
  }
  if (clause.action !== 'ONCONFLICT_UPDATE') return;
  if (into.relation !== undefined) facts.write(into.relation, 'update', into.only);
  // What was proposed: the statement's own values, read from nowhere.
  const excluded: Source = {
    alias: 'excluded',
    columns: into.columns.map((column) => ({ name: column.name, origins: [], type: column.type })),
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

function assignments(context: Context, targets: readonly Wrapped[] | undefined, into: Source, scope: Scope): void {
  for (const node of targets ?? []) {
    const assigned = as<ResTarget>(node, 'ResTarget');
    if (assigned === undefined) continue;
    written(context, into, [assigned.name ?? ''], 'update');
    looseExpressions(context, assigned.indirection, scope, 'write');
    expression(context, assigned.val, scope, 'write');
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
  if (into.relation !== undefined) facts.write(into.relation, 'update', into.only);
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
        if (into.relation !== undefined) facts.write(into.relation, 'update', into.only);
        assignments(context, clause.targetList, into, scope);
        break;
      case 'CMD_INSERT': {
        if (into.relation !== undefined) facts.write(into.relation, 'insert', into.only);
        const listed = (clause.targetList ?? []).map((col) => as<ResTarget>(col, 'ResTarget')?.name ?? '');
        const all = into.columns.map((column) => column.name);
        written(
          context,
          into,
          listed.length > 0 ? listed : all.slice(0, clause.values?.length ?? all.length),
          'insert',
        );
        for (const value of clause.values ?? []) expression(context, value, scope, 'write');
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
  }
  if (statement.query !== undefined) query(statement.query);
  if (statement.relation === undefined) return;
  // COPY … TO of a table that others inherit from leaves these out.
  const source = target(context, statement.relation, statement.is_from ? 'insert' : 'read');
  const scope = new Scope(undefined);
  scope.push(itemOf(source));
  if (source.relation !== undefined) {
    const listed = strings(statement.attlist);
    const names = listed.length > 0 ? listed : source.columns.map((column) => column.name);
    if (statement.is_from) {
      facts.write(source.relation, 'insert', source.only);
      written(context, source, names, 'insert');
    } else {
      facts.read(source.relation, source.only);
      if (listed.length === 0) used(context, wholeRow(source), 'output');
      for (const name of listed) facts.column(`${qualified(source.relation)}.${name}`, 'output', 'read');
    }
  }
  expression(context, statement.whereClause, scope, 'predicate');
}
