import type { Decision, Operation } from '#engine';
import type { Session as GatewaySession, Submission } from '../../../protocol.js';
import * as codec from '../codec.js';
import { Reading } from '../effect/reading.js';
import { denial, failedTransaction, failureResponse, sqlstates } from '../enforce.js';
import { digest, type Leaving } from '../enforcing/leaving.js';
import { withInner, type Place } from '../operation.js';
import { AskFailed, then, type Awaitable, type Exchange, type Mode } from '../session/exchange.js';
import type { Claim } from '../session/claim.js';
import type { Portal, Prepared } from '../session/names.js';
import type { Namespace } from '../session/namespace.js';
import type { Present } from '../session/present.js';
import type { Waiting } from '../session/waiting.js';
import { looksOf, noLooks } from '../session/looking.js';
import { Holding, type Held } from './holding.js';
import { hasForeignType, Operations } from './operations.js';
import { Outstanding } from './outstanding.js';
import {
  after,
  Enforcer,
  limitsOf,
  plainly,
  unrestrained,
  type Enforcement,
  type Judged,
  type Permit,
  type Reference,
} from './permit.js';
import { StatementError, type Control, type Interpreter, type Moves, type Template } from './statement.js';

export interface JudgeParts {
  readonly exchange: Exchange;
  readonly names: Namespace;
  readonly claim: Claim;
  readonly session: GatewaySession;
  readonly place: Place;
  readonly waiting: Waiting;
  readonly interpreter: () => Interpreter;
  readonly present: Present;
  /** Whether it is sure that the server reads this text as the gateway does. */
  readonly readable: (text: string) => boolean;
  /** Stops what the server runs for this session; resolves when the server has been told. */
  readonly cancel: () => Promise<void>;
}

/** From a query string to a decision: interpreted, looked up, judged, recorded; or refused in the client's own words. */
export class Judge {
  readonly #exchange: Exchange;
  readonly #names: Namespace;
  readonly #claim: Claim;
  readonly #session: GatewaySession;
  readonly #interpreter: () => Interpreter;
  readonly #readable: (text: string) => boolean;
  readonly #enforcer: Enforcer;
  readonly #operations: Operations;
  readonly #holding: Holding;
  /** What was let through and is not answered yet. */
  readonly outstanding: Outstanding;

  constructor({ exchange, names, claim, session, place, waiting, interpreter, present, readable, cancel }: JudgeParts) {
    this.#exchange = exchange;
    this.#names = names;
    this.#claim = claim;
    this.#session = session;
    this.#interpreter = interpreter;
    this.#readable = readable;
    this.#enforcer = new Enforcer(session, place, interpreter, readable);
    this.#operations = new Operations(exchange, place);
    this.outstanding = new Outstanding(exchange, claim);
    this.#holding = new Holding({
      exchange,
      names,
      session,
      waiting,
      enforcer: this.#enforcer,
      operations: this.#operations,
      outstanding: this.outstanding,
      reading: () => new Reading(session, place, interpreter),
      cancel,
      outdated: () => interpreter().outdated(true),
      present,
      deny: (decision, template, mode) => this.deny(decision, template, mode),
    });
  }

  /** Goes on with the template of a string from the client; what cannot be interpreted is answered here. */
  read(text: string, mode: Mode, go: (template: Template) => Awaitable): Awaitable {
    const exchange = this.#exchange;
    if (exchange.unsettled && !exchange.responses.empty) {
      return exchange.drained().then(() => {
        exchange.unsettled = false;
        if (!exchange.over && !(mode === 'extended' && exchange.skipping)) return this.read(text, mode, go);
      });
    }
    if (this.#readable(text)) return this.understand(text, mode, go);
    exchange.refuse(failureResponse(new codec.InvalidEncoding()), mode);
  }

  /** The same for a string that the server has already. */
  understand(text: string, mode: Mode, go: (template: Template) => Awaitable): Awaitable {
    if (this.#claim.stale) return this.#readClaim(mode, () => this.understand(text, mode, go));
    const exchange = this.#exchange;
    const failed = (error: unknown): void => {
      if (error instanceof AskFailed) exchange.askFailed(error, mode);
      else if (error instanceof StatementError) exchange.refuse(failureResponse(error), mode);
      else throw error;
    };
    let template: Template | Promise<Template>;
    try {
      if (exchange.transaction === 'E' && exchange.responses.empty && !this.#interpreter().endsTransaction(text)) {
        exchange.refuse(failedTransaction, mode);
        return;
      }
      template = this.#interpreter().interpret(text);
    } catch (error) {
      return failed(error);
    }
    if (!(template instanceof Promise)) return go(template);
    return template.then(
      (known) => {
        // The catalog was asked at a boundary: what came before is answered, and may have failed.
        if (exchange.over || (mode === 'extended' && exchange.skipping)) return;
        return go(known);
      },
      (error: unknown) => {
        if (!exchange.over) failed(error);
      },
    );
  }

  /** What was sent may have set the session's prompt: it is known before anything else is judged. */
  async #readClaim(mode: Mode, go: () => Awaitable): Promise<void> {
    try {
      await this.#claim.read();
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      if (!this.#exchange.over) this.#exchange.askFailed(error, mode);
      return;
    }
    if (this.#exchange.over || this.#exchange.skipping) return;
    return go();
  }

  /**
   * The template as it is judged: an EXECUTE as the statements that it runs, a FETCH only if its cursor's statement would
   * still be allowed. Undefined where it was refused. `isBound`: it was understood when its portal was bound.
   */
  inner(template: Template, mode: Mode, isBound = false): Judged | undefined | Promise<Judged | undefined> {
    if (isBound && template.fleeting === true)
      return this.#doesStill(template, mode).then((does) => (does ? this.inner(template, mode) : undefined));
    const refers = template.statements.some(({ control }) => control.kind === 'execute' || control.kind === 'fetch');
    return refers ? this.#resolveInner(template, mode) : plainly(template);
  }

  async #resolveInner(template: Template, mode: Mode): Promise<Judged | undefined> {
    const inner: Template[] = [];
    const refers: Reference[] = [];
    const unsettled = this.#interpreter().isUnsettled;
    for (const [index, { control }] of template.statements.entries()) {
      const names = control.kind === 'execute' || control.kind === 'fetch';
      if (
        names &&
        template.statements
          .slice(0, index)
          .some(({ moves, control: { kind } }) => isMoved(moves) || (unsettled && takesBack.has(kind)))
      ) {
        this.#exchange.refuse(failureResponse(cannotTell(control.name)), mode);
        return undefined;
      }
      if (control.kind === 'execute' && !madeEarlier(template, index, 'prepare', control.name)) {
        const prepared = await this.#names.statement(control.name, mode);
        if (prepared === undefined) return undefined;
        const known = await this.#reinterpret(prepared.template.text, mode);
        if (known === undefined) return undefined;
        if (!(await this.sameNames(prepared, known, mode))) return undefined;
        inner.push(hasForeignType(prepared.types) ? opaque(known) : known);
        refers.push({ template: known, had: prepared.leaving });
      } else if (control.kind === 'fetch' && !madeEarlier(template, index, 'declare', control.name)) {
        const portal = await this.#names.portal(control.name, mode);
        if (portal === undefined || !(await this.#doesStill(portal.template, mode))) return undefined;
        // A cursor's query runs as it is fetched from: what it moves counts for all that stands behind.
        if (index < template.statements.length - 1 && portal.template.statements.some(({ moves }) => isMoved(moves))) {
          this.#exchange.refuse(failureResponse(fetchMoves(control.name)), mode);
          return undefined;
        }
        const operation = this.#operations.execute(portal.template, portal);
        const circumstances = this.#operations.circumstances(portal.template);
        const decision = this.#session.decide(operation, circumstances);
        // What a cursor was opened with is asked for again with every FETCH, as policy would have it now.
        if (decision.outcome === 'hold' && portal.values.length === 0) inner.push(portal.template);
        else if (decision.outcome !== 'allow') {
          this.deny(this.#session.submit(operation, circumstances).decision, portal.template, mode);
          return undefined;
        }
        refers.push({ template: portal.template, had: portal.leaving, cursor: { portal, decision } });
      }
    }
    return { template, whole: withInner(template, inner), refers };
  }

  /**
   * Sees to it that the names of a prepared statement mean to the server what they mean to the gateway now. It does not
   * look at every Bind: a table that comes to stand before another of its name changes no plan, and what runs would not be
   * what is judged. What is gone is another matter: its plan is gone with it, and the server says so itself. `portal` is
   * what a Bind makes: it is judged before the server plans it. False: refused.
   */
  sameNames(prepared: Prepared, template: Template, mode: Mode, portal?: Portal): boolean | Promise<boolean> {
    if (template.hash === prepared.template.hash && template.opaque === prepared.template.opaque) return true;
    if (template.statements.some(({ facts }) => facts.unresolved.length > 0)) return true;
    // What was rewritten has the names in it that it was rewritten with. And not every server looks at a CALL again.
    const fixed = this.#session.masks() || prepared.leaving.text !== undefined || prepared.other !== undefined;
    if (!fixed && template.statements.every(({ facts }) => facts.kind !== 'call'))
      return this.#planAgain(prepared, template, mode, portal);
    this.#exchange.refuse(failureResponse(plannedOtherwise), mode);
    return false;
  }

  /** Has the server forget its plans: it looks its names up anew, and says itself whether the result would be another. */
  async #planAgain(prepared: Prepared, template: Template, mode: Mode, portal: Portal | undefined): Promise<boolean> {
    if (portal !== undefined) {
      const judged = await this.inner(template, mode);
      if (judged === undefined || (await this.wouldLeave(judged, portal)) === undefined) return false;
    }
    try {
      await this.#exchange.ask('discard plans', []);
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      this.#exchange.askFailed(error, mode);
      return false;
    }
    if (this.#exchange.over || (mode === 'extended' && this.#exchange.skipping)) return false;
    prepared.template = template;
    // A Describe shows it, and no execution need follow.
    return mode === 'query' || portal !== undefined || this.record(prepared);
  }

  /**
   * Whether functions do what they did when the statement of a portal or cursor was judged: the server reads their bodies when it
   * comes to them, which may be long after. False: refused.
   */
  async #doesStill(template: Template, mode: Mode): Promise<boolean> {
    if (template.fleeting === undefined) return true;
    const now = await this.#reinterpret(template.text, mode);
    if (now === undefined) return false;
    if (now.hash === template.hash && now.opaque === template.opaque) return true;
    this.#exchange.refuse(failureResponse(doesOtherwise), mode);
    return false;
  }

  async #reinterpret(text: string, mode: Mode): Promise<Template | undefined> {
    let found: Template | undefined;
    await this.understand(text, mode, (template) => {
      found = template;
    });
    return found;
  }

  /** Decides and records the execution; goes on once the bytes may leave, which may be when people have answered. */
  submit(
    judged: Judged,
    portal: Portal | undefined,
    mode: Mode,
    go: (permit: Permit) => Awaitable,
    held: Held,
  ): Awaitable {
    if (this.#claim.stale) return this.#readClaim(mode, () => this.submit(judged, portal, mode, go, held));
    let enforcement: Enforcement = unrestrained;
    const enforce = (decision: Decision) =>
      after(this.#enforcer.enforce(judged, portal, decision), (found) => (enforcement = found));
    const submission = this.#session.submit(
      this.#operations.execute(judged.whole, portal),
      this.#operations.circumstances(judged.whole),
      (decision) =>
        decision.outcome === 'hold' ? this.#holding.beforeAsking(decision, mode, enforce) : enforce(decision),
    );
    return then(submission, (known) => {
      const { decision, hold } = known;
      if (decision.outcome === 'hold' && hold !== undefined)
        return this.#holding.wait(decision, hold, { judged, portal, mode, held, enforcement });
      return this.#submitted(known, enforcement, judged, portal, mode, go);
    });
  }

  #submitted(
    submission: Submission,
    { leaving, rebind, guard }: Enforcement,
    judged: Judged,
    portal: Portal | undefined,
    mode: Mode,
    go: (permit: Permit) => Awaitable,
  ): Awaitable {
    const { decision } = submission;
    if (decision.outcome !== 'allow') {
      if (!this.#exchange.over) this.deny(decision, judged.whole, mode);
      return;
    }
    this.outstanding.add(submission, judged.whole);
    const used = portal?.used ?? judged.refers.find(({ cursor }) => cursor !== undefined)?.cursor?.portal.used;
    const permit: Permit = {
      submission,
      leaving,
      rebind,
      guard,
      // What runs is what was judged to the moment.
      ...(this.#session.masks() ? looksOf(judged, portal) : noLooks),
      limits: limitsOf(decision, judged.refers),
      used: used ?? { rows: 0, bytes: 0 },
    };
    if (submission.recorded === undefined) return this.#goOn(permit, mode, go);
    return submission.recorded.then(
      () => this.#goOn(permit, mode, go),
      (error: unknown) => {
        this.outstanding.drop(submission);
        if (!this.#exchange.over) this.#exchange.refuse(failureResponse(error), mode);
      },
    );
  }

  #goOn(permit: Permit, mode: Mode, go: (permit: Permit) => Awaitable): Awaitable {
    const { submission } = permit;
    // Meanwhile an earlier message of the batch may have failed: the server would skip this one.
    if (this.#exchange.over || (mode === 'extended' && this.#exchange.skipping)) {
      this.outstanding.skip(submission);
      return;
    }
    return go(permit);
  }

  /** The connection is gone: what became of what was under way is not known. */
  abandon(): void {
    this.#holding.abandon();
    this.outstanding.abandon();
  }

  /**
   * Judges a Parse. 'keep': policy may allow it once it sees the parameters; nothing is to be sent before. Undefined:
   * refused.
   */
  prepare(template: Template, types: readonly number[]): Leaving | 'keep' | undefined | Promise<Leaving | undefined> {
    const operation = this.#operations.prepare(template, types);
    const decision = this.#session.decide(operation, this.#operations.circumstances(template));
    if (decision.outcome === 'deny' && this.#parametersMayAllow(decision)) return 'keep';
    return this.#leave(operation, template, decision);
  }

  /**
   * What is to be sent where the execution would be allowed; undefined where not, and it was refused. Records nothing
   * else: the Execute will.
   */
  wouldLeave(judged: Judged, portal: Portal): Leaving | undefined | Promise<Leaving | undefined> {
    const operation = this.#operations.execute(judged.whole, portal);
    const decision = this.#session.decide(operation, this.#operations.circumstances(judged.whole));
    return this.#leave(operation, judged.template, decision);
  }

  #leave(
    operation: Operation,
    template: Template,
    decision: Decision,
  ): Leaving | undefined | Promise<Leaving | undefined> {
    const circumstances = this.#operations.circumstances(template);
    if (decision.outcome === 'deny') {
      this.deny(this.#session.submit(operation, circumstances).decision, template, 'extended');
      return undefined;
    }
    return after(this.#enforcer.leave(template, decision), ({ leaving, refusal }) => {
      if (refusal === undefined) return leaving;
      return after(
        this.#session.submit(operation, circumstances, () => ({ refusal })),
        (submission) => {
          if (!this.#exchange.over) this.deny(submission.decision, template, 'extended');
          return undefined;
        },
      );
    });
  }

  /**
   * A Parse that stays, or that somebody looks at without executing it, is an operation of its own in the audit. False:
   * it was refused.
   */
  record(prepared: Prepared): boolean | Promise<boolean> {
    prepared.recorded = true;
    const operation = this.#operations.prepare(prepared.template, prepared.types);
    const recorded = this.#session.submit(operation, this.#operations.circumstances(prepared.template), () => ({
      sent: digest(prepared.leaving),
    }));
    return after(recorded, (submission) => this.#recorded(submission, prepared));
  }

  #recorded(submission: Submission, prepared: Prepared): boolean | Promise<boolean> {
    if (submission.decision.outcome === 'deny') {
      this.deny(submission.decision, prepared.template, 'extended');
      return false;
    }
    if (submission.recorded === undefined) {
      submission.settle({ status: 'ok' });
      return true;
    }
    return submission.recorded.then(
      () => {
        submission.settle({ status: 'ok' });
        return !this.#exchange.over && !this.#exchange.skipping;
      },
      (error: unknown) => {
        if (!this.#exchange.over) this.#exchange.refuse(failureResponse(error), 'extended');
        return false;
      },
    );
  }

  deny(decision: Decision, template: Template, mode: Mode): void {
    const facts = template.statements.map((statement) => statement.facts);
    const unclear = {
      unresolved: [...new Set(facts.flatMap((fact) => fact.unresolved))],
      because: [...new Set(facts.flatMap((fact) => fact.because ?? []))],
      settings: template.resources
        .filter(({ type, access }) => type === 'setting' && access === 'administer')
        .map(({ name }) => name),
    };
    const response = codec.errorResponse(denial(decision, this.#session.target.input.name, 'ERROR', unclear));
    const [first] = template.statements;
    const looked = first === undefined || endings.has(first.control.kind);
    this.#exchange.refuse(response, mode, looked ? response : failedTransaction);
  }

  #parametersMayAllow(decision: Decision): boolean {
    return (
      decision.reasons.every((reason) => reason.code === 'not_allowed') &&
      (this.#session.policyReads('operation.postgres.parameters') || this.#session.policyReads('operation.stage'))
    );
  }
}

/** What ends a transaction or a part of it: a path that was local to it ends with it, and tables that were. */
const takesBack: ReadonlySet<Control['kind']> = new Set(['commit', 'rollback', 'rollback_to', 'prepare_transaction']);

const isMoved = ({ path, catalog, anything }: Moves): boolean => path || catalog || anything;

const fetchMoves = (name: string) =>
  new StatementError(
    sqlstates.unsupported,
    `what names stand for behind a FETCH of "${name}" cannot be told: its query may change it`,
    undefined,
    'Send what follows the FETCH in a string of its own.',
  );

const cannotTell = (name: string) =>
  new StatementError(
    sqlstates.unsupported,
    `what "${name}" stands for cannot be told: an earlier statement of the same string may change it`,
    undefined,
    'Send the two statements one after the other.',
  );

/** In the words that drivers know: they prepare the statement again. */
const plannedOtherwise = new StatementError('0A000', 'cached plan must not change result type');

const doesOtherwise = new StatementError(
  '40001',
  'a function that the statement calls has changed since it was judged: send the transaction again',
);

/** What the server looks at in a failed transaction. */
const endings: ReadonlySet<Control['kind']> = new Set(['commit', 'rollback', 'rollback_to', 'prepare_transaction']);

/** Operators and casts of types that are no part of the server run what is not known. */
const opaque = (template: Template): Template => ({ ...template, opaque: true });

/** Whether the string itself, before its n-th statement, makes the name: what it stands for is judged with the string then. */
function madeEarlier(template: Template, before: number, kind: 'prepare' | 'declare', name: string): boolean {
  return template.statements.slice(0, before).some(({ control }) => control.kind === kind && control.name === name);
}
