import { loosening, type ChangeKind } from './compare.js';
import { isLoosened, type Group, type Tally } from './tally.js';

/** What both revisions were judged together with. */
export interface Companion {
  /** base: the revisions are a team's, and it lies beneath them. team: they are the base's, and it stands upon them. */
  readonly role: 'base' | 'team';
  readonly revision: string;
  /** "in force", or where it was read. */
  readonly from: string;
}

/** What `sallyport replay` found, for a terminal, for a pull request, and for programs. */
export interface Report {
  readonly from: string;
  readonly to: string;
  readonly beside?: Companion;
  readonly tally: Tally;
  readonly loosened: boolean;
  /** Values of the trailer in the commits between the two: who says that it is meant. */
  readonly meant: readonly string[];
  /** What either policy reads of the input that records do not have. */
  readonly unseen: readonly string[];
  readonly duration_ms: number;
}

export const words: Readonly<Record<ChangeKind, string>> = {
  newly_allowed: 'newly allowed',
  newly_denied: 'newly denied',
  hold_added: 'waits for approval now',
  hold_removed: 'no longer waits for approval',
  approval_weakened: 'approval weakened',
  approval_changed: 'approval changed',
  mask_lost: 'mask lost or weakened',
  mask_added: 'mask added or made stricter',
  filter_lost: 'filter lost',
  filter_added: 'filter added',
  limit_raised: 'limit raised or lost',
  limit_lowered: 'limit lowered or added',
  preview_lost: 'no longer looked at beforehand',
  preview_added: 'looked at beforehand now',
  copy_lost: 'no longer kept',
  copy_added: 'kept now',
  taint_lost: 'taint lost or shorter',
  taint_added: 'taint added or longer',
  cost_lowered: 'costs less',
  cost_raised: 'costs more',
};

/** Groups that are printed; all are in the JSON. */
const printed_max = 50;

export function asText(report: Report): string {
  const { tally } = report;
  const lines = tally.groups.slice(0, printed_max).map(difference);
  return [...head(report), ...lines, ...more(tally), ...foot(report), ''].join('\n');
}

/** One line; a mark in front says that it loosens. */
export function difference(group: Group): string {
  const mark = loosening.has(group.kind) ? '!' : ' ';
  return `${mark} ${String(group.count).padStart(7)}  ${words[group.kind].padEnd(30)} ${where(group)}`;
}

const where = ({ rule, on, principal, target, example }: Group): string =>
  `${rule}${on === undefined ? '' : ` on ${on}`} · ${principal} at ${target} · e.g. ${example}`;

export function asMarkdown(report: Report): string {
  const { tally } = report;
  const rows = tally.groups.slice(0, printed_max).map((group) => {
    const cells = [
      `${loosening.has(group.kind) ? '⚠️ ' : ''}${words[group.kind]}`,
      group.count,
      code(group.rule + (group.on === undefined ? '' : ` on ${group.on}`)),
      code(group.principal),
      code(group.target),
      code(group.example),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const table =
    rows.length === 0
      ? []
      : [
          '',
          '| what | operations | rule | principal | target | example |',
          '| --- | ---: | --- | --- | --- | --- |',
          ...rows,
        ];
  return [
    '### What this change of policy does',
    '',
    ...head(report),
    ...table,
    ...more(tally),
    '',
    ...foot(report),
    '',
  ].join('\n');
}

/** Names come from tokens and from policy: none may end the cell, or become markup. */
const code = (text: string): string => `\`${text.replaceAll('`', "'").replaceAll('|', '\\|').replace(/\s+/g, ' ')}\``;

function head({ from, to, beside, tally, duration_ms }: Report): string[] {
  const rate = duration_ms > 0 ? Math.round((tally.operations * 1000) / duration_ms) : 0;
  return [
    `${from} → ${to}: ${tally.operations} recorded operations decided under both, ${tally.changed} differently ` +
      `(${(duration_ms / 1000).toFixed(1)} s, ${rate} a second).`,
    ...(beside === undefined ? [] : [together(beside)]),
  ];
}

const together = ({ role, revision, from }: Companion): string =>
  role === 'base'
    ? `Both stand upon the organisation's base ${revision} (${from}).`
    : `Both lie beneath the team's policy ${revision} (${from}).`;

function more({ groups, beyond }: Tally): string[] {
  const hidden = Math.max(groups.length - printed_max, 0);
  const lines = hidden === 0 ? [] : [`and ${hidden} more kinds of difference: --json has them all`];
  for (const [kind, count] of Object.entries(beyond))
    lines.push(`and ${count} more operations ${words[kind as ChangeKind]}`);
  return lines;
}

function foot({ tally, loosened, meant, unseen }: Report): string[] {
  const lines: string[] = [];
  if (unseen.length > 0) {
    const labels = unseen.includes('target.labels')
      ? " The labels are in the gateway's configuration: name it with --config."
      : '';
    lines.push(`Not seen: these policies read ${unseen.join(', ')}, which records do not have.${labels}`);
  }
  if (tally.unlike_recorded > 0)
    lines.push(
      `${tally.unlike_recorded} operations were decided otherwise when they came: records lack what policy looked at then.`,
    );
  if (tally.unmeasured > 0)
    lines.push(
      `${tally.unmeasured} operations cannot be decided for certain: a policy reads usage, and what was used by then is not in their records; they were decided as if nothing were.`,
    );
  if (tally.unproven > 0)
    lines.push(
      `${tally.unproven} operations cannot be decided for certain: a filter stands beside masks of the base, and may be refused (filter_unenforceable) by what the target's catalog says.`,
    );
  if (tally.upon_base > 0)
    lines.push(
      `${tally.upon_base} operations were judged upon the organisation's base when they came, and here without: give it with -c or --base.`,
    );
  if (tally.erased > 0)
    lines.push(`${tally.erased} records were passed by: what they would need has been erased or withheld.`);
  if (loosened)
    lines.push(
      meant.length > 0
        ? `Loosened, as the commits say: ${meant.join('; ')}`
        : 'Loosened: somebody may do or see more than before, and no commit says that this is meant.',
    );
  return lines;
}

export const asJson = (report: Report): string =>
  `${JSON.stringify({ ...report, loosened: isLoosened(report.tally) })}\n`;
