import type { MaskFunction } from './decision.js';

/** The parameters that mask functions take: part of the contract, checked where policy is built and where a mask is applied. */

export const truncateUnits = [
  'century',
  'decade',
  'year',
  'quarter',
  'month',
  'week',
  'day',
  'hour',
  'minute',
] as const;
export type TruncateUnit = (typeof truncateUnits)[number];

export const patternKinds = ['email', 'card', 'iban', 'phone', 'national_id', 'key'] as const;
export type PatternKind = (typeof patternKinds)[number];

export interface RedactParameters {
  /** What columns of an enum show: one of its labels; NULL. */
  readonly label?: string;
}

export interface PartialParameters {
  /** Characters that stay at the start; 1. */
  readonly keep_start?: number;
  /** Characters that stay at the end; 2 where the value has 8 or more, else 0. */
  readonly keep_end?: number;
  /** The domain of an e-mail address stays. */
  readonly keep_domain?: boolean;
}

export interface TruncateParameters {
  /** Of dates and times: what stays; "year". */
  readonly to?: TruncateUnit;
  /** Of numbers: digits that stay after the decimal point; -3 (thousands). */
  readonly digits?: number;
  /** Of numbers, in place of digits: what the result is a multiple of. */
  readonly step?: number;
}

export interface PatternParameters {
  /** What is looked for; everything. */
  readonly kinds?: readonly PatternKind[];
}

type Check = (value: unknown) => string | undefined;

const oneOf = (values: readonly string[]) => (value: unknown) => (values as readonly unknown[]).includes(value);
const check =
  (wanted: string, fits: (value: unknown) => boolean): Check =>
  (value) =>
    fits(value) ? undefined : wanted;
const whole =
  (min: number, max: number) =>
  (value: unknown): boolean =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max;
/** A name of the server's; what it has no text for is none. */
const isLabel = (value: unknown): boolean =>
  typeof value === 'string' && !value.includes('\0') && value !== '' && new TextEncoder().encode(value).length <= 63;
const kept = check('must be a whole number from 0 to 1000', whole(0, 1_000));

const parametersOf: Readonly<Record<MaskFunction, Readonly<Record<string, Check>>>> = {
  null: {},
  redact: {
    label: check('must be a text of 1 to 63 bytes', isLabel),
  },
  hash: {},
  tokenize: {},
  truncate: {
    to: check(`must be one of ${truncateUnits.join(', ')}`, oneOf(truncateUnits)),
    digits: check('must be a whole number from -15 to 15', whole(-15, 15)),
    step: check(
      'must be a number from 0.000001 to 1e15',
      (value) => typeof value === 'number' && value >= 1e-6 && value <= 1e15,
    ),
  },
  pattern: {
    kinds: check(
      `must be a list with at least one of ${patternKinds.join(', ')}`,
      (value) => Array.isArray(value) && value.length > 0 && value.every(oneOf(patternKinds)),
    ),
  },
  partial: {
    keep_start: kept,
    keep_end: kept,
    keep_domain: check('must be true or false', (value) => typeof value === 'boolean'),
  },
};

/** The names of a function's parameters. */
export const maskParameters = (name: MaskFunction): readonly string[] => Object.keys(parametersOf[name]);

/** What is wrong with a mask's parameters; undefined where nothing is. */
export function parametersProblem(
  name: MaskFunction,
  parameters: Readonly<Record<string, unknown>>,
): string | undefined {
  const known = parametersOf[name];
  for (const [key, value] of Object.entries(parameters)) {
    const wrong = Object.hasOwn(known, key) ? known[key]?.(value) : undefined;
    if (!Object.hasOwn(known, key)) {
      const names = Object.keys(known);
      return `${name} has no parameter "${key}": ${names.length === 0 ? 'it takes none' : `it knows ${names.join(', ')}`}`;
    }
    if (wrong !== undefined) return `parameter "${key}" of ${name} ${wrong}`;
  }
  return parameters['digits'] !== undefined && parameters['step'] !== undefined
    ? `${name} takes "digits" or "step", not both`
    : undefined;
}
