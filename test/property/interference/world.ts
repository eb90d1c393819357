import type { Choices } from './choices.js';
import { alikeKind, type Kind, type Pair, type Mask, type Type } from './values.js';

/**
 * Random schemas, what policy masks and filters in them, and their rows twice: equal but for the values of masked columns,
 * of which there is another one where the mask leaves the same of both.
 */
export type { Type } from './values.js';

export interface WorldColumn {
  readonly name: string;
  readonly type: Type;
  /** Of a base column, or of what it is derived from. */
  readonly masked: boolean;
  /** Values cannot be given for it. */
  readonly derived?: boolean;
}

export interface WorldRelation {
  /** schema.relation */
  readonly name: string;
  readonly kind: 'table' | 'view';
  readonly columns: readonly WorldColumn[];
  /** Policy shows only some of its rows. */
  readonly filtered: boolean;
}

export interface World {
  readonly relations: readonly WorldRelation[];
  /** What makes the relations. */
  readonly schema: string;
  /** What fills them: on either side. */
  readonly rows: readonly [string, string];
  /** Mask function by column, by relation; predicate by relation. */
  readonly masks: Readonly<Record<string, Readonly<Record<string, Mask>>>>;
  readonly filters: Readonly<Record<string, string>>;
}

const rows_count = 7;
const schemas_count = 4;

/** Predicates over columns that are not masked: what a mask hides must not decide which rows there are. */
const predicates: Readonly<Partial<Record<Type, string>>> = {
  int: 'NAME > 0',
  text: "NAME <> 'a'",
  bool: 'NAME',
  num: 'NAME >= 0 or NAME is null',
};

export function makeWorld(choices: Choices, kind: Kind = alikeKind): World {
  const relations: WorldRelation[] = [];
  const schema: string[] = [];
  const rows: [string[], string[]] = [[], []];
  const masks: Record<string, Record<string, Mask>> = {};
  const filters: Record<string, string> = {};
  for (let number = 0; number < schemas_count; number++) {
    const space = `s${String(number)}`;
    schema.push(`create schema ${space}`);
    const tables = Array.from({ length: 2 + choices.number(2) }, (_, index) => {
      const made = makeTable(`${space}.t${String(index)}`, choices, kind);
      schema.push(...made.schema);
      rows[0].push(...made.rows[0]);
      rows[1].push(...made.rows[1]);
      Object.assign(masks, made.masks);
      Object.assign(filters, made.filters);
      return made;
    });
    for (const { relations: made } of tables) relations.push(...made);
    for (let index = 0; index < 1 + choices.number(2); index++) {
      const view = makeView(
        `${space}.v${String(index)}`,
        choices,
        tables.map(({ relations: [first] }) => first!),
      );
      schema.push(view.schema);
      relations.push(view.relation);
    }
  }
  return {
    relations,
    schema: `${schema.join(';\n')};`,
    rows: [`${rows[0].join(';\n')};`, `${rows[1].join(';\n')};`],
    masks,
    filters,
  };
}

type TableColumn = WorldColumn & { readonly sql: string; readonly mask?: Mask };

const isTotal = (mask: Mask): boolean => mask === 'redact' || mask === 'null' || mask === 'partial';

interface Table {
  readonly relations: readonly WorldRelation[];
  readonly schema: readonly string[];
  readonly rows: readonly [string[], string[]];
  readonly masks: Record<string, Record<string, Mask>>;
  readonly filters: Record<string, string>;
}

function makeTable(name: string, choices: Choices, { cells, masksOf, open: opened, sqlTypes }: Kind): Table {
  const types: readonly Type[] = ['int', 'text', 'text', 'num', 'date', 'bool', 'json', 'list'];
  const columns: TableColumn[] = [
    { name: 'id', type: 'int', masked: false, sql: 'int primary key' },
    { name: 'k', type: 'int', masked: false, sql: 'int not null' },
  ];
  const masks: Record<string, Mask> = {};
  const count = 3 + choices.number(3);
  for (let index = 0; index < count; index++) {
    const type = choices.one(types);
    // The first is always masked, and the second never.
    const masked = index === 0 || (index > 1 && choices.once(2));
    const column = `${masked ? 'm' : 'c'}${String(index)}`;
    const mask = masked ? choices.one(masksOf(type)) : undefined;
    columns.push({ name: column, type, masked, sql: choices.one(sqlTypes(type, mask)), ...(mask && { mask }) });
    if (mask !== undefined) masks[column] = mask;
  }
  // It has the mask of what it is made of, which has to fit a number.
  const source = columns.find(({ mask, type }) => type === 'text' && mask !== undefined && isTotal(mask));
  if (source !== undefined && choices.once(2))
    columns.push({
      ...{ name: 'g', type: 'int', masked: true, derived: true },
      sql: `int generated always as (length(${source.name})) stored`,
    });
  const kind = choices.one(['plain', 'plain', 'partitioned', 'parent'] as const);
  const list = columns.map((column) => `${column.name} ${column.sql}`).join(', ');
  const quiet = 'with (autovacuum_enabled = false)';
  const schema: string[] = [];
  const names = [name];
  if (kind === 'partitioned') {
    names.push(`${name}_1`, `${name}_2`);
    schema.push(
      `create table ${name} (${list.replace('int primary key', 'int')}) partition by list (k)`,
      `create table ${name}_1 partition of ${name} for values in (0, 1) ${quiet}`,
      `create table ${name}_2 partition of ${name} default ${quiet}`,
    );
  } else {
    schema.push(`create table ${name} (${list}) ${quiet}`);
    if (kind === 'parent') {
      names.push(`${name}_c`);
      schema.push(`create table ${name}_c (extra text) inherits (${name}) ${quiet}`);
    }
  }
  const index = columns.find((column) => column.masked && column.type !== 'json' && column.derived !== true);
  if (index !== undefined && choices.once(3)) schema.push(`create index on ${name} (${index.name})`);
  const open = columns.find((column, at) => !column.masked && at > 1 && predicates[column.type] !== undefined);
  const filtered = open !== undefined && choices.once(4);
  const shared = columns.map(({ name: column, type, masked, derived }) => ({
    ...{ name: column, type, masked },
    ...(derived === true ? { derived } : {}),
  }));
  return {
    relations: names.map((each) => ({
      name: each,
      kind: 'table',
      columns: each.endsWith('_c') ? [...shared, { name: 'extra', type: 'text', masked: false }] : shared,
      // What is said of the parent holds for what is read through it.
      filtered: filtered && each === name,
    })),
    schema,
    rows: fill(kind === 'parent' ? names : [name], columns, (column) =>
      column.mask === undefined
        ? twice(choices.one(opened(column.type)))
        : cells(choices, column.mask, column.type, column.sql),
    ),
    // The generated column is not named: it has its masks from what it is made of, as partitions and children have theirs.
    masks: { [name]: masks },
    filters: filtered ? { [name]: (predicates[open.type] ?? '').replaceAll('NAME', open.name) } : {},
  };
}

const twice = (value: string): Pair => [value, value];

/** The same statements for both sides, in the same order, so that rows lie in the same places. */
function fill(
  tables: readonly string[],
  columns: readonly TableColumn[],
  cell: (column: TableColumn) => Pair,
): readonly [string[], string[]] {
  const given = columns.filter(({ derived }) => derived !== true);
  const sides: [string[], string[]] = [[], []];
  for (const [at, table] of tables.entries()) {
    for (let row = 0; row < rows_count; row++) {
      const cells = given.map((column) => {
        if (column.name === 'id') return twice(String(at * 100 + row + 1));
        return column.name === 'k' ? twice(String(row % 3)) : cell(column);
      });
      for (const side of [0, 1] as const)
        sides[side].push(
          `insert into ${table} (${given.map(({ name }) => name).join(', ')}) values (${cells.map((cell) => cell[side]).join(', ')})`,
        );
    }
  }
  return sides;
}

/** Views that hand on columns, that compute, and that use masked ones where no column shows it. */
function makeView(
  name: string,
  choices: Choices,
  tables: readonly WorldRelation[],
): { readonly schema: string; readonly relation: WorldRelation } {
  const table = choices.one(tables);
  const masked = table.columns.find((column) => column.masked)!;
  const plain = choices.some(table.columns);
  const all = [...new Set([table.columns[0]!, ...plain])];
  const relation = (columns: readonly WorldColumn[]): WorldRelation => ({
    ...{ name, kind: 'view', columns, filtered: table.filtered },
  });
  const list = all.map((column) => column.name).join(', ');
  switch (choices.number(5)) {
    case 0:
      return { schema: `create view ${name} as select ${list} from ${table.name}`, relation: relation(all) };
    case 1: {
      const computed: WorldColumn = { name: 'd', type: 'text', masked: true };
      return {
        schema: `create view ${name} as select ${list}, ${masked.name}::text || '!' as d from ${table.name}`,
        relation: relation([...all, computed]),
      };
    }
    case 2:
      return {
        schema: `create view ${name} as select ${list} from ${table.name} where ${masked.name} is not null`,
        relation: relation(all),
      };
    case 3: {
      const columns: WorldColumn[] = [
        { name: 'k', type: 'int', masked: false },
        { name: 'n', type: 'int', masked: false },
        { name: 'many', type: 'int', masked: true },
      ];
      return {
        schema: `create view ${name} as select k, count(*)::int as n, count(${masked.name})::int as many from ${table.name} group by k`,
        relation: relation(columns),
      };
    }
    default: {
      const other = choices.one(tables);
      return {
        schema: `create view ${name} as select a.id, a.k, b.${masked.name} from ${table.name} b join ${other.name} a on a.k = b.k`,
        relation: relation([
          { name: 'id', type: 'int', masked: false },
          { name: 'k', type: 'int', masked: false },
          masked,
        ]),
      };
    }
  }
}
