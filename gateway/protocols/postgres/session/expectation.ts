import type { Column } from '../enforcing/content.js';
import type { CopyRows } from '../enforcing/copy-rows.js';
import type { Guard } from '../enforcing/guard.js';
import type { Outbox } from '../wire/outbox.js';
import type { Meter } from './limits.js';

/** Something that the server still has to answer, and what becomes of the answer. */
export type ExpectationKind = 'query' | 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'sync' | 'local';

/** What takes messages for the client. The buffer of what is passed or pulled must not change afterwards. */
export type Sink = Pick<Outbox, 'push' | 'pass' | 'pull'>;

export interface ServerError {
  readonly code: string;
  readonly message: string;
}

export interface Expectation {
  readonly kind: ExpectationKind;
  /** The client knows nothing of it. */
  readonly hidden?: boolean;
  /** Hidden where it goes well: its error is the client's, and so are its notices, unless it is `error`. */
  readonly tells?: boolean | 'error';
  /** Of a query: whether the client sees its ReadyForQuery; as everything else of it where this is absent. */
  readonly ready?: boolean;
  /** What the client gets in place of the error that this was made to provoke; or a local answer. */
  readonly replacement?: Buffer;
  /** The same, where the server says that the transaction had failed before. */
  readonly inFailed?: Buffer;
  /** How what the server says is looked at before the client sees it. */
  readonly guard?: Guard | undefined;
  /** Limits on the result. */
  readonly meter?: Meter | undefined;
  /** What the client gets in place of the end, where a limit was exceeded. */
  overrun?(): Buffer;
  /** Of a Describe in the place of what a query says of its rows: that there are none goes unsaid. */
  readonly rowsOnly?: boolean;
  /**
   * Kept, to be said `ahead` of something later: what a Describe says of rows, ahead of the execution's first row or its end; the end of
   * an Execute, ahead of what comes once the Sync has gone well.
   */
  keep?(frame: Buffer): void;
  ahead?(): Buffer | undefined;
  /** Of a Describe: what it describes. */
  described?(columns: readonly Column[]): void;
  /** Of an Execute in whose rows patterns are looked for: what was described before it. */
  columns?(): readonly Column[] | undefined;
  /** Of an Execute whose rows the client gets as those of a COPY. */
  readonly copied?: CopyRows | undefined;
  /** Rows of a hidden read. */
  row?(values: (string | null)[]): void;
  parameterTypes?(types: number[]): void;
  /** The n-th statement of a query string, or the execution, is through. The tag is empty for an empty statement. */
  completed?(index: number, tag: string, suspended: boolean): void;
  /** Copy-in mode began: the server now reads CopyData. */
  copyIn?(): void;
  /** Everything was answered. `error` is set where the server refused; `skipped` where it never looked at it. */
  ended?(end: ExpectationEnd): void;
}

export interface ExpectationEnd {
  readonly error?: ServerError | undefined;
  readonly skipped?: true | undefined;
  /** A limit was exceeded, and the server has finished before it could be stopped: the client has no answer yet. */
  readonly unanswered?: true | undefined;
  readonly rows: number;
  readonly bytes: number;
  readonly tag: string;
}
