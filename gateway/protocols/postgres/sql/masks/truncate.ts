import type { TruncateParameters } from '#engine';
import { cast, isDomain, MaskError, oids, type MaskColumn } from './column.js';

const default_digits = -3;

/** Toward zero for numbers, back in time for dates. A value that already is what would be left of it stays. */
export function truncate(column: MaskColumn, sql: string, parameters: TruncateParameters): string {
  if (!isDomain(column)) {
    const { to = 'year' } = parameters;
    switch (column.typeOid) {
      case oids.date:
        if (['day', 'hour', 'minute'].includes(to)) throw unfit(column, `"to: ${to}" leaves a date as it is`);
        return cast(
          column,
          dated(sql, 'date', (v) => `pg_catalog.date_trunc('${to}', ${v}::pg_catalog.timestamp)`),
        );
      case oids.timestamp:
        return cast(
          column,
          dated(sql, 'timestamp', (v) => `pg_catalog.date_trunc('${to}', ${v})`),
        );
      case oids.timestamptz:
        // In UTC whatever the session's zone is: who can move the zone could feel for the instant with it.
        return cast(
          column,
          dated(
            sql,
            'timestamptz',
            (v) => `pg_catalog.timezone('UTC', pg_catalog.date_trunc('${to}', pg_catalog.timezone('UTC', ${v})))`,
          ),
        );
      case oids.int2:
      case oids.int4:
      case oids.int8:
        return integer(column, sql, parameters);
      case oids.numeric:
        return numeric(column, sql, parameters);
      case oids.float4:
      case oids.float8:
        return float(column, sql, parameters);
    }
  }
  throw unfit(column, 'it needs a date, a timestamp or a number');
}

const unfit = (column: MaskColumn, why: string): MaskError =>
  new MaskError('mask_unfit', `truncate does not fit ${column.name} of type ${column.typeText}: ${why}`);

/** The whole of the calendar has no truncation: what lies outside of this is NULL, and infinity stays. */
function dated(sql: string, type: string, truncated: (v: string) => string): string {
  const bounds = { date: 'date', timestamp: 'timestamp', timestamptz: 'timestamptz' } as const;
  const name = bounds[type as keyof typeof bounds];
  const zone = type === 'timestamptz' ? '+00' : '';
  const at = (day: string, era = ''): string =>
    `'${day}${type === 'date' ? '' : ` 00:00:00${zone}`}${era}'::pg_catalog.${name}`;
  return [
    `CASE WHEN pg_catalog.isfinite(${sql}) IS FALSE THEN ${sql}`,
    `WHEN pg_catalog.${name}_ge(${sql}, ${at('4000-01-01', ' BC')}) AND pg_catalog.${name}_lt(${sql}, ${at('294000-01-01')})`,
    `THEN CAST(${truncated(sql)} AS pg_catalog.${name}) END`,
  ].join(' ');
}

function integer(column: MaskColumn, sql: string, { digits = default_digits, step }: TruncateParameters): string {
  if (step === undefined && digits >= 0) throw unfit(column, `"digits: ${digits}" leaves a whole number as it is`);
  const multiple = step ?? 10 ** -digits;
  if (!Number.isSafeInteger(multiple) || multiple < 2)
    throw unfit(column, `"step: ${multiple}" is no whole number from 2 on`);
  const bound = `${multiple}::pg_catalog.int8`;
  return cast(column, `pg_catalog.int8mul(pg_catalog.int8div(${sql}::pg_catalog.int8, ${bound}), ${bound})`);
}

function numeric(column: MaskColumn, sql: string, { digits = default_digits, step }: TruncateParameters): string {
  if (step !== undefined) {
    // v - v mod step is exact; a quotient would be rounded.
    return cast(
      column,
      `pg_catalog.numeric_sub(${sql}, pg_catalog.numeric_mod(${sql}, ${decimal(step)}::pg_catalog.numeric))`,
    );
  }
  // The lower 11 bits of the modifier are the scale, with a sign.
  const scale = column.typmod < 4 ? Infinity : (((column.typmod - 4) & 0x7ff) ^ 0x400) - 0x400;
  if (digits >= scale) throw unfit(column, `"digits: ${digits}" leaves it as it is`);
  return cast(column, `pg_catalog.trunc(${sql}, ${digits})`);
}

/** Beyond what a double can say to 15 digits the value is NULL; NaN and infinity stay. */
function float(column: MaskColumn, sql: string, { digits = default_digits, step }: TruncateParameters): string {
  const v = `${sql}::pg_catalog.float8`;
  const size = `pg_catalog.abs(${v})`;
  // Whole multiples are counted with whole numbers where that is possible: 1.2 is 12/10, not 12 * 0.1.
  const [factor, divide] = step === undefined && digits > 0 ? [10 ** digits, true] : [step ?? 10 ** -digits, false];
  const unit = `${decimal(factor)}::pg_catalog.float8`;
  const [lowest, highest] = divide ? [1 / factor, 1e15 / factor] : [factor, 1e15 * factor];
  const [into, outOf] = divide ? ['float8mul', 'float8div'] : ['float8div', 'float8mul'];
  const result = `pg_catalog.${outOf}(pg_catalog.trunc(pg_catalog.${into}(${v}, ${unit})), ${unit})`;
  return cast(
    column,
    [
      `CASE WHEN pg_catalog.float8eq(${size}, 'Infinity'::pg_catalog.float8) OR pg_catalog.float8eq(${size}, 'NaN'::pg_catalog.float8) THEN ${v}`,
      `WHEN pg_catalog.float8lt(${size}, ${decimal(lowest)}::pg_catalog.float8) THEN 0::pg_catalog.float8`,
      `WHEN pg_catalog.float8lt(${size}, ${decimal(highest)}::pg_catalog.float8) THEN ${result} END`,
    ].join(' '),
  );
}

/** A number as a literal that no locale and no type of its own comes into: '1e-9'. */
const decimal = (value: number): string => `'${value}'`;
