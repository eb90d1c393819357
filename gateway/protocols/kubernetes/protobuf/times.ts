import { WireError } from './wire.js';

/** Moments and spans of time as Go writes them in JSON. */

/** Of 0001-01-01, which Go takes for no time at all, and of the end of the year 9999. */
const zero_seconds = -62_135_596_800n;
const last_seconds = 253_402_300_799n;

const secondOf = (seconds: bigint): string => {
  if (seconds < zero_seconds || seconds > last_seconds)
    throw new WireError('it has a time outside the years 1 to 9999');
  return new Date(Number(seconds) * 1_000).toISOString().slice(0, 19);
};

/** `2026-01-31T12:00:00Z`, or null for none. Throws WireError. */
export function timeText(seconds: bigint, nanos: number): string | null {
  if (nanos !== 0) throw new WireError('it has a time with a fraction of a second, which would be lost');
  return seconds === zero_seconds ? null : `${secondOf(seconds)}Z`;
}

/** The same with microseconds. */
export function microtimeText(seconds: bigint, nanos: number): string | null {
  if (nanos < 0 || nanos > 999_999_999 || nanos % 1_000 !== 0)
    throw new WireError('it has a time with parts of a microsecond, which would be lost');
  if (seconds === zero_seconds && nanos === 0) return null;
  return `${secondOf(seconds)}.${String(nanos / 1_000).padStart(6, '0')}Z`;
}

const units = [
  ['ns', 1n],
  ['µs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
] as const;

/** `1h2m3.5s`, of nanoseconds. */
export function durationText(nanos: bigint): string {
  if (nanos === 0n) return '0s';
  const sign = nanos < 0n ? '-' : '';
  const size = nanos < 0n ? -nanos : nanos;
  const [unit, length] = units.findLast(([, each]) => size >= each)!;
  if (unit !== 's') return `${sign}${decimal(size, length)}${unit}`;
  const minutes = size / 60_000_000_000n;
  const seconds = `${decimal(size % 60_000_000_000n, length)}s`;
  if (minutes === 0n) return sign + seconds;
  const hours = minutes / 60n;
  return `${sign}${hours === 0n ? '' : `${String(hours)}h`}${String(minutes % 60n)}m${seconds}`;
}

function decimal(size: bigint, unit: bigint): string {
  const digits = String(unit).length - 1;
  const fraction =
    digits === 0
      ? ''
      : String(size % unit)
          .padStart(digits, '0')
          .replace(/0+$/, '');
  return `${String(size / unit)}${fraction === '' ? '' : `.${fraction}`}`;
}
