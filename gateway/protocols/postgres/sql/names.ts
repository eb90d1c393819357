import type { FuncCall, RangeVar, TypeName, VariableSetStmt } from 'libpg-query';
import { as, constant, open, strings, walk, type Wrapped } from './ast.js';
import {
  changedIn,
  wantedKey,
  type Named,
  type NameKind,
  type NamedType,
  type Operator,
  type Path,
  type Relation,
  type Routine,
  type Wanted,
} from './catalog.js';
import { firesEventTriggers } from './kinds.js';
import type { Parsed } from './parse.js';
import { anywhere } from './versions.js';

/** Which names a statement says, before anything is known of them, and their lookup once the catalog has answered. */

/** What the analysis asks: each answer stands in a catalog that was read beforehand. */
export interface Names {
  relation(schema: string | undefined, name: string): Relation | undefined;
  functions(schema: string | undefined, name: string): readonly Routine[];
  operators(schema: string | undefined, name: string): readonly Operator[];
  type(schema: string | undefined, name: string): NamedType | undefined;
  readonly path: Path | undefined;
  /** The answer itself; undefined where it was not asked for. As long as nothing has changed it is the same object. */
  named(wanted: Wanted): Named | undefined;
  /** One of them, as schema.name, that is otherwise by now than the answers say. */
  readonly changed?: string | undefined;
  /** Bodies of functions are among them. */
  readonly isFleeting?: boolean;
  /** All answers, by `wantedKey`. */
  readonly all?: ReadonlyMap<string, Named>;
}

/** The server's own are looked at first, as long as search_path does not say otherwise. */
export const isServerFirst = (path: Path | undefined): boolean =>
  path?.schemas.find((schema) => !schema.startsWith('pg_temp')) === 'pg_catalog';

/** A dotted name as the server reads it: catalog.schema.name, schema.name or name. */
export function split(parts: readonly string[]): { schema: string | undefined; name: string } {
  return { schema: parts.length > 1 ? parts[parts.length - 2] : undefined, name: parts[parts.length - 1] ?? '' };
}

/**
 * All names of a tree that may stand for something in the catalog. More than is needed does no harm (a CTE's name is
 * asked for like a table's); what is missing here is unresolved later.
 */
export function collect(tree: unknown): Wanted[] {
  const writes = has(tree, writing);
  // Where a row's columns may not be known, row.name may be a call of a function of that name.
  const rows = has(tree, openRows);
  const found = new Map<string, Wanted>();
  const add = (kind: NameKind, parts: readonly string[]): void => {
    if (parts.length === 0) return;
    const { schema, name } = split(parts);
    if (name === '') return;
    const wanted = kind === 'relation' && writes ? { kind, schema, name, full: true } : { kind, schema, name };
    found.set(wantedKey(wanted), wanted);
  };
  walk(tree, (value) => {
    if (typeof value.relname === 'string') {
      const range = value as unknown as RangeVar;
      add('relation', range.schemaname === undefined ? [range.relname ?? ''] : [range.schemaname, range.relname ?? '']);
    } else if (Array.isArray(value.funcname) && value.funcformat !== undefined) {
      const call = value as unknown as FuncCall;
      const parts = strings(call.funcname);
      add('function', parts);
      // Of one argument it may as well be a cast to the type of that name.
      if (call.args?.length === 1) add('type', parts);
      const name = parts[parts.length - 1] ?? '';
      if (/^(nextval|currval|setval)$/.test(name)) {
        const argument = constant(call.args?.[0]);
        if (typeof argument === 'string') add('relation', identifiers(argument) ?? []);
      }
    } else if (Array.isArray(value.names) && value.typemod !== undefined) {
      const type = value as unknown as TypeName;
      const parts = strings(type.names);
      if (type.pct_type) add('relation', parts.slice(0, -1));
      else add('type', parts);
    } else if (typeof value.kind === 'string' && value.kind.startsWith('AEXPR_') && Array.isArray(value.name)) {
      if (!value.kind.includes('BETWEEN')) add('operator', strings(value.name as Wrapped[]));
      for (const name of impliedOperators(value.kind, strings(value.name as Wrapped[]))) add('operator', [name]);
    } else if (typeof value.subLinkType === 'string') {
      const parts = strings(value.operName as Wrapped[] | undefined);
      add('operator', parts.length === 0 ? ['='] : parts);
    } else if (
      value.usingClause !== undefined ||
      value.isNatural === true ||
      ((value.defresult !== undefined || value.arg !== undefined) && Array.isArray(value.args))
    ) {
      // JOIN … USING, NATURAL JOIN and CASE x WHEN compare with the operator = of the path.
      add('operator', ['=']);
    } else if (Array.isArray(value.useOp)) {
      add('operator', strings(value.useOp as Wrapped[]));
    } else if (Array.isArray(value.method) && value.relation !== undefined) {
      add('function', strings(value.method as Wrapped[]));
    }
    if (rows && Array.isArray(value.fields) && value.fields.length > 1)
      add('function', strings(value.fields as Wrapped[]).slice(-1));
    if (Array.isArray(value.indirection))
      for (const field of strings(value.indirection as Wrapped[])) add('function', [field]);
    // Things that are made or changed: where the path leads is wanted for these too.
    if (Array.isArray(value.objname)) add('function', strings(value.objname as Wrapped[]));
    if (Array.isArray(value.funcname) && value.funcformat === undefined)
      add('function', strings(value.funcname as Wrapped[]));
    if (Array.isArray(value.defnames)) add('type', strings(value.defnames as Wrapped[]));
    if (Array.isArray(value.typeName)) add('type', strings(value.typeName as Wrapped[]));
    if (Array.isArray(value.domainname)) add('type', strings(value.domainname as Wrapped[]));
    if (typeof value.removeType === 'string') dropped(value, add);
    if (typeof value.objtype === 'string' && value.object !== undefined) objectOf(value, add);
    return true;
  });
  return [...found.values()];
}

/** Names of parsed texts, which are kept by the parser's own cache. */
const wantedByText = new WeakMap<Parsed, readonly Wanted[]>();

export function wantedOf(parsed: Parsed): readonly Wanted[] {
  let wanted = wantedByText.get(parsed);
  if (wanted === undefined) {
    wanted = all(parsed);
    wantedByText.set(parsed, wanted);
  }
  return wanted;
}

/** Whether a text that names nothing says something else where the path, or what DDL runs, is another. */
export function needsPath({ statements }: Parsed): boolean {
  return statements.some(
    ({ stmt }) => stmt !== undefined && (firesEventTriggers(open(stmt).kind) || has(stmt, making) || isRoleNone(stmt)),
  );
}

/** SET ROLE NONE: as whom the session began, unless that has a role set for it. */
export function isRoleNone(statement: Wrapped): boolean {
  const { kind, name, args } = as<VariableSetStmt>(statement, 'VariableSetStmt') ?? {};
  return kind === 'VAR_SET_VALUE' && name === 'role' && constant(args?.[0]) === 'none';
}

/** Names of a text. Of functions behind something that may move the path it is asked what there is in any schema: then it moves nothing for these. */
function all({ statements }: Parsed): readonly Wanted[] {
  const found = new Map<string, Wanted>();
  let isMoved = false;
  for (const { stmt } of statements) {
    const names = collect(stmt);
    const isSure = isMoved && names.every(({ kind }) => kind === 'function');
    for (const name of names) {
      const wanted = isSure && name.schema === undefined ? { ...name, schema: anywhere } : name;
      found.set(wantedKey(wanted), wanted);
    }
    isMoved ||= movesPath(as<VariableSetStmt>(stmt, 'VariableSetStmt'));
  }
  return [...found.values()];
}

const movesPath = ({ kind, name = '' }: VariableSetStmt = {}): boolean =>
  kind === 'VAR_RESET_ALL' || /^(search_path|role|session_authorization)$/i.test(name);

/** The server has a function of that name and nobody else, so that it is meant whatever the path is. */
export function isServersAlone(names: Names, { kind, schema, name }: Wanted): boolean {
  if (kind !== 'function') return false;
  if (schema !== undefined) return schema === 'pg_catalog';
  const found = (names.named({ kind, schema: anywhere, name })?.value ?? []) as readonly Routine[];
  return found.length > 0 && found.every((routine) => routine.schema === 'pg_catalog');
}

const making: ReadonlySet<string> = new Set(['into', 'intoClause']);

const writing: ReadonlySet<string> = new Set([
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'TruncateStmt',
  'CopyStmt',
  'RefreshMatViewStmt',
]);

/** What hands out rows, or is about a relation, whose columns are not all known from the text and the tables' definitions. */
const openRows: ReadonlySet<string> = new Set([
  'RangeFunction',
  'RangeTableFunc',
  'JsonTable',
  'A_Indirection',
  'recursive',
  'IndexStmt',
  'CreateStmt',
  'AlterTableStmt',
  'CreatePolicyStmt',
  'CreateTrigStmt',
  'CreateStatsStmt',
]);

function has(tree: unknown, kinds: ReadonlySet<string>): boolean {
  let found = false;
  walk(tree, (value) => {
    for (const key in value) if (kinds.has(key)) found = true;
    return !found;
  });
  return found;
}

/** Operators that a construct uses without naming them as its own. */
export function impliedOperators(kind: string, names: readonly string[]): string[] {
  if (kind.includes('BETWEEN')) return ['>=', '<=', '>', '<'];
  if (kind === 'AEXPR_SIMILAR') return ['~'];
  if (names.length === 0) return ['='];
  return [];
}

const relationTypes: ReadonlySet<string> = new Set([
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_INDEX',
  'OBJECT_SEQUENCE',
  'OBJECT_FOREIGN_TABLE',
]);
const memberTypes: ReadonlySet<string> = new Set([
  'OBJECT_COLUMN',
  'OBJECT_TABCONSTRAINT',
  'OBJECT_TRIGGER',
  'OBJECT_RULE',
  'OBJECT_POLICY',
]);

/** How many of a dotted name's parts are the relation's; 0 where the object is no relation's. */
export function relationParts(objtype: string, parts: readonly string[]): string[] {
  if (relationTypes.has(objtype)) return [...parts];
  return memberTypes.has(objtype) ? parts.slice(0, -1) : [];
}

export function objectNames(node: unknown): string[] {
  const list = (node as { List?: { items?: Wrapped[] } } | undefined)?.List;
  return list === undefined ? [] : strings(list.items);
}

function dropped(value: Record<string, unknown>, add: (kind: NameKind, parts: readonly string[]) => void): void {
  for (const object of (value.objects as unknown[] | undefined) ?? []) {
    add('relation', relationParts(value.removeType as string, objectNames(object)));
  }
}

function objectOf(value: Record<string, unknown>, add: (kind: NameKind, parts: readonly string[]) => void): void {
  add('relation', relationParts(value.objtype as string, objectNames(value.object)));
}

/**
 * A name in a string, as the input functions of regclass read it ("a.b", quoted or not); undefined where it is none.
 * An OID in digits is none.
 */
export function identifiers(text: string): string[] | undefined {
  const parts: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|$)/y;
  for (;;) {
    const match = pattern.exec(text);
    if (match === null) return undefined;
    if (match[1] === undefined && /^[0-9]/.test(match[2] ?? '')) return undefined;
    parts.push(match[1]?.replace(/""/g, '"') ?? foldCase(match[2] ?? ''));
    if (match[3] === '') return parts.length <= 3 ? parts : undefined;
  }
}

/** The server folds ASCII letters only. */
const foldCase = (word: string): string => word.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

/** Lookup in answers that were read: a name that was not asked for is not there. */
export class Answers implements Names {
  readonly #named: ReadonlyMap<string, Named>;
  readonly path: Path | undefined;
  readonly isFleeting: boolean;

  constructor(named: ReadonlyMap<string, Named>, path: Path | undefined, isFleeting = false) {
    this.#named = named;
    this.path = path;
    this.isFleeting = isFleeting;
  }

  named(wanted: Wanted): Named | undefined {
    return this.#named.get(wantedKey(wanted));
  }

  get all(): ReadonlyMap<string, Named> {
    return this.#named;
  }

  get changed(): string | undefined {
    for (const named of this.#named.values()) {
      const found = changedIn(named);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #get(kind: NameKind, schema: string | undefined, name: string): Named['value'] {
    return this.#named.get(wantedKey({ kind, schema, name }))?.value;
  }

  relation(schema: string | undefined, name: string): Relation | undefined {
    return this.#get('relation', schema, name) as Relation | undefined;
  }

  functions(schema: string | undefined, name: string): readonly Routine[] {
    const found =
      this.#get('function', schema, name) ?? (schema === undefined ? this.#get('function', anywhere, name) : undefined);
    return (found as readonly Routine[] | undefined) ?? [];
  }

  operators(schema: string | undefined, name: string): readonly Operator[] {
    return (this.#get('operator', schema, name) as readonly Operator[] | undefined) ?? [];
  }

  type(schema: string | undefined, name: string): NamedType | undefined {
    return this.#get('type', schema, name) as NamedType | undefined;
  }
}
