import { errorResponse } from '../codec.js';
import { failureResponse, sqlstates } from '../enforce.js';
import { asItCame, madeInside, type Leaving } from '../enforcing/leaving.js';
import { AskFailed, type Exchange, type Mode } from './exchange.js';
import { Names, type Other, type Portal, type Prepared } from './names.js';
import { StatementError, type Interpreter, type Statement, type Template } from '../judging/statement.js';

const names_max = 10_000;

const refused = Symbol('refused');

/** Kinds of statements after which the server may read text in another way. A transaction's end undoes SET LOCAL. */
const settings = new Set(['set', 'reset', 'discard', 'commit', 'rollback', 'rollback_to']);

/**
 * What the names of one session mean: looked up, and refused in the client's own words where they mean nothing.
 *
 * After an operation whose effects are not known, a name may mean something else than the gateway has seen: a function
 * can prepare statements and open cursors. From then on the server's own list is asked before a name is believed.
 */
export class Namespace {
  readonly #exchange: Exchange;
  readonly #interpreter: () => Interpreter;
  readonly #statements = new Names<Prepared>(names_max);
  readonly #portals = new Names<Portal>(names_max);
  #suspect = false;
  readonly #verified = new Set<string>();
  /** Rises with each statement whose effects are not known: what was prepared before is not believed to be there. */
  #eras = 0;
  readonly #era = new WeakMap<Other, number>();
  /** Something ran since the last ReadyForQuery after which names may be others. */
  #moved = false;
  /** How the present transaction is isolated, and those that begin without saying so; undefined: not known. */
  isolation: 'read committed' | 'snapshot' | undefined;

  constructor(exchange: Exchange, interpreter: () => Interpreter) {
    this.#exchange = exchange;
    this.#interpreter = interpreter;
  }

  /** Undefined: it was refused. */
  statement(name: string, mode: Mode): Prepared | undefined | Promise<Prepared | undefined> {
    const own = name.startsWith(this.#exchange.own);
    const known = own ? undefined : this.#statements.lookup(name);
    if (known === 'unanswered') return this.#whenAnswered(() => this.statement(name, mode));
    if (this.#suspect && name !== '' && !own && !this.#verified.has(`s${name}`))
      return this.#verifyStatement(name, known, mode);
    if (known !== undefined) return known;
    const message =
      name === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${name}" does not exist`;
    this.#exchange.refuse(errorResponse({ severity: 'ERROR', sqlstate: sqlstates.noStatement, message }), mode);
    return undefined;
  }

  /** Undefined: it was refused. */
  portal(name: string, mode: Mode): Portal | undefined | Promise<Portal | undefined> {
    const known = this.#portals.lookup(name);
    if (known === 'unanswered') return this.#whenAnswered(() => this.portal(name, mode));
    if (this.#suspect && name !== '' && !this.#verified.has(`p${name}`)) return this.#verifyPortal(name, known, mode);
    if (known !== undefined) return known;
    const message = `${mode === 'query' ? 'cursor' : 'portal'} "${name}" does not exist`;
    this.#exchange.refuse(errorResponse({ severity: 'ERROR', sqlstate: sqlstates.noPortal, message }), mode);
    return undefined;
  }

  async #whenAnswered<T>(again: () => T | undefined | Promise<T | undefined>): Promise<T | undefined> {
    await this.#exchange.drained();
    return this.#exchange.over || this.#exchange.skipping ? undefined : again();
  }

  /**
   * Whether the server has, under a name of the gateway's own, what the gateway put there. Not where an unanswered batch
   * may have failed to, nor where anything may have happened since.
   */
  has(other: Other): boolean {
    const known = this.#statements.lookup(other.name);
    return typeof known === 'object' && known.other === other && this.#era.get(other) === this.#eras;
  }

  /** A statement of the gateway's own making is sent. */
  otherSent(prepared: Prepared, other: Other): void {
    this.#era.set(other, this.#eras);
    this.#statements.sent(other.name, prepared);
  }

  /** What the name means by now; undefined also where that is not known. Nothing is refused. */
  peek(name: string): Prepared | undefined {
    const known = this.#statements.lookup(name);
    return known === 'unanswered' ? undefined : known;
  }

  get full(): boolean {
    return this.#statements.full || this.#portals.full;
  }

  statementSent(name: string, prepared: Prepared): void {
    this.#statements.sent(name, prepared);
  }

  statementMade(name: string, prepared: Prepared | undefined): void {
    this.#statements.set(name, prepared);
  }

  portalSent(name: string, portal: Portal): void {
    this.#portals.sent(name, portal);
  }

  portalMade(name: string, portal: Portal | undefined): void {
    this.#portals.set(name, portal);
  }

  /** A Parse without a name, or a query, was refused: the unnamed statement goes with it once the result is called. */
  unnamedDropped(): () => void {
    this.#statements.sent('', undefined);
    return () => this.#statements.set('', undefined);
  }

  /** A query takes the unnamed statement and the unnamed portal away. */
  querySent(): void {
    this.#statements.sent('', undefined);
    this.#portals.sent('', undefined);
  }

  queryAnswered(): void {
    this.#statements.set('', undefined);
    this.#portals.set('', undefined);
  }

  closeSent(what: 'S' | 'P', name: string): void {
    (what === 'S' ? this.#statements : this.#portals).sent(name, undefined);
  }

  closed(what: 'S' | 'P', name: string): void {
    (what === 'S' ? this.#statements : this.#portals).set(name, undefined);
  }

  endBatch(): (() => void) | undefined {
    // Outside of a transaction block the batch's own transaction ends here, and takes with it what it made.
    if (this.#exchange.transaction !== 'T') this.#interpreter().transactionEnding();
    const statements = this.#statements.endBatch();
    const portals = this.#portals.endBatch();
    if (statements === undefined || portals === undefined) return statements ?? portals;
    return () => {
      statements();
      portals();
    };
  }

  /** What was found out of functions' bodies is looked at anew from here on. */
  turn(): void {
    this.#interpreter().turn();
  }

  /** The statements have been sent: from now on names are read as if they had run. */
  announce({ text, statements }: Template, leaving: Leaving): void {
    const sent = leaving.text ?? text;
    this.turn();
    for (const statement of statements) {
      const { control, facts, moves } = statement;
      switch (control.kind) {
        case 'prepare':
          this.#statements.sent(control.name, made(control.inner, sent, control.types, leaving));
          break;
        case 'declare':
          this.#portals.sent(control.name, opened(control.inner, sent, leaving));
          break;
        case 'deallocate':
          if (control.name === undefined) this.#statements.sentClear();
          else this.#statements.sent(control.name, undefined);
          break;
        case 'close':
          if (control.name === undefined) this.#portals.sentClear();
          else this.#portals.sent(control.name, undefined);
          break;
        case 'discard':
          if (control.what !== 'all') break;
          this.#statements.sentClear();
          this.#portals.sentClear();
          break;
        case 'commit':
        case 'rollback':
        case 'rollback_to':
        case 'prepare_transaction':
          this.#interpreter().transactionEnding();
          break;
        default:
      }
      if (moves.anything || settings.has(facts.kind)) this.#exchange.unsettled = true;
      if (moves.isolation === true) this.#isolates();
      if (moves.anything) {
        this.#suspect = true;
        this.#eras++;
        this.#verified.clear();
      }
      if (moves.path || moves.catalog || moves.anything) {
        // RESET ALL is among them.
        this.#isolates();
        this.#interpreter().ran(statement);
      }
    }
  }

  /** The server says that the statement has run. `text` is the string that it stood in, which left as `leaving` says. */
  ran(statement: Statement | undefined, text: string, leaving: Leaving): void {
    if (statement === undefined) return;
    const sent = leaving.text ?? text;
    const { control, moves } = statement;
    switch (control.kind) {
      case 'prepare':
        this.#statements.set(control.name, made(control.inner, sent, control.types, leaving));
        break;
      case 'declare':
        this.#portals.set(control.name, opened(control.inner, sent, leaving));
        break;
      case 'deallocate':
        if (control.name === undefined) this.#statements.clear();
        else this.#statements.set(control.name, undefined);
        break;
      case 'close':
        if (control.name === undefined) this.#portals.clear();
        else this.#portals.set(control.name, undefined);
        break;
      case 'discard':
        if (control.what !== 'all') break;
        this.#statements.clear();
        this.#portals.clear();
        break;
      case 'rollback_to':
        // What the transaction made before the savepoint is still its own.
        this.#interpreter().transactionEnding();
        this.#exchange.transaction = 'T';
        break;
      case 'rollback':
      case 'commit':
      case 'prepare_transaction':
        this.#interpreter().transactionEnded();
        // In the midst of a batch the server does not say so.
        this.#exchange.transaction = 'I';
        break;
      default:
    }
    if (moves.path || moves.catalog || moves.anything) this.#interpreter().ran(statement);
  }

  /** The server is idle: a transaction, implicit or not, is over. */
  idle(): void {
    if (!this.#moved) return;
    this.#moved = false;
    this.isolation = undefined;
    this.#interpreter().transactionEnded();
  }

  /** The server says so of the present transaction. */
  isolated(how: 'read committed' | 'snapshot'): void {
    this.isolation = how;
    if (how === 'snapshot') this.#moved = true;
  }

  #isolates(): void {
    this.isolation = undefined;
    this.#moved = true;
  }

  async #verifyStatement(name: string, known: Prepared | undefined, mode: Mode): Promise<Prepared | undefined> {
    const sql = 'select p.statement from pg_catalog.pg_prepared_statements p where p.name operator(pg_catalog.=) $1';
    const text = await this.#serverText(sql, name, mode);
    if (text === refused) return undefined;
    let prepared = known;
    if (text === undefined) prepared = undefined;
    else if (text !== known?.origin) {
      const template = await this.#adopt(text, 'prepare', mode);
      if (template === undefined) return undefined;
      prepared = made(template, text, unknownTypes, asItCame);
    }
    if (prepared?.kept === undefined) {
      this.#statements.sent(name, prepared);
      this.#statements.set(name, prepared);
    }
    this.#verified.add(`s${name}`);
    return this.statement(name, mode);
  }

  async #verifyPortal(name: string, known: Portal | undefined, mode: Mode): Promise<Portal | undefined> {
    const sql = 'select c.statement from pg_catalog.pg_cursors c where c.name operator(pg_catalog.=) $1';
    const text = await this.#serverText(sql, name, mode);
    if (text === refused) return undefined;
    let portal = known;
    if (text === undefined) portal = undefined;
    else if (known === undefined || text !== sentFor(known)) {
      const template = await this.#adopt(text, 'declare', mode);
      if (template === undefined) return undefined;
      portal = opened(template, text, asItCame);
    }
    this.#portals.sent(name, portal);
    this.#portals.set(name, portal);
    this.#verified.add(`p${name}`);
    return this.portal(name, mode);
  }

  async #serverText(sql: string, name: string, mode: Mode): Promise<string | undefined | typeof refused> {
    try {
      const rows = await this.#exchange.ask(sql, [name]);
      return rows[0]?.[0] ?? undefined;
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      this.#exchange.askFailed(error, mode);
      return refused;
    }
  }

  /** A name that came into being out of the gateway's sight: judged as the text that the server has for it. */
  async #adopt(text: string, made: 'prepare' | 'declare', mode: Mode): Promise<Template | undefined> {
    try {
      const template = await this.#interpreter().interpret(text);
      const [only] = template.statements;
      if (template.statements.length !== 1 || only === undefined) {
        throw new StatementError(sqlstates.unsupported, 'what this name stands for cannot be told');
      }
      return only.control.kind === made ? only.control.inner : template;
    } catch (error) {
      if (error instanceof AskFailed) this.#exchange.askFailed(error, mode);
      else if (error instanceof StatementError) this.#exchange.refuse(failureResponse(error), mode);
      else throw error;
      return undefined;
    }
  }
}

/** The text that the server has for a portal: of one that the client bound, it may be another than its statement's. */
const sentFor = ({ bound, leaving, template, prepared }: Portal) =>
  bound === undefined ? prepared.origin : (leaving.text ?? template.text);

/** Of a statement that was prepared out of sight nothing is known of its parameters: as good as any type. */
const unknownTypes: readonly number[] = [Number.MAX_SAFE_INTEGER];

/** What SQL's PREPARE makes. `origin` is the whole string that it stood in, as the server keeps it. */
const made = (template: Template, origin: string, types: readonly number[], leaving: Leaving): Prepared => ({
  template,
  origin,
  types,
  declared: types === unknownTypes ? [] : types,
  kept: undefined,
  recorded: true,
  leaving: madeInside(leaving),
  other: undefined,
});

/** What DECLARE makes. */
const opened = (template: Template, origin: string, leaving: Leaving): Portal => {
  const prepared = made(template, origin, [], leaving);
  return {
    prepared,
    template,
    values: [],
    formats: [],
    leaving: prepared.leaving,
    bound: undefined,
    started: true,
    described: false,
    columns: undefined,
    used: { rows: 0, bytes: 0 },
  };
};
