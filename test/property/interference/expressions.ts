import type { Choices } from './choices.js';
import type { Type, WorldColumn } from './world.js';

/** Something in FROM, by the name that its columns are reached by. */
export interface Source {
  readonly alias: string;
  readonly columns: readonly WorldColumn[];
}

export const depth_max = 3;

export interface Reference {
  readonly sql: string;
  readonly type: Type;
  readonly masked: boolean;
}

export interface Typed {
  readonly sql: string;
  readonly type: Type;
}

const literals: Readonly<Record<Type, readonly string[]>> = {
  int: ['1', '0', '2', '7', '-1', 'null::int'],
  text: ["'a'", "'b'", "''", "'12'", "'***'", 'null::text'],
  num: ['1.5', '0', '2'],
  date: ["date '2026-01-01'", "date '1999-12-31'"],
  bool: ['true', 'false', 'null::boolean'],
  json: [`'{"a": 1}'::jsonb`, `'[]'::jsonb`],
  list: ["array['a','b']", "'{}'::text[]"],
};

const castTypes: Readonly<Record<Type, string>> = {
  ...{ int: 'int', text: 'text', num: 'numeric', date: 'date', bool: 'boolean', json: 'jsonb', list: 'text[]' },
};

/** Typed expressions over what is in scope; sub-queries in them come from whoever knows how to make a FROM. */
export abstract class Expressions {
  #names = 0;
  #values: (string | null)[] | undefined;

  constructor(protected readonly choices: Choices) {}

  protected abstract from(depth: number): { sql: string; sources: Source[] };

  protected name(prefix: string): string {
    return `${prefix}${String(this.#names++)}`;
  }

  protected withValues(make: () => string): { sql: string; values: readonly (string | null)[] } {
    this.#values = [];
    const sql = make();
    const values = this.#values;
    this.#values = undefined;
    return { sql, values };
  }

  protected scope(sources: readonly Source[]): Reference[] {
    const all = sources.flatMap(({ alias, columns }) =>
      columns.map(({ masked, name, type }) => ({ sql: `${alias}.${name}`, type, masked })),
    );
    // Masked ones first: they are what this is about.
    return [...all.filter(({ masked }) => masked), ...all.filter(({ masked }) => !masked)];
  }

  protected expression(scope: readonly Reference[], depth: number): Typed {
    const type = this.choices.one<Type>(['text', 'int', 'bool', 'num', 'date', 'json', 'list']);
    return { sql: this.of(type, scope, depth), type };
  }

  /** Whether something counts as masked that is made of what is in scope. */
  protected isMasked(_sql: string, _scope: readonly Reference[]): boolean {
    return false;
  }

  protected literals(type: Type): readonly string[] {
    return literals[type];
  }

  protected literal(type: Type): string {
    const literal = this.choices.one(this.literals(type));
    if (this.#values === undefined || this.#values.length >= 5 || this.choices.once(2)) return literal;
    const text = literal.replace(/::[a-z[\]]+$/, '');
    const quoted = /'(.*)'$/.exec(text)?.[1];
    if (text.startsWith('array')) return literal;
    this.#values.push(text === 'null' ? null : (quoted ?? text));
    return `$${String(this.#values.length)}::${castTypes[type]}`;
  }

  protected of(type: Type, scope: readonly Reference[], depth: number): string {
    const { choices } = this;
    const fitting = scope.filter((each) => each.type === type);
    const leaf = choices.number(depth >= depth_max ? 3 : 6);
    if (leaf < 2 && fitting.length > 0) return choices.one(fitting).sql;
    if (leaf < 3) return fitting.length > 0 && choices.once(2) ? choices.one(fitting).sql : this.literal(type);
    const on = (wanted: Type) => this.of(wanted, scope, depth + 1);
    const any = () => this.expression(scope, depth + 1).sql;
    switch (choices.number(4)) {
      case 1:
        return `coalesce(${on(type)}, ${on(type)})`;
      case 2:
        return `case when ${on('bool')} then ${on(type)} else ${on(type)} end`;
      case 3:
        return depth < depth_max - 1 ? this.scalar(type, scope, depth + 1) : this.literal(type);
      default:
        return this.computed(type, on, any);
    }
  }

  protected computed(type: Type, on: (type: Type) => string, any: () => string): string {
    const { choices } = this;
    const forms: Readonly<Record<Type, readonly (() => string)[]>> = {
      int: [
        () => `length(${on('text')})`,
        () => `(${on('int')} + ${on('int')})`,
        () => `(${on('int')} / ${on('int')})`,
        () => `${on('text')}::int`,
        () => `ascii(${on('text')})`,
        () => `extract(year from ${on('date')})::int`,
        () => `coalesce(array_length(${on('list')}, 1), 0)`,
        () => `(${on('date')} - ${on('date')})`,
        () => `strpos(${on('text')}, ${on('text')})`,
      ],
      text: [
        () => `upper(${on('text')})`,
        () => `reverse(${on('text')})`,
        () => `substr(${on('text')}, ${choices.one(['1', '2'])}, 1)`,
        () => `(${on('text')} || ${on('text')})`,
        () => `md5(${on('text')})`,
        () => `${any()}::text`,
        () => `(${on('json')} ->> 'a')`,
        () => `array_to_string(${on('list')}, ',')`,
        () => `to_char(${on('date')}, 'YYYY')`,
        () => `concat(${any()}, ${any()})`,
        () => `encode(convert_to(${on('text')}, 'UTF8'), 'hex')`,
      ],
      num: [
        () => `round(${on('num')}::numeric, 1)`,
        () => `(${on('num')} * ${on('int')})`,
        () => `sqrt(${on('num')}::float8)`,
        () => `${on('int')}::numeric`,
        () => `${on('text')}::numeric`,
      ],
      date: [
        () => `(${on('date')} + 1)`,
        () => `date_trunc('month', ${on('date')})::date`,
        () => `${on('text')}::date`,
      ],
      bool: [
        () => `(${this.comparison(on)})`,
        () => `(${any()} is null)`,
        () => `(${on('bool')} and ${on('bool')})`,
        () => `(not ${on('bool')})`,
        () => `(${on('text')} like 'a%')`,
        () => `(${on('text')} ~ '^[0-9]')`,
        () => `(${on('int')} in (1, 2, ${on('int')}))`,
        () => `(${on('text')} = any (${on('list')}))`,
        () => `(${on('json')} @> '{"a": 1}')`,
        () => `(${on('int')} between 0 and ${on('int')})`,
      ],
      json: [
        () => `jsonb_build_object('a', ${any()})`,
        () => `to_jsonb(${any()})`,
        () => `(${on('json')} || '{"z": 0}')`,
      ],
      list: [
        () => `array[${on('text')}]`,
        () => `array_append(${on('list')}, ${on('text')})`,
        () => `string_to_array(${on('text')}, '2')`,
      ],
    };
    return choices.one(forms[type])();
  }

  protected comparison(on: (type: Type) => string): string {
    const type = this.choices.one<Type>(['text', 'int', 'num', 'date', 'bool']);
    return `${on(type)} ${this.choices.one(['=', '<>', '<', '>=', 'is distinct from'])} ${on(type)}`;
  }

  /** What a condition sees, or comes to see by way of a query around it. */
  protected within<T>(make: () => T): T {
    return make();
  }

  protected bool(scope: readonly Reference[], depth: number): string {
    return this.within(() => this.condition(scope, depth));
  }

  private condition(scope: readonly Reference[], depth: number): string {
    if (depth < depth_max && this.choices.once(6)) {
      const { sql, sources } = this.from(depth_max);
      const inner = this.bool([...this.scope(sources), ...scope], depth + 1);
      return `${this.choices.one(['exists', 'not exists'])} (select from ${sql} where ${inner})`;
    }
    if (depth < depth_max && this.choices.once(8)) {
      const one = this.choices.one(scope);
      return `${one.sql} in (select ${this.subquery(one.type, scope)})`;
    }
    return this.of('bool', scope, Math.min(depth, depth_max - 1));
  }

  protected subquery(type: Type, scope: readonly Reference[]): string {
    const { sql, sources } = this.from(depth_max);
    return `${this.of(type, [...this.scope(sources), ...scope], depth_max)} from ${sql}`;
  }

  protected scalar(type: Type, scope: readonly Reference[], depth: number): string {
    const { sql, sources } = this.from(depth_max);
    const inner = [...this.scope(sources), ...scope];
    const order = this.choices.one(inner).sql;
    return `(select ${this.of(type, inner, depth)} from ${sql} order by ${order} limit 1)`;
  }

  protected aggregate(scope: readonly Reference[], depth: number): Typed {
    const { choices } = this;
    const on = (type: Type) => this.of(type, scope, Math.max(depth, depth_max - 1));
    const forms: readonly (() => Typed)[] = [
      () => ({ sql: 'count(*)::int', type: 'int' }),
      () => ({ sql: `count(${choices.one(scope).sql})::int`, type: 'int' }),
      () => ({ sql: `count(distinct ${on('text')})::int`, type: 'int' }),
      () => ({ sql: `sum(${on('int')})::numeric`, type: 'num' }),
      () => ({ sql: `max(${on('text')})`, type: 'text' }),
      () => ({ sql: `min(${on('date')})`, type: 'date' }),
      () => ({ sql: `string_agg(${on('text')}, ',' order by ${choices.one(scope).sql})`, type: 'text' }),
      () => ({ sql: `array_agg(${on('text')})`, type: 'list' }),
      () => ({ sql: `bool_or(${on('bool')})`, type: 'bool' }),
      () => ({ sql: `jsonb_agg(${on('json')})`, type: 'json' }),
      () => ({ sql: `count(*) filter (where ${this.within(() => on('bool'))})::int`, type: 'int' }),
      () => ({ sql: `percentile_disc(0.5) within group (order by ${on('num')})`, type: 'num' }),
    ];
    return choices.one(forms)();
  }

  protected window(scope: readonly Reference[], depth: number): Typed {
    const { choices } = this;
    const one = () => choices.one(scope).sql;
    const over = `over (${choices.one(['', `partition by ${one()} `])}order by ${one()})`;
    const forms: readonly (() => Typed)[] = [
      () => ({ sql: `row_number() ${over}`, type: 'int' }),
      () => ({ sql: `lag(${this.of('text', scope, depth)}) ${over}`, type: 'text' }),
      () => ({ sql: `sum(${this.of('int', scope, depth)}) ${over}`, type: 'num' }),
      () => ({ sql: `rank() ${over}`, type: 'int' }),
      () => ({ sql: `first_value(${this.of('date', scope, depth)}) ${over}`, type: 'date' }),
    ];
    return choices.one(forms)();
  }
}
