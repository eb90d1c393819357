import { isKnown, special } from '../sql/functions.js';
import type { Ask, Template } from '../judging/statement.js';

/**
 * Whether a statement may be run to be undone: what a rollback does not take back must not have happened. Its own text is known by the
 * time; what triggers and functions do behind it is looked for in their bodies, from one to the next, by the words in them. A word
 * too many is a preview too few; what builds its SQL while it runs, or is written in another language, is not looked into at all.
 */

const kinds: ReadonlySet<string> = new Set(['select', 'values', 'insert', 'update', 'delete', 'merge']);

/** What makes a statement opaque and is looked into here: functions of somebody's own, and built-ins that no list knows. */
const bodyUnknown = /^(?:the body of function (\S+)|.* runs (\S+)\(\), whose body) is not known$/;

/** A rollback takes back what these do, or they do nothing: settings are the transaction's, notifications go out at COMMIT. */
const undone: ReadonlySet<string> = new Set(
  `nextval currval lastval set_config current_setting pg_notify suppress_redundant_updates_trigger tsvector_update_trigger
    tsvector_update_trigger_column`.split(/\s+/),
);

/** How many functions are followed, and how many words of their bodies are looked for. */
const functions_max = 200;
const words_max = 5_000;

const eq = 'operator(pg_catalog.=)';
const any = (parameter: string) => `${eq} any (${parameter}::pg_catalog.text[]::pg_catalog.name[])`;

/** Functions by their qualified names: language, and body, which for SQL may be stored as a tree. */
const byName = `select pg_catalog.concat(n.nspname, '.', p.proname), l.lanname, p.provolatile,
    coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid ${eq} p.pronamespace
  join pg_catalog.pg_language l on l.oid ${eq} p.prolang
  where p.proname ${any('$1')} and pg_catalog.concat(n.nspname, '.', p.proname) ${eq} any ($2::pg_catalog.text[])`;

const classOf = (catalog: string) => `'pg_catalog.${catalog}'::pg_catalog.regclass::pg_catalog.oid`;

/**
 * Relations that words may mean, and what is read or written with them: partitions and children, what views and rules are made of,
 * what keys lead here.
 */
const touched = `with recursive leads(origin, target) as (
    select i.inhparent, i.inhrelid from pg_catalog.pg_inherits i
    union all select k.confrelid, k.conrelid from pg_catalog.pg_constraint k where k.contype ${eq} 'f'
    union all select r.ev_class, d.refobjid from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid ${eq} r.oid
      and d.classid ${eq} ${classOf('pg_rewrite')} and d.refclassid ${eq} ${classOf('pg_class')}),
  touched(named, oid) as (
    select c.oid, c.oid from pg_catalog.pg_class c where c.relname ${any('$1')}
    union select t.named, l.target from touched t join leads l on l.origin ${eq} t.oid),
  owned(relation, class, id) as (
    select r.ev_class, ${classOf('pg_rewrite')}, r.oid from pg_catalog.pg_rewrite r
    union all select a.adrelid, ${classOf('pg_attrdef')}, a.oid from pg_catalog.pg_attrdef a
    union all select k.conrelid, ${classOf('pg_constraint')}, k.oid from pg_catalog.pg_constraint k
    union all select p.polrelid, ${classOf('pg_policy')}, p.oid from pg_catalog.pg_policy p)`;

/** Volatile is every function that somebody wrote: what they say of it keeps it from nothing. C (13) and internal ones (12) are as they say. */
const named = `pg_catalog.concat(n.nspname, '.', p.proname),
    case when p.prolang operator(pg_catalog.<=) 13 or n.nspname ${eq} 'pg_catalog' then p.provolatile else 'v' end`;

/** What words may mean: functions of that name, triggers, rules and defaults of a relation of that name, and a relation that is elsewhere. */
const byWords = `${touched} select 'function', ${named}
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid ${eq} p.pronamespace where p.proname ${any('$1')}
  union select 'function', ${named}
    from touched c join pg_catalog.pg_trigger t on t.tgrelid ${eq} c.oid and not t.tgisinternal
    join pg_catalog.pg_proc p on p.oid ${eq} t.tgfoid join pg_catalog.pg_namespace n on n.oid ${eq} p.pronamespace
  union select 'function', ${named}
    from touched c join owned o on o.relation ${eq} c.oid
    join pg_catalog.pg_depend d on d.classid ${eq} o.class and d.objid ${eq} o.id and d.refclassid ${eq} ${classOf('pg_proc')}
    join pg_catalog.pg_proc p on p.oid ${eq} d.refobjid join pg_catalog.pg_namespace n on n.oid ${eq} p.pronamespace
  union select 'foreign', pg_catalog.concat(n.nspname, '.', c.relname), 'v'
    from touched t join pg_catalog.pg_class f on f.oid ${eq} t.oid and f.relkind ${eq} 'f'
    join pg_catalog.pg_class c on c.oid ${eq} t.named join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace`;

/** Why it must not be run ahead of its answer, for people; undefined where nothing is known against it. */
export async function unsafe(template: Template, ask: Ask): Promise<string | undefined> {
  if (template.action !== 'write' && template.action !== 'delete') return 'it is no INSERT, UPDATE, DELETE or MERGE';
  const found = new Set<string>();
  for (const { facts, control } of template.statements) {
    if (control.kind !== 'none') return `${control.kind.toUpperCase().replaceAll('_', ' ')} cannot be run to be undone`;
    if (!kinds.has(facts.kind)) return `${facts.kind.toUpperCase().replaceAll('_', ' ')} cannot be run to be undone`;
    // With them their partitions and children.
    const away = facts.relations.find(({ type, access }) => type === 'foreign_table' && access !== 'read');
    if (away !== undefined) return liesElsewhere(away.name);
    for (const because of facts.because ?? []) {
      const [, named, hidden] = bodyUnknown.exec(because) ?? [];
      if (named === undefined && hidden === undefined) return because;
      found.add(named ?? hidden ?? '');
    }
    for (const name of facts.functions) found.add(name);
  }
  return follow(
    [...found].filter((name) => !isKnown(name)),
    ask,
  );
}

const liesElsewhere = (name: string | null | undefined): string =>
  `${name ?? ''} lies in another database, or a part of it does, and what is written there may know no going back`;

async function follow(first: readonly string[], ask: Ask): Promise<string | undefined> {
  const seen = new Set<string>();
  let next = first;
  while (next.length > 0) {
    for (const name of next) {
      const reason = builtIn(name);
      if (reason !== undefined) return reason;
      seen.add(name);
    }
    if (seen.size > functions_max) return 'more functions may run behind it than are looked into';
    const own = next.filter((name) => !name.startsWith('pg_catalog.'));
    if (own.length === 0) return undefined;
    const bodies = await ask(byName, [array(own.map((name) => name.slice(name.indexOf('.') + 1))), array(own)]);
    const words = new Set<string>();
    for (const [name, language, , body] of bodies) {
      if (language !== 'sql' && language !== 'plpgsql')
        return `${name ?? ''}() is written in ${language ?? ''}: what it does is not looked into`;
      for (const word of wordsOf(body ?? '')) words.add(word);
      const what = building.find((word) => wordsOf(body ?? '').has(word));
      if (what !== undefined) return `${name ?? ''}() has ${what.toUpperCase()} in it: what it runs is not known`;
      if (/u&"/i.test(body ?? '')) return `${name ?? ''}() has U&"…" in it: names in escapes are not read`;
    }
    if (words.size > words_max) return 'the functions behind it are longer than is looked into';
    const after = new Set<string>();
    for (const [kind, name, volatile] of await ask(byWords, [array([...words])])) {
      if (kind === 'foreign') return liesElsewhere(name);
      if (volatile === 'v' && name !== null && name !== undefined && !isKnown(name) && !seen.has(name)) after.add(name);
    }
    next = [...after];
  }
  return undefined;
}

/** EXECUTE runs a string; COPY reaches files and programs. */
const building = ['execute', 'copy'];

function builtIn(name: string): string | undefined {
  if (!name.startsWith('pg_catalog.')) return undefined;
  const short = name.slice('pg_catalog.'.length);
  if (undone.has(short) || (isKnown(name) && !special.has(short))) return undefined;
  return `${short}() may do what a rollback does not take back`;
}

const word = /[a-z_\u0080-\u{10ffff}][a-z0-9_$\u0080-\u{10ffff}]*/gu;
/** Behind every quote, as which of them begin a name is not known: one may stand in a comment. No name has more characters. */
const quotedWord = /"(?=((?:[^"]|""){1,64}))/gu;

/** As the server folds them, letters beyond ASCII or not; quoted ones in their own case; of strings and comments too, which is a word too many at worst. */
function wordsOf(body: string): Set<string> {
  return new Set([
    ...(body.toLowerCase().match(word) ?? []),
    ...(body.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()).match(word) ?? []),
    ...[...body.matchAll(quotedWord)].map(([, quoted]) => quoted!.replaceAll('""', '"')),
  ]);
}

/** An array of texts, as its type reads it. */
export const array = (values: readonly string[]): string =>
  `{${values.map((value) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`;
