import { lines, share, type Line, type Verdict } from './run.js';
import type { Comparison } from './utility.js';

/** What a run comes to. */
export interface Report {
  /** direct, or as whom the gateway signed in to the server. */
  readonly through: string;
  readonly families: readonly Line[];
  /** Of the attempts to read: the share that was answered with masked data; and the share that leaked. */
  readonly answered: number;
  readonly leaked: number;
  /** Attempts of which something came, but should not have. */
  readonly failures: readonly { family: string; name: string; outcome: string; why: string }[];
  /** Attempts that were refused although they can be answered. */
  readonly over_refused: readonly { family: string; name: string; outcome: string; why: string }[];
  readonly utility: { readonly cases: number; readonly identical: number };
  readonly seconds: number;
}

export function families(
  through: string,
  verdicts: readonly Verdict[],
  useful: readonly Comparison[],
  took_ms: number,
): Report {
  const flat = ({ case: given, outcome, why }: Verdict) => ({ family: given.family, name: given.name, outcome, why });
  const different = useful.filter(({ outcome }) => outcome !== 'identical');
  return {
    through,
    families: lines(verdicts),
    answered: share(verdicts, 'masked', ({ kind }) => kind === 'read'),
    leaked: share(verdicts, 'leaked', ({ kind, silent }) => kind === 'read' && !silent),
    failures: [
      ...verdicts.filter(({ outcome }) => outcome === 'leaked' || outcome === 'executed').map(flat),
      ...different.map(({ useful: each, outcome, why }) => ({
        family: `utility: ${each.family}`,
        name: each.name,
        outcome,
        why,
      })),
    ],
    over_refused: verdicts
      .filter(({ case: given, outcome }) => given.expect === 'masked' && (outcome === 'refused' || outcome === 'error'))
      .map(flat),
    utility: { cases: useful.length, identical: useful.length - different.length },
    seconds: Math.round(took_ms / 1000),
  };
}

/** For a person: a table by family, then what went wrong. */
export function printable(report: Report, verbose: boolean): string {
  const heads = ['family', 'cases', 'leaked', 'executed', 'refused', 'masked', 'errors'];
  const rows = report.families.map(({ family, cases, counts }) => [
    family,
    ...[cases, counts.leaked, counts.executed, counts.refused, counts.masked, counts.error].map(String),
  ]);
  const sum = (at: number) => String(rows.reduce((total, cells) => total + Number(cells[at]), 0));
  rows.push(['all', ...[1, 2, 3, 4, 5, 6].map(sum)]);
  const widths = heads.map((head, at) => Math.max(head.length, ...rows.map((cells) => cells[at]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
  const percent = (part: number) => `${(part * 100).toFixed(1)} %`;
  const list = (title: string, entries: Report['failures']) =>
    entries.length === 0
      ? []
      : [
          '',
          title,
          ...entries.map(({ family, name, outcome, why }) => `  ${outcome}  ${family}: ${name}\n      ${why}`),
        ];
  const direct = report.through === 'direct';
  return [
    '',
    direct ? 'Without any gateway' : `Through ${report.through}`,
    '',
    line(heads),
    ...rows.map(line),
    '',
    direct
      ? `attempts to read that leak: ${percent(report.leaked)}`
      : `attempts to read that were answered with masked data: ${percent(report.answered)}`,
    ...(report.utility.cases === 0
      ? []
      : [`useful statements answered as by the server itself: ${report.utility.identical} of ${report.utility.cases}`]),
    `${report.seconds} seconds`,
    ...(direct && !verbose ? [] : list('What should not have been:', report.failures)),
    ...(verbose ? list('Refused, though it can be answered:', report.over_refused) : []),
  ].join('\n');
}
