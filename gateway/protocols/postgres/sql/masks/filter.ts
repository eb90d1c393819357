import type {
  A_Expr,
  BooleanTest,
  BoolExpr,
  CaseExpr,
  CaseWhen,
  ColumnRef,
  FuncCall,
  NullTest,
  SQLValueFunction,
} from 'libpg-query';
import { as, items, open, strings, type Wrapped } from '../ast.js';
import { parse, type Parsed } from '../parse.js';
import { StatementError } from '../../judging/statement.js';
import { MaskError } from './column.js';
import {
  castTypes,
  filterFunctions,
  filterOperators,
  predicateFunctions,
  predicateOperators,
  values,
} from './filter-words.js';
import { constantText, quoteName, string } from './write.js';

/**
 * A filter's `where`: written by whoever writes policy, put into statements that clients write. It is parsed by the server's own grammar and written anew from
 * its tree, every function, operator and type by its full name, so that neither search_path nor a setting nor a stray
 * parenthesis can give it another meaning. What is not known here is refused.
 */

export interface FilterColumn {
  readonly name: string;
  /** The type's OID, and what it stands on where it is a domain. */
  readonly type: number;
  readonly baseType: number;
  readonly typeText: string;
}

export interface FilterRelation {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly FilterColumn[];
}

export const where_chars_max = 10_000;
const depth_max = 100;
const boolOid = 16;

/**
 * The predicate as SQL over the relation, in parentheses, in ASCII, on one line.
 *
 * @param alias What the relation is called where it is put, as SQL: `c`, `"Order"`, `app.orders`.
 */
export function filterExpression(where: string, relation: FilterRelation, alias: string): string {
  const columns = new Map(relation.columns.map((column) => [column.name, column]));
  const writer = new Writer(relation, (name) => {
    const column = columns.get(name);
    if (column === undefined) throw invalid(`${relation.schema}.${relation.name} has no column ${name}`);
    return { sql: `${alias}.${quoteName(name)}`, column };
  });
  return `(${writer.predicate(read(where), 0)})`;
}

/** The columns that a predicate names. @throws {MaskError} where it is none. */
export function filterColumns(where: string): ReadonlySet<string> {
  const columns = new Set<string>();
  new Writer(undefined, (name) => {
    columns.add(name);
    return { sql: quoteName(name), column: undefined };
  }).predicate(read(where), 0);
  return columns;
}

/** What is wrong with a filter wherever it is used, before any relation is known; undefined where nothing is. */
export function filterProblem(where: string, resource?: string): string | undefined {
  const parts = resource?.split('.');
  const relation = parts?.length === 2 ? { schema: parts[0] ?? '', name: parts[1] ?? '' } : undefined;
  try {
    new Writer(relation, (name) => ({ sql: quoteName(name), column: undefined })).predicate(read(where), 0);
    return undefined;
  } catch (error) {
    if (error instanceof MaskError) return error.message;
    throw error;
  }
}

const invalid = (message: string): MaskError => new MaskError('filter_invalid', `the filter is not valid: ${message}`);

/** The tree of one expression. As it stands it is one, and in parentheses the same one: nothing in it closes or opens anything around it. */
function read(where: string): Wrapped {
  if (where.length > where_chars_max) throw invalid(`it is longer than ${where_chars_max} characters`);
  const bare = single(parsed(`SELECT ${where}\n`));
  let enclosed: Wrapped | undefined;
  try {
    enclosed = single(parsed(`SELECT (${where}\n)`));
  } catch {
    enclosed = undefined;
  }
  if (bare === undefined || enclosed === undefined || shape(bare) !== shape(enclosed))
    throw invalid('it is not one expression');
  return bare;
}

/** A tree without its places in the text. */
const shape = (tree: unknown): string =>
  JSON.stringify(tree, (key, value: unknown) => (/^location$|_start$|_end$/.test(key) ? undefined : value)) ?? '';

function parsed(text: string): Parsed {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof StatementError) throw invalid(error.message);
    throw error;
  }
}

interface Select {
  readonly targetList?: readonly Wrapped[];
}

/** The only thing that the only statement selects, where it has no clause but that. */
function single({ statements: [statement, ...others] }: Parsed): Wrapped | undefined {
  if (statement?.stmt === undefined || others.length > 0) return undefined;
  const select = as<Select & Record<string, unknown>>(statement.stmt, 'SelectStmt');
  if (select === undefined || select.targetList?.length !== 1) return undefined;
  const clauses = Object.keys(select).filter((key) => !['targetList', 'limitOption', 'op'].includes(key));
  if (clauses.length > 0 || (select['op'] ?? 'SETOP_NONE') !== 'SETOP_NONE') return undefined;
  const target = as<{ name?: string; indirection?: unknown; val?: Wrapped }>(select.targetList[0], 'ResTarget');
  return target?.name === undefined && target?.indirection === undefined ? target?.val : undefined;
}

interface Found {
  readonly sql: string;
  readonly column: FilterColumn | undefined;
}

class Writer {
  readonly #relation: { readonly schema: string; readonly name: string } | undefined;
  readonly #find: (name: string) => Found;

  constructor(relation: { readonly schema: string; readonly name: string } | undefined, find: (name: string) => Found) {
    this.#relation = relation;
    this.#find = find;
  }

  /** Something that is true, false or unknown of a row. */
  predicate(node: Wrapped, depth: number): string {
    if (depth > depth_max) throw invalid('it is nested too deep');
    const { kind, body } = open(node);
    switch (kind) {
      case 'BoolExpr': {
        const { boolop, args } = body as BoolExpr;
        const parts = (args ?? []).map((arg) => this.predicate(arg, depth + 1));
        if (boolop === 'NOT_EXPR') return `(NOT ${parts[0] ?? ''})`;
        return `(${parts.join(boolop === 'AND_EXPR' ? ' AND ' : ' OR ')})`;
      }
      case 'A_Const': {
        const constant = as<{ boolval?: unknown; isnull?: boolean }>(node, 'A_Const');
        if (constant?.boolval === undefined && constant?.isnull !== true) break;
        return this.value(node, depth);
      }
      case 'NullTest':
      case 'BooleanTest':
        return this.value(node, depth);
      case 'ColumnRef': {
        const { sql, column } = this.#column(body);
        if (column !== undefined && column.baseType !== boolOid)
          throw invalid(
            `column ${column.name} is of type ${column.typeText}, not a condition; compare it with something`,
          );
        return sql;
      }
      case 'A_Expr': {
        const { kind: form, name } = body as A_Expr;
        const [operator = ''] = strings(name).slice(-1);
        if (form === 'AEXPR_OP' && !predicateOperators.has(operator)) break;
        return this.value(node, depth);
      }
      case 'TypeCast': {
        const type = this.#type((body as { typeName?: TypeName }).typeName);
        if (type !== 'pg_catalog.bool') break;
        return this.value(node, depth);
      }
      case 'FuncCall':
        if (!predicateFunctions.has(strings((body as FuncCall).funcname).slice(-1)[0] ?? '')) break;
        return this.value(node, depth);
      case 'CoalesceExpr':
        for (const arg of (body as { args?: Wrapped[] }).args ?? []) this.predicate(arg, depth + 1);
        return this.value(node, depth);
      case 'CaseExpr': {
        const { args, defresult } = body as CaseExpr;
        for (const arg of args ?? []) this.predicate(as<CaseWhen>(arg, 'CaseWhen')?.result as Wrapped, depth + 1);
        if (defresult !== undefined) this.predicate(defresult, depth + 1);
        return this.value(node, depth);
      }
    }
    if (kind === 'SubLink' || kind === 'ParamRef') throw invalid(`${describe(kind)} cannot be part of it`);
    throw invalid('it is not a condition that is true or false of a row; compare something with something');
  }

  /** Any expression. */
  value(node: Wrapped | undefined, depth: number): string {
    if (node === undefined) throw invalid('a part of it is missing');
    if (depth > depth_max) throw invalid('it is nested too deep');
    const { kind, body } = open(node);
    const inside = (part: Wrapped | undefined): string => this.value(part, depth + 1);
    switch (kind) {
      case 'ColumnRef': {
        const { sql, column } = this.#column(body);
        // Its own operators fold case, and are no built-ins: comparing it with those would mean something else.
        if (column !== undefined && /(?:^|\.)citext$/.test(column.typeText))
          throw invalid(
            `column ${column.name} is citext; write ${column.name}::text, and lower() where case does not matter`,
          );
        return sql;
      }
      case 'A_Const':
        return constant(node);
      case 'BoolExpr':
        return this.predicate(node, depth);
      case 'NullTest': {
        const { arg, nulltesttype } = body as NullTest;
        return `(${this.#plain(arg, depth)} IS ${nulltesttype === 'IS_NULL' ? 'NULL' : 'NOT NULL'})`;
      }
      case 'BooleanTest': {
        const { arg, booltesttype = 'IS_TRUE' } = body as BooleanTest;
        if (arg === undefined) throw invalid('a part of it is missing');
        return `(${this.predicate(arg, depth + 1)} ${booltesttype.replaceAll('_', ' ')})`;
      }
      case 'A_Expr':
        return this.#operation(body, depth);
      case 'TypeCast': {
        const { arg, typeName } = body as { arg?: Wrapped; typeName?: TypeName };
        return `CAST(${this.#plain(arg, depth)} AS ${this.#type(typeName)})`;
      }
      case 'FuncCall':
        return this.#call(body, depth);
      case 'CoalesceExpr':
        return `COALESCE(${((body as { args?: Wrapped[] }).args ?? []).map(inside).join(', ')})`;
      case 'MinMaxExpr': {
        const { op, args } = body as { op?: string; args?: Wrapped[] };
        return `${op === 'IS_LEAST' ? 'LEAST' : 'GREATEST'}(${(args ?? []).map(inside).join(', ')})`;
      }
      case 'CaseExpr':
        return this.#case(body, depth);
      case 'A_ArrayExpr':
        return `ARRAY[${((body as { elements?: Wrapped[] }).elements ?? []).map(inside).join(', ')}]`;
      case 'A_Indirection': {
        const { arg, indirection } = body as { arg?: Wrapped; indirection?: Wrapped[] };
        const subscripts = (indirection ?? []).map((index) => {
          const subscript = as<{ is_slice?: boolean; uidx?: Wrapped }>(index, 'A_Indices');
          if (subscript === undefined || subscript.is_slice) throw invalid('fields and slices are not known in it');
          return `[${inside(subscript.uidx)}]`;
        });
        return `(${inside(arg)})${subscripts.join('')}`;
      }
      case 'SQLValueFunction': {
        const { op } = body as SQLValueFunction;
        const word = values.get(op ?? '');
        if (word === undefined) break;
        return word;
      }
    }
    throw invalid(`${describe(kind)} cannot be part of it`);
  }

  /** An operand that is cast or only tested for NULL: no operator of its type comes into it. */
  #plain(node: Wrapped | undefined, depth: number): string {
    const column = as<ColumnRef>(node, 'ColumnRef');
    return column === undefined ? this.value(node, depth + 1) : this.#column(column).sql;
  }

  #column(reference: ColumnRef): Found {
    const parts = strings(reference.fields);
    const name = parts[parts.length - 1];
    if (name === undefined || parts.length !== (reference.fields ?? []).length)
      throw invalid('it must name its columns one by one');
    const relation = this.#relation;
    const own = [relation?.name, relation?.schema];
    if (
      parts.length > 3 ||
      (relation !== undefined &&
        parts
          .slice(0, -1)
          .reverse()
          .some((part, index) => part !== own[index]))
    )
      throw invalid(
        `${parts.join('.')} is no column of ${relation === undefined ? 'its relation' : `${relation.schema}.${relation.name}`}`,
      );
    return this.#find(name);
  }

  #operation({ kind, name, lexpr, rexpr }: A_Expr, depth: number): string {
    const [operator = '', ...rest] = strings(name).reverse();
    const named = kind !== 'AEXPR_BETWEEN' && kind !== 'AEXPR_NOT_BETWEEN';
    if (named && (rest.some((schema) => schema !== 'pg_catalog') || !filterOperators.has(operator)))
      throw invalid(`operator ${strings(name).join('.')} is not known to be safe`);
    const left = (): string => this.value(lexpr, depth + 1);
    const right = (): string => this.value(rexpr, depth + 1);
    const compare = (symbol: string, one: string, other: string): string =>
      `(${one} OPERATOR(pg_catalog.${symbol}) ${other})`;
    switch (kind) {
      case 'AEXPR_OP':
        return lexpr === undefined
          ? `(OPERATOR(pg_catalog.${operator}) ${right()})`
          : compare(operator, left(), right());
      case 'AEXPR_LIKE':
      case 'AEXPR_ILIKE':
      case 'AEXPR_SIMILAR':
        return compare(operator, left(), right());
      case 'AEXPR_OP_ANY':
        return `(${left()} OPERATOR(pg_catalog.${operator}) ANY (${right()}))`;
      case 'AEXPR_OP_ALL':
        return `(${left()} OPERATOR(pg_catalog.${operator}) ALL (${right()}))`;
      case 'AEXPR_IN': {
        // IN compares with the = of the path; written out it does not, and each literal is read as the column's type.
        const each = items(rexpr).map((item) => compare(operator, left(), this.value(item, depth + 1)));
        return `(${each.join(operator === '=' ? ' OR ' : ' AND ')})`;
      }
      case 'AEXPR_DISTINCT':
        return `(${compare('=', left(), right())} IS NOT TRUE AND (${left()} IS NOT NULL OR ${right()} IS NOT NULL))`;
      case 'AEXPR_NOT_DISTINCT':
        return `(${compare('=', left(), right())} IS TRUE OR (${left()} IS NULL AND ${right()} IS NULL))`;
      case 'AEXPR_BETWEEN':
      case 'AEXPR_NOT_BETWEEN': {
        const [from, to] = items(rexpr).map((item) => this.value(item, depth + 1));
        if (from === undefined || to === undefined) break;
        return kind === 'AEXPR_BETWEEN'
          ? `(${compare('>=', left(), from)} AND ${compare('<=', left(), to)})`
          : `(${compare('<', left(), from)} OR ${compare('>', left(), to)})`;
      }
      case 'AEXPR_BETWEEN_SYM':
      case 'AEXPR_NOT_BETWEEN_SYM':
      case 'AEXPR_NULLIF':
      case undefined:
        break;
    }
    throw invalid(`${describe(String(kind))} cannot be part of it`);
  }

  #call(call: FuncCall, depth: number): string {
    const [name = '', ...rest] = strings(call.funcname).reverse();
    const plain = [
      'agg_order',
      'agg_filter',
      'agg_within_group',
      'agg_star',
      'agg_distinct',
      'over',
      'func_variadic',
    ].every((key) => !(call as unknown as Record<string, unknown>)[key]);
    if (!plain || rest.some((schema) => schema !== 'pg_catalog') || !filterFunctions.has(name))
      throw invalid(`function ${strings(call.funcname).join('.')} is not known to be safe in it`);
    return `pg_catalog.${quoteName(name)}(${(call.args ?? []).map((arg) => this.value(arg, depth + 1)).join(', ')})`;
  }

  #case({ arg, args, defresult }: CaseExpr, depth: number): string {
    const branches = (args ?? []).map((item) => {
      const { expr, result } = as<CaseWhen>(item, 'CaseWhen') ?? {};
      if (expr === undefined) throw invalid('a part of it is missing');
      const condition =
        arg === undefined
          ? this.predicate(expr, depth + 1)
          : `(${this.value(arg, depth + 1)} OPERATOR(pg_catalog.=) ${this.value(expr, depth + 1)})`;
      return `WHEN ${condition} THEN ${this.value(result, depth + 1)}`;
    });
    const other = defresult === undefined ? '' : ` ELSE ${this.value(defresult, depth + 1)}`;
    return `(CASE ${branches.join(' ')}${other} END)`;
  }

  #type(type: TypeName | undefined): string {
    const [name = '', ...rest] = strings(type?.names).reverse();
    if (
      type === undefined ||
      type.setof ||
      type.pct_type ||
      rest.some((schema) => schema !== 'pg_catalog') ||
      !castTypes.has(name)
    )
      throw invalid(`a cast to ${strings(type?.names).join('.')} is not known to be safe in it`);
    const modifiers = (type.typmods ?? []).map((modifier) => constantText(modifier));
    if (
      modifiers.some((modifier) => modifier === undefined || !/^[0-9]{1,9}$/.test(modifier)) ||
      (name === 'interval' && modifiers.length > 0)
    )
      throw invalid(`the modifier of ${name} is not known in it`);
    const length = modifiers.length === 0 ? '' : `(${modifiers.join(', ')})`;
    return `pg_catalog.${quoteName(name)}${length}${'[]'.repeat((type.arrayBounds ?? []).length === 0 ? 0 : 1)}`;
  }
}

interface TypeName {
  readonly names?: Wrapped[];
  readonly typmods?: Wrapped[];
  readonly arrayBounds?: Wrapped[];
  readonly setof?: boolean;
  readonly pct_type?: boolean;
}

/** Which number is the month is up to the client's DateStyle. */
const ambiguousDate = /^\s*[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ][0-9]{1,4}(?![0-9])/;

function constant(node: Wrapped): string {
  const text = constantText(node);
  const body = as<{ isnull?: boolean; ival?: object; fval?: object; boolval?: object; sval?: object }>(node, 'A_Const');
  if (body?.isnull === true) return 'NULL';
  if (text === undefined) throw invalid('it has a constant of a kind that is not known');
  if (body?.boolval !== undefined) return text;
  if (body?.ival !== undefined || body?.fval !== undefined) {
    // A number in another base or with a sign in it would not be what it is here.
    if (!/^[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?$/.test(text)) throw invalid(`${text} is not a plain number`);
    return text;
  }
  if (body?.sval === undefined) throw invalid('it has a constant of a kind that is not known');
  if (ambiguousDate.test(text))
    throw invalid(`write the date ${text} as YYYY-MM-DD: else clients could choose what it means`);
  return string(text);
}

function describe(kind: string): string {
  switch (kind) {
    case 'SubLink':
      return 'a sub-query';
    case 'ParamRef':
      return 'a parameter';
    case 'AEXPR_NULLIF':
      return 'NULLIF';
    case 'SQLValueFunction':
      return 'a value of the session';
    default:
      return kind;
  }
}
