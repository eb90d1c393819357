import { noLooser, type Decision, type Filter, type Keep, type Mask, type Preview, type Taint } from '#engine';

/** What a change of policy does to one operation: how the later decision differs from the earlier one. */

export type ChangeKind =
  | 'newly_allowed'
  | 'newly_denied'
  | 'hold_added'
  | 'hold_removed'
  | 'approval_weakened'
  | 'approval_changed'
  | 'mask_lost'
  | 'mask_added'
  | 'filter_lost'
  | 'filter_added'
  | 'limit_raised'
  | 'limit_lowered'
  | 'preview_lost'
  | 'preview_added'
  | 'copy_lost'
  | 'copy_added'
  | 'taint_lost'
  | 'taint_added'
  | 'cost_lowered'
  | 'cost_raised';

/** Whoever asks may do or see more than before. */
export const loosening: ReadonlySet<ChangeKind> = new Set<ChangeKind>([
  'newly_allowed',
  'hold_removed',
  'approval_weakened',
  'mask_lost',
  'filter_lost',
  'limit_raised',
  'preview_lost',
  'copy_lost',
  'taint_lost',
  'cost_lowered',
]);

export interface Change {
  readonly kind: ChangeKind;
  /** The code of the rule that made it, or that no longer does. */
  readonly rule: string;
  /** The resource, for masks and filters; the limit's name; the label, for taints. */
  readonly on?: string;
}

export function compare(before: Decision, after: Decision): Change[] {
  if (before.outcome === 'deny' && after.outcome === 'deny') return [];
  if (after.outcome === 'deny') return [{ kind: 'newly_denied', rule: codeOf(after) }];
  // Somebody may let it through now: what nobody could is loosened, even where it has to wait.
  if (before.outcome === 'deny') return [{ kind: 'newly_allowed', rule: codeOf(before) }];
  return [
    ...holds(before, after),
    ...masks(before.masks, after.masks),
    ...filters(before.filters, after.filters),
    ...limits(before, after),
    ...previews(before.previews ?? [], after.previews ?? []),
    ...copies(before.keeps ?? [], after.keeps ?? []),
    ...taints(before.taints ?? [], after.taints ?? []),
    ...costs(before.cost ?? 0, after.cost ?? 0),
  ];
}

const codeOf = (decision: Decision): string => decision.reasons[0]?.code ?? 'unknown';

function holds(before: Decision, after: Decision): Change[] {
  if (before.outcome !== after.outcome) {
    const added = after.outcome === 'hold';
    return [{ kind: added ? 'hold_added' : 'hold_removed', rule: codeOf(added ? after : before) }];
  }
  const [had, has] = [before, after].map(({ approvals }) => approvals.map((one) => JSON.stringify(one)).sort()) as [string[], string[]]; // prettier-ignore
  if (JSON.stringify(had) === JSON.stringify(has)) return [];
  const unmet = before.approvals.find((old) => !after.approvals.some((now) => atLeast(now, old)));
  if (unmet !== undefined) return [{ kind: 'approval_weakened', rule: unmet.code ?? codeOf(before) }];
  return [{ kind: 'approval_changed', rule: codeOf(after) }];
}

type Approval = Decision['approvals'][number];

/** Whether whoever meets the one has met the other: the same people or fewer, as many of them or more. */
function atLeast(now: Approval, old: Approval): boolean {
  const { groups: nowGroups, quorum: nowQuorum, ...nowRest } = now;
  const { groups: oldGroups, quorum: oldQuorum, ...oldRest } = old;
  const narrower = nowGroups.every((group) => oldGroups.includes(group));
  const same =
    JSON.stringify({ ...nowRest, code: '', reason: '' }) === JSON.stringify({ ...oldRest, code: '', reason: '' });
  return narrower && same && (nowQuorum ?? 1) >= (oldQuorum ?? 1);
}

function masks(before: readonly Mask[], after: readonly Mask[]): Change[] {
  const changes: Change[] = [];
  for (const mask of before) {
    const now = after.find(({ resource }) => resource === mask.resource);
    if (now === undefined || !showsNoMore(now, mask))
      changes.push({ kind: 'mask_lost', rule: mask.code ?? mask.with, on: mask.resource });
  }
  for (const mask of after) {
    const old = before.find(({ resource }) => resource === mask.resource);
    if (old === undefined || (showsNoMore(mask, old) && !showsNoMore(old, mask)))
      changes.push({ kind: 'mask_added', rule: mask.code ?? mask.with, on: mask.resource });
  }
  return changes;
}

/**
 * Whether the later mask is as strict as the two together. The order of functions alone does not tell: a pattern stands before
 * `partial` and shows whatever it does not find, and `null` at the output lets predicates see what `redact` at the source does not.
 */
function showsNoMore(now: Mask, old: Mask): boolean {
  const both = noLooser(old, now);
  return both.with === now.with && both.scope === now.scope && parametersOf(both) === parametersOf(now);
}

/** Equal for equal parameters, in whatever order they stand. */
const parametersOf = ({ parameters = {} }: Mask): string =>
  JSON.stringify(
    Object.entries(parameters)
      .map(([name, value]) => [name, Array.isArray(value) ? [...(value as unknown[])].sort() : value])
      .sort(([one], [other]) => (String(one) < String(other) ? -1 : 1)),
  );

function filters(before: readonly Filter[], after: readonly Filter[]): Change[] {
  const missing = (some: readonly Filter[], others: readonly Filter[]) =>
    some.filter((one) => !others.some(({ resource, where }) => resource === one.resource && where === one.where));
  return [
    ...missing(before, after).map(
      (one) => ({ kind: 'filter_lost', rule: one.code ?? one.where, on: one.resource }) as const,
    ),
    ...missing(after, before).map(
      (one) => ({ kind: 'filter_added', rule: one.code ?? one.where, on: one.resource }) as const,
    ),
  ];
}

function limits(before: Decision, after: Decision): Change[] {
  return (['rows', 'bytes', 'seconds'] as const).flatMap((name) => {
    const [had, has] = [before.limits[name] ?? Infinity, after.limits[name] ?? Infinity];
    if (had === has) return [];
    return [{ kind: has > had ? 'limit_raised' : 'limit_lowered', rule: 'limit', on: name } as const];
  });
}

/** What is let through without a look at what it would do: rules that judge that see nothing, however they would have decided. */
function previews([had]: readonly Preview[], [has]: readonly Preview[]): Change[] {
  if (had !== undefined && has === undefined) return [{ kind: 'preview_lost', rule: had.code }];
  if (had === undefined && has !== undefined) return [{ kind: 'preview_added', rule: has.code }];
  return [];
}

/** What is transferred without a copy: nobody can look later at what it was. */
function copies([had]: readonly Keep[], [has]: readonly Keep[]): Change[] {
  if (had !== undefined && has === undefined) return [{ kind: 'copy_lost', rule: had.code }];
  if (had === undefined && has !== undefined) return [{ kind: 'copy_added', rule: has.code }];
  return [];
}

/** A label that stays for a shorter time is lost for the rest of it. */
function taints(before: readonly Taint[], after: readonly Taint[]): Change[] {
  const longest = (some: readonly Taint[], label: string): number =>
    some.reduce((most_ms, one) => (one.label === label ? Math.max(most_ms, one.for_ms) : most_ms), 0);
  const shorter = (some: readonly Taint[], others: readonly Taint[], kind: ChangeKind): Change[] => {
    const labels = new Map(some.map(({ label, code }) => [label, code]));
    return [...labels].flatMap(([label, code]) =>
      longest(some, label) > longest(others, label) ? [{ kind, rule: code, on: label }] : [],
    );
  };
  return [...shorter(before, after, 'taint_lost'), ...shorter(after, before, 'taint_added')];
}

/** What costs less uses up a budget later. Sums of floating-point numbers depend on their order: what is that near is equal. */
function costs(had: number, has: number): Change[] {
  if (Math.abs(had - has) <= Math.max(had, has) * 1e-9) return [];
  return [{ kind: had > has ? 'cost_lowered' : 'cost_raised', rule: 'cost' }];
}
