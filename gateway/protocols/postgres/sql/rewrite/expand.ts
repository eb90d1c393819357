import type { RangeVar } from 'libpg-query';
import { RewriteRefusal } from '../../enforcing/rewriting.js';
import type { Relation } from '../catalog.js';
import { qualified } from '../facts.js';
import { isCondition, viewLineage, type ViewLineage } from '../lineage.js';
import type { Names } from '../names.js';
import { parseAlone } from '../parse.js';
import type { Source } from '../scope.js';
import { analyse } from '../template.js';
import { Clear, type Parts } from './clear.js';
import { assertAlike, Expected } from './expected.js';
import { groups } from './group.js';
import { Occurrences } from './occurrences.js';
import { hasOutput, isMadeOfValue, type Obliged, type Rules } from './rules.js';
import { Splice } from './splice.js';
import { StatementRewriting } from './statement.js';
import { checkTelling } from './telling.js';
import { Touched, type Views } from './touched.js';

/**
 * A view that uses masked columns for more than its output, or stands on filtered rows, is replaced by its own query, with masks
 * and filters put into that.
 */

/** Views on views that are replaced. */
const depth_max = 8;

export class Expansions implements Views {
  readonly #names: Names;
  readonly obliged: Obliged;
  /** False where an earlier statement of the same string may change what the names in a view's query mean. */
  readonly #isSettled: boolean;
  readonly #hidden: Set<string>;
  #depth = 0;

  constructor(names: Names, obliged: Obliged, isSettled: boolean, hidden: Set<string>) {
    this.#names = names;
    this.obliged = obliged;
    this.#isSettled = isSettled;
    this.#hidden = hidden;
  }

  lineage(relation: Relation): ViewLineage | undefined {
    return viewLineage(relation, this.#names);
  }

  isExpanded(relation: Relation): boolean {
    const lineage = relation.kind === 'v' && this.#isSettled ? this.lineage(relation) : undefined;
    // Policies ask who reads: the view's owner does, whom the query in its place would not be.
    if (lineage === undefined || relation.reads.some(({ how }) => how === 'q')) return false;
    const isUsed = lineage.uses.some(({ name, use }) => {
      const mask = this.obliged.mask(name);
      return mask !== undefined && (mask.scope === 'source' || !isCondition(use));
    });
    // What a join or sort of the view holds is measured as well.
    const isMeasured =
      this.obliged.doing === 'measured' &&
      [...lineage.columns.values()].some(({ copies }) =>
        copies.some(({ name }) => isMadeOfValue(this.obliged.mask(name))),
      );
    return (
      isUsed ||
      isMeasured ||
      [...relation.reads, ...relation.heirs].some((below) => this.obliged.filters(qualified(below)).length > 0)
    );
  }

  /** Whether a view's column is made of what is masked on the way out below it. */
  isWithin(relation: Relation, column: string): boolean {
    const made = this.lineage(relation)?.columns.get(column);
    return [...(made?.copies ?? []), ...(made?.derived ?? [])].some(
      ({ name }) => this.obliged.mask(name)?.scope === 'output',
    );
  }

  /** The rules of what is read. */
  rules(source: Source): Rules | undefined {
    const { relation } = source;
    if (relation?.definition === undefined || !this.isExpanded(relation)) return this.obliged.rules(source);
    return this.obliged.ownRules(relation, this.#query(relation, relation.definition.text));
  }

  #query(view: Relation, text: string): string {
    if (++this.#depth > depth_max)
      throw new RewriteRefusal('mask_unenforceable', `${qualified(view)} stands on too many views`);
    const parsed = parseAlone(text);
    const [raw] = parsed.statements;
    const seen = new Occurrences();
    const [analysed] = analyse(parsed, this.#names, false, () => seen);
    if (raw?.stmt === undefined || analysed === undefined || parsed.statements.length !== 1 || analysed.told.opaque)
      throw new RewriteRefusal('mask_unenforceable', `what the view ${qualified(view)} does is not known`);
    const touched = new Touched(analysed.told, seen, this.obliged, this);
    touched.check();
    const rules = new Map<RangeVar, Rules>();
    for (const [range, source] of seen.reads) {
      const found = this.rules(source);
      if (found === undefined) continue;
      rules.set(range, found);
      hide(found, this.#hidden);
    }
    const splice = new Splice(text);
    const expected = new Expected();
    const clear = clearFor({ raw, seen, all: rules, names: this.#names, splice }, this);
    if (clear?.isAny === true) checkTelling(analysed.told.functions);
    const put = clear?.put() ?? rules;
    const rewriting = new StatementRewriting(raw, splice, expected, seen, put, clear);
    rewriting.run();
    rewriting.qualify();
    groups(raw.stmt, put, seen, this.#names, splice, expected);
    const spliced = splice.finish();
    assertAlike(expected, [raw.stmt], spliced.text);
    this.#depth--;
    return spliced.text.trim().replace(/;$/, '');
  }
}

/** What conditions of a statement see; undefined where nothing is masked on the way out. */
export function clearFor(parts: Omit<Parts, 'isWithin'>, expansions: Expansions): Clear | undefined {
  const isWithin = (relation: Relation, column: string): boolean => expansions.isWithin(relation, column);
  const isOutput = [...parts.all.values()].some(
    ({ masked, query, relation }) =>
      hasOutput(masked) || (query !== undefined && relation.columns.some(({ name }) => isWithin(relation, name))),
  );
  return isOutput ? new Clear({ ...parts, isWithin }) : undefined;
}

/** Columns that no RowDescription may show. */
export function hide({ relation, masked }: Rules, hidden: Set<string>): void {
  for (const { name, number } of relation.columns) if (masked.has(name)) hidden.add(`${relation.oid}.${number}`);
}
