import { parametersProblem, type Mask, type RedactParameters } from '#engine';
import {
  cast,
  castText,
  isDomain,
  isText,
  literal,
  MaskError,
  nullOf,
  oids,
  settled,
  textLength,
  type MaskColumn,
} from './column.js';
import { hash } from './hash.js';
import { partial } from './partial.js';
import { pattern } from './pattern.js';
import { tokenize } from './tokenize.js';
import { truncate } from './truncate.js';
import { string } from './write.js';

/**
 * A mask as SQL over a reference to the column, of the column's own type, modifier and collation.
 *
 * Whatever the value, the expression gives no error (an error's text could show it), and nothing in it depends on
 * search_path or on what a client can set: functions and operators are the server's own, by their full names. `redact` and
 * `null` do not read the column at all. No expression needs more than a single line.
 */

const stars = '***';
/** In an error. */
const labels_named_max = 20;

/** @param sql A reference to the column: `c.email`. It may stand in the result several times, or not at all. */
export function maskExpression(mask: Pick<Mask, 'with' | 'parameters'>, masked: MaskColumn, sql: string): string {
  const column = settled(masked);
  const parameters: Readonly<Record<string, unknown>> = mask.parameters ?? {};
  const problem = parametersProblem(mask.with, parameters);
  if (problem !== undefined) throw unfit(mask.with, masked, problem);
  switch (mask.with) {
    case 'null':
      return nullOf(column);
    case 'redact':
      return redact(column, parameters);
    case 'partial':
      return partial(column, sql, parameters);
    case 'hash':
      return hash(column, sql);
    case 'tokenize':
      return tokenize(column, sql);
    case 'truncate':
      return truncate(column, sql, parameters);
    case 'pattern':
      return pattern(column, sql, parameters);
  }
}

const unfit = (mask: string, column: MaskColumn, why: string): MaskError =>
  new MaskError('mask_unfit', `${mask} does not fit ${column.name} of type ${column.typeText}: ${why}`);

/** Total: '***' where the type holds it, else NULL. Neither depends on the value, NULL or not. */
function redact(column: MaskColumn, { label }: RedactParameters): string {
  if (isText(column) && textLength(column) >= stars.length) {
    return column.collation === undefined && column.typeOid !== oids.name
      ? cast(column, literal(stars))
      : castText(column, literal(stars));
  }
  if (column.labels !== undefined && label !== undefined) {
    if (!column.labels.includes(label))
      throw unfit(
        'redact',
        column,
        `it has no label "${label}" to show, only ${column.labels.slice(0, labels_named_max).join(', ')}`,
      );
    return cast(column, string(label));
  }
  if (!isDomain(column) && (column.typeOid === oids.json || column.typeOid === oids.jsonb))
    return cast(column, literal(`"${stars}"`));
  return nullOf(column);
}
