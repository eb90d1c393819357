import type {
  A_Indirection,
  CaseExpr,
  ColumnRef,
  InsertStmt,
  JoinExpr,
  RangeTableSample,
  RangeVar,
  ResTarget,
} from 'libpg-query';
import { as, open, strings, walk, type Wrapped } from '../ast.js';

/** Where the nodes of a statement stand, as far as that decides how they are replaced. */

export interface Write {
  readonly kind: 'insert' | 'update' | 'delete' | 'merge';
  readonly body: WriteBody;
}

export interface WriteBody {
  readonly relation?: RangeVar;
  readonly whereClause?: Wrapped;
  readonly returningClause?: object;
}

export class Shape {
  /** TABLESAMPLE by the relation that it is of. */
  readonly samples = new Map<RangeVar, RangeTableSample>();
  readonly writes = new Map<RangeVar, Write>();
  /** References that are an unnamed item of a list by themselves: the item is called after them. */
  readonly named = new Map<ColumnRef, ResTarget>();
  /** References from within an unnamed item, which is called after them all the same: `email::text`. */
  readonly lendsName = new Set<ColumnRef>();
  /** The rows of (t).column and (t).*. */
  readonly fieldRows = new Set<ColumnRef>();
  /** References from within RETURNING, stars among them. */
  readonly returned = new Set<ColumnRef>();
  /** What ON CONFLICT finds its index by. */
  readonly inference = new Set<ColumnRef>();
  /** `ROW(t.*)` and its kin list the columns. */
  readonly listed = new Set<ColumnRef>();
  hasNatural = false;
  /** Something in a condition may fail, or show its operands otherwise. */
  readonly mayTell: boolean;

  constructor(statement: Wrapped) {
    walk(statement, (value) => {
      for (const kind in value) this.#visit(kind, value[kind] as object);
      return true;
    });
    this.mayTell = mayTell(statement);
  }

  #visit(kind: string, body: object): void {
    switch (kind) {
      case 'RangeTableSample': {
        const sample = body as RangeTableSample;
        const range = as<RangeVar>(sample.relation, 'RangeVar');
        if (range !== undefined) this.samples.set(range, sample);
        return;
      }
      case 'InsertStmt':
      case 'UpdateStmt':
      case 'DeleteStmt':
      case 'MergeStmt': {
        const { relation } = body as WriteBody;
        if (relation !== undefined)
          this.writes.set(relation, { kind: kind.slice(0, -4).toLowerCase() as Write['kind'], body });
        this.#gather((body as WriteBody).returningClause, this.returned);
        if (kind === 'InsertStmt') this.#gather((body as InsertStmt).onConflictClause?.infer, this.inference);
        return;
      }
      case 'ResTarget': {
        const target = body as ResTarget;
        if (target.name !== undefined || target.val === undefined) return;
        const ref = as<ColumnRef>(target.val, 'ColumnRef');
        if (ref !== undefined) this.named.set(ref, target);
        else {
          const lender = lenderOf(target.val);
          if (lender !== undefined) this.lendsName.add(lender);
        }
        return;
      }
      case 'A_Indirection': {
        const { arg, indirection } = body as A_Indirection;
        const ref = as<ColumnRef>(arg, 'ColumnRef');
        const [first] = indirection ?? [];
        if (ref !== undefined && (strings([first!]).length > 0 || as(first, 'A_Star') !== undefined))
          this.fieldRows.add(ref);
        return;
      }
      case 'JoinExpr':
        this.hasNatural ||= (body as JoinExpr).isNatural === true;
        return;
      case 'RowExpr':
      case 'List':
        for (const item of (body as { args?: Wrapped[]; items?: Wrapped[] }).args ??
          (body as { items?: Wrapped[] }).items ??
          []) {
          const ref = as<ColumnRef>(item, 'ColumnRef');
          if (ref !== undefined && as(ref.fields?.at(-1), 'A_Star') !== undefined) this.listed.add(ref);
        }
        return;
    }
  }

  #gather(tree: unknown, into: Set<ColumnRef>): void {
    walk(tree, (value) => {
      if (value.ColumnRef !== undefined) into.add(value.ColumnRef as ColumnRef);
      return true;
    });
  }
}

/** The reference that an expression is called after (FigureColname of the server's parser). */
function lenderOf(node: Wrapped | undefined): ColumnRef | undefined {
  if (node === undefined) return undefined;
  const { kind, body } = open(node);
  switch (kind) {
    case 'ColumnRef':
      return body;
    case 'TypeCast':
    case 'CollateClause':
      return lenderOf((body as { arg?: Wrapped }).arg);
    case 'A_Indirection': {
      const { arg, indirection } = body as A_Indirection;
      const names = (indirection ?? []).some((field) => as(field, 'A_Indices') === undefined);
      return names ? undefined : lenderOf(arg);
    }
    case 'CaseExpr':
      return lenderOf((body as CaseExpr).defresult);
    default:
      return undefined;
  }
}

/** Comparisons of any type: they fail for no value, and show nothing. */
const quiet = /^(=|<>|!=|<|>|<=|>=)$/;
/** These fail for a pattern that ends within an escape. */
const likes = /^!?~~\*?$/;
const isQuiet = (operator: string, right: Wrapped | undefined): boolean =>
  quiet.test(operator) || (likes.test(operator) && as(right, 'A_Const') !== undefined);

const quietCalls: ReadonlySet<string> = new Set([
  'lower',
  'upper',
  'length',
  'now',
  'count',
  'sum',
  'avg',
  'min',
  'max',
]);

/**
 * Whether conditions have more in them than comparisons: the server tries conditions in an order of its own, and what fails
 * on a row that a filter hides would tell of it. The outermost list is made of rows that passed.
 */
function mayTell(statement: Wrapped): boolean {
  const { kind, body } = open(statement);
  const isQuery = /^(Select|Insert|Update|Delete)Stmt$/.test(kind);
  const outermost = Object.keys(body).filter((key) => isQuery && /^(targetList|returningClause)$/.test(key));
  const lists = outermost.map((key) => (body as Record<string, unknown>)[key]);
  const parts: unknown = isQuery
    ? { ...body, ...Object.fromEntries(outermost.map((key) => [key, undefined])), lists: subQueries(lists) }
    : body;
  let found = false;
  walk(parts, (value) => {
    if (typeof value.kind === 'string' && value.kind.startsWith('AEXPR_') && Array.isArray(value.name))
      found ||=
        !value.kind.includes('BETWEEN') &&
        !isQuiet(strings(value.name as Wrapped[]).at(-1) ?? '', value.rexpr as Wrapped);
    else if (value.TypeCast !== undefined)
      found ||= as((value.TypeCast as { arg?: Wrapped }).arg, 'A_Const') === undefined;
    else if (value.FuncCall !== undefined)
      found ||= !quietCalls.has(strings((value.FuncCall as { funcname?: Wrapped[] }).funcname).at(-1) ?? '');
    else if (value.A_Indirection !== undefined || value.JsonFuncExpr !== undefined || value.XmlExpr !== undefined)
      found = true;
    return !found;
  });
  return found;
}

function subQueries(lists: readonly unknown[]): unknown[] {
  const found: unknown[] = [];
  walk(lists, (value) => {
    if (value.SubLink === undefined) return true;
    found.push(value.SubLink);
    return false;
  });
  return found;
}
