import type { IndexElem, InsertStmt, OnConflictClause, RangeVar, RawStmt } from 'libpg-query';
import { RewriteRefusal } from '../../enforcing/rewriting.js';
import { as, walk } from '../ast.js';
import type { Relation, Unique } from '../catalog.js';
import { qualified } from '../facts.js';
import type { Source } from '../scope.js';
import type { Obliged, Rules } from './rules.js';

/**
 * ON CONFLICT compares what is inserted with what is there, in clear, and the count of rows tells what came of it: one statement could
 * ask for thousands of values of a masked column. Under scope `output` that may be asked, and what `hash` shows is no more than
 * equality; everything else is refused. A plain INSERT that fails is another thing: it tells of one value, and leaves a failed transaction.
 *
 * Throws RewriteRefusal.
 */
export function checkConflicts(
  raw: RawStmt,
  targets: ReadonlyMap<RangeVar, Source>,
  rules: ReadonlyMap<RangeVar, Rules>,
  obliged: Obliged,
): void {
  walk(raw.stmt, (value) => {
    const { relation: range, onConflictClause: clause } = (value.InsertStmt ?? {}) as InsertStmt;
    const relation = range === undefined ? undefined : targets.get(range)?.relation;
    if (range === undefined || relation === undefined || clause === undefined) return true;
    const key = relation.keysAbove.find((each) => obliged.mask(each)?.scope === 'source');
    if (key !== undefined)
      throw new RewriteRefusal(
        'mask_unenforceable',
        `ON CONFLICT would tell which rows ${qualified(relation)} has, and so of the masked column ${key}: insert into the table that it is a partition of`,
      );
    const column = compared(clause, relation).find((each) => isSecret(each, relation, rules.get(range), obliged));
    if (column !== undefined)
      throw new RewriteRefusal(
        'mask_unenforceable',
        `ON CONFLICT would tell whether a value of the masked column ${column.relation}.${column.name} is there; name the columns of a unique index without it: ON CONFLICT (${relation.primaryKey.join(', ') || '…'})`,
      );
    return true;
  });
}

interface Compared {
  readonly relation: string;
  readonly name: string;
}

/** The columns that decide whether there is a conflict; those of expressions are looked at as references are. */
function compared({ infer }: OnConflictClause, relation: Relation): readonly Compared[] {
  const own = (name: string): Compared => ({ relation: qualified(relation), name });
  const columnsOf = ({ relation: of, columns }: Unique): Compared[] => columns.map((name) => ({ relation: of, name }));
  if (infer === undefined) return relation.uniques.flatMap(columnsOf);
  if (infer.conname !== undefined)
    return relation.uniques.filter(({ name }) => name === infer.conname).flatMap(columnsOf);
  return (infer.indexElems ?? []).flatMap((element) => {
    const name = as<IndexElem>(element, 'IndexElem')?.name;
    return name === undefined ? [] : [own(name)];
  });
}

function isSecret(
  { relation: of, name }: Compared,
  target: Relation,
  rules: Rules | undefined,
  obliged: Obliged,
): boolean {
  // A view's columns are called otherwise than those of the table below it.
  const isView = target.kind === 'v';
  const rule = isView && of !== qualified(target) ? undefined : rules?.masked.get(name);
  if (rule !== undefined) return rule.scope === 'source' && rule.mask?.with !== 'hash';
  const parents = target.reads.filter(({ how }) => how === 'p').map(qualified);
  const mask = obliged.strictest([of, ...parents].map((each) => `${each}.${name}`));
  return mask !== undefined && mask.scope === 'source' && mask.with !== 'hash';
}
