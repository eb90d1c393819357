import type { Action, Decision, Input, Operation, Taint, Usage } from '#engine';
import type { Spent } from '../usage/counters.js';
import type { Account } from '../usage/ledger.js';
import type { Charge, SharedUsage } from '../usage/shared.js';

/**
 * What one session's operations use and see, charged to its principal: in this process, and, where there is a state, with the
 * other gateways.
 */
export class Charging {
  readonly #account: Account;
  readonly #shared: SharedUsage | undefined;
  readonly #reads: (path: string) => boolean;
  /** Decisions that were charged as they were made. */
  readonly #charged = new WeakSet<Decision>();

  /** @param reads Whether the policy in force may read this path of the input. */
  constructor(account: Account, shared: SharedUsage | undefined, reads: (path: string) => boolean) {
    this.#account = account;
    this.#shared = shared;
    this.#reads = reads;
  }

  usage(): Usage {
    return this.#account.usage();
  }

  taint(): readonly string[] {
    return this.#account.taint();
  }

  /** Whether each operation has to be judged in its turn among all that this principal does. */
  get inTurn(): boolean {
    return this.#shared?.active === true && this.#counts();
  }

  /**
   * Judges in that turn, and counts what comes of it before it goes on. Rejects with StateError, and then it is not judged.
   */
  async take<T extends { readonly input: Input; readonly decision: Decision }>(
    judge: (usage: Usage, taint: readonly string[]) => T,
  ): Promise<T> {
    let judged: T | undefined;
    await this.#shared!.take(this.#account, (usage, taint): Charge => {
      judged = judge(usage, taint);
      const { input, decision } = judged;
      return { spent: { operations: 1, ...chargeOf(input, decision) }, taints: taintsOf(input, decision) };
    });
    this.#charged.add(judged!.decision);
    return judged!;
  }

  spend(spent: Spent): void {
    this.#account.spend(spent);
    this.#shared?.spend(this.#account, spent);
  }

  /**
   * What is let through counts, and leaves its labels: before its bytes leave, so that nothing it brings is used without. A
   * promise where others have to know first.
   */
  charge(input: Input, decision: Decision): Promise<void> | undefined {
    const spent = chargeOf(input, decision);
    const taints = taintsOf(input, decision);
    if (this.#charged.has(decision) || (spent === undefined && taints === undefined)) return undefined;
    const news = taints === undefined ? [] : this.#account.mark(taints);
    const waits = this.#shared?.active === true && (news.length > 0 || (spent !== undefined && this.#counts()));
    if (waits) return this.#shared.take(this.#account, () => ({ spent: spent ?? {}, taints: news }));
    if (spent !== undefined) this.spend(spent);
    return undefined;
  }

  #counts(): boolean {
    return this.#reads('usage') || this.#reads('session.taint');
  }
}

const reading: ReadonlySet<Action> = new Set<Action>(['connect', 'session', 'read']);
const isWrite = ({ action, opaque }: Operation): boolean => opaque || !reading.has(action);

/** What it adds beside itself, once it is let through. */
function chargeOf({ operation }: Input, { outcome, cost }: Decision): Spent | undefined {
  if (outcome !== 'allow' || operation.stage !== 'execute') return undefined;
  const writes = isWrite(operation) ? 1 : 0;
  return writes === 0 && cost === undefined ? undefined : { writes, ...(cost === undefined ? {} : { cost }) };
}

function taintsOf({ operation }: Input, { outcome, taints }: Decision): readonly Taint[] | undefined {
  return outcome === 'allow' && operation.stage === 'execute' ? taints : undefined;
}
