import * as codec from '../codec.js';
import type { FrameReader } from '../codec.js';
import { failureResponse } from '../enforce.js';
import type { Leaving } from '../enforcing/leaving.js';
import type { Ahead } from '../judging/holding.js';
import type { Judge } from '../judging/judge.js';
import type { Permit } from '../judging/permit.js';
import type { Template } from '../judging/statement.js';
import type { Look } from '../sql/look.js';
import type { Copying } from './copying.js';
import { AskFailed, then, type Awaitable, type Exchange } from './exchange.js';
import type { Limiting } from './limiting.js';
import { namesChanged, type Looking } from './looking.js';
import { sendApart } from './apart.js';
import { unlimited } from './limits.js';
import type { Received } from './names.js';
import { piecesOf } from './pieces.js';
import type { Namespace } from './namespace.js';
import { sendWhole } from './whole.js';
import type { Present } from './present.js';

/**
 * The simple protocol: a Query holds a string of statements, which is judged whole before any of it leaves.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SIMPLE-QUERY
 */
export interface SimpleParts {
  readonly exchange: Exchange;
  readonly names: Namespace;
  readonly judge: Judge;
  readonly copying: Copying;
  readonly looking: Looking;
  readonly present: Present;
  /** Measures an execution against its limits, and stops it. */
  limit(permit: Permit): Limiting;
}

export class SimpleProtocol {
  readonly #parts: SimpleParts;
  readonly #exchange: Exchange;
  readonly #names: Namespace;
  readonly #judge: Judge;

  constructor(parts: SimpleParts) {
    this.#parts = parts;
    this.#exchange = parts.exchange;
    this.#names = parts.names;
    this.#judge = parts.judge;
  }

  /** A query string: judged whole before any of it leaves. */
  query(frame: FrameReader): Awaitable {
    const exchange = this.#exchange;
    if (exchange.skipping) return;
    const { buffer, start, end } = frame;
    if (!exchange.batchSent && !exchange.responses.full) return this.#judgeQuery(buffer, start, end);
    // Behind messages of a batch without its Sync: whether the server will look at it depends on how they end.
    return exchange.drained().then(async () => {
      if (exchange.skipping || exchange.over) return;
      if (exchange.batchSent && !exchange.batchExecuted) {
        // Nothing that has run in the batch waits for its end, so nothing is committed by ending it here, and the gateway's
        // own reads for the query make no transaction that the client does not know of.
        exchange.toUpstream.push(codec.sync);
        const ended = exchange.endBatch();
        exchange.responses.expect({ kind: 'sync', hidden: true, ...(ended === undefined ? {} : { ended }) });
        await exchange.drained();
        if (exchange.over) return;
      }
      return this.#judgeQuery(buffer, start, end);
    });
  }

  #judgeQuery(buffer: Buffer, start: number, end: number): Awaitable {
    const exchange = this.#exchange;
    let text: string;
    try {
      text = codec.decodeQuery({ buffer, start, end });
    } catch (error) {
      if (!(error instanceof codec.InvalidEncoding)) throw error;
      exchange.refuse(failureResponse(error), 'query');
      return;
    }
    exchange.dropsUnnamed = true;
    return this.#judge.read(text, 'query', (template) =>
      then(this.#judge.inner(template, 'query'), (judged) => {
        if (judged === undefined) return;
        const go = (permit: Permit): Awaitable => {
          const { look } = permit;
          const pieces =
            look === undefined || exchange.batchSent
              ? undefined
              : piecesOf(judged, permit, this.#names, exchange.transaction);
          const send = () => {
            if (look === undefined || pieces === undefined)
              return this.#sendQuery(template, permit, { buffer, start, end });
            return pieces === 'whole'
              ? sendWhole(this.#parts, template, permit, look)
              : sendApart(this.#parts, template, permit, look, pieces);
          };
          if (look !== undefined && pieces === undefined) return this.#lookFirst(look, permit, send);
          if (unlimited(permit.limits) || exchange.responses.empty) return send();
          // Its limits are on what it does alone: the server looks at nothing else meanwhile.
          return exchange.drained().then(() => {
            if (exchange.over) this.#judge.outstanding.skip(permit.submission);
            else return send();
          });
        };
        // What its names mean may be another thing by the time that it is approved: it is read anew.
        return this.#judge.submit(judged, undefined, 'query', go, {
          again: () => this.#judgeQuery(buffer, start, end),
          ahead: (leaving) => this.#aheadOf(template, leaving),
        });
      }),
    );
  }

  /** Looks at the catalog in a message of its own, and sends the string right after. */
  async #lookFirst(look: Look, permit: Permit, send: () => Awaitable): Promise<void> {
    const exchange = this.#exchange;
    try {
      const isSame = await this.#parts.looking.ask(look);
      if (exchange.over) return;
      const { reached } = permit;
      const { present } = this.#parts;
      const asks = isSame && present.isToBeAsked(reached);
      const failure = isSame ? (asks ? await present.differs(reached) : undefined) : failureResponse(namesChanged);
      if (exchange.over) return;
      if (failure === undefined) return await send();
      this.#judge.outstanding.skip(permit.submission);
      exchange.refuse(failure, 'query');
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      this.#judge.outstanding.skip(permit.submission);
      if (!exchange.over) exchange.askFailed(error, 'query');
    }
  }

  /** The string as it is run before it is answered. */
  #aheadOf({ text, statements }: Template, leaving: Leaving): Ahead {
    const exchange = this.#exchange;
    const sent = leaving.text ?? text;
    return {
      text: sent,
      reason: () => Promise.resolve(undefined),
      send: () =>
        new Promise((resolve) => {
          this.#names.querySent();
          exchange.toUpstream.push(codec.query(sent));
          const answered = exchange.endBatch();
          exchange.responses.expect({
            kind: 'query',
            ready: false,
            guard: leaving.guard,
            completed: (index) => this.#names.ran(statements[index], text, leaving),
            ended: (end) => {
              answered?.();
              this.#names.queryAnswered();
              resolve(end);
            },
          });
          exchange.toUpstream.flush();
        }),
      kept: () => undefined,
    };
  }

  #sendQuery(template: Template, permit: Permit, frame: Received): Awaitable {
    const exchange = this.#exchange;
    const { statements, text } = template;
    const { leaving } = permit;
    // The transaction of a batch outlives a query in its midst, on servers that say so: it ends with the Sync.
    const { batchExecuted } = exchange;
    this.#names.querySent();
    this.#names.announce(template, leaving);
    const copies = statements.some(({ control }) => control.kind === 'copy_in');
    const limiting = unlimited(permit.limits) ? undefined : this.#parts.limit(permit);
    const held = limiting !== undefined && !batchExecuted && limiting.hold(exchange, template);
    if (leaving.text === undefined) exchange.toUpstream.pass(frame.buffer, frame.start, frame.end);
    else exchange.toUpstream.push(codec.query(leaving.text));
    const answered = exchange.endBatch();
    exchange.responses.expect({
      kind: 'query',
      ...(held ? { ready: false } : {}),
      guard: permit.guard,
      meter: limiting?.meter,
      completed: (index) => this.#names.ran(statements[index], text, leaving),
      copyIn: () => this.#parts.copying.clear(true),
      ...(limiting === undefined ? {} : { overrun: () => limiting.error() }),
      ended: (result) => {
        answered?.();
        this.#names.queryAnswered();
        if (held) {
          limiting.release(exchange, result, (error) =>
            this.#judge.outstanding.settle(permit.submission, { ...result, error }, true),
          );
          return;
        }
        this.#judge.outstanding.settle(permit.submission, result, true);
        if (batchExecuted) exchange.batchSent = exchange.batchExecuted = exchange.transaction === 'T';
        if (result.unanswered === true) {
          exchange.refuse(limiting!.error(), 'query');
          exchange.toUpstream.flush();
        }
        limiting?.ended();
        this.#parts.copying.clear(false);
      },
    });
    if (copies) return this.#parts.copying.untilClear();
    if (limiting === undefined) return batchExecuted ? exchange.drained() : undefined;
    exchange.flush();
    return limiting.over;
  }
}
