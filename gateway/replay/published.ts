import type { Companion, Report } from './report.js';
import { words } from './report.js';
import type { ChangeKind } from './compare.js';
import { isLoosened, type Group, type Tally } from './tally.js';

/** A report as it is sent to a gateway, whose console shows it: no more of it than a page can show, and how much that leaves out. */
export interface PublishedReport {
  readonly format: 1;
  /** As git names them. */
  readonly from: string;
  readonly to: string;
  /** The revisions that these were. */
  readonly before: string;
  readonly after: string;
  readonly beside?: Companion;
  readonly tally: Tally;
  readonly meant: readonly string[];
  readonly unseen: readonly string[];
  readonly duration_ms: number;
  readonly shortened: Shortened;
}

export interface Shortened {
  /** Kinds of difference that are left out; what they come to is in `tally.beyond`. */
  readonly groups: number;
  /** Texts of which the end is left out. */
  readonly texts: number;
}

export const changeKinds = Object.keys(words) as readonly ChangeKind[];

export const publishedLimits = {
  /** Of the whole, as JSON; what is received may be this large. */
  report_bytes_max: 1_048_576,
  groups_max: 1_000,
  text_chars_max: 256,
  texts_max: 20,
} as const;

/** Leaves room for what is not a group. */
const groups_bytes_max = publishedLimits.report_bytes_max - 262_144;

/** The report without what is too much of it; what loosens is left out last. */
export function publishable(
  report: Report,
  revisions: { readonly before: string; readonly after: string },
): PublishedReport {
  let texts = 0;
  const cut = (text: string): string => {
    const clean = wellFormed(text);
    if (clean.length <= publishedLimits.text_chars_max) return clean;
    texts += 1;
    return `${wellFormed(clean.slice(0, publishedLimits.text_chars_max - 1))}…`;
  };
  const few = (some: readonly string[]): string[] => some.slice(0, publishedLimits.texts_max).map(cut);
  const { tally, beside } = report;
  const kept: Group[] = [];
  const beyond = new Map(Object.entries(tally.beyond) as [ChangeKind, number][]);
  let bytes = 0;
  for (const group of tally.groups) {
    const { rule, on, principal, target, example } = group;
    const one = { ...group, rule: cut(rule), ...(on === undefined ? {} : { on: cut(on) }), principal: cut(principal), target: cut(target), example: cut(example) }; // prettier-ignore
    bytes += Buffer.byteLength(JSON.stringify(one)) + 1;
    if (kept.length < publishedLimits.groups_max && bytes <= groups_bytes_max) kept.push(one);
    else beyond.set(group.kind, (beyond.get(group.kind) ?? 0) + group.count);
  }
  const left = Math.max(0, report.meant.length - publishedLimits.texts_max);
  const published = {
    format: 1 as const,
    ...{ from: cut(report.from), to: cut(report.to), before: cut(revisions.before), after: cut(revisions.after) },
    ...(beside === undefined
      ? {}
      : { beside: { role: beside.role, revision: cut(beside.revision), from: cut(beside.from) } }),
    tally: { ...tally, groups: kept, beyond: Object.fromEntries(beyond) },
    ...{ meant: few(report.meant), unseen: few(report.unseen), duration_ms: Math.round(report.duration_ms) },
  };
  return { ...published, shortened: { groups: tally.groups.length - kept.length, texts: texts + left } };
}

/** Half of a letter is none. */
const wellFormed = (text: string): string => Buffer.from(text).toString('utf8');

/** What a list shows of one. */
export interface Summary {
  readonly from: string;
  readonly to: string;
  readonly operations: number;
  readonly changed: number;
  readonly loosened: boolean;
  /** Loosened, and a commit says why. */
  readonly meant: boolean;
}

export const summaryOf = ({ from, to, tally, meant }: PublishedReport): Summary => ({
  ...{ from, to, operations: tally.operations, changed: tally.changed },
  loosened: isLoosened(tally),
  meant: meant.length > 0,
});
