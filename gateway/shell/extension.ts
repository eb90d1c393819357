import Type, { type Static } from 'typebox';
import Value from 'typebox/value';
import { readerOf } from './forms.js';
import { unknown, type Reader } from './reading.js';
import { Abilities, enumOf, isProgramName, Otherwise, schemaFaults, type Fault, type Row } from './rows.js';
import { builtIn, type Program, type Programs } from './table.js';

/**
 * Programs that a policy repository knows (`data.programs`): of its own, and those built in, which it may only tighten. No
 * patterns: options are written out, and every word with a hyphen in front that is not among them makes it opaque.
 */

const closed = { additionalProperties: false } as const;
const names_max = 1024;
const Options = Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 256, uniqueItems: true });

/** A program that is not built in. Without `words` it is never known from them. */
const Own = Type.Object(
  {
    can: Abilities,
    words: Type.Optional(enumOf(['files', 'names', 'paths', 'text'])),
    options: Type.Optional(Options),
    otherwise: Otherwise,
  },
  closed,
);
/** A program that is: with `options` these alone of those that are known, without it is never known. */
const Tighter = Type.Object(
  { can: Type.Optional(Abilities), options: Type.Optional(Options), otherwise: Otherwise },
  closed,
);
type Own = Static<typeof Own>;
type Tighter = Static<typeof Tighter>;

/** What is wrong with `data.programs`, each with the path below it; nothing where it can be used. */
export function programFaults(value: unknown): readonly Fault[] {
  if (!isRecord(value)) return [{ path: [], message: 'must map names of programs to what they do' }];
  const entries = Object.entries(value);
  if (entries.length > names_max) return [{ path: [], message: `has more than ${names_max} programs` }];
  return entries.flatMap(([name, row]) =>
    rowFaults(name, row).map(({ path, message }) => ({ path: [name, ...path], message })),
  );
}

function rowFaults(name: string, row: unknown): readonly Fault[] {
  if (!isProgramName(name)) return [{ path: [], message: 'is no name of a program' }];
  const known = builtIn.get(name);
  if (known !== undefined) return tighterFaults(name, known, row);
  const faults = schemaFaults(Own, row, 'a program of your own');
  if (faults.length > 0) return faults;
  const { can, words } = row as Own;
  const files = words !== undefined && words !== 'text';
  return files && !can.includes('read') ? [{ path: ['can'], message: 'lacks read, though its words are files' }] : [];
}

/** Nothing of what is built in may be taken back. */
function tighterFaults(name: string, { row: known }: Program, row: unknown): readonly Fault[] {
  if (isRecord(row) && 'words' in row)
    return [{ path: ['words'], message: `would loosen ${name}, which is built in: its words are read as they are` }];
  const faults = schemaFaults(Tighter, row, `${name}, which is built in`);
  if (faults.length > 0) return faults;
  const { can = known.can } = row as Tighter;
  const taken = known.can.filter((ability) => !can.includes(ability));
  return taken.length === 0
    ? []
    : [{ path: ['can'], message: `would loosen ${name}, which is built in: it can ${taken.join(', ')} as well` }];
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What of a policy's data this is. */
export const programsData = 'programs';

/** One table for each list of documents: a revision keeps its own, and sessions ask with every command. */
const tables = new WeakMap<readonly unknown[], Programs>();

/**
 * What is known under a policy. `documents`: the `data.programs` of its layers in their order, undefined where one has none.
 * The first may add; all others stand upon it, and only tighten. What is wrong in one makes its program unknown.
 */
export function programsOf(documents: readonly unknown[]): Programs {
  if (documents.every((document) => document === undefined)) return builtIn;
  const made = tables.get(documents);
  if (made !== undefined) return made;
  const table = new Map(builtIn);
  for (const [layer, document] of documents.entries()) {
    if (!isRecord(document)) continue;
    for (const [name, row] of Object.entries(document)) {
      const known = table.get(name);
      if (known !== undefined) table.set(name, tightened(name, known, row));
      else if (layer === 0 && rowFaults(name, row).length === 0) table.set(name, own(name, row as Own));
    }
  }
  tables.set(documents, table);
  return table;
}

function own(name: string, { can, words, options = [], otherwise }: Own): Program {
  const said = otherwise === undefined ? {} : { otherwise };
  const row: Row = words === undefined ? { can, ...said } : { can, words, ...said };
  const reader = readerOf(name, row);
  return { row, reader: words === undefined ? reader : narrowed(reader, options) };
}

/** At most what was known before, whatever the row says. */
function tightened(name: string, { row, reader }: Program, by: unknown): Program {
  const {
    can = row.can,
    otherwise,
    options,
  } = Value.Check(Tighter, by) ? by : Value.Check(Own, by) ? by : ({} as Tighter);
  const all = [...new Set([...row.can, ...can])];
  if (options !== undefined) return { row, reader: narrowed(reader, options) };
  const never: Row = { can: all, ...(otherwise === undefined ? {} : { otherwise }) };
  return { row: never, reader: readerOf(name, never) };
}

const narrowed =
  (reader: Reader, options: readonly string[]): Reader =>
  (args, invocation) => {
    const other = args.find((arg) => arg.startsWith('-') && !options.includes(arg));
    return other === undefined
      ? reader(args, invocation)
      : unknown(`what ${invocation.name} ${other} does is not known to the policy`);
  };
