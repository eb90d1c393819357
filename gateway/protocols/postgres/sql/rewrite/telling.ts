import type { FuncCall, RawStmt } from 'libpg-query';
import { RewriteRefusal } from '../../enforcing/rewriting.js';
import { strings, walk, type Wrapped } from '../ast.js';

/**
 * Under masks of scope `output` expressions see clear values. Predicates, joins and grouping may: that is what the scope is for.
 * What hands a value out by another road than the result, or says a number as so many rows at once, may not.
 */

/** Of the functions that are not opaque, those that do something with their arguments which outlasts the row, or takes its time. */
const effects = /^pg_catalog\.(pg_notify|set_config|setval|setseed|pg_sleep(_for|_until)?|pg_(try_)?advisory_\w+)$/;

/** Those that make several rows of a value. */
const series: ReadonlySet<string> = new Set(
  `generate_series generate_subscripts unnest regexp_matches regexp_split_to_table string_to_table json_array_elements json_array_elements_text
    json_each json_each_text json_object_keys jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys
    jsonb_path_query jsonb_path_query_tz json_populate_recordset jsonb_populate_recordset json_to_recordset jsonb_to_recordset ts_parse ts_debug
    ts_token_type aclexplode pg_options_to_table`.split(/\s+/),
);

/** Throws RewriteRefusal. @param functions As schema.name. */
export function checkTelling(raw: RawStmt, functions: readonly string[]): void {
  const effect = functions.find((name) => effects.test(name));
  if (effect !== undefined)
    throw refusal(`${effect.slice(effect.indexOf('.') + 1)}() could carry out what is masked on the way out only`);
  walk(raw.stmt, (value) => {
    const { RangeFunction, RangeTableFunc, JsonTable, RangeTableSample, FuncCall: call, SelectStmt } = value;
    const parts = [RangeFunction, RangeTableFunc, JsonTable].filter((part) => part !== undefined);
    if (parts.some(depends)) throw refusal('how many rows a function in FROM makes could tell a masked value');
    if (call !== undefined && series.has(strings((call as FuncCall).funcname).at(-1) ?? '') && depends(call))
      throw refusal('how many rows a function makes could tell a masked value');
    const { limitCount, limitOffset } = (SelectStmt ?? {}) as { limitCount?: Wrapped; limitOffset?: Wrapped };
    if ([limitCount, limitOffset, RangeTableSample].some((part) => part !== undefined && holdsQuery(part)))
      throw refusal('a LIMIT, an OFFSET or a sample by a query could tell a masked value');
    return true;
  });
}

const refusal = (message: string): RewriteRefusal => new RewriteRefusal('mask_unenforceable', message);

const holds =
  (kinds: readonly string[]) =>
  (tree: unknown): boolean => {
    let found = false;
    walk(tree, (value) => {
      found ||= kinds.some((kind) => value[kind] !== undefined);
      return !found;
    });
    return found;
  };
const depends = holds(['ColumnRef', 'SubLink']);
const holdsQuery = holds(['SubLink']);
