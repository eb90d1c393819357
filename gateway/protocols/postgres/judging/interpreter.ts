import { performance } from 'node:perf_hooks';
import { StatementError, type Ask, type Interpreter, type Statement, type Template } from './statement.js';
import type { Obligations, Plan } from '../enforcing/rewriting.js';
import { readAnswer } from '../sql/answers.js';
import { open } from '../sql/ast.js';
import {
  areOfOneMoment,
  changedIn,
  hasBodies,
  isShort,
  readCatalog,
  wantedKey,
  type Named,
  type Path,
  type Relation,
  type Routine,
  type Wanted,
} from '../sql/catalog.js';
import { namesInBody } from '../sql/bodies.js';
import { namesIn } from '../sql/lineage.js';
import { Answers, needsPath, wantedOf } from '../sql/names.js';
import { Retelling } from '../sql/forms.js';
import { formOf } from '../sql/literals.js';
import { parse, type Parsed } from '../sql/parse.js';
import { plan } from '../sql/rewrite/plan.js';
import { endsMidway, template } from '../sql/template.js';
import { Memory, SharedCatalog, type Entry } from './shared-catalog.js';

export { loadParser } from '../sql/parse.js';
export { SharedCatalog };

/**
 * Query strings to templates, for one session. A name's meaning is what the server would find in this very session: the
 * catalog is read through `ask`, in one round trip for all that a text names, and remembered. As long as a session has made
 * nothing that others do not see, it shares what it read with all sessions of the same target, database and role; from
 * its first temporary object or DDL on it has a memory of its own, dropped after whatever may have moved a name.
 */

/** How long what was found out of functions' bodies holds at most, for what is sent within one turn. */
export const fleeting_ms_max = 1_000;
/** Names of one statement that are looked for in the queries of views and the bodies of functions. */
export const names_in_views_max = 20_000;
/** Views over views: each turn asks for what the last one's definitions name, and then for what these reach. */
const rounds_max = 64;
const attempts_max = 3;

interface Known {
  readonly names: Map<string, Named>;
  readonly missing: readonly Wanted[];
  readonly all: readonly Wanted[];
  readonly looked_ms: number;
  /** Some are missing although no function's body leads to them. */
  readonly isOld: boolean;
}

/** Of the catalog, so far. */
let readings = 0;

const none: ReadonlySet<string> = new Set();

export interface InterpreterOptions {
  readonly shared: SharedCatalog;
  readonly ask: Ask;
  readonly database: string;
  /** The upstream's role. */
  readonly user: string;
  /** Milliseconds that never go back; performance.now where it is not given. */
  readonly now?: () => number;
}

export function createInterpreter(options: InterpreterOptions): Interpreter {
  return new SessionInterpreter(options);
}

class SessionInterpreter implements Interpreter {
  readonly #options: InterpreterOptions;
  readonly #now: () => number;
  /** The setting and role that decide the path; undefined: to be read before anything is looked up. */
  #identity: string | undefined;
  #path: Path | undefined;
  /** What only this session knows. Undefined while it sees what all others see. */
  #own: Memory | undefined;
  /** Something of this transaction may be seen by this session alone. */
  #alone = false;
  /** The transaction has DDL, which others will see. */
  #ddlOpen = false;
  #pathMoved = false;
  /** What was read before counts no more where functions' bodies are concerned. */
  #turn_ms = -Infinity;
  /** Templates of texts that name nothing hold as long as the session. */
  readonly #nameless = new Memory();

  constructor(options: InterpreterOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  interpret(text: string): Template | Promise<Template> {
    const now = this.#now();
    const memory = this.#memory(now);
    let known = memory?.templates.get(text) ?? this.#nameless.templates.get(text);
    if (known?.endsMidway && this.isUnsettled) known = undefined;
    if (known !== undefined && this.#holds(known, now)) return known.template;
    const form = memory === undefined ? undefined : formOf(text);
    const like = form === undefined ? undefined : memory?.forms.get(form);
    if (like !== undefined && this.#holds(like, now)) return like.retelling.of(text);
    const parsed = parse(text);
    const wanted = wantedOf(parsed);
    if (wanted.length === 0 && !needsPath(parsed)) {
      const made = template(parsed, new Answers(new Map(), this.#path), this.#options);
      this.#nameless.keep(text, {
        template: made,
        names: new Map(),
        endsMidway: false,
        until_ms: Infinity,
        looked_ms: Infinity,
      });
      return made;
    }
    if (memory === undefined) return this.#ask(text, parsed, wanted, wanted, known);
    const found = this.#known(memory, wanted, now);
    const { missing, all, isOld, names } = found;
    if (missing.length === 0 && areOfOneMoment(names)) return this.#finish(memory, text, parsed, found, known);
    return this.#ask(text, parsed, wanted, isOld || missing.length === 0 ? all : missing, known);
  }

  #holds({ until_ms, looked_ms }: Pick<Entry, 'until_ms' | 'looked_ms'>, now: number): boolean {
    return until_ms > now && (looked_ms === Infinity || this.#isOfNow(looked_ms, now));
  }

  /** It was read in this turn. */
  #isOfNow(read_ms: number, now: number): boolean {
    return read_ms >= this.#turn_ms && read_ms + fleeting_ms_max > now;
  }

  /** Where this session's names are remembered; undefined where its path must be read first. */
  #memory(now: number): Memory | undefined {
    if (this.#identity === undefined || this.#path === undefined) return undefined;
    if (this.#own !== undefined) return this.#own;
    const shared = this.#options.shared.path(this.#identity);
    if (shared === undefined || shared.read_ms + this.#options.shared.catalog_ms <= now) return undefined;
    this.#path = shared.path;
    return this.#options.shared.memory(shared.path);
  }

  /**
   * What is remembered of these names, and of those in the queries of the views and the bodies of the functions among them. `all`
   * also has what is missing: it is no longer certain, was never asked for, or says too little. `asked`: certain however old.
   */
  #known(memory: Memory, wanted: readonly Wanted[], now: number, asked: ReadonlySet<string> = none): Known {
    const names = new Map<string, Named>();
    const missing = new Map<string, Wanted>();
    const all = new Map<string, Wanted>();
    let looked_ms = Infinity;
    let isOld = false;
    /** By key: whether a function whose body is looked into leads to it. */
    const seen = new Map<string, boolean>();
    const queue = wanted.map((want) => ({ want, isFleeting: false }));
    for (const { want, isFleeting: isInBody } of queue) {
      const key = wantedKey(want);
      const named = memory.names.get(key);
      const isFleeting = isInBody || hasBodies(want, named);
      if (seen.has(key) && (!isFleeting || seen.get(key) === true)) continue;
      seen.set(key, isFleeting);
      const full = fully(want, named);
      all.set(key, full);
      const isKnown =
        named !== undefined &&
        !isShort(want, named.value) &&
        (asked.has(key) || named.read_ms + this.#options.shared.catalog_ms > now);
      if (isFleeting && named !== undefined) looked_ms = Math.min(looked_ms, named.read_ms);
      if (isKnown && (!isFleeting || asked.has(key) || this.#isOfNow(named.read_ms, now))) names.set(key, named);
      else {
        isOld ||= !isKnown;
        names.delete(key);
        missing.set(key, full);
      }
      if (queue.length < names_in_views_max)
        for (const inner of inside(want, named)) queue.push({ want: inner, isFleeting });
    }
    return { names, missing: [...missing.values()], all: [...all.values()], looked_ms, isOld };
  }

  /** `first`: what is asked for at once; what its answers name goes into further round trips. */
  async #ask(
    text: string,
    parsed: Parsed,
    wanted: readonly Wanted[],
    first: readonly Wanted[],
    known: Entry | undefined,
    attempt = 1,
  ): Promise<Template> {
    const { shared, ask } = this.#options;
    const { generation } = shared;
    const asked = new Set<string>();
    let memory: Memory | undefined;
    let path: Path | undefined;
    for (let missing = first, round = 1; ; round++) {
      const began = this.#now();
      const reading = await readCatalog(ask, missing);
      const now = this.#now();
      // A snapshot shows the catalog as it was.
      const read = {
        began_ms: began - reading.path.age_ms,
        ended_ms: now - reading.path.age_ms,
        reading: ++readings,
      };
      if (path !== undefined && reading.path.key !== path.key) {
        if (attempt === attempts_max) throw changesTooFast();
        return this.#ask(text, parsed, wanted, wanted, known, attempt + 1);
      }
      path = reading.path;
      this.#path = path;
      this.#identity = `${path.user}\0${path.isOwn}\0${path.setting}`;
      // Temporary objects, or DDL that is not committed, are seen by this session alone.
      const isPrivate = path.temporary || this.#alone;
      if (isPrivate) this.#own ??= new Memory();
      else this.#own = undefined;
      // DDL of another session of ours ran meanwhile: the answer is this statement's, and nobody else's.
      memory ??= this.#own ?? (shared.generation === generation ? shared.memory(path) : new Memory());
      if (!isPrivate && shared.generation === generation) shared.learn(this.#identity, path, began);
      for (const want of missing) {
        const key = wantedKey(want);
        asked.add(key);
        const raw = reading.answers.get(key) ?? '';
        const named = memory.names.put(key, raw, () => readAnswer(want.kind, raw), read);
        // Others see what it is now.
        if (changedIn(named) !== undefined) named.read_ms = -Infinity;
      }
      const now_known = this.#known(memory, wanted, now, asked);
      const isOfOneMoment = areOfOneMoment(now_known.names);
      if (round === rounds_max && !isOfOneMoment) throw changesTooFast();
      if (round === rounds_max || (now_known.missing.length === 0 && isOfOneMoment))
        return this.#finish(memory, text, parsed, now_known, known ?? memory.templates.get(text));
      // Once more in one, where it was found out piece by piece.
      missing = now_known.missing.length === 0 ? now_known.all : now_known.missing;
    }
  }

  get isUnsettled(): boolean {
    return this.#alone || this.#pathMoved;
  }

  #finish(
    memory: Memory,
    text: string,
    parsed: Parsed,
    { names, looked_ms }: Known,
    known: Entry | undefined,
  ): Template {
    let read_ms = this.#now();
    for (const named of names.values()) read_ms = Math.min(read_ms, named.read_ms);
    const until_ms = read_ms + this.#options.shared.catalog_ms;
    const midway = endsMidway(parsed);
    const unsettled = midway && this.isUnsettled;
    if (known !== undefined && !unsettled && unchanged(known.names, names) && memory.templates.get(text) === known) {
      known.until_ms = until_ms;
      known.looked_ms = looked_ms;
      return known.template;
    }
    const { watched } = parsed;
    const like = watched === undefined ? undefined : memory.forms.get(watched.form);
    if (like !== undefined && unchanged(like.names, names)) {
      like.until_ms = until_ms;
      like.looked_ms = looked_ms;
      return like.retelling.of(text);
    }
    const answers = new Answers(names, this.#path, looked_ms !== Infinity);
    const made = template(parsed, answers, this.#options, unsettled);
    const retelling = watched === undefined ? undefined : Retelling.of(made, this.#options);
    if (watched !== undefined && retelling !== undefined)
      memory.forms.keep(watched, { retelling, names, until_ms, looked_ms });
    if (!unsettled) memory.keep(text, { template: made, names, endsMidway: midway, until_ms, looked_ms });
    return made;
  }

  rewrite(template: Template, obligations: Obligations): Plan {
    return plan(template, obligations);
  }

  endsTransaction(text: string): boolean {
    const { statements } = parse(text);
    const [first] = statements;
    return first === undefined || (first.stmt !== undefined && ends(open(first.stmt)));
  }

  turn(): void {
    this.#turn_ms = this.#now();
  }

  ran(statement: Statement): void {
    const { moves, control } = statement;
    if (moves.path || moves.anything) {
      this.#identity = undefined;
      this.#pathMoved = true;
    }
    if (moves.catalog || moves.anything) {
      this.#alone = true;
      this.#own = new Memory();
      this.#identity = undefined;
    }
    // What an unknown function may have done to the catalog is met by the short life of what is shared.
    if (
      moves.catalog &&
      (!moves.anything || statement.facts.action === 'define' || statement.facts.action === 'administer')
    ) {
      this.#ddlOpen = true;
      this.#options.shared.drop();
    }
    if (control.kind === 'rollback_to') this.transactionEnding();
  }

  transactionEnding(): void {
    if (this.#alone) this.#own = undefined;
    if (this.isUnsettled) this.#identity = undefined;
  }

  transactionEnded(): void {
    if (this.#ddlOpen) this.#options.shared.drop();
    this.#ddlOpen = false;
    if (this.#alone) {
      this.#alone = false;
      // Whether temporary objects are left is known with the next reading.
      this.#own = undefined;
      this.#identity = undefined;
    }
    if (this.#pathMoved) {
      this.#pathMoved = false;
      this.#identity = undefined;
    }
  }

  outdated(isSure = false): void {
    if (isSure) this.#options.shared.drop();
    else this.#options.shared.outdated(this.#now());
    if (this.#own !== undefined) this.#own = new Memory();
    this.#identity = undefined;
  }

  parameterStatus(name: string, value: string): void {
    if ((name === 'search_path' && value !== this.#path?.setting) || name === 'session_authorization')
      this.#identity = undefined;
  }
}

const changesTooFast = () => new StatementError('XX000', 'what names mean changes faster than it can be read');

function unchanged(before: ReadonlyMap<string, Named>, now: ReadonlyMap<string, Named>): boolean {
  if (before.size !== now.size) return false;
  for (const [key, named] of now) if (before.get(key) !== named) return false;
  return true;
}

function ends({ kind, body }: { readonly kind: string; readonly body: object }): boolean {
  if (kind !== 'TransactionStmt') return false;
  const is = (body as { kind?: string }).kind;
  return (
    is === 'TRANS_STMT_COMMIT' ||
    is === 'TRANS_STMT_ROLLBACK' ||
    is === 'TRANS_STMT_ROLLBACK_TO' ||
    is === 'TRANS_STMT_PREPARE'
  );
}

/** The names in a view's query, and in the bodies of functions. */
function inside(want: Wanted, named: Named | undefined): readonly Wanted[] {
  if (want.kind === 'function')
    return ((named?.value ?? []) as readonly Routine[]).flatMap(({ body }) =>
      body === undefined ? [] : namesInBody(body),
    );
  if (want.kind !== 'relation' || named?.value === undefined) return [];
  const { definition } = named.value as Relation;
  return definition === undefined ? [] : namesIn(definition);
}

/** All there is to a relation, where that was needed before. */
function fully(want: Wanted, named: Named | undefined): Wanted {
  if (want.kind !== 'relation' || named?.value === undefined) return want;
  const { full, deep } = named.value as Relation;
  return full || deep ? { ...want, full: true } : want;
}
