import * as codec from '../codec.js';
import type { Column } from '../enforcing/content.js';
import type { Permit } from '../judging/permit.js';
import type { Template } from '../judging/statement.js';
import type { Look } from '../sql/look.js';
import type { Reached } from '../sql/present.js';
import { Behind } from './behind.js';
import { sendCopied } from './copied.js';
import type { Awaitable } from './exchange.js';
import { unlimited } from './limits.js';
import type { Limiting } from './limiting.js';
import type { Piece } from './pieces.js';
import type { ExpectationEnd, ServerError } from './expectation.js';
import type { SimpleParts } from './simple.js';

/**
 * The statements of a query string as messages of the extended protocol. The server looks up all names of one with its Parse and Bind, and
 * holds what it found: so the catalog can be compared with what was judged between them and the Execute, which a Query leaves no room for.
 * What the client sees is what a Query is answered with.
 */
export function sendApart(
  parts: SimpleParts,
  template: Template,
  permit: Permit,
  look: Look,
  pieces: readonly Piece[],
): Awaitable {
  const { names } = parts;
  names.querySent();
  names.announce(template, permit.leaving);
  return new Apart(parts, template, permit, look, pieces).send();
}

class Apart {
  readonly #parts: SimpleParts;
  readonly #template: Template;
  readonly #permit: Permit;
  readonly #look: Look;
  readonly #pieces: readonly Piece[];
  /** The string is one execution under its limits. */
  readonly #limiting: Limiting | undefined;
  /** It says itself how transactions are isolated. */
  readonly #isolates: boolean;
  /** Of all statements. */
  #rows = 0;
  #bytes = 0;
  #tag = '';
  #error: ServerError | undefined;
  /** A limit was exceeded, and the server has finished all the same: it is to fail. */
  #isOver = false;
  /** The end of the last one: committed with the Sync, which may fail (deferred constraints, serialization), a Query says nothing before. */
  #last: Buffer | undefined;

  constructor(parts: SimpleParts, template: Template, permit: Permit, look: Look, pieces: readonly Piece[]) {
    this.#parts = parts;
    this.#template = template;
    this.#permit = permit;
    this.#look = look;
    this.#pieces = pieces;
    this.#isolates = pieces.some(({ statement }) => statement.moves.isolation === true || statement.moves.path);
    this.#limiting = unlimited(permit.limits) ? undefined : parts.limit(permit);
  }

  /** From this statement on; undefined where nothing of it has to be waited for. */
  send(at = 0): Awaitable {
    for (; at < this.#pieces.length; at++) {
      const piece = this.#pieces[at]!;
      if (piece.copiesIn) return this.#copyIn(piece, at);
      const sent = this.#sendOne(piece, at);
      if (sent instanceof Promise) return sent.then((kept) => this.#goOn(kept, at + 1));
      if (sent !== undefined || this.#limiting !== undefined) return this.#goOn(sent, at + 1);
    }
    this.#end();
  }

  readonly #ended = ({ error }: ExpectationEnd): void => void (this.#error ??= error);

  #executed(end: ExpectationEnd): void {
    this.#ended(end);
    this.#isOver ||= end.unanswered === true;
    this.#rows += end.rows;
    this.#bytes += end.bytes;
    if (end.skipped === undefined) this.#tag = end.tag;
  }

  /** What a statement that has this place is answered with. */
  #execution({ guard, statement }: Piece, at: number) {
    const limiting = this.#limiting;
    if (at > 0) limiting?.meter.start();
    return {
      kind: 'execute',
      guard,
      ...(at === this.#pieces.length - 1 ? { keep: (frame: Buffer) => void (this.#last = frame) } : {}),
      ...(limiting === undefined ? {} : { meter: limiting.meter, overrun: () => limiting.error() }),
      completed: () => this.#parts.names.ran(statement, this.#template.text, this.#permit.leaving),
    } as const;
  }

  #behind(copiesIn: boolean): Behind {
    const { exchange, looking, present } = this.#parts;
    const reached = this.#asked();
    const differs = reached === undefined ? undefined : () => present.differs(reached);
    return new Behind(exchange, looking, this.#permit.lookBehind?.() ?? this.#look, copiesIn, differs);
  }

  /** What has to be asked for beside the transaction, as it may stand now. */
  #asked(): Reached | undefined {
    const { reached } = this.#permit;
    return this.#parts.present.isToBeAsked(reached, this.#isolates) ? reached : undefined;
  }

  /** Between a Bind and its Execute. False: it has failed. */
  async #isPresent(reached: Reached): Promise<boolean> {
    const { exchange, present } = this.#parts;
    exchange.batchSent = true;
    await exchange.drained();
    if (exchange.over || this.#error !== undefined) return false;
    const failure = await present.differs(reached);
    if (exchange.over) return false;
    if (failure !== undefined) present.fail(failure, this.#ended);
    return failure === undefined;
  }

  /** What is returned is to be waited for before anything else is sent. */
  #sendOne(piece: Piece, at: number): Behind | undefined | Promise<Behind | undefined> {
    const { text, guard, hasRows, describesFirst, compared, behind, bound, copied } = piece;
    const reached = compared && !behind ? this.#asked() : undefined;
    const { exchange, looking } = this.#parts;
    const execution = this.#execution(piece, at);
    const ended = this.#ended;
    if (copied !== undefined) {
      const between = reached === undefined ? undefined : () => this.#isPresent(reached);
      const told = { how: copied, name: '', guard, look: this.#look, ended, between };
      const sent = sendCopied(exchange, looking, told, (rows) => ({
        ...execution,
        copied: rows,
        ended: (end) => this.#executed(end),
      }));
      return sent?.then(() => undefined);
    }
    const expect = exchange.responses.expect.bind(exchange.responses);
    const kept = behind ? this.#behind(false) : undefined;
    let columns: readonly Column[] | undefined;
    let first: Buffer | undefined;
    const opening = bound === undefined ? [codec.parse('', text)] : [];
    opening.push(codec.bind('', bound?.name ?? '', bound?.values ?? []));
    // An EXECUTE is answered with what the statement was prepared as; its plan may know more of a type (char's length in set operations).
    if (hasRows) opening.push(bound === undefined ? codec.describePortal('') : codec.describeStatement(bound.name));
    exchange.toUpstream.push(Buffer.concat(opening));
    if (bound === undefined) expect({ kind: 'parse', hidden: true, tells: true, guard, ended });
    expect({ kind: 'bind', hidden: true, tells: true, guard, ended });
    if (hasRows)
      expect({
        kind: 'describe',
        rowsOnly: true,
        guard,
        described: (described) => (columns = described),
        ...(describesFirst ? {} : { keep: (frame: Buffer) => void (first = frame) }),
        ended,
      });
    const run = (): Behind | undefined => {
      if (compared)
        looking.send(this.#look, (end) => {
          ended(end);
          kept?.before(end);
        });
      exchange.toUpstream.push(ran);
      expect({
        ...execution,
        columns: () => columns,
        ahead: () => {
          const said = first;
          first = undefined;
          return said;
        },
        ended: (end) => {
          this.#executed(end);
          kept?.ran(end);
        },
      });
      expect({ kind: 'close', hidden: true });
      kept?.send(ended);
      return kept;
    };
    return reached === undefined ? run() : this.#isPresent(reached).then((isSame) => (isSame ? run() : undefined));
  }

  /** COPY FROM STDIN: what stands behind it is sent once its data have come to an end, which the server reads up to whatever comes. */
  #copyIn(piece: Piece, at: number): Promise<void> {
    const { exchange, looking, copying } = this.#parts;
    const { text, guard } = piece;
    const ended = this.#ended;
    const kept = this.#behind(true);
    exchange.toUpstream.push(Buffer.concat([codec.parse('', text), codec.bind('', '', [])]));
    exchange.responses.expect({ kind: 'parse', hidden: true, tells: true, guard, ended });
    exchange.responses.expect({ kind: 'bind', hidden: true, tells: true, guard, ended });
    looking.send(this.#look, ended);
    exchange.toUpstream.push(codec.execute(''));
    exchange.responses.expect({
      ...this.#execution(piece, at),
      copyIn: () => {
        kept.keep();
        copying.clear(true);
      },
      ended: (end) => {
        this.#executed(end);
        kept.ran(end);
        if (this.#error !== undefined && !this.#isOver) {
          // Data that still come are passed on up to the answer, and nobody minds them.
          exchange.skipping = true;
          this.#end();
          exchange.toUpstream.flush();
          return;
        }
        exchange.toUpstream.push(codec.closePortal(''));
        exchange.responses.expect({ kind: 'close', hidden: true });
        kept.send(ended);
        copying.clear(false, this.#goOn(kept, at + 1));
      },
    });
    return copying.untilClear();
  }

  /** Behind a statement that may have been too much: of an answer that is kept, or under its limits. */
  async #goOn(kept: Behind | undefined, next: number): Promise<void> {
    const { exchange } = this.#parts;
    exchange.batchSent = true;
    await exchange.drained();
    if (exchange.over) return;
    const failure = this.#isOver
      ? this.#limiting?.error()
      : this.#error === undefined
        ? await kept?.settle()
        : undefined;
    if (failure !== undefined) this.#parts.present.fail(failure, this.#ended);
    if (failure === undefined && this.#error === undefined && next < this.#pieces.length) {
      const more = this.send(next);
      exchange.flush();
      return more;
    }
    this.#end();
    exchange.flush();
    return this.#limiting?.over;
  }

  /** Ends the string, and settles it. */
  #end(): void {
    const { exchange, names, judge, copying } = this.#parts;
    // What has failed already is not answered any more.
    if (!exchange.skipping) {
      exchange.toUpstream.push(close);
      exchange.responses.expect({ kind: 'close', hidden: true });
    }
    exchange.skipping = false;
    exchange.toUpstream.push(codec.sync);
    const answered = exchange.endBatch();
    exchange.responses.expect({
      kind: 'sync',
      ahead: () => {
        const said = this.#error === undefined ? this.#last : undefined;
        this.#last = undefined;
        return said;
      },
      ended: (end) => {
        this.#ended(end);
        answered?.();
        names.queryAnswered();
        const outcome = { rows: this.#rows, bytes: this.#bytes, tag: this.#tag, error: this.#error };
        judge.outstanding.settle(this.#permit.submission, outcome, true);
        this.#limiting?.ended();
        copying.clear(false);
      },
    });
  }
}

const ran = Buffer.concat([codec.execute(''), codec.closePortal('')]);
const close = codec.closeStatement('');
