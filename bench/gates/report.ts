import type { Sample } from '../postgres/measures.js';
import { median, number } from '../postgres/report.js';

export interface Row {
  readonly what: string;
  readonly subject: string;
  readonly samples: readonly Sample[];
}

/** Of each figure the median over the rounds: a machine that was busy for one of them does not show. */
export interface Figure {
  readonly what: string;
  readonly subject: string;
  readonly user_us: number;
  readonly system_us: number;
  /** Requests a second. */
  readonly rate: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** Processor time over that of the plain proxy in Node. */
  readonly over_plain: number;
  /** Requests a second over those that the server alone answered. */
  readonly rate_over_direct: number;
}

const figureNames = ['user_us', 'system_us', 'rate', 'p50_ms', 'p99_ms'] as const;

function middles({ samples }: Row): Sample {
  const taken = figureNames.map((name) => [name, median(samples.map((sample) => sample[name]))] as const);
  return Object.fromEntries(taken) as unknown as Sample;
}

export function figures(rows: readonly Row[]): readonly Figure[] {
  const found = rows.map((row) => ({ ...row, middle: middles(row) }));
  const processor = ({ user_us, system_us }: Sample) => user_us + system_us;
  return found.map(({ what, subject, middle }) => {
    const of = (name: string) => found.find((other) => other.what === what && other.subject === name)!.middle;
    return {
      ...{ what, subject, ...middle },
      over_plain: processor(middle) / processor(of('plain proxy')),
      rate_over_direct: middle.rate / of('direct').rate,
    };
  });
}

/** For people: Markdown, so that it goes into a page as it is. */
export function table(found: readonly Figure[]): string {
  const lines = [
    '| | way | processor µs (user + system) | over the plain proxy | per second | of direct | p50 ms | p99 ms |',
    '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  ];
  let last = '';
  for (const { what, subject, user_us, system_us, rate, p50_ms, p99_ms, over_plain, rate_over_direct } of found) {
    const label = what === last ? '' : what;
    last = what;
    const time = Number.isNaN(user_us)
      ? ''
      : `${number(user_us + system_us)} (${number(user_us)} + ${number(system_us)})`;
    lines.push(
      `| ${label} | ${subject} | ${time} | ${number(over_plain)} | ${number(rate)} | ${number(rate_over_direct)} | ${number(p50_ms)} | ${number(p99_ms)} |`,
    );
  }
  return lines.join('\n');
}
