import type {
  AlterTableStmt,
  CreateStmt,
  DefElem,
  IndexStmt,
  RangeVar,
  RoleSpec,
  TableLikeClause,
  TypeName,
  VariableSetStmt,
  ViewStmt,
} from 'libpg-query';
import { as, constant, items, open, strings, text, walk, type Wrapped } from './ast.js';
import { looseExpressions } from './expressions.js';
import { qualified, type Access } from './facts.js';
import { clusterObjects, commands, objectWord, type Command } from './kinds.js';
import { objectNames, relationParts, split } from './names.js';
import { rows } from './rows.js';
import { openDerived, relationSource, Scope, type Context } from './scope.js';
import { checkSetting } from './settings.js';

/** CREATE, ALTER, DROP, GRANT and what else changes definitions, out of the table in kinds.ts. */

type Body = Readonly<Record<string, unknown>>;

/** LOCK TABLE in any stronger mode keeps others from writing, or needs the right to write (lockdefs.h). */
const access_share_mode = 1;

/** False where the table does not have the statement. `query` notes a query that is part of it. */
export function definition(context: Context, kind: string, statement: object, query: (node: Wrapped) => void): boolean {
  const command = commands[kind];
  if (command === undefined) return false;
  const body = statement as Body;
  const { facts } = context;
  const objtype = body.removeType ?? body.renameType ?? body.objectType ?? body.objtype ?? body.kind;
  facts.kind = nameOf(command, kind, body, objtype);
  facts.act(command.action);
  if (typeof objtype === 'string' && clusterObjects.has(objtype)) facts.act('administer');
  if (kind === 'VacuumStmt' && facts.kind === 'analyze') facts.action = 'define';
  if (kind === 'LockStmt' && ((body.mode as number | undefined) ?? 8) > access_share_mode) facts.act('write');
  const access: Access = facts.action === 'administer' || facts.action === 'define' ? facts.action : 'use';
  object(context, command, body, typeof objtype === 'string' ? objtype : '', access);
  relations(context, kind, body, access);
  parts(context, kind, body, query);
  rows(context, kind, body);
  return true;
}

function nameOf(command: Command, kind: string, body: Body, objtype: unknown): string {
  if (kind === 'GrantStmt' || kind === 'GrantRoleStmt') return body.is_grant ? 'grant' : 'revoke';
  if (kind === 'VacuumStmt') return body.is_vacuumcmd ? 'vacuum' : 'analyze';
  if (kind === 'CreateFunctionStmt' && body.is_procedure) return 'create_procedure';
  return command.kind.replace(
    'objtype',
    objectWord(
      kind === 'RenameStmt' && body.relationType !== undefined && /COLUMN|TABCONSTRAINT|ATTRIBUTE/.test(String(objtype))
        ? body.relationType
        : objtype,
    ),
  );
}

/** The object that the statement names in its field. */
function object(context: Context, command: Command, body: Body, objtype: string, access: Access): void {
  const { facts } = context;
  if (body.targtype === 'ACL_TARGET_ALL_IN_SCHEMA') {
    for (const name of strings(body.objects as Wrapped[] | undefined)) facts.other({ type: 'schema', name, access });
    return;
  }
  if (objtype !== '' && body.objects !== undefined) {
    for (const node of body.objects as Wrapped[]) named(context, objtype, node, access);
    return;
  }
  const field = command.field === undefined ? undefined : body[command.field];
  if (command.object === undefined) {
    if (Array.isArray(field)) {
      for (const name of fieldNames(field))
        facts.other({ type: objectWord(objtype), name: inSchema(context, objtype, name, field), access });
    } else if (field !== undefined && objtype !== '') named(context, objtype, field as Wrapped, access);
    // Renamed: a schema, database, role or tablespace stands in a field of its own.
    else if (typeof body.subname === 'string' && body.relation === undefined)
      facts.other({ type: objectWord(objtype), name: body.subname, access });
    return;
  }
  if (field === undefined) {
    if (command.object === 'channel') facts.other({ type: 'channel', name: '*', access });
    if (command.object === 'role') facts.other({ type: 'role', name: 'all', access });
    return;
  }
  const relation = (body.relation ?? body.table) as RangeVar | undefined;
  for (const name of fieldNames(field)) {
    if (relation?.relname === undefined) {
      for (const label of labels(context, command.object, name, facts.kind.startsWith('create')))
        facts.other({ type: command.object, name: label, access });
      continue;
    }
    const found = context.names.relation(relation.schemaname, relation.relname);
    facts.other({
      type: command.object,
      name: `${found === undefined ? relation.relname : qualified(found)}.${name}`,
      access,
    });
  }
  if (body.object !== undefined && objtype !== '') named(context, objtype, body.object as Wrapped, access);
}

/** What CREATE makes without saying where goes to the path's first schema. */
function inSchema(context: Context, objtype: string, name: string, parts: readonly unknown[]): string {
  const creation = context.names.path?.creation;
  return parts.length === 1 && creation !== undefined && !clusterObjects.has(objtype) ? `${creation}.${name}` : name;
}

/** schema.name of functions and types, as the path has them; of what is made, where it will stand. */
function labels(context: Context, type: string, written: string, isNew: boolean): string[] {
  if (type !== 'function' && type !== 'type') return [written];
  const parts = written.split('.');
  const { schema, name } = split(parts);
  if (isNew) return schema === undefined ? [inSchema(context, '', written, [written])] : [written];
  if (type === 'function') {
    const found = [
      ...new Set(context.names.functions(schema, name).map((routine) => `${routine.schema}.${routine.name}`)),
    ];
    return found.length > 0 ? found : [written];
  }
  const found = context.names.type(schema, name);
  return [found === undefined ? written : `${found.schema}.${found.name}`];
}

/** A field's names: a string, a name in parts, a role, a type, an object with arguments, or a list of roles. */
function fieldNames(field: unknown): string[] {
  if (typeof field === 'string') return [field];
  if (Array.isArray(field)) {
    const list = field as Wrapped[];
    const parts = strings(list);
    if (parts.length > 0) return [parts.join('.')];
    return list.flatMap((node) => fieldNames(open(node).body));
  }
  const value = field as Body;
  if ('roletype' in value) return [role(value)];
  if (Array.isArray(value.names)) return [strings((value as TypeName).names).join('.')];
  if (Array.isArray(value.objname)) return [strings(value.objname as Wrapped[]).join('.')];
  if (typeof value.relname === 'string')
    return [[value.schemaname, value.relname].filter((part) => typeof part === 'string').join('.')];
  if (typeof value.priv_name === 'string') return [value.priv_name];
  if (Array.isArray(value.items))
    return [(value.items as Wrapped[]).flatMap((item) => fieldNames(open(item).body)).join(' as ')];
  const keys = Object.keys(value);
  return keys.length === 1 && /^[A-Z]/.test(keys[0] ?? '') ? fieldNames(value[keys[0] ?? '']) : [];
}

function role(spec: RoleSpec): string {
  return spec.rolename ?? (spec.roletype ?? 'ROLESPEC_PUBLIC').replace('ROLESPEC_', '').toLowerCase();
}

/** An object of any type by name, as COMMENT, DROP, ALTER … and GRANT have it. */
function named(context: Context, objtype: string, node: Wrapped, access: Access): void {
  const { facts } = context;
  const range = as<RangeVar>(node, 'RangeVar');
  if (range !== undefined) return;
  const single = text(node);
  const list = single === undefined ? objectNames(node) : [single];
  const relation = relationParts(objtype, list);
  if (relation.length > 0) {
    const { schema, name } = split(relation);
    const found = context.relation(schema, name, access);
    if (found !== undefined) {
      facts.relation(qualified(found), found.kind, access);
      // Partitions go with the table that they are parts of.
      if (context.facts.kind.startsWith('drop_') && found.kind === 'p') facts.heirs(found, access);
    }
    if (objtype === 'OBJECT_COLUMN' && found !== undefined)
      facts.column(`${qualified(found)}.${list[list.length - 1] ?? ''}`, 'write', access);
    return;
  }
  const parts = list.length > 0 ? [list.join('.')] : fieldNames(open(node).body);
  const type = objectWord(objtype);
  const kind = /^(function|procedure|aggregate|routine)$/.test(type) ? 'function' : type === 'domain' ? 'type' : type;
  for (const name of parts)
    for (const label of labels(context, kind, name, false)) facts.other({ type: kind, name: label, access });
  if (parts.length === 0) facts.other({ type, name: '*', access });
}

/** Statements whose `relation` is made by them. */
const makes: Readonly<Record<string, string>> = {
  CreateStmt: 'n',
  ViewStmt: 'v',
  CreateSeqStmt: 'S',
  CreateForeignTableStmt: 'f',
  CompositeTypeStmt: 'c',
};

function relations(context: Context, kind: string, body: Body, access: Access): void {
  const { facts, names } = context;
  const base = (kind === 'CreateForeignTableStmt' ? (body.base as Body | undefined) : undefined) ?? body;
  const main = (base.relation ?? base.table ?? base.view ?? base.sequence ?? base.typevar) as RangeVar | undefined;
  const made = makes[kind];
  if (made !== undefined && main?.relname !== undefined) {
    const schema = main.relpersistence === 't' ? 'pg_temp' : (main.schemaname ?? names.path?.creation);
    facts.relation(schema === undefined ? main.relname : `${schema}.${main.relname}`, made, 'define');
  }
  const copied = new Set(
    ((base.tableElts as Wrapped[] | undefined) ?? []).map(
      (node) => as<TableLikeClause>(node, 'TableLikeClause')?.relation,
    ),
  );
  // A query's relations are noted with the query.
  const { query: _query, schemaElts: _elements, ...rest } = body;
  walk(kind === 'ViewStmt' || kind === 'RuleStmt' ? { relation: body.relation } : rest, (value) => {
    if (typeof value.relname !== 'string') return true;
    if (value === (main as unknown) && made !== undefined) return false;
    const range = value as unknown as RangeVar;
    const own: Access =
      value === (main as unknown) || kind === 'VacuumStmt' || kind === 'LockStmt' || kind === 'GrantStmt'
        ? access
        : binds.has(kind) && !copied.has(range)
          ? 'define'
          : 'use';
    const found = context.relation(range.schemaname, value.relname, own);
    if (found === undefined) return false;
    facts.relation(qualified(found), found.kind, own);
    if (own === access && descends.has(kind)) facts.heirs(found, own, range.inh !== true);
    return false;
  });
}

/** Statements that change or bind the other tables that they name: a parent, a referenced table, one that statistics are kept of. */
const binds: ReadonlySet<string> = new Set([
  'CreateStmt',
  'CreateForeignTableStmt',
  'AlterTableStmt',
  'CreateStatsStmt',
]);

/** Statements that go on to a table's children, or may. */
const descends: ReadonlySet<string> = new Set(['AlterTableStmt', 'IndexStmt', 'LockStmt', 'VacuumStmt', 'RenameStmt']);

/** What is particular to some statements, and the expressions that they store or run. */
function parts(context: Context, kind: string, body: Body, query: (node: Wrapped) => void): void {
  const { facts } = context;
  switch (kind) {
    case 'ViewStmt': {
      const view = body as ViewStmt;
      if (view.query !== undefined) query(view.query);
      return;
    }
    case 'RuleStmt':
      facts.opaque('a rule changes what later statements do');
      return;
    case 'AlterRoleSetStmt':
    case 'AlterDatabaseSetStmt':
    case 'AlterSystemStmt':
      setStatement(context, body.setstmt as VariableSetStmt | undefined);
      return;
    case 'AlterFunctionStmt':
    case 'CreateFunctionStmt':
      functionOptions(context, body);
      return;
    case 'CreateTrigStmt':
      facts.other({ type: 'function', name: strings(body.funcname as Wrapped[] | undefined).join('.'), access: 'use' });
      return;
    case 'CreateTableSpaceStmt':
      facts.other({ type: 'file', name: typeof body.location === 'string' ? body.location : '', access: 'update' });
      return;
    case 'CreateSchemaStmt':
      // Elements are statements of their own, in the new schema.
      if (body.schemaElts !== undefined) facts.opaque('CREATE SCHEMA with elements is not looked into');
      return;
    case 'ImportForeignSchemaStmt':
    case 'CreateExtensionStmt':
    case 'AlterExtensionStmt':
      facts.opaque('what it makes is not in the statement');
      return;
    case 'GrantStmt':
    case 'GrantRoleStmt':
    case 'AlterDefaultPrivilegesStmt':
      for (const node of ((body.grantees ?? body.grantee_roles ?? (body.action as Body | undefined)?.grantees) as
        Wrapped[] | undefined) ?? []) {
        facts.other({ type: 'role', name: fieldNames(open(node).body)[0] ?? 'public', access: 'administer' });
      }
      for (const node of (body.granted_roles as Wrapped[] | undefined) ?? []) {
        facts.other({ type: 'role', name: fieldNames(open(node).body)[0] ?? '', access: 'administer' });
      }
      return;
    case 'AlterTableStmt':
      // Who owns it, and what is enforced on it, is not its shape.
      for (const node of (body as AlterTableStmt).cmds ?? []) {
        if (administrative.test(as<{ subtype?: string }>(node, 'AlterTableCmd')?.subtype ?? ''))
          facts.act('administer');
      }
      looseExpressions(context, body, scopeOf(context, kind, body), 'argument');
      return;
    case 'DropStmt':
      if (body.behavior === 'DROP_CASCADE') facts.opaque('DROP … CASCADE drops whatever depends on it');
      return;
    default:
      looseExpressions(context, body, scopeOf(context, kind, body), 'argument');
  }
}

const administrative = /^AT_(ChangeOwner|.*RowSecurity|(Enable|Disable).*(Trig|Rule).*|ReplicaIdentity)$/;

/** Expressions of a definition see the columns of the relation that it is about. */
function scopeOf(context: Context, kind: string, body: Body): Scope {
  const scope = new Scope(undefined);
  const range = (body as AlterTableStmt | IndexStmt | CreateStmt).relation;
  if (range?.relname === undefined) {
    scope.sources.push({ ...openDerived([]), alias: undefined });
    return scope;
  }
  const found = kind === 'CreateStmt' ? undefined : context.names.relation(range.schemaname, range.relname);
  scope.sources.push(
    found === undefined
      ? { ...openDerived([]), alias: range.relname }
      : { ...relationSource(found, undefined), open: true },
  );
  return scope;
}

function setStatement(context: Context, set: VariableSetStmt | undefined): void {
  if (set?.name === undefined) return;
  const values = (set.args ?? []).map((arg) => constant(arg) ?? null);
  checkSetting(set.name, values);
  context.facts.setting(set.name.toLowerCase(), 'administer');
}

function functionOptions(context: Context, body: Body): void {
  const options = (body.options ?? body.actions) as Wrapped[] | undefined;
  for (const node of options ?? []) {
    const option = as<DefElem>(node, 'DefElem');
    if (option?.defname === 'set') setStatement(context, as<VariableSetStmt>(option.arg, 'VariableSetStmt'));
    if (option?.defname === 'language') {
      for (const name of strings(items(option.arg))) context.facts.other({ type: 'language', name, access: 'use' });
    }
  }
}
