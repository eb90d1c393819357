import { Withheld } from '../effect/withheld.js';
import * as codec from '../codec.js';
import { failureResponse } from '../enforce.js';
import type { Permit } from '../judging/permit.js';
import { StatementError, type Template } from '../judging/statement.js';
import type { Look } from '../sql/look.js';
import { tooMuch } from './behind.js';
import { AskFailed, type Awaitable } from './exchange.js';
import type { ExpectationEnd } from './expectation.js';
import type { Limiting } from './limiting.js';
import { namesChanged } from './looking.js';
import { unlimited } from './limits.js';
import type { SimpleParts } from './simple.js';

/**
 * A query string as it is, where messages of the extended protocol would be answered otherwise: the catalog is compared before it and once
 * more behind it, in one transaction, before anybody hears what came of it. Where none is open, the gateway begins one and ends it.
 */
export function sendWhole(parts: SimpleParts, template: Template, permit: Permit, look: Look): Awaitable {
  return new Whole(parts, template, permit, look).send();
}

class Whole {
  readonly #parts: SimpleParts;
  readonly #template: Template;
  readonly #permit: Permit;
  readonly #look: Look;
  readonly #kept = new Withheld();
  /** The transaction is the gateway's own. */
  readonly #isOwn: boolean;

  constructor(parts: SimpleParts, template: Template, permit: Permit, look: Look) {
    this.#parts = parts;
    this.#template = template;
    this.#permit = permit;
    this.#look = look;
    this.#isOwn = parts.exchange.transaction === 'I';
  }

  async send(): Promise<void> {
    const { exchange, names } = this.#parts;
    names.querySent();
    names.announce(this.#template, this.#permit.leaving);
    if (this.#isOwn) {
      exchange.toUpstream.push(codec.query('begin'));
      exchange.responses.expect({ kind: 'query', hidden: true });
    }
    const before = await this.#differs(this.#look, false);
    if (before !== undefined) return this.#fail(nothing, before);
    const limiting = unlimited(this.#permit.limits) ? undefined : this.#parts.limit(this.#permit);
    const end = await this.#run(limiting);
    if (end.unanswered === true) return this.#fail(end, limiting!.error());
    if (this.#kept.overflowed) return this.#fail(end, tooMuch);
    if (end.error !== undefined) return this.#fail(end, this.#kept.take());
    const behind = await this.#differs(this.#permit.lookBehind?.() ?? this.#look, true);
    if (behind !== undefined) return this.#fail(end, behind);
    return this.#isOwn ? this.#commit(end) : this.#done(end, this.#kept.take());
  }

  /** The error where something is otherwise than it was judged by. */
  async #differs(look: Look, hasRun: boolean): Promise<Buffer | undefined> {
    const { looking, present } = this.#parts;
    const { reached } = this.#permit;
    try {
      if (!(await looking.ask(look))) return failureResponse(namesChanged);
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      return failureResponse(new StatementError(error.sqlstate, error.message));
    }
    return hasRun && present.isToBeAsked(reached) ? present.differs(reached) : undefined;
  }

  async #run(limiting: Limiting | undefined): Promise<ExpectationEnd> {
    const { exchange, names } = this.#parts;
    const { text, statements } = this.#template;
    const { leaving, guard } = this.#permit;
    exchange.responses.divert(this.#kept);
    const end = await new Promise<ExpectationEnd>((ended) => {
      exchange.toUpstream.push(codec.query(leaving.text ?? text));
      exchange.responses.expect({
        kind: 'query',
        ready: false,
        guard,
        meter: limiting?.meter,
        completed: (index) => names.ran(statements[index], text, leaving),
        ...(limiting === undefined ? {} : { overrun: () => limiting.error() }),
        ended: (result) => {
          exchange.responses.divert(undefined);
          ended(result);
        },
      });
      exchange.flush();
    });
    limiting?.ended();
    await limiting?.over;
    return end;
  }

  #commit(end: ExpectationEnd): Promise<void> {
    const words = new Withheld();
    return this.#finish('commit', words, ({ error }) => {
      // What fails with the commit is said in the place of the end.
      if (error === undefined) this.#done(end, Buffer.concat([this.#kept.take(), words.take()]));
      else this.#done({ ...end, error }, words.take());
    });
  }

  /** The transaction fails with this. */
  async #fail(end: ExpectationEnd, error: Buffer): Promise<void> {
    const { exchange } = this.#parts;
    const failed = { ...end, error: end.error ?? failure };
    if (this.#isOwn) return this.#finish('rollback', new Withheld(), () => this.#done(failed, error));
    if (exchange.over || exchange.transaction !== 'T') return this.#done(failed, error);
    this.#settle(failed);
    exchange.refuse(error, 'query');
  }

  #finish(how: 'commit' | 'rollback', words: Withheld, ended: (end: ExpectationEnd) => void): Promise<void> {
    const { exchange } = this.#parts;
    if (exchange.over) {
      ended({ ...nothing, error: failure });
      return Promise.resolve();
    }
    exchange.responses.divert(words);
    return new Promise((resolve) => {
      exchange.toUpstream.push(codec.query(how));
      exchange.responses.expect({
        kind: 'query',
        hidden: true,
        tells: true,
        ended: (end) => {
          exchange.responses.divert(undefined);
          ended(end);
          resolve();
        },
      });
      exchange.flush();
    });
  }

  #done(end: ExpectationEnd, answer: Buffer): void {
    const { exchange, names } = this.#parts;
    this.#settle(end);
    if (exchange.over) return;
    exchange.toClient.push(answer);
    exchange.toClient.push(codec.readyForQuery(exchange.transaction));
    if (exchange.transaction === 'I') names.idle();
    exchange.flush();
  }

  #settle(end: ExpectationEnd): void {
    const { exchange, names, judge } = this.#parts;
    exchange.endBatch()?.();
    names.queryAnswered();
    judge.outstanding.settle(this.#permit.submission, end, true);
  }
}

const nothing: ExpectationEnd = { rows: 0, bytes: 0, tag: '' };
const failure = { code: '40001', message: 'the catalog has changed' };
