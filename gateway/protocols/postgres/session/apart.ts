import * as codec from '../codec.js';
import type { Column } from '../enforcing/content.js';
import type { Permit } from '../judging/permit.js';
import type { Template } from '../judging/statement.js';
import type { Look } from '../sql/look.js';
import { Behind } from './behind.js';
import { sendCopied } from './copied.js';
import type { Awaitable } from './exchange.js';
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
  const apart = new Apart(parts, template, permit, look);
  for (let at = 0; at < pieces.length; at++) {
    const behind = apart.send(pieces[at]!, at === pieces.length - 1);
    if (behind !== undefined) return apart.goOn(behind, pieces, at + 1);
  }
  apart.end();
}

class Apart {
  readonly #parts: SimpleParts;
  readonly #template: Template;
  readonly #permit: Permit;
  readonly #look: Look;
  /** Of all statements. */
  #rows = 0;
  #bytes = 0;
  #tag = '';
  #error: ServerError | undefined;
  /** The end of the last one: committed with the Sync, which may fail (deferred constraints, serialization), a Query says nothing before. */
  #last: Buffer | undefined;

  constructor(parts: SimpleParts, template: Template, permit: Permit, look: Look) {
    this.#parts = parts;
    this.#template = template;
    this.#permit = permit;
    this.#look = look;
  }

  readonly ended = ({ error }: ExpectationEnd): void => void (this.#error ??= error);

  #executed(end: ExpectationEnd): void {
    this.ended(end);
    this.#rows += end.rows;
    this.#bytes += end.bytes;
    if (end.skipped === undefined) this.#tag = end.tag;
  }

  /** What is returned is to be waited for before anything else is sent. */
  send(piece: Piece, isLast: boolean): Behind | undefined {
    const { text, guard, hasRows, describesFirst, compared, behind, bound, copied } = piece;
    const { exchange, looking } = this.#parts;
    const execution = {
      kind: 'execute',
      guard,
      ...(isLast ? { keep: (frame: Buffer) => void (this.#last = frame) } : {}),
      completed: () => this.#parts.names.ran(piece.statement, this.#template.text, this.#permit.leaving),
    } as const;
    if (copied !== undefined) {
      const { ended } = this;
      sendCopied(exchange, looking, { how: copied, name: '', guard, look: this.#look, ended }, (rows) => ({
        ...execution,
        copied: rows,
        ended: (end) => this.#executed(end),
      }));
      return undefined;
    }
    const expect = exchange.responses.expect.bind(exchange.responses);
    const { ended } = this;
    const kept = behind ? new Behind(exchange, looking, this.#permit.lookBehind ?? this.#look) : undefined;
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
  }

  /** Behind a statement of which the answer is kept: there may be too much of it. */
  async goOn(behind: Behind, pieces: readonly Piece[], next: number): Promise<void> {
    const { exchange } = this.#parts;
    let kept: Behind | undefined = behind;
    for (let at = next; ; at++) {
      if (kept !== undefined) {
        exchange.batchSent = true;
        await exchange.drained();
        if (exchange.over) return;
        if (kept.failure !== undefined && this.#error === undefined) {
          exchange.fail(kept.failure, undefined, this.ended);
          break;
        }
      }
      const piece = pieces[at];
      if (piece === undefined || this.#error !== undefined) break;
      kept = this.send(piece, at === pieces.length - 1);
    }
    this.end();
    exchange.flush();
  }

  /** Ends the string, and settles it. */
  end(): void {
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
        this.ended(end);
        answered?.();
        names.queryAnswered();
        const outcome = { rows: this.#rows, bytes: this.#bytes, tag: this.#tag, error: this.#error };
        judge.outstanding.settle(this.#permit.submission, outcome, true);
        copying.clear(false);
      },
    });
  }
}

const ran = Buffer.concat([codec.execute(''), codec.closePortal('')]);
const close = codec.closeStatement('');
