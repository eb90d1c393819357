import type { Decision } from '#engine';
import type { Enforced, Session as GatewaySession, Submission } from '../../../protocol.js';
import { AskFailed } from '../session/exchange.js';
import { noKinds, type Kinds } from '../../../content/index.js';
import { askedOf, type Asked } from '../enforcing/patterns.js';
import { relationKey, stricter, withContent, type Details, type Guard } from '../enforcing/guard.js';
import { asItCame, digest, leave, sameText, searching, type Leaving } from '../enforcing/leaving.js';
import { lower, type Limits, type Used } from '../session/limits.js';
import type { Portal } from '../session/names.js';
import { executeOperation, type Place } from '../operation.js';
import { RewriteRefusal } from '../enforcing/rewriting.js';
import { StatementError, type Interpreter, type StatementFacts, type Template } from './statement.js';
import type { Look } from '../sql/look.js';
import type { Reached } from '../sql/present.js';

/** Another statement that an EXECUTE or a FETCH names. */
export interface Reference {
  readonly template: Template;
  /** As it left when it was made. */
  readonly had: Leaving;
  /** Of a FETCH: the cursor, and what policy says of its statement now. */
  readonly cursor?: { readonly portal: Portal; readonly decision: Decision };
}

/** A string as it is judged. */
export interface Judged {
  readonly template: Template;
  /** The same with its EXECUTEs as the statements that they run. */
  readonly whole: Template;
  readonly refers: readonly Reference[];
}

const noReferences: readonly Reference[] = [];
export const plainly = (template: Template): Judged => ({ template, whole: template, refers: noReferences });

/** An execution that may be sent. */
export interface Permit {
  readonly submission: Submission;
  readonly leaving: Leaving;
  /** What its portal is bound to is not what may leave: it is to be bound again. */
  readonly rebind: boolean;
  readonly guard: Guard | undefined;
  /** What of the catalog is to be looked at before it runs. */
  readonly look: Look | undefined;
  /** What of it is to be looked at once more behind it; undefined: nothing. */
  readonly lookBehind: (() => Look) | undefined;
  /** What of it an older snapshot may not show. */
  readonly reached: Reached | undefined;
  readonly limits: Limits;
  readonly used: Used;
}

/** What the masks and filters of one decision come to. */
export interface Enforcement extends Enforced {
  readonly leaving: Leaving;
  readonly rebind: boolean;
  readonly guard: Guard | undefined;
}

export const unrestrained: Enforcement = { leaving: asItCame, rebind: false, guard: undefined };

/** At once where it can be: most of what is judged has been judged before. */
export function after<T, U>(value: T | Promise<T>, go: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(go) : go(value);
}

class PolicyChanged extends Error {}

/** Puts masks and filters into what leaves, or says why they cannot be. */
export class Enforcer {
  readonly #session: GatewaySession;
  readonly #place: Place;
  readonly #interpreter: () => Interpreter;
  readonly #readable: (text: string) => boolean;

  constructor(
    session: GatewaySession,
    place: Place,
    interpreter: () => Interpreter,
    readable: (text: string) => boolean,
  ) {
    this.#session = session;
    this.#place = place;
    this.#interpreter = interpreter;
    this.#readable = readable;
  }

  enforce(judged: Judged, portal: Portal | undefined, decision: Decision): Enforcement | Promise<Enforcement> {
    const { template, refers } = judged;
    const writes = mayWrite(template) || refers.some((each) => mayWrite(each.template));
    const guarded = writes && this.#session.masks();
    const none = decision.masks.length === 0 && decision.filters.length === 0;
    if (none && !guarded && refers.length === 0 && (portal === undefined || portal.leaving === asItCame))
      return unrestrained;
    return this.#refusing(() => {
      const asked = askedOf(decision);
      let content: Kinds = asked.content;
      for (const { cursor } of refers) if (cursor !== undefined) content |= askedOf(cursor.decision).content;
      if (content !== noKinds) refuseBinaryCopy(judged.whole);
      return after(this.#leaving(template, portal, asked), ({ leaving, rebind }) =>
        after(this.#referred(refers, asked), (inside) => {
          // Rewritten, it leaves without what the server estimates.
          const explains = template.statements.some(({ facts }) => facts.kind === 'explain');
          if (inside !== undefined && explains && leaving.text === undefined)
            throw new RewriteRefusal(
              'mask_unenforceable',
              'the plan of a prepared statement tells of masked values: explain the statement itself',
            );
          return after(guarded ? this.#details(judged) : undefined, (rows) => {
            const guard = withContent(stricter(stricter(rows, inside), leaving.guard), content, writes);
            return { leaving, rebind, guard, sent: digest(leaving) };
          });
        }),
      );
    });
  }

  /** What a Parse under this decision sends; a refusal where it cannot be had. */
  leave(template: Template, decision: Decision): Enforcement | Promise<Enforcement> {
    if (decision.masks.length === 0 && decision.filters.length === 0) return unrestrained;
    return this.#refusing(() => {
      const asked = askedOf(decision);
      if (asked.content !== noKinds) refuseBinaryCopy(template);
      return after(this.#text(template, asked), (known) => {
        const leaving = searching(known, asked.content, mayWrite(template));
        return { leaving, rebind: false, guard: leaving.guard, sent: digest(leaving) };
      });
    });
  }

  #leaving(template: Template, portal: Portal | undefined, decision: Asked) {
    if (portal === undefined) return after(this.#text(template, decision), (leaving) => ({ leaving, rebind: false }));
    return after(sameText(this.#interpreter(), template, portal.leaving, decision), (same) => {
      if (same) return { leaving: portal.leaving, rebind: false };
      if (portal.bound === undefined || portal.started) throw new PolicyChanged(changedSince('portal'));
      return after(this.#text(template, decision), (leaving) => ({ leaving, rebind: true }));
    });
  }

  #text(template: Template, decision: Asked): Leaving | Promise<Leaving> {
    return after(leave(this.#interpreter(), template, decision), (leaving) => {
      // Names out of the catalog may need what the client's encoding reads otherwise.
      if (leaving.text !== undefined && !this.#readable(leaving.text))
        throw new RewriteRefusal(
          'mask_unenforceable',
          'masks need names that this client_encoding cannot carry: use UTF8',
        );
      return leaving;
    });
  }

  /** Whether what an EXECUTE or FETCH runs would leave today as it left when it was made. */
  #referred(refers: readonly Reference[], decision: Asked): Guard | undefined | Promise<Guard | undefined> {
    let guard: Guard | undefined | Promise<Guard | undefined>;
    for (const { template, had, cursor } of refers) {
      const now = cursor === undefined ? decision : askedOf(cursor.decision);
      const interpreter = this.#interpreter();
      const known =
        (had.obligations.masks === now.masks && had.obligations.filters === now.filters) ||
        (had === asItCame && now.masks.length === 0 && now.filters.length === 0)
          ? template
          : interpreter.interpret(template.text);
      guard = after(guard, (before) =>
        after(known, (understood) =>
          after(sameText(interpreter, understood, had, now), (same) => {
            if (!same) throw new PolicyChanged(changedSince(cursor === undefined ? 'prepared statement' : 'cursor'));
            return stricter(before, had.guard);
          }),
        ),
      );
    }
    return guard;
  }

  /** What the errors of a statement that writes may say: of a relation in which anything is masked, no row is shown. */
  #details({ whole }: Judged): Guard | Promise<Guard> | undefined {
    if (whole.statements.every(({ facts }) => looksAtNoRow(facts))) return undefined;
    const harmless = new Set<string>();
    const harmful = new Set<string>();
    const relations = whole.statements.flatMap(({ facts }) => facts.relations);
    const all = new Set(relations.map(({ name }) => name));
    // A name with a dot in it cannot be told from two: nothing is known of it.
    const names = [...all].filter((name) => name.split('.').length === 2);
    let absent = new Set(
      relations.filter(({ name, type }) => type === 'unresolved' && !names.includes(name)).map(({ name }) => name),
    ).size;
    const templates = names.map((name) => {
      const [schema, relation] = name.split('.') as [string, string];
      const text = `TABLE ${quoted(schema)}.${quoted(relation)}`;
      const key = relationKey(schema, relation);
      let template: Template | Promise<Template | undefined>;
      try {
        template = this.#interpreter().interpret(text);
      } catch {
        return undefined;
      }
      return after(template instanceof Promise ? template.catch(() => undefined) : template, (known) => {
        if (known === undefined) return;
        // What the statement itself makes has no rows that nobody selected, and what there is not has none.
        if (known.statements.some(({ facts }) => facts.unresolved.length > 0)) absent++;
        if (known.opaque) return;
        const decision = this.#session.decide(executeOperation(known, this.#place, { values: [], undecoded: false }));
        // Patterns are looked for in the error itself.
        const { masks, filters } = askedOf(decision);
        if (decision.outcome === 'allow' && masks.length === 0 && filters.length === 0) harmless.add(key);
        else harmful.add(key);
      });
    });
    const details: Details = { harmless, harmful };
    // What redefines a relation computes over rows that nobody selected.
    const redefines = whole.action === 'define' || whole.action === 'administer';
    const guard = (): Guard => ({
      hidden: none,
      details,
      withheld: redefines && harmless.size + absent < all.size,
      describes: false,
      lasts: true,
      content: noKinds,
      position: (sent) => sent,
    });
    const waits = templates.filter((template) => template instanceof Promise);
    return waits.length === 0 ? guard() : Promise.all(waits).then(guard);
  }

  #refusing(make: () => Enforcement | Promise<Enforcement>): Enforcement | Promise<Enforcement> {
    const refused = (error: unknown): Enforcement => ({ ...unrestrained, refusal: refusalOf(error) });
    try {
      const made = make();
      return made instanceof Promise ? made.catch(refused) : made;
    } catch (error) {
      return refused(error);
    }
  }
}

function refuseBinaryCopy({ statements }: Template): void {
  if (statements.some(({ control }) => control.kind === 'copy_out' && control.binary === true))
    throw new RewriteRefusal('mask_unenforceable', 'COPY in binary cannot be searched for patterns: use text or csv');
}

const none: ReadonlySet<string> = new Set();

function refusalOf(error: unknown): NonNullable<Enforced['refusal']> {
  if (error instanceof RewriteRefusal) return { code: error.code, message: error.message };
  if (error instanceof PolicyChanged) return { code: 'policy_changed', message: error.message };
  if (error instanceof AskFailed || error instanceof StatementError)
    return { code: 'mask_unenforceable', message: `what is masked here could not be looked up: ${error.message}` };
  throw error;
}

const changedSince = (what: string) =>
  `masks or filters are others than when this ${what} was made: ${what === 'cursor' ? 'open' : 'prepare'} it again`;

/** Whether the server may say something of rows that the statement does not read. */
const mayWrite = ({ action }: Template): boolean => action !== 'read' && action !== 'session';

/**
 * What is said of it speaks of names: of what depends on what is dropped, of what is not there. Most migrations begin with such
 * statements, and what they say is read. What might look at rows all the same are event triggers: functions.
 */
const looksAtNoRow = ({ kind, functions }: StatementFacts): boolean =>
  /^(?:drop_|comment$|grant$|revoke$)/.test(kind) && functions.length === 0;

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** Of an execution: its own decision's, and its cursors'. */
export function limitsOf(decision: Decision, refers: readonly Reference[]): Limits {
  let { limits } = decision;
  for (const { cursor } of refers) if (cursor !== undefined) limits = lower(limits, cursor.decision.limits);
  return limits;
}
