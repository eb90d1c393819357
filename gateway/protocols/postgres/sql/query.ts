import type {
  A_Indirection,
  Alias,
  JoinExpr,
  JsonTable,
  LockingClause,
  RangeFunction,
  RangeSubselect,
  RangeTableFunc,
  RangeTableSample,
  RangeVar,
  ResTarget,
  SelectStmt,
} from 'libpg-query';
import { as, integer, items, open, strings, walk, type Wrapped } from './ast.js';
import { expression, looseExpressions, typeUse, toldRow, wholeRowSource, window } from './expressions.js';
import { oid } from './conversions.js';
import { withClause } from './ctes.js';
import { split } from './names.js';
import { operators } from './operators.js';
import { outputName } from './output-names.js';
import {
  columnOf,
  either,
  itemOf,
  merge,
  nothing,
  openDerived,
  relationSource,
  renamed,
  Scope,
  united,
  used,
  wholeRow,
  type Context,
  type Derived,
  type Flow,
  type Item,
  type OutColumn,
  type Source,
  type Value,
} from './scope.js';

/** SELECT, VALUES and TABLE, and what stands in FROM. */

export function select(context: Context, statement: SelectStmt, parent: Scope | undefined, use: Flow): Derived {
  const scope = new Scope(parent);
  withClause(context, statement.withClause, scope);
  const result = body(context, statement, scope, use);
  for (const clause of statement.lockingClause ?? []) locking(context, clause, scope, statement);
  return { ...result, columns: result.columns.map(settled) };
}

/** What a query hands out is text where it is a literal: there it has no neighbours any more. */
const settled = (column: OutColumn): OutColumn =>
  column.type === oid.unknown ? { ...column, type: oid.text } : column;

function body(context: Context, statement: SelectStmt, scope: Scope, use: Flow): Derived {
  if (statement.op !== undefined && statement.op !== 'SETOP_NONE') return setOperation(context, statement, scope, use);
  if (statement.valuesLists !== undefined) return values(context, statement, scope, use);
  for (const item of statement.fromClause ?? []) scope.push(from(context, item, scope));
  expression(context, statement.whereClause, scope, 'predicate');
  const targets = statement.targetList ?? [];
  const output = targetList(context, targets, scope, use);
  for (const node of statement.groupClause ?? []) grouped(context, node, scope, targets, 'group');
  for (const node of statement.distinctClause ?? []) {
    // A plain DISTINCT is a list of one empty node, and groups by the whole output.
    if (Object.keys(node).length === 0) for (const column of output.columns) used(context, column, 'group');
    else grouped(context, node, scope, targets, 'group');
  }
  expression(context, statement.havingClause, scope, 'predicate');
  for (const node of statement.windowClause ?? []) window(context, open(node).body, scope);
  sorted(context, statement, scope, targets);
  return output;
}

/** ORDER BY and LIMIT, which set operations have as well. */
function sorted(
  context: Context,
  statement: SelectStmt,
  scope: Scope,
  targets: readonly Wrapped[],
  output?: Derived,
): void {
  for (const node of statement.sortClause ?? []) {
    const sort = as<{ node?: Wrapped; useOp?: Wrapped[] }>(node, 'SortBy');
    if (sort?.useOp !== undefined) operators(context, strings(sort.useOp), undefined, undefined);
    if (output === undefined) grouped(context, sort?.node ?? node, scope, targets, 'order');
    else orderedOutput(context, sort?.node ?? node, scope, output);
  }
  // How many rows come out is told as their order is, not as what a condition lets through.
  for (const node of [statement.limitCount, statement.limitOffset])
    used(context, expression(context, node, scope, 'predicate'), 'order');
}

/** ORDER BY of a set operation names output columns only. */
function orderedOutput(context: Context, node: Wrapped, scope: Scope, output: Derived): void {
  const position = integer(node);
  const name = columnName(node);
  const column = position !== undefined ? output.columns[position - 1] : output.columns.find((c) => c.name === name);
  if (column !== undefined) used(context, column, 'order');
  else expression(context, node, scope, 'order');
}

/**
 * An item of GROUP BY, DISTINCT ON or ORDER BY: a position or an output's name stands for that output. GROUP BY takes an
 * input column before an output's name; the uses of both are noted where both are there.
 */
function grouped(
  context: Context,
  node: Wrapped,
  scope: Scope,
  targets: readonly Wrapped[],
  use: 'group' | 'order',
): void {
  const set = as<{ content?: Wrapped[] }>(node, 'GroupingSet');
  if (set !== undefined) {
    for (const item of set.content ?? []) grouped(context, item, scope, targets, use);
    return;
  }
  const position = integer(node);
  const name = columnName(node);
  let target = position === undefined ? undefined : as<ResTarget>(targets[position - 1], 'ResTarget');
  if (position !== undefined && targets.some((t) => isStar(t))) {
    // Positions count what stars stand for.
    for (const other of targets) expression(context, as<ResTarget>(other, 'ResTarget')?.val, scope, use);
    return;
  }
  if (name !== undefined) {
    target = targets
      .map((t) => as<ResTarget>(t, 'ResTarget'))
      .find((t) => t !== undefined && (t.name ?? columnName(t.val)) === name);
    if (target !== undefined && target.name === undefined) target = undefined;
    if (target !== undefined && scope.column(name) !== undefined) expression(context, node, scope, use);
  }
  expression(context, target?.val ?? node, scope, use);
}

const isStar = (node: Wrapped): boolean => {
  const ref = as<{ fields?: Wrapped[] }>(as<ResTarget>(node, 'ResTarget')?.val, 'ColumnRef');
  const fields = ref?.fields ?? [];
  return as(fields[fields.length - 1], 'A_Star') !== undefined;
};

/** The name where the node is a bare column name. */
function columnName(node: Wrapped | undefined): string | undefined {
  const fields = as<{ fields?: Wrapped[] }>(node, 'ColumnRef')?.fields;
  return fields?.length === 1 ? strings(fields)[0] : undefined;
}

function toldStar(context: Context, target: ResTarget, scope: Scope): void {
  const count = (rows: readonly Derived[]): number => rows.reduce((sum, { columns }) => sum + columns.length, 0);
  const sources = scope.sources.filter((source) => !scope.qualifiedOnly.has(source));
  context.recorder?.star(target, sources, count(sources) === count(scope.stars));
}

/** The output columns of a select list or of RETURNING. */
export function targetList(context: Context, targets: readonly Wrapped[], scope: Scope, use: Flow): Derived {
  const columns: OutColumn[] = [];
  const pool: string[] = [];
  let isOpen = false;
  const add = (row: Derived): void => {
    used(context, wholeRow(row), use);
    columns.push(...row.columns);
    pool.push(...row.pool);
    isOpen ||= row.open;
  };
  for (const node of targets) {
    const target = as<ResTarget>(node, 'ResTarget');
    if (target === undefined) continue;
    if (isStar(node)) {
      const parts = strings(as<{ fields?: Wrapped[] }>(target.val, 'ColumnRef')?.fields);
      const source = scope.source(parts[parts.length - 1] ?? '', parts[parts.length - 2]);
      if (parts.length > 0 && source === undefined) expression(context, target.val, scope, use);
      if (parts.length === 0) toldStar(context, target, scope);
      else if (source !== undefined) context.recorder?.star(target, [source], true);
      for (const each of parts.length === 0 ? scope.stars : source === undefined ? [] : [source]) add(each);
      continue;
    }
    const { arg, indirection = [] } = as<A_Indirection>(target.val, 'A_Indirection') ?? {};
    const isRow = as(indirection.at(-1), 'A_Star') !== undefined;
    const row = isRow && indirection.length === 1 ? wholeRowSource(arg, scope) : undefined;
    if (row !== undefined) {
      toldRow(context, arg, row);
      add(row);
      continue;
    }
    const value = expression(context, target.val, scope, use);
    if (isRow) {
      // (f(x)).*: the columns of a composite value.
      isOpen = true;
      pool.push(...value.origins);
      continue;
    }
    columns.push({ ...value, name: target.name ?? outputName(target.val) });
  }
  return { columns, open: isOpen, pool };
}

function setOperation(context: Context, statement: SelectStmt, scope: Scope, use: Flow): Derived {
  const left = statement.larg === undefined ? openDerived([]) : select(context, statement.larg, scope, use);
  const right = statement.rarg === undefined ? openDerived([]) : select(context, statement.rarg, scope, use);
  const result = united(left, right);
  // All but UNION ALL compare the rows of both sides.
  if (!(statement.op === 'SETOP_UNION' && statement.all))
    for (const column of result.columns) used(context, column, 'group');
  sorted(context, statement, scope, [], result);
  return result;
}

function values(context: Context, statement: SelectStmt, scope: Scope, use: Flow): Derived {
  const columns: Value[] = [];
  for (const row of statement.valuesLists ?? []) {
    items(row).forEach((node, index) => {
      const value = expression(context, node, scope, use);
      const before = columns[index];
      columns[index] = before === undefined ? value : either(before, value);
    });
  }
  sorted(context, statement, scope, [], {
    columns: columns.map((c, i) => ({ ...c, name: `column${i + 1}` })),
    open: false,
    pool: [],
  });
  return {
    columns: columns.map((column, index) => ({ ...column, name: `column${index + 1}` })),
    open: false,
    pool: [],
  };
}

const alias = (node: Alias | undefined): { name: string | undefined; columns: string[] } => ({
  name: node?.aliasname,
  columns: strings(node?.colnames),
});

/** The sources of one item of FROM; what it reads is noted. Items to its left stand in the scope already. */
export function from(context: Context, node: Wrapped, scope: Scope): Item {
  const { kind, body: inner } = open(node);
  switch (kind) {
    case 'RangeVar':
      return itemOf(rangeVar(context, inner, scope));
    case 'JoinExpr':
      return join(context, inner, scope);
    case 'RangeSubselect': {
      const sub = inner as RangeSubselect;
      const { name, columns } = alias(sub.alias);
      const around = sub.lateral ? scope : outside(scope);
      const derived = sub.subquery === undefined ? openDerived([]) : context.query(sub.subquery, around, 'flow');
      const query = as<SelectStmt>(sub.subquery, 'SelectStmt');
      return itemOf(told(context, { ...renamed(derived, columns), alias: name, query, item: sub }));
    }
    case 'RangeFunction':
      return itemOf(rangeFunction(context, inner, scope));
    case 'RangeTableSample': {
      const sample = inner as RangeTableSample;
      const { schema, name } = split(strings(sample.method));
      const labels = context.names.functions(schema, name).map((routine) => `${routine.schema}.${routine.name}`);
      for (const label of labels.length === 0 ? [name] : labels) {
        if (label !== 'pg_catalog.system' && label !== 'pg_catalog.bernoulli')
          context.facts.opaque(`the sampling method ${label} is not known`);
      }
      for (const arg of sample.args ?? []) expression(context, arg, scope, 'predicate');
      expression(context, sample.repeatable, scope, 'predicate');
      return sample.relation === undefined ? nowhere : from(context, sample.relation, scope);
    }
    case 'RangeTableFunc': {
      const table = inner as RangeTableFunc;
      const { name, columns } = alias(table.alias);
      const pool = merge([
        expression(context, table.docexpr, scope, 'argument'),
        expression(context, table.rowexpr, scope, 'argument'),
      ]).origins;
      looseExpressions(context, table.columns, scope, 'argument');
      columnTypes(context, table.columns);
      return itemOf({ ...renamed(openDerived(pool), columns), alias: name });
    }
    case 'JsonTable': {
      const table = inner as JsonTable;
      const { name, columns } = alias(table.alias);
      const pool = expression(context, { JsonValueExpr: table.context_item ?? {} }, scope, 'argument').origins;
      looseExpressions(context, [table.passing, table.columns], scope, 'argument');
      columnTypes(context, table.columns);
      return itemOf({ ...renamed(openDerived(pool), columns), alias: name });
    }
    default:
      context.facts.opaque(`the gateway does not know ${kind} in FROM`);
      return itemOf({ ...openDerived([]), alias: undefined });
  }
}

/** A sub-query that is not LATERAL sees what is around the query, its CTEs included, not its neighbours. */
function outside(scope: Scope): Scope {
  const around = new Scope(scope.parent);
  for (const [name, derived] of scope.ctes) around.ctes.set(name, derived);
  return around;
}

export function rangeVar(context: Context, range: RangeVar, scope: Scope): Source {
  const { name, columns } = alias(range.alias);
  const relname = range.relname ?? '';
  const cte = range.schemaname === undefined ? scope.cte(relname) : undefined;
  if (cte !== undefined) return told(context, { ...renamed(cte, columns), alias: name ?? relname, item: range });
  const relation = context.relation(range.schemaname, relname);
  if (relation === undefined) return { ...openDerived([]), alias: name ?? relname, schema: range.schemaname };
  const only = range.inh !== true;
  context.facts.read(relation, only);
  const source = { ...relationSource(relation, name, columns, only), range, item: range };
  context.recorder?.read(range, source);
  return told(context, source);
}

function told(context: Context, source: Source): Source {
  if (source.item !== undefined) context.recorder?.item(source.item, source);
  return source;
}

const nowhere: Item = { sources: [], star: { columns: [], open: false, pool: [] } };

function join(context: Context, node: JoinExpr, scope: Scope): Item {
  const before = [scope.sources.length, scope.stars.length] as const;
  const left = node.larg === undefined ? nowhere : from(context, node.larg, scope);
  // LATERAL on the right sees what is on the left.
  scope.push(left);
  const right = node.rarg === undefined ? nowhere : from(context, node.rarg, scope);
  [scope.sources.length, scope.stars.length] = before;
  const both = [...left.sources, ...right.sources];
  const quals = new Scope(scope.parent);
  for (const [name, cte] of scope.ctes) quals.ctes.set(name, cte);
  quals.push(left, right);
  expression(context, node.quals, quals, 'join');
  let shared = strings(node.usingClause);
  if (node.isNatural) {
    const names = new Set(right.star.columns.map((column) => column.name));
    shared = [...new Set(left.star.columns.map((column) => column.name))].filter((name) => names.has(name));
    if (both.some((source) => source.open)) for (const source of both) used(context, wholeRow(source), 'join');
  }
  if (shared.length > 0 || node.isNatural) operators(context, ['='], undefined, undefined);
  for (const name of shared) {
    for (const source of both)
      used(context, columnOf(source, name) ?? (source.open ? { origins: source.pool } : nothing), 'join');
  }
  const merged = shared.map((name) => mergedColumn(name, left.star, right.star, node.jointype));
  const star: Derived = {
    columns: [
      ...merged,
      ...[...left.star.columns, ...right.star.columns].filter((column) => !shared.includes(column.name)),
    ],
    open: left.star.open || right.star.open,
    pool: [...left.star.pool, ...right.star.pool],
  };
  const named = alias(node.alias);
  if (named.name !== undefined)
    return itemOf(told(context, { ...renamed(star, named.columns), alias: named.name, item: node, join: node }));
  const using = node.join_using_alias?.aliasname;
  return {
    sources: using === undefined ? both : [...both, { alias: using, columns: merged, open: false, pool: [] }],
    star,
  };
}

/** What USING makes of two columns: the left one's value, of a RIGHT JOIN the right one's, of a FULL JOIN that which is there. */
function mergedColumn(name: string, left: Derived, right: Derived, type: string | undefined): OutColumn {
  const of = (side: Derived): Value =>
    side.columns.find((column) => column.name === name) ?? { origins: side.open ? side.pool : [] };
  const [l, r] = [of(left), of(right)];
  const kept = type === 'JOIN_FULL' || l.type !== r.type ? undefined : type === 'JOIN_RIGHT' ? r : l;
  return { ...either(l, r), name, ...(kept === undefined ? {} : { copyOf: kept.copyOf }) };
}

function rangeFunction(context: Context, node: RangeFunction, scope: Scope): Source {
  const { name, columns } = alias(node.alias);
  const pool: string[] = [];
  let fallback: string | undefined;
  for (const item of node.functions ?? []) {
    const [fn, definitions] = items(item);
    if (fn === undefined) continue;
    const call = as<{ funcname?: Wrapped[] }>(fn, 'FuncCall');
    fallback ??= strings(call?.funcname).at(-1);
    // Its arguments go into rows that are not the arguments themselves.
    pool.push(...expression(context, fn, scope, 'argument').origins);
    looseTypes(context, definitions);
  }
  for (const definition of node.coldeflist ?? []) looseTypes(context, definition);
  return { ...renamed(openDerived(pool), columns), alias: name ?? fallback };
}

/** The types of XMLTABLE's and JSON_TABLE's columns, nested ones included. */
function columnTypes(context: Context, columns: unknown): void {
  walk(columns, (value) => {
    if (Array.isArray(value.names) && value.typemod !== undefined) typeUse(context, value);
    return true;
  });
}

function looseTypes(context: Context, tree: Wrapped | undefined): void {
  for (const definition of items(tree)) {
    const type = as<{ typeName?: Parameters<typeof typeUse>[1] }>(definition, 'ColumnDef')?.typeName;
    if (type !== undefined) typeUse(context, type);
  }
}

/** FOR UPDATE and its kin change nothing but lock rows, which others notice: access "use" beside "read". */
function locking(context: Context, node: Wrapped, scope: Scope, statement: SelectStmt): void {
  const clause = as<LockingClause>(node, 'LockingClause');
  const names = (clause?.lockedRels ?? []).map((rel) => as<RangeVar>(rel, 'RangeVar')?.relname);
  if (statement.op !== 'SETOP_NONE') return;
  for (const source of scope.sources) {
    if (source.relation === undefined || (names.length > 0 && !names.includes(source.alias))) continue;
    context.facts.relation(`${source.relation.schema}.${source.relation.name}`, source.relation.kind, 'use');
  }
}
