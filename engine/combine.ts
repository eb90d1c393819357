import { randomBytes } from 'node:crypto';
import { engineCodes } from './decision.js';
import type { Approval, Decision, EngineCode, Filter, Limits, Mask, MaskFunction, Outcome, Reason } from './decision.js'; // prettier-ignore
import type { Verdict } from './evaluate.js';
import { lowest, maskWeight } from './shapes.js';

/** From verdicts to a decision: several layers become one, and what was decided is frozen and given a name of its own. */

const strictness: Record<Outcome, number> = { allow: 0, hold: 1, deny: 2 };

/**
 * The strictest outcome, with the reasons of those that asked for it; all obligations of the layers that allow.
 *
 * @param verdicts Of the layers that have something to say of this operation. The first layer must be one of them.
 */
export function unite(verdicts: readonly Verdict[]): Verdict {
  const [only] = verdicts;
  if (only !== undefined && verdicts.length === 1) return only;
  const outcome = verdicts.reduce<Outcome>(
    (worst, { outcome }) => (strictness[outcome] > strictness[worst] ? outcome : worst),
    'allow',
  );
  const reasons = verdicts.filter((verdict) => verdict.outcome === outcome).flatMap((verdict) => verdict.reasons);
  if (outcome === 'deny') {
    const masked = maskedBy(verdicts);
    return { outcome, reasons, masks: [], filters: [], approvals: [], limits: {}, ...(masked && { masked }) };
  }
  const masks = new Map<string, Mask>();
  for (const mask of verdicts.flatMap((verdict) => verdict.masks)) {
    const other = masks.get(mask.resource);
    masks.set(mask.resource, other === undefined ? mask : noLooser(other, mask));
  }
  return {
    outcome,
    reasons,
    masks: [...masks.values()],
    filters: filtersOf(verdicts),
    approvals: approvalsOf(verdicts),
    limits: verdicts.reduce<Limits>((limits, verdict) => lowest(limits, verdict.limits), {}),
    ...consequences(verdicts),
  };
}

/** What the layers mask, also where one of them refuses; undefined where one of them does not say. */
function maskedBy(verdicts: readonly Verdict[]): string[] | undefined {
  const masked = verdicts.map(({ outcome, masks, masked: told }) =>
    outcome === 'deny' ? told : masks.map(({ resource }) => resource),
  );
  return masked.includes(undefined) ? undefined : [...new Set(masked.flatMap((names) => names ?? []))];
}

/** Previews, copies, labels and costs of all layers: what one layer looks at is found out, what each counts adds up. */
function consequences(verdicts: readonly Verdict[]): Pick<Verdict, 'previews' | 'keeps' | 'taints' | 'cost'> {
  const previews = verdicts.flatMap((verdict) => verdict.previews ?? []);
  const keeps = verdicts.flatMap((verdict) => verdict.keeps ?? []);
  const taints = verdicts.flatMap((verdict) => verdict.taints ?? []);
  const costs = verdicts.flatMap((verdict) => verdict.cost ?? []);
  return {
    ...(previews.length === 0 ? undefined : { previews }),
    ...(keeps.length === 0 ? undefined : { keeps }),
    ...(taints.length === 0 ? undefined : { taints }),
    ...(costs.length === 0 ? undefined : { cost: costs.reduce((sum, cost) => sum + cost, 0) }),
  };
}

/**
 * Of all layers that hold. A preview lets the operation run, to be undone, before anybody has answered: the first layer that
 * holds says whether it may, so that a later one cannot send ahead what an earlier one keeps back.
 */
function approvalsOf(verdicts: readonly Verdict[]): Approval[] {
  const [first, ...later] = verdicts.map(({ approvals }) => approvals).filter((approvals) => approvals.length > 0);
  if (first === undefined) return [];
  const mayRun = first.some(({ preview }) => preview !== undefined);
  return [...first, ...later.flat().map(({ preview, ...rest }) => (mayRun && preview ? { preview, ...rest } : rest))];
}

/**
 * A filter reads values as they are, and which rows come tells of them: those of a later layer may not read what an earlier one
 * masks at the source.
 */
function filtersOf(verdicts: readonly Verdict[]): Filter[] {
  const unseen = new Set<string>();
  return verdicts.flatMap(({ filters, masks }) => {
    const hidden = [...unseen];
    for (const { resource, scope } of masks) if (scope === 'source') unseen.add(resource);
    return hidden.length === 0 ? filters : filters.map((filter) => ({ ...filter, unseen: hidden }));
  });
}

/** Functions that show nothing of the value, whatever their parameters. */
const opaque: ReadonlySet<MaskFunction> = new Set<MaskFunction>(['null', 'redact', 'hash']);

/**
 * Shows no more than either of two masks, and goes by the resource of the stricter. Within one layer the order of functions decides
 * between two masks of one name, as its author meant; between two layers, or two names of one thing, it does not do: `truncate` to the second stands before `partial` and shows all of a time, a pattern shows whatever it does
 * not find, and `hash` at the output would let predicates see what the other layer keeps from them.
 */
export function noLooser(left: Mask, right: Mask): Mask {
  const scope = left.scope === 'source' || right.scope === 'source' ? 'source' : 'output';
  const [first, second] = maskWeight(right) < maskWeight(left) ? [right, left] : [left, right];
  const { resource, code } = first;
  if (first.with === second.with && sameParameters(first, second)) return { ...first, scope };
  if (first.with === 'pattern' && second.with === 'pattern') return { ...together(first, second), scope };
  if (first.with !== second.with && opaque.has(first.with)) return { ...first, scope };
  // Which of the two shows less cannot be told; redact shows less than either.
  return { resource, with: first.with === 'null' ? 'null' : 'redact', scope, code };
}

/** Two patterns find together what each of them finds; without kinds they look for all. */
function together(first: Mask, second: Mask): Mask {
  const { resource, scope, code } = first;
  const [kinds, more] = [first, second].map(({ parameters }) => parameters?.['kinds']);
  if (!Array.isArray(kinds) || !Array.isArray(more)) return { resource, with: 'pattern', scope, code };
  const all = [...new Set([...(kinds as unknown[]), ...(more as unknown[])])];
  return { resource, with: 'pattern', scope, parameters: { kinds: all }, code };
}

function sameParameters(left: Mask, right: Mask): boolean {
  return JSON.stringify(left.parameters ?? {}) === JSON.stringify(right.parameters ?? {});
}

export function refusal(code: EngineCode, message?: string, rule?: string): Verdict {
  const reason: Reason = {
    code,
    ...(rule === undefined ? undefined : { rule }),
    title: engineCodes[code],
    ...(message === undefined ? undefined : { message }),
  };
  return { outcome: 'deny', reasons: [reason], masks: [], filters: [], approvals: [], limits: {} };
}

/** Decisions share what was decided: nobody may change it. */
export function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const key of Object.keys(value)) freeze((value as Record<string, unknown>)[key]);
  return Object.freeze(value);
}

/** Sets this process's decisions apart from those of any other: 12 characters of base 36, 62 bits. */
const processPrefix = `d-${(randomBytes(8).readBigUInt64BE() % 36n ** 12n).toString(36).padStart(12, '0')}-`;
let issued = 0;

/** The only place where a decision is made. */
export function issue(verdict: Verdict, revision: string): Decision {
  issued += 1;
  return {
    id: processPrefix + String(issued),
    outcome: verdict.outcome,
    reasons: verdict.reasons,
    masks: verdict.masks,
    filters: verdict.filters,
    approvals: verdict.approvals,
    limits: verdict.limits,
    ...(verdict.previews === undefined ? undefined : { previews: verdict.previews }),
    ...(verdict.keeps === undefined ? undefined : { keeps: verdict.keeps }),
    ...(verdict.taints === undefined ? undefined : { taints: verdict.taints }),
    ...(verdict.cost === undefined ? undefined : { cost: verdict.cost }),
    ...(verdict.masked === undefined ? undefined : { masked: verdict.masked }),
    revision,
  } as unknown as Decision;
}

/** A refusal that needs no policy: the gateway's own, in the form of every other. */
export function deny(code: EngineCode, revision: string, message?: string): Decision {
  return issue(freeze(refusal(code, message)), revision);
}

/** What was held may go on: the approvals that it needed are there. What policy asks beside them stays. */
export function approved(held: Decision): Decision {
  if (held.outcome !== 'hold') throw new Error(`decision ${held.id} does not wait for an approval`);
  return issue({ ...held, outcome: 'allow' }, held.revision);
}
