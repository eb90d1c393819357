import { StatementError } from '../judging/statement.js';
import { promptSetting } from '../prompt.js';
import { as, constant, walk, type Wrapped } from './ast.js';
import { qualified } from './facts.js';
import { advisory } from './functions.js';
import { identifiers, isServerFirst, split } from './names.js';
import type { Context } from './scope.js';
import { checkReadable, setSetting } from './settings.js';

/** Calls of built-ins whose constant arguments say what they touch. An argument that is no constant makes them opaque. */
export function specialCall(context: Context, name: string, args: readonly Wrapped[]): void {
  const { facts } = context;
  const [first, second] = args.map((arg) => constant(arg));
  if (advisory.has(name)) {
    // Which lock is taken is seen by all sessions.
    if (args.some(depends)) facts.opaque(`which lock ${name}() takes depends on what is read`);
    return;
  }
  switch (name) {
    case 'nextval':
    case 'setval':
    case 'currval': {
      const access = name === 'currval' ? 'read' : 'update';
      if (access === 'update') facts.act('write');
      const parts = typeof first === 'string' ? identifiers(first) : undefined;
      if (parts === undefined) {
        facts.opaque(`the sequence of ${name}() is not a constant`);
        return;
      }
      const { schema, name: sequence } = split(parts);
      const found = context.relation(schema, sequence);
      if (found !== undefined) facts.relation(qualified(found), found.kind, access);
      return;
    }
    case 'lastval':
      return;
    case 'current_setting':
      if (typeof first === 'string') {
        checkReadable(first);
        facts.setting(first.toLowerCase(), 'read');
      } else if (first === undefined) {
        facts.opaque('the setting of current_setting() is not a constant');
        facts.readsAnySetting = true;
      }
      return;
    case 'set_config':
      if (typeof first !== 'string') {
        facts.opaque('the setting of set_config() is not a constant');
        facts.movesPath = true;
        facts.movesAnything = true;
        return;
      }
      // A prompt is what a person or an agent says: what stands in rows is nobody's prompt, and would be shown as one.
      if (first.toLowerCase() === promptSetting && second === undefined && !isParameter(args[1])) {
        throw new StatementError('22023', `the value of ${promptSetting} has to be a constant or a parameter`);
      }
      setSetting(facts, first, typeof second === 'string' ? [second] : undefined);
      return;
    case 'pg_notify':
      facts.act('write');
      if (typeof first === 'string') facts.other({ type: 'channel', name: first, access: 'use' });
      else facts.opaque('the channel of pg_notify() is not a constant');
      return;
    case 'pg_input_is_valid':
      if (typeof second !== 'string' || !isOwnType(context, second))
        facts.opaque("the type of pg_input_is_valid() is not a constant that names one of the server's own");
      return;
    case 'pg_show_all_settings':
      // The view is nothing else: pgAdmin asks the function.
      facts.relation('pg_catalog.pg_settings', 'v', 'read');
      return;
  }
}

/** Whether it is a parameter, as such or cast. */
function isParameter(node: Wrapped | undefined): boolean {
  const cast = as<{ arg?: Wrapped }>(node, 'TypeCast');
  return cast === undefined ? as(node, 'ParamRef') !== undefined : isParameter(cast.arg);
}

/** Whether a value may differ with the rows. */
function depends(tree: Wrapped): boolean {
  let found = false;
  walk(tree, (value) => {
    found ||= value.ColumnRef !== undefined || value.SubLink !== undefined;
    return !found;
  });
  return found;
}

/** A type as its input function reads it: one of the server's own, where nothing on the path stands before these. */
function isOwnType({ names }: Context, type: string): boolean {
  return ownTypes.test(type) && isServerFirst(names.path) && names.path?.temporary === false;
}

const ownTypes =
  /^\s*(pg_catalog\.)?(smallint|int|integer|bigint|int[248]|numeric|decimal|real|double precision|float[48]|text|varchar|character varying|char|character|bpchar|bool|boolean|bytea|date|time|timetz|timestamp|timestamptz|(time|timestamp) with(out)? time zone|interval|uuid|jsonb?|xml|inet|cidr|macaddr8?|money|bit|varbit|(int4|int8|num|date|ts|tstz)range)\s*(\(\s*\d+\s*(,\s*\d+\s*)?\))?\s*(\[\])?\s*$/i;
