import type { AuditError } from '../errors.js';
import type { Part } from './chain.js';
import type { Members } from './json.js';

/**
 * What is written down. Field names follow OPA's decision log where it has one (decision_id, labels, path, input, result,
 * metrics, timestamp), so that existing readers understand ours.
 *
 * A record is one of a numbered sequence per writing process, each chained to the one before by its hash (chain.ts). Values
 * that may identify a person stand in `personal`, keyed by where they belong, each with a salt of its own: the chain has
 * commitments to the values instead of the values, and a value can be erased without breaking it.
 */
export type RecordKind =
  | 'session_open'
  | 'session_close'
  | 'sign_in_refused'
  | 'intent'
  | 'outcome'
  | 'policy'
  /** An operation waits for an answer. */
  | 'hold'
  /** Somebody approved or refused a hold. */
  | 'answer'
  /** A hold is over: approved, refused, expired, withdrawn, cancelled, or its client is gone. */
  | 'hold_end'
  /** An approval was widened to further operations, as policy lets it be; and such a grant, or a token, was taken back. */
  | 'grant'
  | 'revoke'
  /** A session was ended from outside. */
  | 'session_kill'
  /** Somebody changed something through the API, the console or the command line. */
  | 'administrator'
  /** A prompt was registered ahead of the operations that name it. */
  | 'prompt'
  /** A webhook was told something, or could not be; or a message that came in through it was turned away. */
  | 'webhook'
  /** By the log about itself: a line was found cut off, or records could not be written. */
  | 'audit';

/**
 * Kinds that tell what has happened already, or takes rights away. Refusing them would not stop the one and should not stop
 * the other, so while the log cannot be written they wait in the buffer.
 */
export const afterTheFact: ReadonlySet<RecordKind> = new Set([
  'outcome',
  'session_close',
  'hold_end',
  'revoke',
  'session_kill',
  'webhook',
]);

export interface AuditRecord {
  readonly version: 1;
  readonly kind: RecordKind;
  /** Who writes: one process of one gateway. */
  readonly writer: string;
  /** Numbered from 1 within the writer. */
  readonly sequence: number;
  /** RFC 3339, UTC, milliseconds. */
  readonly timestamp: string;
  /** The hash of the writer's record before it, and its own (chain.ts). */
  readonly chain?: { readonly previous: string; readonly hash: string };
  readonly [field: string]: unknown;
}

/** A record before its writer, number and time are known. */
export interface Entry {
  readonly kind: RecordKind;
  /** Fields that never identify a person. */
  readonly fields: Readonly<Record<string, unknown>> | Members;
  /** Fields that may: statement text, parameters, subject, address, prompt. Absent where there are none. */
  readonly personal?: Readonly<Record<string, unknown>> | readonly Part[];
}

export interface Audit {
  /**
   * Takes one record. `durable` asks for it to be on disk: the promise resolves when it is; without it nothing is
   * returned and the record follows with the next write. Throws AuditError at once where the record cannot be taken
   * (a sink has failed, the bounded buffer is full).
   */
  write(entry: Entry, options: { durable: true }): Promise<void>;
  write(entry: Entry, options?: { durable?: false }): undefined;
  /** Resolves when what was taken so far is with the operating system, or cannot be written. */
  written(): Promise<void>;
  /** Why what has to be recorded is refused now, whoever asks; undefined where it is taken. */
  readonly refusal?: AuditError | undefined;
  /** What is failing while everything still goes on, in words for whoever watches the process. */
  readonly warnings?: readonly string[];
  close(): Promise<void>;
}
