/**
 * What the clients ask: many templates over many tables, each statement with literals or parameters of its own, as
 * programs do it. Every one is answered out of an index, so that the server has little to do and the proxies show.
 */
export const tables = 20;
export const table_rows = 1_000;
export const wide_rows = 100_000;

const columns = ['code', 'name', 'region', 'status', 'amount', 'tax', 'created', 'changed', 'note'] as const;
const tableOf = (index: number) => `app.table_${String(index % tables).padStart(2, '0')}`;

export const schema = [
  'create schema app',
  ...Array.from(
    { length: tables },
    (_, index) => `create table ${tableOf(index)} as
      select id, 'c' || id as code, 'name of ' || id as name, (array['EU', 'US', 'APAC'])[id % 3 + 1] as region,
        id % 5 as status, id * 1.25 as amount, id * 0.2 as tax, timestamptz '2026-01-01' + id * interval '1 minute' as created,
        timestamptz '2026-02-01' + id * interval '1 minute' as changed, repeat('n', 20) as note
      from generate_series(1, ${String(table_rows)}) as id;
    alter table ${tableOf(index)} add primary key (id)`,
  ),
  // About 560 bytes a row on the wire.
  `create table app.wide as select id, ${Array.from({ length: 9 }, (_, at) => `repeat(md5((id + ${String(at)})::text), 2) as text_${String(at)}`).join(', ')}
   from generate_series(1, ${String(wide_rows)}) as id`,
  'vacuum analyze',
].join(';\n');

export const wideQuery = 'select * from app.wide';

export interface StatementTemplate {
  /** The text with $1, $2 … */
  readonly text: string;
  /** Fresh values; a string is one that a literal has to quote. */
  values(): readonly (number | string)[];
}

const any = (below: number) => 1 + Math.floor(Math.random() * below);
const shapes: readonly ((table: string, other: string, list: string) => StatementTemplate)[] = [
  (table, _other, list) => ({
    text: `select ${list} from ${table} where id = $1`,
    values: () => [any(table_rows)],
  }),
  (table, other, list) => ({
    text: `select a.${list.split(', ').join(', a.')}, b.status from ${table} a join ${other} b on b.id = a.id where a.id = $1`,
    values: () => [any(table_rows)],
  }),
  (table, _other, list) => ({
    text: `select count(*), min(${list.split(', ')[0]!}) from ${table} where id between $1 and $2`,
    values: () => [any(100), 100 + any(10)],
  }),
  (table, _other, list) => ({
    text: `select ${list} from ${table} where id = $1 and code <> $2`,
    values: () => [any(table_rows), `x${String(any(1_000_000))}`],
  }),
  (table, _other, list) => ({
    text: `select id, ${list} from ${table} where id in ($1, $2, $3) order by id limit 5`,
    values: () => [any(table_rows), any(table_rows), any(table_rows)],
  }),
];

/** `count` different templates over all tables and shapes. */
export function templates(count: number): readonly StatementTemplate[] {
  return Array.from({ length: count }, (_, index) => {
    const list = [0, 2, 5].map((step) => columns[(index + Math.floor(index / 7) + step) % columns.length]!).join(', ');
    return shapes[Math.floor(index / tables) % shapes.length]!(tableOf(index), tableOf(index + 7), list);
  });
}

/** The text with its values in place, as a client without parameters sends it. */
export function literal({ text }: StatementTemplate, values: readonly (number | string)[]): string {
  return text.replace(/\$(\d+)/g, (_, number: string) => {
    const value = values[Number(number) - 1]!;
    return typeof value === 'number' ? String(value) : `'${value.replaceAll("'", "''")}'`;
  });
}

let fresh = 0;
/** A text whose like nobody has seen: another list of names in its output each time. */
export function freshText(): string {
  fresh += 1;
  const first = columns[fresh % columns.length]!;
  const second = columns[(fresh + 3) % columns.length]!;
  return `select a.${first} as x_${String(fresh)}, b.${second}, count(*) over () as n from ${tableOf(fresh)} a join ${tableOf(fresh + 3)} b on b.id = a.id where a.id = ${String(any(table_rows))} and b.code <> 'none'`;
}
