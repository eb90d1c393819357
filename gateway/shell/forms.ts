import { posix } from 'node:path';
import type { Access, Action } from '#engine';
import { own } from './own.js';
import { below, files, names, paged, paths, places, text, unknown, type Reader } from './reading.js';
import type { Ability, ChangedRow, FilesRow, Row, RunsRow, VerbRow } from './rows.js';

/** How the words of a program are read, by the row that it has in programs.yaml. */

export function readerOf(name: string, row: Row): Reader {
  switch ('words' in row ? row.words : undefined) {
    case 'files':
    case 'names':
    case 'paths':
    case 'text':
      return reading(row as FilesRow);
    case 'changed':
      return changes(row as ChangedRow);
    case 'verb':
      return verbs(row as VerbRow);
    case 'program':
      return runs(row as RunsRow);
    case 'own':
      return own[name]!;
    default:
      return () => unknown(row.otherwise === undefined ? unreadable(name, row.can) : `${name} ${row.otherwise}`);
  }
}

const inWords: Readonly<Record<Ability, string>> = {
  read: 'read files',
  write: 'write files',
  run: 'run or end other programs',
  network: 'use the network',
  privilege: 'change who may do what, or the machine',
};

/** Why nothing is known of a program of which it is known what it could do. */
function unreadable(name: string, can: readonly Ability[]): string {
  const said = can.map((ability) => inWords[ability]).join(', ');
  return `what ${name} does is not known${said === '' ? '' : `: it can ${said}`}`;
}

const pattern = (source: string) => new RegExp(source, 'u');

/** Reads, or tells, unless a word has it do more. Long options may be shortened: their first letters are compared. */
function reading(row: FilesRow): Reader {
  const reader = { files, names, paths, text }[row.words];
  const refuses = (row.refuses ?? []).map(pattern);
  const only = 'only' in row && row.only !== undefined ? pattern(row.only) : undefined;
  const recursive = row.recursive === undefined ? undefined : pattern(row.recursive);
  const otherwise =
    row.otherwise ??
    `{word} ${only !== undefined ? 'may do more than inform' : row.words === 'paths' ? 'does more than inform' : 'does more than read'}`;
  return (args, invocation) => {
    const { name } = invocation;
    // Some shells calculate with what they are given, and run what stands in it.
    if (row.calculates === true && args.some((arg) => /[$`]/u.test(arg)))
      return unknown(`${name} may run what stands in its arguments`);
    if (args.length < (row.words_min ?? 0)) return unknown(`${name} alone ${row.otherwise ?? 'does more than inform'}`);
    // Its own input (-) is the first of two files as any other is.
    const spare = row.operands_max === undefined ? undefined : places(args)[row.operands_max];
    const other =
      args.find((arg) => refuses.some((one) => one.test(arg)) || (only !== undefined && !only.test(arg))) ?? spare;
    if (other !== undefined) return unknown(`${name} ${otherwise.replace('{word}', () => other)}`);
    const effect = through(recursive, reader)(args, invocation);
    return row.pager === true ? paged(effect, args, invocation) : effect;
  };
}

/** With such an option it goes through folders: everything below its operands is meant. */
const through =
  (recursive: RegExp | undefined, reader: Reader): Reader =>
  (args, invocation) => {
    const effect = reader(args, invocation);
    return recursive !== undefined && args.some((arg) => recursive.test(arg))
      ? { ...effect, files: below(effect.files) }
      : effect;
  };

/** Changes files: these options, and the operands. */
function changes(row: ChangedRow): Reader {
  const allowed = pattern(row.options);
  const { does, access, before = access } = row;
  return through(row.recursive === undefined ? undefined : pattern(row.recursive), (args, { name }) => {
    const other = args.find((arg) => arg.startsWith('-') && arg !== '--' && !allowed.test(arg));
    if (other !== undefined) return unknown(`what ${name} ${other} does is not known`);
    const all = places(args).filter((path) => path !== '');
    const last = all.length - 1;
    const changed = all.map((path, index) => ({ path, access: index < last ? before : access }));
    if (row.before === undefined) return { action: does, files: changed };
    // The last may be a folder, in which each keeps its name; there is none where one stands alone.
    const folder = last > 0 ? all[last]!.replace(/\/+$/u, '') : '.';
    const sources = last > 0 ? all.slice(0, -1) : all;
    const within = sources.map((path) => ({ path: `${folder}/${posix.basename(path)}`, access }));
    const alone = last === 0 ? [{ path: all[0]!, access: before }] : [];
    return { action: does, files: [...changed, ...alone, ...within] };
  });
}

/** A program whose first words are a verb. */
function verbs(row: VerbRow): Reader {
  const known = new Map<string, Action>();
  for (const action of ['read', 'execute', 'administer'] as const)
    for (const verb of row.verbs[action] ?? []) known.set(verb, action);
  const before = row.before === undefined ? undefined : pattern(row.before);
  const administers = row.administers === undefined ? undefined : pattern(row.administers);
  const options = pattern(row.options);
  return (args, invocation) => {
    const { name } = invocation;
    const at = args.findIndex((arg) => before?.test(arg) !== true);
    const verb = at === -1 ? '' : args[at]!;
    const said = known.get(verb);
    if (said === undefined) return unknown(`what ${name} ${verb} does is not known`);
    const rest = args.slice(at + 1);
    const more = said === 'execute' && rest.some((arg) => administers?.test(arg) === true);
    const action = more ? 'administer' : said;
    const other = rest.find((arg) => arg.startsWith('-') && !options.test(arg));
    if (other !== undefined) return unknown(`what ${name} ${verb} ${other} does is not known`);
    const access: Access = action === 'read' ? 'read' : action === 'administer' ? 'administer' : 'execute';
    const others = rest.filter((arg) => !arg.startsWith('-')).map((each) => ({ type: row.of, name: each, access }));
    const effect = { action, files: [], others };
    return row.pager === true ? paged(effect, args, invocation) : effect;
  };
}

/** Runs another program, which is what counts. */
function runs(row: RunsRow): Reader {
  const options = row.options === undefined ? undefined : pattern(row.options);
  const valued = row.valued === undefined ? undefined : pattern(row.valued);
  const first = row.first === undefined ? undefined : pattern(row.first);
  return (args, { name, runs: run }) => {
    let at = 0;
    while (at < args.length && args[at]!.startsWith('-')) {
      if (valued?.test(args[at]!) === true) at += 2;
      else if (options?.test(args[at]!) === true) at += 1;
      else return unknown(`what ${name} would run is not known`);
    }
    if (first !== undefined && !first.test(args[at++] ?? '')) return unknown(`what ${name} would run is not known`);
    if (at >= args.length) return unknown(`what ${name} would run is not known`);
    const inner = run(args.slice(at));
    return row.raises === undefined ? inner : { ...inner, action: row.raises };
  };
}
