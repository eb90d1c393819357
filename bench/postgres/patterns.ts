import { median, type Row } from './report.js';
import { wideQuery } from './workload.js';
import type { Subject } from './world.js';

/**
 * What it costs to look for patterns in all that is returned: a result through a gateway that does, and through one that does
 * not. A fifth of the large one, as its text takes a while to read.
 */
export const patternRows = '20 000 rows, searched for patterns';
export const patternQuery = `${wideQuery} limit 20000`;

export const patternPolicy: Readonly<Record<string, string>> = {
  'content.rego': `package policy.postgres

mask contains {"resource": "*", "with": "pattern", "code": "content"} if input.version == 1
`,
};

export interface PatternSubjects {
  readonly direct: Subject;
  readonly off: Subject;
  readonly on: Subject;
}

/** In one line: processor time per megabyte with over without, and megabytes per second over the server's own. */
export function patternLine(rows: readonly Row[], { direct, off, on }: PatternSubjects): string {
  const of = (subject: Subject) =>
    rows.find((row) => row.what === patternRows && row.subject === subject.name)?.samples ?? [];
  const processor_us = (subject: Subject) => median(of(subject).map(({ user_us, system_us }) => user_us + system_us));
  const rate = (subject: Subject) => median(of(subject).map((sample) => sample.rate));
  const [with_us, without_us] = [processor_us(on), processor_us(off)];
  const share = ((100 * rate(on)) / rate(direct)).toFixed(0);
  return (
    `${patternRows}: ${with_us.toFixed(0)} µs of processor time per MB with, ${without_us.toFixed(0)} without ` +
    `(${(with_us / without_us).toFixed(2)}); ${rate(on).toFixed(1)} MB/s (${share} % of direct, ${rate(off).toFixed(1)} without)`
  );
}
