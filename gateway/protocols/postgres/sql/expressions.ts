import type {
  A_Expr,
  A_Indirection,
  CaseExpr,
  CaseWhen,
  ColumnRef,
  FuncCall,
  JsonFuncExpr,
  ResTarget,
  SelectStmt,
  SortBy,
  SubLink,
  TypeCast,
  TypeName,
  WindowDef,
} from 'libpg-query';
import { as, open, strings, walk, type Wrapped } from './ast.js';
import { reaches } from './carriers.js';
import type { NamedType } from './catalog.js';
import { mayBeMade, oid } from './conversions.js';
import { fieldCall } from './fields.js';
import { isKnownRoutine, mayMoveNames, special } from './functions.js';
import { impliedOperators, split } from './names.js';
import { implied, operators } from './operators.js';
import { isPlainCall, overloads } from './overloads.js';
import {
  columnOf,
  merge,
  nothing,
  used,
  wholeRow,
  type Context,
  type Flow,
  type Origin,
  type Scope,
  type Source,
  type Value,
} from './scope.js';
import { specialCall } from './special.js';

/** Expressions: which columns they read, which functions they run, and what their value is made of. */

export function expression(context: Context, node: Wrapped | undefined, scope: Scope, use: Flow): Value {
  if (node === undefined) return nothing;
  const { kind, body } = open(node);
  const on = (child: Wrapped | undefined, other: Flow = use): Value => expression(context, child, scope, other);
  const all = (children: readonly Wrapped[] | undefined): Value => merge((children ?? []).map((child) => on(child)));

  switch (kind) {
    case 'ColumnRef':
      return used(context, columnRef(context, body, scope), use);
    case 'A_Const':
      return { origins: [], type: constantType(body) };
    case 'ParamRef':
      // A client may say of which type it is.
      return nothing;
    case 'A_Expr':
      return operator(context, body, scope, use);
    case 'BoolExpr':
      return { ...all((body as { args?: Wrapped[] }).args), type: oid.bool };
    case 'NullTest':
    case 'BooleanTest':
      return { origins: on((body as { arg?: Wrapped }).arg).origins, type: oid.bool };
    case 'TypeCast':
      return cast(context, body, scope, use);
    case 'CollateClause': {
      const { origins, type } = on((body as { arg?: Wrapped }).arg);
      return { origins, type };
    }
    case 'FuncCall':
      return call(context, body, scope, use);
    case 'SubLink':
      return subLink(context, body, scope, use);
    case 'CaseExpr': {
      const { arg, args, defresult } = body as CaseExpr;
      if (arg !== undefined) implied(context, ['=']);
      return merge([on(arg), all(args), on(defresult)]);
    }
    case 'CaseWhen':
      return merge([on((body as CaseWhen).expr), on((body as CaseWhen).result)]);
    case 'A_Indirection': {
      const { arg, indirection } = body as A_Indirection;
      const field = fieldOfRow(context, body, scope);
      if (field !== undefined) {
        const { origins, type, copyOf } = used(context, field, use);
        return indirection?.length === 1 ? { origins, type, copyOf } : { origins };
      }
      for (const field of strings(indirection)) fieldCall(context, field);
      return merge([on(arg), all(indirection)]);
    }
    case 'A_Indices':
      return merge([on((body as { lidx?: Wrapped }).lidx), on((body as { uidx?: Wrapped }).uidx)]);
    case 'ResTarget':
      return on((body as ResTarget).val);
    case 'SortBy': {
      const sort = body as SortBy;
      if (sort.useOp !== undefined) operators(context, strings(sort.useOp), undefined, undefined);
      return on(sort.node);
    }
    case 'List':
      return all((body as { items?: Wrapped[] }).items);
    case 'MultiAssignRef':
      return on((body as { source?: Wrapped }).source);
    case 'NamedArgExpr':
      return on((body as { arg?: Wrapped }).arg);
    case 'CurrentOfExpr':
      context.facts.other({
        type: 'cursor',
        name: (body as { cursor_name?: string }).cursor_name ?? 'a parameter',
        access: 'use',
      });
      return nothing;
    case 'SQLValueFunction':
    case 'SetToDefault':
    case 'A_Star':
    case 'String':
    case 'Integer':
    case 'MergeSupportFunc':
    case 'JsonBehavior':
    case 'JsonFormat':
      return nothing;
    default:
      if (structural.has(kind)) return nested(context, body, scope, use, kind.startsWith('Json'));
      context.facts.opaque(`the gateway does not know the construct ${kind}`);
      return nested(context, body, scope, use);
  }
}

/** Constructs that are the sum of their parts, however these are arranged. */
const structural: ReadonlySet<string> = new Set([
  'A_ArrayExpr',
  'RowExpr',
  'CoalesceExpr',
  'MinMaxExpr',
  'GroupingFunc',
  'GroupingSet',
  'XmlExpr',
  'XmlSerialize',
  'JsonFuncExpr',
  'JsonValueExpr',
  'JsonOutput',
  'JsonArgument',
  'JsonKeyValue',
  'JsonParseExpr',
  'JsonScalarExpr',
  'JsonSerializeExpr',
  'JsonObjectConstructor',
  'JsonArrayConstructor',
  'JsonArrayQueryConstructor',
  'JsonObjectAgg',
  'JsonArrayAgg',
  'JsonAggConstructor',
  'JsonIsPredicate',
  'JsonReturning',
  'JsonTablePathSpec',
  'JsonTableColumn',
  'WindowDef',
  'Boolean',
  'Float',
  'BitString',
  'IndexElem',
  'TypeName',
]);

/** What makes JSON of a value asks whether its type is cast to json. */
const jsonTypes: readonly number[] = [oid.json, oid.jsonb];

/** The wrapped nodes below a body whose own fields need no attention. */
function nested(context: Context, body: object, scope: Scope, use: Flow, isJson = false): Value {
  const values: Value[] = [];
  const visit = (tree: unknown): void => {
    if (Array.isArray(tree)) {
      tree.forEach(visit);
      return;
    }
    if (tree === null || typeof tree !== 'object') return;
    const keys = Object.keys(tree);
    if (keys.length === 1 && /^[A-Z]/.test(keys[0] ?? '')) {
      const inner = open(tree as Wrapped);
      if (inner.kind === 'SelectStmt') values.push(wholeRow(context.select(inner.body, scope, use)));
      else values.push(expression(context, tree as Wrapped, scope, use));
      return;
    }
    if (Array.isArray((tree as TypeName).names)) typeUse(context, tree);
    for (const key of keys) visit((tree as Record<string, unknown>)[key]);
  };
  visit(Object.values(body));
  if (isJson) context.facts.castAsked(merge(values).origins, jsonTypes);
  if ((body as JsonFuncExpr).output !== undefined || (body as { typeName?: TypeName }).typeName !== undefined)
    return { origins: merge(values).origins };
  return merge(values);
}

function constantType(body: object): number | undefined {
  if ('ival' in body) return oid.int4;
  if ('boolval' in body) return oid.bool;
  if ('fval' in body) return undefined;
  return 'bsval' in body ? undefined : oid.unknown;
}

/** a, t.a, s.t.a, t.*, or the whole row t. A name that is not there is unresolved. */
export function columnRef(context: Context, ref: ColumnRef, scope: Scope): Value {
  const fields = ref.fields ?? [];
  const parts = strings(fields);
  const star = as(fields[fields.length - 1], 'A_Star') !== undefined;
  const [first = ''] = parts;
  if (star) {
    if (parts.length === 0) {
      for (const source of scope.sources) context.recorder?.row(ref, source, false);
      return merge(scope.sources.map(wholeRow));
    }
    const source = scope.source(parts[parts.length - 1] ?? '', parts[parts.length - 2]);
    if (source !== undefined) context.recorder?.row(ref, source, true);
    return source === undefined ? missing(context, `${parts.join('.')}.*`, scope) : wholeRow(source);
  }
  if (parts.length === 1) {
    const value = scope.column(first);
    const row = scope.source(first);
    const { sources, isCertain } = scope.sourcesOf(first);
    if (value !== undefined) {
      const isShadowed = sources.some((source) => !isFound(source, scope));
      context.recorder?.column(ref, sources, first, isCertain, { isShadowed, origins: isCertain ? [] : value.origins });
      if (isCertain || row === undefined) return value;
      // No column of that name is certain, so that it may as well be the row.
      context.recorder?.row(ref, row, false);
      return merge([value, wholeRow(row)]);
    }
    if (row === undefined) return missing(context, first, scope);
    context.recorder?.row(ref, row, true);
    return wholeRow(row);
  }
  // t.a, s.t.a or d.s.t.a; else a field of a composite column: a.field is written (a).field, so it can't be that.
  for (const [schema, relation, column] of readings(parts)) {
    const source = scope.source(relation, schema);
    if (source === undefined) continue;
    const value = columnOf(source, column);
    if (value !== undefined) {
      context.recorder?.column(ref, [source], column, true, { isShadowed: !isFound(source, scope) });
      return value;
    }
    if (source.open) {
      fieldCall(context, column);
      context.recorder?.column(ref, [source], column, false, { origins: source.pool });
      return { origins: source.pool };
    }
    // t.f may be f(t): a function over the whole row.
    context.facts.movesAnything = true;
    context.recorder?.row(ref, source, false);
    return merge([missing(context, parts.join('.'), undefined), wholeRow(source)]);
  }
  return missing(context, parts.join('.'), scope);
}

/** Its name stands for it there, and not for another source of that name. */
const isFound = (source: Source, scope: Scope): boolean =>
  source.alias === undefined || scope.source(source.alias) === source;

/** The row that a bare name stands for where it is no column's. */
export function wholeRowSource(node: Wrapped | undefined, scope: Scope): Source | undefined {
  const fields = as<ColumnRef>(node, 'ColumnRef')?.fields ?? [];
  const parts = strings(fields);
  const [name = ''] = parts;
  if (parts.length !== 1) return undefined;
  // (t.*) is the row as well.
  if (fields.length === 2) return scope.source(name);
  return scope.column(name) === undefined ? scope.source(name) : undefined;
}

/** Tells of a row that `wholeRowSource` found. */
export function toldRow(context: Context, node: Wrapped | undefined, row: Source): void {
  const ref = as<ColumnRef>(node, 'ColumnRef');
  if (ref !== undefined) context.recorder?.row(ref, row, true);
}

/** (t).column, where t is a row whose columns are known: nothing else of it is read. */
function fieldOfRow(context: Context, { arg, indirection }: A_Indirection, scope: Scope): Value | undefined {
  const [name] = strings(indirection?.slice(0, 1));
  const row = name === undefined ? undefined : wholeRowSource(arg, scope);
  if (row === undefined || row.open) return undefined;
  toldRow(context, arg, row);
  return columnOf(row, name ?? '');
}

function readings(parts: readonly string[]): [string | undefined, string, string][] {
  const column = parts[parts.length - 1] ?? '';
  return [[parts.length > 2 ? parts[parts.length - 3] : undefined, parts[parts.length - 2] ?? '', column]];
}

/** A column that is nowhere. All that is in sight may be behind it: noted, so that nothing is read unseen. */
function missing(context: Context, name: string, scope: Scope | undefined): Value {
  context.facts.unresolved('column', name);
  const origins: Origin[] = [];
  for (let at = scope; at !== undefined; at = at.parent)
    for (const source of at.sources) if (source.open) origins.push(...source.pool);
  return { origins };
}

function operator(context: Context, body: A_Expr, scope: Scope, use: Flow): Value {
  const left = expression(context, body.lexpr, scope, use);
  const right = expression(context, body.rexpr, scope, use);
  const names = strings(body.name);
  const kind = body.kind ?? 'AEXPR_OP';
  // Of IN, ANY and BETWEEN the right side is a list, whose elements' types are not looked at.
  const rightType = pairs.has(kind) ? right.type : undefined;
  if (!kind.includes('BETWEEN')) operators(context, names, left.type, rightType, body.lexpr === undefined);
  for (const implied of impliedOperators(kind, names)) operators(context, [implied], left.type, rightType);
  const name = names[names.length - 1] ?? '';
  const comparison =
    kind !== 'AEXPR_NULLIF' && (kind !== 'AEXPR_OP' || /^(=|<>|!=|<|>|<=|>=|~~?\*?|!~~?\*?)$/.test(name));
  const origins = merge([left, right]).origins;
  if (comparison) return { origins, type: oid.bool };
  const arithmetic =
    /^[-+*/%]$/.test(name) && left.type !== undefined && left.type === right.type && numbers.has(left.type);
  return { origins, type: arithmetic ? left.type : undefined };
}

/** Kinds of expressions with one operator between two operands. */
const pairs: ReadonlySet<string> = new Set([
  'AEXPR_OP',
  'AEXPR_DISTINCT',
  'AEXPR_NOT_DISTINCT',
  'AEXPR_NULLIF',
  'AEXPR_LIKE',
  'AEXPR_ILIKE',
  'AEXPR_SIMILAR',
]);

const numbers: ReadonlySet<number> = new Set([20, 21, 23, 700, 701, 1700]);

function cast(context: Context, body: TypeCast, scope: Scope, use: Flow): Value {
  const value = expression(context, body.arg, scope, use);
  const type = body.typeName === undefined ? undefined : typeUse(context, body.typeName);
  if (mayBeMade(value.type)) context.facts.castAsked(value.origins, type === undefined ? undefined : [type]);
  // A cast to the type that it has.
  const copyOf = type !== undefined && type === value.type && !body.typeName?.typmods ? value.copyOf : undefined;
  return { origins: value.origins, type, copyOf };
}

/** Notes what a cast to the type may run; answers its OID where it is certain. */
export function typeUse(context: Context, type: TypeName): number | undefined {
  const parts = strings(type.names);
  if (parts.length === 0 || type.pct_type) return undefined;
  const { schema, name } = split(parts);
  const found = context.names.type(schema, name);
  if (found === undefined) {
    context.facts.unresolved('type', parts.join('.'));
    return undefined;
  }
  typeRuns(context, found);
  return (type.arrayBounds?.length ?? 0) > 0 || found.kind === 'd' ? undefined : found.oid;
}

/** What runs where a value of a type is made. */
function typeRuns({ facts }: Context, { schema, name, functions, isForeign }: NamedType): void {
  const label = `${schema}.${name}`;
  for (const fn of functions) facts.hidden(fn, `type ${label} runs ${fn}(), whose body is not known`, label);
  if (isForeign) facts.opaque(`type ${label} reads its values with functions that are not known`);
}

function call(context: Context, body: FuncCall, scope: Scope, use: Flow): Value {
  const { facts, names } = context;
  const parts = strings(body.funcname);
  const { schema, name } = split(parts);
  const args = body.args ?? [];
  const count = args.length + (body.agg_within_group ? (body.agg_order?.length ?? 0) : 0);
  const values = args.map((arg) => expression(context, arg, scope, use));
  const candidates = overloads(
    names.functions(schema, name).filter((routine) => routine.kind !== 'p'),
    { call: body, schema, count, types: values.map(({ type }) => type), path: names.path },
  );
  const labels = [...new Set(candidates.map((routine) => `${routine.schema}.${routine.name}`))];
  const foreign = candidates.filter(
    (routine) => !isKnownRoutine(routine) && !(routine.schema === 'pg_catalog' && special.has(name)),
  );
  const inside: Value[] = [];
  const closed = foreign.filter((routine) => {
    const value = isPlainCall(body) ? context.body(routine, values) : undefined;
    if (value !== undefined) inside.push(value);
    return value === undefined;
  });
  const unknown = [...new Set(closed.map((routine) => `${routine.schema}.${routine.name}`))];
  // What makes rows out of a value tells of it by their number, whatever becomes of its result.
  if (foreign.length > 0 || labels.length === 0 || candidates.some(({ isSeries }) => isSeries))
    for (const value of values) used(context, value, 'argument');
  const rest: Value[] = [];
  for (const sort of body.agg_order ?? [])
    rest.push(expression(context, sort, scope, body.agg_within_group ? use : use === 'flow' ? 'order' : use));
  rest.push(expression(context, body.agg_filter, scope, 'predicate'));
  if (body.over !== undefined) rest.push(window(context, body.over, scope));
  const origins = merge([...values, ...inside, ...rest.slice(0, body.agg_within_group ? undefined : 0)]).origins;

  for (const label of labels) facts.function(label);
  // f(x) is a cast where f is a type and no function takes exactly an x.
  const type = args.length === 1 ? names.type(schema, name) : undefined;
  if (type !== undefined) typeRuns(context, type);
  if (type !== undefined || name.includes('json'))
    for (const value of values)
      if (mayBeMade(value.type))
        facts.castAsked(value.origins, [...jsonTypes, ...(type === undefined ? [] : [type.oid])]);
  for (const label of unknown) {
    const what = label.startsWith('pg_catalog.') ? reaches(name) : undefined;
    facts.opaque(what === undefined ? `the body of function ${label} is not known` : `${label}() ${what}`);
    if (mayMoveNames(label)) facts.movesAnything = true;
  }
  if (labels.length === 0) {
    // f(x) where f is no function may be a cast to the type f, or the column f of the row x: not told apart.
    facts.function(parts.join('.'));
    facts.unresolved('function', parts.join('.'));
    facts.movesAnything = true;
  } else if (labels.some((label) => label === `pg_catalog.${name}`) && special.has(name)) {
    specialCall(context, name, args);
  }
  // The row's type says what making it runs; only a cast names it.
  if (populates.test(name) && as(args[0], 'TypeCast') === undefined) {
    facts.opaque(`${name}() makes a row of a type that the statement does not name`);
    facts.movesAnything = true;
  }
  const results = new Set(candidates.map((routine) => routine.result));
  const [result] = results;
  return { origins, type: results.size === 1 && result !== undefined && !polymorphic.has(result) ? result : undefined };
}

const populates = /^jsonb?_populate_record(set|_valid)?$/;

/** anyelement, anyarray, record and their kin: the result's type depends on the call. */
const polymorphic: ReadonlySet<number> = new Set([
  2249, 2276, 2277, 2283, 2776, 3500, 3831, 4537, 5077, 5078, 5079, 5080,
]);

export function window(context: Context, over: WindowDef, scope: Scope): Value {
  return merge([
    ...(over.partitionClause ?? []).map((node) => expression(context, node, scope, 'group')),
    ...(over.orderClause ?? []).map((node) => expression(context, node, scope, 'order')),
    expression(context, over.startOffset, scope, 'order'),
    expression(context, over.endOffset, scope, 'order'),
  ]);
}

function subLink(context: Context, body: SubLink, scope: Scope, use: Flow): Value {
  const test = expression(context, body.testexpr, scope, use);
  const query = as<SelectStmt>(body.subselect, 'SelectStmt');
  if (query === undefined) return test;
  const exists = body.subLinkType === 'EXISTS_SUBLINK';
  const inner = context.select(query, scope, exists ? 'predicate' : use);
  if (body.testexpr !== undefined)
    operators(context, strings(body.operName).length === 0 ? ['='] : strings(body.operName), undefined, undefined);
  if (exists || body.testexpr !== undefined) return { origins: merge([test, wholeRow(inner)]).origins, type: oid.bool };
  const [column] = inner.columns;
  return {
    origins: wholeRow(inner).origins,
    ...(body.subLinkType === 'EXPR_SUBLINK' && inner.columns.length === 1 && !inner.open
      ? { type: column?.type, copyOf: column?.copyOf }
      : {}),
  };
}

/** The functions, types and sub-queries of a tree that is no query's part: what DDL stores or runs. */
export function looseExpressions(context: Context, tree: unknown, scope: Scope, use: Flow): void {
  walk(tree, (value) => {
    const keys = Object.keys(value);
    if (keys.length === 1 && expressionKinds.has(keys[0] ?? '')) {
      expression(context, value as unknown as Wrapped, scope, use);
      return false;
    }
    return true;
  });
}

const expressionKinds: ReadonlySet<string> = new Set([
  'ColumnRef',
  'A_Expr',
  'BoolExpr',
  'NullTest',
  'BooleanTest',
  'TypeCast',
  'FuncCall',
  'SubLink',
  'CaseExpr',
  'CollateClause',
  'A_Indirection',
  'CoalesceExpr',
  'MinMaxExpr',
  'RowExpr',
  'A_ArrayExpr',
  'XmlExpr',
  'JsonFuncExpr',
  'JsonObjectConstructor',
  'JsonArrayConstructor',
]);
