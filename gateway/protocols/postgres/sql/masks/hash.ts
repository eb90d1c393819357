import {
  cast,
  castText,
  isCitext,
  isDomain,
  isText,
  MaskError,
  oids,
  plainText,
  textLength,
  type MaskColumn,
} from './column.js';
import { bytesOf, keyed } from './key.js';
import { permuted } from './permute.js';

/** What a text's hash takes: 96 bits in characters that are safe in URLs. */
const hash_chars = 16;

/**
 * Keyed and deterministic: equal values have equal hashes, over all columns of text-like types, and over those of each
 * other type, whatever their lengths; so joins, grouping and equality keep working.
 */
export function hash(column: MaskColumn, sql: string): string {
  if (isText(column)) {
    if (textLength(column) < hash_chars)
      throw new MaskError(
        'mask_unfit',
        `hash does not fit ${column.name} of type ${column.typeText}: it takes ${hash_chars} characters`,
      );
    // Values that citext takes for equal have one hash.
    const value = isCitext(column) ? `pg_catalog.lower(${sql}::pg_catalog.text)` : plainText(sql);
    const digest = `pg_catalog.substr(${keyed(bytesOf(value))}, 1, 12)`;
    return castText(column, `pg_catalog.translate(pg_catalog.encode(${digest}, 'base64'), '+/', '-_')`);
  }
  const number = isDomain(column) ? undefined : hashed[column.typeOid];
  if (number === undefined)
    throw new MaskError(
      'mask_unfit',
      `hash does not fit ${column.name} of type ${column.typeText}: ${isDomain(column) ? 'checks of a domain could fail on it' : 'it needs text, uuid, bytea, smallint, integer, bigint, numeric or date'}`,
    );
  return cast(column, number(sql, column));
}

/** So many bytes of a digest as a number of so many bits. */
const bits = (digest: string, count: number): string =>
  `CAST(pg_catalog.textcat('x', pg_catalog.encode(pg_catalog.substr(${digest}, 1, ${count / 8}), 'hex')) AS pg_catalog.bit(${count}))`;

/** By type: what casts to it. Types with few values get another of their values, each its own. */
const hashed: Readonly<Record<number, (sql: string, column: MaskColumn) => string>> = {
  [oids.bytea]: keyed,
  [oids.uuid]: (sql) => `pg_catalog.encode(pg_catalog.substr(${keyed(`pg_catalog.uuid_send(${sql})`)}, 1, 16), 'hex')`,
  [oids.int8]: (sql) => bits(keyed(`pg_catalog.int8send(${sql})`), 64),
  [oids.int4]: (sql) => permuted('integer', sql, 32),
  [oids.int2]: (sql) => `pg_catalog.int4mi(${permuted('smallint', `${sql}::pg_catalog.int4`, 16)}, 32768)`,
  [oids.numeric]: numeric,
  [oids.date]: date,
};

/** Under which different values would have equal hashes all the time. */
const numeric_digits_min = 9;
/** What 63 bits can say evenly. */
const numeric_digits_max = 18;

/** As many digits as fit: whole where there is no scale. 1.5 and 1.50 have one hash. */
function numeric(sql: string, column: MaskColumn): string {
  // The modifier is 4 more than the precision, and in its lower 11 bits the scale, with a sign.
  const modifier = column.typmod - 4;
  const [precision, scale] =
    modifier < 0 ? [numeric_digits_max, 0] : [(modifier >> 16) & 0xffff, ((modifier & 0x7ff) ^ 0x400) - 0x400];
  if (precision < numeric_digits_min)
    throw new MaskError(
      'mask_unfit',
      `hash does not fit ${column.name} of type ${column.typeText}: it takes ${numeric_digits_min} digits`,
    );
  const digits = Math.min(precision, numeric_digits_max);
  const text = `pg_catalog.trim_scale(${sql})::pg_catalog.text`;
  const whole = `pg_catalog.int8and(CAST(${bits(keyed(bytesOf(text)), 64)} AS pg_catalog.int8), 9223372036854775807)`;
  return `pg_catalog.numeric_mul(pg_catalog.int8mod(${whole}, 1${'0'.repeat(digits)})::pg_catalog.numeric, '1e${-scale}'::pg_catalog.numeric)`;
}

/** As many days as 16 bits can say. */
const first_day = '1930-01-01';
const last_day = '2109-06-06';

/** A day out of 180 years. Those that are of these have each another one of them; others, with infinity and the years before Christ, share. */
function date(sql: string): string {
  const at = (day: string): string => `'${day}'::pg_catalog.date`;
  const isOfThese = `pg_catalog.date_ge(${sql}, ${at(first_day)}) AND pg_catalog.date_le(${sql}, ${at(last_day)})`;
  const other = `CAST(${bits(keyed(`pg_catalog.date_send(${sql})`), 16)} AS pg_catalog.int4)`;
  const day = `CASE WHEN ${isOfThese} THEN pg_catalog.date_mi(${sql}, ${at(first_day)}) WHEN ${sql} IS NOT NULL THEN ${other} END`;
  return `pg_catalog.date_pli(${at(first_day)}, ${permuted('date', day, 16)})`;
}
