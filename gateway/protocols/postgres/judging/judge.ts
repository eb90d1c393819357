import type { Decision, Operation, Prompt } from '#engine';
import type { Circumstances, Enforced, Hold, Session as GatewaySession, Submission } from '../../../protocol.js';
import * as codec from '../codec.js';
import { denial, failedTransaction, failureResponse, notApproved, sqlstates, waitingNotice } from '../enforce.js';
import { AskFailed, then, type Awaitable, type Exchange, type Mode } from '../session/exchange.js';
import type { Portal, Prepared } from '../session/names.js';
import type { Namespace } from '../session/namespace.js';
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
import { digest, type Leaving } from '../enforcing/leaving.js';
import { executeOperation, prepareOperation, withholding, withInner, type Place } from '../operation.js';
import { decodeParameters, type DecodedParameters } from './parameters.js';
import { limitError, type ExpectationEnd } from '../session/responses.js';
import { StatementError, type Control, type Interpreter, type Template } from './statement.js';
import type { Waiting } from '../session/waiting.js';
import { keepsLocks } from './wrote.js';
import { unlimited } from '../session/limits.js';
import { Reading } from '../effect/reading.js';
import { Trial, type Run } from '../effect/trial.js';

export const noParameters: DecodedParameters = { values: [], undecoded: false };

/** Types with a number from here on are no part of the server: what their operators and casts run is not known. */
const firstOtherType = 16_384;

export interface JudgeParts {
  readonly exchange: Exchange;
  readonly names: Namespace;
  readonly session: GatewaySession;
  readonly place: Place;
  readonly waiting: Waiting;
  readonly interpreter: () => Interpreter;
  /** Whether it is sure that the server reads this text as the gateway does. */
  readonly readable: (text: string) => boolean;
  /** Stops what the server runs for this session; resolves when the server has been told. */
  readonly cancel: () => Promise<void>;
}

/** What becomes of an execution that has to wait for people. */
export interface Held {
  /** Everything before it is answered, and it waits from now on. */
  began?(): Awaitable;
  /** It was approved, or policy changed: it is to be understood, judged and sent as if it came now. */
  again(): Awaitable;
  /** How it is run before it is answered, where policy asks to see what it does. */
  ahead(leaving: Leaving): Ahead;
}

/** One way of running it ahead: a query string, or a portal. */
export interface Ahead extends Pick<Run, 'reason' | 'send'> {
  readonly text: string;
  /** It was committed, or its savepoint released. */
  kept(): Awaitable;
}

/** An execution that waits, with what it would leave as. */
interface Waiter {
  readonly judged: Judged;
  readonly portal: Portal | undefined;
  readonly mode: Mode;
  readonly held: Held;
  readonly enforcement: Enforcement;
}

/** From a query string to a decision: interpreted, looked up, judged, recorded; or refused in the client's own words. */
export class Judge {
  readonly #exchange: Exchange;
  readonly #names: Namespace;
  readonly #session: GatewaySession;
  readonly #place: Place;
  readonly #interpreter: () => Interpreter;
  readonly #readable: (text: string) => boolean;
  readonly #enforcer: Enforcer;
  readonly #waiting: Waiting;
  /** What was let through and is not answered yet, and whether it may keep locks in its transaction. */
  readonly #open = new Map<Submission, boolean>();
  /** The present transaction may hold locks that others wait for. */
  #wrote = false;
  readonly #cancel: () => Promise<void>;
  /** What runs ahead of its answer. */
  #trial: Trial | undefined;

  constructor({ exchange, names, session, place, waiting, interpreter, readable, cancel }: JudgeParts) {
    this.#cancel = cancel;
    this.#exchange = exchange;
    this.#names = names;
    this.#session = session;
    this.#place = place;
    this.#waiting = waiting;
    this.#interpreter = interpreter;
    this.#readable = readable;
    this.#enforcer = new Enforcer(session, place, interpreter, readable);
  }

  /** The server stands in no transaction. */
  idle(): void {
    this.#wrote = false;
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

  /**
   * The template as it is judged: an EXECUTE as the statements that it runs, a FETCH only if its cursor's statement would
   * still be allowed. Undefined where it was refused.
   */
  inner(template: Template, mode: Mode): Judged | undefined | Promise<Judged | undefined> {
    const refers = template.statements.some(({ control }) => control.kind === 'execute' || control.kind === 'fetch');
    return refers ? this.#resolveInner(template, mode) : plainly(template);
  }

  async #resolveInner(template: Template, mode: Mode): Promise<Judged | undefined> {
    const inner: Template[] = [];
    const refers: Reference[] = [];
    for (const [index, { control }] of template.statements.entries()) {
      const names = control.kind === 'execute' || control.kind === 'fetch';
      if (
        names &&
        template.statements.slice(0, index).some(({ moves }) => moves.anything || moves.catalog || moves.path)
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
        if (portal === undefined) return undefined;
        const operation = this.executeOf(portal.template, portal);
        const circumstances = this.circumstances(portal.template);
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
    if (template.hash === prepared.template.hash) return true;
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
    let enforcement: Enforcement = unrestrained;
    const enforce = (decision: Decision) =>
      after(this.#enforcer.enforce(judged, portal, decision), (found) => (enforcement = found));
    const submission = this.#session.submit(
      this.executeOf(judged.whole, portal),
      this.circumstances(judged.whole),
      (decision) => (decision.outcome === 'hold' ? this.#beforeAsking(decision, mode, enforce) : enforce(decision)),
    );
    return then(submission, (known) => {
      const { decision, hold } = known;
      if (decision.outcome === 'hold' && hold !== undefined)
        return this.#wait(decision, hold, { judged, portal, mode, held, enforcement });
      return this.#submitted(known, enforcement, judged, portal, mode, go);
    });
  }

  /** Whether people may be asked at all: nobody is asked for what could not run, or would keep others waiting too. */
  async #beforeAsking(
    decision: Decision,
    mode: Mode,
    enforce: (decision: Decision) => Enforced | Promise<Enforced>,
  ): Promise<Enforced> {
    const exchange = this.#exchange;
    // Its client is not to wait for the answers to what came before, and they say whether that kept locks.
    await exchange.drained();
    if (exchange.over || (mode === 'extended' && exchange.skipping))
      return { refusal: { code: 'approval_withdrawn', message: 'what came before it failed, or the client has gone' } };
    if (this.#wrote && !decision.approvals.every((approval) => approval.in_transaction === true))
      return {
        refusal: {
          code: 'approval_in_transaction',
          message:
            'the transaction has written or taken locks already, and others would wait with it: send this first, or by itself',
        },
      };
    return enforce(decision);
  }

  /** The client waits in its connection, and is told why. Nothing of it has been sent, or what was can still be taken back. */
  async #wait(decision: Decision, hold: Hold, waiter: Waiter): Promise<void> {
    const { mode, held } = waiter;
    const exchange = this.#exchange;
    const target = this.#session.target.input.name;
    await held.began?.();
    if (this.#failed(mode)) {
      hold.withdraw(exchange.over ? 'client_gone' : 'session_ended');
      return;
    }
    const circumstances = this.circumstances(waiter.judged.whole);
    exchange.toClient.push(codec.noticeResponse(waitingNotice(decision, target, hold, Date.now())));
    exchange.flush();
    const ahead = hold.preview ? held.ahead(waiter.enforcement.leaving) : undefined;
    const trial = ahead === undefined ? undefined : this.#try(hold, ahead, waiter, decision);
    const end = await this.#waiting.until(hold);
    await trial?.answered(end.how === 'approved');
    this.#trial = undefined;
    if (this.#failed(mode)) return;
    if (end.how === 'superseded') return held.again();
    if (end.how !== 'approved') {
      exchange.refuse(codec.errorResponse(notApproved(decision, target, hold, end)), mode);
      return;
    }
    if (trial === undefined || ahead === undefined || !(trial.stands || trial.isUndone)) return held.again();
    if (trial.stands || (await trial.repeat())) return this.#keep(trial, ahead, waiter, circumstances);
    if (this.#failed(mode)) return;
    const changed = { how: 'withdrawn', why: 'it does something else by now than what was approved' } as const;
    exchange.refuse(codec.errorResponse(notApproved(decision, target, hold, changed)), mode);
  }

  #failed(mode: Mode): boolean {
    return this.#exchange.over || (mode === 'extended' && this.#exchange.skipping);
  }

  /** Runs it before it is answered, for whoever answers to see what it does. */
  #try(hold: Hold, ahead: Ahead, { judged, portal, enforcement }: Waiter, decision: Decision): Trial {
    const { values, undecoded } = this.#decoded(portal);
    const { leaving, rebind, guard } = enforcement;
    const reason = (): Promise<string | undefined> => {
      if (judged.refers.length > 0) return Promise.resolve('what EXECUTE and FETCH run was made before');
      if (rebind) return Promise.resolve('masks or filters are others than when it was bound');
      if (!unlimited(limitsOf(decision, judged.refers))) return Promise.resolve('its answer is limited by policy');
      return ahead.reason();
    };
    this.#trial = new Trial({
      exchange: this.#exchange,
      reading: new Reading(this.#session, this.#place, this.#interpreter),
      hold,
      cancel: this.#cancel,
      run: {
        template: judged.template,
        text: leaving.text ?? judged.template.text,
        parameters: undecoded ? undefined : values,
        guarded: guard !== undefined,
        reason,
        send: () => ahead.send(),
      },
    });
    return this.#trial;
  }

  /** It was approved as it ran: judged anew, so that what was given is used up, recorded, and kept. */
  async #keep(trial: Trial, ahead: Ahead, waiter: Waiter, circumstances: Circumstances): Promise<void> {
    const { judged, portal, mode } = waiter;
    const exchange = this.#exchange;
    let enforcement = unrestrained;
    const enforce = (decision: Decision) =>
      after(this.#enforcer.enforce(judged, portal, decision), (found): Enforced => {
        enforcement = found;
        const same =
          found.leaving.key === waiter.enforcement.leaving.key && unlimited(limitsOf(decision, judged.refers));
        return found.refusal !== undefined || same ? found : { refusal: ranOtherwise };
      });
    const submission = await this.#session.submit(this.executeOf(judged.whole, portal), circumstances, enforce);
    const { decision, hold } = submission;
    if (decision.outcome !== 'allow') {
      // Policy has changed meanwhile, and says otherwise.
      await trial.undo();
      if (hold !== undefined) return this.#wait(decision, hold, { ...waiter, enforcement });
      if (!this.#failed(mode)) this.deny(decision, judged.whole, mode);
      return;
    }
    this.#open.set(submission, keepsLocks(judged.whole));
    try {
      await submission.recorded;
    } catch (error) {
      this.#open.delete(submission);
      await trial.undo();
      if (!exchange.over) exchange.refuse(failureResponse(error), mode);
      return;
    }
    if (this.#failed(mode)) return this.skip(submission);
    const done = await trial.commit();
    const end = trial.end ?? nothingRan;
    if ('error' in done) {
      this.settle(submission, { ...end, error: { code: done.sqlstate, message: '' } }, true);
      if (!exchange.over) exchange.refuse(done.error, mode);
      return;
    }
    this.settle(submission, end, true);
    if (exchange.over) return;
    exchange.toClient.push(done.answer);
    if (mode === 'query') exchange.toClient.push(codec.readyForQuery(exchange.transaction));
    if (exchange.transaction === 'I') this.#names.idle();
    await ahead.kept();
    exchange.flush();
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
    this.#open.set(submission, keepsLocks(judged.whole));
    const used = portal?.used ?? judged.refers.find(({ cursor }) => cursor !== undefined)?.cursor?.portal.used;
    const permit: Permit = {
      submission,
      leaving,
      rebind,
      guard,
      limits: limitsOf(decision, judged.refers),
      used: used ?? { rows: 0, bytes: 0 },
    };
    if (submission.recorded === undefined) return this.#goOn(permit, mode, go);
    return submission.recorded.then(
      () => this.#goOn(permit, mode, go),
      (error: unknown) => {
        this.#open.delete(submission);
        if (!this.#exchange.over) this.#exchange.refuse(failureResponse(error), mode);
      },
    );
  }

  #goOn(permit: Permit, mode: Mode, go: (permit: Permit) => Awaitable): Awaitable {
    const { submission } = permit;
    // Meanwhile an earlier message of the batch may have failed: the server would skip this one.
    if (this.#exchange.over || (mode === 'extended' && this.#exchange.skipping)) {
      this.skip(submission);
      return;
    }
    return go(permit);
  }

  /** It was let through, and the batch has failed before it could be sent. */
  skip(submission: Submission): void {
    if (this.#open.delete(submission)) submission.settle({ status: this.#exchange.over ? 'lost' : 'cancelled' });
  }

  /** The execution has been answered; `ready`: and the server was ready for another query by then. */
  settle(submission: Submission, end: ExpectationEnd, ready = false): void {
    const keeps = this.#open.get(submission);
    if (!this.#open.delete(submission)) return;
    // What an Execute did stays in a transaction at least until the batch's end; a query may have ended its own.
    if (keeps === true && !(ready && this.#exchange.transaction === 'I')) this.#wrote = true;
    const { error, skipped, rows, bytes, tag } = end;
    const cancelled = skipped === true || error?.code === '57014' || error === limitError;
    submission.settle({
      status: cancelled ? 'cancelled' : error === undefined ? 'ok' : 'error',
      rows,
      bytes,
      ...(error === undefined ? {} : { code: error.code }),
      ...(tag === '' ? {} : { tag }),
    });
  }

  /** The connection is gone: what became of what was under way is not known. */
  abandon(): void {
    this.#trial?.stop();
    for (const submission of this.#open.keys()) submission.settle({ status: 'lost' });
    this.#open.clear();
  }

  /**
   * Judges a Parse. 'keep': policy may allow it once it sees the parameters; nothing is to be sent before. Undefined:
   * refused.
   */
  prepare(template: Template, types: readonly number[]): Leaving | 'keep' | undefined | Promise<Leaving | undefined> {
    const operation = this.#prepareOf(template, types);
    const decision = this.#session.decide(operation, this.circumstances(template));
    if (decision.outcome === 'deny' && this.#parametersMayAllow(decision)) return 'keep';
    return this.#leave(operation, template, decision);
  }

  /**
   * What is to be sent where the execution would be allowed; undefined where not, and it was refused. Records nothing
   * else: the Execute will.
   */
  wouldLeave(judged: Judged, portal: Portal): Leaving | undefined | Promise<Leaving | undefined> {
    const operation = this.executeOf(judged.whole, portal);
    const decision = this.#session.decide(operation, this.circumstances(judged.whole));
    return this.#leave(operation, judged.template, decision);
  }

  #leave(
    operation: Operation,
    template: Template,
    decision: Decision,
  ): Leaving | undefined | Promise<Leaving | undefined> {
    const circumstances = this.circumstances(template);
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
    const operation = this.#prepareOf(prepared.template, prepared.types);
    const recorded = this.#session.submit(operation, this.circumstances(prepared.template), () => ({
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

  executeOf(template: Template, portal: Portal | undefined): Operation {
    return executeOperation(template, this.#place, this.#decoded(portal));
  }

  #decoded(portal: Portal | undefined): DecodedParameters {
    if (portal === undefined) return noParameters;
    const { values, formats, prepared } = portal;
    const decoded = values.length === 0 ? noParameters : decodeParameters(values, formats, prepared.types);
    return hasForeignType(prepared.types) ? { ...decoded, undecoded: true } : decoded;
  }

  #prepareOf(template: Template, types: readonly number[]): Operation {
    const operation = prepareOperation(template, this.#place);
    return hasForeignType(types) ? { ...operation, opaque: true } : operation;
  }

  circumstances(template: Template): Circumstances {
    const { transaction } = this.#exchange;
    const state = transaction === 'I' ? 'idle' : transaction === 'T' ? 'open' : 'failed';
    const withhold = withholding(template);
    if (template.comment === undefined) return { transaction: state, withhold };
    const { prompt, trace } = template.comment;
    const claimed: Prompt = {
      ...(prompt === undefined ? {} : { text: prompt }),
      ...(trace === undefined ? {} : { trace }),
    };
    return { transaction: state, prompt: claimed, withhold };
  }

  #parametersMayAllow(decision: Decision): boolean {
    return (
      decision.reasons.every((reason) => reason.code === 'not_allowed') &&
      (this.#session.policyReads('operation.postgres.parameters') || this.#session.policyReads('operation.stage'))
    );
  }
}

const cannotTell = (name: string) =>
  new StatementError(
    sqlstates.unsupported,
    `what "${name}" stands for cannot be told: an earlier statement of the same string may change it`,
    undefined,
    'Send the two statements one after the other.',
  );

const ranOtherwise = {
  code: 'policy_changed',
  message: 'masks, filters or limits are others than when it was run to be looked at: send it again',
} as const;

const nothingRan: ExpectationEnd = { rows: 0, bytes: 0, tag: '' };

/** In the words that drivers know: they prepare the statement again. */
const plannedOtherwise = new StatementError('0A000', 'cached plan must not change result type');

/** What the server looks at in a failed transaction. */
const endings: ReadonlySet<Control['kind']> = new Set(['commit', 'rollback', 'rollback_to', 'prepare_transaction']);

/** Operators and casts of types that are no part of the server run what is not known. */
const opaque = (template: Template): Template => ({ ...template, opaque: true });

const hasForeignType = (types: readonly number[]) => types.some((type) => type >= firstOtherType);

/** Whether the string itself, before its n-th statement, makes the name: what it stands for is judged with the string then. */
function madeEarlier(template: Template, before: number, kind: 'prepare' | 'declare', name: string): boolean {
  return template.statements.slice(0, before).some(({ control }) => control.kind === kind && control.name === name);
}
