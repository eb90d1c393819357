import type { Decision } from '#engine';
import type { Circumstances, Enforced, Hold, Session as GatewaySession } from '../../../protocol.js';
import * as codec from '../codec.js';
import type { Reading } from '../effect/reading.js';
import { Trial, type Run } from '../effect/trial.js';
import { failureResponse, notApproved, waitingNotice } from '../enforce.js';
import type { Leaving } from '../enforcing/leaving.js';
import type { Awaitable, Exchange, Mode } from '../session/exchange.js';
import { unlimited } from '../session/limits.js';
import { behind, looksOf, noLooks } from '../session/looking.js';
import type { Portal } from '../session/names.js';
import type { Namespace } from '../session/namespace.js';
import type { Present } from '../session/present.js';
import type { ExpectationEnd } from '../session/expectation.js';
import type { Waiting } from '../session/waiting.js';
import type { Operations } from './operations.js';
import type { Outstanding } from './outstanding.js';
import { after, limitsOf, unrestrained, type Enforcement, type Enforcer, type Judged } from './permit.js';
import type { Template } from './statement.js';

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
export interface Waiter {
  readonly judged: Judged;
  readonly portal: Portal | undefined;
  readonly mode: Mode;
  readonly held: Held;
  readonly enforcement: Enforcement;
}

export interface HoldingParts {
  readonly exchange: Exchange;
  readonly names: Namespace;
  readonly session: GatewaySession;
  readonly waiting: Waiting;
  readonly enforcer: Enforcer;
  readonly operations: Operations;
  readonly outstanding: Outstanding;
  /** Reads of the gateway's own, to see what a statement does. */
  readonly reading: () => Reading;
  /** Stops what the server runs for this session; resolves when the server has been told. */
  readonly cancel: () => Promise<void>;
  /** The catalog is not as it was judged by. */
  readonly outdated: () => void;
  readonly present: Present;
  readonly deny: (decision: Decision, template: Template, mode: Mode) => void;
}

/**
 * An execution that waits for people, in its client's own connection: until it is answered, and where policy asks for its
 * effect, run ahead of the answer in a transaction that nobody has committed.
 */
export class Holding {
  readonly #parts: HoldingParts;
  /** What runs ahead of its answer. */
  #trial: Trial | undefined;

  constructor(parts: HoldingParts) {
    this.#parts = parts;
  }

  /** The connection is gone. */
  abandon(): void {
    this.#trial?.stop();
  }

  /** Whether people may be asked at all: nobody is asked for what could not run, or would keep others waiting too. */
  async beforeAsking(
    decision: Decision,
    mode: Mode,
    enforce: (decision: Decision) => Enforced | Promise<Enforced>,
  ): Promise<Enforced> {
    const exchange = this.#parts.exchange;
    // Its client is not to wait for the answers to what came before, and they say whether that kept locks.
    await exchange.drained();
    if (exchange.over || (mode === 'extended' && exchange.skipping))
      return { refusal: { code: 'approval_withdrawn', message: 'what came before it failed, or the client has gone' } };
    if (this.#parts.outstanding.wrote && !decision.approvals.every((approval) => approval.in_transaction === true))
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
  async wait(decision: Decision, hold: Hold, waiter: Waiter): Promise<void> {
    const { mode, held } = waiter;
    const exchange = this.#parts.exchange;
    const target = this.#parts.session.target.input.name;
    await held.began?.();
    if (this.#failed(mode)) {
      hold.withdraw(exchange.over ? 'client_gone' : 'session_ended');
      return;
    }
    const circumstances = this.#parts.operations.circumstances(waiter.judged.whole);
    exchange.toClient.push(codec.noticeResponse(waitingNotice(decision, target, hold, Date.now())));
    exchange.flush();
    const ahead = hold.preview ? held.ahead(waiter.enforcement.leaving) : undefined;
    const trial = ahead === undefined ? undefined : this.#try(hold, ahead, waiter, decision);
    const end = await this.#parts.waiting.until(hold);
    await trial?.answered(end.how === 'approved');
    this.#trial = undefined;
    if (this.#failed(mode)) return;
    this.#parts.names.turn();
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
    return this.#parts.exchange.over || (mode === 'extended' && this.#parts.exchange.skipping);
  }

  /** Runs it before it is answered, for whoever answers to see what it does. */
  #try(hold: Hold, ahead: Ahead, { judged, portal, enforcement }: Waiter, decision: Decision): Trial {
    const { values, undecoded } = this.#parts.operations.decoded(portal);
    const { leaving, rebind, guard } = enforcement;
    const { look, reached } = this.#parts.session.masks() ? looksOf(judged, portal) : noLooks;
    const { present } = this.#parts;
    const reason = (): Promise<string | undefined> => {
      if (judged.refers.length > 0) return Promise.resolve('what EXECUTE and FETCH run was made before');
      if (rebind) return Promise.resolve('masks or filters are others than when it was bound');
      if (!unlimited(limitsOf(decision, judged.refers))) return Promise.resolve('its answer is limited by policy');
      return ahead.reason();
    };
    this.#trial = new Trial({
      exchange: this.#parts.exchange,
      reading: this.#parts.reading(),
      hold,
      cancel: this.#parts.cancel,
      outdated: this.#parts.outdated,
      run: {
        template: judged.template,
        text: leaving.text ?? judged.template.text,
        parameters: undecoded ? undefined : values,
        guarded: guard !== undefined,
        reason,
        ...(look === undefined ? {} : { looks: [look, behind(judged.template, []) ?? look] }),
        ...(present.isToBeAsked(reached)
          ? { differs: async () => (await present.differs(reached)) !== undefined }
          : {}),
        send: () => ahead.send(),
      },
    });
    return this.#trial;
  }

  /** It was approved as it ran: judged anew, so that what was given is used up, recorded, and kept. */
  async #keep(trial: Trial, ahead: Ahead, waiter: Waiter, circumstances: Circumstances): Promise<void> {
    const { judged, portal, mode } = waiter;
    const exchange = this.#parts.exchange;
    let enforcement = unrestrained;
    const enforce = (decision: Decision) =>
      after(this.#parts.enforcer.enforce(judged, portal, decision), (found): Enforced => {
        enforcement = found;
        const same =
          found.leaving.key === waiter.enforcement.leaving.key && unlimited(limitsOf(decision, judged.refers));
        return found.refusal !== undefined || same ? found : { refusal: ranOtherwise };
      });
    const submission = await this.#parts.session.submit(
      this.#parts.operations.execute(judged.whole, portal),
      circumstances,
      enforce,
    );
    const { decision, hold } = submission;
    if (decision.outcome !== 'allow') {
      // Policy has changed meanwhile, and says otherwise.
      await trial.undo();
      if (hold !== undefined) return this.wait(decision, hold, { ...waiter, enforcement });
      if (!this.#failed(mode)) this.#parts.deny(decision, judged.whole, mode);
      return;
    }
    this.#parts.outstanding.add(submission, judged.whole);
    try {
      await submission.recorded;
    } catch (error) {
      this.#parts.outstanding.drop(submission);
      await trial.undo();
      if (!exchange.over) exchange.refuse(failureResponse(error), mode);
      return;
    }
    if (this.#failed(mode)) return this.#parts.outstanding.skip(submission);
    const done = await trial.commit();
    const end = trial.end ?? nothingRan;
    if ('error' in done) {
      this.#parts.outstanding.settle(submission, { ...end, error: { code: done.sqlstate, message: '' } }, true);
      if (!exchange.over) exchange.refuse(done.error, mode);
      return;
    }
    this.#parts.outstanding.settle(submission, end, true);
    if (exchange.over) return;
    exchange.toClient.push(done.answer);
    if (mode === 'query') exchange.toClient.push(codec.readyForQuery(exchange.transaction));
    if (exchange.transaction === 'I') this.#parts.names.idle();
    await ahead.kept();
    exchange.flush();
  }
}

const ranOtherwise = {
  code: 'policy_changed',
  message: 'masks, filters or limits are others than when it was run to be looked at: send it again',
} as const;

const nothingRan: ExpectationEnd = { rows: 0, bytes: 0, tag: '' };
