import { createHash } from 'node:crypto';
import type { ExplainStmt, RangeVar, RawStmt } from 'libpg-query';
import { RewriteRefusal, type Obligations, type Plan } from '../../rewriting.js';
import type { Statement, Template } from '../../statement.js';
import { as } from '../ast.js';
import { viewLineage } from '../lineage.js';
import { parseAlone } from '../parse.js';
import { analyse, judgedWith } from '../template.js';
import { assertAlike, Expected } from './expected.js';
import { Expansions, hide } from './expand.js';
import { Occurrences } from './occurrences.js';
import { explain } from './explain.js';
import { groups } from './group.js';
import { outermost, Outputs } from './output.js';
import { Obliged, type Rules } from './rules.js';
import { Splice, unclear } from './splice.js';
import { StatementRewriting } from './statement.js';
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

/** Plans that are kept of one template, by text and obligations. */
export const plans_max = 64;
const kept = new WeakMap<readonly Statement[], Map<string, Plan | RewriteRefusal>>();

/** Throws RewriteRefusal. The same template and obligations give the same plan. */
export function plan(template: Template, obligations: Obligations): Plan {
  if (obligations.masks.length === 0 && obligations.filters.length === 0) return asItIs(template.text);
  const plans = kept.get(template.statements) ?? new Map<string, Plan | RewriteRefusal>();
  kept.set(template.statements, plans);
  const key = `${keyOf(obligations)}\0${template.text}`;
  let found = plans.get(key);
  if (found === undefined) {
    try {
      found = make(template, obligations);
    } catch (error) {
      if (error instanceof RangeError) found = unclear('a statement that is nested this deep');
      else if (error instanceof RewriteRefusal) found = error;
      else throw error;
    }
    if (plans.size >= plans_max) plans.clear();
    plans.set(key, found);
  }
  if (found instanceof RewriteRefusal) throw found;
  return found;
}

const keys = new WeakMap<object, string>();

function keyOf({ masks, filters }: Obligations): string {
  return `${jsonOf(masks)}${jsonOf(filters)}`;
}

function jsonOf(list: readonly object[]): string {
  let key = keys.get(list);
  if (key === undefined) {
    key = JSON.stringify(list);
    keys.set(list, key);
  }
  return key;
}

function make(template: Template, obligations: Obligations): Plan {
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
  const obliged = new Obliged(obligations, (relation) => viewLineage(relation, names));
  const parsed = parseAlone(template.text);
  const seen = new Map<RawStmt, Occurrences>();
  const facts = analyse(parsed, names, unsettled, (raw) => {
    const occurrences = new Occurrences();
    seen.set(raw, occurrences);
    return occurrences;
  });
  const raws = parsed.statements.filter(({ stmt }) => stmt !== undefined);
  const splice = new Splice(template.text);
  const expected = new Expected();
  const hidden = new Set<string>();
  const expansions = new Expansions(names, obliged, raws.length === 1, hidden);
  let guarded = false;
  if (raws.length !== template.statements.length)
    throw unclear('a text whose statements are not those that were judged');
  for (const [index, raw] of raws.entries()) {
    const occurrences = seen.get(raw) ?? new Occurrences();
    const touched = new Touched(template.statements[index]!.facts, occurrences, obliged, expansions);
    if (!touched.isObliged) {
      // What it explains was prepared under masks, for all that is known here.
      if (isExplainedExecute(raw)) explain(raw, splice, expected, false);
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
    touched.checkWrites(facts[index]?.facts.assigned ?? []);
    const outputs = facts[index]?.facts.outputs;
    const isOutput = [...rules.values()].some(({ masked }) => hasOutput(masked));
    const place = isOutput ? outermost(raw, splice) : undefined;
    const around = place !== undefined && occurrences.targets.size === 0 && outputs?.open === false ? place : undefined;
    if (isOutput && around === undefined) touched.checkOutputs();
    const inPlace = around === undefined ? rules : atSource(rules);
    new StatementRewriting(raw, splice, expected, occurrences, inPlace).run();
    if (raw.stmt !== undefined) groups(raw.stmt, inPlace, occurrences, names, splice, expected);
    if (around !== undefined && outputs !== undefined)
      new Outputs(occurrences, rules).wrap(around, outputs, splice, expected);
    explain(
      raw,
      splice,
      expected,
      [...rules.values()].some(({ filters }) => filters.length > 0),
    );
  }
  if (splice.isEmpty) return { ...asItIs(template.text), hidden, guarded };
  const spliced = splice.finish();
  assertAlike(
    expected,
    parsed.statements.map(({ stmt }) => stmt),
    spliced.text,
  );
  return {
    key: createHash('sha256').update(spliced.text).digest('base64url'),
    text: spliced.text,
    hidden,
    guarded,
    position: (position) => spliced.position(position),
  };
}

const hasOutput = (masked: Rules['masked']): boolean => [...masked.values()].some(({ scope }) => scope === 'output');

/** What is put where relations are read; the rest is put where the statement hands it out. */
function atSource(all: ReadonlyMap<RangeVar, Rules>): ReadonlyMap<RangeVar, Rules> {
  const some = new Map<RangeVar, Rules>();
  for (const [range, { masked, filters, ...rest }] of all) {
    const source = new Map([...masked].filter(([, { scope }]) => scope === 'source'));
    if (source.size > 0 || filters.length > 0 || rest.query !== undefined)
      some.set(range, { ...rest, masked: source, filters });
  }
  return some;
}

const isExplainedExecute = ({ stmt }: RawStmt): boolean =>
  as(as<ExplainStmt>(stmt, 'ExplainStmt')?.query, 'ExecuteStmt') !== undefined;
