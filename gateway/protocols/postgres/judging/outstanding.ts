import type { Submission } from '../../../protocol.js';
import type { Claim } from '../session/claim.js';
import type { Exchange } from '../session/exchange.js';
import type { ExpectationEnd } from '../session/expectation.js';
import { limitError } from '../session/responses.js';
import type { Template } from './statement.js';
import { keepsLocks } from './wrote.js';

/** What was let through and is not answered yet, and what it leaves behind in the present transaction. */
export class Outstanding {
  readonly #exchange: Exchange;
  readonly #claim: Claim;
  /** Of each, whether it may keep locks in its transaction, and whether it names the session's prompt. */
  readonly #open = new Map<Submission, { readonly keeps: boolean; readonly claims: boolean }>();
  #wrote = false;

  constructor(exchange: Exchange, claim: Claim) {
    this.#exchange = exchange;
    this.#claim = claim;
  }

  /** The present transaction may hold locks that others wait for. */
  get wrote(): boolean {
    return this.#wrote;
  }

  /** The server stands in no transaction. */
  idle(): void {
    this.#wrote = false;
  }

  add(submission: Submission, template: Template): void {
    this.#open.set(submission, { keeps: keepsLocks(template), claims: this.#claim.sent(template) });
  }

  /** It could not be recorded, and is refused. */
  drop(submission: Submission): void {
    this.#open.delete(submission);
  }

  /** It was let through, and the batch has failed before it could be sent. */
  skip(submission: Submission): void {
    if (this.#open.delete(submission)) submission.settle({ status: this.#exchange.over ? 'lost' : 'cancelled' });
  }

  /** The execution has been answered; `ready`: and the server was ready for another query by then. */
  settle(submission: Submission, end: ExpectationEnd, ready = false): void {
    const open = this.#open.get(submission);
    if (open === undefined) return;
    this.#open.delete(submission);
    // What an Execute did stays in a transaction at least until the batch's end; a query may have ended its own.
    if (open.keeps && !(ready && this.#exchange.transaction === 'I')) this.#wrote = true;
    const { error, skipped, rows, bytes, tag } = end;
    if (open.claims && error === undefined && skipped === undefined) this.#claim.ran();
    const cancelled = skipped === true || error?.code === '57014' || error === limitError;
    submission.settle({
      status: cancelled ? 'cancelled' : error === undefined ? 'ok' : 'error',
      rows,
      bytes,
      ...(error === undefined ? {} : { code: error.code }),
      ...(tag === '' ? {} : { tag }),
    });
  }

  /** The connection is gone: what became of what was under way is not known. */
  abandon(): void {
    for (const submission of this.#open.keys()) submission.settle({ status: 'lost' });
    this.#open.clear();
  }
}
