import type { ResTarget, SelectStmt } from 'libpg-query';
import { as, open, strings, type Wrapped } from './ast.js';

/** The name that the server gives an output without AS, as far as others can refer to it. */
export function outputName(node: Wrapped | undefined): string {
  if (node === undefined) return '?column?';
  const { kind, body: inner } = open(node);
  switch (kind) {
    case 'ColumnRef': {
      const names = strings((inner as { fields?: Wrapped[] }).fields);
      return names[names.length - 1] ?? '?column?';
    }
    case 'FuncCall': {
      const names = strings((inner as { funcname?: Wrapped[] }).funcname);
      return names[names.length - 1] ?? '?column?';
    }
    case 'TypeCast': {
      const cast = inner as { arg?: Wrapped; typeName?: { names?: Wrapped[] } };
      const named = outputName(cast.arg);
      return named === '?column?' ? (strings(cast.typeName?.names).at(-1) ?? '?column?') : named;
    }
    case 'CollateClause':
      return outputName((inner as { arg?: Wrapped }).arg);
    case 'A_Indirection': {
      const { arg, indirection } = inner as { arg?: Wrapped; indirection?: Wrapped[] };
      return strings(indirection).at(-1) ?? outputName(arg);
    }
    case 'SubLink': {
      const link = inner as { subLinkType?: string; subselect?: Wrapped };
      if (link.subLinkType === 'EXISTS_SUBLINK') return 'exists';
      if (link.subLinkType === 'ARRAY_SUBLINK') return 'array';
      const [target] = as<SelectStmt>(link.subselect, 'SelectStmt')?.targetList ?? [];
      const res = as<ResTarget>(target, 'ResTarget');
      return link.subLinkType === 'EXPR_SUBLINK' ? (res?.name ?? outputName(res?.val)) : '?column?';
    }
    case 'CaseExpr': {
      const named = outputName((inner as { defresult?: Wrapped }).defresult);
      return named === '?column?' ? 'case' : named;
    }
    default:
      return plainNames[kind] ?? '?column?';
  }
}

const plainNames: Readonly<Record<string, string>> = {
  CoalesceExpr: 'coalesce',
  RowExpr: 'row',
  A_ArrayExpr: 'array',
  XmlSerialize: 'xmlserialize',
  GroupingFunc: 'grouping',
};
