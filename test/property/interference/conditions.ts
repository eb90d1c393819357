import { depth_max, type Reference, type Source, type Typed } from './expressions.js';
import { Grammar, type Items, type Query, type Step } from './grammar.js';
import { literalsOf } from './ladder.js';
import type { Type } from './world.js';

/**
 * The same statements, but conditions, and what they come to see, are made of what does not tell the two values of a step apart:
 * see ladder.ts. What is listed may do anything, since it sees masks.
 */
export class ConditionsGrammar extends Grammar {
  protected override readonly joins = ['join', 'left join', 'full join', 'using', 'using', 'natural', ','];
  #isWithin = false;

  /** Few of what changes the catalog, which is then read anew. */
  override script(): Step[] {
    return this.choices.once(3) ? super.script() : [{ sql: this.query(0).sql }];
  }

  protected override where(scope: readonly Reference[], depth: number): string {
    return this.choices.once(5) ? '' : ` where ${this.bool(scope, depth + 1)}`;
  }

  /** Joins with names as well. */
  protected override source(depth: number): { sql: string; source: Source } {
    const { choices } = this;
    if (depth >= depth_max || !choices.once(7)) return super.source(depth);
    const [left, right] = [super.source(depth_max), super.source(depth_max)];
    const shared = choices.once(2) ? this.shared(left.source, right.source) : undefined;
    const both = [left.source, right.source];
    const all = both.flatMap(({ columns }) => columns);
    const merged = all.find(({ name }) => name === shared);
    const columns = (merged === undefined ? all : [merged, ...all.filter(({ name }) => name !== shared)]).map(
      (column, at) => ({ ...column, name: `x${String(at)}` }),
    );
    const by = shared === undefined ? `on ${this.bool(this.scope(both), depth_max)}` : `using (${shared})`;
    const alias = this.name('j');
    return {
      sql: `(${left.sql} ${choices.one(['', 'left '])}join ${right.sql} ${by}) ${alias}(${columns.map(({ name }) => name).join(', ')})`,
      source: { alias, columns },
    };
  }

  /** Most of them over something that is masked. */
  protected override bool(scope: readonly Reference[], depth: number): string {
    const { choices } = this;
    const masked = scope.filter((each) => each.masked);
    if (masked.length === 0 || choices.once(3)) return super.bool(scope, depth);
    const one = this.within(() => this.over(choices.one(masked), scope, depth));
    if (depth >= depth_max || !choices.once(4)) return one;
    return `${one} ${choices.one(['and', 'or'])} ${super.bool(scope, depth + 1)}`;
  }

  private over(one: Reference, scope: readonly Reference[], depth: number): string {
    const { choices } = this;
    const { sql, type } = one;
    const like = () => choices.one(scope.filter((each) => each.type === type)).sql;
    const with_ = () => (choices.once(2) ? like() : this.literal(type));
    if (type === 'bool') return sql;
    if (type === 'json') return `${sql} ->> 'a' ${choices.one(['=', '<', '>='])} ${this.literal('text')}`;
    if (type === 'list') return `${this.literal('text')} = any (${sql})`;
    const operator = choices.one(['=', '=', '<>', '<', '>=', 'is distinct from', 'in', 'not in', 'exists', 'null']);
    if (operator === 'null') return `${sql} is ${choices.one(['', 'not '])}null`;
    const isNested = depth < depth_max && choices.once(2);
    if (operator === 'in' || operator === 'not in')
      return `${sql} ${operator} (${isNested ? `select ${this.subquery(type, scope)}` : [this.literal(type), with_()].join(', ')})`;
    if (operator === 'exists') {
      const { sql: from, sources } = this.from(depth_max);
      const inner = this.scope(sources);
      const other = inner.find((each) => each.type === type)?.sql ?? this.literal(type);
      return `exists (select from ${from} where ${other} ${choices.one(['=', '<', '>='])} ${sql})`;
    }
    return `${sql} ${operator} ${with_()}`;
  }

  protected override within<T>(make: () => T): T {
    const before = this.#isWithin;
    this.#isWithin = true;
    try {
      return make();
    } finally {
      this.#isWithin = before;
    }
  }

  protected override listed<T>(depth: number, make: () => T): T {
    return depth === 0 ? make() : this.within(make);
  }

  protected get isWithin(): boolean {
    return this.#isWithin;
  }

  protected override literals(type: Type): readonly string[] {
    return this.#isWithin ? literalsOf(type) : super.literals(type);
  }

  protected override computed(type: Type, on: (type: Type) => string, any: () => string): string {
    if (!this.#isWithin) return super.computed(type, on, any);
    const forms: Readonly<Record<Type, readonly (() => string)[]>> = {
      text: [
        () => `lower(${on('text')})`,
        () => `upper(${on('text')})`,
        () => `left(${on('text')}, 3)`,
        () => `substr(${on('text')}, 1, 1)`,
        () => `(${on('text')} || ${on('text')})`,
        () => `${any()}::text`,
        () => `(${on('json')} ->> 'a')`,
        () => `array_to_string(${on('list')}, ',')`,
        () => `to_char(${on('date')}, 'YYYY')`,
        () => `concat(${any()}, ${any()})`,
      ],
      int: [
        () => `length(${on('text')})`,
        () => `(${on('int')} + ${this.choices.one(['1', '2'])})`,
        () => `extract(year from ${on('date')})::int`,
        () => `coalesce(array_length(${on('list')}, 1), 0)`,
      ],
      num: [() => `round(${on('num')}::numeric, 1)`, () => `${on('int')}::numeric`],
      date: [() => `(${on('date')} + 1)`, () => `date_trunc('month', ${on('date')})::date`],
      bool: [
        () => `(${this.comparison(on)})`,
        () => `(${this.comparison(on)})`,
        () => `(${any()} is null)`,
        () => `(${on('bool')} and ${on('bool')})`,
        () => `(${on('bool')} or ${on('bool')})`,
        () => `(not ${on('bool')})`,
        () => `(${on('text')} like '${this.choices.one(['f', 'k', 's', 'a', '_'])}%')`,
        () => `(${on('text')} ~ '^[0-9]')`,
        () => `(${on('int')} in (1, 90004113, ${on('int')}))`,
        () => `(${on('text')} = any (${on('list')}))`,
        () => `(${on('json')} @> '{"a": "s5canary"}')`,
        () => `(${on('int')} between 90001500 and ${on('int')})`,
      ],
      json: [() => `jsonb_build_object('a', ${any()})`, () => `to_jsonb(${any()})`],
      list: [() => `array[${on('text')}]`, () => `array_append(${on('list')}, ${on('text')})`],
    };
    return this.choices.one(forms[type])();
  }
}

/**
 * Queries that list, group and sort by nothing that is masked: what comes of them are the rows that conditions let through,
 * each of them and no other, in some order.
 */
export class KeysGrammar extends ConditionsGrammar {
  protected override readonly operators = ['union all'];

  override script(): Step[] {
    const query = () => this.query(0).sql;
    if (this.choices.once(4)) return [this.withValues(query)];
    return [{ sql: query() }];
  }

  protected override isMasked(sql: string, scope: readonly Reference[]): boolean {
    return isMade(sql, scope);
  }

  protected override setOperation(depth: number): Query {
    return depth === 0 ? this.simple(depth) : super.setOperation(depth);
  }

  protected override distinct(): string {
    return '';
  }

  /** What a LIMIT leaves is by an order, and that is one of masks. */
  protected override tail(): string {
    return '';
  }

  protected override groupable(scope: readonly Reference[]): readonly Reference[] {
    return super.groupable(scope).filter(({ masked }) => !masked);
  }

  protected override items(scope: readonly Reference[], sources: readonly Source[], depth: number): Items {
    if (depth > 0) return super.items(scope, sources, depth);
    const open = scope.filter(({ masked }) => !masked);
    const items = Array.from({ length: 1 + this.choices.number(3) }, () =>
      open.length > 0 && this.choices.number(3) < 2 ? this.choices.one(open) : this.expression(open, depth_max - 1),
    );
    return {
      sql: items.map(({ sql }, at) => `${sql} as e${String(at)}`).join(', '),
      columns: items.map(({ type }, at) => ({ name: `e${String(at)}`, type, masked: false })),
    };
  }

  protected override scalar(type: Type, scope: readonly Reference[], depth: number): string {
    return this.isWithin ? super.scalar(type, scope, depth) : this.literal(type);
  }

  /** None whose value depends on the order of rows. */
  protected override aggregate(scope: readonly Reference[], depth: number): Typed {
    const seen = this.isWithin ? scope : scope.filter(({ masked }) => !masked);
    const on = (type: Type) => this.of(type, seen, Math.max(depth, depth_max - 1));
    const forms: readonly (() => Typed)[] = [
      () => ({ sql: 'count(*)::int', type: 'int' }),
      () => ({ sql: `count(distinct ${on('text')})::int`, type: 'int' }),
      () => ({ sql: `max(${on('text')})`, type: 'text' }),
      () => ({ sql: `min(${on('date')})`, type: 'date' }),
      () => ({ sql: `bool_or(${on('bool')})`, type: 'bool' }),
      () => ({ sql: `percentile_disc(0.5) within group (order by ${on('num')})`, type: 'num' }),
      () => ({
        sql: `count(*) filter (where ${this.within(() => this.of('bool', scope, depth_max - 1))})::int`,
        type: 'int',
      }),
    ];
    return this.choices.one(forms)();
  }

  /** A row's number among equals is anybody's guess. */
  protected override window(scope: readonly Reference[], depth: number): Typed {
    return this.expression(scope, depth);
  }
}

/** Statements whose conditions are over nothing that is masked: nothing that comes depends on what is. */
export class OpenGrammar extends Grammar {
  #isWithin = false;

  protected override within<T>(make: () => T): T {
    const before = this.#isWithin;
    this.#isWithin = true;
    try {
      return make();
    } finally {
      this.#isWithin = before;
    }
  }

  private seen(scope: readonly Reference[]): readonly Reference[] {
    if (!this.#isWithin) return scope;
    const open = scope.filter(({ masked }) => !masked);
    return open.length > 0 ? open : [{ sql: '1', type: 'int', masked: false }];
  }

  protected override of(type: Type, scope: readonly Reference[], depth: number): string {
    return super.of(type, this.seen(scope), depth);
  }

  protected override bool(scope: readonly Reference[], depth: number): string {
    return this.within(() => super.bool(this.seen(scope), depth));
  }

  protected override scope(sources: readonly Source[]): Reference[] {
    return [...this.seen(super.scope(sources))];
  }

  protected override equality(left: readonly Source[], right: Source): string {
    return this.within(() => super.equality(left, right));
  }

  protected override shared(one: Source, other: Source): string | undefined {
    const open = ({ columns, ...source }: Source): Source => ({
      ...source,
      columns: columns.filter(({ masked }) => !masked),
    });
    return super.shared(open(one), open(other));
  }

  protected override aggregate(scope: readonly Reference[], depth: number): Typed {
    return super.aggregate(this.seen(scope), depth);
  }

  protected override isMasked(sql: string, scope: readonly Reference[]): boolean {
    return isMade(sql, scope);
  }

  protected override distinct(): string {
    return this.#isWithin ? '' : super.distinct();
  }

  protected override setOperation(depth: number): Query {
    return this.#isWithin ? this.simple(depth) : super.setOperation(depth);
  }

  protected override tail(scope: readonly Reference[], items: Items, distinct: boolean, depth: number): string {
    return this.#isWithin ? '' : super.tail(scope, items, distinct, depth);
  }
}

/** Whether an expression is made of something masked, for all that can be said without reading it. */
const isMade = (sql: string, scope: readonly Reference[]): boolean => {
  const names = new Set(sql.match(/\b\w+\.\w+/g));
  return sql.includes('select ') || scope.some((each) => each.masked && names.has(each.sql));
};
