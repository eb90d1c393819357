import type { Action, Resource, Use } from '#engine';
import type { Obligations, Plan } from '../enforcing/rewriting.js';

/**
 * What is known of one query string without its parameters: made once per text and catalog by `interpreter.ts`, shared
 * by everything that executes it, and never changed afterwards.
 */
export interface Template {
  /** Exactly what the client sent; what leaves is this, or what `Interpreter.rewrite` makes of it. */
  readonly text: string;
  /** One entry per statement of the string; none for an empty one. */
  readonly statements: readonly Statement[];
  readonly action: Action;
  /** The union of what the statements touch. Never empty. */
  readonly resources: readonly Resource[];
  readonly opaque: boolean;
  /** SHA-256 over the canonical operation without parameters; hexadecimal. */
  readonly hash: string;
  /** The text as audit may keep it: secrets (passwords in ALTER ROLE and the like) replaced. */
  readonly recorded: string;
  /** How many $n the text has (the highest n). */
  readonly parameters: number;
  /**
   * It calls functions out of whose bodies it was told what it touches. Nothing that leaves says what these were: so it holds for
   * what runs at once, and is looked at anew for all else.
   */
  readonly fleeting?: true;
  /** What the text itself says of its prompt: sqlcommenter's traceparent and tags. */
  readonly comment?: { readonly trace?: string; readonly prompt?: string };
}

export interface Statement {
  /** What policy sees of this statement: an element of `operation.postgres.statements`. */
  readonly facts: StatementFacts;
  /** What it does to the session: read by the session's state machine, never by policy. */
  readonly control: Control;
  /** What may be different for the names in later statements once this one has run. */
  readonly moves: Moves;
  /** What it sets the session's prompt to, where that is a constant; empty: to nothing. */
  readonly prompt?: string;
}

export interface StatementFacts {
  /** select, insert, update, delete, merge, copy, truncate, call, explain, create_table, … */
  readonly kind: string;
  readonly action: Action;
  readonly opaque: boolean;
  /** False only for UPDATE and DELETE without a WHERE that depends on the row, and MERGE that does so without such a condition. */
  readonly bounded: boolean;
  readonly fingerprint: string;
  readonly relations: readonly RelationFact[];
  readonly columns: readonly ColumnFact[];
  readonly functions: readonly string[];
  readonly settings: readonly string[];
  /** LIMIT where it is a constant. */
  readonly limit?: number;
  /** Names that could not be found where the server would look for them. */
  readonly unresolved: readonly string[];
  /** Why it is opaque, in words that a person understands. */
  readonly because?: readonly string[];
}

export interface RelationFact {
  /** schema.name */
  readonly name: string;
  readonly access: Resource['access'];
  /** table, view, materialized_view, foreign_table, partitioned_table, sequence, index, composite_type, toast_table, unresolved */
  readonly type: string;
  readonly via?: string;
}

export interface ColumnFact {
  /** schema.relation.column */
  readonly name: string;
  readonly use: Use;
  readonly access: Resource['access'];
  readonly via?: string;
}

/** What running a statement changes in the session's own state. */
export type Control =
  | { readonly kind: 'none' }
  | { readonly kind: 'begin' }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }
  | { readonly kind: 'savepoint' | 'release' | 'rollback_to'; readonly name: string }
  | { readonly kind: 'prepare_transaction' }
  /** SQL PREPARE: the statement inside is a template of its own, judged when it runs. */
  | {
      readonly kind: 'prepare';
      readonly name: string;
      readonly inner: Template;
      /** The declared types of its parameters, as OIDs; 0 where it is not known. */
      readonly types: readonly number[];
    }
  /** SQL EXECUTE (also inside EXPLAIN and CREATE TABLE AS): looked up by the session, judged as the statement inside. */
  | { readonly kind: 'execute'; readonly name: string; readonly parameters: readonly (string | null | undefined)[] }
  | { readonly kind: 'deallocate'; readonly name: string | undefined }
  | { readonly kind: 'declare'; readonly name: string; readonly hold: boolean; readonly inner: Template }
  | { readonly kind: 'fetch'; readonly name: string }
  | { readonly kind: 'close'; readonly name: string | undefined }
  | { readonly kind: 'copy_in' }
  /** `binary`: its data are in a form that nobody can look for anything in. */
  | { readonly kind: 'copy_out'; readonly binary?: true }
  | { readonly kind: 'discard'; readonly what: 'all' | 'plans' | 'sequences' | 'temp' };

export interface Moves {
  /** search_path, role or session authorization may be another afterwards. */
  readonly path: boolean;
  /** Relations, columns, functions … may be others afterwards (DDL, temporary objects). */
  readonly catalog: boolean;
  /** Anything may have happened: prepared statements and cursors of this session too. */
  readonly anything: boolean;
  /** It says how transactions are isolated. */
  readonly isolation?: true;
}

/** A statement that the server would not even analyse: answered by the gateway and never forwarded. */
export class StatementError extends Error {
  readonly sqlstate: string;
  /** 1-based, in characters, as the protocol's field P wants it. */
  readonly position: number | undefined;
  readonly hint: string | undefined;
  readonly detail: string | undefined;
  constructor(sqlstate: string, message: string, position?: number, hint?: string, detail?: string) {
    super(message);
    this.name = 'StatementError';
    this.sqlstate = sqlstate;
    this.position = position;
    this.hint = hint;
    this.detail = detail;
  }
}

/**
 * Runs the gateway's own reads in the client's session, unseen by the client, at a message boundary. Values come as
 * text. Rejects when the session cannot be asked (a failed transaction, an error of the read).
 */
export type Ask = (sql: string, parameters: readonly (string | null)[]) => Promise<(string | null)[][]>;

/** Turns query strings into templates for one session. */
export interface Interpreter {
  /**
   * A template at once where everything is known, else a promise that asked the catalog. Throws (or rejects with)
   * StatementError for what does not parse. Names that do not exist are no error: they stand in `unresolved`, and make
   * the statement opaque.
   */
  interpret(text: string): Template | Promise<Template>;
  /**
   * What leaves in place of the template's text under these obligations. The template is one that this interpreter made.
   * Throws (or rejects with) RewriteRefusal where they cannot be put into it.
   */
  rewrite(template: Template, obligations: Obligations): Plan | Promise<Plan>;
  /** Parses only. True where the server would look at the string in a failed transaction: its first statement ends it, or there is none. */
  endsTransaction(text: string): boolean;
  /** Something was sent, or comes from the client anew: what was found out of functions' bodies counts no more. */
  turn(): void;
  /** A statement ran (or may have run in part): what it moves is looked at anew before the next one is interpreted. */
  ran(statement: Statement): void;
  /**
   * What may end a transaction, or rolls back to a savepoint, has been sent: names and a path that only the transaction
   * had are asked for anew, once the server has answered it. The session stays private until `transactionEnded`.
   */
  transactionEnding(): void;
  /** The transaction ended. */
  transactionEnded(): void;
  /** The end of the transaction, or a rollback to a savepoint, takes away names or a path that the session has now. */
  readonly isUnsettled: boolean;
  /** The server reported a setting (search_path from version 18, …). */
  parameterStatus(name: string, value: string): void;
  /**
   * A statement failed since something is no longer what it was judged as. `isSure`: the gateway's own look says so, and no client can have
   * made it say so.
   */
  outdated(isSure?: boolean): void;
}
