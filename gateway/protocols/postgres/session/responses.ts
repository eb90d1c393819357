import { ProtocolError } from '../../../errors.js';
import {
  backend,
  decodeFields,
  decodeParameterDescription,
  decodeParameterStatus,
  commandComplete,
  decodeTag,
  decodeTextRow,
  describeType,
} from '../codec.js';
import type { FrameReader, FrameView } from '../wire/frames.js';
import { noKinds, type Kinds } from '../../../content/index.js';
import {
  CopyMask,
  emptyNotification,
  maskNotice,
  maskNotification,
  maskRow,
  readColumns,
  type Column,
} from '../enforcing/content.js';
import { checkDescription, isOutdated, lasting, scrub, stricter, Unmasked, type Guard } from '../enforcing/guard.js';
import type { Expectation, ExpectationEnd, ExpectationKind, ServerError, Sink } from './expectation.js';
import type { Meter } from './limits.js';
import type { Outbox } from '../wire/outbox.js';

/**
 * What the server still has to answer, in order, and what becomes of each answer on its way to the client.
 *
 * Every message that goes upstream and is answered puts an expectation here. The server answers in order, so the first
 * expectation owns whatever comes next; an error in the extended protocol also ends every expectation up to the next
 * Sync, whose messages the server has skipped. Answers to the gateway's own messages are swallowed; answers that the
 * gateway gives itself wait for their turn among the server's.
 */
export type TransactionStatus = 'I' | 'T' | 'E';

export interface ResponseEvents {
  /** ReadyForQuery; `hidden` where it answers the gateway itself. */
  ready(status: TransactionStatus, hidden: boolean): void;
  /** The server skips everything up to a Sync that has not been sent yet. */
  batchFailed(error: ServerError): void;
  parameterStatus(name: string, value: string): void;
  /** A statement failed since a relation is no longer what it was judged as. */
  outdated(): void;
  /** Whether the client hears only that this process of the server's notifies, and not what. */
  withheld(process: number): boolean;
  /** Nothing is expected any more. */
  drained(): void;
}

/** How far a client may run ahead of the server. */
export const expectations_max = 10_000;

const plainSync: Expectation = { kind: 'sync' };
const nothing: Partial<ExpectationEnd> = {};
/** in_failed_sql_transaction */
const failedTransaction = '25P02';
/** The error of an execution that was stopped at a limit. */
export const limitError: ServerError = { code: '54000', message: 'a limit was exceeded' };
const overrun: Partial<ExpectationEnd> = { error: limitError, unanswered: true };

export class Responses {
  readonly #queue: Expectation[] = [];
  #head = 0;
  // Of the first expectation:
  #rows = 0;
  #bytes = 0;
  #index = 0;
  #tag = '';
  /** Rows have been described: the statement runs. */
  #described = false;
  #error: ServerError | undefined;
  #fatal = false;
  /** The row at hand goes out. */
  #passing = false;
  /** Of what ran in the present transaction: its end may still say something of it. */
  #transaction: Guard | undefined;

  /** Columns of the rows at hand, and the COPY at hand, where patterns are looked for in them. */
  #columns: readonly Column[] | undefined;
  #copy: CopyMask | undefined;
  /** All that is looked for in this session so far: also in what comes outside of any operation. */
  #content: Kinds = noKinds;

  readonly #client: Outbox;
  /** Where answers go: to the client, or where they are kept until they may. */
  #out: Sink;
  readonly #events: ResponseEvents;

  constructor(client: Outbox, events: ResponseEvents) {
    this.#client = client;
    this.#out = client;
    this.#events = events;
  }

  /** From now on answers are kept there; undefined: they go to the client. What the server says of itself always does. */
  divert(kept: Sink | undefined): void {
    this.#out = kept ?? this.#client;
  }

  /** The server has said its last words. */
  get fatal(): boolean {
    return this.#fatal;
  }

  get length(): number {
    return this.#queue.length - this.#head;
  }

  get empty(): boolean {
    return this.length === 0;
  }

  get full(): boolean {
    return this.length >= expectations_max;
  }

  /** Frames that may pass in parts. Rows of a hidden read are wanted whole, and those in which something is looked for. */
  streams(type: number): boolean {
    if (type !== backend.dataRow && type !== backend.copyData) return false;
    const head = this.#queue[this.#head];
    return (
      head?.hidden !== true &&
      head?.copied === undefined &&
      (head?.guard === undefined || head.guard.content === noKinds)
    );
  }

  /** What is looked for from the start: policy's answer to the connection itself. */
  search(content: Kinds): void {
    this.#content |= content;
  }

  expect(expectation: Expectation): void {
    if (expectation.guard !== undefined) this.#content |= expectation.guard.content;
    this.#queue.push(expectation);
  }

  expectSync(ended: (() => void) | undefined): void {
    this.#queue.push(ended === undefined ? plainSync : { kind: 'sync', ended });
  }

  /** The gateway's own answer, in its turn. */
  answer(message: Buffer): void {
    if (this.empty) this.#client.push(message);
    else this.#queue.push({ kind: 'local', replacement: message });
  }

  /** The connection is gone: nothing that is still expected will come. */
  abandon(error: ServerError): void {
    while (!this.empty) this.#finish({ error: this.#error ?? error });
  }

  /** One frame (or part of one) from the server. Throws ProtocolError for what no expectation explains. */
  frame(reader: FrameReader): void {
    const { type, buffer, start, end } = reader;
    const head = this.#queue[this.#head];
    switch (type) {
      case backend.dataRow:
        if (head === undefined || (head.kind !== 'query' && head.kind !== 'execute')) this.#unexpected(type);
        if (head.hidden === true) {
          head.row?.(decodeTextRow(reader));
          return;
        }
        if (head.copied !== undefined) {
          head.copied.row(reader);
          if (head.meter?.admits(head.copied.end - head.copied.start) === false) return;
          const content = head.guard?.content ?? noKinds;
          if (content !== noKinds) this.#copy ??= new CopyMask(content);
          this.#copyRow(head.copied);
          return;
        }
        if (head.meter !== undefined && !this.#admitted(reader, head.meter)) return;
        if (reader.first && this.#rows++ === 0) this.#ahead(head);
        this.#bytes += end - start;
        if (head.guard === undefined || head.guard.content === noKinds) this.#out.pass(buffer, start, end);
        else this.#searchRow(reader, head, head.guard.content);
        return;
      case backend.copyData:
        if (head === undefined || (head.kind !== 'query' && head.kind !== 'execute')) this.#unexpected(type);
        if (head.meter !== undefined && !this.#admitted(reader, head.meter)) return;
        this.#bytes += end - start;
        if (this.#copy === undefined) this.#out.pass(buffer, start, end);
        else this.#searchCopy(reader, this.#copy);
        return;
      case backend.commandComplete:
      case backend.emptyQueryResponse:
      case backend.portalSuspended:
        this.#completed(reader, head);
        return;
      case backend.parseComplete:
        return this.#simple(reader, head, 'parse');
      case backend.bindComplete:
        return this.#simple(reader, head, 'bind');
      case backend.closeComplete:
        return this.#simple(reader, head, 'close');
      case backend.parameterDescription:
        if (head?.kind !== 'describe') this.#unexpected(type);
        head.parameterTypes?.(decodeParameterDescription(reader));
        if (head.rowsOnly !== true) this.#show(reader, head);
        return;
      case backend.rowDescription:
      case backend.noData:
        if (head?.guard !== undefined && type === backend.rowDescription) checkDescription(reader, head.guard);
        if (head?.kind === 'query') this.#described = true;
        if (head?.kind === 'describe') {
          if (type === backend.rowDescription) head.described?.(readColumns(reader));
          if (type === backend.rowDescription && head.keep !== undefined)
            head.keep(Buffer.from(buffer.subarray(start, end)));
          else if (type === backend.rowDescription || head.rowsOnly !== true)
            return this.#simple(reader, head, 'describe');
          return this.#finish(nothing);
        }
        if (head?.kind !== 'query') this.#unexpected(type);
        if (type === backend.rowDescription && head.guard !== undefined && head.guard.content !== noKinds)
          this.#columns = readColumns(reader);
        this.#show(reader, head);
        return;
      case backend.copyInResponse:
        if (head?.kind !== 'query' && head?.kind !== 'execute') this.#unexpected(type);
        this.#show(reader, head);
        head.copyIn?.();
        return;
      case backend.copyOutResponse:
      case backend.copyDone:
        if (head?.kind !== 'query' && head?.kind !== 'execute') this.#unexpected(type);
        if (type === backend.copyOutResponse) this.#copyBegins(reader, head.guard);
        else this.#copyEnds(head);
        this.#show(reader, head);
        return;
      case backend.readyForQuery:
        this.#ready(reader, head);
        return;
      case backend.errorResponse:
        this.#failed(reader, head);
        return;
      case backend.noticeResponse:
        // What is said of the gateway's own messages is not the client's to read.
        if (head?.hidden !== true || head.tells === true) this.#say(reader, head);
        return;
      case backend.notificationResponse:
        if (head?.kind === 'sync') this.#ahead(head);
        if (this.#events.withheld(buffer.readInt32BE(start + 5))) this.#client.push(emptyNotification(reader));
        else if (this.#content === noKinds) this.#client.pass(buffer, start, end);
        else this.#client.push(maskNotification(reader, this.#content) ?? Buffer.from(buffer.subarray(start, end)));
        return;
      case backend.parameterStatus: {
        const { name, value } = decodeParameterStatus(reader);
        if (head?.kind === 'sync') this.#ahead(head);
        this.#client.pass(buffer, start, end);
        this.#events.parameterStatus(name, value);
        return;
      }
      default:
        this.#unexpected(type);
    }
  }

  /** A row as the CopyData that it is to the client. */
  #copyRow(row: FrameView): void {
    const { buffer, start, end } = row;
    this.#bytes += end - start;
    const may = this.#copy === undefined ? true : this.#copy.data(row);
    if (may === true) this.#out.pass(buffer, start, end);
    else if (may !== undefined) this.#out.push(may);
  }

  /** A row, searched and shortened where it lies. */
  #searchRow({ buffer, start, end }: FrameReader, head: Expectation, content: Kinds): void {
    const columns = head.columns === undefined ? this.#columns : head.columns();
    if (columns === undefined) throw new ProtocolError('the server sent a row before it described it');
    this.#out.pull(buffer, start, maskRow({ buffer, start, end }, columns, content));
  }

  #searchCopy(reader: FrameReader, copy: CopyMask): void {
    const may = copy.data(reader);
    if (may === true) this.#out.pass(reader.buffer, reader.start, reader.end);
    else if (may !== undefined) this.#out.push(may);
  }

  /** CopyOutResponse: [format: byte]… */
  #copyBegins({ buffer, start }: FrameReader, guard: Guard | undefined): void {
    const content = guard?.content ?? noKinds;
    if (content !== noKinds && buffer[start + 5] !== 0) throw new Unmasked('of a COPY in binary');
    this.#copy = content === noKinds ? undefined : new CopyMask(content);
  }

  #copyEnds({ meter }: Expectation): void {
    const rest = this.#copy?.finish();
    this.#copy = undefined;
    if (rest !== undefined && meter?.exceeded === undefined) this.#out.push(rest);
  }

  /** Another message in place of one, where there is one. */
  #replaced({ buffer, start, end }: FrameReader, other: Buffer | undefined): void {
    if (other === undefined) this.#out.pass(buffer, start, end);
    else this.#out.push(other);
  }

  #unexpected(type: number): never {
    throw new ProtocolError(`the server sent ${describeType(type)}, which nothing asked for`);
  }

  #show(reader: FrameReader, head: Expectation): void {
    if (head.hidden !== true && head.meter?.exceeded === undefined)
      this.#out.pass(reader.buffer, reader.start, reader.end);
  }

  /** What was kept of the answer's beginning. */
  #ahead(head: Expectation): void {
    const first = head.ahead?.();
    if (first !== undefined) this.#out.push(first);
  }

  /** Whether the server may have met values of the statement that this is about. */
  #isRunning(head: Expectation | undefined): boolean {
    if (head?.guard?.withheld !== true) return false;
    return head.kind === 'execute' || (head.kind === 'query' && (this.#described || !head.guard.describes));
  }

  /** An error or a notice, without what may hold masked values. */
  #say(reader: FrameReader, head: Expectation | undefined): void {
    const guard = stricter(this.#transaction, head?.guard);
    // Outside of any operation: whatever was looked for in this session.
    if (head === undefined && this.#content !== noKinds) {
      const scrubbed = guard === undefined ? undefined : scrub(reader, guard, this.#isRunning(head));
      const view = scrubbed === undefined ? reader : { buffer: scrubbed, start: 0, end: scrubbed.length };
      return this.#replaced(reader, maskNotice(view, this.#content) ?? scrubbed);
    }
    this.#replaced(reader, guard === undefined ? undefined : scrub(reader, guard, this.#isRunning(head)));
  }

  /** Whether a row, or a further part of one, may go out. One that has begun is sent whole. */
  #admitted(reader: FrameReader, meter: Meter): boolean {
    const { buffer, start, type } = reader;
    if (!reader.first) return this.#passing;
    const length = buffer.readInt32BE(start + 1);
    // The end of a binary COPY is no row: its count of fields is -1.
    const trailer = type === backend.copyData && length === 6 && buffer.readInt16BE(start + 5) === -1;
    this.#passing = meter.admits(length + 1, !trailer);
    return this.#passing;
  }

  /** One message is the whole answer. */
  #simple(reader: FrameReader, head: Expectation | undefined, kind: ExpectationKind): void {
    if (head?.kind !== kind) this.#unexpected(reader.type);
    this.#show(reader, head);
    this.#finish(nothing);
  }

  #completed(reader: FrameReader, head: Expectation | undefined): void {
    if (head === undefined || (head.kind !== 'query' && head.kind !== 'execute')) this.#unexpected(reader.type);
    this.#ahead(head);
    const { copied } = head;
    const suspended = reader.type === backend.portalSuspended;
    if (copied !== undefined && head.meter?.exceeded === undefined) {
      this.#copyEnds(head);
      this.#out.push(copied.finish());
    }
    const tag = copied === undefined ? undefined : `COPY ${String(copied.rows)}`;
    this.#tag = tag ?? (reader.type === backend.commandComplete ? decodeTag(reader) : '');
    const said = tag === undefined ? undefined : commandComplete(tag);
    if (head.kind === 'execute' && head.keep !== undefined)
      head.keep(said ?? Buffer.from(reader.buffer.subarray(reader.start, reader.end)));
    else if (said === undefined) this.#show(reader, head);
    else if (head.meter?.exceeded === undefined) this.#out.push(said);
    head.completed?.(this.#index++, this.#tag, suspended);
    if (head.kind === 'execute') this.#finish(head.meter?.exceeded === undefined ? nothing : overrun);
  }

  #ready(reader: FrameReader, head: Expectation | undefined): void {
    if (head?.kind !== 'query' && head?.kind !== 'sync') this.#unexpected(reader.type);
    const status = String.fromCharCode(reader.buffer[reader.start + 5] ?? 0);
    if (status !== 'I' && status !== 'T' && status !== 'E') {
      throw new ProtocolError(`the server is ready in a state that is none: ${JSON.stringify(status)}`);
    }
    const unanswered = head.meter?.exceeded !== undefined && this.#error === undefined;
    const shown = head.ready ?? head.hidden !== true;
    if (head.kind === 'sync' && this.#error === undefined) this.#ahead(head);
    if (shown && !unanswered) this.#out.pass(reader.buffer, reader.start, reader.end);
    this.#events.ready(status, !shown);
    this.#finish(unanswered ? overrun : this.#error === undefined ? nothing : { error: this.#error });
    if (status === 'I') this.#transaction = undefined;
  }

  #failed(reader: FrameReader, head: Expectation | undefined): void {
    const fields = decodeFields(reader);
    const error = { code: fields.get('C') ?? 'XX000', message: fields.get('M') ?? '' };
    if (head?.guard !== undefined && isOutdated(error.message)) this.#events.outdated();
    const fatal = (fields.get('V') ?? fields.get('S')) !== 'ERROR';
    // The server's last words reach the client whoever they were for.
    if (fatal) {
      this.divert(undefined);
      this.#say(reader, head);
      this.#error = error;
      this.#fatal = true;
      return;
    }
    if (head === undefined) {
      // A clock of the server ran out between two messages of a batch.
      this.divert(undefined);
      this.#say(reader, head);
      this.#events.batchFailed(error);
      return;
    }
    const exceeded = head.meter?.exceeded !== undefined;
    if (exceeded) this.#out.push(head.overrun!());
    else if (head.replacement !== undefined)
      this.#out.push((error.code === failedTransaction ? head.inFailed : undefined) ?? head.replacement);
    else if (head.hidden !== true || (head.tells ?? false) !== false) this.#say(reader, head);
    if (head.kind === 'query' || head.kind === 'sync') {
      this.#error = exceeded ? limitError : error;
      return;
    }
    this.#finish({ error: exceeded ? limitError : error }, false);
    for (;;) {
      const next = this.#queue[this.#head];
      if (next === undefined) {
        this.#events.batchFailed(error);
        return;
      }
      if (next.kind === 'sync') return;
      // A local answer among skipped messages belongs to one of them.
      this.#finish({ skipped: true }, false);
    }
  }

  #finish(end: Partial<ExpectationEnd>, locals = true): void {
    const expectation = this.#queue[this.#head]!;
    this.#queue[this.#head] = undefined as never;
    this.#head++;
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    } else if (this.#head > 1_000) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    const whole = expectation.ended !== undefined && {
      error: end.error,
      skipped: end.skipped,
      unanswered: end.unanswered,
      rows: this.#rows,
      bytes: this.#bytes,
      tag: this.#tag,
    };
    this.#rows = 0;
    this.#bytes = 0;
    this.#index = 0;
    this.#tag = '';
    this.#described = false;
    this.#error = undefined;
    this.#columns = undefined;
    this.#copy = undefined;
    const { guard } = expectation;
    if (guard?.lasts === true) this.#transaction = stricter(this.#transaction, lasting(guard));
    expectation.meter?.end();
    // Called on the expectation, which may be more than a literal.
    if (whole !== false) expectation.ended?.(whole);
    while (locals && this.#queue[this.#head]?.kind === 'local') {
      this.#out.push(this.#queue[this.#head]!.replacement!);
      this.#queue.splice(this.#head, 1);
    }
    if (this.empty) this.#events.drained();
  }
}
