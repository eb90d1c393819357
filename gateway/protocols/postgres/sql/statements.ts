import type {
  CallStmt,
  CopyStmt,
  CreateTableAsStmt,
  DeclareCursorStmt,
  DefElem,
  DiscardStmt,
  ExecuteStmt,
  ExplainStmt,
  FetchStmt,
  PrepareStmt,
  RangeVar,
  RefreshMatViewStmt,
  SelectStmt,
  TransactionStmt,
  TruncateStmt,
  TypeName,
  VariableSetStmt,
  VariableShowStmt,
} from 'libpg-query';
import { StatementError, type Control, type Moves, type Template } from '../judging/statement.js';
import { as, constant, integer, open, strings, type Wrapped } from './ast.js';
import { definition } from './definitions.js';
import { firesEventTriggers } from './kinds.js';
import { promptSetting } from '../prompt.js';
import { expression, typeUse } from './expressions.js';
import { isRoleNone, split } from './names.js';
import { first_user_oid } from './conversions.js';
import { qualified, type Facts } from './facts.js';
import { Scope, type Context } from './scope.js';
import { checkReadable, isHarmless, setSetting } from './settings.js';
import { copy } from './writes.js';

/** One statement of any kind: its name, its action, what it touches, and what it does to the session. */

export interface Meaning {
  readonly control: Control;
  readonly moves: Moves;
}

/** Makes the template of the statement inside PREPARE and DECLARE, which follows the keyword. */
export type InnerTemplate = (node: Wrapped, after: 'AS' | 'FOR') => Template;

const still: Moves = { path: false, catalog: false, anything: false };
const catalog: Moves = { path: false, catalog: true, anything: false };
const anything: Moves = { path: true, catalog: true, anything: true };
const plain: Meaning = { control: { kind: 'none' }, moves: still };

export function statement(context: Context, node: Wrapped, inner: InnerTemplate): Meaning {
  const meaning = understand(context, node, inner);
  const { facts } = context;
  const { kind } = open(node);
  if (firesEventTriggers(kind) || (meaning.moves.catalog && makers.has(kind))) {
    for (const trigger of context.names.path?.eventTriggers ?? [])
      facts.hidden(
        trigger.function,
        `event trigger ${trigger.name} runs ${trigger.function}(), whose body is not known`,
        trigger.name,
      );
  }
  // What an unknown function does may be anything.
  if (facts.movesAnything) return { ...meaning, moves: anything };
  if (!facts.movesPath && !facts.movesIsolation) return meaning;
  const { path } = meaning.moves;
  const isolation = facts.movesIsolation ? ({ isolation: true } as const) : {};
  return { ...meaning, moves: { ...meaning.moves, path: path || facts.movesPath, ...isolation } };
}

/** Statements that make a table out of a query. */
const makers: ReadonlySet<string> = new Set(['SelectStmt', 'CreateTableAsStmt', 'ExplainStmt']);

function understand(context: Context, node: Wrapped, inner: InnerTemplate): Meaning {
  const { facts } = context;
  const { kind, body } = open(node);
  switch (kind) {
    case 'SelectStmt':
      return selected(context, node, body);
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
    case 'MergeStmt':
      facts.kind = kind.slice(0, -4).toLowerCase();
      facts.outputs = context.query(node, undefined, 'output');
      return plain;
    case 'CopyStmt':
      facts.kind = 'copy';
      copy(context, body, (query) => void queryOf(context, query));
      if ((body as CopyStmt).filename !== undefined) return plain;
      if ((body as CopyStmt).is_from) return { control: { kind: 'copy_in' }, moves: still };
      return { control: isBinaryCopy(body) ? { kind: 'copy_out', binary: true } : { kind: 'copy_out' }, moves: still };
    case 'TruncateStmt':
      return truncate(context, body);
    case 'CreateTableAsStmt':
      return createTableAs(context, body);
    case 'RefreshMatViewStmt': {
      facts.kind = 'refresh_materialized_view';
      facts.act('define');
      const range = (body as RefreshMatViewStmt).relation;
      const view =
        range?.relname === undefined ? undefined : context.relation(range.schemaname, range.relname, 'define');
      if (view !== undefined) {
        facts.relation(qualified(view), view.kind, 'define');
        facts.read(view);
        facts.columnsOf(view, 'output');
      }
      return { control: { kind: 'none' }, moves: facts.isOpaque ? anything : still };
    }
    case 'ExplainStmt':
      return explain(context, body);
    case 'TransactionStmt':
      return transaction(facts, body);
    case 'PrepareStmt': {
      facts.kind = 'prepare';
      const prepared = body as PrepareStmt;
      if (prepared.query === undefined) return plain;
      queryOf(context, prepared.query);
      const types = declaredTypes(context, prepared);
      return {
        control: { kind: 'prepare', name: prepared.name ?? '', inner: inner(prepared.query, 'AS'), types },
        moves: still,
      };
    }
    case 'ExecuteStmt': {
      facts.kind = 'execute';
      return { control: executed(context, body), moves: anything };
    }
    case 'DeallocateStmt': {
      facts.kind = 'deallocate';
      const { name } = body as { name?: string };
      return { control: { kind: 'deallocate', name }, moves: still };
    }
    case 'DeclareCursorStmt': {
      facts.kind = 'declare';
      const declared = body as DeclareCursorStmt;
      if (declared.query === undefined) return plain;
      queryOf(context, declared.query);
      // CURSOR_OPT_HOLD of parsenodes.h.
      const hold = ((declared.options ?? 0) & 0x20) !== 0;
      return {
        control: { kind: 'declare', name: declared.portalname ?? '', hold, inner: inner(declared.query, 'FOR') },
        moves: still,
      };
    }
    case 'FetchStmt': {
      const fetch = body as FetchStmt;
      facts.kind = fetch.ismove ? 'move' : 'fetch';
      facts.other({ type: 'cursor', name: fetch.portalname ?? '', access: 'use' });
      return { control: { kind: 'fetch', name: fetch.portalname ?? '' }, moves: still };
    }
    case 'ClosePortalStmt': {
      facts.kind = 'close';
      const { portalname } = body as { portalname?: string };
      if (portalname !== undefined) facts.other({ type: 'cursor', name: portalname, access: 'use' });
      return { control: { kind: 'close', name: portalname }, moves: still };
    }
    case 'DiscardStmt':
      return discard(facts, body);
    case 'VariableSetStmt':
      return setVariable(context, body);
    case 'VariableShowStmt': {
      facts.kind = 'show';
      const name = ((body as VariableShowStmt).name ?? 'all').toLowerCase();
      checkReadable(name);
      facts.act(isHarmless(name) || name.startsWith('server_') || name === promptSetting ? 'session' : 'read');
      facts.setting(name, 'read');
      return plain;
    }
    case 'CallStmt':
      return called(context, body);
    case 'DoStmt':
      facts.kind = 'do';
      facts.act('execute');
      facts.other({ type: 'language', name: language((body as { args?: Wrapped[] }).args), access: 'execute' });
      facts.opaque('DO runs code that the gateway does not read');
      return { control: { kind: 'none' }, moves: anything };
    default:
      return definition(context, kind, body, (query) => void queryOf(context, query))
        ? { control: { kind: 'none' }, moves: defined(facts, kind) }
        : unknown(facts, kind);
  }
}

/** The OIDs of a prepared statement's declared parameters; a type that is no part of the server decides which operators run. */
function declaredTypes(context: Context, prepared: PrepareStmt): number[] {
  return (prepared.argtypes ?? []).map((node) => {
    const type = as<TypeName>(node, 'TypeName');
    if (type === undefined) return 0;
    typeUse(context, type);
    const { schema, name } = split(strings(type.names));
    const found = context.names.type(schema, name);
    if (found === undefined) return 0;
    if (found.oid >= first_user_oid)
      context.facts.opaque(`what operators run on ${found.schema}.${found.name}, a parameter's type, is not known`);
    return found.oid;
  });
}

/** Commands of the table that leave names and objects as they are. */
const leaves: ReadonlySet<string> = new Set([
  'LockStmt',
  'ConstraintsSetStmt',
  'ListenStmt',
  'NotifyStmt',
  'UnlistenStmt',
  'CheckPointStmt',
  'VacuumStmt',
  'CommentStmt',
  'SecLabelStmt',
  'ReindexStmt',
  'ClusterStmt',
  'CreateRoleStmt',
  'AlterRoleStmt',
  'AlterSystemStmt',
  'CreatedbStmt',
  'CreateTableSpaceStmt',
]);

function defined(facts: Facts, kind: string): Moves {
  if (leaves.has(kind)) return still;
  return facts.isOpaque || kind === 'LoadStmt' || kind === 'CreateExtensionStmt' || kind === 'AlterExtensionStmt'
    ? anything
    : catalog;
}

function unknown(facts: Facts, kind: string): Meaning {
  facts.kind = 'unknown';
  facts.act('administer');
  facts.other({ type: 'statement', name: kind, access: 'execute' });
  facts.opaque(`the gateway does not know the statement ${kind}`);
  return { control: { kind: 'none' }, moves: anything };
}

/** A query that is part of another statement: its actions count. */
function queryOf(context: Context, node: Wrapped): boolean {
  const { kind } = open(node);
  if (kind === 'SelectStmt') context.facts.act('read');
  if (!/^(Select|Insert|Update|Delete|Merge)Stmt$/.test(kind)) return false;
  context.facts.outputs = context.query(node, undefined, 'output');
  return true;
}

function selected(context: Context, node: Wrapped, body: SelectStmt): Meaning {
  const { facts } = context;
  facts.kind = 'select';
  facts.act('read');
  const limit = integer(body.limitCount);
  if (limit !== undefined) facts.limit = limit;
  facts.outputs = context.query(node, undefined, 'output');
  const into = intoClause(body);
  if (into === undefined) return plain;
  facts.kind = 'create_table_as';
  facts.act('define');
  created(context, into, 'n');
  return { control: { kind: 'none' }, moves: catalog };
}

/** SELECT INTO stands on the leftmost query of a set operation. */
export function intoClause(body: SelectStmt): RangeVar | undefined {
  return body.intoClause?.rel ?? (body.larg === undefined ? undefined : intoClause(body.larg));
}

/** A relation that is made: where it will stand. */
export function created(context: Context, range: RangeVar, kind: string): string {
  const { path } = context.names;
  const schema = range.relpersistence === 't' ? 'pg_temp' : (range.schemaname ?? path?.creation);
  const name = schema === undefined ? (range.relname ?? '') : `${schema}.${range.relname ?? ''}`;
  context.facts.relation(name, kind, 'define');
  return name;
}

function createTableAs(context: Context, body: CreateTableAsStmt): Meaning {
  const { facts } = context;
  const materialized = body.objtype === 'OBJECT_MATVIEW';
  facts.kind = materialized ? 'create_materialized_view' : 'create_table_as';
  facts.act('define');
  if (body.into?.rel !== undefined) created(context, body.into.rel, materialized ? 'm' : 'n');
  const execute = as<ExecuteStmt>(body.query, 'ExecuteStmt');
  if (execute !== undefined) return { control: executed(context, execute), moves: anything };
  if (body.query !== undefined) queryOf(context, body.query);
  return { control: { kind: 'none' }, moves: catalog };
}

function truncate(context: Context, body: TruncateStmt): Meaning {
  const { facts } = context;
  facts.kind = 'truncate';
  facts.act('delete');
  for (const node of body.relations ?? []) {
    const range = as<RangeVar>(node, 'RangeVar');
    const relation =
      range?.relname === undefined ? undefined : context.relation(range.schemaname, range.relname, 'truncate');
    if (relation === undefined) continue;
    facts.write(relation, 'truncate', range?.inh !== true);
    if (body.behavior === 'DROP_CASCADE') facts.cascade(relation, 't');
  }
  return plain;
}

function explain(context: Context, body: ExplainStmt): Meaning {
  const { facts } = context;
  const analyzes = (body.options ?? []).some((node) => {
    const option = as<DefElem>(node, 'DefElem');
    if (option?.defname !== 'analyze') return false;
    const value = option.arg === undefined ? 'true' : (strings([option.arg])[0] ?? constant(option.arg) ?? 'true');
    return !/^(f|fa|fal|fals|false|n|no|of|off|0)$/i.test(value);
  });
  facts.kind = 'explain';
  if (body.query === undefined) return plain;
  const execute = as<ExecuteStmt>(body.query, 'ExecuteStmt');
  if (execute !== undefined) {
    facts.act('read');
    return { control: executed(context, execute), moves: analyzes ? anything : still };
  }
  const as_ = as<CreateTableAsStmt>(body.query, 'CreateTableAsStmt');
  let control: Control = { kind: 'none' };
  let moves = still;
  facts.isMeasured = analyzes;
  if (as_ !== undefined) {
    const meaning = createTableAs(context, as_);
    control = meaning.control;
    moves = analyzes ? meaning.moves : still;
  } else queryOf(context, body.query);
  facts.kind = 'explain';
  if (!analyzes) {
    facts.action = 'read';
    facts.bounded = true;
  }
  // Planning runs the immutable functions, so what is not known stays opaque without ANALYZE as well.
  const declared = as<DeclareCursorStmt>(body.query, 'DeclareCursorStmt');
  if (declared?.query !== undefined) queryOf(context, declared.query);
  return { control, moves };
}

function executed(context: Context, body: ExecuteStmt): Control {
  const { facts } = context;
  facts.other({ type: 'session', name: 'session', access: 'use' });
  const moved = facts.movesPath;
  facts.movesPath = false;
  for (const param of body.params ?? []) expression(context, param, new Scope(undefined), 'argument');
  // The server evaluates the arguments, and then looks where the statement's names are found.
  if (facts.movesPath)
    throw new StatementError(
      '0A000',
      `what "${body.name ?? ''}" stands for cannot be told: an argument of EXECUTE may change it`,
      undefined,
      'Evaluate the argument in a statement before.',
    );
  facts.movesPath = moved;
  return { kind: 'execute', name: body.name ?? '', parameters: (body.params ?? []).map((param) => constant(param)) };
}

function called(context: Context, body: CallStmt): Meaning {
  const { facts, names } = context;
  facts.kind = 'call';
  facts.act('execute');
  const parts = strings(body.funccall?.funcname);
  const schema = parts.length > 1 ? parts[parts.length - 2] : undefined;
  const name = parts[parts.length - 1] ?? '';
  const found = [
    ...new Set(
      names
        .functions(schema, name)
        .filter((routine) => routine.kind === 'p')
        .map((routine) => `${routine.schema}.${routine.name}`),
    ),
  ];
  for (const label of found.length === 0 ? [parts.join('.')] : found) {
    facts.function(label);
    facts.opaque(`the body of procedure ${label} is not known`);
  }
  if (found.length === 0) facts.unresolved('procedure', parts.join('.'));
  for (const arg of body.funccall?.args ?? []) expression(context, arg, new Scope(undefined), 'argument');
  return { control: { kind: 'none' }, moves: anything };
}

function language(args: readonly Wrapped[] | undefined): string {
  for (const node of args ?? []) {
    const element = as<DefElem>(node, 'DefElem');
    if (element?.defname === 'language' && element.arg !== undefined) return strings([element.arg])[0] ?? 'plpgsql';
  }
  return 'plpgsql';
}

function transaction(facts: Facts, body: TransactionStmt): Meaning {
  const name = body.savepoint_name ?? '';
  const is = (kind: string, control: Control): Meaning => {
    facts.kind = kind;
    return { control, moves: still };
  };
  switch (body.kind) {
    case 'TRANS_STMT_BEGIN':
    case 'TRANS_STMT_START':
      facts.movesIsolation = body.options?.some((node) => as<DefElem>(node, 'DefElem')?.defname === 'transaction_isolation') === true; // prettier-ignore
      return is('begin', { kind: 'begin' });
    case 'TRANS_STMT_COMMIT':
      return is('commit', { kind: 'commit' });
    case 'TRANS_STMT_ROLLBACK':
      return is('rollback', { kind: 'rollback' });
    case 'TRANS_STMT_SAVEPOINT':
      return is('savepoint', { kind: 'savepoint', name });
    case 'TRANS_STMT_RELEASE':
      return is('release', { kind: 'release', name });
    case 'TRANS_STMT_ROLLBACK_TO':
      return is('rollback_to', { kind: 'rollback_to', name });
    case 'TRANS_STMT_PREPARE':
      facts.act('administer');
      facts.other({ type: 'transaction', name: body.gid ?? '', access: 'administer' });
      return is('prepare_transaction', { kind: 'prepare_transaction' });
    default:
      facts.act('administer');
      facts.other({ type: 'transaction', name: body.gid ?? '', access: 'administer' });
      return {
        ...is(body.kind === 'TRANS_STMT_COMMIT_PREPARED' ? 'commit_prepared' : 'rollback_prepared', { kind: 'none' }),
        moves: catalog,
      };
  }
}

function discard(facts: Facts, body: DiscardStmt): Meaning {
  facts.kind = 'discard';
  const what = {
    DISCARD_ALL: 'all',
    DISCARD_PLANS: 'plans',
    DISCARD_SEQUENCES: 'sequences',
    DISCARD_TEMP: 'temp',
  } as const;
  const target = what[body.target ?? 'DISCARD_ALL'];
  const moves = target === 'all' ? anything : target === 'temp' ? catalog : still;
  return { control: { kind: 'discard', what: target }, moves };
}

function setVariable({ facts, names: known }: Context, body: VariableSetStmt): Meaning {
  const reset = body.kind === 'VAR_RESET' || body.kind === 'VAR_RESET_ALL';
  facts.kind = reset ? 'reset' : 'set';
  const name = (body.name ?? 'all').toLowerCase();
  if (body.kind === 'VAR_RESET_ALL') {
    facts.setting('all', 'use');
    return { control: { kind: 'none' }, moves: { ...still, path: true } };
  }
  if (body.kind === 'VAR_SET_MULTI') {
    for (const node of body.args ?? []) {
      const element = as<DefElem>(node, 'DefElem');
      if (element?.defname !== undefined) facts.setting(element.defname, 'use');
    }
    if (name === 'transaction snapshot') facts.setting('transaction_snapshot', 'use');
    return plain;
  }
  const values = (body.args ?? []).map((arg) => constant(arg) ?? null);
  const back = reset || body.kind === 'VAR_SET_DEFAULT';
  // DISCARD ALL does both: whom the session began as, and as whom it began, is no more than it has. Pools send it between their users.
  // NONE is whoever signed in, whom a role that is set for the session from its beginning may be meant to be less than.
  const isStill = isRoleNone({ VariableSetStmt: body }) && known.path?.isOwn === true;
  if ((back || isStill) && (name === 'role' || name === 'session_authorization')) {
    facts.setting(name, 'use');
    facts.movesPath = true;
    return plain;
  }
  setSetting(facts, name, back ? [] : values);
  if (name === 'role' || name === 'session_authorization') {
    facts.act('administer');
    facts.other({ type: 'role', name: values[0] ?? 'none', access: 'use' });
  }
  return plain;
}

/** COPY … WITH (FORMAT binary): nobody but its reader knows what its bytes are. */
const isBinaryCopy = ({ options = [] }: CopyStmt): boolean =>
  options.some((node) => {
    const option = as<DefElem>(node, 'DefElem');
    const said = (option?.arg as { readonly String?: { readonly sval?: string } } | undefined)?.String?.sval;
    return option?.defname === 'format' && said?.toLowerCase() === 'binary';
  });
