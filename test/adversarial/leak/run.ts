import type { WireClient } from '../../support/wire.js';
import type { Case, Step } from './corpus.js';
import { exchange, exchangeAlone, reassembled, signature, type Answer } from './exchange.js';
import { Scanner } from './scan.js';
import { elsewhereSql } from './state.js';
import type { Filled, Subject } from './world.js';

/** What came of a case. */
export interface Verdict {
  readonly case: Case;
  /** Simple, extended, binary: the worst of them counts. */
  readonly outcome: Outcome;
  /** For a person: what was found, or why it was refused. */
  readonly why: string;
}

/**
 * leaked: a canary, or something that depends on one, came to the client, or to where anybody may read it. executed: a
 * statement that had to be refused was not, or changed something. refused: the answer is no. masked: an answer without
 * anything of the sort. error: the server's own error, of the same kind.
 */
export type Outcome = 'leaked' | 'executed' | 'error' | 'refused' | 'masked';

const worst: readonly Outcome[] = ['leaked', 'executed', 'error', 'refused', 'masked'];
/** SQLSTATEs by which a gateway says no; what does not parse, and what comes apart, never left it. */
const refusals = new Set(['42501', '0A000', '28000', '42601', '08P01', '22021', '54000', '54001', '42P01']);
/** Slept for by statements whose time is looked at. */
const slow_ms = 700;
const attempts_max = 3;

/** One of the two databases, behind whatever is tried. */
export interface Side {
  readonly filled: Filled | undefined;
  readonly subject: Subject;
}

export interface Options {
  /** The second differs from the first in masked values alone; undefined where there is only one. */
  readonly a: Side;
  readonly b: Side | undefined;
  readonly canaries: { readonly a: ReadonlySet<string>; readonly b: ReadonlySet<string> };
  /** What the corpus itself says to the server: it may come back. */
  readonly said: readonly string[];
  /** The highest number of an object in the fixture. */
  readonly newest: number;
  readonly only?: 'simple';
}

class Runner {
  private readonly scanners: { readonly a: Scanner; readonly b: Scanner };
  private readonly sessions = new Map<string, WireClient>();
  private digests: { a: string; b: string } | undefined;

  constructor(private readonly options: Options) {
    this.scanners = { a: new Scanner(options.canaries.a), b: new Scanner(options.canaries.b) };
  }

  async run(given: Case): Promise<Verdict> {
    let verdict: Verdict | undefined;
    for (const steps of variants(given, this.options.only)) {
      const next = await this.judge(given, steps);
      if (verdict === undefined || worst.indexOf(next.outcome) < worst.indexOf(verdict.outcome)) verdict = next;
    }
    return verdict ?? { case: given, outcome: 'error', why: 'nothing to run' };
  }

  close(): void {
    for (const client of this.sessions.values()) client.socket.destroy();
    this.sessions.clear();
  }

  private async judge(given: Case, steps: readonly Step[], attempt = 1): Promise<Verdict> {
    const verdict = (outcome: Outcome, why: string): Verdict => ({ case: given, outcome, why });
    const { a, b } = this.options;
    if (given.kind === 'write') this.digests ??= { a: await digest(a), b: await digest(b) };
    const [first, second] = await Promise.all([
      this.perform(given, steps, 'a', a),
      b && this.perform(given, steps, 'b', b),
    ]);
    let changed = false;
    let moved: string | undefined;
    if (given.kind === 'write' && this.digests !== undefined) {
      const after = { a: await digest(a), b: await digest(b) };
      changed = after.a !== this.digests.a || after.b !== this.digests.b;
      if (changed) {
        moved = (await this.elsewhere('a', a)) ?? (await this.elsewhere('b', b));
        await this.restore();
        this.digests = undefined;
      }
    }
    const seen = this.scan('a', first) ?? (second && this.scan('b', second));
    if (seen !== undefined) return verdict('leaked', seen);
    if (moved !== undefined) return verdict('leaked', `${moved} stands where anybody may read it`);
    if (second !== undefined && given.varies === undefined) {
      const [one, other] = [this.signed(given, first), this.signed(given, second)];
      // What depends on masked values does so each time; a connection that breaks off over its last message does so once.
      if (one !== other && attempt < attempts_max) return this.judge(given, steps, attempt + 1);
      if (one !== other) return verdict('leaked', `the answer depends on masked values: ${difference(one, other)}`);
    }
    const error = first.errors.find((fields) => refusals.has(fields['C'] ?? '')) ?? first.errors[0];
    const said = error === undefined ? 'answered' : `${error['C'] ?? ''} ${error['M'] ?? ''}`;
    if (given.expect === 'refused' && (changed || first.errors.length === 0))
      return verdict('executed', changed ? `something was changed; ${said}` : 'it was answered');
    if (error === undefined) return verdict('masked', said);
    return verdict(refusals.has(error['C'] ?? '') ? 'refused' : given.errors ? 'masked' : 'error', said);
  }

  private async perform(given: Case, steps: readonly Step[], name: 'a' | 'b', side: Side): Promise<Answer> {
    if (!given.timed) return this.once(given, steps, name, side);
    // A machine that stalls is slow once; a statement that sleeps, each time.
    let fastest = await this.once(given, steps, name, side);
    for (let attempt = 1; attempt < attempts_max && fastest.elapsed_ms > slow_ms; attempt++) {
      const next = await this.once(given, steps, name, side);
      if (next.elapsed_ms < fastest.elapsed_ms) fastest = next;
    }
    return fastest;
  }

  /** A single statement that only reads shares a session with others; whatever else has one of its own. */
  private async once(given: Case, steps: readonly Step[], name: 'a' | 'b', side: Side): Promise<Answer> {
    const alone = !given.both || given.kind === 'write' || Object.keys(given.parameters).length > 0;
    if (alone) return exchangeAlone(side.subject.open(given.as), given.parameters, steps);
    const key = `${name} ${given.as}`;
    let client = this.sessions.get(key);
    if (client === undefined || client.socket.destroyed || client.socket.readyState !== 'open') {
      client = await side.subject.open(given.as)({});
      this.sessions.set(key, client);
    }
    const answer = await exchange(client, steps);
    if (!answer.clean) {
      client.socket.destroy();
      this.sessions.delete(key);
    }
    return answer;
  }

  private async restore(): Promise<void> {
    // Sessions may be cut off by it.
    this.close();
    await Promise.all([this.options.a.filled?.restore(), this.options.b?.filled?.restore()]);
  }

  private scan(name: 'a' | 'b', answer: Answer): string | undefined {
    for (const bytes of [answer.bytes, reassembled(answer)]) {
      let text = bytes.toString('latin1');
      for (const word of this.options.said) text = text.replaceAll(word, '');
      const found = this.scanners[name].find(Buffer.from(text, 'latin1'));
      if (found !== undefined) return `${found.canary} in ${found.how}`;
    }
    return undefined;
  }

  private async elsewhere(name: 'a' | 'b', side: Side | undefined): Promise<string | undefined> {
    const rows = await side?.filled?.sql(elsewhereSql).catch(() => []);
    const text = rows?.[0]?.['text'];
    const found = this.scanners[name].find(Buffer.from(typeof text === 'string' ? text : '', 'utf8'));
    return found?.canary;
  }

  private signed(given: Case, answer: Answer): string {
    // Where a table's rows stand after writes is the server's affair, and nobody asked for an order.
    const unordered = given.kind === 'write' && !/order\s+by/i.test(JSON.stringify(given));
    return signature(answer, this.options.newest, unordered) + (given.timed ? String(answer.elapsed_ms > slow_ms) : '');
  }
}

/** How many cases that only read are tried at a time: most of the time goes by waiting. */
const readers_max = 4;

/** All of them, in their order. Those that write have the databases to themselves. */
export async function runAll(
  options: Options,
  cases: readonly Case[],
  tell?: (done: number) => void,
): Promise<Verdict[]> {
  const verdicts = new Map<Case, Verdict>();
  const work = async (list: Case[]): Promise<void> => {
    const runner = new Runner(options);
    try {
      for (let given = list.shift(); given !== undefined; given = list.shift()) {
        verdicts.set(given, await runner.run(given));
        tell?.(verdicts.size);
      }
    } finally {
      runner.close();
    }
  };
  const alone = (given: Case) => given.kind === 'write' || given.timed;
  const reads = cases.filter((given) => !alone(given));
  await Promise.all(Array.from({ length: readers_max }, () => work(reads)));
  // Whoever was here before may have left something, if only a sequence that counted on.
  await Promise.all([options.a.filled?.restore(), options.b?.filled?.restore()]);
  await work(cases.filter(alone));
  return cases.flatMap((given) => verdicts.get(given) ?? []);
}

async function digest(side: Side | undefined): Promise<string> {
  return (await side?.filled?.digest().catch(() => 'gone')) ?? '';
}

function variants(given: Case, only: Options['only']): readonly (readonly Step[])[] {
  const [step] = given.steps;
  if (!given.both || typeof step !== 'string') return [given.steps];
  const extended: Step = { extended: step, ...(given.binary ? { results: [1] } : {}) };
  if (only === 'simple' && !given.binary) return [given.steps];
  return [given.steps, [extended]];
}

/** The first place where they differ, and what stands there. */
function difference(one: string, other: string): string {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  const part = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 12), at + 24));
  return `${part(one)} and ${part(other)}`;
}

/** Counts by family, in the order in which they came. */
export interface Line {
  readonly family: string;
  readonly cases: number;
  readonly counts: Readonly<Record<Outcome, number>>;
}

export function lines(verdicts: readonly Verdict[]): Line[] {
  const families = [...new Set(verdicts.map(({ case: given }) => given.family))];
  return families.map((family) => {
    const own = verdicts.filter(({ case: given }) => given.family === family);
    const count = (outcome: Outcome) => own.filter((verdict) => verdict.outcome === outcome).length;
    return {
      family,
      cases: own.length,
      counts: {
        leaked: count('leaked'),
        executed: count('executed'),
        refused: count('refused'),
        masked: count('masked'),
        error: count('error'),
      },
    };
  });
}

/** Of these attempts: how many came to such an end. */
export function share(verdicts: readonly Verdict[], outcome: Outcome, among: (given: Case) => boolean): number {
  const chosen = verdicts.filter(({ case: given }) => among(given));
  return chosen.filter((verdict) => verdict.outcome === outcome).length / Math.max(1, chosen.length);
}
