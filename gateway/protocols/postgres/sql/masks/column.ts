/** What a mask needs to know of the column that it stands in for, and the error for a mask that does not fit it. */

export interface MaskColumn {
  readonly name: string;
  readonly typeOid: number;
  /** What a domain stands on; of any other type the type itself. */
  readonly baseTypeOid: number;
  /** Of a domain: its base type's modifier. */
  readonly baseTypmod?: number;
  /** Of a domain: any value of its base type is one of its own. */
  readonly isFree?: boolean;
  /** Of an enum. */
  readonly labels?: readonly string[] | undefined;
  /** atttypmod; -1 where the type has no modifier. */
  readonly typmod: number;
  /** The type with its modifier, as SQL that means it under any search_path. */
  readonly typeText: string;
  /** As SQL, where it is not the type's own. */
  readonly collation?: string | undefined;
}

export type MaskErrorCode = 'mask_unfit' | 'filter_invalid';

/** A mask or filter that cannot be put into SQL; the code is the reason of the denial. */
export class MaskError extends Error {
  override readonly name = 'MaskError';
  readonly code: MaskErrorCode;

  constructor(code: MaskErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The built-in types that masks tell apart (pg_type.dat). */
export const oids = {
  bytea: 17,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  json: 114,
  xml: 142,
  float4: 700,
  float8: 701,
  nameArray: 1003,
  textArray: 1009,
  bpcharArray: 1014,
  varcharArray: 1015,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
} as const;

/** OIDs below this are the server's own: their names and functions mean the same everywhere. */
const firstUserOid = 16_384;

/** A domain with checks, which no constant and no mask can be known to pass. */
export const isDomain = (column: MaskColumn): boolean => column.typeOid !== column.baseTypeOid;

/** A domain without any is masked as what it stands on: what comes out is cast to the type that the column has. */
export const settled = (column: MaskColumn): MaskColumn =>
  isDomain(column) && column.isFree === true
    ? { ...column, typeOid: column.baseTypeOid, typmod: column.baseTypmod ?? -1 }
    : column;

/** citext is text to itself: from and to text nothing is converted. */
export const isCitext = (column: MaskColumn): boolean =>
  !isDomain(column) && column.typeOid >= firstUserOid && /(?:^|\.)citext$/.test(column.typeText);

const textTypes: ReadonlySet<number> = new Set([oids.text, oids.varchar, oids.bpchar, oids.name]);

/** Text in all but name: any text is a value of it, cut to its length. */
export const isText = (column: MaskColumn): boolean =>
  !isDomain(column) && (textTypes.has(column.typeOid) || isCitext(column));

/** How many characters fit; Infinity where there is no bound. */
export function textLength(column: MaskColumn): number {
  if (column.typeOid === oids.name) return 63;
  if (column.typeOid !== oids.varchar && column.typeOid !== oids.bpchar) return Infinity;
  if (column.typmod >= 4) return column.typmod - 4;
  // bpchar without a modifier, as a cast or CREATE TABLE AS makes it, has no bound.
  return Infinity;
}

/**
 * NULL of the column's type. That of a domain is an element that an empty array does not have: a cast would run the
 * domain's checks, of which NOT NULL is one.
 */
export const nullOf = (column: MaskColumn): string =>
  collated(column, isDomain(column) ? `('{}'::${column.typeText}[])[1]` : `CAST(NULL AS ${column.typeText})`);

/** An expression of a type that casts to the column's, as the column would have it: type, modifier, collation. */
export const cast = (column: MaskColumn, expression: string): string =>
  collated(column, `CAST(${expression} AS ${column.typeText})`);

function collated(column: MaskColumn, expression: string): string {
  return column.collation === undefined ? expression : `(${expression} COLLATE ${column.collation})`;
}

/**
 * The value as text whose functions work on bytes and never ask a locale: searching in text of a non-deterministic collation
 * is an error in most versions of the server.
 */
export const plainText = (sql: string): string => `(${sql}::pg_catalog.text COLLATE pg_catalog."C")`;

/** A text that was worked on under "C", in the column's own type and collation again. */
export function castText(column: MaskColumn, expression: string): string {
  const own = column.typeOid === oids.name ? 'pg_catalog."C"' : 'pg_catalog."default"';
  return `(CAST(${expression} AS ${column.typeText}) COLLATE ${column.collation ?? own})`;
}

/** A string as a literal. Masks have no backslashes in theirs, so that it reads the same under any setting. */
export const literal = (value: string): string => `'${value.replace(/'/g, "''")}'`;
