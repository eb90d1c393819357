import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Decision, Input } from '#engine';
import type { Logger } from 'pino';
import { packageRoot } from '../../bundles/index.js';
import type { Tally } from '../replay/tally.js';
import type { Differences } from './differences.js';
import type { ShadowTask, Witnessed } from './judge.js';

/**
 * Judges real traffic a second time, by the revision that is tried, in a thread of its own: whatever happens there, no
 * operation waits for it, and none is decided otherwise. What it may cost is bounded: what comes faster than it is judged is
 * dropped, and counted.
 */
export interface ShadowOptions {
  readonly differences: Differences;
  readonly log: Logger;
  readonly now: () => number;
  /** Told after each batch. */
  readonly onCounted: () => void;
  readonly limits?: Partial<typeof shadowLimits>;
}

export const shadowLimits = {
  /** Operations that wait to be judged. */
  queue_max: 1_000,
  /** In a second: what they cost the thread that serves clients is that of writing them as JSON, some 10 µs each. */
  perSecond_max: 2_000,
  /** Given to the thread at once. */
  batch_max: 50,
  /** Memory of the thread, beside what WebAssembly takes. */
  heap_mib_max: 256,
  /** After the thread has failed, before it is tried again. */
  retry_ms: 30_000,
};

/** Answers of the gateway, not of policy: no revision would have decided them otherwise. */
const notOfPolicy: ReadonlySet<string> = new Set(['token_expired', 'usage_unavailable', 'obligation_unsupported']);

export class Shadow {
  readonly #options: ShadowOptions;
  readonly #limits: typeof shadowLimits;
  #task: ShadowTask | undefined;
  #enforcing: string | undefined;
  #worker: Worker | undefined;
  #queue: Witnessed[] = [];
  /** Operations that the thread has before it; undefined: it is free. */
  #given: { readonly operations: number; readonly enforcing: string } | undefined;
  #soon: NodeJS.Immediate | undefined;
  #second = 0;
  #inSecond = 0;
  #failed_ms: number | undefined;

  constructor(options: ShadowOptions) {
    this.#options = options;
    this.#limits = { ...shadowLimits, ...options.limits };
  }

  /** Which revision is tried (undefined: none) beside which. What waits was decided by another, and goes. */
  async between(enforcing: string | undefined, task: ShadowTask | undefined): Promise<void> {
    const same = task?.id === this.#task?.id;
    this.#task = task;
    this.#enforcing = enforcing;
    this.#queue = [];
    this.#options.differences.between(enforcing, task?.id);
    if (same) return;
    this.#failed_ms = undefined;
    this.#options.differences.failure = undefined;
    await this.#stop();
  }

  /** Takes a copy of nothing and waits for nothing: input and decision are immutable. */
  witness(input: Input, decision: Decision): void {
    const { revision, reasons } = decision;
    if (this.#task === undefined || revision !== this.#enforcing || revision === this.#task.id) return;
    if (notOfPolicy.has(reasons[0]?.code ?? '')) return;
    const second = Math.floor(this.#options.now() / 1000);
    if (second !== this.#second) [this.#second, this.#inSecond] = [second, 0];
    if (this.#queue.length >= this.#limits.queue_max || this.#inSecond >= this.#limits.perSecond_max || this.#resting) {
      this.#options.differences.drop();
      return;
    }
    this.#inSecond += 1;
    this.#queue.push({ input, decision });
    this.#soon ??= setImmediate(() => this.#give());
  }

  async close(): Promise<void> {
    this.#task = undefined;
    this.#queue = [];
    await this.#stop();
  }

  get #resting(): boolean {
    return this.#failed_ms !== undefined && this.#options.now() - this.#failed_ms < this.#limits.retry_ms;
  }

  #give(): void {
    this.#soon = undefined;
    if (this.#given !== undefined || this.#queue.length === 0 || this.#task === undefined) return;
    const batch = this.#queue.splice(0, this.#limits.batch_max);
    this.#worker ??= this.#start(this.#task);
    this.#given = { operations: batch.length, enforcing: this.#enforcing! };
    this.#worker.postMessage(JSON.stringify(batch));
  }

  #start(task: ShadowTask): Worker {
    const worker = new Worker(workerFile(), {
      workerData: task,
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: this.#limits.heap_mib_max },
    });
    worker.unref();
    worker.on('message', (tally: Tally) => {
      if (worker === this.#worker) this.#counted(tally, task.id);
    });
    worker.on('error', (error: unknown) => {
      if (worker === this.#worker) this.#fail(error);
    });
    return worker;
  }

  #counted(tally: Tally, shadow: string): void {
    const { differences, onCounted } = this.#options;
    differences.add(tally, this.#given!.enforcing, shadow);
    differences.failure = undefined;
    this.#failed_ms = undefined;
    this.#given = undefined;
    onCounted();
    if (this.#queue.length > 0) this.#soon ??= setImmediate(() => this.#give());
  }

  #fail(error: unknown): void {
    const { differences, log, now, onCounted } = this.#options;
    differences.drop((this.#given?.operations ?? 0) + this.#queue.length);
    this.#queue = [];
    this.#given = undefined;
    this.#worker = undefined;
    this.#failed_ms = now();
    differences.failure = error instanceof Error ? error.message : String(error);
    log.error(
      { err: error, revision: this.#task?.id },
      'the revision that is tried cannot judge; nothing waits for it',
    );
    onCounted();
  }

  async #stop(): Promise<void> {
    clearImmediate(this.#soon);
    this.#soon = undefined;
    this.#given = undefined;
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

/** Beside this file; where that is a source, as in tests, the built one. */
function workerFile(): URL {
  const beside = new URL('./worker.js', import.meta.url);
  return existsSync(beside) ? beside : pathToFileURL(path.join(packageRoot, 'dist/gateway/rollout/worker.js'));
}
