import { createEngine, type Decision, type Input, type Revision } from '#engine';
import { stringify } from 'yaml';
import { unmet, type Want } from '../../bundles/index.js';
import { compare, type Change } from './compare.js';
import type { Task } from './judge.js';
import { nameOf, type Kind } from './kinds.js';
import { minimise, type Json } from './minimise.js';

/**
 * For each kind of difference its smallest case, as `*.cases.yaml` of a policy repository has them. A case is judged by its
 * own repository alone, so the difference has to be there without the base, too; where there is a base, it is also there
 * with it.
 */
export interface Smallest {
  /** YAML; undefined where there is no case. */
  readonly text: string | undefined;
  readonly cases: number;
  /** Kinds that no case of this repository alone can show. */
  readonly untold: readonly string[];
}

/** after: the case passes on the later commit and fails on the earlier one. before: the other way round. */
export type Wanted = 'after' | 'before';

/** Of one case; a policy decides some thousands a second. */
const questions_max = 2_000;

export async function smallestCases(
  task: Task,
  kinds: readonly Kind[],
  wanted: Wanted,
  range: string,
): Promise<Smallest> {
  const both = await Pair.of(task.before, task.after);
  // Of a team's commits the layer above the base is their own, of the base's the one below.
  const own = task.own === undefined ? both : await Pair.of(task.own.before, task.own.after);
  const cases: object[] = [];
  const untold: string[] = [];
  for (const kind of kinds) {
    const one = smallest(kind, both, own, wanted);
    if (one === undefined) untold.push(nameOf(kind));
    else cases.push({ description: nameOf(kind), ...one });
  }
  const title = `What ${range} changes, in its smallest cases`;
  const text = cases.length === 0 ? undefined : stringify({ title, cases }, { lineWidth: 120 });
  return { text, cases: cases.length, untold };
}

/** Two revisions, and how they differ on a document. */
class Pair {
  private constructor(
    readonly before: Revision,
    readonly after: Revision,
  ) {}

  static async of(before: Task['before'], after: Task['after']): Promise<Pair> {
    const engine = createEngine();
    return new Pair(await engine.prepare(before.id, before.layers), await engine.prepare(after.id, after.layers));
  }

  decide(input: Input): { readonly before: Decision; readonly after: Decision } {
    return { before: this.before.decide(input), after: this.after.decide(input) };
  }

  differs(input: Input, { kind, rule, on }: Change): boolean {
    const { before, after } = this.decide(input);
    return compare(before, after).some((one) => one.kind === kind && one.rule === rule && one.on === on);
  }
}

function smallest({ change, input }: Kind, both: Pair, own: Pair, wanted: Wanted): object | undefined {
  const holds = (document: Json): boolean => {
    const candidate = document as unknown as Input;
    if (!both.differs(candidate, change) || (own !== both && !own.differs(candidate, change))) return false;
    const { want, other } = wants(own, candidate, change, wanted);
    return unmet(other, want).length > 0;
  };
  const document = input as unknown as Json;
  if (!holds(document)) return undefined;
  const least = minimise(document, { holds, mayGo, mayCut, questions_max });
  return { input: least, want: wants(own, least as unknown as Input, change, wanted).want };
}

/** What the engine needs of any document: without it there is no decision. */
const mayGo = (path: readonly string[]): boolean =>
  !['version', 'principal', 'target', 'target.name', 'target.protocol', 'operation', 'operation.resources'].includes(
    path.join('.'),
  );

/** Words of the contract: half of one would be no document that a gateway makes. */
const wholeWords = new Set(['kind', 'stage', 'action', 'access', 'use', 'protocol', 'time', 'started', 'transaction']);
const mayCut = (path: readonly string[]): boolean =>
  path[0] !== 'target' && !path.some((name) => wholeWords.has(name)) && !path.includes('labels');

function wants(own: Pair, input: Input, change: Change, wanted: Wanted): { want: Want; other: Decision } {
  const { before, after } = own.decide(input);
  const [one, other] = wanted === 'after' ? [after, before] : [before, after];
  return { want: wantOf(one, change), other };
}

/** As much of the decision as has to do with the difference. */
function wantOf(
  { outcome, reasons, masks, filters, approvals, limits, keeps, taints, cost }: Decision,
  { kind }: Change,
): Want {
  if (outcome === 'deny') return { outcome, codes: reasons.map(({ code }) => code) };
  if (kind.startsWith('mask_')) return { outcome, masks: masks.map(({ code: _code, ...mask }) => mask) };
  if (kind.startsWith('filter_')) return { outcome, filters: filters.map(({ resource, where }) => ({ resource, where })) }; // prettier-ignore
  if (kind.startsWith('limit_')) return { outcome, limits: { ...limits } };
  if (kind.startsWith('taint_')) return { outcome, taints: (taints ?? []).map(({ label, for_ms }) => ({ label, for: inUnits(for_ms) })) }; // prettier-ignore
  if (kind.startsWith('copy_')) return { outcome, keeps: (keeps ?? []).map(({ code }) => ({ code })) };
  if (kind.startsWith('cost_')) return { outcome, cost: cost ?? 0 };
  if (kind.startsWith('approval_')) return { outcome, approvals: approvals.map(approvalOf) };
  return { outcome };
}

const units: readonly (readonly [number, string])[] = [[86_400_000, 'd'], [3_600_000, 'h'], [60_000, 'm'], [1_000, 's']]; // prettier-ignore

function approvalOf({ groups, quorum, expires_ms, preview }: Decision['approvals'][number]) {
  return { groups: [...groups], quorum, expires: inUnits(expires_ms), ...(preview && { preview }) };
}

/** As policy writes it: "45m". */
function inUnits(time_ms: number): string {
  const [unit_ms, letter] = units.find(([each_ms]) => time_ms % each_ms === 0) ?? [1_000, 's'];
  return `${time_ms / unit_ms}${letter}`;
}
