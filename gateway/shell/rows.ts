import type { Access, Action } from '#engine';
import Type, { type Static, type TSchema } from 'typebox';
import Value from 'typebox/value';
import { own } from './own.js';

/** The rows of programs.yaml: their shape, and what has to hold between their fields. */

const closed = { additionalProperties: false } as const;
export const enumOf = <T extends string>(values: readonly T[]) => Type.Unsafe<T>({ type: 'string', enum: [...values] });

export const abilities = ['read', 'write', 'run', 'network', 'privilege'] as const;
export type Ability = (typeof abilities)[number];

/** A regular expression, which is tried on one word. */
const Pattern = Type.String({ minLength: 1, maxLength: 1024 });
export const Abilities = Type.Array(enumOf(abilities), { uniqueItems: true, maxItems: abilities.length });
export const Otherwise = Type.Optional(Type.String({ minLength: 1, maxLength: 200 }));
const common = { can: Abilities, otherwise: Otherwise };
/** Of forms that are told which words may not be there. */
const reading = {
  refuses: Type.Optional(Type.Array(Pattern, { minItems: 1, maxItems: 16 })),
  operands_max: Type.Optional(Type.Integer({ minimum: 0 })),
  words_min: Type.Optional(Type.Integer({ minimum: 1 })),
  recursive: Type.Optional(Pattern),
  calculates: Type.Optional(Type.Boolean()),
  pager: Type.Optional(Type.Boolean()),
};

const Files = Type.Object({ ...common, words: enumOf(['files', 'names', 'paths']), ...reading }, closed);
const Text = Type.Object({ ...common, words: enumOf(['text']), only: Type.Optional(Pattern), ...reading }, closed);
const Changed = Type.Object(
  {
    ...common,
    words: enumOf(['changed']),
    does: enumOf(['write', 'delete', 'administer'] satisfies Action[]),
    access: enumOf(['insert', 'update', 'delete', 'administer'] satisfies Access[]),
    before: Type.Optional(enumOf(['read', 'delete'] satisfies Access[])),
    options: Pattern,
    recursive: Type.Optional(Pattern),
  },
  closed,
);
const verbs = Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 64 }));
const Verb = Type.Object(
  {
    ...common,
    words: enumOf(['verb']),
    of: Type.String({ minLength: 1 }),
    verbs: Type.Object({ read: verbs, execute: verbs, administer: verbs }, closed),
    administers: Type.Optional(Pattern),
    before: Type.Optional(Pattern),
    options: Pattern,
    pager: Type.Optional(Type.Boolean()),
  },
  closed,
);
const Runs = Type.Object(
  {
    ...common,
    words: enumOf(['program']),
    options: Type.Optional(Pattern),
    valued: Type.Optional(Pattern),
    first: Type.Optional(Pattern),
    raises: Type.Optional(enumOf(['administer'] satisfies Action[])),
  },
  closed,
);
const Own = Type.Object({ ...common, words: enumOf(['own']) }, closed);
const Never = Type.Object(common, closed);

export type FilesRow = Static<typeof Files> | Static<typeof Text>;
export type ChangedRow = Static<typeof Changed>;
export type VerbRow = Static<typeof Verb>;
export type RunsRow = Static<typeof Runs>;
export type Row = FilesRow | ChangedRow | VerbRow | RunsRow | Static<typeof Own> | Static<typeof Never>;

const forms: Readonly<Record<string, TSchema>> = {
  ...{ files: Files, names: Files, paths: Files, text: Text, changed: Changed, verb: Verb, program: Runs, own: Own },
};

/** What is wrong with a row, and which of its fields it is; empty: the row itself. */
export interface Fault {
  readonly path: readonly string[];
  readonly message: string;
}

/** What is wrong with a row; nothing where it is one. */
export function faultsOf(name: string, row: unknown): readonly Fault[] {
  if (!isProgramName(name)) return [{ path: [], message: 'is no name of a program' }];
  const form = wordsOf(row);
  if (form !== undefined && (typeof form !== 'string' || !Object.hasOwn(forms, form)))
    return [{ path: ['words'], message: `must be one of ${Object.keys(forms).join(', ')}, or absent` }];
  const schema = form === undefined ? Never : forms[form]!;
  const faults = schemaFaults(schema, row, form === undefined ? 'a row without words' : `words: ${form}`);
  return faults.length > 0 ? faults : [...patternFaults(row as Row), ...contradictions(name, row as Row)];
}

export const isProgramName = (name: string): boolean => /^(?:[\w.+-]{1,64}|:|\[)$/u.test(name);

/** Where a value has not the shape; `what` is what it should have been. */
export function schemaFaults(schema: TSchema, value: unknown, what: string): readonly Fault[] {
  return Value.Errors(schema, value).flatMap(({ keyword, instancePath, message, params }) => {
    // Of a field too many it says as much twice; of one that is missing it names the row.
    if (keyword === 'boolean') return [];
    const path = instancePath.split('/').slice(1);
    const extra = (params as { additionalProperties?: readonly string[] }).additionalProperties;
    if (extra !== undefined)
      return extra.map((field) => ({
        path: [...path, field],
        message: `is no field of ${what}`,
      }));
    const allowed = (params as { allowedValues?: readonly string[] }).allowedValues;
    return [{ path, message: allowed === undefined ? message : `must be one of ${allowed.join(', ')}` }];
  });
}

const wordsOf = (row: unknown): unknown =>
  typeof row === 'object' && row !== null ? (row as { words?: unknown }).words : undefined;

const patternFields = ['administers', 'only', 'refuses', 'recursive', 'before', 'options', 'valued', 'first'] as const;

/** Patterns that are none. */
function patternFaults(row: Row): Fault[] {
  return patternFields.flatMap((field) => {
    // Of files that change, `before` is an access.
    if (field === 'before' && 'words' in row && row.words === 'changed') return [];
    const given = (row as Readonly<Record<string, string | readonly string[] | undefined>>)[field];
    const all = typeof given === 'string' ? [given] : (given ?? []);
    return all.flatMap((pattern) => {
      try {
        new RegExp(pattern, 'u');
        return [];
      } catch (error) {
        return [{ path: [field], message: `is no pattern: ${(error as Error).message}` }];
      }
    });
  });
}

/** A program whose words are read as something that it is not able to do. */
function contradictions(name: string, row: Row): Fault[] {
  const faults: Fault[] = [];
  const needs = (ability: Ability, why: string) => {
    if (!row.can.includes(ability)) faults.push({ path: ['can'], message: `lacks ${ability}, though ${why}` });
  };
  switch ('words' in row ? row.words : undefined) {
    case 'files':
    case 'names':
    case 'paths':
      needs('read', 'its words are files');
      break;
    case 'changed': {
      const { does, before } = row as ChangedRow;
      needs(does === 'administer' ? 'privilege' : 'write', `its words are files that it changes`);
      if (before === 'read') needs('read', 'it reads files before the last');
      break;
    }
    case 'verb': {
      const known = (row as VerbRow).verbs;
      if (known.read !== undefined) needs('read', 'some of its verbs read');
      if (known.execute !== undefined) needs('run', 'some of its verbs execute');
      if (known.administer !== undefined || (row as VerbRow).administers !== undefined)
        needs('privilege', 'some of its verbs administer');
      break;
    }
    case 'program':
      needs('run', 'its words are a program');
      if ((row as RunsRow).raises !== undefined) needs('privilege', 'it raises what it runs');
      break;
    case 'own':
      if (!Object.hasOwn(own, name)) faults.push({ path: ['words'], message: 'the code has no reading of its own' });
      break;
    default:
      break;
  }
  return faults;
}
