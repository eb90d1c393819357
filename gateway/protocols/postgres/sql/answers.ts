import type { Body, CatalogColumn, Named, NameKind, Relation } from './catalog.js';
import { isKnownRaw, labelOf, unknownOf, type RawFunction } from './extensions.js';
import { isKnown } from './functions.js';
import { domain_columns_max, heirs_max } from './queries.js';

/** What the catalog's one query answers (queries.ts), read into what the analysis knows of names (catalog.ts). */

/** From the server's JSON to the shapes of catalog.ts; an empty text is a name that is not there. */
export function readAnswer(kind: NameKind, raw: string): Named['value'] {
  if (raw === '') return kind === 'function' || kind === 'operator' ? [] : undefined;
  const data = JSON.parse(raw) as unknown;
  switch (kind) {
    case 'relation':
      return readRelation(data as RawRelation);
    case 'function':
      return (data as RawRoutine[]).map(
        ([
          schema,
          name,
          routine,
          count,
          defaults,
          isVariadic,
          result,
          isSeries,
          extension,
          types,
          reached,
          isPreferring,
          body,
          stamp,
        ]) => ({
          schema,
          name,
          kind: routine,
          arguments_min: count - defaults - (isVariadic ? 1 : 0),
          arguments_max: isVariadic ? Infinity : count,
          result,
          isSeries,
          extension: extension ?? undefined,
          types: types ?? [],
          reached: reached ?? [],
          isVariadic,
          isPreferring,
          body: readBody(body ?? undefined),
          isChanging: body?.[3] === true,
          stamp: stamp ?? undefined,
        }),
      );
    case 'operator':
      return (data as RawOperator[]).map(([schema, left, right, fn, isLeftReached, isRightReached, stamp]) => ({
        schema,
        left,
        right,
        function: labelOf(fn),
        isKnown: isKnownRaw(fn),
        isLeftReached,
        isRightReached,
        stamp: stamp ?? undefined,
      }));
    case 'type': {
      const [schema, name, typeKind, oid, functions, own, columns, stamp] = data as RawType;
      const isForeign = own !== null && !name.startsWith('_') && unknownOf(own).some((fn) => !isKnown(fn));
      return {
        oid,
        schema,
        name,
        kind: typeKind,
        functions: unknownOf(functions),
        isForeign,
        columns: (columns ?? [])
          .slice(0, domain_columns_max)
          .map(([relation, kind, column]) => ({ relation, kind, column })),
        moreColumns: (columns ?? []).length > domain_columns_max,
        stamp: stamp ?? undefined,
      };
    }
  }
}

type RawRoutine = [
  schema: string,
  name: string,
  kind: string,
  arguments: number,
  defaults: number,
  isVariadic: boolean,
  result: number,
  isSeries: boolean,
  extension: string | null,
  types: number[] | null,
  reached: boolean[] | null,
  isPreferring: boolean,
  body: RawBody | null,
  stamp?: string | null,
];
/** NULL for what the server cannot print, and for what is being changed. */
type RawBody = [text: string | null, isTree: boolean, parameters: string[] | null, changed?: boolean];
type RawOperator = [
  schema: string,
  left: number,
  right: number,
  fn: RawFunction,
  isLeftReached: boolean,
  isRightReached: boolean,
  stamp?: string | null,
];
type RawType = [
  schema: string,
  name: string,
  kind: string,
  oid: number,
  functions: RawFunction[] | null,
  own: RawFunction[] | null,
  columns?: [relation: string, kind: string, column: string][] | null,
  stamp?: string | null,
];

const readBody = (
  [text, isTree, parameters]: RawBody | readonly [null, false, null] = [null, false, null],
): Body | undefined => (text === null ? undefined : { text, isTree, parameters: parameters ?? [] });

type RawColumn = [
  name: string,
  number: number,
  type: number,
  typeName: string,
  notNull: boolean,
  typmod: number,
  typeText: string,
  base: [type: number, typmod: number, free: boolean] | null,
  generated: '' | 's' | 'v',
  collation: string | null,
  inputs?: string[] | null,
  labels?: string[] | null,
  casts?: string[] | null,
  asked?: [fn: string, type: number][] | null,
];

const generation = { '': undefined, s: 'stored', v: 'virtual' } as const;

function readColumn(row: RawColumn): CatalogColumn {
  const [
    name,
    number,
    type,
    typeName,
    notNull,
    typmod,
    typeText,
    base,
    generated,
    collation,
    inputs,
    labels,
    casts,
    asked,
  ] = row;
  const [baseType, baseTypmod, isFree] = base ?? [type, typmod, false];
  return {
    name,
    number,
    type,
    typeName,
    notNull,
    typmod,
    typeText,
    baseType,
    baseTypmod,
    isFree,
    labels: labels ?? undefined,
    generated: generation[generated],
    collation: collation ?? undefined,
    inputs: inputs ?? [],
    casts: casts ?? [],
    castsAsked: (asked ?? []).map(([fn, to]) => ({ function: fn, to })),
  };
}

interface RawRelation {
  oid: number;
  schema: string;
  name: string;
  kind: string;
  rowSecurity: boolean;
  full: boolean;
  deep: boolean;
  columns: RawColumn[] | null;
  primaryKey?: string[] | null;
  definition?: [text: string | null] | null;
  version?:
    | [
        oids: number[],
        digest: string,
        changed?: boolean,
        reach?: [oids: number[], digest: string],
        plain?: string | null,
        marks?: string,
      ]
    | null;
  reads?: [string, string, string, string, 'v' | 'q' | 'p' | 't', string[] | null][] | null;
  heirs?: [string, string, string, string, 'v' | 'q', boolean][] | null;
  readFunctions?: RawFunction[] | null;
  writeFunctions?: RawFunction[] | null;
  /** Columns by which what it is a partition of is partitioned, and by which itself and its partitions are. */
  partitioning?: [above: string[] | null, within: string[] | null];
  policyColumns?: string[] | null;
  uniques?: [string, string, string[] | null][] | null;
  triggers?: [string, number, RawFunction, string][] | null;
  rules?: [string, string, string][] | null;
  cascades?:
    | [
        relation: string,
        kind: string,
        start: 'd' | 'u' | 't',
        event: 'd' | 'u' | 't',
        via: string,
        changed: string[] | null,
        triggers: RawFunction[] | null,
        functions: RawFunction[] | null,
        isRuled: boolean,
        keys: string[] | null,
      ][]
    | null;
}

function readRelation(row: RawRelation): Relation {
  const [definition] = row.definition ?? [];
  const [oids, digest, changed, reach, plain, marks] = row.version ?? [];
  const [above, within] = row.partitioning ?? [];
  const parents = (row.reads ?? []).filter(([, , , , how]) => how === 'p').map(([schema, name]) => `${schema}.${name}`);
  const all = (names: readonly string[], columns: readonly string[] | null | undefined): string[] =>
    names.flatMap((name) => (columns ?? []).map((column) => `${name}.${column}`));
  return {
    oid: row.oid,
    schema: row.schema,
    name: row.name,
    kind: row.kind,
    rowSecurity: row.rowSecurity,
    full: row.full,
    deep: row.deep,
    columns: (row.columns ?? []).map(readColumn),
    primaryKey: row.primaryKey ?? [],
    definition: typeof definition === 'string' ? { text: definition } : undefined,
    version:
      oids === undefined || digest === undefined
        ? undefined
        : {
            oids,
            digest,
            marks: marks ?? '',
            ...(reach === undefined ? {} : { reach: { oids: reach[0], digest: reach[1] } }),
            ...(typeof plain === 'string' ? { plain } : {}),
          },
    isChanged: changed === true,
    reads: (row.reads ?? []).map(([schema, name, kind, via, how, columns]) => ({
      schema,
      name,
      kind,
      via,
      how,
      columns: columns ?? [],
    })),
    heirs: (row.heirs ?? []).slice(0, heirs_max).map(([schema, name, kind, via, how, partition]) => ({
      schema,
      name,
      kind,
      via,
      policy: how === 'q',
      partition,
    })),
    moreHeirs: (row.heirs ?? []).length > heirs_max,
    readFunctions: unknownOf(row.readFunctions),
    writeFunctions: unknownOf(row.writeFunctions),
    keysAbove: all(parents, above),
    policyColumns: all([`${row.schema}.${row.name}`, ...parents], row.policyColumns),
    keysWithin: all([`${row.schema}.${row.name}`, ...parents], within),
    uniques: (row.uniques ?? []).map(([name, relation, columns]) => ({ name, relation, columns: columns ?? [] })),
    triggers: (row.triggers ?? [])
      .filter(([, , fn]) => !isKnownRaw(fn))
      .map(([name, type, fn, relation]) => ({ name, type, function: labelOf(fn), relation })),
    rules: (row.rules ?? []).map(([event, name, relation]) => ({ event, name, relation })),
    cascades: (row.cascades ?? []).map(
      ([relation, kind, start, event, via, changed, triggered, functions, isRuled, keys]) => ({
        relation,
        kind,
        start,
        access: eventAccess[event],
        via,
        changed: changed ?? undefined,
        functions: [...unknownOf(triggered), ...unknownOf(functions)],
        isRuled,
        keys: keys ?? [],
      }),
    ),
  };
}

const eventAccess = { d: 'delete', u: 'update', t: 'truncate' } as const;
