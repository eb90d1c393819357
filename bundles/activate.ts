import type { Engine, Revision } from '#engine';
import { mkdir } from 'node:fs/promises';
import { Compiler, type CompilerOptions } from './compile.js';
import { Contact, type SourceContact } from './contact.js';
import { BundleError, messageOf, refusal } from './error.js';
import { findOpa } from './opa.js';
import type { Log, PolicyEvent } from './events.js';
import { carryOut } from './ordering.js';
import { type NumberedOrder, type Order, OrderDesk } from './orders.js';
import type { Snapshot, Source } from './snapshot.js';
import {
  type Activation,
  type Attempt,
  history_max,
  type OrderAnswer,
  type PolicyStatus,
  readStatus,
  writeStatus,
} from './status.js';
import { BundleStore, type Stored } from './store.js';
import { Turns } from './turns.js';

export interface KeeperOptions {
  readonly source: Source;
  readonly engine: Pick<Engine, 'prepare' | 'activate'>;
  /** Where the last good bundles and the status are kept. Made if it is not there. */
  readonly directory: string;
  readonly log: Log;
  readonly onEvent?: (event: PolicyEvent) => void;
  /** Told whenever the status is another: more often than there are events. */
  readonly onStatus?: () => void;
  /** Default: one with the engine's built-ins, and `opa` found or fetched when it is first needed. */
  readonly compiler?: Compiler;
  /** What the compiler that is made here is told of the gateway. */
  readonly surroundings?: Pick<CompilerOptions, 'filters' | 'data' | 'targets'>;
  /** Told while `opa` is fetched. */
  readonly progress?: (message: string) => void;
  /** Where another keeper keeps the revision that can be promoted. */
  readonly candidates?: string;
  /** True: it may start with nothing in force, as what is tried beside the policy may. */
  readonly optional?: boolean;
  /** Shared by keepers of which one must not change what is in force while another does. */
  readonly turns?: Turns;
}

export interface PolicyKeeper {
  status(): PolicyStatus;
  /** When its source was asked last. */
  contact(): SourceContact;
  /** Looks at the source now; resolves when what is there is in force or refused. */
  refresh(): Promise<PolicyStatus>;
  /** Looks at the source soon: somebody says that there is something new. */
  look(): void;
  /** What people ask for beside committing. Never rejects: what cannot be done is the answer. */
  order(order: Order): Promise<OrderAnswer>;
  close(): Promise<void>;
}

/**
 * Keeps policy in force: builds what the source has, puts it into the engine at once, and watches. Whatever cannot be
 * read, compiled, tested or prepared leaves the last good revision where it is, and says so. Rejects only where at the
 * start nothing can be put into force: neither what the source has nor what lies on disk.
 */
export async function keepPolicy(options: KeeperOptions): Promise<PolicyKeeper> {
  const compiler =
    options.compiler ??
    (await Compiler.create({
      ...options.surroundings,
      opa: () => findOpa(options.progress === undefined ? {} : { progress: options.progress }),
    }));
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const keeper = new Keeper(options, compiler);
  await keeper.start();
  return keeper;
}

/** How long a failure that has nothing to do with the policy (no opa, a full disk) waits before it is tried again. */
const retry_ms = 30_000;
const answered_every_ms = 60_000;
/** Layers of sources that were built already: branches go back and forth. */
const layers_kept = 4;

class Keeper implements PolicyKeeper {
  readonly #options: KeeperOptions;
  readonly #compiler: Compiler;
  readonly #store: BundleStore;
  readonly #desk: OrderDesk;
  readonly #candidates: BundleStore | undefined;
  readonly #turns: Turns;
  readonly #contact = new Contact();
  readonly #layers = new Map<string, { layer: Stored['layer']; tests: Attempt['tests'] }>();
  readonly #stops: (() => Promise<void>)[] = [];
  #status: PolicyStatus;
  /** What was refused, so that it is not built over and over; and until when that holds. */
  #refused: { head: string | undefined; error: string; until: number } | undefined;
  /** Why the last pass did not bring anything into force. */
  #failure: Error | undefined;
  #waiting = false;
  #closed = false;
  #watching = false;

  constructor(options: KeeperOptions, compiler: Compiler) {
    this.#options = options;
    this.#compiler = compiler;
    this.#store = new BundleStore(options.directory);
    this.#desk = new OrderDesk(options.directory);
    this.#candidates = options.candidates === undefined ? undefined : new BundleStore(options.candidates);
    this.#turns = options.turns ?? new Turns();
    this.#status = { format: 1, source: options.source.description, pid: process.pid, restored: false, history: [] };
  }

  async start(): Promise<void> {
    const before = await readStatus(this.#options.directory).catch(() => undefined);
    const answered = before?.source === this.#status.source ? (before.answered ?? before.last?.at) : undefined;
    if (answered !== undefined) this.#contact.remember(Date.parse(answered));
    const pinned = await this.#desk.pin();
    // An order whose answer nobody waits for any more must not surprise the next start.
    await this.#desk.takeOrder();
    this.#status = {
      ...this.#status,
      history: before?.history ?? [],
      ...(pinned === undefined ? {} : { pinned }),
      ...(answered === undefined ? {} : { answered }),
    };
    await this.#exclusively(() => this.#pass());
    if (this.#status.revision === undefined) {
      const failure = this.#failure;
      const restored =
        before?.revision !== undefined &&
        before.source === this.#status.source &&
        (await this.#restore(before.revision, 'restored'));
      if (!restored && this.#options.optional !== true)
        throw failure ?? refusal('no_policy', 'no policy could be put into force');
    }
    try {
      this.#stops.push(await this.#options.source.watch(() => this.#changed()));
    } catch (error) {
      this.#options.log.error(
        { error: messageOf(error) },
        'the policy source cannot be watched yet; it is looked at now and then',
      );
    }
    this.#stops.push(await this.#desk.watch(() => this.#changed()));
    this.#watching = true;
    // What changed while the watches were being set up.
    this.#changed();
  }

  status(): PolicyStatus {
    return this.#status;
  }

  contact(): SourceContact {
    return this.#contact.times;
  }

  async refresh(): Promise<PolicyStatus> {
    await this.#exclusively(() => this.#pass());
    return this.#status;
  }

  look(): void {
    this.#options.source.poke?.();
    this.#changed();
  }

  order(order: Order): Promise<OrderAnswer> {
    return this.#exclusively(async () => {
      const answer = await this.#carryOut({ id: `local-${Date.now()}`, ...order });
      if (order.action === 'unpin') await this.#pass();
      return answer;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#stops.map((stop) => stop()));
    await this.#exclusively(() => Promise.resolve());
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.take(work);
  }

  /** Any number of changes while a build runs come to one more pass after it, over what is newest then. */
  #changed(): void {
    if (this.#waiting || this.#closed) return;
    this.#waiting = true;
    void this.#exclusively(async () => {
      this.#waiting = false;
      if (this.#closed) return;
      const order = await this.#desk.takeOrder();
      if (order !== undefined) await this.#carryOut(order);
      await this.#pass();
    }).catch((error: unknown) =>
      this.#options.log.error({ error: messageOf(error) }, 'the policy could not be looked after'),
    );
  }

  /** Looks at the source once and does what there is to do. Never throws: what fails is in the status. */
  async #pass(): Promise<void> {
    const started = performance.now();
    let head: string | undefined;
    try {
      head = await this.#contact.note('answered_ms', () => this.#options.source.head());
      this.#answered();
      const { pinned, revision } = this.#status;
      if (pinned !== undefined && (pinned.how === 'pinned' || head === pinned.blocked)) {
        if (revision !== pinned.revision && !(await this.#restore(pinned.revision, 'restored'))) {
          throw refusal(
            'no_bundle',
            `the pinned revision ${pinned.revision} is not on disk any more, or cannot be used`,
            {
              help: 'Commit something newer, or take the pin back: `sallyport policy unpin`, or remove pin.json where no gateway starts.',
            },
          );
        }
        return;
      }
      if (head === revision) return await this.#unchanged(head);
      if (this.#isRefused(head)) return;
      const snapshot = await this.#contact.note('read_ms', () => this.#options.source.read());
      await this.#bringIntoForce(snapshot, started);
    } catch (error) {
      await this.#refuse(head, error, started);
    }
  }

  /** Kept now and then: a start without the source goes on counting from there. */
  #answered(): void {
    const { answered_ms = 0 } = this.#contact.times;
    const kept_ms = Date.parse(this.#status.answered ?? '');
    // Also where the clock was set back.
    if (Math.abs(answered_ms - kept_ms) < answered_every_ms) return;
    this.#status = { ...this.#status, answered: new Date(answered_ms).toISOString() };
    // Before the first activation there is nothing to tell: what is on disk is of the process before.
    if (this.#watching) void this.#writeStatus().catch(() => undefined);
  }

  async #bringIntoForce(snapshot: Snapshot, started: number): Promise<void> {
    const { layer, tests, how } = await this.#layerOf(snapshot);
    const revision = await this.#options.engine.prepare(snapshot.revision, [layer]);
    if (this.#closed) return;
    const previous = this.#status.revision;
    this.#options.engine.activate(revision);
    const now = Date.now();

    const { commit } = snapshot;
    const commit_to_force_ms =
      this.#watching && snapshot.changed_ms !== undefined
        ? Math.max(0, Math.round(now - snapshot.changed_ms))
        : undefined;
    const attempt: Attempt = {
      revision: snapshot.revision,
      at: new Date(now).toISOString(),
      ok: true,
      duration_ms: Math.round(performance.now() - started),
      ...(commit_to_force_ms !== undefined && { commit_to_force_ms }),
      ...(tests && { tests }),
    };
    if (this.#status.pinned !== undefined) await this.#desk.unpin();
    this.#refused = undefined;
    this.#inForce(
      { revision: snapshot.revision, at: attempt.at, how: 'built', ...(commit && { commit }) },
      { last: attempt, pinned: undefined },
    );
    this.#emit({
      type: 'activated',
      revision: snapshot.revision,
      ...(previous !== undefined && { previous }),
      how: 'built',
      ...(commit && { commit }),
      duration_ms: attempt.duration_ms,
      ...(commit_to_force_ms !== undefined && { commit_to_force_ms }),
    });
    this.#options.log.info({ revision: snapshot.revision, previous, commit, ...attempt }, 'policy in force');

    // After the swap: a slow or full disk must not keep a policy from being enforced.
    try {
      if (how !== 'stored') {
        await this.#store.save({
          revision: snapshot.revision,
          digest: snapshot.digest,
          recipe: this.#compiler.recipe,
          layer,
          ...(commit && { commit }),
        });
      }
      await this.#writeStatus();
    } catch (error) {
      this.#options.log.error(
        { error: messageOf(error), directory: this.#options.directory },
        'the policy is in force, but could not be kept on disk',
      );
    }
  }

  /** From memory or disk where the very same was built before, else built. */
  async #layerOf(
    snapshot: Snapshot,
  ): Promise<{ layer: Stored['layer']; tests: Attempt['tests']; how: 'built' | 'stored' }> {
    const known = this.#layers.get(snapshot.digest);
    if (known !== undefined) return { ...known, how: 'built' };
    const stored = await this.#store.load(snapshot.revision).catch(() => undefined);
    if (stored?.digest === snapshot.digest && stored.recipe === this.#compiler.recipe) {
      // By whom it is signed may not have been asked then: it is kept again, with that.
      const how = stored.commit?.signer === snapshot.commit?.signer ? 'stored' : 'built';
      return { layer: stored.layer, tests: undefined, how };
    }
    const built = await this.#compiler.build(snapshot);
    for (const warning of built.warnings) this.#options.log.warn({ ...warning }, 'policy warning');
    const { passed, failed, skipped } = built.tests;
    if (passed === 0) this.#options.log.warn({ revision: snapshot.revision }, 'the policy has no tests');
    const entry = { layer: built.layer, tests: { passed, failed, skipped } };
    this.#layers.set(snapshot.digest, entry);
    const oldest = this.#layers.keys().next().value;
    if (this.#layers.size > layers_kept && oldest !== undefined) this.#layers.delete(oldest);
    return { ...entry, how: 'built' };
  }

  /** Puts a revision into force that lies on disk. False where it does not, or is not whole. */
  async #restore(id: string, how: Activation['how']): Promise<boolean> {
    let revision: Revision;
    let stored: Stored | undefined;
    try {
      stored = await this.#stored(id);
      if (stored === undefined) return false;
      // What lies here may be older than the demand for a signature, or come from what was tried without one.
      if (this.#options.source.accepts?.(stored.commit) === false)
        throw refusal('unsigned', `${id} was not signed by one of policy.signing.keys when it was read`);
      revision = await this.#options.engine.prepare(id, [stored.layer]);
    } catch (error) {
      this.#options.log.error({ revision: id, error: messageOf(error) }, 'the bundle on disk cannot be used');
      return false;
    }
    const previous = this.#status.revision;
    this.#options.engine.activate(revision);
    const { commit } = stored;
    this.#inForce({ revision: id, at: new Date().toISOString(), how, ...(commit && { commit }) }, {});
    if (how === 'restored') {
      this.#options.log.warn({ revision: id }, 'the policy in force is the last good one on disk');
      this.#emit({
        type: 'activated',
        revision: id,
        ...(previous !== undefined && { previous }),
        how,
        ...(commit && { commit }),
        duration_ms: 0,
      });
    }
    await this.#writeStatus().catch((error: unknown) =>
      this.#options.log.error({ error: messageOf(error) }, 'the policy status could not be written'),
    );
    return true;
  }

  /** What was promoted is kept with what was in force, so that it outlives what is tried after it. */
  async #stored(id: string): Promise<Stored | undefined> {
    const own = await this.#store.load(id);
    if (own !== undefined) return own;
    const candidate = await this.#candidates?.load(id);
    if (candidate !== undefined) await this.#store.save(candidate);
    return candidate;
  }

  #carryOut(order: NumberedOrder): Promise<OrderAnswer> {
    const { source, candidates, log } = this.#options;
    return carryOut(order, {
      status: () => this.#status,
      set: (changes) => this.#set(changes),
      emit: (event) => this.#emit(event),
      restore: (revision, how) => this.#restore(revision, how),
      sourceDecides: () => {
        this.#refused = undefined;
      },
      head: () => source.head(),
      kept: async () => [...(await this.#store.list()), ...((await this.#candidates?.list()) ?? [])],
      candidate: async () => (candidates === undefined ? undefined : (await readStatus(candidates))?.revision),
      writeStatus: () => this.#writeStatus(),
      desk: this.#desk,
      log,
    });
  }

  async #refuse(head: string | undefined, error: unknown, started: number): Promise<void> {
    const message = messageOf(error);
    this.#failure = error instanceof Error ? error : new Error(message);
    const repeated = this.#refused !== undefined && this.#refused.head === head && this.#refused.error === message;
    // A policy that is wrong stays wrong until it changes; what surrounds it may get better by itself.
    const passing =
      !(error instanceof BundleError) ||
      head === undefined ||
      error.problems.some(({ code }) => code.startsWith('opa_'));
    this.#refused = { head, error: message, until: passing ? Date.now() + retry_ms : Infinity };
    if (repeated) return;
    const problems = error instanceof BundleError ? error.problems : [{ code: 'failed', message }];
    const at = new Date().toISOString();
    const duration_ms = Math.round(performance.now() - started);
    this.#set({
      last: { ...(head !== undefined && { revision: head }), at, ok: false, error: message, problems, duration_ms },
    });
    const in_force = this.#status.revision;
    this.#options.log.error(
      { revision: head, in_force, problems },
      `policy refused${in_force === undefined ? '' : '; the last good one stays in force'}: ${message}`,
    );
    this.#emit({
      type: 'refused',
      ...(head !== undefined && { revision: head }),
      error: message,
      problems,
      ...(in_force !== undefined && { in_force }),
    });
    await this.#writeStatus().catch((failure: unknown) =>
      this.#options.log.error({ error: messageOf(failure) }, 'the policy status could not be written'),
    );
  }

  #isRefused(head: string): boolean {
    return this.#refused !== undefined && this.#refused.head === head && Date.now() < this.#refused.until;
  }

  /** The source is back at what is in force, perhaps after something that was refused. */
  async #unchanged(head: string): Promise<void> {
    this.#refused = undefined;
    if (this.#status.pinned !== undefined) {
      // What was ordered is what the source has by now: it decides again.
      await this.#desk.unpin();
      this.#set({ pinned: undefined });
      await this.#writeStatus();
    }
    if (this.#status.last?.ok === true && !this.#status.restored) return;
    this.#set({ restored: false, last: { revision: head, at: new Date().toISOString(), ok: true, duration_ms: 0 } });
    this.#options.log.info({ revision: head }, 'the policy source is back at the revision in force');
    await this.#writeStatus();
  }

  #inForce(activation: Activation, changes: { last?: Attempt; pinned?: undefined }): void {
    const { commit: _commit, pinned, ...rest } = this.#status;
    this.#status = {
      ...rest,
      revision: activation.revision,
      since: activation.at,
      ...(activation.commit && { commit: activation.commit }),
      restored: activation.how === 'restored',
      ...(pinned !== undefined && !('pinned' in changes) && { pinned }),
      ...(changes.last && { last: changes.last }),
      history: [activation, ...this.#status.history].slice(0, history_max),
    };
    this.#options.onStatus?.();
  }

  #set(changes: Partial<PolicyStatus>): void {
    this.#status = { ...this.#status, ...changes };
    this.#options.onStatus?.();
  }

  #emit(event: PolicyEvent): void {
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      this.#options.log.error({ error: messageOf(error) }, 'a listener to policy events failed');
    }
  }

  #writeStatus(): Promise<void> {
    return writeStatus(this.#options.directory, this.#status);
  }
}
