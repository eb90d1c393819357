import { UpstreamError } from '../../../errors.js';
import { failureResponse } from '../enforce.js';
import type { Onlooker } from '../onlooker.js';
import { StatementError, type Interpreter } from '../judging/statement.js';
import { othersText, othersValues, seenText, type Reached } from '../sql/present.js';
import { AskFailed, type Exchange } from './exchange.js';
import { namesChanged } from './looking.js';
import type { ExpectationEnd } from './expectation.js';
import type { Namespace } from './namespace.js';

/**
 * Whether what a transaction with a snapshot of its own reaches is what it sees of it: asked of a connection beside it, since in itself
 * nothing tells. Under READ COMMITTED each statement sees what there is.
 */
export class Present {
  readonly #exchange: Exchange;
  readonly #names: Namespace;
  readonly #onlooker: Onlooker;
  readonly #interpreter: () => Interpreter;

  constructor(exchange: Exchange, names: Namespace, onlooker: Onlooker, interpreter: () => Interpreter) {
    this.#exchange = exchange;
    this.#names = names;
    this.#onlooker = onlooker;
    this.#interpreter = interpreter;
  }

  /** @param moves The string itself may set how it is isolated. */
  isToBeAsked(reached: Reached | undefined, moves = false): reached is Reached {
    return reached !== undefined && (moves || this.#names.isolation !== 'read committed');
  }

  /**
   * At a boundary of messages: all that was sent has been answered, so that the server holds what it has looked up. What is returned is the
   * error where something is otherwise, or nobody can tell.
   */
  async differs(reached: Reached): Promise<Buffer | undefined> {
    try {
      if (this.#names.isolation !== 'snapshot' && (await this.#isReadCommitted())) return undefined;
      const [seen] = await this.#exchange.ask(seenText, [reached.oids]);
      const [others] = await this.#onlooker.ask(othersText, othersValues(reached, seen?.[0] ?? null, seen?.[1] ?? null));
      if (others?.[0] === 'f') return undefined;
      this.#interpreter().outdated(true);
      return failureResponse(namesChanged);
    } catch (error) {
      if (error instanceof AskFailed) return failureResponse(new StatementError(error.sqlstate, error.message));
      if (error instanceof UpstreamError) return failureResponse(error);
      throw error;
    }
  } // prettier-ignore

  /** Has the batch fail with it: where what was asked has failed, it has done so already, and nobody has heard of it. */
  fail(error: Buffer, ended: (end: ExpectationEnd) => void): void {
    const exchange = this.#exchange;
    if (!exchange.skipping) return exchange.fail(error, undefined, ended);
    exchange.toClient.push(error);
    ended({ error: { code: '40001', message: '' }, rows: 0, bytes: 0, tag: '' });
  }

  async #isReadCommitted(): Promise<boolean> {
    const [row] = await this.#exchange.ask('show transaction_isolation', []);
    const isReadCommitted = row?.[0] === 'read committed' || row?.[0] === 'read uncommitted';
    this.#names.isolated(isReadCommitted ? 'read committed' : 'snapshot');
    return isReadCommitted;
  }
}
