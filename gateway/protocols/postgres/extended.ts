import { ProtocolError } from '../../errors.js';
import * as codec from './codec.js';
import { frontend, type FrameReader } from './codec.js';
import { failureResponse, sqlstates } from './enforce.js';
import type { Awaitable, Exchange } from './exchange.js';
import type { Judge } from './judge.js';
import type { Portal, Prepared } from './names.js';
import type { Namespace } from './namespace.js';
import type { Expectation, ExpectationEnd } from './responses.js';
import type { Template } from './statement.js';
import type { Submission } from '../../protocol.js';

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
  /** The server is in copy-in mode. */
  copyIn(): void;
  /** What is returned resolves when the server has said whether it wants CopyData, or that the COPY is over. */
  untilCopyIsClear(): Promise<void>;
  /** Every Execute ends with this, whatever came of it. */
  executed(): void;
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

  constructor(parts: ExtendedParts) {
    this.#parts = parts;
    this.#exchange = parts.exchange;
    this.#names = parts.names;
    this.#judge = parts.judge;
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
    return this.#judge.read(text, 'extended', (template) => {
      const verdict = this.#judge.prepare(template, message.types);
      if (verdict === undefined) return;
      const prepared: Prepared = {
        template,
        origin: text,
        types: message.types,
        kept: undefined,
        recorded: false,
      };
      if (verdict === 'keep') {
        prepared.kept = Buffer.from(buffer.subarray(start, end));
        this.#names.statementSent(message.name, prepared);
        this.#names.statementMade(message.name, prepared);
        this.#exchange.responses.answer(codec.parseComplete);
        return;
      }
      if (message.name === '') {
        this.#unexecuted = this.#unexecuted === none ? [prepared] : [...this.#unexecuted, prepared];
        this.#sendParse('', prepared, buffer, start, end, false);
        return;
      }
      return this.#then(this.#judge.record(prepared), (recorded) => {
        if (recorded) this.#sendParse(message.name, prepared, buffer, start, end, false);
      });
    });
  }

  #sendParse(name: string, prepared: Prepared, buffer: Buffer, start: number, end: number, hidden: boolean): void {
    this.#exchange.forward(buffer, start, end);
    this.#names.statementSent(name, prepared);
    this.#exchange.responses.expect({
      kind: 'parse',
      hidden,
      tells: true,
      ended: ({ error, skipped }) => {
        if (error === undefined && skipped === undefined) this.#names.statementMade(name, prepared);
        // The server forgets the unnamed statement before it looks at its successor.
        else if (error !== undefined && name === '') this.#names.statementMade(name, undefined);
      },
    });
  }

  #bind(frame: FrameReader): Awaitable {
    const { buffer, start, end } = frame;
    const message = codec.decodeBind(frame);
    if (!this.#acceptable(message.portal)) return;
    return this.#then(this.#names.statement(message.statement, 'extended'), (prepared) => {
      if (prepared === undefined) return;
      // Names are looked up by the server at Bind: what they mean by now is what will run.
      return this.#judge.understand(prepared.template.text, 'extended', (template) => {
        const portal: Portal = { prepared, template, values: message.values, formats: message.formats };
        const { kept } = prepared;
        if (kept === undefined) {
          if (this.#judge.sameNames(prepared, template, 'extended')) {
            this.#sendBind(message.portal, portal, buffer, start, end);
          }
          return;
        }
        return this.#then(this.#judge.inner(template, 'extended'), (judged) => {
          if (judged === undefined || !this.#judge.wouldAllow(judged, portal)) return;
          prepared.kept = undefined;
          prepared.template = template;
          this.#sendParse(message.statement, prepared, kept, 0, kept.length, true);
          this.#sendBind(message.portal, portal, buffer, start, end);
        });
      });
    });
  }

  #sendBind(name: string, portal: Portal, buffer: Buffer, start: number, end: number): void {
    this.#exchange.forward(buffer, start, end);
    this.#names.portalSent(name, portal);
    this.#exchange.responses.expect({
      kind: 'bind',
      ended: ({ error, skipped }) => {
        if (error === undefined && skipped === undefined) this.#names.portalMade(name, portal);
      },
    });
  }

  #describe(frame: FrameReader): Awaitable {
    const { buffer, start, end } = frame;
    const { what, name } = codec.decodeNamed(frame);
    if (what === 'P') {
      return this.#then(this.#names.portal(name, 'extended'), (portal) => {
        if (portal === undefined) return;
        this.#exchange.forward(buffer, start, end);
        this.#exchange.responses.expect({ kind: 'describe' });
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
          if (!this.#judge.sameNames(prepared, template, 'extended')) return;
          this.#exchange.forward(buffer, start, end);
          this.#exchange.responses.expect({
            kind: 'describe',
            parameterTypes: (types) => {
              prepared.types = types;
            },
          });
        });
      });
    });
  }

  #execute(frame: FrameReader): Awaitable {
    const { buffer, start, end } = frame;
    const name = codec.decodeExecute(frame);
    return this.#then(this.#names.portal(name, 'extended'), (portal) => {
      if (portal === undefined) return;
      const { template } = portal;
      return this.#then(this.#judge.inner(template, 'extended'), (judged) => {
        if (judged === undefined) return;
        return this.#judge.submit(judged, portal, 'extended', (submission) => {
          portal.prepared.recorded = true;
          this.#exchange.forward(buffer, start, end);
          this.#exchange.executed(template.statements[0]?.control.kind);
          this.#names.announce(template);
          this.#exchange.responses.expect(new Executing(submission, template, this.#parts));
          if (template.statements[0]?.control.kind === 'copy_in') return this.#parts.untilCopyIsClear();
        });
      });
    });
  }

  #close(frame: FrameReader): Awaitable {
    const { what, name } = codec.decodeNamed(frame);
    if (!this.#acceptable(name)) return;
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
      exchange.endBatch()?.();
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
      exchange.responses.expectSync(exchange.endBatch());
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

/** What an Execute is answered with. A class, as there is one for every statement: its methods are made once. */
class Executing implements Expectation {
  readonly kind = 'execute';
  readonly #submission: Submission;
  readonly #template: Template;
  readonly #parts: ExtendedParts;

  constructor(submission: Submission, template: Template, parts: ExtendedParts) {
    this.#submission = submission;
    this.#template = template;
    this.#parts = parts;
  }

  completed(_index: number, _tag: string, suspended: boolean): void {
    if (!suspended) this.#parts.names.ran(this.#template.statements[0], this.#template.text);
  }

  copyIn(): void {
    this.#parts.copyIn();
  }

  ended(end: ExpectationEnd): void {
    this.#parts.judge.settle(this.#submission, end);
    this.#parts.executed();
  }
}
