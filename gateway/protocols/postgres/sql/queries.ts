/**
 * The one read of the catalog, sent in the client's own session. Everything in it is qualified, operators included, so
 * that no search_path can put something else in its place; names come as parameters; nothing in it can fail on what they
 * say (no regclass, no casts of what a client wrote but to `name`, which cuts as the server cuts identifiers).
 *
 * Parameters: a pair of text[] (schemas, NULL for "along search_path", and names) for each kind of name that is wanted: the
 * server plans what it is sent, so what nobody asks for is left out. Rows: kind, index from 1, JSON. Names that are not there have no row.
 *
 * What views, policies and expressions reach is read from their stored trees (pg_node_tree), since pg_depend leaves out
 * what the server pins: the built-in functions and the system catalogs. Which columns of a pinned catalog a view reads is
 * not told apart: all of them stand for it.
 */

import { castsAskedOf, castsOf, comparing, isWritten, partsOf } from './type-functions.js';
import {
  anywhere,
  castsDigest,
  changing,
  columnsText,
  isPlain,
  marksOf,
  noneMade,
  reachOf,
  stampOf,
  versionColumns,
} from './versions.js';

const eq = 'OPERATOR(pg_catalog.=)';

/** Children and partitions that are told one by one; a statement that reaches more is opaque. */
export const heirs_max = 1_000;

/** Columns of one domain that are told one by one; a statement that is about more is opaque. */
export const domain_columns_max = 1_000;

/** A view's definition, or a function's body, is read up to this length; what a longer one does is not known. */
export const definition_chars_max = 65_536;

/** Rows of (i, s, n) out of a pair of array parameters. */
const wanted = (first: number): string =>
  `select w.i, w.s, w.n::pg_catalog.name as n from ROWS FROM (pg_catalog.unnest($${first}::pg_catalog.text[]), pg_catalog.unnest($${first + 1}::pg_catalog.text[])) with ordinality as w(s, n, i)`;

/** Whether a schema is where the name is looked for; `p` is the outer-joined path. */
const looked = `case when w.s is null then p.ord is not null
    when w.s ${eq} '${anywhere}' then true
    when w.s ${eq} 'pg_temp' then n.oid ${eq} pg_catalog.pg_my_temp_schema()
    else n.nspname ${eq} w.s::pg_catalog.name end`;

/** OIDs that stand behind a field of a stored tree. */
const oids = (tree: string, fields: string): string =>
  `(select distinct m.m[1]::pg_catalog.oid as oid from pg_catalog.regexp_matches(${tree}::pg_catalog.text, ':(?:${fields}) ([1-9][0-9]*)', 'g') as m(m))`;

const functionFields = 'funcid|opfuncid|aggfnoid|winfnoid|tsmhandler';

/** OIDs of the functions in a stored tree; of a comparison of rows it holds the operators alone. */
const functionOids = (tree: string): string => `(
      select o.oid from ${oids(tree, functionFields)} o
      union
      select p.oprcode::pg_catalog.oid from pg_catalog.regexp_matches(${tree}::pg_catalog.text, ':opnos \\(o ([0-9 ]+)\\)', 'g') as m(m),
        lateral pg_catalog.regexp_split_to_table(m.m[1], ' ') as s(n)
        join pg_catalog.pg_operator p on p.oid ${eq} s.n::pg_catalog.oid)`;

/**
 * The extension that owns a function, where it is written in C (language 13, or 12 for what the server itself has, which only
 * superusers may make), or is an aggregate of nothing else; NULL otherwise. See extensions.ts.
 */
const ownerOf = (fn: string): string => {
  const owned = (oid: string): string => `select x.oid, x.extname from pg_catalog.pg_depend d
      join pg_catalog.pg_extension x on x.oid ${eq} d.refobjid and d.refclassid ${eq} 3079::pg_catalog.oid
      where d.classid ${eq} 1255::pg_catalog.oid and d.objid ${eq} ${oid} and d.deptype ${eq} 'e'`;
  return `case when ${fn}.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid and (${fn}.prolang ${eq} 12::pg_catalog.oid or ${fn}.prolang ${eq} 13::pg_catalog.oid) then (
    select o.extname from (${owned(`${fn}.oid`)}) o where ${fn}.prokind OPERATOR(pg_catalog.<>) 'a' or not exists (
      select from pg_catalog.pg_aggregate g, lateral pg_catalog.unnest(array[g.aggtransfn::pg_catalog.oid, g.aggfinalfn::pg_catalog.oid,
        g.aggcombinefn::pg_catalog.oid, g.aggserialfn::pg_catalog.oid, g.aggdeserialfn::pg_catalog.oid, g.aggmtransfn::pg_catalog.oid,
        g.aggminvtransfn::pg_catalog.oid, g.aggmfinalfn::pg_catalog.oid]) as u(oid)
      where g.aggfnoid::pg_catalog.oid ${eq} ${fn}.oid and u.oid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid and not exists (
        select from (${owned('u.oid')}) i join pg_catalog.pg_proc q on q.oid ${eq} u.oid
        where i.oid ${eq} o.oid and (q.prolang ${eq} 12::pg_catalog.oid or q.prolang ${eq} 13::pg_catalog.oid)))) end`;
};

/** A function by name, as `RawFunction` has it. */
const functionName = (fn: string, namespace: string): string => `coalesce(
    pg_catalog.jsonb_build_array(${namespace}.nspname, ${fn}.proname) OPERATOR(pg_catalog.||) pg_catalog.to_jsonb((${ownerOf(fn)})::pg_catalog.text),
    pg_catalog.to_jsonb(pg_catalog.concat(${namespace}.nspname, '.', ${fn}.proname)))`;

/** The functions in a set of trees, as a JSON array; those that making a value of a domain runs are among them. */
const functionsIn = (trees: string): string => `(${partsOf(
  `select o.oid from t, lateral ${oids('t.tree', 'resulttype')} o where o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid`,
  `t(tree) as materialized (${trees}),`,
)}
   select pg_catalog.jsonb_agg(distinct ${functionName('f', 'fn')})
   from (select t.tree from t union all
      select k.conbin::pg_catalog.text from part join pg_catalog.pg_constraint k on k.contypid ${eq} part.oid and k.conbin is not null) as u(tree),
   lateral ${functionOids('u.tree')} o
   join pg_catalog.pg_proc f on f.oid ${eq} o.oid join pg_catalog.pg_namespace fn on fn.oid ${eq} f.pronamespace)`;

/** Trees of what runs where a value of one of these types is made: checks of domains, casts, input of types that somebody made. */
const partTrees = (casts: string): string => `
      select k.conbin::pg_catalog.text from part join pg_catalog.pg_constraint k on k.contypid ${eq} part.oid and k.conbin is not null
      union all
      select pg_catalog.concat(':funcid ', x.castfunc::pg_catalog.oid) from part join pg_catalog.pg_cast x
        on part.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid and x.castfunc OPERATOR(pg_catalog.<>) 0::pg_catalog.oid and (${casts})
      union all
      select pg_catalog.concat(':funcid ', g.rngcanonical::pg_catalog.oid) from part join pg_catalog.pg_range g on g.rngtypid ${eq} part.oid
        where g.rngcanonical::pg_catalog.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid`;

const path = `path as materialized (
  select p.name, p.ord from pg_catalog.unnest(pg_catalog.current_schemas(true)) with ordinality as p(name, ord))`;

/** The relations themselves. */
const foundTable = (first: number): string => `found as materialized (
  select distinct on (w.i) w.i, c.oid
  from (${wanted(first)}) w
  join pg_catalog.pg_class c on c.relname ${eq} w.n
  join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace
  left join path p on p.name ${eq} n.nspname
  where ${looked}
  order by w.i, p.ord)`;

/** What a foreign key does to the rows that refer, after a DELETE, UPDATE or TRUNCATE … CASCADE of those referred to; k is the key. */
const next = (event: string): string => `(select case ${event}
      when 't' then 't'
      when 'd' then case k.confdeltype when 'c' then 'd' when 'n' then 'u' when 'd' then 'u' end
      when 'u' then case when k.confupdtype ${eq} 'c' or k.confupdtype ${eq} 'n' or k.confupdtype ${eq} 'd' then 'u' end end)`;

/** And what reading them reaches, and what writing them reaches. */
const relationTables = (first: number): string => `,
${foundTable(first)},
reach(i, oid, via, how) as (
  select f.i, f.oid, null::pg_catalog.oid, ''::pg_catalog.text from found f
  union
  select r.i, x.oid, r.oid, x.how from reach r, lateral (
    select o.oid, 'v'::pg_catalog.text as how from pg_catalog.pg_rewrite w, lateral ${oids('w.ev_action', 'relid')} o
      where w.ev_class ${eq} r.oid and w.ev_type ${eq} '1'
    union all
    select o.oid, 'q' from pg_catalog.pg_policy q, lateral ${oids("pg_catalog.concat(q.polqual::pg_catalog.text, ' ', q.polwithcheck::pg_catalog.text)", 'relid')} o
      where q.polrelid ${eq} r.oid
    union all
    select o.oid, 't' from pg_catalog.pg_class o where o.reltoastrelid ${eq} r.oid and r.how ${eq} ''
    union all
    select h.inhparent, 'p' from pg_catalog.pg_inherits h where h.inhrelid ${eq} r.oid and h.inhparent OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
  ) x where x.oid OPERATOR(pg_catalog.<>) r.oid),
down(i, oid) as (
  select distinct r.i, r.oid from reach r where r.how ${eq} '' or r.how ${eq} 'v'
  union
  select d.i, h.inhrelid from down d join pg_catalog.pg_inherits h on h.inhparent ${eq} d.oid),
cascading(i, start, changed, oid, event, written, via) as (
  select d.i, s.start, case s.start when 'u' then (
      select pg_catalog.array_agg(a.attname::pg_catalog.text order by a.attnum) from pg_catalog.pg_attribute a
      where a.attrelid ${eq} d.oid and a.attnum ${eq} any (k.confkey)) end, k.conrelid, x.event, case x.event when 'u' then k.conkey end, d.oid
    from down d cross join (values ('d'), ('u'), ('t')) as s(start)
    join pg_catalog.pg_constraint k on k.confrelid ${eq} d.oid and k.contype ${eq} 'f', lateral ${next('s.start')} as x(event)
    where x.event is not null
  union
  select c.i, c.start, c.changed, k.conrelid, x.event, case x.event when 'u' then k.conkey end, c.oid from cascading c
    join pg_catalog.pg_constraint k on k.confrelid ${eq} c.oid and k.contype ${eq} 'f' and
      (c.written is null or k.confkey OPERATOR(pg_catalog.&&) c.written), lateral ${next('c.event')} as x(event)
    where x.event is not null),
heirs(i, oid, via, how) as (
  select distinct r.i, r.oid, null::pg_catalog.oid, case when r.how ${eq} 'q' then 'q' else 'v' end from reach r where r.how ${eq} '' or r.how ${eq} 'v' or r.how ${eq} 'q'
  union
  select d.i, h.inhrelid, d.oid, d.how from heirs d join pg_catalog.pg_inherits h on h.inhparent ${eq} d.oid)`;

/** What is read sees an old catalog, while the server works with the one of now. */
const isSnapshot = `pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.~) 'repeatable|serializable'`;

const pathRow = `select 'path', 0::pg_catalog.int8, pg_catalog.json_build_object(
  'setting', pg_catalog.current_setting('search_path'), 'user', current_user, 'own', current_user OPERATOR(pg_catalog.=) session_user,
  'schemas', pg_catalog.to_json(pg_catalog.current_schemas(true)), 'creation', pg_catalog.current_schema(),
  'temporary', pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0::pg_catalog.oid,
  'eventTriggers', (select pg_catalog.json_agg(pg_catalog.json_build_array(e.evtname, pg_catalog.concat(n.nspname, '.', f.proname)) order by e.evtname)
    from pg_catalog.pg_event_trigger e join pg_catalog.pg_proc f on f.oid ${eq} e.evtfoid join pg_catalog.pg_namespace n on n.oid ${eq} f.pronamespace
    where e.evtenabled OPERATOR(pg_catalog.<>) 'D' and e.evtevent OPERATOR(pg_catalog.<>) 'login'),
  'casts', ${castsDigest}, 'functions', not ${noneMade('pg_proc')}, 'operators', not ${noneMade('pg_operator')},
  'version', pg_catalog.current_setting('server_version_num'),
  'age', case when ${isSnapshot} then pg_catalog.date_part('epoch', pg_catalog.timestamptz_mi(pg_catalog.clock_timestamp(), pg_catalog.transaction_timestamp())) else 0 end)::pg_catalog.text`;

/** Only what reading a plain table needs: the server plans it in a tenth of the time. `deep`: it has more to it than that. */
const plainRelationTables = (first: number): string => `,
${foundTable(first)}`;

/**
 * A column's type as it may be written anywhere: what the server's own grammar knows as format_type has it, others by their
 * schema, whatever the path. Its modifier stands in parentheses there as well.
 */
const typeText = `case when tn.nspname ${eq} 'pg_catalog' then pg_catalog.format_type(a.atttypid, a.atttypmod)
      else pg_catalog.concat(pg_catalog.quote_ident(tn.nspname), '.', pg_catalog.quote_ident(t.typname),
        pg_catalog.substring(pg_catalog.format_type(a.atttypid, a.atttypmod), '[^"](\\([^()"]*\\))(?:\\[\\])*$')) end`;

const isUnchecked = (type: string): string =>
  `not exists (select from pg_catalog.pg_constraint k where k.contypid ${eq} ${type}.oid)`;

/** [type, modifier, whether any value of it is one of the domain] below a domain. */
const baseOf = `case when t.typtype ${eq} 'd' then (with recursive b(oid, typmod, free) as (
        select t.typbasetype, t.typtypmod, not t.typnotnull and ${isUnchecked('t')}
        union all
        select z.typbasetype, z.typtypmod, b.free and not z.typnotnull and ${isUnchecked('z')} from b join pg_catalog.pg_type z on z.oid ${eq} b.oid and z.typtype ${eq} 'd')
      select pg_catalog.json_build_array(b.oid::pg_catalog.int8, b.typmod, b.free)
      from b join pg_catalog.pg_type z on z.oid ${eq} b.oid and z.typtype OPERATOR(pg_catalog.<>) 'd') end`;

/** Of an enum, as many labels as anybody will name. */
const labels_max = 1_000;
const labelsOf = `case when t.typtype ${eq} 'e' then (
        select pg_catalog.json_agg(e.enumlabel) from (select e.enumlabel from pg_catalog.pg_enum e where e.enumtypid ${eq} t.oid order by e.enumsortorder limit ${labels_max}) as e) end`;

/** The collation where it is not the type's own. */
const collationOf = `case when a.attcollation OPERATOR(pg_catalog.<>) t.typcollation then (
        select pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(l.collname))
        from pg_catalog.pg_collation l join pg_catalog.pg_namespace n on n.oid ${eq} l.collnamespace where l.oid ${eq} a.attcollation) end`;

/** The columns that a generated one is computed from. */
const inputsOf = `case when a.attgenerated OPERATOR(pg_catalog.<>) '' then (
        select pg_catalog.json_agg(distinct i.attname) from pg_catalog.pg_attrdef x
        join pg_catalog.pg_depend p on (p.classid ${eq} 2604::pg_catalog.oid and p.objid ${eq} x.oid
            or p.classid ${eq} 1259::pg_catalog.oid and p.objid ${eq} a.attrelid and p.objsubid ${eq} a.attnum::pg_catalog.int4)
          and p.refclassid ${eq} 1259::pg_catalog.oid and p.refobjid ${eq} a.attrelid and p.refobjsubid OPERATOR(pg_catalog.<>) a.attnum::pg_catalog.int4
        join pg_catalog.pg_attribute i on i.attrelid ${eq} a.attrelid
          and (i.attnum::pg_catalog.int4 ${eq} p.refobjsubid or (p.refobjsubid ${eq} 0 and i.attnum OPERATOR(pg_catalog.>) 0 and not i.attisdropped))
        where x.adrelid ${eq} a.attrelid and x.adnum ${eq} a.attnum) end`;

const primaryKeyOf = `(select pg_catalog.json_agg(a.attname order by a.attnum)
    from pg_catalog.pg_constraint k join pg_catalog.pg_attribute a on a.attrelid ${eq} k.conrelid and a.attnum ${eq} any (k.conkey)
    where k.conrelid ${eq} c.oid and k.contype ${eq} 'p' and not k.condeferrable)`;

const columnsOf = `(select pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, a.attnum, a.atttypid::pg_catalog.int8,
      pg_catalog.concat(tn.nspname, '.', t.typname), a.attnotnull, a.atttypmod, ${typeText}, ${baseOf}, a.attgenerated, ${collationOf}, ${inputsOf}, ${labelsOf}, ${castsOf}, ${castsAskedOf}) order by a.attnum)
    from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid ${eq} a.atttypid
    join pg_catalog.pg_namespace tn on tn.oid ${eq} t.typnamespace
    where a.attrelid ${eq} c.oid and a.attnum OPERATOR(pg_catalog.>) 0 and not a.attisdropped)`;

/**
 * [OIDs, digest, whether it is otherwise by now than what was read]: itself and those that it inherits from; [OIDs, digest] of what may
 * have children; and its columns where there is no more to it than these.
 */
const version = (
  oids: string,
  parents: string,
): string => `case when c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid then (
    select pg_catalog.json_build_array(s.oids::pg_catalog.int8[], x.digest, x.changed and ${isSnapshot},
      pg_catalog.json_build_array(d.oids::pg_catalog.int8[], ${reachOf('d.oids')}),
      case when ${isPlain('c')} and s.oids ${eq} array[c.oid] and d.oids ${eq} array[c.oid] and c.relkind ${eq} any ('{r,p,f}'::pg_catalog."char"[]) then ${columnsText('array[c.oid]')} end, ${marksOf('c')})
    from (select ${oids}) as s(oids), (select ${parents}) as d(oids), lateral (${versionColumns('s.oids')}) as x(digest, changed)) end`;

const plainRelationRows = `select 'relation', f.i, pg_catalog.json_build_object(
  'oid', c.oid::pg_catalog.int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'rowSecurity', c.relrowsecurity, 'full', false,
  'deep', c.relkind ${eq} 'v' or c.relkind ${eq} 'm' or c.relkind ${eq} 't' or c.relrowsecurity
    or exists (select from pg_catalog.pg_inherits h where h.inhrelid ${eq} c.oid or h.inhparent ${eq} c.oid),
  'columns', ${columnsOf}, 'primaryKey', ${primaryKeyOf}, 'version', ${version('array[c.oid]', 'array[c.oid]')})::pg_catalog.text
from found f join pg_catalog.pg_class c on c.oid ${eq} f.oid join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace`;

/** Columns by which partitioned tables among these are partitioned. */
const partitionKeys = (relations: string): string => `(
    select pg_catalog.json_agg(distinct a.attname) from pg_catalog.pg_partitioned_table p join pg_catalog.pg_attribute a on a.attrelid ${eq} p.partrelid
      and (a.attnum ${eq} any (p.partattrs::pg_catalog.int2[]) or exists (select from pg_catalog.pg_depend d
        where d.classid ${eq} 1259::pg_catalog.oid and d.objid ${eq} a.attrelid and d.objsubid ${eq} a.attnum::pg_catalog.int4 and d.deptype ${eq} 'i'
          and d.refclassid ${eq} 1259::pg_catalog.oid and d.refobjid ${eq} a.attrelid and d.refobjsubid ${eq} 0))
    where p.partrelid ${eq} any (array(${relations})))`;

const relationRows = `select 'relation', f.i, pg_catalog.json_build_object(
  'oid', c.oid::pg_catalog.int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'rowSecurity', c.relrowsecurity, 'full', true, 'deep', false,
  'columns', ${columnsOf}, 'primaryKey', ${primaryKeyOf},
  'version', ${version(
    `pg_catalog.array_agg(distinct r.oid) from reach r where r.i ${eq} f.i and (r.oid ${eq} c.oid or r.how ${eq} 'p')`,
    `case when c.relkind ${eq} 'v' or c.relkind ${eq} 'm' then array[c.oid] else array(
      select d.oid from down d join pg_catalog.pg_class z on z.oid ${eq} d.oid
      where d.i ${eq} f.i and (d.oid ${eq} c.oid or z.relkind ${eq} 'p' or not z.relispartition) order by d.oid) end`,
  )},
  'definition', case when (c.relkind ${eq} 'v' or c.relkind ${eq} 'm') and c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid then (
    select pg_catalog.json_build_array(case when pg_catalog.length(d.text) OPERATOR(pg_catalog.<=) ${definition_chars_max} then d.text end)
    from (select pg_catalog.pg_get_viewdef(c.oid)) as d(text)) end,
  'reads', (select pg_catalog.json_agg(pg_catalog.json_build_array(bn.nspname, b.relname, b.relkind,
      pg_catalog.concat(vn.nspname, '.', v.relname), r.how,
      case when r.how ${eq} 'p' or r.how ${eq} 't' or (b.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid and b.relkind ${eq} 'r' and r.via OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid) then (
        select pg_catalog.json_agg(a.attname order by a.attnum) from pg_catalog.pg_attribute a
        where a.attrelid ${eq} r.oid and a.attnum OPERATOR(pg_catalog.>) 0 and not a.attisdropped)
      when b.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid and (b.relkind OPERATOR(pg_catalog.<>) 'r' or r.via OPERATOR(pg_catalog.<) 16384::pg_catalog.oid) then null
      else (
        select pg_catalog.json_agg(distinct a.attname) from pg_catalog.pg_depend d
        join pg_catalog.pg_attribute a on a.attrelid ${eq} d.refobjid and a.attnum ${eq} d.refobjsubid
        where d.refclassid ${eq} 1259::pg_catalog.oid and d.refobjid ${eq} r.oid and d.refobjsubid OPERATOR(pg_catalog.>) 0 and (
          (d.classid ${eq} 2618::pg_catalog.oid and exists (select from pg_catalog.pg_rewrite w where w.oid ${eq} d.objid and w.ev_class ${eq} r.via)) or
          (d.classid ${eq} 3256::pg_catalog.oid and exists (select from pg_catalog.pg_policy q where q.oid ${eq} d.objid and q.polrelid ${eq} r.via)))) end)
      order by bn.nspname, b.relname, v.relname)
    from reach r join pg_catalog.pg_class b on b.oid ${eq} r.oid join pg_catalog.pg_namespace bn on bn.oid ${eq} b.relnamespace
    join pg_catalog.pg_class v on v.oid ${eq} r.via join pg_catalog.pg_namespace vn on vn.oid ${eq} v.relnamespace
    where r.i ${eq} f.i),
  'heirs', (select pg_catalog.json_agg(pg_catalog.json_build_array(x.nspname, x.relname, x.relkind, x.via, x.how, x.relispartition) order by x.nspname, x.relname)
    from (select hn.nspname, b.relname, b.relkind, pg_catalog.concat(vn.nspname, '.', v.relname) as via, h.how, b.relispartition
      from heirs h join pg_catalog.pg_class b on b.oid ${eq} h.oid join pg_catalog.pg_namespace hn on hn.oid ${eq} b.relnamespace
      join pg_catalog.pg_class v on v.oid ${eq} h.via join pg_catalog.pg_namespace vn on vn.oid ${eq} v.relnamespace
      where h.i ${eq} f.i and b.relkind OPERATOR(pg_catalog.<>) 'i' and b.relkind OPERATOR(pg_catalog.<>) 'I' limit ${heirs_max + 1}) as x),
  'readFunctions', ${functionsIn(`
    select w.ev_action::pg_catalog.text from reach r join pg_catalog.pg_rewrite w on w.ev_class ${eq} r.oid and w.ev_type ${eq} '1'
      join pg_catalog.pg_class v on v.oid ${eq} r.oid and (v.relkind ${eq} 'v' or v.relkind ${eq} 'm') where r.i ${eq} f.i and r.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
    union all
    select pg_catalog.concat(q.polqual::pg_catalog.text, ' ', q.polwithcheck::pg_catalog.text) from reach r
      join pg_catalog.pg_policy q on q.polrelid ${eq} r.oid where r.i ${eq} f.i`)},
  'writeFunctions', ${functionsIn(`
    select d.adbin::pg_catalog.text from down r join pg_catalog.pg_attrdef d on d.adrelid ${eq} r.oid where r.i ${eq} f.i
    union all
    select k.conbin::pg_catalog.text from down r join pg_catalog.pg_constraint k on k.conrelid ${eq} r.oid and k.conbin is not null where r.i ${eq} f.i
    union all
    select tree from (
      ${partsOf(`select a.atttypid from down r join pg_catalog.pg_attribute a on a.attrelid ${eq} r.oid
        and a.attnum OPERATOR(pg_catalog.>) 0 and not a.attisdropped where r.i ${eq} f.i`)}
      ${partTrees(`x.casttarget ${eq} part.oid and x.castcontext OPERATOR(pg_catalog.<>) 'e'`)}) as written(tree)
    union all
    select p.partexprs::pg_catalog.text from down r join pg_catalog.pg_partitioned_table p on p.partrelid ${eq} r.oid where r.i ${eq} f.i
    union all
    select pg_catalog.concat(x.indexprs::pg_catalog.text, ' ', x.indpred::pg_catalog.text) from down r
      join pg_catalog.pg_index x on x.indrelid ${eq} r.oid where r.i ${eq} f.i
    union all
    select g.tgqual::pg_catalog.text from down r join pg_catalog.pg_trigger g on g.tgrelid ${eq} r.oid and g.tgqual is not null where r.i ${eq} f.i`)},
  'partitioning', pg_catalog.json_build_array(${partitionKeys(`select r.oid from reach r where r.i ${eq} f.i and r.how ${eq} 'p'`)},
    ${partitionKeys(`select d.oid from down d where d.i ${eq} f.i`)}),
  'policyColumns', case when c.relrowsecurity then (select pg_catalog.json_agg(distinct a.attname)
    from pg_catalog.pg_policy q join pg_catalog.pg_depend d on d.classid ${eq} 3256::pg_catalog.oid and d.objid ${eq} q.oid
      and d.refclassid ${eq} 1259::pg_catalog.oid and d.refobjid ${eq} c.oid and d.deptype ${eq} 'n'
    join pg_catalog.pg_attribute a on a.attrelid ${eq} c.oid and a.attnum OPERATOR(pg_catalog.>) 0 and not a.attisdropped
      and (d.refobjsubid ${eq} 0 or a.attnum::pg_catalog.int4 ${eq} d.refobjsubid)
    where q.polrelid ${eq} c.oid and q.polqual is not null) end,
  'uniques', (select pg_catalog.json_agg(pg_catalog.json_build_array(ic.relname, pg_catalog.concat(bn.nspname, '.', b.relname),
      (select pg_catalog.json_agg(a.attname order by a.attnum) from pg_catalog.pg_attribute a where a.attrelid ${eq} x.indrelid and (a.attnum ${eq} any (x.indkey)
        or exists (select from pg_catalog.pg_depend d where d.classid ${eq} 1259::pg_catalog.oid and d.objid ${eq} x.indexrelid
          and d.refclassid ${eq} 1259::pg_catalog.oid and d.refobjid ${eq} x.indrelid and d.refobjsubid ${eq} a.attnum::pg_catalog.int4)))) order by ic.relname)
    from down r join pg_catalog.pg_index x on x.indrelid ${eq} r.oid and (x.indisunique or x.indisexclusion)
    join pg_catalog.pg_class ic on ic.oid ${eq} x.indexrelid join pg_catalog.pg_class b on b.oid ${eq} x.indrelid
    join pg_catalog.pg_namespace bn on bn.oid ${eq} b.relnamespace where r.i ${eq} f.i),
  'triggers', (select pg_catalog.json_agg(distinct pg_catalog.jsonb_build_array(g.tgname, g.tgtype, ${functionName('gf', 'gn')},
      pg_catalog.concat(bn.nspname, '.', b.relname)))
    from down r join pg_catalog.pg_trigger g on g.tgrelid ${eq} r.oid and not g.tgisinternal and g.tgenabled OPERATOR(pg_catalog.<>) 'D'
    join pg_catalog.pg_proc gf on gf.oid ${eq} g.tgfoid join pg_catalog.pg_namespace gn on gn.oid ${eq} gf.pronamespace
    join pg_catalog.pg_class b on b.oid ${eq} r.oid join pg_catalog.pg_namespace bn on bn.oid ${eq} b.relnamespace where r.i ${eq} f.i),
  'rules', (select pg_catalog.json_agg(pg_catalog.json_build_array(w.ev_type, w.rulename, pg_catalog.concat(bn.nspname, '.', b.relname)) order by w.rulename)
    from down r join pg_catalog.pg_rewrite w on w.ev_class ${eq} r.oid and w.ev_type OPERATOR(pg_catalog.<>) '1' and w.ev_enabled OPERATOR(pg_catalog.<>) 'D'
    join pg_catalog.pg_class b on b.oid ${eq} r.oid join pg_catalog.pg_namespace bn on bn.oid ${eq} b.relnamespace where r.i ${eq} f.i),
  'cascades', (select pg_catalog.json_agg(distinct pg_catalog.jsonb_build_array(pg_catalog.concat(bn.nspname, '.', b.relname), b.relkind,
      x.start, x.event, pg_catalog.concat(vn.nspname, '.', v.relname),
      x.changed,
      (select pg_catalog.jsonb_agg(distinct ${functionName('gf', 'gn')}) from pg_catalog.pg_trigger g
        join pg_catalog.pg_proc gf on gf.oid ${eq} g.tgfoid join pg_catalog.pg_namespace gn on gn.oid ${eq} gf.pronamespace
        where g.tgrelid ${eq} x.oid and not g.tgisinternal and g.tgenabled OPERATOR(pg_catalog.<>) 'D' and
          (g.tgtype OPERATOR(pg_catalog.&) case x.event when 'd' then 8 when 'u' then 16 else 32 end) OPERATOR(pg_catalog.<>) 0),
      case x.event when 'u' then ${functionsIn(`
        select d.adbin::pg_catalog.text from pg_catalog.pg_attrdef d where d.adrelid ${eq} x.oid
        union all
        select y.conbin::pg_catalog.text from pg_catalog.pg_constraint y where y.conrelid ${eq} x.oid and y.conbin is not null
        union all
        select pg_catalog.concat(y.indexprs::pg_catalog.text, ' ', y.indpred::pg_catalog.text) from pg_catalog.pg_index y where y.indrelid ${eq} x.oid`)} end,
      exists (select from pg_catalog.pg_rewrite w where w.ev_class ${eq} x.oid and w.ev_enabled OPERATOR(pg_catalog.<>) 'D' and
        w.ev_type ${eq} case x.event when 'd' then '4'::pg_catalog."char" when 'u' then '2'::pg_catalog."char" end),
      case when x.start OPERATOR(pg_catalog.<>) 't' then (
        select pg_catalog.jsonb_agg(distinct pg_catalog.concat(kn.nspname, '.', kr.relname, '.', a.attname)) from pg_catalog.pg_constraint k
        join pg_catalog.pg_attribute a on a.attrelid ${eq} any (array[k.conrelid, k.confrelid]) and
          (a.attrelid ${eq} k.conrelid and a.attnum ${eq} any (k.conkey) or a.attrelid ${eq} k.confrelid and a.attnum ${eq} any (k.confkey))
        join pg_catalog.pg_class kr on kr.oid ${eq} a.attrelid join pg_catalog.pg_namespace kn on kn.oid ${eq} kr.relnamespace
        where k.contype ${eq} 'f' and k.conrelid ${eq} x.oid and k.confrelid ${eq} x.via) end))
    from cascading x join pg_catalog.pg_class b on b.oid ${eq} x.oid join pg_catalog.pg_namespace bn on bn.oid ${eq} b.relnamespace
    join pg_catalog.pg_class v on v.oid ${eq} x.via join pg_catalog.pg_namespace vn on vn.oid ${eq} v.relnamespace where x.i ${eq} f.i)
  )::pg_catalog.text
from found f join pg_catalog.pg_class c on c.oid ${eq} f.oid join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace`;

/**
 * A value of a type of the server's own may become one of this type, which is not, without a cast that the statement says: of a
 * domain it may always, as far as its base type goes; of an array where an element may.
 */
const isReached = (type: string): string => `${type} OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid and exists (
      select from pg_catalog.pg_type z left join pg_catalog.pg_type e on e.oid ${eq} z.typelem
      where z.oid ${eq} ${type} and (z.typtype ${eq} 'd' or e.typtype ${eq} 'd' or exists (
        select from pg_catalog.pg_cast x where (x.casttarget ${eq} z.oid or x.casttarget ${eq} e.oid) and x.castcontext ${eq} 'i'
          and x.castsource OPERATOR(pg_catalog.<) 16384::pg_catalog.oid)))`;

/** What a function takes: types; which of these are reached; whether one of somebody's own goes before text where a literal stands. */
const argumentsOf = (fn: string): string => {
  const each = (what: string, more = ''): string =>
    `(select ${what} from pg_catalog.unnest(${fn}.proargtypes::pg_catalog.oid[]) with ordinality as a(type, ord)${more})`;
  const made = `${fn}.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid`;
  return `${each('pg_catalog.json_agg(a.type::pg_catalog.int8 order by a.ord)')},
    case when ${made} then ${each(`pg_catalog.json_agg(${isReached('a.type')} order by a.ord)`)} end,
    ${made} and exists ${each('', ` join pg_catalog.pg_type z on z.oid ${eq} a.type and z.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid and z.typispreferred`)}`;
};

/**
 * The body of a function in SQL (language 14) that is looked into: it only reads, as whoever calls it and along the session's
 * search_path; nothing runs beside it to make up for arguments. Without its text where somebody is changing it, or has since the
 * transaction's snapshot was taken: the server runs the function as it is when it comes to it.
 */
const bodyOf = (
  fn: string,
): string => `case when ${fn}.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid and ${fn}.prolang ${eq} 14::pg_catalog.oid
      and ${fn}.prokind ${eq} 'f' and ${fn}.provolatile OPERATOR(pg_catalog.<>) 'v' and not ${fn}.prosecdef and ${fn}.proconfig is null
      and ${fn}.pronargdefaults ${eq} 0 and ${fn}.provariadic ${eq} 0::pg_catalog.oid and ${fn}.proargmodes is null then (
    select pg_catalog.json_build_array(case when pg_catalog.length(b.text) OPERATOR(pg_catalog.<=) ${definition_chars_max} and not b.changed then b.text end, b.is_tree, ${fn}.proargnames, b.changed)
    from (select coalesce(t.text, ${fn}.prosrc), t.text is not null, ${changing(fn)} OPERATOR(pg_catalog.<>) '' from (select pg_catalog.pg_get_function_sqlbody(${fn}.oid)) as t(text)) as b(text, is_tree, changed)) end`;

/** Of what is no part of the server: what tells that it is still the row that was read. */
const madeStamp = (row: string): string =>
  `case when ${row}.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid then ${stampOf(row)} end`;

const functionRows = (
  first: number,
): string => `select 'function', w.i, pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, f.proname, f.prokind, f.pronargs, f.pronargdefaults,
    f.provariadic OPERATOR(pg_catalog.<>) 0::pg_catalog.oid, f.prorettype::pg_catalog.int8, f.proretset, ${ownerOf('f')},
    ${argumentsOf('f')}, ${bodyOf('f')}, ${madeStamp('f')}) order by p.ord, f.oid)::pg_catalog.text
  from (${wanted(first)}) w
  join pg_catalog.pg_proc f on f.proname ${eq} w.n
  join pg_catalog.pg_namespace n on n.oid ${eq} f.pronamespace
  left join path p on p.name ${eq} n.nspname
  where ${looked} group by w.i`;

const operatorRows = (
  first: number,
): string => `select 'operator', w.i, pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, o.oprleft::pg_catalog.int8, o.oprright::pg_catalog.int8,
    ${functionName('f', 'fn')}, ${isReached('o.oprleft')}, ${isReached('o.oprright')}, ${madeStamp('o')}) order by p.ord, o.oid)::pg_catalog.text
  from (${wanted(first)}) w
  join pg_catalog.pg_operator o on o.oprname ${eq} w.n
  join pg_catalog.pg_namespace n on n.oid ${eq} o.oprnamespace
  join pg_catalog.pg_proc f on f.oid ${eq} o.oprcode::pg_catalog.oid
  join pg_catalog.pg_namespace fn on fn.oid ${eq} f.pronamespace
  left join path p on p.name ${eq} n.nspname
  where ${looked} group by w.i`;

/** [relation, kind, column] of the columns whose values are, or have in them, values of a type. */
const columnsHolding = (type: string): string => `(with recursive whole(oid) as (
      select ${type}
      union
      select x.oid from whole y, lateral (
        select z.oid from pg_catalog.pg_type z where z.typbasetype ${eq} y.oid or z.typelem ${eq} y.oid
        union all select g.rngtypid from pg_catalog.pg_range g where g.rngsubtype ${eq} y.oid
        union all select g.rngmultitypid from pg_catalog.pg_range g where g.rngtypid ${eq} y.oid
        union all select c.reltype from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid ${eq} a.attrelid
          where a.atttypid ${eq} y.oid and c.reltype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid) as x(oid))
    select pg_catalog.json_agg(pg_catalog.json_build_array(pg_catalog.concat(h.nspname, '.', h.relname), h.relkind, h.attname))
    from (select n.nspname, c.relname, c.relkind, a.attname from whole w join pg_catalog.pg_attribute a on a.atttypid ${eq} w.oid and not a.attisdropped
        join pg_catalog.pg_class c on c.oid ${eq} a.attrelid and (c.relkind ${eq} 'r' or c.relkind ${eq} 'p' or c.relkind ${eq} 'm' or c.relkind ${eq} 'f')
        join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace
      order by 1, 2, 4 limit ${domain_columns_max + 1}) as h)`;

const typeRows = (
  first: number,
): string => `select 'type', t.i, pg_catalog.json_build_array(t.nspname, t.typname, t.typtype, t.oid::pg_catalog.int8, ${functionsIn(`
      ${partsOf('select t.oid')}
      ${partTrees(`x.castsource ${eq} part.oid or x.casttarget ${eq} part.oid`)}
      union all
      select pg_catalog.concat(':funcid ', f.oid) from (${comparing}) as r(fn) join pg_catalog.pg_proc f on f.oid ${eq} r.fn and ${isWritten('f')}
      union all
      select pg_catalog.concat(':funcid ', z.typinput::pg_catalog.oid) from part join pg_catalog.pg_type z on z.oid ${eq} part.oid
        where z.oid OPERATOR(pg_catalog.<>) t.oid and z.typinput::pg_catalog.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid`)},
    case when t.typtype ${eq} 'b' and t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid then (
      select pg_catalog.jsonb_agg(distinct ${functionName('f', 'fn')}) from pg_catalog.pg_type z
      join pg_catalog.pg_proc f on f.oid ${eq} z.typinput::pg_catalog.oid or f.oid ${eq} z.typoutput::pg_catalog.oid or f.oid ${eq} z.typmodin::pg_catalog.oid
      join pg_catalog.pg_namespace fn on fn.oid ${eq} f.pronamespace where z.oid ${eq} t.oid) end,
    case when t.typtype ${eq} 'd' and t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid then ${columnsHolding('t.oid')} end,
    (select pg_catalog.string_agg(${stampOf('z')}, ',' order by z.oid) from (values (t.s)) as w(s)
      join pg_catalog.pg_type z on z.typname ${eq} t.typname and z.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
      join pg_catalog.pg_namespace n on n.oid ${eq} z.typnamespace left join path p on p.name ${eq} n.nspname where ${looked}))::pg_catalog.text
  from (select distinct on (w.i) w.i, w.s, t.oid, t.typname, t.typtype, n.nspname
    from (${wanted(first)}) w
    join pg_catalog.pg_type t on t.typname ${eq} w.n
    join pg_catalog.pg_namespace n on n.oid ${eq} t.typnamespace
    left join path p on p.name ${eq} n.nspname
    where ${looked} order by w.i, p.ord) t`;

const built = new Map<string, string>();

/** The read for these kinds of names, each with a pair of parameters in this order; the path always comes with it. `full`: of relations, all that
 * reading and writing them reaches. */
export function catalogQuery(kinds: readonly ('relation' | 'function' | 'operator' | 'type')[], full: boolean): string {
  const key = `${kinds.join()} ${full}`;
  let query = built.get(key);
  if (query === undefined) {
    let tables = path;
    const rows = [pathRow];
    kinds.forEach((kind, index) => {
      const first = index * 2 + 1;
      if (kind === 'relation') {
        tables += full ? relationTables(first) : plainRelationTables(first);
        rows.push(full ? relationRows : plainRelationRows);
      } else if (kind === 'function') rows.push(functionRows(first));
      else if (kind === 'operator') rows.push(operatorRows(first));
      else rows.push(typeRows(first));
    });
    query = `with recursive ${tables}\n${rows.join('\nunion all\n')}`;
    built.set(key, query);
  }
  return query;
}
