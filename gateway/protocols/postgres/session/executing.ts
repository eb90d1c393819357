import type { Behind } from './behind.js';
import type { CopyRows } from '../enforcing/copy-rows.js';
import type { Column } from '../enforcing/content.js';
import type { Awaitable } from './exchange.js';
import type { ExtendedParts } from './extended.js';
import type { Guard } from '../enforcing/guard.js';
import type { Limiting } from './limiting.js';
import type { Meter } from './limits.js';
import type { Portal } from './names.js';
import type { Permit } from '../judging/permit.js';
import type { Expectation, ExpectationEnd } from './expectation.js';
import type { Template } from '../judging/statement.js';

/** What an Execute is answered with. A class, as there is one for every statement: its methods are made once. */
export class Executing implements Expectation {
  readonly kind = 'execute';
  readonly guard: Guard | undefined;
  readonly meter: Meter | undefined;
  readonly copied: CopyRows | undefined;
  readonly #permit: Permit;
  readonly #portal: Portal;
  readonly #template: Template;
  readonly #parts: ExtendedParts;
  readonly #limiting: Limiting | undefined;
  readonly #behind: Behind | undefined;

  constructor(
    permit: Permit,
    portal: Portal,
    parts: ExtendedParts,
    limiting: Limiting | undefined,
    behind: Behind | undefined,
    copied?: CopyRows,
  ) {
    this.copied = copied;
    this.guard = permit.guard;
    this.meter = limiting?.meter;
    this.#permit = permit;
    this.#portal = portal;
    this.#template = portal.template;
    this.#parts = parts;
    this.#limiting = limiting;
    this.#behind = behind;
  }

  completed(_index: number, _tag: string, suspended: boolean): void {
    if (!suspended) this.#parts.names.ran(this.#template.statements[0], this.#template.text, this.#permit.leaving);
  }

  copyIn(): void {
    this.#behind?.keep();
    this.#parts.copyIn();
  }

  columns(): readonly Column[] | undefined {
    return this.#portal.columns;
  }

  overrun(): Buffer {
    return this.#limiting!.error();
  }

  ended(end: ExpectationEnd): void {
    this.#behind?.ran(end);
    this.#parts.judge.outstanding.settle(this.#permit.submission, end);
    // The server has finished it: its transaction fails as it would have.
    if (end.unanswered === true) this.#parts.exchange.refuse(this.#limiting!.error(), 'extended');
    this.#limiting?.ended();
    this.#parts.executed(this.#behind === undefined ? undefined : this.#compared(this.#behind, end));
  }

  /** Behind a COPY FROM STDIN nothing could be sent before. */
  #compared(behind: Behind, { error, skipped }: ExpectationEnd): Awaitable {
    const copiesIn = this.#template.statements[0]?.control.kind === 'copy_in';
    if (copiesIn && error === undefined && skipped === undefined) return behind.inBatch();
  }
}
