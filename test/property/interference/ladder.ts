import type { Choices } from './choices.js';
import { values, type Kind, type Mask, type Type } from './values.js';

/**
 * Values of which conditions tell nothing apart. Each step of a ladder is there twice, once for either side, and what statements
 * compare with stands between the steps or far away from them. So two values of one side compare as their fellows of the other
 * side do, and with everything else alike; which of the two it is, no condition out of conditions.ts tells.
 */
interface Ladder {
  /** By step: what it is on either side. The last two are the same on both. */
  readonly steps: readonly (readonly [string, string])[];
  /** What conditions compare with: between the steps, and the last but one itself. */
  readonly literals: readonly string[];
}

const same = (value: string): readonly [string, string] => [value, value];
const letters = ['f', 'h', 'k', 'p'] as const;
const text = (of: (word: string) => string): readonly (readonly [string, string])[] => [
  ...letters.map((letter) => [of(`${letter}0canary`), of(`${letter}1canary`)] as const),
  same(of('s5canary')),
  same(of('t5canary')),
];
/** In each thousand: what `truncate` leaves is the same. */
const number = (tail: string): readonly (readonly [string, string])[] => [
  ...[0, 1, 2, 3].map((step) => [`9000${step}111${tail}`, `9000${step}112${tail}`] as const),
  same(`90004113${tail}`),
  same(`90005113${tail}`),
];

const ladders: Readonly<Record<Type, Ladder>> = {
  text: {
    steps: text((word) => `'${word}'`),
    literals: ["'a'", "'g'", "'i'", "'n'", "'s5canary'", "'z'", "''", "'12'", 'null::text'],
  },
  int: {
    steps: number(''),
    literals: ['90000500', '90001500', '90002500', '90004113', '8', '1', '7', 'null::int'],
  },
  num: { steps: number('.25'), literals: ['90000500.5', '90002500', '90004113.25', '1.5', '0'] },
  date: {
    steps: [
      ...[2031, 2032, 2033, 2034].map((year) => [`'${year}-03-11'`, `'${year}-03-12'`] as const),
      same("'2044-03-13'"),
      same("'2045-03-13'"),
    ],
    literals: ["date '2031-07-01'", "date '2033-07-01'", "date '2044-03-13'", "date '2026-01-01'"],
  },
  bool: { steps: [same('true'), same('false')], literals: ['true', 'false', 'null::boolean'] },
  json: {
    steps: text((word) => `'{"a": "${word}"}'`),
    literals: [`'{"a": 1}'::jsonb`, `'{"a": "s5canary"}'::jsonb`],
  },
  list: { steps: text((word) => `'{${word},b}'`), literals: ["array['a','b']", "array['s5canary']", "'{}'::text[]"] },
};

/** What no answer may have in it: what a masked cell holds, as it is or turned around; but not what statements name. */
export const canary = /[fhkpt][015]canary|yranac[015][fhkpt]|9000(?:[0123]11[12]|5113)|203[1234]-03-1[12]|2045-03-13/i;

export const literalsOf = (type: Type): readonly string[] => ladders[type].literals;

const types: Readonly<Record<Type, readonly string[]>> = {
  int: ['int', 'bigint'],
  text: ['text', 'varchar(16)'],
  num: ['numeric(10,2)', 'double precision'],
  date: ['date'],
  bool: ['boolean'],
  json: ['jsonb'],
  list: ['text[]'],
};

const further: Readonly<Partial<Record<Type, readonly Mask[]>>> = {
  int: ['truncate', 'hash'],
  text: ['partial', 'tokenize', 'hash'],
  num: ['truncate', 'hash'],
  date: ['truncate', 'hash'],
};

const isKeyed = (mask: Mask): boolean => mask === 'hash' || mask === 'tokenize';

export const ladderKind: Kind = {
  masksOf: (type) => ['redact', 'null', ...(further[type] ?? [])],
  sqlTypes: (type, mask) => (type === 'num' && mask === 'hash' ? ['numeric(10,2)'] : types[type]),
  // Few different ones, and far from what the ladders have.
  open: (type) => values[type],
  cells(choices: Choices, mask, type) {
    const { steps } = ladders[type];
    // Keyed masks tell values apart, so there the sides have the same.
    return choices.once(6) ? same('null') : choices.one(isKeyed(mask) ? steps.slice(-2) : steps);
  },
};

/** The same, but which step it is on either side has nothing to do with the other's, where the mask leaves nothing of it. */
export const mixedKind: Kind = {
  ...ladderKind,
  cells(choices, mask, type, sql) {
    if (mask !== 'redact' && mask !== 'null') return ladderKind.cells(choices, mask, type, sql);
    if (choices.once(6)) return same('null');
    const { steps } = ladders[type];
    return [choices.one(steps)[0], choices.one(steps)[1]];
  },
};
