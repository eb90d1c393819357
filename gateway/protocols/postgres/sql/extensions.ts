import { extensionFunctions } from './extensions.data.js';

/**
 * Functions of extensions that are known as the server's own are: no effects but their result, and nothing read but their
 * arguments, the clock, chance and definitions. A function is one of these where the catalog says that the extension owns it
 * and that it is written in C, which takes a superuser to make: whatever else bears its name counts as unknown, in whichever
 * schema it stands.
 *
 * `extensions.data.ts` is written by `scripts/postgres-extensions.mjs` out of the extensions below.
 */

/** Extensions that somebody has looked through, with those of their functions that stay unknown. */
export const reviewed: Readonly<Record<string, string>> = {
  btree_gin: '',
  btree_gist: '',
  citext: '',
  cube: '',
  earthdistance: '',
  fuzzystrmatch: '',
  // Makes a row of a type that somebody chose, and runs what that type runs.
  hstore: 'populate_record',
  intagg: '',
  intarray: '',
  // Turns a setting of the session that outlasts the statement.
  isn: 'isn_weak',
  ltree: '',
  moddatetime: '',
  // As above.
  pg_trgm: 'set_limit',
  pgcrypto: '',
  seg: '',
  // These run SQL that they are given as a text, or read relations that they are given as a text.
  tablefunc: 'connectby crosstab crosstab2 crosstab3 crosstab4',
  tsm_system_rows: '',
  tsm_system_time: '',
  unaccent: '',
  'uuid-ossp': '',
  vector: '',
};

const known: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries(extensionFunctions).map(([extension, names]) => [extension, new Set(names.trim().split(/\s+/))]),
);

/** Whether a function is known. @param extension The one that owns it, where it is written in C; see `ownerOf` in queries.ts. */
export const isExtensionKnown = (extension: string | null | undefined, name: string): boolean =>
  typeof extension === 'string' && known.get(extension)?.has(name) === true;

/** A function as the catalog's answers have it: schema.name, or with its extension where it is one's own and written in C. */
export type RawFunction = string | readonly [schema: string, name: string, extension: string];

export const labelOf = (fn: RawFunction): string => (typeof fn === 'string' ? fn : `${fn[0]}.${fn[1]}`);

export const isKnownRaw = (fn: RawFunction): boolean => typeof fn !== 'string' && isExtensionKnown(fn[2], fn[1]);

/** The names of those that are not known to be harmless by their extension. */
export const unknownOf = (functions: readonly RawFunction[] | null | undefined): string[] =>
  (functions ?? []).filter((fn) => !isKnownRaw(fn)).map(labelOf);
