import type { Decision } from '#engine';
import { limitExceeded } from '../enforce.js';
import { errorResponse, query } from '../codec.js';
import type { Exchange } from './exchange.js';
import { Meter } from './limits.js';
import type { Permit } from '../judging/permit.js';
import type { ExpectationEnd, ServerError } from './expectation.js';
import type { Template } from '../judging/statement.js';

/** One execution under limits: measured, stopped in the server where it exceeds one, and waited for. */
export class Limiting {
  readonly meter: Meter;
  /** Resolves when the server has answered, and no cancel request is under way that could hit what comes after. */
  readonly over: Promise<void>;
  readonly #decision: Decision;
  readonly #target: string;
  #resolve: () => void = () => undefined;
  #cancelling: Promise<void> | undefined;

  /** @param cancel Stops what the server runs for the session; resolves when it has been told. */
  constructor(permit: Permit, target: string, cancel: () => Promise<void>) {
    this.#decision = permit.submission.decision;
    this.#target = target;
    this.meter = new Meter(permit.limits, permit.used, () => {
      this.#cancelling ??= cancel();
    });
    this.over = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.meter.start();
  }

  /**
   * The server may have finished, and committed, before it can be stopped: what writes by itself is committed once it is
   * known not to have exceeded anything. True where that is so: then `release` is to be called at its end.
   */
  hold(exchange: Exchange, { action, statements }: Template): boolean {
    const writes = action === 'write' || action === 'delete';
    if (!writes || exchange.transaction !== 'I' || statements.some(({ control }) => control.kind !== 'none'))
      return false;
    exchange.toUpstream.push(query('begin'));
    exchange.responses.expect({ kind: 'query', hidden: true });
    return true;
  }

  /** What was held is through: it is committed, or undone where it was stopped or has failed. */
  release(
    exchange: Exchange,
    { error, unanswered }: ExpectationEnd,
    settle: (error: ServerError | undefined) => void,
  ): void {
    const end = () => {
      if (exchange.over) {
        settle(error);
        return;
      }
      if (unanswered === true) exchange.toClient.push(this.error());
      exchange.toUpstream.push(query(error === undefined ? 'commit' : 'rollback'));
      exchange.responses.expect({
        kind: 'query',
        hidden: true,
        tells: true,
        ready: true,
        ended: (last) => {
          settle(error ?? last.error);
          this.ended();
        },
      });
      exchange.toUpstream.flush();
    };
    // A cancel that is under way may not hit the end of the transaction.
    if (this.#cancelling === undefined) end();
    else void this.#cancelling.then(end, end);
  }

  /** In place of the end of a result that was cut. */
  error(): Buffer {
    const { exceeded, limits } = this.meter;
    const kind = exceeded ?? 'rows';
    return errorResponse(limitExceeded(this.#decision, this.#target, kind, limits[kind] ?? 0));
  }

  ended(): void {
    if (this.#cancelling === undefined) this.#resolve();
    else void this.#cancelling.then(this.#resolve, this.#resolve);
  }
}
