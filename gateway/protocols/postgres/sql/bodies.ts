import type { CreateFunctionStmt, ReturnStmt, SelectStmt } from 'libpg-query';
import { StatementError } from '../judging/statement.js';
import { as, items, walk } from './ast.js';
import type { Body, Routine, Wanted } from './catalog.js';
import { first_user_oid } from './conversions.js';
import { contextOf } from './context.js';
import { Facts } from './facts.js';
import { special } from './functions.js';
import { viewLineage } from './lineage.js';
import { wantedOf } from './names.js';
import { parse, type Parsed } from './parse.js';
import { Scope, wholeRow, type Context, type Value } from './scope.js';

/**
 * What functions written in SQL touch, out of their bodies: the same analysis as of what a client sends, with the names of the same
 * session, along whose search_path the server reads a body as well. One query that only reads, of types of the server's own; whatever
 * else a function is leaves it unknown. The catalog's read (queries.ts) has left out those that are volatile, run as their owner or with
 * settings of their own, or have defaults.
 */

/** Bodies within bodies. */
export const bodies_depth_max = 8;

/** Types whose values may be of any type. */
const polymorphic: ReadonlySet<number> = new Set([
  2249, 2276, 2277, 2283, 2776, 3500, 3831, 4537, 5077, 5078, 5079, 5080,
]);

const isOwnType = (type: number): boolean => type < first_user_oid && !polymorphic.has(type);

/** In front of a body that is kept as a tree, so that it parses. */
const head = 'CREATE FUNCTION "sallyport.body"() RETURNS pg_catalog.int4 ';

function parsedOf({ text, isTree }: Body): Parsed | undefined {
  try {
    return parse(isTree ? head + text : text);
  } catch (error) {
    if (error instanceof StatementError) return undefined;
    throw error;
  }
}

/** The names in a body; none where the gateway's grammar does not read it. */
export function namesInBody(body: Body): readonly Wanted[] {
  const parsed = parsedOf(body);
  return parsed === undefined ? [] : wantedOf(parsed);
}

/** The one query that a body is; undefined where it is another thing. */
function queryOf(body: Body): SelectStmt | undefined {
  const [raw, more] = parsedOf(body)?.statements ?? [];
  if (raw?.stmt === undefined || more !== undefined) return undefined;
  if (!body.isTree) return as<SelectStmt>(raw.stmt, 'SelectStmt');
  const tree = as<CreateFunctionStmt>(raw.stmt, 'CreateFunctionStmt')?.sql_body;
  const value = as<ReturnStmt>(tree, 'ReturnStmt')?.returnval;
  if (value !== undefined)
    return { targetList: [{ ResTarget: { val: value } }], limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' };
  const [block, another] = items(tree);
  const [statement, behind] = items(block);
  return another === undefined && behind === undefined ? as<SelectStmt>(statement, 'SelectStmt') : undefined;
}

/**
 * What a call hands out, where all that the body does is known; it is noted with the statement then, as reached by way of the function.
 * Undefined, and nothing noted, where it is not.
 */
export function bodyValue(context: Context, routine: Routine, args: readonly Value[]): Value | undefined {
  const { body, schema, name, types, result } = routine;
  if (body === undefined || context.depth >= bodies_depth_max || args.length !== types.length) return undefined;
  if (!isOwnType(result) || !types.every(isOwnType)) return undefined;
  const query = queryOf(body);
  if (query === undefined || makesTable(query)) return undefined;
  const facts = new Facts((relation) => viewLineage(relation, context.names));
  const inner = contextOf(facts, context.names, context.made, undefined, bodyValue, context.depth + 1);
  // A parameter's name counts where no column has it.
  const around = new Scope(undefined);
  // What is given for it is an argument to the statement, whatever the body does with it.
  const parameters = body.parameters.map((parameter, at) => ({ name: parameter, origins: [], type: types[at] }));
  const source = { alias: name, open: false, pool: [], columns: parameters.filter((each) => each.name !== '') };
  around.push({ sources: [source], star: { columns: [], open: false, pool: [] } });
  const rows = inner.select(query, around, 'output');
  if (!facts.isPlainRead || [...facts.functions].some(isSpecial)) return undefined;
  context.facts.absorb(facts, `${schema}.${name}()`);
  return { origins: [...args.flatMap(({ origins }) => origins), ...wholeRow(rows).origins], type: result };
}

function makesTable(query: SelectStmt): boolean {
  let found = false;
  walk(query, (value) => {
    found ||= value.intoClause !== undefined;
    return !found;
  });
  return found;
}

/** What it does depends on its arguments, of which a body's parameters say nothing. */
const isSpecial = (label: string): boolean =>
  label.startsWith('pg_catalog.') && special.has(label.slice('pg_catalog.'.length));
