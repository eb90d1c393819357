import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { Judge, type Judged, type Task } from './judge.js';
import { Kinds, type Kind } from './kinds.js';
import { Tallier, type Tally } from './tally.js';

/**
 * Decides what was recorded under two revisions of the policy. Records are read once, in batches, and never held as a
 * whole: whatever the size of the audit, memory is bounded.
 */
export interface ReplayOptions {
  readonly task: Task;
  /** Audit files, or files of input documents, one JSON object a line. */
  readonly files: readonly string[];
  /** Threads. 0: in this one. */
  readonly workers: number;
  readonly operations_max?: number;
  readonly progress?: (operations: number) => void;
}

export interface Replayed {
  readonly tally: Tally;
  /** In the order of the files; at most `task.kinds_max`. */
  readonly kinds: readonly Kind[];
  /** True where there were more kinds than that. */
  readonly more_kinds: boolean;
}

/** Lines, and how many were read before them. */
export interface Batch {
  readonly lines: readonly string[];
  readonly first: number;
}

const batch_lines = 200;
/** Batches that a worker may have before it, so that it never waits and memory stays bounded. */
const ahead_max = 2;

export async function replay(options: ReplayOptions): Promise<Replayed> {
  const tallier = new Tallier();
  const { kinds_max = 0 } = options.task;
  const kept = new Kinds(kinds_max);
  const pool = options.workers === 0 ? await Here.start(options.task) : await Pool.start(options.task, options.workers);
  let operations = 0;
  const take = ({ tally, kinds }: Judged) => {
    tallier.merge(tally);
    for (const kind of kinds) kept.add(kind);
    operations += tally.operations;
    options.progress?.(operations);
  };
  try {
    let first = 0;
    for await (const lines of batches(options.files)) {
      if (operations >= (options.operations_max ?? Infinity)) break;
      await pool.give({ lines, first }, take);
      first += lines.length;
    }
    await pool.done();
  } finally {
    await pool.end();
  }
  const kinds = kept.all();
  return { tally: tallier.done(), kinds, more_kinds: kinds_max > 0 && (kept.beyond > 0 || kinds.length === kinds_max) };
}

async function* batches(files: readonly string[]): AsyncGenerator<string[]> {
  let batch: string[] = [];
  for (const file of files) {
    const reader = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
    for await (const line of reader) {
      if (line === '') continue;
      batch.push(line);
      if (batch.length < batch_lines) continue;
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

type Take = (judged: Judged) => void;

class Here {
  private constructor(readonly judge: Judge) {}
  static async start(task: Task): Promise<Here> {
    return new Here(await Judge.create(task));
  }
  give({ lines, first }: Batch, take: Take): Promise<void> {
    take(this.judge.judge(lines, first));
    return Promise.resolve();
  }
  done(): Promise<void> {
    return Promise.resolve();
  }
  end(): Promise<void> {
    return Promise.resolve();
  }
}

class Thread {
  readonly worker: Worker;
  readonly waiting: Take[] = [];
  constructor(task: Task) {
    this.worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: task });
  }
}

class Pool {
  readonly #threads: readonly Thread[];
  #failure: Error | undefined;
  /** Called whenever a thread has answered, or has failed. */
  #wake: () => void = () => undefined;

  private constructor(threads: readonly Thread[]) {
    this.#threads = threads;
    for (const thread of threads) {
      thread.worker.on('message', (message: Judged | 'ready') => {
        if (message !== 'ready') thread.waiting.shift()!(message);
        this.#wake();
      });
      thread.worker.on('error', (error) => {
        this.#failure = error instanceof Error ? error : new Error(String(error));
        this.#wake();
      });
    }
  }

  static start(task: Task, workers: number): Promise<Pool> {
    return Promise.resolve(new Pool(Array.from({ length: workers }, () => new Thread(task))));
  }

  async give(batch: Batch, take: Take): Promise<void> {
    await this.#until(() => this.#threads.some(({ waiting }) => waiting.length < ahead_max));
    const thread = [...this.#threads].sort((one, other) => one.waiting.length - other.waiting.length)[0]!;
    thread.waiting.push(take);
    thread.worker.postMessage(batch);
  }

  done(): Promise<void> {
    return this.#until(() => this.#threads.every(({ waiting }) => waiting.length === 0));
  }

  async end(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  async #until(condition: () => boolean): Promise<void> {
    while (this.#failure === undefined && !condition()) await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#failure !== undefined) throw this.#failure;
  }
}
