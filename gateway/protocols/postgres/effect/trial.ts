import { effect_bytes_max, type Effect, type EffectOnRelation, type Hold, type SampleRow } from '../../../protocol.js';
import { AskFailed, type Exchange } from '../session/exchange.js';
import type { ExpectationEnd } from '../session/expectation.js';
import type { Template } from '../judging/statement.js';
import type { Look } from '../sql/look.js';
import { unsafe } from './bodies.js';
import { between, look, newIn, type Standing } from './counts.js';
import { expected } from './estimate.js';
import type { Reading } from './reading.js';
import { relations_max, remember, sample, wanted, type Readable } from './samples.js';
import { Withheld } from './withheld.js';

/**
 * A statement that is run before it is answered, so that whoever answers sees what it does: in a transaction of the
 * gateway's own, or behind a savepoint where its client has one open. Its client hears nothing of it before the answer, not
 * even that it fails: what it may learn by it is what it waits for.
 *
 *     begin ──▶ look, remember ──▶ run, answer withheld ──▶ force what is deferred ──▶ look, sample ──▶ open
 *                                        │ fails, too long, too much                                      │
 *                                        ▼                                                   commit ◀─────┴─────▶ undo
 *                                 undo, and the plan's estimate
 */
export interface TrialParts {
  readonly exchange: Exchange;
  readonly reading: Reading;
  readonly hold: Hold;
  /** Stops what the server runs; resolves when it has been told. */
  cancel(): Promise<void>;
  /** The catalog is not as it was judged by. */
  outdated(): void;
  readonly run: Run;
}

/** What is run, and how. */
export interface Run {
  readonly template: Template;
  /** The text that leaves. */
  readonly text: string;
  /** As texts; undefined where they are not known as such. */
  readonly parameters: readonly (string | null)[] | undefined;
  /** What the server says may hold values that are masked. */
  readonly guarded: boolean;
  /** What the catalog is compared with before it and behind it, in its transaction; absent: it is not. */
  readonly looks?: readonly [before: Look, behind: Look];
  /** Whether there is something that its snapshot does not show. */
  differs?(): Promise<boolean>;
  /** Why it cannot be run ahead where it stands; undefined where it can. */
  reason(): Promise<string | undefined>;
  /** Sends it; resolves when it has been answered and the server is ready again. */
  send(): Promise<ExpectationEnd>;
}

/** How long it may wait for what others have locked. */
const lock_ms_max = 2_000;
const run_ms_max = 30_000;
const sample_ms_max = 2_000;
const explain_ms_max = 5_000;
/** The server gives up by itself where the gateway has not by then. */
const margin_ms = 30_000;

const settings = ['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout'] as const;

type State = 'running' | 'open' | 'undone' | 'estimated' | 'over';

export class Trial {
  readonly #parts: TrialParts;
  readonly #exchange: Exchange;
  readonly #name: string;
  readonly #ask: (sql: string, parameters?: readonly (string | null)[]) => Promise<(string | null)[][]>;
  readonly #expires_ms: number;
  #state: State = 'running';
  #inside = false;
  #withheld = new Withheld();
  #end: ExpectationEnd | undefined;
  #before: readonly (string | null)[] = [];
  #cursors = new Map<string, string>();
  #shown: readonly EffectOnRelation[] = [];
  #work: Promise<void>;
  #running = false;
  #cancelled: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: TrialParts) {
    this.#parts = parts;
    this.#exchange = parts.exchange;
    this.#name = `${parts.exchange.own}_effect`;
    this.#ask = (sql, parameters = []) => this.#exchange.ask(sql, parameters);
    this.#expires_ms = parts.hold.expires_ms;
    this.#work = this.#begin();
  }

  /** It ran, and a commit keeps it. */
  get stands(): boolean {
    return this.#state === 'open';
  }

  /** It ran and did what was shown, and was undone so that others need not wait. */
  get isUndone(): boolean {
    return this.#state === 'undone';
  }

  /** What the execution was answered with. */
  get end(): ExpectationEnd | undefined {
    return this.#end;
  }

  /** The wait is over: true where the answer is yes. Resolves when nothing of it is under way. Never rejects. */
  async answered(yes: boolean): Promise<void> {
    clearTimeout(this.#timer);
    if (!yes) this.stop();
    await this.#work;
    await this.#cancelled;
    if (!yes) await this.undo();
  }

  /** Nobody waits for it: what runs of it is cancelled. */
  stop(): void {
    if (this.#running) this.#cancelled ??= this.#parts.cancel();
  }

  /**
   * Approved after it was undone, so that others need not wait: it runs once more. True where it does what was shown, and
   * stands; else it is undone again.
   */
  async repeat(): Promise<boolean> {
    if (this.#state !== 'undone') return false;
    const shown = JSON.stringify(this.#shown.map(({ sample: _, ...counts }) => counts));
    this.#withheld = new Withheld();
    const reason = await this.#measure(false);
    if (reason !== undefined) return false;
    const now = JSON.stringify(this.#shown.map(({ sample: _, ...counts }) => counts));
    if (now === shown) return true;
    await this.undo();
    return false;
  }

  /**
   * Keeps what it did. Resolves with the answer for the client, or with the server's error where it could not be kept:
   * then nothing of it was.
   */
  async commit(): Promise<{ readonly answer: Buffer } | { readonly error: Buffer; readonly sqlstate: string }> {
    const words = new Withheld();
    this.#exchange.responses.divert(words);
    try {
      if (this.#inside) {
        for (const cursor of this.#cursors.values()) await this.#ask(`close ${cursor}`);
        await this.#restore();
        await this.#ask(`release savepoint ${this.#name}`);
      } else {
        await this.#exchange.ask('commit', [], { tells: true });
      }
      return { answer: this.#withheld.take() };
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      return { error: words.take(), sqlstate: error.sqlstate };
    } finally {
      this.#exchange.responses.divert(undefined);
      this.#state = 'over';
    }
  }

  /** Takes back what it did. Never rejects: where it cannot, the session is over, and the server does. */
  async undo(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#state !== 'open') return;
    this.#state = 'undone';
    await this.#back();
  }

  async #back(): Promise<void> {
    this.#cursors.clear();
    if (this.#exchange.over) return;
    try {
      if (this.#inside) {
        await this.#exchange.ask(`rollback to savepoint ${this.#name}`, [], { inFailed: true });
        await this.#ask(`release savepoint ${this.#name}`);
      } else if (this.#exchange.transaction !== 'I') {
        await this.#exchange.ask('rollback', [], { inFailed: true });
      }
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
    }
  }

  /** Never rejects. */
  async #begin(): Promise<void> {
    try {
      const { hold, run } = this.#parts;
      try {
        await hold.previewing();
      } catch {
        this.#state = 'estimated';
        await this.#show({
          basis: 'estimated',
          reason: 'it could not be recorded, so nothing was run',
          relations: [],
          notes: [],
        });
        return;
      }
      let reason = await run.reason();
      try {
        reason ??= await unsafe(run.template, (sql, values) => this.#exchange.ask(sql, values, { interpreted: true }));
      } catch (error) {
        if (!(error instanceof AskFailed)) throw error;
        reason = `it could not be looked into: ${error.message}`;
      }
      reason ??= await this.#measure(true);
      if (reason !== undefined && !this.#exchange.over) await this.#estimate(reason);
    } catch {
      // The state is lost, or the session: the request goes on without an effect, or is over.
      if (this.#state === 'running') this.#state = 'estimated';
    }
  }

  /** Runs it, and looks. Resolves with why that could not be, and then nothing is left of it. */
  async #measure(first: boolean): Promise<string | undefined> {
    const held_ms = Math.min(this.#parts.hold.preview_ms, Math.max(this.#expires_ms - Date.now(), 1_000));
    this.#inside = this.#exchange.transaction === 'T';
    let reason: string | undefined;
    let effect: Effect | undefined;
    this.#running = true;
    try {
      await this.#ask(this.#inside ? `savepoint ${this.#name}` : 'begin');
      const outcome = await this.#run(held_ms);
      if (typeof outcome === 'string') reason = outcome;
      else effect = { ...outcome, held_until_ms: Date.now() + held_ms };
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      reason = `it could not be measured: ${this.#said(error.sqlstate, error.message)}`;
    } finally {
      this.#running = false;
    }
    await this.#cancelled;
    if (effect === undefined || this.#exchange.over) {
      await this.#back();
      return reason ?? 'the session is over';
    }
    this.#state = 'open';
    this.#shown = effect.relations;
    if (first) {
      await this.#show(effect);
      this.#timer = setTimeout(() => this.#giveUp(effect), held_ms);
    }
    return undefined;
  }

  /** Others wait for what it has locked: it is undone, and will run again once it is approved. */
  #giveUp({ held_until_ms: _, ...effect }: Effect): void {
    this.#work = this.#work.then(async () => {
      if (this.#state !== 'open') return;
      await this.undo();
      const note =
        'it was undone meanwhile, so that nobody waits for it; approved, it runs again, and is kept if it does the same';
      await this.#show({ ...effect, notes: [...effect.notes, note] }).catch(() => undefined);
    });
  }

  async #run(held_ms: number): Promise<Effect | string> {
    const { run } = this.#parts;
    const [old] = await this.#ask(
      `select ${settings.map((name) => `pg_catalog.current_setting('${name}')`).join(', ')}`,
    );
    this.#before = old ?? [];
    await this.#set({
      lock_timeout: String(lock_ms_max),
      statement_timeout: String(run_ms_max),
      idle_in_transaction_session_timeout: String(held_ms + margin_ms),
      [wanted]: '',
    });
    const before = await look(this.#ask);
    if (!before.counting) return 'the server counts no rows (track_counts is off)';
    const named = this.#named();
    const readable = await this.#remember(named);
    const { looks } = run;
    if (looks !== undefined && !(await this.#isSame(looks[0]))) return hasChanged;
    this.#exchange.responses.divert(this.#withheld);
    this.#end = await run.send().finally(() => this.#exchange.responses.divert(undefined));
    const { error } = this.#end;
    if (error !== undefined) return `it fails: ${this.#said(error.code, error.message)}`;
    if (this.#withheld.overflowed) return 'its answer is too large to be kept until then';
    if (looks !== undefined && !(await this.#isSame(looks[1]))) return hasChanged;
    if (await run.differs?.()) return hasChanged;
    return this.#observe(before, named, readable);
  }

  async #isSame({ telling, values }: Look): Promise<boolean> {
    const [row] = await this.#ask(telling, values);
    const isSame = row?.[0] === 't';
    if (!isSame) this.#parts.outdated();
    return isSame;
  }

  async #observe(
    before: Standing,
    named: ReadonlySet<string>,
    readable: Map<string, Readable>,
  ): Promise<Effect | string> {
    const notes: string[] = [];
    // In the client's own transaction what is deferred stays so: it is forced to be seen, and taken back.
    const forced = await this.#attempt(
      () => this.#ask('set constraints all immediate'),
      this.#inside,
      async () => {
        const after = await look(this.#ask);
        const relations = between(before, after, named);
        const ids = newIn(after.transactions, before.transactions);
        await this.#set({ statement_timeout: String(sample_ms_max), [wanted]: ids.join(',') });
        const sampled = await this.#sample(relations, readable, notes);
        for (const name of newIn(after.sequences, before.sequences))
          notes.push(`sequence ${name} goes on counting, also where this is refused`);
        return sampled;
      },
    );
    if (typeof forced !== 'string') return { basis: 'measured', relations: forced, notes };
    if (!this.#inside) return `a constraint that is checked at the end is not met: ${forced}`;
    const after = await look(this.#ask);
    notes.push(`a constraint that is checked at the end of the transaction is not met so far: ${forced}`);
    return { basis: 'measured', relations: between(before, after, named), notes };
  }

  /** Does the first within a savepoint where it may fail; then the second; then goes back where `back`. A failure is told. */
  async #attempt<T>(risky: () => Promise<unknown>, back: boolean, then: () => Promise<T>): Promise<T | string> {
    const point = `${this.#name}_2`;
    await this.#ask(`savepoint ${point}`);
    let made: T | string;
    let failed = false;
    try {
      await risky();
      made = await then();
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      failed = true;
      made = this.#said(error.sqlstate, error.message);
    }
    if (failed || back) await this.#exchange.ask(`rollback to savepoint ${point}`, [], { inFailed: true });
    await this.#ask(`release savepoint ${point}`);
    return made;
  }

  /** Opens cursors on what the statement writes, so far as it says so. */
  async #remember(named: ReadonlySet<string>): Promise<Map<string, Readable>> {
    const { reading, run } = this.#parts;
    const found = new Map<string, Readable>();
    const behind = run.template.statements.flatMap(({ facts }) =>
      facts.relations.filter(writes).map(({ name }) => name),
    );
    for (const name of [...new Set([...named, ...behind])].slice(0, relations_max)) {
      const readable = await reading.of(name);
      if (readable === undefined) continue;
      const cursor = `${this.#name}_c${String(found.size)}`;
      const opened = await this.#attempt(
        () => remember(this.#ask, cursor, readable),
        false,
        () => Promise.resolve(true),
      );
      if (opened !== true) continue;
      found.set(name, readable);
      this.#cursors.set(name, cursor);
    }
    return found;
  }

  async #sample(
    relations: readonly EffectOnRelation[],
    readable: Map<string, Readable>,
    notes: string[],
  ): Promise<EffectOnRelation[]> {
    const shown: EffectOnRelation[] = [];
    let bytes = 0;
    // A function behind the statement may have written what is masked elsewhere into a column that is not.
    const mixed = this.#parts.run.template.opaque && [...readable.values()].some(({ masks }) => masks.length > 0);
    if (mixed)
      notes.push('rows as they are now are not shown: triggers or functions may have written masked values into them');
    for (const [index, counts] of relations.entries()) {
      const { relation } = counts;
      const rows = index < relations_max ? await this.#rows(counts, readable.get(relation), !mixed) : undefined;
      const size = rows === undefined ? 0 : Buffer.byteLength(JSON.stringify(rows));
      // Half of what an effect may have is for the counts and the notes.
      const fits = rows !== undefined && bytes + size <= effect_bytes_max / 2;
      if (fits) bytes += size;
      const written = counts.inserted + counts.updated + counts.deleted > 0;
      if (!fits && written)
        notes.push(`no rows of ${relation} are shown: policy does not let them be read, or they could not be in time`);
      shown.push(fits && rows.length > 0 ? { ...counts, sample: rows } : counts);
    }
    return shown;
  }

  async #rows(
    counts: EffectOnRelation,
    known: Readable | undefined,
    asTheyAre: boolean,
  ): Promise<readonly SampleRow[] | undefined> {
    if (counts.inserted + counts.updated + counts.deleted === 0) return [];
    const readable = known ?? (await this.#parts.reading.of(counts.relation));
    if (readable === undefined) return undefined;
    const point = `${this.#name}_3`;
    await this.#ask(`savepoint ${point}`);
    try {
      const rows = await sample(this.#ask, readable, this.#cursors.get(counts.relation), counts, asTheyAre);
      await this.#ask(`release savepoint ${point}`);
      return rows;
    } catch (error) {
      if (!(error instanceof AskFailed)) throw error;
      await this.#exchange.ask(`rollback to savepoint ${point}`, [], { inFailed: true });
      await this.#ask(`release savepoint ${point}`);
      return undefined;
    }
  }

  /** What the statement itself says that it writes. */
  #named(): Set<string> {
    const { statements } = this.#parts.run.template;
    const written = statements.flatMap(({ facts }) =>
      facts.relations.filter((one) => writes(one) && one.via === undefined),
    );
    return new Set(written.filter(({ type }) => type !== 'view').map(({ name }) => name));
  }

  async #estimate(reason: string): Promise<void> {
    this.#state = 'estimated';
    const { template, text, parameters } = this.#parts.run;
    const [only, ...more] = template.statements;
    const plannable =
      only !== undefined && more.length === 0 && only.control.kind === 'none' && explainable.has(only.facts.kind);
    const notes: string[] = [];
    let relations: readonly EffectOnRelation[] = [];
    if (!plannable || parameters === undefined) notes.push('there is no plan of it that could be asked for');
    else {
      this.#inside = this.#exchange.transaction === 'T';
      this.#running = true;
      try {
        await this.#ask(this.#inside ? `savepoint ${this.#name}` : 'begin read only');
        await this.#set({
          transaction_read_only: 'on',
          statement_timeout: String(explain_ms_max),
          lock_timeout: String(lock_ms_max),
        });
        const rows = await this.#ask(`explain (format json, verbose) ${text}`, parameters);
        relations = expected(rows.map(([line]) => line ?? '').join('\n'));
        notes.push('what cascades and triggers would write is in no plan');
      } catch (error) {
        if (!(error instanceof AskFailed)) throw error;
        notes.push(`the server does not plan it: ${this.#said(error.sqlstate, error.message)}`);
      } finally {
        this.#running = false;
      }
      await this.#cancelled;
      await this.#back();
    }
    await this.#show({ basis: 'estimated', reason, relations, notes });
  }

  async #set(values: Readonly<Record<string, string>>): Promise<void> {
    const calls = Object.keys(values).map(
      (name, index) => `pg_catalog.set_config('${name}', $${String(index + 1)}, true)`,
    );
    await this.#ask(`select ${calls.join(', ')}`, Object.values(values));
  }

  #restore(): Promise<void> {
    const old = Object.fromEntries(settings.map((name, index) => [name, this.#before[index] ?? '0']));
    return this.#set({ ...old, [wanted]: '' });
  }

  /** An error for people: of a statement that meets masked values no more than its code. */
  #said(sqlstate: string, message: string): string {
    return this.#parts.run.guarded ? `SQLSTATE ${sqlstate}` : `${message} (SQLSTATE ${sqlstate})`;
  }

  async #show(effect: Effect): Promise<void> {
    const bounded = Buffer.byteLength(JSON.stringify(effect)) <= effect_bytes_max;
    const withoutRows = effect.relations.map(({ sample: _, ...counts }) => counts);
    await this.#parts.hold.show(
      bounded ? effect : { ...effect, relations: withoutRows, notes: effect.notes.slice(0, 20) },
    );
  }
}

const hasChanged = 'the meaning of a name in it has changed since it was judged';

const explainable: ReadonlySet<string> = new Set(['select', 'values', 'insert', 'update', 'delete', 'merge']);

const writes = ({ access }: { readonly access: string }) =>
  access === 'insert' || access === 'update' || access === 'delete';
