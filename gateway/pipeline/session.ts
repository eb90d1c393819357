import { randomUUID } from 'node:crypto';
import {
  approved,
  deny,
  noUsage,
  type Decision,
  type Engine,
  type Input,
  type Operation,
  type Prompt,
  type Revision,
  type RevisionData,
  type Usage,
} from '#engine';
import type { Logger } from 'pino';
import { refusedAnyway, type Standing } from './anyway.js';
import { boundOf, type Approvals, type Receipt } from '../approvals/index.js';
import { mustBeOnDisk, type Audit, type Entry } from '../audit/index.js';
import { Charging } from './charging.js';
import type { Durability } from '../config/index.js';
import { ApprovalError, AuditError, StateError } from '../errors.js';
import { withinMeans } from './means.js';
import { registered, together, type Prompts } from '../prompts/prompts.js';
import type { Circumstances, Enforced, Hold, Opening, Result, Session, SessionEnd, Submission } from '../protocol.js';
import type { Rollout } from '../rollout/index.js';
import { SessionRecords, type IntentParts } from './records.js';
import type { LiveSession } from '../sessions.js';
import { Submitted } from './submitted.js';
import { Timestamps } from '../timestamp.js';
import type { Account } from '../usage/ledger.js';
import type { Withholding } from './withholding.js';
import type { SharedUsage } from '../usage/shared.js';

/** What a session is judged with, and written down by. */
export interface PipelineParts extends Standing {
  readonly engine: Engine;
  readonly audit: Audit;
  readonly withholding: Withholding;
  readonly durability: Durability;
  readonly log: Logger;
  /** Absent: nobody can be asked. */
  readonly approvals?: Approvals;
  /** Absent: what an operation says of its prompt is all there is. */
  readonly prompts?: Pick<Prompts, 'known'>;
  /** Absent: what was used and seen is known to this process alone. */
  readonly shared?: SharedUsage;
  /** Absent: no other revision is tried beside the one in force. */
  readonly rollout?: Pick<Rollout, 'candidate' | 'isCanary' | 'witness'> | undefined;
}

/** Of all sessions: they live in one time. */
const timestamps = new Timestamps();

/** Of no policy. */
const noData: RevisionData = Object.freeze({ documents: Object.freeze([]), digest: 'none' });

/** setTimeout counts in 32 bits. */
const timer_ms_max = 2 ** 31 - 1;

/** One principal at one target: what it asks for is judged, held, counted and recorded here. */
export class PipelineSession implements Session {
  readonly id = randomUUID();
  readonly principal;
  readonly target;
  readonly #parts: PipelineParts;
  readonly #opening: Opening;
  readonly #charging: Charging;
  readonly #started: string;
  readonly #client: Input['session']['client'];
  readonly #records: SessionRecords;
  readonly #closed: () => void;
  /** Whether the revision that is tried is enforced here. */
  readonly #canary: boolean;
  #rows = 0;
  #maskedBy: { readonly revision: Revision | undefined; readonly masks: boolean } = {
    revision: undefined,
    masks: false,
  };
  #ends: ((end: SessionEnd) => void)[] = [];
  #ended: SessionEnd | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #over = false;
  #claimed: Prompt | undefined;
  /** What waits for people, each by which revision. */
  readonly #holds = new Map<Hold, string>();

  constructor(parts: PipelineParts, opening: Opening, account: Account, closed: () => void) {
    this.#parts = parts;
    this.#opening = opening;
    this.claim(undefined);
    this.#charging = new Charging(account, parts.shared, (path) => this.policyReads(path));
    this.#closed = closed;
    this.principal = opening.identity.principal;
    this.target = opening.target;
    this.#canary = parts.rollout?.isCanary(this.principal, this.target.input.name) ?? false;
    this.#started = new Date(parts.now()).toISOString();
    this.#client = Object.freeze({
      address: opening.client.address,
      ...(opening.application === undefined ? {} : { application: opening.application }),
    });
    this.#records = new SessionRecords(this.id, this.target.input, this.principal, this.#client, opening.within);
    this.#watchExpiry();
    this.#note(this.#records.opened());
  }

  claim(prompt: Prompt | undefined): void {
    this.#claimed = prompt ?? this.#opening.prompt ?? this.#opening.identity.prompt;
  }

  /** By what this session is judged now. */
  get #revision(): Revision | undefined {
    const { rollout, engine } = this.#parts;
    return (this.#canary ? rollout?.candidate : undefined) ?? engine.current;
  }

  policyReads(path: string): boolean {
    return this.#revision?.reads(this.target.input.protocol, path) ?? false;
  }

  policyData(name: string): RevisionData {
    return this.#revision?.data(name) ?? noData;
  }

  masks(): boolean {
    const current = this.#revision;
    // Asked with every message: looked for once in each revision.
    if (current !== this.#maskedBy.revision) {
      const owners = ['policy.all', `policy.${this.target.input.protocol}`];
      const masks = current?.rules.some((rule) => masking.has(rule.set) && owners.includes(rule.package)) ?? false;
      this.#maskedBy = { revision: current, masks };
    }
    return this.#maskedBy.masks;
  }

  onEnd(listener: (reason: SessionEnd) => void): void {
    if (this.#ended !== undefined) listener(this.#ended);
    else this.#ends.push(listener);
  }

  decide(operation: Operation, circumstances: Circumstances = {}): Decision {
    return this.#judge(this.#input(operation, circumstances), circumstances);
  }

  submit(operation: Operation, circumstances?: Circumstances): Submission;
  submit(
    operation: Operation,
    circumstances: Circumstances,
    enforce: (decision: Decision) => Enforced | Promise<Enforced>,
  ): Submission | Promise<Submission>;
  submit(
    operation: Operation,
    circumstances: Circumstances = {},
    enforce?: (decision: Decision) => Enforced | Promise<Enforced>,
  ): Submission | Promise<Submission> {
    if (enforce !== undefined && operation.stage === 'execute' && this.#charging.inTurn)
      return this.#counted(operation, circumstances, enforce);
    const input = this.#input(operation, circumstances);
    const decision = this.#judge(input, circumstances);
    this.#charging.spend({ operations: 1 });
    return this.#judged({ input, decision, circumstances }, enforce);
  }

  /** Judged in its turn among all that this principal does, on whichever gateway; counted before it goes on. */
  async #counted(
    operation: Operation,
    circumstances: Circumstances,
    enforce: (decision: Decision) => Enforced | Promise<Enforced>,
  ): Promise<Submission> {
    let judged: Judged;
    try {
      judged = await this.#charging.take((usage, taint) => {
        const input = this.#input(operation, circumstances, { usage, taint });
        return { input, decision: this.#judge(input, circumstances), circumstances };
      });
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      const decision = deny('usage_unavailable', this.#revision?.id ?? 'none');
      return this.#submit({ input: this.#input(operation, circumstances), decision, circumstances }, decision);
    }
    return this.#judged(judged, enforce);
  }

  #judged(
    judged: Judged,
    enforce: ((decision: Decision) => Enforced | Promise<Enforced>) | undefined,
  ): Submission | Promise<Submission> {
    const { decision, input } = judged;
    this.#parts.rollout?.witness(input, decision);
    const { stage, action } = input.operation;
    if (decision.outcome === 'hold' && stage === 'execute') {
      // A connection has no place to wait in before it is one.
      const place = enforce !== undefined && action !== 'connect';
      return place ? this.#held(judged, enforce) : this.#cannotWait(judged);
    }
    if (enforce === undefined || decision.outcome !== 'allow') return this.#submit(judged, decision);
    const enforced = enforce(decision);
    return enforced instanceof Promise
      ? enforced.then((known) => this.#enforced(judged, known))
      : this.#enforced(judged, enforced);
  }

  #enforced(judged: Judged, { refusal, sent }: Enforced): Submission {
    const { decision } = judged;
    return refusal === undefined
      ? this.#submit(judged, decision, sent)
      : this.#submit(judged, deny(refusal.code, decision.revision, refusal.message));
  }

  /** Whoever takes a submission at once has no place to wait in. */
  #cannotWait(judged: Judged): Submission {
    return this.#submit(judged, deny('approval_unsupported', judged.decision.revision));
  }

  /** What can be enforced and was approved is let through; else people are asked. */
  async #held(judged: Judged, enforce: (decision: Decision) => Enforced | Promise<Enforced>): Promise<Submission> {
    const { input, decision } = judged;
    const { approvals, log, now } = this.#parts;
    try {
      const { refusal, sent } = await enforce(decision);
      if (refusal !== undefined) return this.#submit(judged, deny(refusal.code, decision.revision, refusal.message));
      if (approvals === undefined) throw new StateError('there is no state');
      const receipt = await approvals.redeem(boundOf(input, decision.revision), decision.approvals);
      // Asking took its time: a token is not valid one operation longer for that.
      if (now() >= this.#opening.identity.expires_ms || this.#ended !== undefined) {
        return this.#submit(judged, deny('token_expired', decision.revision));
      }
      if (receipt !== undefined) return this.#submit(judged, approved(decision), sent, receipt);
      const hold = await approvals.request(requested(judged), decision, this.#ownOf(judged));
      return this.#waiting(this.#submit(judged, decision), hold);
    } catch (error) {
      if (!(error instanceof ApprovalError || error instanceof StateError || error instanceof AuditError)) {
        log.error({ err: error, session: this.id }, 'an operation was refused because nobody could be asked');
      }
      return this.#submit(judged, deny('approval_unavailable', decision.revision, whyUnavailable(error)));
    }
  }

  #waiting(submission: Submission, hold: Hold): Submission {
    // What could not be recorded waits for nobody.
    if (submission.decision.outcome !== 'hold') return submission;
    if (this.#over || this.#ended !== undefined) {
      hold.withdraw('session_ended');
    } else {
      this.#holds.set(hold, submission.decision.revision);
      void hold.ended.then(() => this.#holds.delete(hold));
      // While it was asked for, there may have come another.
      this.policyChanged();
    }
    return Object.assign(submission, { hold });
  }

  /** @param decision What becomes of it, which may be stricter than what policy said. */
  #submit(judged: Judged, decision: Decision, sent?: string, receipt?: Receipt): Submission {
    const { input } = judged;
    const submitted_ms = this.#parts.now();
    let recorded: Promise<void> | undefined;
    try {
      recorded = this.#recordIntent(judged, decision, sent, receipt);
      const charged = this.#charging.charge(input, decision);
      if (charged !== undefined) recorded = Promise.all([recorded, charged]).then(() => undefined);
    } catch (error) {
      // No record, no operation.
      this.#parts.log.error(
        { err: error, session: this.id },
        'an operation was refused because it could not be recorded',
      );
      const refused = decision.outcome === 'allow' ? deny('audit_failed', decision.revision) : decision;
      return { decision: refused, recorded: undefined, settle: () => undefined };
    }
    return new Submitted(decision, recorded, submitted_ms, this);
  }

  /** @internal An operation that was let through has ended. */
  settle(decision: Decision, result: Result, submitted_ms: number): void {
    const { rows = 0, bytes = 0 } = result;
    this.#rows += rows;
    if (rows > 0 || bytes > 0) this.#charging.spend({ rows, bytes });
    this.#note(this.#records.outcome(decision, result, this.#parts.now() - submitted_ms));
  }

  close(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#expiry);
    for (const hold of [...this.#holds.keys()]) hold.withdraw('session_ended');
    this.#ends = [];
    this.#closed();
    this.#note(this.#records.closed(reason, this.#rows));
  }

  /** What people would say of a decision binds no other: see what is bound to a receipt. */
  policyChanged(): void {
    const revision = this.#revision?.id;
    for (const [hold, asked] of [...this.#holds]) if (asked !== revision) hold.withdraw('policy_changed');
  }

  /** Ends the session from outside: the protocol says why to its client, and closes. */
  end(end: SessionEnd): void {
    this.#ended ??= end;
    const listeners = this.#ends;
    this.#ends = [];
    for (const listener of listeners) listener(end);
  }

  live(): LiveSession {
    const prompt = this.#claimed;
    const [hold] = this.#holds.keys();
    return {
      id: this.id,
      started_ms: Date.parse(this.#started),
      principal: this.principal,
      target: this.target.input,
      client: this.#client,
      ...(prompt === undefined ? {} : { prompt }),
      rows: this.#rows,
      ...(hold === undefined ? {} : { waiting: hold.id }),
    };
  }

  #watchExpiry(): void {
    const left_ms = this.#opening.identity.expires_ms - this.#parts.now();
    if (left_ms <= 0) {
      this.end({ code: 'token_expired', message: 'terminating connection: the token has expired' });
      return;
    }
    this.#expiry = setTimeout(() => this.#watchExpiry(), Math.min(left_ms, timer_ms_max));
    this.#expiry.unref();
  }

  #input(
    operation: Operation,
    circumstances: Circumstances,
    known?: { readonly usage: Usage; readonly taint: readonly string[] },
  ): Input {
    const said = together(this.#claimed, circumstances.prompt);
    const prompt = said && registered(said, this.principal, this.#parts.prompts);
    const { transaction } = circumstances;
    const time = timestamps.at(this.#parts.now());
    const { id, principal } = this;
    const started = this.#started;
    const client = this.#client;
    const rows = this.#rows;
    const target = this.target.input;
    // Most policies read neither: then they are the same for all.
    const usage = known?.usage ?? (this.policyReads('usage') ? this.#charging.usage() : noUsage);
    const taint = (known?.taint ?? this.#charging.taint()) as string[];
    // Written out, as every operation comes by: what is absent has no name in the document.
    const session =
      transaction === undefined
        ? { id, started, client, rows, taint }
        : { id, started, client, transaction, rows, taint };
    return prompt === undefined
      ? { version: 1, time, principal, session, target, operation, usage }
      : { version: 1, time, principal, prompt, session, target, operation, usage };
  }

  #judge(input: Input, { understoodBy }: Circumstances): Decision {
    const revision = this.#revision;
    const refused = refusedAnyway(this.#parts, this.#opening.identity, revision);
    if (refused !== undefined) return refused;
    // It came into force between the two: what the operation does may be another thing under it.
    if (understoodBy !== undefined && this.policyData(understoodBy.data).digest !== understoodBy.digest) {
      return deny('policy_changed', revision?.id ?? 'none', `data.${understoodBy.data} changed meanwhile: try again.`);
    }
    const decision = revision === undefined ? this.#parts.engine.decide(input) : revision.decide(input);
    return withinMeans(decision, input, this.#opening.supports);
  }

  #recordIntent(
    judged: Judged,
    decision: Decision,
    sent: string | undefined,
    receipt: Receipt | undefined,
  ): Promise<void> | undefined {
    const { input } = judged;
    const { withholding } = this.#parts;
    const parts: IntentParts = {
      hash: withholding.hash(input.operation.hash),
      own: this.#ownOf(judged),
      sent: sent === undefined ? undefined : withholding.hash(sent),
      receipt,
    };
    const entry = this.#records.intent(input, decision, parts);
    // What people let through is on disk, whatever it does.
    if (decision.outcome !== 'allow' || (receipt === undefined && !this.#durable(input.operation))) {
      this.#parts.audit.write(entry);
      return undefined;
    }
    return this.#parts.audit.write(entry, { durable: true });
  }

  /** The protocol's own object as it is recorded. */
  #ownOf({ input, decision, circumstances: { withhold, told } }: Judged): unknown {
    const { withholding } = this.#parts;
    const { operation, target } = input;
    const all = operation[target.protocol];
    const own = told === undefined ? all : told(all, 'records');
    const withheld = withholding.of(input, decision, this.#revision);
    if (withheld === undefined || operation.action === 'connect') return own;
    return withhold === undefined ? { withheld: true } : withhold(own, withheld);
  }

  #durable(operation: Operation): boolean {
    // A prepare changes nothing by itself; what is opaque may do anything.
    const mayChange = operation.stage === 'execute' && operation.opaque;
    return mustBeOnDisk(
      this.#parts.durability,
      mayChange ? 'administer' : operation.stage === 'execute' ? operation.action : 'read',
    );
  }

  /** Records what has happened already: if that cannot be written, the next intent will not be either. */
  #note(entry: Entry): void {
    try {
      this.#parts.audit.write(entry);
    } catch (error) {
      if (!(error instanceof AuditError)) throw error;
      this.#parts.log.error({ err: error, session: this.id, kind: entry.kind }, 'a record could not be written');
    }
  }
}

/** An operation, what policy said of it, and how what is recorded of it is made. */
interface Judged {
  readonly input: Input;
  readonly decision: Decision;
  readonly circumstances: Circumstances;
}

/** As it is kept for those who answer: what it would do is shown to them apart. */
function requested({ input, circumstances: { told } }: Judged): Input {
  if (told === undefined) return input;
  const { operation, target } = input;
  return { ...input, operation: { ...operation, [target.protocol]: told(operation[target.protocol], 'request') } };
}

/** What may be shown of it: what the person can do something about. */
const whyUnavailable = (error: unknown) => (error instanceof ApprovalError ? error.message : undefined);

const masking: ReadonlySet<string> = new Set(['mask', 'filter']);
