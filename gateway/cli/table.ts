import pc from 'picocolors';
import type { Output } from './surroundings.js';
import { shortened } from './printable.js';

/** A column's cells are others' text: each is made harmless, put on one line, and cut to its width. */
export interface Column<T> {
  readonly title: string;
  readonly of: (row: T) => string;
  /** Characters; what is longer ends in "…". */
  readonly width_max: number;
}

export const coloursFor = (output: Output, env: NodeJS.ProcessEnv) =>
  pc.createColors(output.isTTY === true && !env['NO_COLOR']);

/** Rows under their titles, each column as wide as it has to be; the titles are dim on a terminal. */
export function table<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  dim: (text: string) => string = String,
): string {
  const cells = rows.map((row) => columns.map(({ of, width_max }) => shortened(of(row), width_max)));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => [...row[index]!].length)),
  );
  const line = (texts: readonly string[]) =>
    texts
      .map((text, index) => text + ' '.repeat(Math.max(0, widths[index]! - [...text].length)))
      .join('  ')
      .trimEnd();
  return [dim(line(columns.map(({ title }) => title))), ...cells.map(line), ''].join('\n');
}

/** How long from now: "14m 3s". Whole seconds; what is past is "0s". */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  return first < 0
    ? '0s'
    : parts
        .slice(first, first + 2)
        .filter(([count]) => count > 0)
        .map(([count, unit]) => `${String(count)}${unit}`)
        .join(' ');
}
