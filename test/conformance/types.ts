import { row, type Frame } from '../support/wire.js';
import type { Exchange, Given } from './exchange.js';

/** Values of one type, as corpus/types.yaml lists them. Each is sent and asked for in every form that the protocol knows. */
export interface TypeCase {
  readonly type: string;
  readonly values: readonly (string | null)[];
  /** The type has no binary form. */
  readonly binary?: false;
}

/** As a query's literals, and as parameters in text whose results are wanted in text and in binary. */
export function textExchange({ type, values, binary }: TypeCase): Exchange {
  const literals = values.map((value) =>
    value === null ? `(null::${type})` : `('${value.replaceAll("'", "''")}'::${type})`,
  );
  const results = binary === false ? [0] : [0, 1];
  return {
    name: type,
    send: [
      { query: `select v, pg_typeof(v) from (values ${literals.join(', ')}) as t (v)` },
      { parse: `select $1::${type}`, name: 'value' },
      { describe: 'statement', name: 'value' },
      ...results.flatMap((result) => [
        ...values.flatMap((value) => [
          { bind: [value], statement: 'value', results: [result] },
          { describe: 'portal' } as const,
          { execute: '' },
        ]),
      ]),
      'sync',
    ],
  };
}

/** The values in binary as parameters; each is asked for in both forms. */
export function binaryExchange({ type, values }: TypeCase, binary: readonly (Buffer | null)[]): Exchange {
  return {
    name: type,
    send: [
      { parse: `select $1::${type}, $1::${type} is null`, name: 'value' },
      { describe: 'statement', name: 'value' },
      ...values.flatMap((_, index) => {
        const bytes = binary[index] ?? null;
        const given: Given = bytes === null ? null : { hex: bytes.toString('hex') };
        return [
          { bind: [given], formats: [1], statement: 'value', results: [0, 0] },
          { execute: '' },
          { bind: [given], formats: [1], statement: 'value', results: [1] },
          { execute: '' },
        ];
      }),
      'sync',
    ],
  };
}

/** What the server made of the values of a text exchange. */
export function valuesOf(
  frames: readonly Frame[],
  { values }: TypeCase,
): { text: (Buffer | null)[]; binary: (Buffer | null)[] } {
  const rows = frames.filter(({ type }) => type === 'D').map(({ body }) => row(body)[0] ?? null);
  const count = values.length;
  return { text: rows.slice(count, 2 * count), binary: rows.slice(2 * count, 3 * count) };
}
