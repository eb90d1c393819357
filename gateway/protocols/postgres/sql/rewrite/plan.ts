import type { ExplainStmt, RangeVar, RawStmt } from 'libpg-query';
import { asked, RewriteRefusal, type Obligations, type Plan } from '../../enforcing/rewriting.js';
import type { Statement, Template } from '../../judging/statement.js';
import { as } from '../ast.js';
import type { Relation } from '../catalog.js';
import { Variants } from '../forms.js';
import { relationsBelow, viewLineage } from '../lineage.js';
import { formOf, type Watched } from '../literals.js';
import { parseAlone } from '../parse.js';
import { analyse, judgedWith } from '../template.js';
import { assertAlike, Expected } from './expected.js';
import { checkConflicts } from './conflict.js';
import { clearFor, Expansions, hide } from './expand.js';
import { Occurrences } from './occurrences.js';
import { doingOf, explain } from './explain.js';
import { groups } from './group.js';
import { isMadeOfValue, Obliged, type Doing, type Rules } from './rules.js';
import { keyOfText, Sharing, type Made } from './sharing.js';
import { Splice, unclear, type Edit } from './splice.js';
import { StatementRewriting } from './statement.js';
import { checkTelling } from './telling.js';
import { Touched } from './touched.js';

/** What leaves in place of a text under masks and filters: the same text with its relations read through them. */

const nothing: ReadonlySet<string> = new Set();

const asItIs = (text: string): Plan => ({
  key: '',
  text,
  hidden: nothing,
  guarded: false,
  position: (sent) => sent,
});

/** Obligations whose plans are kept of one template's statements. */
export const obligations_max = 64;
/** Plans that are kept under one of them: of texts that share nothing, and by what was looked at in those that do. */
export const plans_max = 16;

/** What was made of texts with the same statements, under the same obligations. */
class Kept {
  readonly texts = new Map<string, Plan | RewriteRefusal>();
  readonly forms = new Variants<Sharing>(plans_max);

  get(text: string, make: (text: string) => Made): Plan | RewriteRefusal {
    const known = this.texts.get(text);
    if (known !== undefined) return known;
    const form = formOf(text);
    const sharing = form === undefined ? undefined : this.forms.get(form);
    const shared = form === undefined ? undefined : sharing?.of(text, form, make);
    if (shared !== undefined) return shared;
    const made = make(text);
    if (sharing === undefined && made.watched !== undefined)
      this.forms.keep(made.watched, new Sharing(made, made.watched));
    else {
      if (this.texts.size >= plans_max) this.texts.clear();
      this.texts.set(text, made.outcome);
    }
    return made.outcome;
  }
}

const kept = new WeakMap<readonly Statement[], Map<string, Kept>>();

/** Throws RewriteRefusal. The same template and obligations give equal plans. */
export function plan(template: Template, obligations: Obligations): Plan {
  if (obligations.masks.length === 0 && obligations.filters.length === 0) return asItIs(template.text);
  let all = kept.get(template.statements);
  if (all === undefined) kept.set(template.statements, (all = new Map<string, Kept>()));
  const key = asked(obligations);
  let plans = all.get(key);
  if (plans === undefined) {
    if (all.size >= obligations_max) all.clear();
    all.set(key, (plans = new Kept()));
  }
  const found = plans.get(template.text, (text) => outcomeOf(template, text, obligations));
  if (found instanceof RewriteRefusal) throw found;
  return found;
}

/** @param text The template's own, or another with the same statements. */
function outcomeOf(template: Template, text: string, obligations: Obligations): Made {
  const notes: Notes = { watched: undefined, edits: [] };
  let outcome: Plan | RewriteRefusal;
  try {
    outcome = make(template, text, obligations, notes);
  } catch (error) {
    if (error instanceof RangeError)
      return { text, outcome: unclear('a statement that is nested this deep'), edits: [], watched: undefined };
    if (!(error instanceof RewriteRefusal)) throw error;
    outcome = error;
  }
  const { edits, watched } = notes;
  return { text, outcome, edits, watched: watched && { form: watched.form, seen: new Set(watched.seen) } };
}

/** What is known of a rewriting apart from its outcome. */
interface Notes {
  watched: Watched | undefined;
  edits: readonly Edit[];
}

function make(template: Template, text: string, obligations: Obligations, notes: Notes): Plan {
  const judged = judgedWith(template);
  if (judged === undefined) throw unclear('a statement that was not judged here');
  const { names, unsettled } = judged;
  if (template.opaque) {
    const because = template.statements.flatMap(({ facts }) => facts.because ?? []);
    throw new RewriteRefusal(
      'mask_unenforceable',
      `what the statement does is not known, so that masks cannot hold: ${because[0] ?? 'it is opaque'}`,
    );
  }
  const parsed = parseAlone(text, true);
  notes.watched = parsed.watched;
  const seen = new Map<RawStmt, Occurrences>();
  const facts = analyse(parsed, names, unsettled, (raw) => {
    const occurrences = new Occurrences();
    seen.set(raw, occurrences);
    return occurrences;
  });
  const raws = parsed.statements.filter(({ stmt }) => stmt !== undefined);
  const splice = new Splice(text);
  const expected = new Expected();
  const hidden = new Set<string>();
  const made = new Map<Doing, Expansions>();
  const expansionsOf = (doing: Doing): Expansions => {
    const views = {
      lineage: (relation: Relation) => viewLineage(relation, names),
      below: (relation: Relation) => relationsBelow(relation, names),
    };
    const known = made.get(doing);
    const expansions =
      known ?? new Expansions(names, new Obliged(obligations, views, doing), isSettled(template.statements), hidden);
    made.set(doing, expansions);
    return expansions;
  };
  let guarded = false;
  if (raws.length !== template.statements.length)
    throw unclear('a text whose statements are not those that were judged');
  for (const [index, raw] of raws.entries()) {
    const occurrences = seen.get(raw) ?? new Occurrences();
    const expansions = expansionsOf(doingOf(raw));
    const { obliged } = expansions;
    const touched = new Touched(template.statements[index]!.facts, occurrences, obliged, expansions);
    if (!touched.isObliged) {
      // What it explains was prepared under masks, for all that is known here.
      if (isExplainedExecute(raw)) {
        if (doingOf(raw) === 'measured') checkMeasured(obligations);
        explain(raw, splice, expected, false);
      }
      continue;
    }
    guarded = true;
    touched.check();
    const rules = new Map<RangeVar, Rules>();
    for (const [range, source] of [...occurrences.reads, ...occurrences.targets]) {
      const found = occurrences.reads.has(range) ? expansions.rules(source) : obliged.rules(source);
      if (found === undefined) continue;
      rules.set(range, found);
      hide(found, hidden);
    }
    checkConflicts(raw, occurrences.targets, rules, obliged);
    touched.checkWrites(facts[index]?.facts.assigned ?? []);
    const clear = clearFor({ raw, seen: occurrences, all: rules, names, splice }, expansions);
    if (clear?.isAny === true) checkTelling(template.statements[index]!.facts.functions);
    const put = clear?.put() ?? rules;
    new StatementRewriting(raw, splice, expected, occurrences, put, clear).run();
    if (raw.stmt !== undefined) groups(raw.stmt, put, occurrences, names, splice, expected);
    explain(
      raw,
      splice,
      expected,
      [...rules.values()].some(({ filters }) => filters.length > 0),
    );
  }
  if (splice.isEmpty) return { ...asItIs(text), hidden, guarded };
  const spliced = splice.finish();
  notes.edits = spliced.edits;
  // To compare the trees is a look at every literal, and at none in particular: see sharing.ts.
  notes.watched = untouched(parsed.watched, splice);
  assertAlike(
    expected,
    parsed.statements.map(({ stmt }) => stmt),
    spliced.text,
  );
  return {
    key: keyOfText(spliced.text),
    text: spliced.text,
    hidden,
    guarded,
    position: (position) => spliced.position(position),
  };
}

/** No statement before the last one makes, renames or drops something, or moves the path: names mean the same to all of them. */
const isSettled = (statements: readonly Statement[]): boolean =>
  statements.slice(0, -1).every(({ moves }) => !moves.catalog && !moves.path && !moves.anything);

/** What was looked at up to now, with the literals that lie in what was taken or replaced. */
function untouched(watched: Watched | undefined, splice: Splice): Watched | undefined {
  if (watched === undefined) return undefined;
  const seen = new Set(watched.seen);
  for (const [index, { at, text }] of watched.form.literals.entries())
    if (splice.isTouched(at, at + text.length)) seen.add(index);
  return { form: watched.form, seen };
}

/** What was prepared computes its masks where the plan has them. */
function checkMeasured({ masks }: Obligations): void {
  const mask = masks.find(isMadeOfValue);
  if (mask !== undefined)
    throw new RewriteRefusal(
      'mask_unenforceable',
      `what EXPLAIN ANALYZE measures of a prepared statement would tell how long ${mask.resource} is: explain the statement itself, or leave out ANALYZE`,
    );
}

const isExplainedExecute = ({ stmt }: RawStmt): boolean =>
  as(as<ExplainStmt>(stmt, 'ExplainStmt')?.query, 'ExecuteStmt') !== undefined;
