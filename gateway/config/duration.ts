const units_ms = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** What `duration` takes, for schemas: "500ms", "30s", "15m", "1h", "1h30m". */
export const durationPattern = '^([0-9]{1,9}(ms|s|m|h|d))+$';

/** Reads a duration into milliseconds; undefined where it is none. */
export function duration(text: string): number | undefined {
  if (!new RegExp(durationPattern, 'u').test(text)) return undefined;
  let total_ms = 0;
  for (const [, count, unit] of text.matchAll(/([0-9]+)(ms|s|m|h|d)/gu)) {
    total_ms += Number(count) * units_ms[unit as keyof typeof units_ms];
  }
  return total_ms;
}

const units_bytes = { KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 } as const;

/** What `size` takes, for schemas: "64KiB", "256MiB", "1GiB". */
export const sizePattern = '^([1-9][0-9]{0,5})(KiB|MiB|GiB)$';

/** Reads a size into bytes; undefined where it is none. */
export function size(text: string): number | undefined {
  const [, count, unit] = new RegExp(sizePattern, 'u').exec(text) ?? [];
  return unit === undefined ? undefined : Number(count) * units_bytes[unit as keyof typeof units_bytes];
}
