import type { A_Indirection, MinMaxExpr, ResTarget, SelectStmt, SubLink } from 'libpg-query';
import { as, open, strings, type Wrapped } from './ast.js';

/** The name that the server gives an output without AS (parse_target.c): columns and functions before casts and CASE, whose names are weak. */
export function outputName(node: Wrapped | undefined): string {
  return figured(node)?.name ?? '?column?';
}

interface Name {
  readonly name: string;
  /** A cast around it has a better one. */
  readonly weak: boolean;
}

const strong = (name: string): Name => ({ name, weak: false });
const last = (nodes: readonly Wrapped[] | undefined): Name | undefined => {
  const name = strings(nodes).at(-1);
  return name === undefined ? undefined : strong(name);
};

function figured(node: Wrapped | undefined): Name | undefined {
  if (node === undefined) return undefined;
  const { kind, body } = open(node);
  switch (kind) {
    case 'ColumnRef':
      return last((body as { fields?: Wrapped[] }).fields);
    case 'FuncCall':
      return last((body as { funcname?: Wrapped[] }).funcname);
    case 'A_Indirection': {
      const { arg, indirection } = body as A_Indirection;
      return last(indirection) ?? figured(arg);
    }
    case 'A_Expr':
      return (body as { kind?: string }).kind === 'AEXPR_NULLIF' ? strong('nullif') : undefined;
    case 'TypeCast': {
      const cast = body as { arg?: Wrapped; typeName?: { names?: Wrapped[] } };
      const inner = figured(cast.arg);
      if (inner?.weak === false) return inner;
      const type = strings(cast.typeName?.names).at(-1);
      return type === undefined ? inner : { name: type, weak: true };
    }
    case 'CollateClause':
      return figured((body as { arg?: Wrapped }).arg);
    case 'SubLink':
      return subLinkName(body);
    case 'CaseExpr': {
      const inner = figured((body as { defresult?: Wrapped }).defresult);
      return inner?.weak === false ? inner : { name: 'case', weak: true };
    }
    case 'MinMaxExpr':
      return strong((body as MinMaxExpr).op === 'IS_LEAST' ? 'least' : 'greatest');
    case 'SQLValueFunction':
      return strong(word((body as { op?: string }).op, /^SVFOP_|_N$/g));
    case 'XmlExpr': {
      const op = (body as { op?: string }).op;
      return op === 'IS_DOCUMENT' ? undefined : strong(word(op, /^IS_/));
    }
    case 'JsonFuncExpr':
      return strong(word((body as { op?: string }).op, /_OP$/));
    default: {
      const name = plainNames[kind];
      return name === undefined ? undefined : strong(name);
    }
  }
}

const word = (op: string | undefined, affixes: RegExp): string => (op ?? '').replace(affixes, '').toLowerCase();

function subLinkName(link: SubLink): Name | undefined {
  if (link.subLinkType === 'EXISTS_SUBLINK') return strong('exists');
  if (link.subLinkType === 'ARRAY_SUBLINK') return strong('array');
  if (link.subLinkType !== 'EXPR_SUBLINK') return undefined;
  let query = as<SelectStmt>(link.subselect, 'SelectStmt');
  // The names of a set operation are its first query's.
  while (query?.larg !== undefined) query = query.larg;
  if (query?.valuesLists !== undefined) return strong('column1');
  const [target] = query?.targetList ?? [];
  const res = as<ResTarget>(target, 'ResTarget');
  return strong(res?.name ?? outputName(res?.val));
}

const plainNames: Readonly<Record<string, string>> = {
  A_ArrayExpr: 'array',
  CoalesceExpr: 'coalesce',
  GroupingFunc: 'grouping',
  JsonArrayAgg: 'json_arrayagg',
  JsonArrayConstructor: 'json_array',
  JsonArrayQueryConstructor: 'json_array',
  JsonObjectAgg: 'json_objectagg',
  JsonObjectConstructor: 'json_object',
  JsonParseExpr: 'json',
  JsonScalarExpr: 'json_scalar',
  JsonSerializeExpr: 'json_serialize',
  MergeSupportFunc: 'merge_action',
  RowExpr: 'row',
  XmlSerialize: 'xmlserialize',
};
