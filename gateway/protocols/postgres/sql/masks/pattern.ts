import { patternKinds, type PatternKind, type PatternParameters } from '#engine';
import { cast, castText, isDomain, isText, literal, MaskError, oids, plainText, type MaskColumn } from './column.js';
import { patternOf } from './patterns.js';

const arrays: ReadonlySet<number> = new Set([oids.textArray, oids.varcharArray, oids.bpcharArray, oids.nameArray]);

/**
 * What is found in text becomes '***'; the rest stays. Documents stay documents: of JSON the strings are searched, keys
 * among them, and a number that could be a card's becomes 0.
 */
export function pattern(column: MaskColumn, sql: string, { kinds = patternKinds }: PatternParameters): string {
  if (isText(column)) return castText(column, replaced(plainText(sql), patternOf(kinds)));
  if (!isDomain(column)) {
    if (arrays.has(column.typeOid)) {
      // In an array's text what is found has no quote, comma or brace in it, so that the array keeps its form.
      return castArray(column, replaced(plainText(sql), patternOf(kinds, { quoted: true })));
    }
    if (column.typeOid === oids.json || column.typeOid === oids.jsonb) return json(column, sql, kinds);
    if (column.typeOid === oids.xml) return xml(column, sql, kinds);
  }
  throw new MaskError(
    'mask_unfit',
    `pattern does not fit ${column.name} of type ${column.typeText}: it needs text, text[], json, jsonb or xml`,
  );
}

const replaced = (text: string, regex: string): string =>
  `pg_catalog.regexp_replace(${text}, ${literal(regex)}, '***', 'g')`;

function castArray(column: MaskColumn, text: string): string {
  const own = column.typeOid === oids.nameArray ? 'pg_catalog."C"' : 'pg_catalog."default"';
  return `(CAST(${text} AS ${column.typeText}) COLLATE ${column.collation ?? own})`;
}

/** Token by token: a string is decoded, searched and encoded again; between strings only numbers can matter. */
function json(column: MaskColumn, sql: string, kinds: readonly PatternKind[]): string {
  const v = plainText(sql);
  const token = `("sallyport.token"."sallyport.m"[1] COLLATE pg_catalog."C")`;
  const decoded = `(${token}::pg_catalog.jsonb OPERATOR(pg_catalog.#>>) '{}'::pg_catalog.text[] COLLATE pg_catalog."C")`;
  const between = kinds.includes('card') ? `pg_catalog.regexp_replace(${token}, '[0-9]{13,}', '0', 'g')` : token;
  const searched = [
    `CASE WHEN pg_catalog.textregexeq(${token}, '^"') THEN pg_catalog.to_json(${replaced(decoded, patternOf(kinds))})::pg_catalog.text`,
    `ELSE ${between} END`,
  ].join(' ');
  const tokens = `pg_catalog.regexp_matches(${v}, '"(?:[^"[.backslash.]]|[[.backslash.]].)*"|[^"]+', 'g') WITH ORDINALITY AS "sallyport.token"("sallyport.m", "sallyport.n")`;
  const joined = `pg_catalog.array_to_string(ARRAY(SELECT ${searched} FROM ${tokens} ORDER BY "sallyport.n"), '')`;
  // What a string says that the database has no text for is an error to decode: a zero, half of a pair, in other encodings more.
  const escaped = `CASE WHEN pg_catalog.nameeqtext(pg_catalog.getdatabaseencoding(), 'UTF8') THEN '[[.backslash.]]u(0000|[dD][89a-fA-F])' ELSE '[[.backslash.]]u' END`;
  const undecodable = `pg_catalog.textregexeq(${v}, ${escaped})`;
  return cast(column, `CASE WHEN ${undecodable} THEN '"***"' WHEN ${v} IS NOT NULL THEN ${joined} END`);
}

/** A character in disguise (&#64;) would pass by: such a document is NULL, as is one that is none any more. */
function xml(column: MaskColumn, sql: string, kinds: readonly PatternKind[]): string {
  const found = replaced(plainText(sql), patternOf(kinds));
  return cast(
    column,
    `CASE WHEN pg_catalog.int4gt(pg_catalog.strpos(${plainText(sql)}, '&#'), 0) THEN NULL WHEN pg_catalog.xml_is_well_formed_content(${found}) THEN XMLPARSE(CONTENT ${found} PRESERVE WHITESPACE) END`,
  );
}
