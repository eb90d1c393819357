import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { writeAtomically } from '../../bundles/index.js';
import { summaryOf, type PublishedReport, type Summary } from './published.js';

/** Reports that were published at this gateway: `<state>/replays/<id>.json`, a line of summary and a line with the report. */
export interface Shelved extends Summary {
  readonly id: string;
  readonly published_ms: number;
  readonly by: { readonly issuer: string; readonly subject: string };
}

export const shelfLimits = {
  reports_max: 100,
  /** Of one publisher: what a busy robot sends pushes out its own. */
  reports_each_max: 25,
  age_ms_max: 30 * 86_400_000,
};

const summary_bytes_max = 65_536;
const idForm = /^replay-[0-9a-z]{9}-[0-9a-f]{16}$/;

export class ReplayShelf {
  readonly #folder: string;
  readonly #now: () => number;
  readonly #limits: typeof shelfLimits;
  /** Oldest first. */
  readonly #shelved = new Map<string, Shelved>();
  #opened: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(stateDirectory: string, now: () => number = Date.now, limits: Partial<typeof shelfLimits> = {}) {
    this.#folder = path.join(stateDirectory, 'replays');
    this.#now = now;
    this.#limits = { ...shelfLimits, ...limits };
  }

  /** A new name: the later, the higher. */
  name(): string {
    return `replay-${this.#now().toString(36).padStart(9, '0')}-${randomBytes(8).toString('hex')}`;
  }

  /** Newest first. */
  list(): Promise<readonly Shelved[]> {
    return this.#inTurn(async () => {
      await this.#clear();
      return [...this.#shelved.values()].reverse();
    });
  }

  /** Undefined where it is not there, or no longer. */
  get(id: string): Promise<{ readonly shelved: Shelved; readonly report: PublishedReport } | undefined> {
    return this.#inTurn(async () => {
      await this.#clear();
      const shelved = this.#shelved.get(id);
      if (shelved === undefined) return undefined;
      const text = await readFile(this.#file(id), 'utf8').catch(() => undefined);
      if (text === undefined) return undefined;
      const [, report = ''] = text.split('\n');
      return { shelved, report: JSON.parse(report) as PublishedReport };
    });
  }

  add(id: string, report: PublishedReport, by: Shelved['by']): Promise<Shelved> {
    return this.#inTurn(async () => {
      const shelved: Shelved = { id, published_ms: this.#now(), by, ...summaryOf(report) };
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await writeAtomically(this.#file(id), `${JSON.stringify(shelved)}\n${JSON.stringify(report)}\n`);
      this.#shelved.set(id, shelved);
      await this.#clear();
      return shelved;
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(async () => {
      await (this.#opened ??= this.#read());
      return work();
    });
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** What an earlier process has left; what is no report, or half of one, is taken away. */
  async #read(): Promise<void> {
    const names = await readdir(this.#folder).catch(() => []);
    for (const name of names.sort()) {
      const shelved = await readSummary(path.join(this.#folder, name)).catch(() => undefined);
      if (shelved !== undefined && idForm.test(shelved.id) && name === `${shelved.id}.json`)
        this.#shelved.set(shelved.id, shelved);
      else await rm(path.join(this.#folder, name), { force: true }).catch(() => undefined);
    }
  }

  async #clear(): Promise<void> {
    const { reports_max, reports_each_max, age_ms_max } = this.#limits;
    for (const one of [...this.#shelved.values()]) {
      if (this.#now() - one.published_ms > age_ms_max) await this.#drop(one);
    }
    for (
      let left = this.#byPublisher();
      left.some(({ length }) => length > reports_each_max);
      left = this.#byPublisher()
    )
      await this.#drop(left.find(({ length }) => length > reports_each_max)![0]!);
    // Many publishers together may be too much: whoever has the most loses the oldest.
    while (this.#shelved.size > reports_max) {
      const [most] = this.#byPublisher().sort((a, b) => b.length - a.length);
      await this.#drop(most![0]!);
    }
  }

  /** Oldest first, each. */
  #byPublisher(): Shelved[][] {
    const found = new Map<string, Shelved[]>();
    for (const one of this.#shelved.values()) {
      const who = JSON.stringify([one.by.issuer, one.by.subject]);
      found.set(who, [...(found.get(who) ?? []), one]);
    }
    return [...found.values()];
  }

  async #drop({ id }: Shelved): Promise<void> {
    await rm(this.#file(id), { force: true });
    this.#shelved.delete(id);
  }

  #file(id: string): string {
    if (!idForm.test(id)) throw new Error(`${JSON.stringify(id)} names no report`);
    return path.join(this.#folder, `${id}.json`);
  }
}

async function readSummary(file: string): Promise<Shelved> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(summary_bytes_max), 0, summary_bytes_max, 0);
    const [line = ''] = buffer.subarray(0, bytesRead).toString('utf8').split('\n', 1);
    return JSON.parse(line) as Shelved;
  } finally {
    await handle.close();
  }
}
