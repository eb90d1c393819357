import type {
  AlterTableCmd,
  AlterTableStmt,
  ClusterStmt,
  Constraint,
  IndexElem,
  IndexStmt,
  RangeVar,
  RenameStmt,
} from 'libpg-query';
import { as, items, strings, walk, type Wrapped } from './ast.js';
import type { Relation } from './catalog.js';
import { split } from './names.js';
import { columnOf, relationSource, used, type Context } from './scope.js';

/**
 * Definitions that read rows, and those that part columns from the names which policy knows them by. Whether a constraint holds for the
 * rows that are there is an answer about their values: the columns that it is about are read. What a renamed or moved
 * relation, or one that leaves its parent, shows afterwards goes by another name: its columns are named as what is defined.
 */
export function rows(context: Context, kind: string, body: object): void {
  switch (kind) {
    case 'AlterTableStmt': {
      const { relation, cmds } = body as AlterTableStmt;
      for (const node of cmds ?? []) {
        const command = as<AlterTableCmd>(node, 'AlterTableCmd');
        if (command !== undefined) altered(context, found(context, relation), command);
      }
      return;
    }
    case 'IndexStmt': {
      const { relation, indexParams, indexIncludingParams } = body as IndexStmt;
      read(context, found(context, relation), elements([...(indexParams ?? []), ...(indexIncludingParams ?? [])]));
      return;
    }
    case 'ClusterStmt': {
      const { relation } = body as ClusterStmt;
      // The order of an index becomes that of the rows, which whoever reads the table sees.
      if (relation === undefined) context.facts.opaque('CLUSTER without a table sorts tables that it does not name');
      else read(context, found(context, relation), undefined);
      return;
    }
    case 'CreateStmt':
      walk(body, (value) => {
        if (value.Constraint !== undefined) constraint(context, undefined, value.Constraint as Constraint);
        return true;
      });
      return;
    case 'RenameStmt':
      renamed(context, body);
      return;
    case 'AlterObjectSchemaStmt':
      moved(context, found(context, (body as { relation?: RangeVar }).relation));
      return;
    case 'AlterDomainStmt':
      domain(context, body);
  }
}

const found = ({ names }: Context, range: RangeVar | undefined): Relation | undefined =>
  range?.relname === undefined ? undefined : names.relation(range.schemaname, range.relname);

/** @param columns Undefined: any of them. */
function read(context: Context, relation: Relation | undefined, columns: readonly string[] | undefined): void {
  if (relation === undefined) return;
  const source = relationSource(relation, undefined);
  for (const name of columns ?? relation.columns.map((column) => column.name)) {
    const value = columnOf(source, name);
    if (value !== undefined) used(context, value, 'predicate');
  }
}

function moved(context: Context, relation: Relation | undefined, only?: string): void {
  if (relation === undefined) return;
  for (const { name, origins } of relationSource(relation, undefined).columns)
    if (only === undefined || name === only)
      for (const origin of origins) context.facts.column(origin, 'write', 'define');
}

const elements = (nodes: readonly Wrapped[]): string[] =>
  nodes.flatMap((node) => as<IndexElem>(node, 'IndexElem')?.name ?? []);

function altered(context: Context, relation: Relation | undefined, { subtype, name, def }: AlterTableCmd): void {
  const named = name === undefined ? [] : [name];
  switch (subtype) {
    case 'AT_SetNotNull':
    case 'AT_AlterColumnType':
      read(context, relation, named);
      return;
    case 'AT_ValidateConstraint':
    case 'AT_AlterConstraint':
    case 'AT_ClusterOn':
      // The columns of the constraint or index are not in the statement.
      read(context, relation, undefined);
      return;
    case 'AT_AddConstraint':
      constraint(context, relation, as<Constraint>(def, 'Constraint'));
      return;
    case 'AT_DropExpression':
      moved(context, relation, name);
      return;
    case 'AT_AttachPartition':
    case 'AT_DetachPartition':
    case 'AT_DetachPartitionFinalize':
    case 'AT_AddInherit':
    case 'AT_DropInherit': {
      const other = as<{ name?: RangeVar }>(def, 'PartitionCmd')?.name ?? as<RangeVar>(def, 'RangeVar');
      // Rows of a partition are held against its bounds.
      for (const each of [relation, found(context, other)]) {
        moved(context, each);
        if (subtype === 'AT_AttachPartition') read(context, each, undefined);
      }
      return;
    }
    default:
    // The others look at no row.
  }
}

/** @param relation Undefined for one that is new and has no rows. */
function constraint(context: Context, relation: Relation | undefined, made: Constraint | undefined): void {
  if (made === undefined) return;
  const { contype, pktable, pk_attrs, fk_attrs, keys, exclusions, indexname } = made;
  switch (contype) {
    case 'CONSTR_FOREIGN': {
      const referenced = found(context, pktable);
      const columns = strings(pk_attrs);
      read(context, referenced, columns.length > 0 ? columns : referenced?.primaryKey);
      read(context, relation, strings(fk_attrs));
      return;
    }
    case 'CONSTR_NOTNULL':
    case 'CONSTR_PRIMARY':
    case 'CONSTR_UNIQUE':
      read(context, relation, indexname === undefined ? strings(keys) : undefined);
      return;
    case 'CONSTR_EXCLUSION':
      read(context, relation, elements((exclusions ?? []).flatMap((pair) => items(pair).slice(0, 1))));
      return;
    default:
    // A CHECK's expression is walked like any other; the others look at no row.
  }
}

function renamed(context: Context, { renameType, relation, subname }: RenameStmt): void {
  if (renameType === 'OBJECT_COLUMN') moved(context, found(context, relation), subname);
  else if (renameType === 'OBJECT_SCHEMA')
    context.facts.opaque('renaming a schema renames all that policy knows by its name');
  else if (renameType !== undefined && relations.has(renameType)) moved(context, found(context, relation));
}

const relations: ReadonlySet<string> = new Set([
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_FOREIGN_TABLE',
]);

/** ALTER DOMAIN names no table: a new condition is tried on all columns that hold values of the domain. */
function domain(context: Context, body: object): void {
  const { typeName, subtype } = body as { typeName?: Wrapped[]; subtype?: string };
  // C and O: a constraint, or NOT NULL, is added; V: one is validated.
  if (subtype === undefined || !/^[COV]$/.test(subtype)) return;
  const { schema, name } = split(strings(typeName));
  const type = context.names.type(schema, name);
  for (const { relation, kind, column } of type?.columns ?? []) {
    context.facts.relation(relation, kind, 'read', `${type?.schema ?? ''}.${name}`);
    context.facts.column(`${relation}.${column}`, 'predicate', 'read', `${type?.schema ?? ''}.${name}`);
  }
  if (type?.moreColumns === true)
    context.facts.opaque(`more columns hold values of ${name} than the gateway tells apart`);
}
