/** What the server runs on values of a type, as parts of the catalog's one query (queries.ts). */

const eq = 'OPERATOR(pg_catalog.=)';

/** All types that values of the seed's types are made of: attributes, elements, what domains and ranges stand on. */
export const partsOf = (seed: string, before = ''): string => `with recursive ${before} part(oid) as (
      ${seed}
      union
      select x.oid from part y join pg_catalog.pg_type z on z.oid ${eq} y.oid, lateral (
        select a.atttypid from pg_catalog.pg_attribute a where z.typrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
          and a.attrelid ${eq} z.typrelid and a.attnum OPERATOR(pg_catalog.>) 0 and not a.attisdropped
        union all select z.typelem where z.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
        union all select z.typbasetype where z.typbasetype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
        union all select g.rngsubtype from pg_catalog.pg_range g where g.rngtypid ${eq} z.oid
        union all select g.rngtypid from pg_catalog.pg_range g where g.rngmultitypid ${eq} z.oid) as x(oid))`;

/** Made by somebody, and not in C, which only superusers may write. */
export const isWritten = (fn: string): string => `${fn}.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
          and ${fn}.prolang OPERATOR(pg_catalog.<>) 12::pg_catalog.oid and ${fn}.prolang OPERATOR(pg_catalog.<>) 13::pg_catalog.oid`;

/**
 * Functions by which the server orders, groups and compares values of one of these types wherever it does so: of the operator
 * class that is the type's own, and of the one that a range is made with.
 */
export const comparing = `select u.oid from part join pg_catalog.pg_opclass k on part.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
          and (k.opcdefault and k.opcintype ${eq} part.oid or exists (
            select from pg_catalog.pg_range g where g.rngtypid ${eq} part.oid and g.rngsubopc ${eq} k.oid)),
        lateral (
          select a.amproc::pg_catalog.oid from pg_catalog.pg_amproc a where a.amprocfamily ${eq} k.opcfamily
          union all select o.oprcode::pg_catalog.oid from pg_catalog.pg_amop a join pg_catalog.pg_operator o on o.oid ${eq} a.amopopr
            where a.amopfamily ${eq} k.opcfamily) as u(oid)
      union all select g.rngsubdiff::pg_catalog.oid from part join pg_catalog.pg_range g on g.rngtypid ${eq} part.oid`;

/** Of functions that the server may run on a value of this column, or on a part of it. */
const ranOn = (
  functions: string,
  told = (name: string) => name,
): string => `case when t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid then (${partsOf('select t.oid')}
        select pg_catalog.json_agg(distinct ${told("pg_catalog.concat(fn.nspname, '.', f.proname)")})
        from (${functions}) as r(fn) join pg_catalog.pg_proc f on f.oid ${eq} r.fn and ${isWritten('f')}
        join pg_catalog.pg_namespace fn on fn.oid ${eq} f.pronamespace) end`;

const castsFrom = (context: string): string =>
  `select x.castfunc, x.casttarget from part join pg_catalog.pg_cast x on x.castsource ${eq} part.oid and x.castcontext OPERATOR(pg_catalog.${context}) 'e'`;

/** It runs these unasked: to make another type's value of it, to order or compare it. */
export const castsOf = ranOn(`select u.castfunc from (${castsFrom('<>')}) as u union all ${comparing}`);

/** [function, type's OID] of those that it runs where the statement says to which type, or makes JSON of it. */
export const castsAskedOf = ranOn(
  castsFrom('='),
  (name) => `pg_catalog.jsonb_build_array(${name}, r.casttarget::pg_catalog.int8)`,
);
