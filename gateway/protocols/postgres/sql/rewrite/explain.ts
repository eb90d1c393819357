import type { DefElem, ExplainStmt, RawStmt } from 'libpg-query';
import { RewriteRefusal } from '../../enforcing/rewriting.js';
import { as, constant, strings, type Wrapped } from '../ast.js';
import { parseAlone } from '../parse.js';
import type { Expected } from './expected.js';
import type { Doing } from './rules.js';
import { unclear, type Splice } from './splice.js';

/** EXPLAIN tells of values by its estimates, and of rows by what it counted: both are left out. */

const on = (option: DefElem): boolean => {
  const value = option.arg === undefined ? 'true' : (strings([option.arg])[0] ?? constant(option.arg) ?? 'true');
  return !/^(f|fa|fal|fals|false|n|no|none|of|off|0)$/i.test(value);
};

const optionsIn = (statement: ExplainStmt): DefElem[] =>
  (statement.options ?? []).flatMap((node) => as<DefElem>(node, 'DefElem') ?? []);

const isAnalyze = (option: DefElem): boolean => option.defname === 'analyze' && on(option);

/** EXPLAIN without ANALYZE reads no row; with it, it says how much memory rows took. */
export function doingOf({ stmt }: RawStmt): Doing {
  const statement = as<ExplainStmt>(stmt, 'ExplainStmt');
  if (statement === undefined) return 'run';
  return optionsIn(statement).some(isAnalyze) ? 'measured' : 'planned';
}

/** @param isFiltered The rows that a filter took away would be counted. */
export function explain(raw: RawStmt, splice: Splice, expected: Expected, isFiltered: boolean): void {
  const statement = as<ExplainStmt>(raw.stmt, 'ExplainStmt');
  if (statement === undefined) return;
  const options = optionsIn(statement);
  const isAnalyzed = options.some(isAnalyze);
  if (isAnalyzed && isFiltered)
    throw new RewriteRefusal('filter_unenforceable', 'EXPLAIN ANALYZE counts the rows that a filter hides');
  const more = ['COSTS OFF', ...(isAnalyzed ? ['BUFFERS OFF'] : [])];
  for (const { defname } of options) {
    if (defname === 'wal' || defname === 'memory') more.push(`${defname.toUpperCase()} OFF`);
    if (defname === 'serialize') more.push('SERIALIZE NONE');
  }
  const start = raw.stmt_location ?? 0;
  const first = splice.tokens.findIndex((token) => token.start >= start);
  if (splice.word(first) !== 'explain') throw unclear('an EXPLAIN that the gateway cannot find in the text');
  const isListed = options.length > 0 && splice.word(first + 1) === '(';
  if (isListed) splice.append(splice.startOf(splice.behindParentheses(first + 1) - 1), `, ${more.join(', ')}`);
  else {
    let last = first;
    while (/^(analy[sz]e|verbose)$/.test(splice.word(last + 1))) last++;
    const words = options.map(({ defname }) => (defname ?? '').toUpperCase());
    splice.replace(splice.endOf(first), splice.endOf(last), ` (${[...words, ...more].join(', ')})`);
  }
  const added = optionsOf(`EXPLAIN (${more.join(', ')}) SELECT`);
  expected.change(statement, (copy) => {
    copy.options = [...((copy.options as Wrapped[] | undefined) ?? []), ...added];
  });
}

const optionsOf = (text: string): readonly Wrapped[] =>
  as<ExplainStmt>(parseAlone(text).statements[0]?.stmt, 'ExplainStmt')?.options ?? [];
