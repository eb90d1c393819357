import type { Term } from '../regotext.js';
import { ofStrings, type Call, type Table, type Value } from './builtin.js';
import { formatTime, parseTime, weekdays, type CivilTime } from './golayout.js';

/**
 * Times: nanoseconds since 1970, or [nanoseconds, zone, layout]. None reads a clock: the operation's own time is `input.time`.
 * Zones are those of the tables that Node carries.
 */

const second_ns = 1_000_000_000n;
const nanosecondsPer = { ns: 1n, us: 1_000n, 'µs': 1_000n, 'μs': 1_000n, ms: 1_000_000n, s: second_ns, m: 60n * second_ns, h: 3_600n * second_ns, d: 86_400n * second_ns, w: 604_800n * second_ns, y: 31_536_000n * second_ns } as const; // prettier-ignore
const nanoseconds_max = 2n ** 63n - 1n;
const inRange = (value: bigint): Value | undefined =>
  value <= nanoseconds_max && value >= -nanoseconds_max - 1n ? value : undefined;

/** Go's time.ParseDuration: "1h30m", "1.5s", "-20ms"; and OPA's days, weeks and years, of 24 hours, 7 and 365 days. */
function durationNanoseconds(text: string): Value | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  const unit = 'ns|us|µs|μs|ms|s|m|h|d|w|y';
  if (!new RegExp(`^[+-]?(?:(?:\\d{1,19}(?:\\.\\d{0,18})?|\\.\\d{1,18})(?:${unit}))+$`).test(text)) return undefined;
  let sum = 0n;
  for (const [, whole, fraction, name] of text.matchAll(new RegExp(`(\\d*)(?:\\.(\\d*))?(${unit})`, 'g'))) {
    const scale = nanosecondsPer[name as keyof typeof nanosecondsPer];
    const digits = fraction ?? '';
    sum +=
      BigInt(whole === '' ? 0 : whole!) * scale +
      (BigInt(digits === '' ? 0 : digits) * scale) / 10n ** BigInt(digits.length);
  }
  return inRange(text.startsWith('-') ? -sum : sum);
}

const layouts: Readonly<Record<string, string>> = {
  ANSIC: 'Mon Jan _2 15:04:05 2006', UnixDate: 'Mon Jan _2 15:04:05 MST 2006', RubyDate: 'Mon Jan 02 15:04:05 -0700 2006',
  RFC822: '02 Jan 06 15:04 MST', RFC822Z: '02 Jan 06 15:04 -0700', RFC850: 'Monday, 02-Jan-06 15:04:05 MST',
  RFC1123: 'Mon, 02 Jan 2006 15:04:05 MST', RFC1123Z: 'Mon, 02 Jan 2006 15:04:05 -0700',
  RFC3339: '2006-01-02T15:04:05Z07:00', RFC3339Nano: '2006-01-02T15:04:05.999999999Z07:00',
}; // prettier-ignore
const layoutOf = (name: string): string => (Object.hasOwn(layouts, name) ? layouts[name]! : name);

/** Seconds since 1970 of a civil time, as though it were UTC's. Months and days beyond their range carry over. */
function civilSeconds({ year, month, day, hour, minute, second }: Omit<CivilTime, 'nanosecond' | 'offset_s'>): number {
  // Date.UTC takes years below 100 for those of the last century; 400 years are a whole number of weeks.
  const cycles = Math.floor(year / 400);
  const within = Date.UTC(2000 + (year - cycles * 400), month - 1, day, hour, minute, second) / 1000;
  return within + (cycles - 5) * 12_622_780_800;
}

function parsed(text: string, layout: string): Value | undefined {
  const time = parseTime(text, layoutOf(layout));
  if (time === undefined) return undefined;
  return inRange(BigInt(civilSeconds(time) - time.offset_s) * second_ns + BigInt(time.nanosecond));
}

interface ZonedTime {
  readonly ns: bigint;
  readonly zone: string;
  readonly layout: string;
}

function zonedTime(term: Term): ZonedTime | undefined {
  const [first, zone, layout] = term.kind === 'array' ? term.elements : [term];
  if (first?.kind !== 'scalar' || !/^-?\d/.test(first.text)) return undefined;
  if ((zone !== undefined && zone.kind !== 'string') || (layout !== undefined && layout.kind !== 'string'))
    return undefined;
  const name = zone?.value ?? 'UTC';
  if (name === 'Local') throw new Error("the time zone Local is not supported: it is each machine's own");
  const ns = wholeNumber(first.text);
  if (ns === undefined || inRange(ns) === undefined) return undefined;
  const known = name === '' ? 'UTC' : name;
  return zoneFormat(known) === undefined ? undefined : { ns, zone: known, layout: layout?.value ?? '' };
}

function wholeNumber(text: string): bigint | undefined {
  if (/^-?\d+$/.test(text)) return BigInt(text);
  const value = Number(text);
  return Number.isInteger(value) && Math.abs(value) < 1e19 ? BigInt(value) : undefined;
}

const zones_max = 1000;
const zones = new Map<string, Intl.DateTimeFormat | undefined>();

/** Undefined where there is no such zone. Go's names have the case of the tables; others are not found. */
function zoneFormat(zone: string): Intl.DateTimeFormat | undefined {
  if (zones.has(zone)) return zones.get(zone);
  let format: Intl.DateTimeFormat | undefined;
  try {
    if (/^[A-Z]/.test(zone))
      format = new Intl.DateTimeFormat('en-US', {
        timeZone: zone, hourCycle: 'h23', era: 'short',
        year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
      }); // prettier-ignore
  } catch {
    format = undefined;
  }
  if (zones.size >= zones_max) zones.delete(zones.keys().next().value!);
  zones.set(zone, format);
  return format;
}

/** Seconds east of UTC at a time given in seconds since 1970. */
function offsetAt(zone: string, seconds: number): number {
  if (zone === 'UTC') return 0;
  const parts = zoneFormat(zone)!.formatToParts(seconds * 1000);
  const part = (type: string): number => Number(parts.find((one) => one.type === type)!.value);
  const year = parts.some(({ type, value }) => type === 'era' && value === 'BC') ? 1 - part('year') : part('year');
  return civilSeconds({ year, month: part('month'), day: part('day'), hour: part('hour'), minute: part('minute'), second: part('second') }) - seconds; // prettier-ignore
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}

function civil({ ns, zone }: ZonedTime): CivilTime & { readonly weekday: string } {
  const seconds = Number(floorDivide(ns, second_ns));
  const offset_s = offsetAt(zone, seconds);
  const date = new Date((seconds + offset_s) * 1000);
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    nanosecond: Number(ns - floorDivide(ns, second_ns) * second_ns),
    offset_s,
    weekday: weekdays[date.getUTCDay()]!,
  };
}

function addDate(call: Call): Value | undefined {
  const time = zonedTime(call.term(0));
  const added = [1, 2, 3].map((index) => {
    const term = call.term(index);
    return term.kind === 'scalar' ? Number(wholeNumber(term.text) ?? NaN) : NaN;
  });
  if (time === undefined || added.some((one) => !(Math.abs(one) <= 1_000_000))) return undefined;
  const from = civil(time);
  const [years = 0, months = 0, days = 0] = added;
  const monthIndex = from.month - 1 + months;
  const local = civilSeconds({
    ...from,
    year: from.year + years + Math.floor(monthIndex / 12),
    month: (((monthIndex % 12) + 12) % 12) + 1,
    day: from.day + days,
  });
  // Go's way through a change of the clocks: the offset of the time that the first guess comes to.
  const utc = local - offsetAt(time.zone, local - offsetAt(time.zone, local));
  return inRange(BigInt(utc) * second_ns + BigInt(from.nanosecond));
}

/** Years, months, days, hours, minutes and seconds between two times, in the zone of the first. */
function difference(call: Call): Value | undefined {
  const [one, given] = [zonedTime(call.term(0)), zonedTime(call.term(1))];
  if (one === undefined || given === undefined) return undefined;
  const other = { ...given, zone: one.zone };
  const [early, late] = one.ns > other.ns ? [other, one] : [one, other];
  const [from, to] = [civil(early), civil(late)];
  let [year, month, day] = [to.year - from.year, to.month - from.month, to.day - from.day];
  let [hour, minute, second] = [to.hour - from.hour, to.minute - from.minute, to.second - from.second];
  if (second < 0) [second, minute] = [second + 60, minute - 1];
  if (minute < 0) [minute, hour] = [minute + 60, hour - 1];
  if (hour < 0) [hour, day] = [hour + 24, day - 1];
  if (day < 0) [day, month] = [day + new Date(Date.UTC(from.year, from.month, 0)).getUTCDate(), month - 1];
  if (month < 0) [month, year] = [month + 12, year - 1];
  return [year, month, day, hour, minute, second];
}

const ofTime =
  (answer: (time: ZonedTime) => Value) =>
  (_values: readonly unknown[], call: Call): Value | undefined => {
    const time = zonedTime(call.term(0));
    return time && answer(time);
  };

export const time: Table = {
  'time.add_date': (_values, call) => addDate(call),
  'time.clock': ofTime((time) => {
    const { hour, minute, second } = civil(time);
    return [hour, minute, second];
  }),
  'time.date': ofTime((time) => {
    const { year, month, day } = civil(time);
    return [year, month, day];
  }),
  'time.diff': (_values, call) => difference(call),
  'time.format': ofTime((time) =>
    formatTime(civil(time), layoutOf(time.layout === '' ? 'RFC3339Nano' : time.layout), time.zone === 'UTC'),
  ),
  'time.parse_duration_ns': ofStrings((text) => durationNanoseconds(text)),
  'time.parse_ns': ofStrings((layout, text) => parsed(text, layout)),
  'time.parse_rfc3339_ns': ofStrings((text) => parsed(text, 'RFC3339')),
  'time.weekday': ofTime((time) => civil(time).weekday),
};
