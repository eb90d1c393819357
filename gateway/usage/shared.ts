import { createHash } from 'node:crypto';
import type { Taint, Usage } from '#engine';
import type { Logger } from 'pino';
import { StateError } from '../errors.js';
import type { Database, Queries } from '../state/database.js';
import type { Chore } from '../state/housekeeping.js';
import { Counter, type Spent, type Totals } from './counters.js';
import type { Account, Scopes } from './ledger.js';
import { Unwritten, type Spends } from './unwritten.js';
import { lockRows, makeRows, readLabels, writeLabels, writeRows, type Rows } from './rows.js';
import type { Label } from './taints.js';

/**
 * Counters and labels that several gateways share, and that outlive each of them.
 *
 * Where the policy in force reads them, what a principal does is judged one after the other: rows are locked, every
 * operation that has come meanwhile is judged with what those before it have used, what they use is written, and only once
 * that is committed does any of them go on. So a budget of a hundred lets a hundred through, on however many gateways.
 * Where policy does not read them nothing waits: what was used is added up here and written down a moment later.
 */
export interface Charge {
  readonly spent: Spent;
  readonly taints?: readonly Taint[] | undefined;
}

/** Decides with what has been used and seen so far; called within the lock, so it waits for nothing. */
export type Judge = (usage: Usage, taint: readonly string[]) => Charge;

interface Item {
  readonly account: Account;
  readonly judge: Judge;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/** One principal's operations, in the order in which they came. */
interface Till {
  readonly items: Item[];
}

/** Judged within one transaction: the lock is held for the time that these take. */
const items_max = 64;
const write_every_ms = 1_000;
/** So many rows are locked at once by what is written in the background. */
const scopes_max = 100;

export interface SharedUsageParts {
  readonly database: Database;
  readonly log: Logger;
  readonly now: () => number;
  /** Whether there is a state to share, by now. */
  readonly active: () => boolean;
}

export class SharedUsage {
  readonly #parts: SharedUsageParts;
  readonly #tills = new Map<string, Till>();
  readonly #unwritten: Unwritten;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(parts: SharedUsageParts) {
    this.#parts = parts;
    this.#unwritten = new Unwritten(() =>
      parts.log.error({}, 'usage that could not be written down for too long is forgotten: the state is out of reach'),
    );
    this.#again();
  }

  get active(): boolean {
    return this.#parts.active();
  }

  /** Resolves once what `judge` charges is committed. Rejects with StateError, and then nothing was charged. */
  take(account: Account, judge: Judge): Promise<void> {
    const { principal } = account.scopes;
    return new Promise((done, failed) => {
      const till = this.#tills.get(principal) ?? { items: [] };
      till.items.push({ account, judge, done, failed });
      if (this.#tills.has(principal)) return;
      this.#tills.set(principal, till);
      void this.#run(principal, till);
    });
  }

  /** Written down within a second or two, or with the next operation of this principal that has to wait. */
  spend(account: Account, spent: Spent): void {
    if (this.active) this.#unwritten.add(account.scopes, spent, this.#parts.now());
  }

  /** Writes what there is. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#writing;
    if (this.active && this.#parts.database.healthy) await this.#writeAll();
  }

  async #run(principal: string, till: Till): Promise<void> {
    while (till.items.length > 0) {
      const items = till.items.splice(0, items_max);
      const spends = this.#unwritten.takeOf(principal);
      try {
        await this.#batch(items, spends);
        for (const { done } of items) done();
      } catch (error) {
        this.#unwritten.putBack(spends);
        for (const { failed } of items) failed(error);
      }
    }
    this.#tills.delete(principal);
  }

  async #batch(items: readonly Item[], spends: readonly Spends[]): Promise<void> {
    const { database, now } = this.#parts;
    const scopes = [...items.map(({ account }) => account.scopes), ...spends.map((one) => one.scopes)];
    const keys = new Map(scopes.flatMap((one) => triple(one)).map((name) => [name, keyOf(name)]));
    const works = new Map(items.map(({ account }) => [account.scopes.purpose, keyOf(account.scopes.purpose)]));
    const attempt = async (queries: Queries) => {
      const rows = await lockRows(queries, [...keys.values()]);
      if (rows === undefined) return undefined;
      const labels = await readLabels(queries, [...works.values()], now());
      const sheet = new Sheet(keys, rows, labels);
      for (const { scopes: of, spent, at_ms } of spends) sheet.add(of, spent, at_ms);
      for (const { account, judge } of items) {
        const now_ms = now();
        const charge = judge(sheet.usage(account.scopes, now_ms), sheet.taint(account.scopes, now_ms));
        sheet.add(account.scopes, charge.spent, now_ms);
        sheet.mark(account.scopes, charge.taints ?? [], now_ms);
      }
      await writeRows(queries, sheet.rows());
      if (sheet.news.length > 0) await writeLabels(queries, sheet.news);
      return sheet;
    };
    let after = await database.transaction(attempt);
    if (after === undefined) {
      await makeRows(database, [...keys.values()]);
      after = await database.transaction(attempt);
    }
    if (after === undefined) throw new StateError('a counter was deleted while it was wanted', { retryable: true });
    const known = after;
    for (const { account } of items) account.learn(known.totals(account.scopes), known.labels(account.scopes));
  }

  #again(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      const idle = !this.active || !this.#parts.database.healthy;
      this.#writing = (idle ? Promise.resolve() : this.#writeAll())
        .catch((error: unknown) => {
          if (!(error instanceof StateError)) this.#parts.log.error({ err: error }, 'usage could not be written down');
        })
        .finally(() => this.#again());
    }, write_every_ms);
    this.#timer.unref();
  }

  async #writeAll(): Promise<void> {
    for (;;) {
      const spends = this.#unwritten.take(scopes_max);
      if (spends.length === 0) return;
      try {
        await this.#batch([], spends);
      } catch (error) {
        this.#unwritten.putBack(spends);
        throw error;
      }
    }
  }
}

/** The rows of one transaction, as they change. */
class Sheet {
  readonly news: (Label & { readonly work: string })[] = [];
  readonly #keys: ReadonlyMap<string, string>;
  readonly #counters = new Map<string, Counter>();
  readonly #labels: Map<string, Map<string, number>>;

  constructor(keys: ReadonlyMap<string, string>, rows: Rows, labels: Map<string, Map<string, number>>) {
    this.#keys = keys;
    this.#labels = labels;
    for (const [key, totals] of rows) {
      const counter = new Counter();
      counter.load(totals);
      this.#counters.set(key, counter);
    }
  }

  usage(scopes: Scopes, now_ms: number): Usage {
    const [principal, purpose, target] = this.#of(scopes);
    return { ...principal.read(now_ms), purpose: purpose.read(now_ms), target: target.read(now_ms) };
  }

  taint(scopes: Scopes, now_ms: number): readonly string[] {
    return this.labels(scopes)
      .filter(({ until_ms }) => until_ms > now_ms)
      .map(({ label }) => label)
      .sort();
  }

  add(scopes: Scopes, spent: Spent, now_ms: number): void {
    for (const counter of this.#of(scopes)) counter.add(spent, now_ms);
  }

  mark(scopes: Scopes, taints: readonly Taint[], now_ms: number): void {
    const work = this.#keys.get(scopes.purpose)!;
    for (const { label, for_ms } of taints) {
      const labels = this.#labels.get(work) ?? new Map<string, number>();
      this.#labels.set(work, labels);
      const until_ms = now_ms + for_ms;
      // A label is renewed by every operation that earns it: what is nearly as young is not written again.
      if ((labels.get(label) ?? 0) >= until_ms - for_ms / 20) continue;
      labels.set(label, until_ms);
      this.news.push({ work, label, until_ms });
    }
  }

  totals(scopes: Scopes): [Totals, Totals, Totals] {
    const [principal, purpose, target] = this.#of(scopes);
    return [principal.totals(), purpose.totals(), target.totals()];
  }

  labels({ purpose }: Scopes): Label[] {
    const labels = this.#labels.get(this.#keys.get(purpose)!) ?? new Map<string, number>();
    return [...labels].map(([label, until_ms]) => ({ label, until_ms }));
  }

  rows(): Rows {
    return new Map([...this.#counters].map(([key, counter]) => [key, counter.totals()]));
  }

  #of({ principal, purpose, target }: Scopes): [Counter, Counter, Counter] {
    return [this.#counter(principal), this.#counter(purpose), this.#counter(target)];
  }

  #counter(name: string): Counter {
    const counter = this.#counters.get(this.#keys.get(name) ?? '');
    if (counter === undefined) throw new Error('a counter was not locked before it was read');
    return counter;
  }
}

const triple = ({ principal, purpose, target }: Scopes) => [principal, purpose, target];

/** Rows name nobody. */
const keyOf = (scope: string) => createHash('sha256').update(scope).digest('base64url');

/** What can say nothing any more: a day that has been over for one, labels that have ended. */
export const usageChores: readonly Chore[] = [
  {
    what: 'usage',
    text: `delete from sallyport.usage where key in (
      select key from sallyport.usage where day < floor(extract(epoch from now()) / 86400)::int - 1
       order by day limit $1 for update skip locked)
      returning 1`,
    values: [],
  },
  {
    what: 'taints',
    text: `delete from sallyport.taints where (work, label) in (
      select work, label from sallyport.taints where until < extract(epoch from now()) * 1000 - 3600000
       limit $1 for update skip locked)
      returning 1`,
    values: [],
  },
];
