import type { Action } from '#engine';

/**
 * The commands that need no code of their own: what each is called, what it does, and what sort of thing it does it to.
 * `objtype` in a name stands for the word of the statement's object type (ALTER TABLE, DROP VIEW, …).
 */

export interface Command {
  readonly kind: string;
  readonly action: Action;
  /** The type of the resource that stands for the object. */
  readonly object?: string;
  /** The field that holds the object's name. */
  readonly field?: string;
}

const define = (kind: string, object?: string, field?: string): Command => ({
  kind,
  action: 'define',
  ...(object === undefined ? {} : { object }),
  ...(field === undefined ? {} : { field }),
});
const administer = (kind: string, object?: string, field?: string): Command => ({
  ...define(kind, object, field),
  action: 'administer',
});

export const commands: Readonly<Record<string, Command>> = {
  // Definitions
  AlterCollationStmt: define('alter_collation', 'collation', 'collname'),
  AlterDomainStmt: define('alter_domain', 'type', 'typeName'),
  AlterEnumStmt: define('alter_type', 'type', 'typeName'),
  AlterFunctionStmt: define('alter_function', 'function', 'func'),
  AlterObjectDependsStmt: define('alter_objtype', undefined, 'object'),
  AlterObjectSchemaStmt: define('alter_objtype', undefined, 'object'),
  AlterOpFamilyStmt: define('alter_operator_family', 'operator_family', 'opfamilyname'),
  AlterOperatorStmt: define('alter_operator', 'operator', 'opername'),
  AlterPolicyStmt: administer('alter_policy', 'policy', 'policy_name'),
  AlterSeqStmt: define('alter_sequence'),
  AlterStatsStmt: define('alter_statistics', 'statistics', 'defnames'),
  AlterTSConfigurationStmt: define('alter_text_search_configuration', 'text_search_configuration', 'cfgname'),
  AlterTSDictionaryStmt: define('alter_text_search_dictionary', 'text_search_dictionary', 'dictname'),
  AlterTableStmt: define('alter_objtype'),
  AlterTypeStmt: define('alter_type', 'type', 'typeName'),
  CommentStmt: define('comment', undefined, 'object'),
  CompositeTypeStmt: define('create_type', 'type', 'typevar'),
  CreateAmStmt: define('create_access_method', 'access_method', 'amname'),
  CreateCastStmt: define('create_cast', 'type', 'targettype'),
  CreateConversionStmt: define('create_conversion', 'conversion', 'conversion_name'),
  CreateDomainStmt: define('create_domain', 'type', 'domainname'),
  CreateEnumStmt: define('create_type', 'type', 'typeName'),
  CreateForeignTableStmt: define('create_foreign_table'),
  CreateFunctionStmt: define('create_function', 'function', 'funcname'),
  CreateOpClassStmt: define('create_operator_class', 'operator_class', 'opclassname'),
  CreateOpFamilyStmt: define('create_operator_family', 'operator_family', 'opfamilyname'),
  CreatePolicyStmt: administer('create_policy', 'policy', 'policy_name'),
  CreateRangeStmt: define('create_type', 'type', 'typeName'),
  CreateSchemaStmt: define('create_schema', 'schema', 'schemaname'),
  CreateSeqStmt: define('create_sequence'),
  CreateStatsStmt: define('create_statistics', 'statistics', 'defnames'),
  CreateStmt: define('create_table'),
  CreateTransformStmt: define('create_transform', 'type', 'type_name'),
  CreateTrigStmt: define('create_trigger', 'trigger', 'trigname'),
  DefineStmt: define('create_objtype', undefined, 'defnames'),
  DropStmt: define('drop_objtype'),
  IndexStmt: define('create_index'),
  RenameStmt: define('alter_objtype', undefined, 'object'),
  RuleStmt: define('create_rule', 'rule', 'rulename'),
  ViewStmt: define('create_view'),
  // Administration
  AlterDatabaseRefreshCollStmt: administer('alter_database', 'database', 'dbname'),
  AlterDatabaseSetStmt: administer('alter_database', 'database', 'dbname'),
  AlterDatabaseStmt: administer('alter_database', 'database', 'dbname'),
  AlterDefaultPrivilegesStmt: administer('alter_default_privileges'),
  AlterEventTrigStmt: administer('alter_event_trigger', 'event_trigger', 'trigname'),
  AlterExtensionContentsStmt: administer('alter_extension', 'extension', 'extname'),
  AlterExtensionStmt: administer('alter_extension', 'extension', 'extname'),
  AlterFdwStmt: administer('alter_foreign_data_wrapper', 'foreign_data_wrapper', 'fdwname'),
  AlterForeignServerStmt: administer('alter_server', 'server', 'servername'),
  AlterOwnerStmt: administer('alter_objtype', undefined, 'object'),
  AlterPublicationStmt: administer('alter_publication', 'publication', 'pubname'),
  AlterRoleSetStmt: administer('alter_role', 'role', 'role'),
  AlterRoleStmt: administer('alter_role', 'role', 'role'),
  AlterSubscriptionStmt: administer('alter_subscription', 'subscription', 'subname'),
  AlterSystemStmt: administer('alter_system'),
  AlterTableMoveAllStmt: administer('alter_objtype', 'tablespace', 'orig_tablespacename'),
  AlterTableSpaceOptionsStmt: administer('alter_tablespace', 'tablespace', 'tablespacename'),
  AlterUserMappingStmt: administer('alter_user_mapping', 'server', 'servername'),
  CheckPointStmt: administer('checkpoint'),
  ClusterStmt: administer('cluster'),
  CreateEventTrigStmt: administer('create_event_trigger', 'event_trigger', 'trigname'),
  CreateExtensionStmt: administer('create_extension', 'extension', 'extname'),
  CreateFdwStmt: administer('create_foreign_data_wrapper', 'foreign_data_wrapper', 'fdwname'),
  CreateForeignServerStmt: administer('create_server', 'server', 'servername'),
  CreatePLangStmt: administer('create_language', 'language', 'plname'),
  CreatePublicationStmt: administer('create_publication', 'publication', 'pubname'),
  CreateRoleStmt: administer('create_role', 'role', 'role'),
  CreateSubscriptionStmt: administer('create_subscription', 'subscription', 'subname'),
  CreateTableSpaceStmt: administer('create_tablespace', 'tablespace', 'tablespacename'),
  CreateUserMappingStmt: administer('create_user_mapping', 'server', 'servername'),
  CreatedbStmt: administer('create_database', 'database', 'dbname'),
  DropOwnedStmt: administer('drop_owned', 'role', 'roles'),
  DropRoleStmt: administer('drop_role', 'role', 'roles'),
  DropSubscriptionStmt: administer('drop_subscription', 'subscription', 'subname'),
  DropTableSpaceStmt: administer('drop_tablespace', 'tablespace', 'tablespacename'),
  DropUserMappingStmt: administer('drop_user_mapping', 'server', 'servername'),
  DropdbStmt: administer('drop_database', 'database', 'dbname'),
  GrantRoleStmt: administer('grant', 'role', 'grantee_roles'),
  GrantStmt: administer('grant'),
  ImportForeignSchemaStmt: administer('import_foreign_schema', 'server', 'server_name'),
  LoadStmt: administer('load', 'file', 'filename'),
  LockStmt: { kind: 'lock', action: 'read' },
  ReassignOwnedStmt: administer('reassign_owned', 'role', 'roles'),
  ReindexStmt: administer('reindex'),
  SecLabelStmt: administer('security_label', undefined, 'object'),
  VacuumStmt: administer('vacuum'),
  // The session
  ConstraintsSetStmt: { kind: 'set_constraints', action: 'session' },
  ListenStmt: { kind: 'listen', action: 'read', object: 'channel', field: 'conditionname' },
  NotifyStmt: { kind: 'notify', action: 'write', object: 'channel', field: 'conditionname' },
  UnlistenStmt: { kind: 'unlisten', action: 'session', object: 'channel', field: 'conditionname' },
};

/** Commands for which the server runs no event triggers: of the session, and of what all databases share. */
const quiet =
  /^(Alter(Database.*|EventTrig|Role.*|System|TableSpaceOptions)|CheckPoint|Cluster|ConstraintsSet|Create(EventTrig|Role|TableSpace|db)|Drop(Role|TableSpace|db)|GrantRole|Listen|Load|Lock|Notify|Unlisten|Vacuum)Stmt$/;

/** Whether event triggers may run with a statement of that kind. */
export function firesEventTriggers(kind: string): boolean {
  return kind === 'RefreshMatViewStmt' || (commands[kind] !== undefined && !quiet.test(kind));
}

/** Object types that are roles', databases' or the whole cluster's: changing them is administration. */
export const clusterObjects: ReadonlySet<string> = new Set([
  'OBJECT_ROLE',
  'OBJECT_DATABASE',
  'OBJECT_TABLESPACE',
  'OBJECT_EXTENSION',
  'OBJECT_FDW',
  'OBJECT_FOREIGN_SERVER',
  'OBJECT_PUBLICATION',
  'OBJECT_SUBSCRIPTION',
  'OBJECT_EVENT_TRIGGER',
  'OBJECT_LANGUAGE',
  'OBJECT_ACCESS_METHOD',
  'OBJECT_POLICY',
  'OBJECT_PARAMETER_ACL',
]);

const words: Readonly<Record<string, string>> = {
  MATVIEW: 'materialized_view',
  FDW: 'foreign_data_wrapper',
  FOREIGN_SERVER: 'server',
  OPCLASS: 'operator_class',
  OPFAMILY: 'operator_family',
  TSCONFIGURATION: 'text_search_configuration',
  TSDICTIONARY: 'text_search_dictionary',
  TSPARSER: 'text_search_parser',
  TSTEMPLATE: 'text_search_template',
  STATISTIC_EXT: 'statistics',
  LARGEOBJECT: 'large_object',
  TABCONSTRAINT: 'table',
  DOMCONSTRAINT: 'domain',
  COLUMN: 'table',
  ATTRIBUTE: 'type',
};

/** The words of an object type: OBJECT_MATVIEW → materialized_view. */
export function objectWord(objtype: unknown): string {
  const name = typeof objtype === 'string' ? objtype.replace(/^OBJECT_/, '') : 'object';
  return words[name] ?? name.toLowerCase();
}
