import type { RangeVar } from 'libpg-query';
import { quoteName } from '../masks/write.js';
import { conditionOf, maskedValue, type Rules } from './rules.js';

/** A relation as a query that reads it through its masks and filters. */

export interface Wrap {
  readonly rules: Rules;
  /** What the relation is called around it. */
  readonly alias: string;
  /** System columns that are referred to there. */
  readonly system: ReadonlySet<string>;
  /** Columns whose values are handed on beside their masks, and as what. */
  readonly beside?: ReadonlyMap<string, string>;
  readonly only: boolean;
  /** TABLESAMPLE … as it stands in the text. */
  readonly sample?: string | undefined;
  /** Conditions of a client that could tell of filtered rows by failing are kept behind the filter. */
  readonly isBarrier?: boolean;
}

export const relationName = ({ schema, name }: { readonly schema: string; readonly name: string }): string =>
  `${quoteName(schema)}.${quoteName(name)}`;

export const aliasOf = (range: RangeVar): string => range.alias?.aliasname ?? range.relname ?? '';

/** The query, in parentheses. */
export function wrapped(wrap: Wrap): string {
  const { rules, alias, system, beside = new Map<string, string>(), only, sample, isBarrier } = wrap;
  const { relation, masked } = rules;
  const own = quoteName(alias);
  const columns = [...system].map((name) => `${own}.${name}`);
  for (const column of relation.columns) {
    const rule = masked.get(column.name);
    const reference = `${own}.${quoteName(column.name)}`;
    columns.push(
      rule === undefined ? reference : `${maskedValue(column, rule, reference)} AS ${quoteName(column.name)}`,
    );
  }
  for (const [name, as] of beside) columns.push(`${own}.${quoteName(name)} AS ${quoteName(as)}`);
  const condition = conditionOf(rules, own);
  const names = relation.columns.map(({ name }) => quoteName(name)).join(', ');
  const from =
    rules.query === undefined
      ? `${only ? 'ONLY ' : ''}${relationName(relation)}${alias === relation.name ? '' : ` AS ${own}`}`
      : `(${rules.query}) AS ${own}(${names})`;
  // What has a WITH is not drawn into the query around it, while conditions are pushed into it as before; nothing is computed of this one.
  const apart = rules.isApart === true ? 'WITH "sallyport.apart" AS (SELECT) ' : '';
  return [
    `(${apart}SELECT ${columns.join(', ')} FROM ${from}`,
    sample === undefined ? '' : ` ${sample}`,
    condition === undefined ? '' : ` WHERE ${condition}`,
    isBarrier === true || rules.query !== undefined ? ' OFFSET 0' : '',
    ')',
  ].join('');
}
