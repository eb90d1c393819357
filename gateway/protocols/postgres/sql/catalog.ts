import { StatementError, type Ask } from '../judging/statement.js';
import { catalogQuery } from './queries.js';

/** What the server's catalog says of names, read in the client's own session and remembered for a short while. */

export interface CatalogColumn {
  readonly name: string;
  /** attnum */
  readonly number: number;
  /** The type's OID, and its name as schema.name. */
  readonly type: number;
  readonly typeName: string;
  readonly notNull: boolean;
  /** atttypmod; -1 where the type has no modifier. */
  readonly typmod: number;
  /** The type with its modifier, as SQL that means it under any search_path. */
  readonly typeText: string;
  /** What a domain stands on, with its modifier; of other types the type itself. */
  readonly baseType: number;
  readonly baseTypmod: number;
  /** Of a domain: it has no NOT NULL and no CHECK, nor has one below it, so that every value of its base type is one of its own. */
  readonly isFree: boolean;
  /** Of an enum, in its order. */
  readonly labels: readonly string[] | undefined;
  /** Computed by the server from other columns of the row. */
  readonly generated: 'stored' | 'virtual' | undefined;
  /** The columns that it is computed from. */
  readonly inputs: readonly string[];
  /** As SQL, where it is not the type's own. */
  readonly collation: string | undefined;
  /** Functions that the server may run unasked where the value is used as one of another type, ordered or compared. */
  readonly casts: readonly string[];
  /** Those that it runs where the statement says to which type, or makes JSON of it. */
  readonly castsAsked: readonly AskedCast[];
}

export interface AskedCast {
  readonly function: string;
  /** The OID of the type that it makes. */
  readonly to: number;
}

/** A view's or materialized view's query. */
export interface Definition {
  /** As the server prints it where names mean what they mean in this session. */
  readonly text: string;
}

/** What tells that a relation is still the one that was read; see versions.ts. */
export interface Version {
  /** The relation's own, and those of what it inherits from. */
  readonly oids: readonly number[];
  readonly digest: string;
  /** The same for what it reaches beyond its own definition: see `reachOf`. */
  readonly reach?: { readonly oids: readonly number[]; readonly digest: string };
  /** Of a table that is not more than its columns, without rules, triggers, children, parents and policies: see `columnsText`. */
  readonly plain?: string;
  /** What of these it has, or once had: see `marksOf`. */
  readonly marks: string;
}

/** What a view, a policy, a toast table or an inheritance tree reaches. */
export interface Reached {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly via: string;
  /** How: v a view's query, q a row-level policy, p an inheritance parent or partition root, t the owner of a toast table. */
  readonly how: 'v' | 'q' | 'p' | 't';
  readonly columns: readonly string[];
}

/** A table that inherits, or a partition: where its parent is named without ONLY, its rows are reached as well. */
export interface Heir {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  /** The parent. */
  readonly via: string;
  /** True where only a row-level policy reads it. */
  readonly policy: boolean;
  readonly partition: boolean;
}

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_class.relkind; 'n' for one that an earlier statement of the same string makes. */
  readonly kind: string;
  /** Row-level policies are in force on it. */
  readonly rowSecurity: boolean;
  readonly columns: readonly CatalogColumn[];
  /** The columns of its primary key, where that holds at any moment. */
  readonly primaryKey: readonly string[];
  /** Undefined for what the server brings along. */
  readonly version: Version | undefined;
  /** It is otherwise by now than what the transaction's snapshot shows, and than all of this says. */
  readonly isChanged?: boolean;
  /** False where only the relation itself was asked for: what stands below is empty then. */
  readonly full: boolean;
  /** True where reading it reaches more than itself, and that was not asked for. */
  readonly deep: boolean;
  /** Of a view that somebody made; undefined also where it is too long. */
  readonly definition: Definition | undefined;
  readonly reads: readonly Reached[];
  readonly heirs: readonly Heir[];
  /** There are more than are listed. */
  readonly moreHeirs: boolean;
  /** Functions that reading it runs, or filling it has run, but for those that an extension tells are harmless: of queries, of policies. */
  readonly readFunctions: readonly string[];
  /** Functions that writing it runs: defaults, checks, generated columns, indexes. */
  readonly writeFunctions: readonly string[];
  /** Columns by which it is decided which rows are its own, as a partition's: by all names that they have. */
  readonly keysAbove: readonly string[];
  /** Those of its own by which row-level policies choose, by all their names as well. */
  readonly policyColumns: readonly string[];
  /** And which row is in which of its partitions. */
  readonly keysWithin: readonly string[];
  /** What lets no two rows be alike: of itself, its partitions, and of what is below a view. */
  readonly uniques: readonly Unique[];
  readonly triggers: readonly Trigger[];
  readonly rules: readonly { readonly event: string; readonly name: string; readonly relation: string }[];
  /** What foreign keys go on to, and on from there. */
  readonly cascades: readonly Cascade[];
}

export interface Cascade {
  readonly relation: string;
  readonly kind: string;
  /** What is done to the relation that is written: t stands for TRUNCATE … CASCADE. */
  readonly start: 'd' | 'u' | 't';
  readonly access: 'delete' | 'update' | 'truncate';
  /** The relation that the foreign key refers to. */
  readonly via: string;
  /** After an UPDATE: it goes on where one of these columns of the relation that is written changes. */
  readonly changed: readonly string[] | undefined;
  /** Functions that this runs: of triggers, checks, defaults. */
  readonly functions: readonly string[];
  readonly isRuled: boolean;
  /** Columns on both sides, by which it is known where it goes on; none for TRUNCATE, which takes all rows. */
  readonly keys: readonly string[];
}

/** A unique index, or that of an exclusion constraint. */
export interface Unique {
  /** Its constraint's as well. */
  readonly name: string;
  /** As schema.name. */
  readonly relation: string;
  /** Those that it stores, computes from or depends on. */
  readonly columns: readonly string[];
}

export interface Trigger {
  readonly name: string;
  /** pg_trigger.tgtype */
  readonly type: number;
  readonly function: string;
  readonly relation: string;
}

export interface Routine {
  readonly schema: string;
  readonly name: string;
  /** f function, a aggregate, w window function, p procedure */
  readonly kind: string;
  readonly arguments_min: number;
  readonly arguments_max: number;
  /** The result's type, as an OID. */
  readonly result: number;
  /** It makes any number of rows. */
  readonly isSeries: boolean;
  /** The extension that owns it, where it is written in C. */
  readonly extension: string | undefined;
  /** What it takes, as OIDs; the last of a variadic one is the array of the rest. */
  readonly types: readonly number[];
  /** Of each: a value of the server's own types may become one of it without a cast that the statement says. */
  readonly reached: readonly boolean[];
  readonly isVariadic: boolean;
  /** It takes a type of somebody's own that the server would sooner make of a literal than text. */
  readonly isPreferring: boolean;
  /** Of one whose body may be looked into: see bodies.ts. */
  readonly body: Body | undefined;
  /** Its body could be looked into, but somebody is changing it, or has since the transaction's snapshot was taken. */
  readonly isChanging?: boolean;
  /** Of one that is no part of the server: its row in the catalog. */
  readonly stamp?: string | undefined;
}

/** The body of a function in SQL. */
export interface Body {
  /** As the function has it; or as the server prints it where it is kept as a tree, with BEGIN ATOMIC or RETURN. */
  readonly text: string;
  readonly isTree: boolean;
  /** The names of its parameters; none where they have none. */
  readonly parameters: readonly string[];
}

export interface Operator {
  readonly schema: string;
  readonly left: number;
  readonly right: number;
  readonly function: string;
  /** The function is known by the extension that owns it. */
  readonly isKnown: boolean;
  /** The operand's type is one that a value of the server's own types may become without a cast that the statement says. */
  readonly isLeftReached: boolean;
  readonly isRightReached: boolean;
  /** Of one that is no part of the server: its row in the catalog. */
  readonly stamp?: string | undefined;
}

export interface NamedType {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_type.typtype: b base, c composite, d domain, e enum, p pseudo, r range, m multirange */
  readonly kind: string;
  /** Functions that a cast to it may run, and that are not known by an extension: a domain's checks, casts that somebody made. */
  readonly functions: readonly string[];
  /** It reads and writes its values with functions that are not known. */
  readonly isForeign: boolean;
  /** Of a domain: the columns that hold values of it, in arrays, rows, ranges and other domains as well. */
  readonly columns: readonly { readonly relation: string; readonly kind: string; readonly column: string }[];
  readonly moreColumns: boolean;
  /** The rows of all types of that name that are no part of the server. */
  readonly stamp?: string | undefined;
}

const nameKinds = ['relation', 'function', 'operator', 'type'] as const;
export type NameKind = (typeof nameKinds)[number];

export interface Wanted {
  readonly kind: NameKind;
  /** Undefined: looked for along search_path. */
  readonly schema: string | undefined;
  readonly name: string;
  /** Of a relation: all that writing it reaches is wanted as well. */
  readonly full?: boolean;
}

/** One name's answer. A new object whenever the answer is another: its identity says "nothing has changed". */
export interface Named {
  readonly raw: string;
  readonly value: Relation | readonly Routine[] | readonly Operator[] | NamedType | undefined;
  /** performance.now() when the last read of it began, or when the snapshot was taken by which it was read. */
  read_ms: number;
  /** The same of when its first read was over: it has been so from then to `read_ms`. */
  readonly since_ms: number;
  /** Which read that was; all that one says is of one moment. */
  reading: number;
}

/** Where names are looked for, as the session stood when it was asked. */
export interface Path {
  /** Equal for sessions in which all names mean the same. */
  readonly key: string;
  readonly setting: string;
  readonly user: string;
  /** The session's own role: none was set. */
  readonly isOwn: boolean;
  /** The schemas that are searched, in order, pg_temp and pg_catalog included. */
  readonly schemas: readonly string[];
  /** Where a new relation goes; undefined where nothing can be made. */
  readonly creation: string | undefined;
  /** True where the session has a schema of temporary objects. */
  readonly temporary: boolean;
  readonly version: number;
  /** A digest of the casts that somebody made; '' where there are none. */
  readonly casts: string;
  /** Whether anybody has made any. */
  readonly functions: boolean;
  readonly operators: boolean;
  /** How old what is read may be at most, since it is read by the snapshot of a transaction; 0 where it is not. */
  readonly age_ms: number;
  /** What DDL runs. */
  readonly eventTriggers: readonly { readonly name: string; readonly function: string }[];
}

/** Whether an answer has functions in it whose bodies are looked into: nothing in what leaves says what these were. */
export const hasBodies = ({ kind }: Wanted, named: Named | undefined): boolean =>
  kind === 'function' && ((named?.value ?? []) as readonly Routine[]).some(({ body }) => body !== undefined);

/** What of an answer, as schema.name, is otherwise by now than it says; undefined where nothing is. */
export function changedIn({ value }: Named): string | undefined {
  const [first] = Array.isArray(value) ? (value as readonly Routine[]).filter(({ isChanging }) => isChanging) : [];
  const found = first ?? ((value as Relation | undefined)?.isChanged === true ? (value as Relation) : undefined);
  return found === undefined ? undefined : `${found.schema}.${found.name}`;
}

export const wantedKey = (wanted: Wanted): string =>
  wanted.schema === undefined ? `${wanted.kind} ${wanted.name}` : `${wanted.kind} ${wanted.schema}\0${wanted.name}`;

/** What a key stands for. */
export function wantedOfKey(key: string): Wanted {
  const space = key.indexOf(' ');
  const zero = key.indexOf('\0');
  return {
    kind: key.slice(0, space) as NameKind,
    schema: zero < 0 ? undefined : key.slice(space + 1, zero),
    name: key.slice((zero < 0 ? space : zero) + 1),
  };
}

/** Names remembered at once; beyond it the oldest go. */
export const names_max = 20_000;

/** When something was read: no sooner and no later. */
export interface ReadAt {
  readonly began_ms: number;
  readonly ended_ms: number;
  readonly reading: number;
}

/** The names of one search path, the oldest dropped beyond the bound. */
export class NameCache {
  readonly #names = new Map<string, Named>();

  get(key: string): Named | undefined {
    return this.#names.get(key);
  }

  /** Keeps the object that stands where the answer is still the same. */
  put(key: string, raw: string, value: () => Named['value'], { began_ms, ended_ms, reading }: ReadAt): Named {
    const known = this.#names.get(key);
    if (known !== undefined && known.raw === raw) {
      known.read_ms = Math.max(known.read_ms, began_ms);
      known.reading = reading;
      return known;
    }
    const named = { raw, value: value(), read_ms: began_ms, since_ms: ended_ms, reading };
    this.#names.delete(key);
    this.#names.set(key, named);
    if (this.#names.size > names_max) {
      for (const oldest of this.#names.keys()) {
        this.#names.delete(oldest);
        break;
      }
    }
    return named;
  }
}

export interface Reading {
  readonly path: Path;
  /** By wantedKey: raw answers, "" where nothing is. */
  readonly answers: ReadonlyMap<string, string>;
}

/** One round trip: where names are looked for now, and what these names are. */
export async function readCatalog(ask: Ask, wanted: readonly Wanted[]): Promise<Reading> {
  const kinds = nameKinds.filter((kind) => wanted.some((w) => w.kind === kind));
  const lists = kinds.map((kind) => wanted.filter((w) => w.kind === kind));
  const parameters = lists.flatMap((list) => [array(list.map((w) => w.schema)), array(list.map((w) => w.name))]);
  const rows = await ask(
    catalogQuery(
      kinds,
      wanted.some((w) => w.full === true),
    ),
    parameters,
  );
  const answers = new Map<string, string>(wanted.map((w) => [wantedKey(w), '']));
  let path: Path | undefined;
  for (const [kind, index, data] of rows) {
    if (data === null || data === undefined) continue;
    if (kind === 'path') {
      path = readPath(data);
      continue;
    }
    const list = lists[kinds.indexOf(kind as NameKind)];
    const asked = list?.[Number(index) - 1];
    if (asked !== undefined) answers.set(wantedKey(asked), data);
  }
  if (path === undefined) throw new StatementError('XX000', 'the server did not say where it looks for names');
  return { path, answers };
}

/** A text[] in its text form; undefined is NULL. */
export function array(values: readonly (string | undefined)[]): string {
  return `{${values.map((value) => (value === undefined ? 'NULL' : `"${value.replace(/[\\"]/g, '\\$&')}"`)).join(',')}}`;
}

/** Whether a search_path says where temporary tables are looked for, and not that it is in front. */
export const putsTemporaryBehind = (setting: string): boolean =>
  /pg_temp/i.test(setting) && !/^\s*"?pg_temp"?\s*(,|$)/i.test(setting);

function readPath(data: string): Path {
  const row = JSON.parse(data) as {
    setting: string;
    user: string;
    own: boolean;
    schemas: string[];
    creation: string | null;
    temporary: boolean;
    version: string;
    age?: number;
    eventTriggers: [string, string][] | null;
    casts?: string;
    functions: boolean;
    operators: boolean;
  };
  return {
    key: JSON.stringify([
      row.user,
      row.own,
      row.schemas,
      row.creation,
      row.eventTriggers,
      row.casts,
      row.functions,
      row.operators,
      // Before there are any temporary objects, the schemas do not say where these will be.
      putsTemporaryBehind(row.setting),
    ]),
    setting: row.setting,
    user: row.user,
    isOwn: row.own,
    schemas: row.schemas,
    creation: row.creation ?? undefined,
    temporary: row.temporary,
    version: Number(row.version),
    casts: row.casts ?? '',
    functions: row.functions,
    operators: row.operators,
    age_ms: (row.age ?? 0) * 1_000,
    eventTriggers: (row.eventTriggers ?? []).map(([name, fn]) => ({ name, function: fn })),
  };
}

/** Whether an answer says less of a relation than the statement needs. */
export function isShort(want: Wanted, value: Named['value']): boolean {
  if (want.kind !== 'relation' || value === undefined) return false;
  const relation = value as Relation;
  return !relation.full && (relation.deep || want.full === true);
}

/**
 * Whether there was a moment at which all of this was so. What is said of a relation is partly of others, which it reads or which inherit from it:
 * beside what is known of those from another moment that would be of no catalog that there ever was.
 */
export function areOfOneMoment(names: ReadonlyMap<string, Named>): boolean {
  let since_ms = -Infinity;
  let until_ms = Infinity;
  let reading: number | undefined;
  let isOneReading = true;
  let reachesOthers = false;
  for (const named of names.values()) {
    const relation = isRelation(named.value) ? named.value : undefined;
    // What is being changed is never judged by.
    if (relation === undefined || named.read_ms === -Infinity) continue;
    reachesOthers ||= relation.reads.length > 0 || relation.heirs.length > 0;
    isOneReading &&= reading === undefined || reading === named.reading;
    ({ reading } = named);
    since_ms = Math.max(since_ms, named.since_ms);
    until_ms = Math.min(until_ms, named.read_ms);
  }
  return !reachesOthers || isOneReading || since_ms <= until_ms;
}

const isRelation = (value: Named['value']): value is Relation =>
  value !== undefined && !Array.isArray(value) && 'heirs' in value;
