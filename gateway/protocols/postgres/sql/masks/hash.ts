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
  if (!isDomain(column)) {
    switch (column.typeOid) {
      case oids.bytea:
        return cast(column, keyed(sql));
      case oids.uuid:
        return cast(
          column,
          `pg_catalog.encode(pg_catalog.substr(${keyed(`pg_catalog.uuid_send(${sql})`)}, 1, 16), 'hex')`,
        );
      case oids.int8: {
        const digits = `pg_catalog.encode(pg_catalog.substr(${keyed(`pg_catalog.int8send(${sql})`)}, 1, 8), 'hex')`;
        return cast(column, `CAST(pg_catalog.textcat('x', ${digits}) AS pg_catalog.bit(64))`);
      }
    }
  }
  throw new MaskError(
    'mask_unfit',
    `hash does not fit ${column.name} of type ${column.typeText}: it needs text, uuid, bytea or bigint`,
  );
}
