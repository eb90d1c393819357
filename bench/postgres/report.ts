import type { Sample } from './measures.js';

export interface Row {
  /** What was asked: simple, extended, … */
  readonly what: string;
  readonly unit: string;
  readonly subject: string;
  readonly samples: readonly Sample[];
}

/** Of each figure the median over the rounds: a machine that was busy for one of them does not show. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly subject: string;
  readonly rounds: number;
  readonly user_us: number;
  readonly system_us: number;
  readonly processor_us: number;
  /** Over pgbouncer's processor time; NaN where it wasn't measured. */
  readonly over_pgbouncer: number;
  /** Over the processor time of the relay that only finds frames. */
  readonly over_frames: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly rate: number;
}

export function figures(rows: readonly Row[]): readonly Figure[] {
  const processor = ({ samples }: Row) => median(samples.map(({ user_us, system_us }) => user_us + system_us));
  return rows.map((row) => {
    const of = (subject: string) => rows.find((other) => other.what === row.what && other.subject === subject);
    const over = (subject: string) => {
      const other = of(subject);
      return other === undefined ? Number.NaN : processor(row) / processor(other);
    };
    const { what, unit, subject, samples } = row;
    return {
      what,
      unit,
      subject,
      rounds: samples.length,
      user_us: median(samples.map((sample) => sample.user_us)),
      system_us: median(samples.map((sample) => sample.system_us)),
      processor_us: processor(row),
      over_pgbouncer: over('pgbouncer'),
      over_frames: over('frames only'),
      p50_ms: median(samples.map((sample) => sample.p50_ms)),
      p99_ms: median(samples.map((sample) => sample.p99_ms)),
      rate: median(samples.map((sample) => sample.rate)),
    };
  });
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** For people: Markdown, so that it goes into a page as it is. */
export function table(found: readonly Figure[]): string {
  const lines = [
    '| | proxy | processor µs (user + system) | over pgbouncer | over frames only | p50 ms | p99 ms | per second |',
    '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  ];
  let last = '';
  for (const figure of found) {
    const { what, unit, subject, user_us, system_us, processor_us, over_pgbouncer, over_frames, p50_ms, p99_ms, rate } =
      figure;
    const label = what === last ? '' : `${what}, per ${unit}`;
    last = what;
    const time = Number.isNaN(processor_us)
      ? ''
      : `${number(processor_us)} (${number(user_us)} + ${number(system_us)})`;
    lines.push(
      `| ${label} | ${subject} | ${time} | ${number(over_pgbouncer)} | ${number(over_frames)} | ${number(p50_ms)} | ${number(p99_ms)} | ${number(rate)} |`,
    );
  }
  return lines.join('\n');
}

export function number(value: number): string {
  if (Number.isNaN(value)) return '';
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
