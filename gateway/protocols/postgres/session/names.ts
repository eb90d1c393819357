import type { Leaving } from '../enforcing/leaving.js';
import type { Column } from '../enforcing/content.js';
import type { Used } from './limits.js';
import type { Template } from '../judging/statement.js';

/**
 * The session's prepared statements and portals. SQL and protocol share both: PREPARE and Parse name the same things, and
 * so do DECLARE and Bind.
 *
 * What a name means is decided by the server, some time after the gateway has sent the message that gives it a meaning.
 * So a change becomes true when the server says so, and until then it stands in its batch alone: whatever follows in the
 * same batch runs only if it succeeded. A name that an earlier, unanswered batch touches cannot be looked up: the caller
 * waits until that batch is answered.
 */
export class Names<T> {
  readonly #known = new Map<string, T>();
  /** Changes of the batch that is being sent; undefined marks a removal. */
  #batch = new Map<string, T | undefined>();
  #unanswered: ReadonlyMap<string, T | undefined>[] = [];
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get full(): boolean {
    return this.#known.size + this.#batch.size >= this.#max;
  }

  /** What the name will mean where this batch goes on; 'unanswered' where an earlier batch has to be answered first. */
  lookup(name: string): T | undefined | 'unanswered' {
    if (this.#batch.has(name)) return this.#batch.get(name);
    if (this.#unanswered.some((batch) => batch.has(name) || batch.has(everything))) return 'unanswered';
    if (this.#batch.has(everything)) return undefined;
    return this.#known.get(name);
  }

  /** The message that gives the name its meaning has been sent. */
  sent(name: string, value: T | undefined): void {
    this.#batch.set(name, value);
  }

  sentClear(): void {
    this.#batch.clear();
    this.#batch.set(everything, undefined);
  }

  /** The server has confirmed it. */
  set(name: string, value: T | undefined): void {
    if (value === undefined) this.#known.delete(name);
    else this.#known.set(name, value);
  }

  clear(): void {
    this.#known.clear();
  }

  /** The batch is complete and its end has been sent; call the result when it has been answered. */
  endBatch(): (() => void) | undefined {
    if (this.#batch.size === 0) return undefined;
    const batch = this.#batch;
    this.#unanswered.push(batch);
    this.#batch = new Map();
    return () => {
      this.#unanswered = this.#unanswered.filter((other) => other !== batch);
    };
  }
}

/** No name can hold a zero byte, so this one stands for all of them. */
const everything = '\0';

export interface Prepared {
  /** With its names as they were when the server planned it. */
  template: Template;
  /** The string that made it, as it left: what the server's own view of the name must say. */
  origin: string;
  /** Types of $1, $2, …: as the client named them, and from ParameterDescription once it was seen. */
  types: readonly number[];
  /** As the client named them. */
  readonly declared: readonly number[];
  /** A Parse that waits for parameters with which policy allows it; nothing of it was sent. */
  kept: Buffer | undefined;
  /** True once this Parse, or an execution of it, stands in the audit. */
  recorded: boolean;
  /** What the server has under the client's own name for it. */
  leaving: Leaving;
  /** What it has under a name of the gateway's own, where masks or filters have become others since. */
  other: Other | undefined;
}

/** A statement once more, under other masks or filters. */
export interface Other {
  readonly name: string;
  readonly leaving: Leaving;
}

/** One frame inside of what was received. */
export interface Received {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
}

export interface Portal {
  readonly prepared: Prepared;
  /** The statement with its names as they were at Bind. */
  readonly template: Template;
  readonly values: readonly (Buffer | null)[];
  readonly formats: readonly number[];
  /** What it runs. */
  leaving: Leaving;
  /** The client's Bind; undefined for a cursor, which nobody can bind again. */
  readonly bound: Received | undefined;
  /** An Execute of it has been sent. */
  started: boolean;
  /** A Describe of it has been sent since it was bound. */
  described: boolean;
  /** What that was answered with. */
  columns: readonly Column[] | undefined;
  /** What has gone out of it: limits count over all of its fetches. */
  readonly used: Used;
}
