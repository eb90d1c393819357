import type { Choices } from './choices.js';

/**
 * What stands in the columns of random schemas. A masked column has values in groups of which its mask leaves the same: a
 * client that can tell two of a group apart has learnt more than the mask shows.
 */
export type Type = 'int' | 'text' | 'num' | 'date' | 'bool' | 'json' | 'list';

export type Mask = 'redact' | 'null' | 'partial' | 'truncate' | 'pattern' | 'tokenize' | 'hash';

/** Few different ones, so that joins, groups and comparisons find something. */
export const values: Readonly<Record<Type, readonly string[]>> = {
  int: ['0', '1', '2', '3', '7', 'null'],
  text: ["'a'", "'b'", "'c1'", "'12'", "''", 'null'],
  num: ['0', '1.50', '2', '-3.25', 'null'],
  date: ["'2026-01-01'", "'2026-02-28'", "'1999-12-31'", 'null'],
  bool: ['true', 'false', 'null'],
  json: [`'{"a": 1}'`, `'{"a": 2, "b": "x"}'`, `'[1, 2]'`, 'null'],
  list: ["'{a,b}'", "'{}'", "'{c}'", 'null'],
};

const types: Readonly<Record<Type, readonly string[]>> = {
  int: ['int', 'bigint', 'smallint'],
  text: ['text', 'varchar(12)', 'char(4)'],
  num: ['numeric(10,2)', 'double precision'],
  date: ['date'],
  bool: ['boolean'],
  json: ['jsonb'],
  list: ['text[]'],
};

/** Hashes of nine digits are the only ones of numbers of which two can be found that are equal. */
const sqlTypes = (type: Type, mask: Mask | undefined): readonly string[] =>
  type === 'num' && mask === 'hash' ? ['numeric(9)'] : types[type];

const further: Readonly<Partial<Record<Type, readonly Mask[]>>> = {
  int: ['truncate'],
  text: ['partial', 'pattern', 'tokenize'],
  num: ['truncate', 'hash'],
  date: ['truncate', 'hash'],
  json: ['pattern'],
  list: ['pattern'],
};

/** Hashes of text are left out: with 96 bits, no two of them are equal. */
const masksOf = (type: Type): readonly Mask[] => ['redact', 'null', ...(further[type] ?? [])];

const unknown = ['null'] as const;

const groups: Readonly<Record<string, readonly (readonly string[])[]>> = {
  // Eight characters, or with what a view puts behind them; addresses.
  'partial text': [
    ["'a'", "'b'", "''"],
    ["'c1'", "'cd'", "'c23'"],
    ["'ab@xy.de'", "'ac@zz.org'", "'ax@e.fr'"],
    ["'ab'", "'abcdefg'", "'ax12345'"],
    ["'axxxxx12'", "'ayzxyzxyz12'"],
  ],
  'pattern text': [
    ["'j@xy.de'", "'kl@ab.org'"],
    ["'a j@xy.de'", "'a kl@ab.fr'"],
  ],
  'pattern json': [
    [`'{"a": "j@xy.de"}'`, `'{"a": "kl@ab.org"}'`],
    [`'["a", "j@xy.de"]'`, `'["a", "kl@ab.org"]'`],
    [`'{"j@xy.de": 2}'`, `'{"kl@ab.org": 2}'`],
  ],
  'pattern list': [
    ["'{a,j@xy.de}'", "'{a,kl@ab.org}'"],
    ["'{j@xy.de}'", "'{z@ab.org}'"],
  ],
  'truncate int': [
    ['0', '1', '2', '7', '-5', '999'],
    ['1000', '1001', '1999'],
    ['-3000', '-3999'],
  ],
  'truncate num': [
    ['0', '1.50', '2', '-3.25', '999.99'],
    ['1000', '1000.01', '1999.5'],
  ],
  'truncate date': [
    ["'2026-01-01'", "'2026-02-28'", "'2026-12-31'"],
    ["'1999-12-31'", "'1999-01-01'"],
  ],
};

/** How far it goes: more of `partial text` fits char(4) as its shorter forms alone. */
const fits = (value: string, sql: string) => sql !== 'char(4)' || value.length <= 6;

/** Groups of literals of which the mask leaves the same; the keyed ones are named for now: see `withAlike`. */
function alike(mask: Mask, type: Type, sql: string): readonly (readonly string[])[] {
  if (isKeyed(mask)) return [...Array.from({ length: groups_count }, (_, group) => named(mask, type, group)), unknown];
  const known = groups[`${mask} ${type}`];
  if (known === undefined) return [values[type]];
  const fitting = known.map((group) => group.filter((value) => fits(value, sql))).filter(({ length }) => length > 1);
  // In char(4) nothing is long enough to be found.
  return [...(fitting.length > 0 ? fitting : [["'a'"]]), unknown];
}

/** A masked cell as it is on either side. */
export type Pair = readonly [string, string];

/** What stands in the columns of a world, and which masks they have. */
export interface Kind {
  masksOf(type: Type): readonly Mask[];
  sqlTypes(type: Type, mask: Mask | undefined): readonly string[];
  /** Of columns without a mask. */
  open(type: Type): readonly string[];
  cells(choices: Choices, mask: Mask, type: Type, sql: string): Pair;
}

/** Values of which masks leave the same. */
export const alikeKind: Kind = {
  masksOf,
  sqlTypes,
  open: (type) => values[type],
  cells(choices, mask, type, sql) {
    const among = choices.one(alike(mask, type, sql));
    return [choices.one(among), choices.one(among)];
  },
};

// ── keyed masks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const groups_count = 4;
const isKeyed = (mask: Mask): boolean => mask === 'hash' || mask === 'tokenize';
const named = (mask: Mask, type: Type, group: number) =>
  [0, 1].map((member) => `<${mask} ${type} ${String(group)} ${String(member)}>`);

/** What is tried for each keyed mask: so many values that some are equal under it, whatever the key is. */
export const candidates = {
  'tokenize text': { table: 'tried.words', type: 'text', mask: 'tokenize', of: wordsSql() },
  // Days beyond 2109 fall on those of the 65 536 that have a hash of their own.
  'hash date': { table: 'tried.days', type: 'date', mask: 'hash', of: "date '2150-01-01' + n * 3" },
  'hash num': { table: 'tried.numbers', type: 'numeric(9)', mask: 'hash', of: 'n' },
} as const;
type Keyed = keyof typeof candidates;

const counts: Readonly<Record<Keyed, number>> = { 'tokenize text': 675, 'hash date': 2_000, 'hash num': 130_000 };

function wordsSql(): string {
  return 'chr(97 + n / 26) || chr(97 + n % 26)';
}

/** A database for it, which only the gateway that has the key reads. */
export const candidatesSql = [
  'create schema tried',
  ...Object.entries(candidates).map(
    ([key, { table, type, of }]) =>
      `create table ${table} as select n as id, (${of})::${type} as v from generate_series(0, ${String(counts[key as Keyed])}) n`,
  ),
].join(';\n');

/** Their masks, as the policy of a world has them: function by column, by relation. */
export const candidatesMasks: Readonly<Record<string, Readonly<Record<string, Mask>>>> = Object.fromEntries(
  Object.values(candidates).map(({ table, mask }) => [table, { v: mask }]),
);

/** Asked through the gateway: ids, in pairs of equal masks. */
export const equalsSql = ({ table }: { readonly table: string }): string =>
  `select min(id), max(id) from ${table} group by v having count(*) > 1 order by 1 limit ${String(groups_count)}`;

/** Asked of the database itself. */
export const valueSql = ({ table }: { readonly table: string }, ids: readonly number[]): string =>
  `select id, v::text as v from ${table} where id in (${ids.join(', ')})`;

/** Rows with values in the place of what `alike` named. @param pairs By "mask type". */
export function withAlike(rows: string, pairs: Readonly<Record<string, readonly (readonly string[])[]>>): string {
  return rows.replace(/<(\w+ \w+) (\d) (\d)>/g, (_, key: string, group: string, member: string) => {
    const known = pairs[key] ?? [];
    const value = known[Number(group) % known.length]?.[Number(member)];
    if (value === undefined) throw new Error(`no two values were found that are equal under ${key}`);
    return `'${value}'`;
  });
}
