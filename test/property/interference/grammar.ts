import type { Choices } from './choices.js';
import { depth_max, Expressions, type Reference, type Source } from './expressions.js';
import type { World, WorldColumn, WorldRelation } from './world.js';

/** One thing that a client sends, and how. */
export interface Step {
  readonly sql: string;
  /** Undefined: a simple query. Else Parse, Bind with these values, Describe, Execute. */
  readonly values?: readonly (string | null)[];
  /** Results in binary. */
  readonly binary?: boolean;
}

export interface Query {
  readonly sql: string;
  readonly columns: readonly WorldColumn[];
}

/** Makes statements out of choices: of those that go wrong there are some, and what goes wrong is an answer too. */
export class Grammar extends Expressions {
  protected readonly joins: readonly string[] = ['join', 'left join', 'full join', 'cross join', 'using', ','];
  protected readonly operators: readonly string[] = ['union all', 'union', 'intersect', 'except'];
  /** Relations of the statement's own: WITH. */
  #with: Source[] = [];

  constructor(
    choices: Choices,
    protected readonly world: World,
  ) {
    super(choices);
  }

  /** What is sent, in order. What changes anything is rolled back. */
  script(): Step[] {
    const step = (sql: string): Step => ({ sql });
    const query = () => this.query(0).sql;
    switch (this.choices.number(14)) {
      case 0:
      case 1:
      case 2:
        return [step(query())];
      case 3:
      case 4: {
        const sql = this.withValues(query);
        return [{ ...sql, binary: this.choices.once(3) }];
      }
      case 5:
        return [
          step(
            `explain (${this.choices.one(['costs off', 'costs off, verbose', 'analyze, costs off, timing off, summary off, buffers off', 'costs off, format json'])}) ${query()}`,
          ),
        ];
      case 6:
        return [
          step(`copy (${query()}) to stdout${this.choices.one(['', ' (format csv, header)', ' (format binary)'])}`),
        ];
      case 7:
        return [
          step(this.choices.one([`table ${this.relation().name}`, `copy ${this.relation('table').name} to stdout`])),
        ];
      case 8:
        return [step(`prepare p as ${query()}`), step('execute p'), step('deallocate p')];
      case 9:
        return this.inTransaction(`declare c cursor for ${query()}`, 'fetch 2 from c', 'fetch all from c');
      case 10:
        return this.inTransaction(
          `create temp table made on commit drop as ${query()}`,
          'select * from made',
          'table made',
        );
      default:
        return this.inTransaction(...Array.from({ length: 1 + this.choices.number(2) }, () => this.write()));
    }
  }

  protected inTransaction(...statements: string[]): Step[] {
    return ['begin', ...statements, 'rollback'].map((sql) => ({ sql }));
  }

  // ── queries ───────────────────────────────────────────────────────────────────────────────────────────────────────

  protected query(depth: number): Query {
    const { choices } = this;
    const form = depth >= depth_max ? 0 : choices.number(9);
    if (form === 6) return this.setOperation(depth);
    if (form === 7) return this.withQuery(depth);
    if (form === 8) return this.grouped(depth);
    return this.simple(depth);
  }

  protected simple(depth: number): Query {
    const { sql: from, sources } = this.from(depth);
    const scope = this.scope(sources);
    const items = this.listed(depth, () => this.items(scope, sources, depth));
    const distinct = this.distinct();
    const sql = `select ${distinct}${items.sql} from ${from}${this.where(scope, depth)}${this.tail(scope, items, distinct !== '', depth)}`;
    return { sql, columns: items.columns };
  }

  protected distinct(): string {
    return this.choices.once(6) ? 'distinct ' : '';
  }

  protected override from(depth: number): { sql: string; sources: Source[] } {
    const first = this.source(depth);
    let { sql } = first;
    const sources = [first.source];
    for (let joins = 0; joins < 2 && this.choices.once(3); joins++) {
      const lateral = this.choices.once(4);
      const next = lateral ? this.lateral(sources, depth) : this.source(depth);
      const how = this.choices.one(this.joins);
      const sharing = how === 'natural' && !lateral && sources.length === 1 ? this.sharing(first.source) : undefined;
      if (sharing !== undefined) {
        sql += ` natural ${this.choices.one(['', 'left ', 'right ', 'full '])}join ${sharing.sql}`;
        sources.push(sharing.source);
        continue;
      }
      const both = [...sources, next.source];
      if (lateral || how === 'cross join') sql += ` cross join ${next.sql}`;
      else if (how === ',') sql += `, ${next.sql}`;
      else if (how === 'using' && sources.length === 1 && this.shared(sources[0]!, next.source) !== undefined)
        sql += ` join ${next.sql} using (${this.shared(sources[0]!, next.source) ?? ''})`;
      else if (how === 'full join') sql += ` full join ${next.sql} on ${this.equality(sources, next.source)}`;
      else sql += ` ${how === 'left join' ? how : 'join'} ${next.sql} on ${this.bool(this.scope(both), depth + 1)}`;
      sources.push(next.source);
    }
    return { sql, sources };
  }

  /** What USING may compare. */
  protected shared(one: Source, other: Source): string | undefined {
    return one.columns.find(({ name, type }) => other.columns.some((each) => each.name === name && each.type === type))
      ?.name;
  }

  /** A query that has some columns of another source, by name, and no others. */
  private sharing({ columns }: Source): { sql: string; source: Source } | undefined {
    const table = this.relation('table');
    const both = table.columns.filter(({ name, type }) =>
      columns.some((each) => each.name === name && each.type === type),
    );
    if (both.length === 0) return undefined;
    const some = this.choices.some(both, 3);
    const alias = this.name('n');
    return {
      sql: `(select ${some.map(({ name }) => name).join(', ')} from ${table.name}) ${alias}`,
      source: { alias, columns: some },
    };
  }

  protected equality(left: readonly Source[], right: Source): string {
    const columns = this.scope([right]);
    const one = this.choices.one(columns);
    const other = this.scope(left).find(({ type }) => type === one.type) ?? this.scope(left)[0]!;
    return `${other.sql} = ${one.sql}`;
  }

  protected source(depth: number): { sql: string; source: Source } {
    const alias = this.name('r');
    const { choices } = this;
    const form = choices.number(8);
    if (form === 6 && this.#with.length > 0) {
      const { alias: name, columns } = choices.one(this.#with);
      return { sql: `${name} ${alias}`, source: { alias, columns } };
    }
    if (form === 7 && depth < depth_max) {
      const query = this.query(depth + 1);
      const columns = query.columns.map((column, at) => ({ ...column, name: `x${String(at)}` }));
      return {
        sql: `(${query.sql}) ${alias}(${columns.map(({ name }) => name).join(', ')})`,
        source: { alias, columns },
      };
    }
    const { columns, kind, name } = this.relation();
    const only = kind === 'table' && choices.once(8) ? 'only ' : '';
    const sample = kind === 'table' && choices.once(12) ? ' tablesample bernoulli (100)' : '';
    return { sql: `${only}${name} ${alias}${sample}`, source: { alias, columns } };
  }

  protected lateral(sources: readonly Source[], depth: number): { sql: string; source: Source } {
    const alias = this.name('l');
    const scope = this.scope(sources);
    const { sql, type } = this.listed(depth + 1, () => this.expression(scope, depth + 1));
    const column: WorldColumn = { name: 'v', type, masked: this.isMasked(sql, scope) };
    return { sql: `lateral (select ${sql} as v) ${alias}`, source: { alias, columns: [column] } };
  }

  protected relation(kind?: 'table'): WorldRelation {
    return this.choices.one(this.world.relations.filter((each) => kind === undefined || each.kind === kind));
  }

  protected setOperation(_depth: number): Query {
    const { choices } = this;
    const one = this.query(depth_max);
    const two = this.from(depth_max);
    const scope = this.scope(two.sources);
    const items = this.listed(depth_max, () => one.columns.map(({ type }) => this.of(type, scope, depth_max)));
    const columns = one.columns.map((column, at) => ({
      ...column,
      masked: column.masked || this.isMasked(items[at] ?? '', scope),
    }));
    return { sql: `(${one.sql}) ${choices.one(this.operators)} (select ${items.join(', ')} from ${two.sql})`, columns };
  }

  protected withQuery(depth: number): Query {
    const outer = this.#with;
    const name = this.name('w');
    const inner = this.query(depth + 1);
    const columns = inner.columns.map((column, at) => ({ ...column, name: `y${String(at)}` }));
    this.#with = [...outer, { alias: name, columns }];
    const query = this.query(depth);
    this.#with = outer;
    const how = this.choices.one(['', '', 'materialized ']);
    return {
      sql: `with ${name}(${columns.map((column) => column.name).join(', ')}) as ${how}(${inner.sql})${query.sql.startsWith('with ') ? query.sql.replace('with', ',') : ` ${query.sql}`}`,
      columns: query.columns,
    };
  }

  /** json knows no equality. */
  protected groupable(scope: readonly Reference[]): readonly Reference[] {
    return scope.filter(({ type }) => type !== 'json');
  }

  protected grouped(depth: number): Query {
    const { choices } = this;
    const { sql: from, sources } = this.from(depth + 1);
    const scope = this.scope(sources);
    const groupable = this.groupable(scope);
    if (groupable.length === 0) return this.simple(depth);
    const keys = choices.some(groupable, 4).slice(0, 2);
    const sums = Array.from({ length: 1 + choices.number(2) }, () =>
      this.listed(depth, () => this.aggregate(scope, depth + 1)),
    );
    const columns: WorldColumn[] = [
      ...keys.map(({ sql, type }, at) => ({ name: `k${String(at)}`, type, masked: this.isMasked(sql, scope) })),
      ...sums.map(({ sql, type }, at) => ({ name: `a${String(at)}`, type, masked: this.isMasked(sql, scope) })),
    ];
    const list = [...keys.map(({ sql }) => sql), ...sums.map(({ sql }) => sql)].map(
      (sql, at) => `${sql} as ${columns[at]?.name ?? ''}`,
    );
    const having = choices.once(4)
      ? ` having ${this.within(() => this.aggregate(scope, depth + 1)).sql} is not null`
      : '';
    const by = keys.map(({ sql }) => sql).join(', ');
    const group = choices.one([by, by, `rollup (${by})`, `cube (${by})`]);
    const order = choices.once(3) ? ` order by ${String(1 + choices.number(columns.length))}` : '';
    return {
      sql: `select ${list.join(', ')} from ${from}${this.where(scope, depth)} group by ${group}${having}${order}`,
      columns,
    };
  }

  /** What a query lists: a condition around it may come to see that. */
  protected listed<T>(depth: number, make: () => T): T {
    return depth === 0 ? make() : this.within(make);
  }

  protected where(scope: readonly Reference[], depth: number): string {
    return this.choices.once(2) ? ` where ${this.bool(scope, depth + 1)}` : '';
  }

  protected tail(scope: readonly Reference[], items: Items, distinct: boolean, depth: number): string {
    const { choices } = this;
    let sql = '';
    if (choices.once(3)) {
      const by = distinct ? String(1 + choices.number(items.columns.length)) : this.expression(scope, depth + 1).sql;
      // A number or a constant there would be a position, or is not allowed.
      if (distinct || scope.some((each) => by.includes(each.sql)))
        sql += ` order by ${by}${choices.one(['', ' desc', ' nulls first'])}`;
    }
    if (choices.once(4)) sql += ` limit ${choices.one(['3', '1', '0', '(select 2)'])}`;
    if (choices.once(8)) sql += ` offset ${choices.one(['1', '2'])}`;
    if (depth === 0 && choices.once(12)) sql += ' for update';
    return sql;
  }

  protected items(scope: readonly Reference[], sources: readonly Source[], depth: number): Items {
    const { choices } = this;
    const list: string[] = [];
    const columns: WorldColumn[] = [];
    const count = 1 + choices.number(3);
    for (let at = 0; at < count; at++) {
      const form = choices.number(10);
      const source = choices.one(sources);
      if (form === 7) {
        list.push(`${source.alias}.*`);
        columns.push(...source.columns);
      } else if (form === 8 && depth === 0) {
        list.push(
          choices.one([
            source.alias,
            `${source.alias}::text`,
            `row_to_json(${source.alias})`,
            `to_jsonb(${source.alias})`,
          ]),
        );
        columns.push({ name: 'whole', type: 'text', masked: true });
      } else if (form === 9) {
        const { sql, type } = this.window(scope, depth + 1);
        list.push(`${sql} as n${String(at)}`);
        columns.push({ name: `n${String(at)}`, type, masked: this.isMasked(sql, scope) });
      } else {
        const { sql, type } = form < 3 ? choices.one(scope) : this.expression(scope, depth + 1);
        list.push(`${sql} as e${String(at)}`);
        columns.push({ name: `e${String(at)}`, type, masked: this.isMasked(sql, scope) });
      }
    }
    return { sql: list.join(', '), columns };
  }

  // ── writes ────────────────────────────────────────────────────────────────────────────────────────────────────────

  protected write(): string {
    const { choices } = this;
    const target = this.relation('table');
    const { name } = target;
    const alias = this.name('d');
    const own: Source = { alias, columns: target.columns };
    const scope = this.scope([own]);
    const open = target.columns.filter(
      ({ derived, masked, name: column }) => derived !== true && !masked && column !== 'id' && column !== 'k',
    );
    const column = open.length === 0 ? target.columns.find((each) => each.name === 'k')! : choices.one(open);
    const value = (from: readonly Reference[]) => this.of(column.type, from, 1);
    const returning = (from: readonly Source[]) =>
      choices.once(3) ? '' : ` returning ${this.items(this.scope(from), from, 1).sql}`;
    switch (choices.number(7)) {
      case 0:
        return `update ${name} ${alias} set ${column.name} = ${value(scope)}${this.where(scope, 1)}${returning([own])}`;
      case 1: {
        const other = this.source(depth_max);
        const both = [own, other.source];
        return `update ${name} ${alias} set ${column.name} = ${value(this.scope(both))} from ${other.sql} where ${this.bool(this.scope(both), 1)}${returning(both)}`;
      }
      case 2:
        return `delete from ${name} ${alias}${this.where(scope, 1)}${returning([own])}`;
      case 3: {
        const other = this.source(depth_max);
        const both = [own, other.source];
        return `delete from ${name} ${alias} using ${other.sql} where ${this.bool(this.scope(both), 1)}${returning(both)}`;
      }
      case 4: {
        const from = this.from(2);
        const further = column.name === 'k' ? [] : [this.of(column.type, this.scope(from.sources), 2)];
        const into = ['id', 'k', ...(column.name === 'k' ? [] : [column.name])].join(', ');
        const values = [String(500 + choices.number(9)), '1', ...further].join(', ');
        return `insert into ${name} as ${alias} (${into}) select ${values} from ${from.sql} limit 1${returning([own])}`;
      }
      case 5: {
        const data = this.name('g');
        const gone = `delete from ${name} ${alias}${this.where(scope, 1)} returning ${alias}.*`;
        const source: Source = { alias: data, columns: target.columns };
        return `with ${data} as (${gone}) select ${this.items(this.scope([source]), [source], 1).sql} from ${data}`;
      }
      default: {
        const other = this.source(depth_max);
        const both = [own, other.source];
        const on = this.bool(this.scope(both), 2);
        return `merge into ${name} ${alias} using ${other.sql} on ${on} when matched and ${this.bool(this.scope(both), 2)} then update set ${column.name} = ${value(this.scope(both))} when matched then delete${returning(both)}`;
      }
    }
  }
}

export interface Items {
  readonly sql: string;
  readonly columns: readonly WorldColumn[];
}
