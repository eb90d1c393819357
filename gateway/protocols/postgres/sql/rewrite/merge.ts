import type { MergeStmt, MergeWhenClause } from 'libpg-query';
import { as, type Wrapped } from '../ast.js';
import { before, beforeTree } from './conditions.js';
import { type Expected, expressionTree } from './expected.js';
import { unclear, type Splice } from './splice.js';

/**
 * MERGE into a filtered relation: rows that the filter hides match nothing, so that no WHEN MATCHED sees them; and what a source
 * has no row for is done to none of them.
 */

interface Clauses {
  /** Of the condition of the join: the index of ON, and of what comes behind it. */
  readonly on: number;
  readonly end: number;
  /** Of each WHEN: its index, and that of its THEN. */
  readonly whens: readonly { readonly at: number; readonly then: number }[];
}

/** @param condition Of the filter. @param isOrdered The client's own conditions may fail. @param from The index of the target's name. */
export function filterMerge(
  body: MergeStmt,
  condition: string,
  isOrdered: boolean,
  from: number,
  splice: Splice,
  expected: Expected,
): void {
  const clauses = (body.mergeWhenClauses ?? []).flatMap((node) => as<MergeWhenClause>(node, 'MergeWhenClause') ?? []);
  const found = clausesOf(splice, from);
  if (found === undefined || found.whens.length !== clauses.length) throw unclear('MERGE as it is written here');
  const { head, tail } = before(condition, isOrdered);
  splice.append(splice.endOf(found.on), head);
  splice.append(splice.endOf(found.end - 1), tail);
  expected.change(body, (copy) => {
    copy.joinCondition = beforeTree(condition, isOrdered, copy.joinCondition as Wrapped);
  });
  for (const [index, clause] of clauses.entries()) {
    if (clause.matchKind !== 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE') continue;
    const { at, then } = found.whens[index]!;
    // WHEN NOT MATCHED BY SOURCE [AND …] THEN
    const source = at + 4;
    if (splice.word(source) !== 'source') throw unclear('MERGE as it is written here');
    if (clause.condition === undefined) {
      splice.append(splice.endOf(source), ` AND (${condition})`);
      expected.change(clause, (copy) => void (copy.condition = expressionTree(`(${condition})`)));
    } else {
      splice.append(splice.endOf(source + 1), head);
      splice.append(splice.endOf(then - 1), tail);
      expected.change(clause, (copy) => {
        copy.condition = beforeTree(condition, isOrdered, copy.condition as Wrapped);
      });
    }
  }
}

/** Words outside of parentheses and of CASE … END. */
function clausesOf(splice: Splice, from: number): Clauses | undefined {
  const whens: { at: number; then: number }[] = [];
  let on: number | undefined;
  let depth = 0;
  for (let index = from; index < splice.tokens.length; index++) {
    const word = splice.word(index);
    if (splice.word(index - 1) === '.') continue;
    if (word === '(' || word === '[' || word === 'case') depth++;
    else if (word === ')' || word === ']' || word === 'end') depth--;
    if (depth < 0 || word === ';') break;
    if (depth > 0) continue;
    if (word === 'on' && whens.length === 0) on = index;
    else if (word === 'when') whens.push({ at: index, then: index });
    else if (word === 'then' && whens.length > 0) whens.at(-1)!.then = index;
  }
  const [first] = whens;
  return on === undefined || first === undefined ? undefined : { on, end: first.at, whens };
}

/** What it would put into the relation past the filter. */
export const inserts = (body: MergeStmt): boolean =>
  (body.mergeWhenClauses ?? []).some(
    (node) => as<MergeWhenClause>(node, 'MergeWhenClause')?.commandType === 'CMD_INSERT',
  );

/** Rows of both sides that match nothing have a WHEN of their own. */
export const joinsFully = (body: MergeStmt): boolean => {
  const kinds = (body.mergeWhenClauses ?? []).map((node) => as<MergeWhenClause>(node, 'MergeWhenClause')?.matchKind);
  return kinds.includes('MERGE_WHEN_NOT_MATCHED_BY_SOURCE') && kinds.includes('MERGE_WHEN_NOT_MATCHED_BY_TARGET');
};
