import type { Approval, EngineCode, Filter, Keep, Limits, Mask, Outcome, Preview, Reason, Taint } from './decision.js';
import { engineCodes } from './decision.js';
import type { Input } from './input.js';
import { checkReason, closed, isFields, lowest, maskWeight, readApproval, readCost, readFilter, readKeep, readLimit, readMask, readPreview, readTaint, setNames, ShapeError, withinGrant, withinLimits } from './shapes.js'; // prettier-ignore

/**
 * What one layer says of one operation, from what its entry point answered.
 *
 * `sallyport/decision` answers with a result set of one object:
 *
 *     {
 *       "nonce":    the input's: an answer that was not made for this input has another one, or none,
 *       "allow", "deny", "mask", "filter", "approval", "limit", "preview", "keep", "taint", "cost":
 *                   what data.policy[input.target.protocol] answered, as it is; no key where it has no such rule,
 *       "all":      the same ten of data.policy.all,
 *       "combined": {"outcome": "allow" | "deny" | "hold",
 *                    "reasons":   [{"code", "rule"?, "title"?, "message"?}], at least one,
 *                    "masks":     [{"resource", "with", "scope"?, "code"?, "parameters"?}],
 *                    "filters":   [{"resource", "where", "code"?}],
 *                    "approvals": [{"code"?, "groups", "quorum"?, "expires"?, "reason"?, "preview"?}],
 *                    "limits":    {"rows"?, "bytes"?, "seconds"?},
 *                    "previews"?: [{"code"}], "keeps"?: [{"code"}],
 *                    "taints"?:   [{"label", "for", "code"?}], "cost"?: a number}
 *     }
 *
 * Sets arrive as arrays. The elements of the raw sets are those of the policy reference (engine/shapes.ts).
 *
 * The raw documents are there to be looked at twice. `deny if { … }` is a boolean, which denies nothing: so a known name
 * that is not a set is a deny here. And the outcome is worked out again in TypeScript: `combined` may be stricter than
 * what the sets come to, and never less strict.
 */

export interface Verdict {
  readonly outcome: Outcome;
  readonly reasons: readonly Reason[];
  readonly masks: readonly Mask[];
  readonly filters: readonly Filter[];
  readonly approvals: readonly Approval[];
  readonly limits: Limits;
  readonly previews?: readonly Preview[];
  readonly keeps?: readonly Keep[];
  readonly taints?: readonly Taint[];
  readonly cost?: number;
  /** Of a deny: the resources that policy would have masked. Absent where that is not known. */
  readonly masked?: readonly string[];
}

/** The answer cannot be used: a deny with one of the engine's own codes. */
export class VerdictError extends Error {
  readonly code: EngineCode;
  readonly rule: string | undefined;
  constructor(code: EngineCode, message: string, rule?: string) {
    super(message);
    this.code = code;
    this.rule = rule;
  }
}

/** What a rule is called, from its code: (package, code) to title. */
export type Titles = (rule: string, code: string) => string | undefined;

const answerKeys = new Set<string>([...setNames, 'nonce', 'all', 'combined']);
const allKeys = new Set<string>(setNames);

/**
 * @param answer The result set, as the module gave it.
 * @param data The layer's own data: a mask "none" holds only where they say so.
 * @throws {VerdictError} where the answer is not one to this input, or not of the contract's shape.
 */
export function readVerdict(answer: unknown, nonce: string, input: Input, data: unknown, titles: Titles): Verdict {
  const result = single(answer);
  if (result['nonce'] !== nonce) throw new VerdictError('policy_error', 'The policy did not answer to this operation.');
  const combined = readCombined(result['combined'], titles);
  let sets: Sets;
  try {
    sets = readSets(result, input, data);
  } catch (thrown) {
    // What the policy itself found wrong says more: all of it, sorted.
    if (combined.outcome === 'deny' && combined.reasons.some(({ code }) => code === 'policy_shape')) return combined;
    throw thrown;
  }
  compare(sets, combined);
  if (combined.outcome !== 'deny') return combined;
  return {
    ...combined,
    masked: [...new Set([...sets.masks.keys(), ...combined.masks.map(({ resource }) => resource)])],
  };
}

function single(answer: unknown): Readonly<Record<string, unknown>> {
  const row: unknown = Array.isArray(answer) && answer.length === 1 ? answer[0] : undefined;
  const result = isFields(row) ? row['result'] : undefined;
  if (!isFields(result)) throw new VerdictError('policy_error', 'The policy gave no answer.');
  for (const key of Object.keys(result))
    if (!answerKeys.has(key)) throw new VerdictError('policy_shape', `The answer has the unknown field "${key}".`);
  return result;
}

/** What the raw sets come to. */
interface Sets {
  allowed: boolean;
  denied: boolean;
  readonly masks: Map<string, Mask>;
  readonly filters: Filter[];
  readonly approvals: Approval[];
  limits: Limits;
  readonly previews: Preview[];
  readonly keeps: Keep[];
  readonly taints: Taint[];
  /** What the elements name, each amount once for each rule that names it. */
  cost: number;
}

function readSets(result: Readonly<Record<string, unknown>>, input: Input, data: unknown): Sets {
  const sets: Sets = {
    allowed: false,
    denied: false,
    masks: new Map(),
    filters: [],
    approvals: [],
    limits: {},
    previews: [],
    keeps: [],
    taints: [],
    cost: 0,
  };
  readPackage(`policy.${input.target.protocol}`, result, sets, input, data);
  const all = result['all'];
  if (all !== undefined) {
    if (!isFields(all)) throw new VerdictError('policy_shape', 'The answer has no object under "all".');
    for (const key of Object.keys(all))
      if (!allKeys.has(key)) throw new VerdictError('policy_shape', `The answer has the unknown field "all.${key}".`);
    readPackage('policy.all', all, sets, input, data);
  }
  if (sets.allowed && input.operation.resources.length === 0) sets.allowed = false;
  return sets;
}

function readPackage(
  name: string,
  documents: Readonly<Record<string, unknown>>,
  sets: Sets,
  input: Input,
  data: unknown,
): void {
  for (const set of setNames) {
    const document = documents[set];
    if (document === undefined && !Object.hasOwn(documents, set)) continue;
    const rule = `${name}.${set}`;
    if (!Array.isArray(document))
      throw new VerdictError('policy_shape', `${rule} is not a set: write "${set} contains {…} if {…}".`, name);
    try {
      for (const element of document as unknown[]) readElement(set, element, rule, sets, input, data);
    } catch (thrown) {
      if (!(thrown instanceof ShapeError)) throw thrown;
      throw new VerdictError('policy_shape', `In ${rule}: ${thrown.message}.`, name);
    }
  }
}

function readElement(
  set: (typeof setNames)[number],
  element: unknown,
  rule: string,
  sets: Sets,
  input: Input,
  data: unknown,
): void {
  switch (set) {
    case 'allow':
      checkReason(element);
      sets.allowed = true;
      return;
    case 'deny':
      checkReason(element);
      sets.denied = true;
      return;
    case 'mask': {
      const { with: name, ...rest } = readMask(element, rule);
      if (name === 'none') {
        if (saysNone(data, input.target.name, rest.resource)) return;
        throw new ShapeError(`the mask of ${rest.resource} is "none", and no label of it has that mask in data.masks`);
      }
      const mask = { ...rest, with: name };
      const other = sets.masks.get(mask.resource);
      if (other === undefined || maskWeight(mask) < maskWeight(other)) sets.masks.set(mask.resource, mask);
      return;
    }
    case 'filter':
      sets.filters.push(readFilter(element, rule));
      return;
    case 'approval':
      sets.approvals.push(readApproval(element, rule));
      return;
    case 'limit':
      sets.limits = lowest(sets.limits, readLimit(element));
      return;
    case 'preview':
      sets.previews.push(readPreview(element, rule));
      return;
    case 'keep':
      sets.keeps.push(readKeep(element, rule));
      return;
    case 'taint':
      sets.taints.push(readTaint(element, rule));
      return;
    case 'cost':
      sets.cost += readCost(element);
  }
}

function own(value: unknown, key: string): unknown {
  return isFields(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function saysNone(data: unknown, target: string, resource: string): boolean {
  const labels = own(own(own(data, 'classification'), target), resource);
  const masks = own(data, 'masks');
  return (Array.isArray(labels) ? labels : [labels]).some(
    (label) => typeof label === 'string' && own(masks, label) === 'none',
  );
}

/** The columns of a target with a label that has any mask but "none". */
export function classifiedBy(data: unknown, target: string): string[] {
  const columns = own(own(data, 'classification'), target);
  const masks = own(data, 'masks');
  if (!isFields(columns)) return [];
  const bears = (label: unknown) => typeof label !== 'string' || own(masks, label) !== 'none';
  return Object.keys(columns).filter((column) => {
    const labels = columns[column];
    return Array.isArray(labels) ? labels.some(bears) : bears(labels);
  });
}

const combinedKeys = new Set([
  'outcome',
  'reasons',
  'masks',
  'filters',
  'approvals',
  'limits',
  'previews',
  'keeps',
  'taints',
  'cost',
]);
const combinedReasonKeys = new Set(['code', 'rule', 'title', 'message']);

function readCombined(value: unknown, titles: Titles): Verdict {
  try {
    const fields = closed(value, combinedKeys);
    const outcome = fields['outcome'];
    if (outcome !== 'allow' && outcome !== 'deny' && outcome !== 'hold') throw new ShapeError('the outcome is not one');
    const reasons = list(fields['reasons'], 'reasons').map((reason) => readReason(reason, titles));
    if (reasons.length === 0) throw new ShapeError('there is no reason');
    const [masks, filters, approvals] = (['masks', 'filters', 'approvals'] as const).map((key) =>
      list(fields[key], key),
    );
    return {
      outcome,
      reasons,
      masks: masks!.map(readCombinedMask),
      filters: filters!.map((filter) => readFilter(filter, 'policy.filter')),
      approvals: approvals!.map((approval) => readApproval(approval, 'policy.approval')),
      limits: readLimit(fields['limits'], true),
      ...(fields['previews'] === undefined
        ? undefined
        : { previews: list(fields['previews'], 'previews').map((preview) => readPreview(preview, 'policy.preview')) }),
      ...(fields['keeps'] === undefined
        ? undefined
        : { keeps: list(fields['keeps'], 'keeps').map((keep) => readKeep(keep, 'policy.keep')) }),
      ...(fields['taints'] === undefined
        ? undefined
        : { taints: list(fields['taints'], 'taints').map((taint) => readTaint(taint, 'policy.taint')) }),
      ...(fields['cost'] === undefined ? undefined : { cost: readCost({ units: fields['cost'] }) }),
    };
  } catch (thrown) {
    if (!(thrown instanceof ShapeError)) throw thrown;
    throw new VerdictError('policy_shape', `What the policy combined is not a decision: ${thrown.message}.`);
  }
}

function list(value: unknown, key: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new ShapeError(`"${key}" is not a list`);
  return value;
}

function readReason(value: unknown, titles: Titles): Reason {
  const fields = closed(value, combinedReasonKeys);
  const { code, rule, message } = fields as Record<string, string | undefined>;
  if (code === undefined) throw new ShapeError('a reason has no code');
  const title =
    (fields['title'] as string | undefined) ?? (rule === undefined ? undefined : titles(rule, code)) ??
    (Object.hasOwn(engineCodes, code) ? engineCodes[code as EngineCode] : undefined); // prettier-ignore
  return {
    code,
    ...(rule === undefined ? undefined : { rule }),
    ...(title === undefined ? undefined : { title }),
    ...(message === undefined ? undefined : { message }),
  };
}

function readCombinedMask(value: unknown): Mask {
  const { with: name, ...rest } = readMask(value, 'policy.mask');
  if (name === 'none') throw new ShapeError(`the mask of ${rest.resource} is "none"`);
  return { ...rest, with: name };
}

/** Refuses a combination that is less strict than the sets that it was made of. */
function compare(sets: Sets, combined: Verdict): void {
  if (combined.outcome === 'deny') return;
  const outcome = sets.denied || !sets.allowed ? 'deny' : sets.approvals.length > 0 ? 'hold' : 'allow';
  const disagree = (what: string) =>
    new VerdictError('policy_error', `The sets and their combination disagree on ${what}.`);
  if (combined.outcome !== outcome) throw disagree('the outcome');
  for (const mask of sets.masks.values())
    if (!combined.masks.some((other) => other.resource === mask.resource && maskWeight(other) <= maskWeight(mask)))
      throw disagree(`the mask of ${mask.resource}`);
  for (const filter of sets.filters)
    if (!combined.filters.some((other) => other.resource === filter.resource && other.where === filter.where))
      throw disagree(`a filter of ${filter.resource}`);
  for (const approval of sets.approvals)
    if (!combined.approvals.some((other) => meets(other, approval))) throw disagree(`the approval ${approval.code}`);
  if (!withinLimits(combined.limits, sets.limits)) throw disagree('a limit');
  for (const { code } of sets.previews)
    if (!combined.previews?.some((other) => other.code === code)) throw disagree(`the preview ${code}`);
  for (const { code } of sets.keeps)
    if (!combined.keeps?.some((other) => other.code === code)) throw disagree(`the copy ${code}`);
  for (const taint of sets.taints)
    if (!combined.taints?.some((other) => other.label === taint.label && other.for_ms >= taint.for_ms))
      throw disagree(`the taint ${taint.label}`);
  // Sums of floating-point numbers depend on their order.
  if ((combined.cost ?? 0) < sets.cost * (1 - 1e-9)) throw disagree('the cost');
}

function meets(approval: Approval, required: Approval): boolean {
  return (
    approval.quorum >= required.quorum &&
    approval.expires_ms <= required.expires_ms &&
    approval.preview === required.preview &&
    approval.groups.every((group) => required.groups.includes(group)) &&
    (approval.in_transaction !== true || required.in_transaction === true) &&
    withinGrant(approval.grant, required.grant) &&
    (approval.break_glass?.groups ?? []).every((group) => required.break_glass?.groups.includes(group) === true)
  );
}
