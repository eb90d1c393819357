import * as codec from '../codec.js';
import type { Guard } from '../enforcing/guard.js';
import type { Leaving } from '../enforcing/leaving.js';
import type { Exchange } from './exchange.js';
import type { Other, Prepared } from './names.js';
import type { Namespace } from './namespace.js';

/** Statements that stand under a name of the gateway's own at once. */
const others_max = 64;

/** Prepared statements once more, under other masks or filters than they were prepared with. */
export class Others {
  readonly #exchange: Exchange;
  readonly #names: Namespace;
  /** Those that have been prepared again, in that order. */
  readonly #prepared = new Set<Prepared>();
  #count = 0;

  constructor(exchange: Exchange, names: Namespace) {
    this.#exchange = exchange;
    this.#names = names;
  }

  /** What of the gateway's own making stands for the statement now. */
  of({ other }: Prepared): Other | undefined {
    return other !== undefined && this.#names.has(other) ? other : undefined;
  }

  /** The same statement under other masks or filters, under a name of the gateway's own. */
  prepare(prepared: Prepared, leaving: Leaving): Other {
    this.forget(prepared);
    const other: Other = { name: `${this.#exchange.own}_${++this.#count}`, leaving };
    prepared.other = other;
    this.#send(codec.parse(other.name, leaving.text ?? prepared.template.text, prepared.declared));
    this.#names.otherSent(prepared, other);
    this.#exchange.responses.expect({
      kind: 'parse',
      hidden: true,
      tells: true,
      guard: leaving.guard,
      ended: ({ error, skipped }) => {
        if (error === undefined && skipped === undefined) this.#names.statementMade(other.name, prepared);
      },
    });
    this.describe(other.name, leaving.guard);
    this.#prepared.add(prepared);
    for (const oldest of this.#prepared) {
      if (this.#prepared.size <= others_max) break;
      this.forget(oldest);
    }
    return other;
  }

  forget(prepared: Prepared | undefined): void {
    if (prepared?.other === undefined) return;
    const { name } = prepared.other;
    prepared.other = undefined;
    this.#prepared.delete(prepared);
    this.#send(codec.closeStatement(name));
    this.#names.closeSent('S', name);
    this.#exchange.responses.expect({ kind: 'close', hidden: true, ended: () => this.#names.closed('S', name) });
  }

  /** Has the server describe what was rewritten, before anything of it runs: the guard reads it. */
  describe(statement: string, guard: Guard | undefined): void {
    if (guard === undefined || guard.hidden.size === 0) return;
    this.#send(codec.describeStatement(statement));
    this.#exchange.responses.expect({ kind: 'describe', hidden: true, tells: true, guard });
  }

  #send(message: Buffer): void {
    this.#exchange.toUpstream.push(message);
    this.#exchange.batchSent = true;
  }
}
