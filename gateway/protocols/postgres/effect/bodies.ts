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

/** Relations whose rows, or some of them, lie elsewhere: foreign tables, and what has one among its partitions or children. */
const elsewhere = `with recursive elsewhere(oid) as (
    select c.oid from pg_catalog.pg_class c where c.relkind ${eq} 'f'
    union select i.inhparent from pg_catalog.pg_inherits i join elsewhere on i.inhrelid ${eq} elsewhere.oid)`;

/** What words may mean: functions of that name, triggers of a relation of that name, and a relation that is elsewhere. */
const byWords = `${elsewhere} select 'function', pg_catalog.concat(n.nspname, '.', p.proname), p.provolatile
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid ${eq} p.pronamespace where p.proname ${any('$1')}
  union select 'function', pg_catalog.concat(n.nspname, '.', p.proname), p.provolatile
    from pg_catalog.pg_class c join pg_catalog.pg_trigger t on t.tgrelid ${eq} c.oid and not t.tgisinternal
    join pg_catalog.pg_proc p on p.oid ${eq} t.tgfoid join pg_catalog.pg_namespace n on n.oid ${eq} p.pronamespace
    where c.relname ${any('$1')}
  union select 'foreign', pg_catalog.concat(n.nspname, '.', c.relname), 'v'
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid ${eq} c.relnamespace
    where exists (select from elsewhere e where e.oid ${eq} c.oid) and c.relname ${any('$1')}`;

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

/** Quoted ones in their own case; of strings and comments too, which is a word too many at worst. */
function wordsOf(body: string): Set<string> {
  return new Set([
    ...(body.toLowerCase().match(/[\p{L}_][\p{L}\p{N}_$]*/gu) ?? []),
    ...[...body.matchAll(/"((?:[^"]|"")+)"/g)].map(([, quoted]) => quoted!.replaceAll('""', '"')),
  ]);
}

/** An array of texts, as its type reads it. */
export const array = (values: readonly string[]): string =>
  `{${values.map((value) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`;
