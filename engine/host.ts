import { createHash, createHmac } from 'node:crypto';
import { HostLimitError } from './errors.js';
import { readArguments } from './regotext.js';
import { sprintf } from './sprintf.js';
import type { Argument } from './sprintf.js';

/**
 * Built-ins of Rego that a compiled policy asks of its host. Each is deterministic, does no I/O, knows no clock, and
 * takes time in proportion to its arguments. As in OPA, one that is given something it cannot use is undefined.
 *
 * What backtracks (regular expressions of JavaScript), what differs from Go in ways that nobody would notice (YAML) and
 * what would make a decision depend on anything but the input is left out; a policy that calls it is refused.
 */

/** A value to hand back; a bigint keeps all the digits of a number of nanoseconds. */
type Value = string | number | boolean | bigint | readonly Value[] | undefined;
type Builtin = (values: readonly unknown[], call: Call) => Value;

export interface Call {
  /** The argument as Rego writes it: sets with braces, where JSON knows only arrays. */
  regoText(index: number): string;
  /** Takes fuel, and throws when there is none left. */
  charge(fuel: number): void;
}

/** All arguments of one call together, as JSON. */
const argument_bytes_max = 1_048_576;
const result_bytes_max = 1_048_576;
/** Parsing and writing JSON takes about four times as long per byte as one step of WebAssembly. */
const fuelPerByte = 4;

function strings(build: (...values: string[]) => Value): Builtin {
  return (values) => (values.every((value) => typeof value === 'string') ? build(...(values as string[])) : undefined);
}

const manyStrings = (value: unknown): string[] | undefined =>
  typeof value === 'string'
    ? [value]
    : Array.isArray(value) && value.every((element) => typeof element === 'string')
      ? value
      : undefined;

function anyAffix(matches: (text: string, affix: string) => boolean): Builtin {
  return (values, call) => {
    const texts = manyStrings(values[0]);
    const affixes = manyStrings(values[1]);
    if (texts === undefined || affixes === undefined) return undefined;
    call.charge(texts.length * affixes.length * 4);
    return texts.some((text) => affixes.some((affix) => matches(text, affix)));
  };
}

/** Positions count characters, as Go's runes do, not UTF-16 units. */
function indexOfAll(text: string, search: string): Value {
  if (search === '') return undefined;
  const found: number[] = [];
  let units = 0;
  let characters = 0;
  for (let at = text.indexOf(search); at >= 0; at = text.indexOf(search, at + 1)) {
    for (; units < at; characters++) units += text.codePointAt(units)! > 0xffff ? 2 : 1;
    if (units === at) found.push(characters);
  }
  return found;
}

function countOf(text: string, search: string): number {
  return search === '' ? [...text].length + 1 : text.split(search).length - 1;
}

/** Go has integers and floats, and Rego's notation says which: 1 and 1.0 are one number to policy, and two to %d. */
function sprintfArguments(text: string): Argument[] {
  return readArguments(text).map(({ kind, text }) => {
    if (kind !== 'number') return text;
    return /^-?\d+$/.test(text) ? BigInt(text) : Number(text);
  });
}

const nanosecondsPer = { ns: 1n, us: 1_000n, 'µs': 1_000n, ms: 1_000_000n, s: 1_000_000_000n, m: 60_000_000_000n, h: 3_600_000_000_000n } as const; // prettier-ignore
const nanoseconds_max = 2n ** 63n - 1n;
const inRange = (value: bigint): Value => (value <= nanoseconds_max && value >= -nanoseconds_max ? value : undefined);

/** Go's time.ParseDuration: "1h30m", "1.5s", "-20ms". */
function durationNanoseconds(text: string): Value {
  if (/^[+-]?0$/.test(text)) return 0;
  if (/[dwy]/.test(text)) throw new Error('time.parse_duration_ns: the largest unit that is supported is h');
  if (!/^[+-]?(?:(?:\d{1,19}(?:\.\d{0,18})?|\.\d{1,18})(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0n;
  for (const [, whole, fraction, unit] of text.matchAll(/(\d*)(?:\.(\d*))?(ns|us|µs|ms|s|m|h)/g)) {
    const scale = nanosecondsPer[unit as keyof typeof nanosecondsPer];
    const digits = fraction ?? '';
    sum +=
      BigInt(whole === '' ? 0 : whole!) * scale +
      (BigInt(digits === '' ? 0 : digits) * scale) / 10n ** BigInt(digits.length);
  }
  return inRange(text.startsWith('-') ? -sum : sum);
}

function timestampNanoseconds(text: string): Value {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return undefined;
  const [, day, clock, fraction = '', zone] = match as unknown as [string, string, string, string | undefined, string];
  const midnight = new Date(`${day}T00:00:00Z`);
  // Date takes 31 February for 2 March: Go does not.
  if (Number.isNaN(midnight.getTime()) || midnight.toISOString().slice(0, 10) !== day) return undefined;
  if (Number(clock.slice(0, 2)) > 23) return undefined;
  const seconds = Date.parse(`${day}T${clock}${zone}`);
  if (Number.isNaN(seconds)) return undefined;
  return inRange(BigInt(seconds) * 1_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0')));
}

/** A time of Rego: nanoseconds, or [nanoseconds, zone]. Only UTC: what a zone means changes with the machine's tables. */
function utc(value: unknown): Date | undefined {
  const [nanoseconds, zone] = Array.isArray(value) ? (value as unknown[]) : [value, 'UTC'];
  if (typeof nanoseconds !== 'number' || typeof zone !== 'string') return undefined;
  // Undefined would make a rule say nothing, where OPA's own would have said something: an error is a deny.
  if (zone !== 'UTC' && zone !== '') throw new Error(`the time zone ${zone} is not supported, only UTC`);
  const date = new Date(Math.floor(nanoseconds / 1e6));
  return Number.isNaN(date.getTime()) ? undefined : date;
}
const weekdays = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

interface Semver {
  readonly core: readonly bigint[];
  readonly pre: readonly string[];
}

function parseSemver(text: string): Semver | undefined {
  const identifier = '[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*';
  const match = new RegExp(
    `^v?(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(?:-(${identifier}))?(?:\\+${identifier})?$`,
  ).exec(text);
  if (match === null) return undefined;
  const pre = match[4]?.split('.') ?? [];
  if (pre.some((part) => /^0\d+$/.test(part))) return undefined;
  return { core: match.slice(1, 4).map(BigInt), pre };
}

function compareSemver(left: Semver, right: Semver): number {
  for (const [index, number] of left.core.entries()) {
    const other = right.core[index]!;
    if (number !== other) return number < other ? -1 : 1;
  }
  // A release stands above its own pre-releases.
  if (left.pre.length === 0 || right.pre.length === 0) return Math.sign(right.pre.length - left.pre.length);
  for (let index = 0; index < Math.max(left.pre.length, right.pre.length); index++) {
    const [mine, theirs] = [left.pre[index], right.pre[index]];
    if (mine === undefined) return -1;
    if (theirs === undefined) return 1;
    if (mine === theirs) continue;
    const [mineNumeric, theirsNumeric] = [/^\d+$/.test(mine), /^\d+$/.test(theirs)];
    if (mineNumeric && theirsNumeric) return BigInt(mine) < BigInt(theirs) ? -1 : 1;
    if (mineNumeric !== theirsNumeric) return mineNumeric ? -1 : 1;
    return mine < theirs ? -1 : 1;
  }
  return 0;
}

const digest = (algorithm: string) => strings((text) => createHash(algorithm).update(text).digest('hex'));
const keyed = (algorithm: string) => strings((text, key) => createHmac(algorithm, key).update(text).digest('hex'));

const table: Readonly<Record<string, Builtin>> = {
  'crypto.hmac.sha256': keyed('sha256'),
  'crypto.hmac.sha512': keyed('sha512'),
  'crypto.sha1': digest('sha1'),
  'crypto.sha256': digest('sha256'),
  'glob.quote_meta': strings((text) => text.replace(/[*?\\[\]{}]/g, '\\$&')),
  'hex.decode': strings((text) => {
    if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
    return Buffer.from(text, 'hex').toString('utf8');
  }),
  'hex.encode': strings((text) => Buffer.from(text, 'utf8').toString('hex')),
  indexof_n: strings((text, search) => indexOfAll(text, search)),
  'semver.compare': strings((left, right) => {
    const [mine, theirs] = [parseSemver(left), parseSemver(right)];
    return mine === undefined || theirs === undefined ? undefined : compareSemver(mine, theirs);
  }),
  'semver.is_valid': (values) => typeof values[0] === 'string' && parseSemver(values[0]) !== undefined,
  sprintf: (values, call) => {
    const format = values[0];
    if (typeof format !== 'string' || !Array.isArray(values[1])) return undefined;
    return sprintf(format, sprintfArguments(call.regoText(1)));
  },
  'strings.any_prefix_match': anyAffix((text, affix) => text.startsWith(affix)),
  'strings.any_suffix_match': anyAffix((text, affix) => text.endsWith(affix)),
  'strings.count': strings((text, search) => countOf(text, search)),
  'time.clock': ([value]) => {
    const date = utc(value);
    return date && [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
  },
  'time.date': ([value]) => {
    const date = utc(value);
    return date && [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()];
  },
  'time.parse_duration_ns': strings((text) => durationNanoseconds(text)),
  'time.parse_rfc3339_ns': strings((text) => timestampNanoseconds(text)),
  'time.weekday': ([value]) => weekdays[utc(value)?.getUTCDay() ?? -1],
};

/** What this engine supplies to a policy that asks for it; a policy that asks for anything else is refused. */
export const suppliedBuiltins: readonly string[] = Object.keys(table);

function write(value: Value): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${(value as Value[]).map(write).join(',')}]`;
  return JSON.stringify(value);
}

/**
 * Answers one call.
 *
 * @param json The arguments, each as JSON.
 * @returns The answer as JSON, or undefined where the built-in is undefined for these arguments.
 * @throws where the arguments or the answer are too large, or the name is not supplied: the evaluation ends.
 */
export function callBuiltin(name: string, json: readonly string[], call: Call): string | undefined {
  const builtin = Object.hasOwn(table, name) ? table[name] : undefined;
  if (builtin === undefined) throw new Error(`the built-in ${name} is not supplied`);
  const size = json.reduce((sum, text) => sum + text.length, 0);
  if (size > argument_bytes_max) throw new HostLimitError(`the built-in ${name} was given ${String(size)} bytes`);
  call.charge(size * fuelPerByte);
  const value = builtin(
    json.map((text) => JSON.parse(text) as unknown),
    call,
  );
  if (value === undefined) return undefined;
  const text = write(value);
  if (text.length > result_bytes_max)
    throw new HostLimitError(`the built-in ${name} made ${String(text.length)} bytes`);
  call.charge(text.length * fuelPerByte);
  return text;
}
