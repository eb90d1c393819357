import type {
  ColumnRef,
  DeleteStmt,
  ExplainStmt,
  InsertStmt,
  JoinExpr,
  MergeStmt,
  MergeWhenClause,
  OnConflictClause,
  PrepareStmt,
  RangeVar,
  RawStmt,
  ResTarget,
  SelectStmt,
  UpdateStmt,
} from 'libpg-query';
import { as, walk, type Wrapped } from '../ast.js';
import { qualified } from '../facts.js';
import type { Source } from '../scope.js';
import type { Occurrences } from './occurrences.js';
import { hasOutput, type Rule, type Rules } from './rules.js';
import { notHere } from './touched.js';

/**
 * Under masks of scope `output` the conditions of a write see clear values, as those of a query do; what it sets, inserts and
 * returns does not. No query can be put around a write. So each reference outside of its conditions is masked where it stands, which
 * holds as long as nothing but such references hands a value on: a sub-query there, a WITH or an ORDER BY has conditions of its own,
 * whose parts are not told apart.
 */

export interface Clear {
  /** References in conditions, and in sub-queries of these. */
  readonly references: ReadonlySet<ColumnRef>;
  /** Relations that are read in sub-queries of conditions: nothing of them is handed out. */
  readonly reads: ReadonlySet<RangeVar>;
  /** Relations of FROM, USING and of the query that is inserted: what else refers to them is masked where it stands. */
  readonly beside: ReadonlySet<RangeVar>;
  /** All that neither stands in a condition nor by itself: it may not touch what is masked on the way out. */
  readonly within: Within;
}

export interface Within {
  readonly references: ReadonlySet<ColumnRef>;
  readonly reads: ReadonlySet<RangeVar>;
  readonly stars: ReadonlySet<ResTarget>;
}

/** Undefined where the statement is no write, or not as plain as that. */
export function clearInConditions({ stmt }: RawStmt): Clear | undefined {
  const inner = as<ExplainStmt>(stmt, 'ExplainStmt')?.query ?? as<PrepareStmt>(stmt, 'PrepareStmt')?.query ?? stmt;
  const parts = partsOf(inner);
  if (parts === undefined) return undefined;
  const conditions = [...parts.conditions];
  const beside = new Set<RangeVar>();
  const others: unknown[] = [];
  for (const item of parts.from) if (!addItem(item, { conditions, beside, others })) return undefined;
  const clear = gathered(conditions);
  const within = gathered([...others, ...subQueries(parts.shown)]);
  return { references: clear.references, reads: clear.reads, beside, within };
}

interface Parts {
  readonly conditions: readonly unknown[];
  readonly from: readonly Wrapped[];
  /** What it sets, inserts and returns. */
  readonly shown: readonly unknown[];
}

function partsOf(statement: Wrapped | undefined): Parts | undefined {
  const update = as<UpdateStmt>(statement, 'UpdateStmt');
  const remove = as<DeleteStmt>(statement, 'DeleteStmt');
  const merge = as<MergeStmt>(statement, 'MergeStmt');
  const insert = as<InsertStmt>(statement, 'InsertStmt');
  if ((update ?? remove ?? merge ?? insert)?.withClause !== undefined) return undefined;
  if (update !== undefined)
    return {
      conditions: [update.whereClause],
      from: update.fromClause ?? [],
      shown: [update.targetList, update.returningClause],
    };
  if (remove !== undefined)
    return { conditions: [remove.whereClause], from: remove.usingClause ?? [], shown: [remove.returningClause] };
  if (merge !== undefined) {
    const clauses = (merge.mergeWhenClauses ?? []).flatMap(
      (node) => as<MergeWhenClause>(node, 'MergeWhenClause') ?? [],
    );
    return {
      conditions: [merge.joinCondition, ...clauses.map(({ condition }) => condition)],
      from: merge.sourceRelation === undefined ? [] : [merge.sourceRelation],
      shown: [...clauses.map(({ targetList, values }) => [targetList, values]), merge.returningClause],
    };
  }
  return insert === undefined ? undefined : partsOfInsert(insert);
}

/** INSERT … SELECT of one query that neither groups nor sorts. */
function partsOfInsert({ selectStmt, onConflictClause, returningClause, cols }: InsertStmt): Parts | undefined {
  const query = as<SelectStmt>(selectStmt, 'SelectStmt');
  const conflict: OnConflictClause | undefined = onConflictClause;
  if (query === undefined || conflict?.whereClause !== undefined) return undefined;
  const foreign = Object.keys(query).filter((key) => !plain.has(key) && query[key as keyof SelectStmt] !== undefined);
  if (foreign.length > 0 || (query.op !== undefined && query.op !== 'SETOP_NONE')) return undefined;
  return {
    conditions: [query.whereClause],
    from: query.fromClause ?? [],
    shown: [cols, query.targetList, conflict, returningClause],
  };
}

const plain: ReadonlySet<string> = new Set(['targetList', 'fromClause', 'whereClause', 'limitOption', 'op']);

interface Into {
  readonly conditions: unknown[];
  readonly beside: Set<RangeVar>;
  readonly others: unknown[];
}

/** False for a join that makes columns or rows of its own: one by USING, a NATURAL or an outer one, one with a name. */
function addItem(item: Wrapped, into: Into): boolean {
  const range = as<RangeVar>(item, 'RangeVar');
  const join = as<JoinExpr>(item, 'JoinExpr');
  if (range !== undefined) into.beside.add(range);
  else if (join === undefined) into.others.push(item);
  else {
    const isInner = join.jointype === undefined || join.jointype === 'JOIN_INNER';
    if (!isInner || join.isNatural === true || join.usingClause !== undefined || join.alias !== undefined) return false;
    into.conditions.push(join.quals);
    return [join.larg, join.rarg].every((side) => side !== undefined && addItem(side, into));
  }
  return true;
}

function subQueries(trees: unknown): readonly unknown[] {
  const found: unknown[] = [];
  walk(trees, ({ SubLink }) => {
    if (SubLink !== undefined) found.push(SubLink);
    return SubLink === undefined;
  });
  return found;
}

function gathered(trees: readonly unknown[]): Within {
  const references = new Set<ColumnRef>();
  const reads = new Set<RangeVar>();
  const stars = new Set<ResTarget>();
  walk(trees, (value) => {
    if (value.ColumnRef !== undefined) references.add(value.ColumnRef as ColumnRef);
    if (value.RangeVar !== undefined) reads.add(value.RangeVar as RangeVar);
    if (value.ResTarget !== undefined) stars.add(value.ResTarget as ResTarget);
    return true;
  });
  return { references, reads, stars };
}

/** A write whose conditions see clear values: what is read for these, or beside its target, is masked at the source alone. */
export function aroundConditions(
  all: ReadonlyMap<RangeVar, Rules>,
  { reads, beside }: Clear,
): ReadonlyMap<RangeVar, Rules> {
  const isClear = (range: RangeVar): boolean => reads.has(range) || beside.has(range);
  return new Map([...all].map(([range, rules]) => [range, isClear(range) ? ofScope(rules, 'source') : rules]));
}

/** What references outside of conditions show of what is read beside the target. */
export function shownBeside(all: ReadonlyMap<RangeVar, Rules>, { beside }: Clear): ReadonlyMap<RangeVar, Rules> {
  const isBeside = ([range, { masked }]: readonly [RangeVar, Rules]): boolean => beside.has(range) && hasOutput(masked);
  return new Map([...all].filter(isBeside).map(([range, rules]) => [range, ofScope(rules, 'output')]));
}

const ofScope = (rules: Rules, scope: Rule['scope']): Rules => ({
  ...rules,
  masked: new Map([...rules.masked].filter(([, rule]) => rule.scope === scope)),
});

/** Throws RewriteRefusal where a part that has conditions of its own touches what is masked on the way out. */
export function checkWithin(
  { references, reads, stars }: Within,
  seen: Occurrences,
  all: ReadonlyMap<RangeVar, Rules>,
): void {
  const because = 'a sub-query that is not in a condition reads it';
  const refuseAny = (sources: readonly Source[], column?: string): void => {
    for (const { range } of sources) {
      const rules = range === undefined ? undefined : all.get(range);
      if (rules === undefined || !hasOutput(rules.masked)) continue;
      if (column !== undefined && rules.masked.get(column)?.scope !== 'output') continue;
      const name = qualified(rules.relation);
      throw notHere(column === undefined ? name : `${name}.${column}`, because);
    }
  };
  for (const range of reads) refuseAny([{ range } as Source]);
  for (const ref of references) {
    const use = seen.columns.get(ref);
    if (use !== undefined) refuseAny(use.sources, use.isCertain ? use.name : undefined);
    const row = seen.rows.get(ref);
    if (row !== undefined) refuseAny([row.source]);
  }
  for (const star of stars) refuseAny(seen.stars.get(star)?.sources ?? []);
}
