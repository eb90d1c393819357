import { stepFuel, type Call, type Table, type Value } from './builtin.js';

/** Ranges, and amounts with units: exact, in whole numbers of any size. */

const step_elements_max = 1_000_000;

function integer(call: Call, index: number): bigint | undefined {
  const term = call.term(index);
  if (term.kind !== 'scalar') return undefined;
  const value = readDecimal(term.text);
  return value !== undefined && value.digits % value.scale === 0n ? value.digits / value.scale : undefined;
}

function rangeStep(call: Call): Value | undefined {
  const [from, to, step] = [integer(call, 0), integer(call, 1), integer(call, 2)];
  if (from === undefined || to === undefined || step === undefined || step <= 0n) return undefined;
  const direction = from <= to ? 1n : -1n;
  const count = ((to - from) * direction) / step + 1n;
  if (count > step_elements_max) throw new RangeError(`numbers.range_step would make ${String(count)} numbers`);
  call.charge(Number(count) * stepFuel);
  return Array.from({ length: Number(count) }, (_, index) => from + BigInt(index) * step * direction);
}

/** A decimal number as a fraction: digits / scale. */
interface Fraction {
  readonly digits: bigint;
  readonly scale: bigint;
}

function readDecimal(text: string): Fraction | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?$/.exec(text);
  if (match === null || (match[2] === '' && (match[3] ?? '') === '')) return undefined;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  if (Math.abs(Number(exponent)) > 10_000) throw new RangeError(`the exponent ${exponent} is too large`);
  const digits = BigInt(whole + fraction) * (sign === '-' ? -1n : 1n);
  const places = fraction.length - Number(exponent);
  return places >= 0
    ? { digits, scale: 10n ** BigInt(places) }
    : { digits: digits * 10n ** BigInt(-places), scale: 1n };
}

/** "10.5MiB" → ["10.5", "MiB"]. An "e" is an exponent where digits or a sign follow. Undefined where that is too long. */
function amountAndUnit(text: string): [string, string] | undefined {
  for (let at = 0; at < text.length; at++) {
    const exponent = /^[eE]([+-]?)(\d*)/.exec(text.slice(at, at + 12));
    if (exponent === null) {
      if (/[0-9.+-]/.test(text[at]!)) continue;
      return [text.slice(0, at), text.slice(at)];
    }
    if (exponent[1] === '' && exponent[2] === '') return [text.slice(0, at), text.slice(at)];
    if (exponent[2]!.length > 6) return undefined;
    if (exponent[1] !== '') at++;
  }
  return [text, ''];
}

const prefixes = ['k', 'm', 'g', 't', 'p', 'e'];
const decimal = (unit: string): bigint => 1000n ** BigInt(prefixes.indexOf(unit) + 1);
const binary = (unit: string): bigint => 1024n ** BigInt(prefixes.indexOf(unit) + 1);

/** Kubernetes' units: "m" is a thousandth, and "M" a million. */
function unitFactor(unit: string): Fraction | undefined {
  const folded = unit.slice(0, 1) + unit.slice(1).toLowerCase();
  if (folded === '') return { digits: 1n, scale: 1n };
  // OPA takes 0.001 for the nearest float, and its exact value from there.
  if (folded === 'm') return { digits: 1152921504606847n, scale: 1152921504606846976n };
  if (/^[kmgtpeKMGTPE]i$/.test(folded)) return { digits: binary(folded[0]!.toLowerCase()), scale: 1n };
  if (/^[kgtpeKMGTPE]$/.test(folded)) return { digits: decimal(folded.toLowerCase()), scale: 1n };
  return undefined;
}

function byteFactor(unit: string): bigint | undefined {
  const match = /^([kmgtpe]?)(i?)(b?)$/.exec(unit);
  if (match === null || unit === 'b' || (match[1] === '' && unit !== '')) return undefined;
  if (unit === '') return 1n;
  return match[2] === 'i' ? binary(match[1]!) : decimal(match[1]!);
}

function parseUnits(given: string): Value | undefined {
  const text = given.replaceAll('"', '');
  const parts = text.includes(' ') ? undefined : amountAndUnit(text);
  const amount = parts && readDecimal(parts[0]);
  const factor = parts && unitFactor(parts[1]);
  if (amount === undefined || factor === undefined) return undefined;
  const [digits, scale] = [amount.digits * factor.digits, amount.scale * factor.scale];
  return digits % scale === 0n ? digits / scale : Number(tenPlaces(digits, scale));
}

/** Go's Rat.FloatString(10): ten places, halves away from zero. */
function tenPlaces(digits: bigint, scale: bigint): string {
  const size = digits < 0n ? -digits : digits;
  const rounded = (size * 10n ** 10n * 2n + scale) / (scale * 2n);
  const text = rounded.toString().padStart(11, '0');
  return `${digits < 0n ? '-' : ''}${text.slice(0, -10)}.${text.slice(-10)}`;
}

function parseBytes(given: string): Value | undefined {
  const text = given.toLowerCase().replaceAll('"', '');
  const parts = text.includes(' ') ? undefined : amountAndUnit(text);
  const amount = parts && readDecimal(parts[0]);
  const factor = parts && byteFactor(parts[1]);
  return amount === undefined || factor === undefined ? undefined : (amount.digits * factor) / amount.scale;
}

export const numbers: Table = {
  'numbers.range_step': (_values, call) => rangeStep(call),
  'units.parse': ([text]) => (typeof text === 'string' ? parseUnits(text) : undefined),
  'units.parse_bytes': ([text]) => (typeof text === 'string' ? parseBytes(text) : undefined),
};
