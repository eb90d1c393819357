import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import * as codec from '../codec.js';
import { failureResponse, sqlstates } from '../enforce.js';
import { Outbox } from '../wire/outbox.js';
import type { ExpectationEnd, ServerError } from './expectation.js';
import { Responses, type ResponseEvents, type TransactionStatus } from './responses.js';
import { StatementError, type Control } from '../judging/statement.js';

/** Which of the two sub-protocols a message belongs to: an error ends a query, and skips the rest of a batch. */
export type Mode = 'query' | 'extended';

/** What is handled at once gives nothing; what has to wait gives a promise, and the client is not read meanwhile. */
export type Awaitable = void | Promise<void>;

export function then<T>(value: T | Promise<T>, go: (value: T) => Awaitable): Awaitable {
  return value instanceof Promise ? value.then(go) : go(value);
}

export interface ExchangeEvents extends Pick<ResponseEvents, 'ready' | 'parameterStatus' | 'outdated' | 'withheld'> {
  /** The end of a batch has been sent; what is returned is called when the server has answered it. */
  batchEnded(): (() => void) | undefined;
  /** The batch has failed: nobody needs to wait any more to go on with it. */
  batchFailed(): void;
  /** What takes the unnamed statement away has been sent; what is returned is called when the server has done so. */
  unnamedDropped(): () => void;
}

/**
 * What stands between the two connections: what has been sent, what is still to be answered, where the transaction and
 * the batch stand, and how the gateway puts words of its own into either direction.
 *
 * A statement that is refused while the server stands in a transaction, or while earlier messages of the same batch are
 * under way, must fail there too, or the session would commit a half of what its client thinks was undone. The gateway
 * then sends a message of its own that must fail (a Parse that names a column which cannot exist) and puts the refusal
 * where the server's error arrives: order, skipping and transaction status stay the server's own. Where nothing is under
 * way, the server hears nothing.
 */
export class Exchange {
  readonly toClient: Outbox;
  readonly toUpstream: Outbox;
  readonly responses: Responses;
  /** As the server last said. */
  transaction: TransactionStatus = 'I';
  /** Something of the present batch has been sent; its Sync has not. */
  batchSent = false;
  /** The batch has failed: the server skips what comes before the next Sync, and so does the gateway. */
  skipping = false;
  /**
   * An Execute of the present batch has been sent whose statement neither begins nor ends a transaction: its implicit
   * transaction holds something, and from version 18 (and the minor versions of its time) only a Sync ends it.
   */
  batchExecuted = false;
  /** The message at hand takes the unnamed statement away, also where it fails. */
  dropsUnnamed = false;
  /** What was sent may change how the server reads text: its answer is waited for before another text is read. */
  unsettled = false;
  over = false;
  /** The beginning of every name that the gateway uses in the session itself. No client may use it. */
  readonly own = `sallyport_${randomBytes(6).toString('hex')}`;

  readonly #client: Socket;
  readonly #events: ExchangeEvents;
  #waiters: (() => void)[] = [];
  #leftOver = false;

  constructor(client: Socket, upstream: Socket, events: ExchangeEvents) {
    this.#client = client;
    this.#events = events;
    this.toClient = new Outbox(client);
    this.toUpstream = new Outbox(upstream);
    this.responses = new Responses(this.toClient, {
      ready: (status, hidden) => {
        this.transaction = status;
        events.ready(status, hidden);
      },
      batchFailed: () => {
        this.skipping = true;
        events.batchFailed();
      },
      parameterStatus: (name, value) => events.parameterStatus(name, value),
      outdated: () => events.outdated(),
      withheld: (process) => events.withheld(process),
      drained: () => this.wake(),
    });
  }

  /** Sends a message of the batch as it came. */
  forward(buffer: Buffer, start: number, end: number): void {
    this.toUpstream.pass(buffer, start, end);
    this.batchSent = true;
  }

  /** An Execute of such a statement has been sent; undefined is an empty one. */
  executed(kind: Control['kind'] | undefined): void {
    if (kind !== undefined) this.batchExecuted = !transactional.has(kind);
  }

  /** The end of the batch (a Sync, or a query, which is a batch of its own) has been sent. */
  endBatch(): (() => void) | undefined {
    this.batchSent = false;
    this.batchExecuted = false;
    return this.#events.batchEnded();
  }

  flush(): void {
    this.toClient.flush();
    if (!this.toUpstream.flush()) this.#client.pause();
  }

  /** Answers with an error, as if the server had; with `inFailed` where the transaction turns out to have failed before. */
  refuse(error: Buffer, mode: Mode, inFailed = error): void {
    // The batch has its error already.
    if (mode === 'extended' && this.skipping) return;
    if (this.responses.empty && !this.batchSent && this.transaction !== 'T') {
      if (this.dropsUnnamed) this.#events.unnamedDropped()();
      this.toClient.push(error);
      if (mode === 'query') this.toClient.push(codec.readyForQuery(this.transaction));
      else this.skipping = true;
      return;
    }
    const dropped = this.dropsUnnamed ? this.#events.unnamedDropped() : undefined;
    this.fail(error, inFailed, ({ skipped }) => {
      if (skipped === undefined) dropped?.();
    });
    if (mode === 'extended') {
      this.skipping = true;
      return;
    }
    this.toUpstream.push(codec.sync);
    this.responses.expectSync(this.endBatch());
  }

  /** Has the server fail at this place of the batch, with this error for the client. */
  fail(error: Buffer, inFailed: Buffer | undefined, ended: (end: ExpectationEnd) => void): void {
    this.toUpstream.push(codec.parse(this.dropsUnnamed ? '' : this.own, `select "${this.own}: refused by policy"`));
    this.batchSent = true;
    this.responses.expect({ kind: 'parse', replacement: error, ...(inFailed && { inFailed }), ended });
  }

  /**
   * Has a server say so whose clock (statement_timeout) has run out in the midst of a batch: while it reads, it says nothing,
   * and fails with the next message. A Flush is one, and does nothing else.
   */
  poke(): void {
    if (this.over || this.skipping || !this.batchSent) return;
    this.toUpstream.push(codec.flush);
    this.toUpstream.flush();
  }

  /** Resolves when the server has answered everything. */
  drained(): Promise<void> {
    if (this.responses.empty) return Promise.resolve();
    if (this.batchSent) this.toUpstream.push(codec.flush);
    this.flush();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  wake(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  /**
   * A read of the gateway's own in the client's session, at a message boundary and unseen by the client. Rejects with
   * AskFailed.
   */
  async ask(
    sql: string,
    parameters: readonly (string | null)[],
    { inFailed = false, tells = false, interpreted = false }: AskOptions = {},
  ): Promise<(string | null)[][]> {
    await this.drained();
    if (this.over) throw new AskFailed(sqlstates.ended, 'the session has ended', false);
    if (this.batchSent && this.skipping) throw new AskFailed(sqlstates.failedTransaction, aborted, false);
    if (this.transaction === 'E' && !inFailed) throw new AskFailed(sqlstates.failedTransaction, aborted, true);
    return new Promise((resolve, reject) => {
      const rows: (string | null)[][] = [];
      let failure: ServerError | undefined;
      const failed = ({ error }: { error?: ServerError | undefined }) => {
        failure ??= error;
      };
      const done = () => {
        this.#leftOver = failure !== undefined;
        if (failure === undefined) resolve(rows);
        else reject(new AskFailed(failure.code, failure.message, true));
      };
      // Inside a batch a Sync would end the client's implicit transaction: a Flush brings the answer as well.
      const inBatch = this.batchSent;
      const name = this.own;
      // Of a read that failed on its way the server may have statement and portal still.
      if (this.#leftOver) {
        for (const left of [codec.closePortal(name), codec.closeStatement(name)]) {
          this.toUpstream.push(left);
          this.responses.expect({ kind: 'close', hidden: true });
        }
        this.#leftOver = false;
      }
      // What is local to the transaction ends with it: in one that goes on, it is put back at once.
      const goesOn = inBatch || this.transaction === 'T';
      const before = interpreted ? [compileNothing] : [];
      const after = interpreted && goesOn ? [compileAgain] : [];
      const last = after.at(-1) ?? sql;
      for (const text of [...before, sql, ...after]) {
        this.toUpstream.push(
          Buffer.concat([
            codec.parse(name, text),
            codec.bind(name, name, text === sql ? parameters : []),
            codec.execute(name),
            codec.closePortal(name),
            codec.closeStatement(name),
          ]),
        );
        const row = (values: (string | null)[]): void => void (text === sql && rows.push(values));
        this.responses.expect({ kind: 'parse', hidden: true, tells, ended: failed });
        this.responses.expect({ kind: 'bind', hidden: true, tells, ended: failed });
        this.responses.expect({ kind: 'execute', hidden: true, tells, row, ended: failed });
        this.responses.expect({ kind: 'close', hidden: true, ended: failed });
        this.responses.expect({
          kind: 'close',
          hidden: true,
          ended: (end) => {
            failed(end);
            if (inBatch && text === last) done();
          },
        });
      }
      this.toUpstream.push(inBatch ? codec.flush : codec.sync);
      if (!inBatch) this.responses.expect({ kind: 'sync', hidden: true, ended: done });
      this.toUpstream.flush();
    });
  }

  /** The server could not be asked: the client's statement fails with what the server said to that. */
  askFailed(error: AskFailed, mode: Mode): void {
    const response = failureResponse(new StatementError(error.sqlstate, error.message));
    if (!this.skipping) {
      this.refuse(response, mode);
      return;
    }
    // The read stood in the client's batch, which has failed with it: the server skips up to a Sync already. Where the
    // error was the client's own, it has been told.
    if (!error.hidden) return;
    this.toClient.push(response);
    if (mode === 'query') {
      this.skipping = false;
      this.toUpstream.push(codec.sync);
      this.responses.expectSync(this.endBatch());
    }
  }
}

export interface AskOptions {
  /** It ends a failed transaction, or goes back in one: the server looks at it there. */
  readonly inFailed?: boolean;
  /** What the server says of it goes where answers go. */
  readonly tells?: boolean;
  /** It is planned without compiling it (jit), whatever the session's setting is. */
  readonly interpreted?: boolean;
}

/**
 * Reads of the catalog have large plans, whose cost the server overestimates by far: where it compiles (jit, on by default), it would spend
 * seconds on what runs in a millisecond. What is put back is the client's value, which the end of the transaction finds as if it had never been
 * another. Servers before 11 have no such setting.
 */
const compileNothing = `select case when pg_catalog.current_setting('jit', true) operator(pg_catalog.=) 'on'
  then pg_catalog.set_config('sallyport.jit', pg_catalog.set_config('jit', 'off', true), true) end`;
const compileAgain = `select case when pg_catalog.current_setting('sallyport.jit', true) operator(pg_catalog.=) 'off'
  then pg_catalog.set_config('sallyport.jit', pg_catalog.set_config('jit', 'on', true), true) end`;

const transactional: ReadonlySet<Control['kind']> = new Set([
  'begin',
  'commit',
  'rollback',
  'savepoint',
  'release',
  'rollback_to',
  'prepare_transaction',
]);

const aborted = 'current transaction is aborted, commands ignored until end of transaction block';

export class AskFailed extends Error {
  readonly sqlstate: string;
  /** True where the server said so to the gateway's own read: the client has not heard of it. */
  readonly hidden: boolean;
  constructor(sqlstate: string, message: string, hidden: boolean) {
    super(message);
    this.sqlstate = sqlstate;
    this.hidden = hidden;
  }
}
