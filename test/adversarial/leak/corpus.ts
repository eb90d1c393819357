import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Value } from '../../support/wire.js';

/** What stands in corpus/, and in utility/. */
export interface Case {
  readonly family: string;
  readonly name: string;
  /** One string per step; or what exchange.ts knows. A statement alone is tried in both protocols. */
  readonly steps: readonly Step[];
  readonly both: boolean;
  /** Results in binary, in the extended protocol. */
  readonly binary: boolean;
  readonly as: Role;
  readonly kind: 'read' | 'write';
  /** What a gateway should do: give masked data, refuse, or either of the two. */
  readonly expect: 'masked' | 'refused' | 'either';
  /** An error of the server's, over masked values, is an answer, too. */
  readonly errors: boolean;
  /** Start-up parameters. */
  readonly parameters: Readonly<Record<string, string>>;
  /** How long it takes is part of the answer. */
  readonly timed: boolean;
  /** Why the answer may differ where masked values differ; undefined where it may not. */
  readonly varies: string | undefined;
  /** Without any gateway it shows nothing: what it tries is something else, or needs what this server hasn't. */
  readonly silent: boolean;
}

export type Role = 'reader' | 'writer' | 'builder';

export type Step =
  | string
  | { readonly extended: string; readonly values?: readonly Value[]; readonly results?: readonly number[] }
  | { readonly pipeline: readonly string[] }
  | { readonly batches: readonly (readonly string[])[] }
  | { readonly queries: readonly string[] }
  | { readonly wire: readonly WireStep[] }
  | { readonly raw: string; readonly body: string };

export type WireStep = readonly [string, ...(string | number | null | readonly (Value | number)[])[]];

interface Given {
  readonly name?: string;
  readonly sql?: string;
  readonly steps?: readonly Step[];
  readonly binary?: boolean;
  readonly as?: Role;
  readonly kind?: 'read' | 'write';
  readonly expect?: Case['expect'];
  readonly errors?: boolean;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly timed?: boolean;
  readonly varies?: string;
  readonly direct?: 'silent' | 'loud';
}

interface Family extends Given {
  readonly family: string;
  readonly about?: string;
  readonly cases: readonly (string | Given)[];
}

const keys = {
  family: new Set('family about cases as kind expect errors varies direct parameters'.split(' ')),
  case: new Set('name sql steps binary as kind expect errors parameters timed varies direct'.split(' ')),
};

/** Every case, in the order of the files. `words` replaces {guess} and the like, which only the data knows. */
export function readCorpus(words: Readonly<Record<string, string>> = {}): Case[] {
  const folder = new URL('./corpus/', import.meta.url);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .flatMap((name) => {
      const text = readFileSync(new URL(name, folder), 'utf8').replace(
        /\{(guess|hashed|first|toast|folder)\}/g,
        (_whole, word: string) => words[word] ?? word,
      );
      const family = parse(text) as Family;
      refuseUnknown(name, family, keys.family);
      return family.cases.map((given) => toCase(name, family, typeof given === 'string' ? { sql: given } : given));
    });
}

function toCase(file: string, family: Family, given: Given): Case {
  refuseUnknown(`${file}: ${given.name ?? given.sql ?? ''}`, given, keys.case);
  if ((given.sql === undefined) === (given.steps === undefined))
    throw new Error(`${file}: a case has either sql or steps: ${JSON.stringify(given)}`);
  const pick = <K extends keyof Given>(key: K): Given[K] => given[key] ?? family[key];
  return {
    family: family.family,
    name: given.name ?? given.sql ?? '',
    steps: given.steps ?? [given.sql ?? ''],
    both: given.sql !== undefined,
    binary: given.binary ?? false,
    as: pick('as') ?? 'reader',
    kind: pick('kind') ?? 'read',
    expect: pick('expect') ?? 'masked',
    errors: pick('errors') ?? false,
    parameters: pick('parameters') ?? {},
    timed: given.timed ?? false,
    varies: pick('varies'),
    silent: pick('direct') === 'silent',
  };
}

function refuseUnknown(where: string, given: object, known: ReadonlySet<string>): void {
  const unknown = Object.keys(given).filter((key) => !known.has(key));
  if (unknown.length > 0) throw new Error(`${where}: unknown ${unknown.join(', ')}`);
}
