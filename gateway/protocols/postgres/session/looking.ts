import * as codec from '../codec.js';
import { asItCame } from '../enforcing/leaving.js';
import { isOutdated, type Guard } from '../enforcing/guard.js';
import { noKinds } from '../../../content/index.js';
import type { Judged, Permit } from '../judging/permit.js';
import { StatementError, type Interpreter, type Template } from '../judging/statement.js';
import { lookOf, type Look } from '../sql/look.js';
import { reachedBy } from '../sql/present.js';
import type { Exchange } from './exchange.js';
import type { Other, Portal, Prepared } from './names.js';
import type { Namespace } from './namespace.js';
import type { ExpectationEnd } from './expectation.js';

/**
 * Has the server compare the catalog with what a statement was judged by, as the last thing before it runs: in the client's own session and
 * transaction, in the message before its Execute. Where something is otherwise, that fails, and the Execute is skipped.
 */
export class Looking {
  readonly #exchange: Exchange;
  readonly #names: Namespace;
  readonly #interpreter: () => Interpreter;
  /** By its text: the statement that the server has for a look. */
  readonly #prepared = new Map<string, Other>();
  #count = 0;
  /** Execute and Close of its portal. */
  #run: Buffer | undefined;

  constructor(exchange: Exchange, names: Namespace, interpreter: () => Interpreter) {
    this.#exchange = exchange;
    this.#names = names;
    this.#interpreter = interpreter;
  }

  /** Sends it, for what is sent next. `ended` hears what came of it, and again where it was skipped for that. */
  send(look: Look, ended?: (end: ExpectationEnd) => void): void {
    const exchange = this.#exchange;
    const statement = this.#statement(look.failing);
    const portal = `${exchange.own}_look`;
    this.#run ??= Buffer.concat([codec.execute(portal), codec.closePortal(portal)]);
    exchange.toUpstream.push(Buffer.concat([codec.bindMade(portal, statement, valuesOf(look)), this.#run]));
    exchange.batchSent = true;
    exchange.responses.expect({
      kind: 'bind',
      hidden: true,
      tells: 'error',
      guard: telling,
      ended: (end) => {
        if (end.error !== undefined) ended?.(end);
      },
    });
    exchange.responses.expect({
      kind: 'execute',
      hidden: true,
      tells: 'error',
      guard: telling,
      ended: (end) => {
        if (end.error !== undefined && isOutdated(end.error.message)) this.#interpreter().outdated(true);
        ended?.(end);
      },
    });
    exchange.responses.expect({ kind: 'close', hidden: true });
  }

  /**
   * The same as a question of its own, for what is not bound before it runs. False: something is otherwise. Rejects with AskFailed.
   */
  async ask({ telling: sql, values }: Look): Promise<boolean> {
    const rows = await this.#exchange.ask(sql, values);
    const isSame = rows[0]?.[0] === 't';
    if (!isSame) this.#interpreter().outdated(true);
    return isSame;
  }

  #statement(text: string): string {
    const known = this.#prepared.get(text);
    if (known !== undefined && this.#names.has(known)) return known.name;
    const exchange = this.#exchange;
    if (known !== undefined) this.#close(known.name);
    // There are few texts; each names what kinds of names a statement has.
    if (this.#prepared.size >= texts_max) {
      for (const other of this.#prepared.values()) this.#close(other.name);
      this.#prepared.clear();
    }
    const other: Other = { name: `${exchange.own}_look_${String(++this.#count)}`, leaving: asItCame };
    const prepared = stub(other, text);
    this.#prepared.set(text, other);
    exchange.toUpstream.push(codec.parse(other.name, text));
    exchange.batchSent = true;
    this.#names.otherSent(prepared, other);
    exchange.responses.expect({
      kind: 'parse',
      hidden: true,
      tells: 'error',
      ended: ({ error, skipped }) => {
        if (error === undefined && skipped === undefined) this.#names.statementMade(other.name, prepared);
      },
    });
    return other.name;
  }

  #close(name: string): void {
    const exchange = this.#exchange;
    exchange.toUpstream.push(codec.closeStatement(name));
    exchange.batchSent = true;
    this.#names.closeSent('S', name);
    exchange.responses.expect({ kind: 'close', hidden: true, ended: () => this.#names.closed('S', name) });
  }
}

const encoded = new WeakMap<Look, Buffer>();

/** The same for all sessions, and for each statement of a form. */
function valuesOf(look: Look): Buffer {
  let values = encoded.get(look);
  if (values === undefined) encoded.set(look, (values = codec.bindValues(look.values)));
  return values;
}

export const namesChanged = new StatementError(
  '40001',
  'the meaning of a name has changed since the statement was judged: send the transaction again',
);

const texts_max = 32;

/** What a look says that fails is the client's to read, in the gateway's words. */
const telling: Guard = {
  hidden: new Set(),
  details: 'drop',
  withheld: false,
  describes: true,
  lasts: false,
  content: noKinds,
  position: () => undefined,
};

/** Kinds of statements that read or write rows by names of the catalog. */
export const looked: ReadonlySet<string> = new Set([
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'copy',
  'explain',
  'execute',
  'prepare',
  'declare',
  'create_table_as',
  'create_materialized_view',
]);

/**
 * Kinds of which the server looks up names, or what views, policies and functions say, only as they run: these are compared behind them as
 * well, before anybody hears of it or it is committed. Nothing of them can have been otherwise meanwhile without another row in the catalog.
 * COPY and EXECUTE only where they are not sent as something that is bound.
 */
export const comparedBehind: ReadonlySet<string> = new Set([
  'explain',
  'declare',
  'create_table_as',
  'create_materialized_view',
  'copy',
  'execute',
]);

type Looks = Pick<Permit, 'look' | 'lookBehind' | 'reached'>;

export const noLooks: Looks = { look: undefined, lookBehind: undefined, reached: undefined };

/** What is to be looked at for an execution, with what its EXECUTEs run. A portal that has begun runs what it began with. */
export function looksOf({ template, refers }: Judged, portal: Portal | undefined): Looks {
  if (portal?.started === true || !template.statements.some(({ facts }) => looked.has(facts.kind))) return noLooks;
  const inner = refers.flatMap(({ template: referred, cursor }) => (cursor === undefined ? [referred] : []));
  const look = lookOf([template, ...inner]);
  if (look === undefined) return noLooks;
  const reached = reachedBy([template, ...inner]);
  if (!template.statements.some(({ facts }) => comparedBehind.has(facts.kind)))
    return { look, lookBehind: undefined, reached };
  return { look, lookBehind: () => behind(template, inner) ?? look, reached };
}

/** What is to be looked at behind any statement. What it makes itself is not looked for by its name. */
export function behind(template: Template, inner: readonly Template[]): Look | undefined {
  const made = template.statements.flatMap(({ facts }) => facts.relations.filter(({ access }) => access === 'define'));
  return lookOf([template, ...inner], made.map(({ name }) => name)); // prettier-ignore
}

const nothing: Template = {
  text: '',
  statements: [],
  action: 'session',
  resources: [],
  opaque: false,
  hash: '',
  recorded: '',
  parameters: 0,
};

const stub = (other: Other, text: string): Prepared => ({
  template: nothing,
  origin: text,
  types: [],
  declared: [],
  kept: undefined,
  recorded: true,
  leaving: asItCame,
  other,
});
