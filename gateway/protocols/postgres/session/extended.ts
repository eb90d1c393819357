import { ProtocolError } from '../../../errors.js';
import * as codec from '../codec.js';
import { frontend, type FrameReader } from '../codec.js';
import { failureResponse, sqlstates } from '../enforce.js';
import type { Awaitable, Exchange } from './exchange.js';
import { describing, portalAhead } from './ahead.js';
import type { Held } from '../judging/holding.js';
import type { Judge } from '../judging/judge.js';
import type { Portal, Prepared, Received } from './names.js';
import type { Namespace } from './namespace.js';
import type { Present } from './present.js';
import { asItCame, type Leaving } from '../enforcing/leaving.js';
import { Others } from './others.js';
import { unlimited } from './limits.js';
import type { Limiting } from './limiting.js';
import type { Looking } from './looking.js';
import type { Permit } from '../judging/permit.js';
import { Running } from './running.js';

/**
 * The extended protocol: Parse, Bind, Describe, Execute, Close, Flush, Sync. A Parse is judged for what is known then,
 * every Execute again, with its parameters and under the policy of that moment.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 */
export interface ExtendedParts {
  readonly exchange: Exchange;
  readonly names: Namespace;
  readonly judge: Judge;
  readonly looking: Looking;
  readonly present: Present;
  /** The server is in copy-in mode. */
  copyIn(): void;
  /** What is returned resolves when the server has said whether it wants CopyData, or that the COPY is over. */
  untilCopyIsClear(): Promise<void>;
  /** Measures an execution against its limits, and stops it. */
  limit(permit: Permit): Limiting;
  /** The type of the message behind an Execute that waits; undefined where none comes soon. */
  behind(): Promise<number | undefined>;
  /** Every Execute ends with this, whatever came of it; `until` is waited for before all else. */
  executed(until?: Awaitable): void;
}

/** The server looks at no more of a name than this: two that begin alike would be one to it, and two to the gateway. */
const name_bytes_max = 63;
const none: readonly Prepared[] = [];

export class ExtendedProtocol {
  readonly #parts: ExtendedParts;
  readonly #exchange: Exchange;
  readonly #names: Namespace;
  readonly #judge: Judge;
  /** Parsed in this batch, without a name, and not executed so far. */
  #unexecuted: readonly Prepared[] = none;
  readonly #others: Others;
  readonly #running: Running;
  /** Binds of the present batch. */
  #binds = 0;

  constructor(parts: ExtendedParts) {
    this.#parts = parts;
    this.#exchange = parts.exchange;
    this.#names = parts.names;
    this.#judge = parts.judge;
    this.#others = new Others(parts.exchange, parts.names);
    this.#running = new Running(parts, (name, portal, leaving) => this.#rebind(name, portal, leaving));
  }

  message(frame: FrameReader): Awaitable {
    try {
      switch (frame.type) {
        case frontend.parse:
          return this.#parse(frame);
        case frontend.bind:
          return this.#bind(frame);
        case frontend.describe:
          return this.#describe(frame);
        case frontend.execute:
          return this.#execute(frame);
        case frontend.close:
          return this.#close(frame);
        default:
          codec.decodeEmpty(frame);
          // A Flush only matters where the server has something to flush.
          if (this.#exchange.batchSent) this.#exchange.toUpstream.pass(frame.buffer, frame.start, frame.end);
      }
    } catch (error) {
      if (!(error instanceof codec.InvalidEncoding)) throw error;
      this.#exchange.refuse(failureResponse(error), 'extended');
    }
  }

  #parse(frame: FrameReader): Awaitable {
    const { buffer, start, end } = frame;
    const message = codec.decodeParse(frame);
    const { text } = message;
    if (!this.#acceptable(message.name)) return;
    // A Parse without a name takes the one before away, whatever comes of it.
    this.#exchange.dropsUnnamed = message.name === '';
    return this.#judge.read(text, 'extended', (template) =>
      this.#then(this.#judge.prepare(template, message.types), (verdict) => {
        if (verdict === undefined) return;
        const kept = verdict === 'keep';
        const leaving = kept ? asItCame : verdict;
        const prepared: Prepared = {
          template,
          origin: leaving.text ?? text,
          types: message.types,
          declared: message.types,
          kept: undefined,
          recorded: false,
          leaving,
          other: undefined,
        };
        if (kept) {
          prepared.kept = Buffer.from(buffer.subarray(start, end));
          this.#names.statementSent(message.name, prepared);
          this.#names.statementMade(message.name, prepared);
          this.#exchange.responses.answer(codec.parseComplete);
          return;
        }
        if (message.name === '') {
          this.#unexecuted = this.#unexecuted === none ? [prepared] : [...this.#unexecuted, prepared];
          this.#sendParse('', prepared, { buffer, start, end }, false);
          return;
        }
        return this.#then(this.#judge.record(prepared), (recorded) => {
          if (recorded) this.#sendParse(message.name, prepared, { buffer, start, end }, false);
        });
      }),
    );
  }

  #sendParse(name: string, prepared: Prepared, frame: Received, hidden: boolean): void {
    const exchange = this.#exchange;
    const { leaving } = prepared;
    const { guard } = leaving;
    if (name === '') this.#others.forget(this.#names.peek(''));
    if (leaving.text === undefined) exchange.forward(frame.buffer, frame.start, frame.end);
    else this.#own(codec.parse(name, leaving.text, prepared.declared));
    this.#names.statementSent(name, prepared);
    exchange.responses.expect({
      kind: 'parse',
      hidden,
      tells: true,
      guard,
      ended: ({ error, skipped }) => {
        if (error === undefined && skipped === undefined) this.#names.statementMade(name, prepared);
        // The server forgets the unnamed statement before it looks at its successor.
        else if (error !== undefined && name === '') this.#names.statementMade(name, undefined);
      },
    });
    this.#others.describe(name, guard);
  }

  /** A message of the gateway's own in the client's batch. */
  #own(message: Buffer): void {
    this.#exchange.toUpstream.push(message);
    this.#exchange.batchSent = true;
  }

  #bind(frame: FrameReader): Awaitable {
    const { buffer, start, end } = frame;
    const message = codec.decodeBind(frame);
    if (!this.#acceptable(message.portal)) return;
    return this.#then(this.#names.statement(message.statement, 'extended'), (prepared) => {
      if (prepared === undefined) return;
      // Names are looked up by the server at Bind: what they mean by now is what will run.
      return this.#judge.understand(prepared.template.text, 'extended', (template) => {
        const { kept } = prepared;
        const other = this.#others.of(prepared);
        const portal: Portal = {
          prepared,
          template,
          values: message.values,
          formats: message.formats,
          leaving: other?.leaving ?? prepared.leaving,
          bound: { buffer, start, end },
          started: false,
          described: false,
          columns: undefined,
          used: { rows: 0, bytes: 0 },
        };
        if (kept === undefined) {
          return this.#then(this.#judge.sameNames(prepared, template, 'extended', portal), (same) => {
            if (same) this.#sendBind(message.portal, portal, other?.name);
          });
        }
        return this.#then(this.#judge.inner(template, 'extended'), (judged) => {
          if (judged === undefined) return;
          return this.#then(this.#judge.wouldLeave(judged, portal), (leaving) => {
            if (leaving === undefined) return;
            prepared.kept = undefined;
            prepared.template = template;
            prepared.leaving = leaving;
            prepared.origin = leaving.text ?? template.text;
            portal.leaving = leaving;
            this.#sendParse(message.statement, prepared, { buffer: kept, start: 0, end: kept.length }, true);
            this.#sendBind(message.portal, portal, undefined);
          });
        });
      });
    });
  }

  /** @param statement Where it is not the one that the client named. */
  #sendBind(name: string, portal: Portal, statement: string | undefined, hidden = false): void {
    const bound = portal.bound!;
    this.#binds++;
    if (statement === undefined) this.#exchange.forward(bound.buffer, bound.start, bound.end);
    else this.#own(codec.bindOther(bound, name, statement));
    this.#names.portalSent(name, portal);
    this.#exchange.responses.expect({
      kind: 'bind',
      hidden,
      tells: true,
      guard: portal.leaving.guard,
      ended: ({ error, skipped }) => {
        if (error === undefined && skipped === undefined) this.#names.portalMade(name, portal);
        else if (error !== undefined && hidden) this.#names.portalMade(name, undefined);
      },
    });
  }

  /** Masks or filters are others than at Bind, and nothing of the portal has been seen: it is made anew. */
  #rebind(name: string, portal: Portal, leaving: Leaving): void {
    const { prepared } = portal;
    const known = this.#others.of(prepared);
    const other = known?.leaving.key === leaving.key ? known : this.#others.prepare(prepared, leaving);
    if (name !== '') {
      this.#own(codec.closePortal(name));
      this.#exchange.responses.expect({ kind: 'close', hidden: true });
    }
    portal.leaving = leaving;
    portal.described = false;
    this.#sendBind(name, portal, other.name, true);
  }

  #describe(frame: FrameReader): Awaitable {
    const { buffer, start, end } = frame;
    const { what, name } = codec.decodeNamed(frame);
    if (what === 'P') {
      return this.#then(this.#names.portal(name, 'extended'), (portal) => {
        if (portal === undefined) return;
        this.#exchange.forward(buffer, start, end);
        this.#exchange.responses.expect({ kind: 'describe', guard: portal.leaving.guard, ...describing(portal) });
      });
    }
    return this.#then(this.#names.statement(name, 'extended'), (prepared) => {
      if (prepared === undefined) return;
      // What waits for its parameters cannot be described: nothing of it may be sent before they are known.
      if (prepared.kept !== undefined) {
        void this.#judge.record(prepared);
        return;
      }
      return this.#then(prepared.recorded || this.#judge.record(prepared), (recorded) => {
        if (!recorded) return;
        return this.#judge.understand(prepared.template.text, 'extended', (template) => {
          return this.#then(this.#judge.sameNames(prepared, template, 'extended'), (same) => {
            if (!same) return;
            this.#exchange.forward(buffer, start, end);
            this.#exchange.responses.expect({
              kind: 'describe',
              guard: prepared.leaving.guard,
              parameterTypes: (types) => {
                prepared.types = types;
              },
            });
          });
        });
      });
    });
  }

  #execute(frame: Received): Awaitable {
    const { buffer, start, end } = frame;
    const name = codec.decodeExecute(frame);
    return this.#then(this.#names.portal(name, 'extended'), (portal) => {
      if (portal === undefined) return;
      const { template } = portal;
      return this.#then(this.#judge.inner(template, 'extended', true), (judged) => {
        if (judged === undefined) return;
        const go = (permit: Permit): Awaitable => {
          const limited = !unlimited(permit.limits);
          // Its limits are on what it does alone: the server looks at nothing else meanwhile.
          if (!limited || this.#exchange.responses.empty)
            return this.#running.run(name, portal, permit, frameOf(buffer, start, end));
          return this.#exchange.drained().then(() => {
            if (!this.#exchange.over && !this.#exchange.skipping)
              return this.#running.run(name, portal, permit, frameOf(buffer, start, end));
            this.#judge.outstanding.skip(permit.submission);
          });
        };
        return this.#judge.submit(judged, portal, 'extended', go, this.#held(name, portal, frame));
      });
    });
  }

  /**
   * Where nothing of the batch has run, it is ended on the server before the wait, unseen by the client: so the server
   * keeps no lock of a Parse or Bind, and its time-outs do not count. The portal ends with it, and is made again.
   */
  #held(name: string, portal: Portal, { buffer, start, end }: Received): Held {
    const exchange = this.#exchange;
    const kept = frameOf(buffer, start, end);
    let unbound = false;
    return {
      began: async () => {
        // Others that were bound in the batch would end as well.
        const alone = this.#binds === 1 && portal.bound !== undefined && !portal.started;
        const inTransaction = exchange.transaction !== 'I';
        if (!exchange.batchSent || exchange.batchExecuted || exchange.skipping || !(alone || inTransaction)) return;
        exchange.toUpstream.push(codec.sync);
        const ended = this.#endBatch();
        exchange.responses.expect({ kind: 'sync', hidden: true, ...(ended === undefined ? {} : { ended }) });
        await exchange.drained();
        unbound = exchange.transaction === 'I';
      },
      again: () => {
        if (!unbound) return this.#execute(kept);
        const { prepared } = portal;
        return this.#judge.understand(prepared.template.text, 'extended', (template) => {
          const other = this.#others.of(prepared);
          const anew: Portal = { ...portal, template, leaving: other?.leaving ?? prepared.leaving };
          return this.#then(this.#judge.sameNames(prepared, template, 'extended', anew), (same) => {
            if (!same) return;
            this.#sendBind(name, anew, other?.name, true);
            return this.#execute(kept);
          });
        });
      },
      ahead: (leaving) =>
        portalAhead({
          exchange,
          names: this.#names,
          name,
          portal,
          leaving,
          frame: kept,
          unbound: () => unbound,
          other: () => this.#others.of(portal.prepared)?.name,
          behind: () => this.#parts.behind(),
        }),
    };
  }

  #endBatch(): (() => void) | undefined {
    this.#binds = 0;
    return this.#exchange.endBatch();
  }

  #close(frame: FrameReader): Awaitable {
    const { what, name } = codec.decodeNamed(frame);
    if (!this.#acceptable(name)) return;
    if (what === 'S') this.#others.forget(this.#names.peek(name));
    this.#names.closeSent(what, name);
    this.#exchange.forward(frame.buffer, frame.start, frame.end);
    this.#exchange.responses.expect({
      kind: 'close',
      ended: ({ error, skipped }) => {
        if (error === undefined && skipped === undefined) this.#names.closed(what, name);
      },
    });
  }

  sync(frame: FrameReader): Awaitable {
    codec.decodeEmpty(frame);
    const exchange = this.#exchange;
    const { buffer, start, end } = frame;
    const unexecuted = this.#unexecuted;
    this.#unexecuted = none;
    if (!exchange.batchSent && exchange.skipping && exchange.responses.empty) {
      // The whole batch was answered here: the server never heard of it.
      exchange.skipping = false;
      this.#endBatch()?.();
      exchange.toClient.push(codec.readyForQuery(exchange.transaction));
      return;
    }
    const records: Promise<boolean>[] = [];
    for (const prepared of exchange.skipping ? none : unexecuted) {
      if (prepared.recorded) continue;
      const recorded = this.#judge.record(prepared);
      if (recorded instanceof Promise) records.push(recorded);
    }
    const send = () => {
      if (exchange.over) return;
      exchange.skipping = false;
      exchange.toUpstream.pass(buffer, start, end);
      exchange.responses.expectSync(this.#endBatch());
    };
    return records.length === 0 ? send() : Promise.all(records).then(send);
  }

  /** Goes on unless the batch has failed while something was waited for: the server would skip the message then. */
  #then<T>(value: T | Promise<T>, go: (value: T) => Awaitable): Awaitable {
    if (!(value instanceof Promise)) return go(value);
    return value.then((known) => (this.#exchange.over || this.#exchange.skipping ? undefined : go(known)));
  }

  /** Whether a client may give this name to something; if not, it is refused. */
  #acceptable(name: string): boolean {
    if (name.startsWith(this.#exchange.own)) throw new ProtocolError("that name is the gateway's own");
    if (Buffer.byteLength(name) > name_bytes_max)
      return this.#refuse(sqlstates.nameTooLong, `the name "${name}" is too long`);
    if (this.#names.full)
      return this.#refuse(sqlstates.tooLong, 'this session has too many prepared statements or portals');
    return true;
  }

  #refuse(sqlstate: string, message: string): false {
    this.#exchange.refuse(codec.errorResponse({ severity: 'ERROR', sqlstate, message }), 'extended');
    return false;
  }
}

const frameOf = (buffer: Buffer, start: number, end: number): Received => ({ buffer, start, end });
