import { castText, isText, MaskError, plainText, type MaskColumn } from './column.js';
import { bytesOf, keyed } from './key.js';

/** Longer values are no identifiers, and cost a row for each character. */
const token_chars_max = 256;
/** Two of a digest's 32 bytes go into each character. */
const block_chars = 16;

const digits = '0123456789';
const lower = 'abcdefghijklmnopqrstuvwxyz';
const upper = lower.toUpperCase();

/**
 * Keyed and deterministic, in the value's own format: each digit becomes another digit, each letter another letter of the same case, what is not ASCII a
 * letter; all else stays. Equal values have equal tokens; different ones may have equal ones as well. No character is
 * replaced by itself.
 */
export function tokenize(column: MaskColumn, sql: string): string {
  if (!isText(column))
    throw new MaskError('mask_unfit', `tokenize does not fit ${column.name} of type ${column.typeText}: it needs text`);
  const v = plainText(sql);
  const length = `pg_catalog.length(${v})`;
  // OFFSET 0 keeps each digest from being computed anew for every character. The names cannot be a client's by accident.
  const seed = `(SELECT ${keyed(bytesOf(v))} OFFSET 0) AS "sallyport.seed"("sallyport.d")`;
  const blocks = `pg_catalog.generate_series(0, pg_catalog.int4div(pg_catalog.int4mi(${length}, 1), ${block_chars})) AS "sallyport.block"("sallyport.b")`;
  const stream = `LATERAL (SELECT pg_catalog.sha256(pg_catalog.byteacat("sallyport.d", pg_catalog.int4send("sallyport.b"))) OFFSET 0) AS "sallyport.stream"("sallyport.x")`;
  const places = `LATERAL (SELECT n, pg_catalog.substr(${v}, pg_catalog.int4pl(pg_catalog.int4pl(pg_catalog.int4mul("sallyport.b", ${block_chars}), n), 1), 1) COLLATE pg_catalog."C" FROM pg_catalog.generate_series(0, ${block_chars - 1}) AS g(n) OFFSET 0) AS "sallyport.place"("sallyport.n", "sallyport.c")`;
  const byte = (offset: number): string =>
    `pg_catalog.get_byte("sallyport.x", pg_catalog.int4pl(pg_catalog.int4mul("sallyport.n", 2), ${offset}))`;
  const random = `pg_catalog.int4pl(pg_catalog.int4mul(${byte(0)}, 256), ${byte(1)})`;
  const other = (alphabet: string): string => {
    const place = `pg_catalog.strpos('${alphabet}', "sallyport.c")`;
    const moved = `pg_catalog.int4pl(${place}, pg_catalog.int4mod(${random}, ${alphabet.length - 1}))`;
    return `WHEN pg_catalog.int4gt(${place}, 0) THEN pg_catalog.substr('${alphabet}', pg_catalog.int4pl(1, pg_catalog.int4mod(${moved}, ${alphabet.length})), 1)`;
  };
  const character = [
    `CASE WHEN "sallyport.c" IS NULL OR pg_catalog.texteq("sallyport.c", '') THEN ''`,
    other(digits),
    other(lower),
    other(upper),
    `WHEN pg_catalog.text_le("sallyport.c", '~') THEN "sallyport.c"`,
    `ELSE pg_catalog.substr('${lower}', pg_catalog.int4pl(1, pg_catalog.int4mod(${random}, ${lower.length})), 1) END`,
  ].join(' ');
  const token = `pg_catalog.array_to_string(ARRAY(SELECT ${character} FROM ${seed}, ${blocks}, ${stream}, ${places} ORDER BY "sallyport.b", "sallyport.n"), '')`;
  return castText(
    column,
    `CASE WHEN pg_catalog.int4gt(${length}, ${token_chars_max}) THEN '***' WHEN pg_catalog.int4ge(${length}, 0) THEN ${token} END`,
  );
}
