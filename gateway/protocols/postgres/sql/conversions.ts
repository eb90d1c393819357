/** What a value of one type becomes unasked, as far as it is known. */

/** Types of the server's own. */
export const oid = {
  bool: 16,
  int4: 23,
  int8: 20,
  text: 25,
  numeric: 1700,
  unknown: 705,
  json: 114,
  jsonb: 3802,
} as const;

/** Types that somebody made have OIDs from here on. */
export const first_user_oid = 16_384;

/** record, and an array of these. */
const rows: ReadonlySet<number> = new Set([2249, 2287]);

/** Whether a value is of a type that somebody made, or has one in it, as far as that is known. */
export const mayBeMade = (type: number | undefined): boolean =>
  type === undefined || type >= first_user_oid || rows.has(type);

/**
 * Whether the server may take a value of a type where another is wanted. A value of a type of its own becomes one of a type that
 * somebody made by a cast alone that is done unasked; but for rows, whose type is any that fits.
 *
 * @param is Undefined where it is not known.
 * @param isReached There is such a cast to the type that is wanted.
 */
export const canBecome = (is: number | undefined, wanted: number, isReached: boolean): boolean =>
  is === undefined ||
  is === oid.unknown ||
  is >= first_user_oid ||
  wanted < first_user_oid ||
  isReached ||
  rows.has(is);
