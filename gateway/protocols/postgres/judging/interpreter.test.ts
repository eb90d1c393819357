import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { createDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { createInterpreter, loadParser, SharedCatalog } from './interpreter.js';
import { StatementError, type Ask, type Interpreter, type Template } from './statement.js';

const schema = readFileSync(join(import.meta.dirname, '../sql/cases/schema.sql'), 'utf8');

let database: TestDatabase;
const clients: pg.Client[] = [];
beforeAll(async () => {
  await loadParser();
  database = await createDatabase({
    sql: `${schema}; create schema hostile; create table hostile.customers (id int, bait text);`,
  });
});
afterAll(async () => {
  for (const client of clients) await client.end();
  await database.drop();
});

interface Session {
  readonly interpreter: Interpreter;
  /** As the gateway does it: interpreted, run, and told of. */
  run(text: string): Promise<Template>;
  relations(text: string): Promise<string[]>;
  readonly asks: { count: number };
}

async function session(shared: SharedCatalog, now?: () => number): Promise<Session> {
  const client = new pg.Client(database.url);
  await client.connect();
  clients.push(client);
  const asks = { count: 0 };
  const ask: Ask = async (text, values) => {
    asks.count++;
    const result = await client.query<(string | null)[]>({
      text,
      values: [...values],
      rowMode: 'array',
      types: { getTypeParser: () => (value: string) => value },
    });
    return result.rows;
  };
  const interpreter = createInterpreter({
    shared,
    ask,
    database: database.database,
    user: database.user,
    ...(now === undefined ? {} : { now }),
  });
  let open = false;
  return {
    interpreter,
    asks,
    async run(text) {
      const template = await interpreter.interpret(text);
      await client.query(text);
      for (const statement of template.statements) {
        interpreter.ran(statement);
        if (statement.control.kind === 'begin') open = true;
        if (statement.control.kind === 'commit' || statement.control.kind === 'rollback') open = false;
      }
      if (!open) interpreter.transactionEnded();
      return template;
    },
    async relations(text) {
      const template = await interpreter.interpret(text);
      return template.statements.flatMap(({ facts }) =>
        facts.relations.map(({ name, type }) => (type === 'unresolved' ? `${name}?` : name)),
      );
    },
  };
}

describe('names', () => {
  test('are read in one round trip for all that a text says, and known to the next session', async () => {
    const shared = new SharedCatalog();
    const first = await session(shared);
    await first.interpreter.interpret(
      'select lower(c.name) from app.customers c join app.orders o on o.customer_id = c.id',
    );
    expect(first.asks.count).toBe(1);
    await first.interpreter.interpret('select upper(name) from app.customers where id = 7 or id = 8');
    const second = await session(shared);
    await second.interpreter.interpret('select 1 = 2');
    expect(second.asks.count).toBe(1);
    const template = second.interpreter.interpret(
      'select lower(c.name) from app.customers c join app.orders o on o.customer_id = c.id',
    );
    expect(template).not.toBeInstanceOf(Promise);
    expect(second.asks.count).toBe(1);
  });

  test('follow search_path as soon as it moves, and back when the transaction rolls back', async () => {
    const { run, relations } = await session(new SharedCatalog());
    await run('set search_path = app');
    expect(await relations('select id from customers')).toEqual(['app.customers']);
    await run('begin');
    await run('set local search_path = hostile, app');
    expect(await relations('select id from customers')).toEqual(['hostile.customers']);
    await run('rollback');
    expect(await relations('select id from customers')).toEqual(['app.customers']);
  });

  test('mean the temporary table that hides another, in the session that made it and in no other', async () => {
    const shared = new SharedCatalog();
    const [one, two] = [await session(shared), await session(shared)];
    for (const each of [one, two]) await each.run('set search_path = app');
    expect(await one.relations('select id from customers')).toEqual(['app.customers']);
    await one.run('create temp table customers (id int, mine text)');
    const [hidden] = await one.relations('select id, mine from customers');
    expect(hidden).toMatch(/^pg_temp_\d+\.customers$/);
    expect(await two.relations('select id from customers')).toEqual(['app.customers']);
    await one.run('drop table pg_temp.customers');
    expect(await one.relations('select id from customers')).toEqual(['app.customers']);
  });

  test('made in an open transaction are seen by its own session, and by others after it', async () => {
    const shared = new SharedCatalog();
    const [one, two] = [await session(shared), await session(shared)];
    expect(await two.relations('select a from app.fresh')).toEqual(['app.fresh?']);
    await one.run('begin');
    await one.run('create table app.fresh (a int)');
    expect(await one.relations('select a from app.fresh')).toEqual(['app.fresh']);
    expect(await two.relations('select a from app.fresh')).toEqual(['app.fresh?']);
    await one.run('commit');
    expect(await two.relations('select a from app.fresh')).toEqual(['app.fresh']);
    await one.run('drop table app.fresh');
    expect(await two.relations('select a from app.fresh')).toEqual(['app.fresh?']);
  });

  test.each(['rollback', 'rollback to a', "prepare transaction 'x'"])(
    'are asked for anew as soon as %s is sent, and not before',
    async (text) => {
      const { run, relations, interpreter, asks } = await session(new SharedCatalog());
      await run('set search_path = pg_temp, app');
      await run('begin');
      await run('savepoint a');
      await run('create temp table customers (id int, mine text)');
      expect((await relations('select * from customers'))[0]).toMatch(/^pg_temp_/);
      const { count } = asks;
      expect(interpreter.interpret('select * from customers')).not.toBeInstanceOf(Promise);
      expect(asks.count).toBe(count);
      await interpreter.interpret(text);
      interpreter.transactionEnding();
      expect(interpreter.interpret('select * from customers')).toBeInstanceOf(Promise);
    },
  );

  test('of a path that ends with its transaction are asked for anew as soon as its end is sent', async () => {
    const { run, relations, interpreter } = await session(new SharedCatalog());
    await run('begin');
    await run('set local search_path = app');
    expect(await relations('select id from customers')).toEqual(['app.customers']);
    expect(interpreter.interpret('select id from customers')).not.toBeInstanceOf(Promise);
    interpreter.transactionEnding();
    expect(interpreter.interpret('select id from customers')).toBeInstanceOf(Promise);
  });

  test("made before a savepoint that was rolled back to stay the session's own", async () => {
    const shared = new SharedCatalog();
    const [one, two] = [await session(shared), await session(shared)];
    await one.run('begin');
    await one.run('create table app.uncommitted (a int)');
    await one.run('savepoint a');
    await one.run('rollback to a');
    expect(await one.relations('select a from app.uncommitted')).toEqual(['app.uncommitted']);
    expect(await two.relations('select a from app.uncommitted')).toEqual(['app.uncommitted?']);
    await one.run('rollback');
    expect(await one.relations('select a from app.uncommitted')).toEqual(['app.uncommitted?']);
  });

  test('behind the end of a transaction in the same string are not what the transaction made them', async () => {
    const { run, interpreter } = await session(new SharedCatalog());
    await run('set search_path = pg_temp, app');
    const text = 'commit; select * from customers';
    expect((await interpreter.interpret(text)).opaque).toBe(false);
    await run('begin');
    expect((await interpreter.interpret(text)).opaque).toBe(false);
    await run('create temp table customers (id int) on commit drop');
    expect((await interpreter.interpret(text)).opaque).toBe(true);
    await run('rollback');
    await run('begin');
    await run('set local search_path = app');
    expect((await interpreter.interpret(text)).opaque).toBe(true);
    await run('rollback');
    expect((await interpreter.interpret(text)).opaque).toBe(false);
  });

  test('that somebody else changed are noticed when the answer has grown old, and the template stays while nothing changed', async () => {
    let now = 1000;
    const { interpreter, asks } = await session(new SharedCatalog({ catalog_ms: 5000 }), () => now);
    const text = 'select * from app.audited';
    const before = await interpreter.interpret(text);
    expect(await interpreter.interpret(text)).toBe(before);
    now += 5001;
    expect(await interpreter.interpret(text)).toBe(before);
    expect(asks.count).toBe(2);
    await database.sql('alter table app.audited add column extra text');
    expect(await interpreter.interpret(text)).toBe(before);
    now += 5001;
    const after = await interpreter.interpret(text);
    expect(after.resources).toContainEqual({
      type: 'column',
      name: 'app.audited.extra',
      access: 'read',
      use: 'output',
    });
    expect(after.hash).not.toBe(before.hash);
  });

  test('cannot be bent by operators and functions of a hostile search_path', async () => {
    await database.sql(`create function hostile.never(text, text) returns boolean language sql as 'select false';
      create operator hostile.= (leftarg = text, rightarg = text, function = hostile.never);
      create function hostile.json_build_object(variadic "any") returns json language internal as 'json_build_object';
      create function hostile.current_schemas(boolean) returns name[] language sql as $$select '{hostile}'::name[]$$;`);
    const { run, relations, interpreter } = await session(new SharedCatalog());
    await run('set search_path = hostile, pg_catalog, app');
    expect(await relations('select id from orders')).toEqual(['app.orders']);
    const template = await interpreter.interpret("select id from orders where region = 'EU'");
    expect(template.opaque).toBe(true);
    expect(template.statements[0]?.facts.functions).toContain('hostile.never');
  });

  test('of quotes, backslashes, commas and braces are names', async () => {
    await database.sql(String.raw`create table app."a""b\c,{d}" ("x'y" int)`);
    const { interpreter } = await session(new SharedCatalog());
    const template = await interpreter.interpret(String.raw`select "x'y" from app."a""b\c,{d}"`);
    expect(template.opaque).toBe(false);
    expect(template.resources).toContainEqual({
      type: 'column',
      name: String.raw`app.a"b\c,{d}.x'y`,
      access: 'read',
      use: 'output',
    });
  });
});

test('reading a toast table is reading the table whose values it holds', async () => {
  const [row] = await database.sql(
    `select t.relname as name from pg_class c join pg_class t on t.oid = c.reltoastrelid where c.oid = 'app.customers'::regclass`,
  );
  const { interpreter } = await session(new SharedCatalog());
  const { resources } = await interpreter.interpret(`select chunk_data from pg_toast.${String(row?.['name'])}`);
  const via = `pg_toast.${String(row?.['name'])}`;
  expect(resources).toContainEqual({ type: 'relation', name: 'app.customers', access: 'read', via });
  expect(resources).toContainEqual({
    type: 'column',
    name: 'app.customers.email',
    access: 'read',
    use: 'output',
    via,
  });
});

test('children are told one by one up to a bound, and their columns up to a lower one', async () => {
  await database.sql(`create schema many; create table many.few (id int) partition by range (id);
    create table many.crowd (id int);
    do $$ begin for i in 1..1001 loop
      execute format('create table many.c%s () inherits (many.crowd)', i);
    end loop; for i in 1..33 loop
      execute format('create table many.f%s partition of many.few for values from (%s) to (%s)', i, i, i + 1);
    end loop; end $$`);
  const { interpreter } = await session(new SharedCatalog());
  const few = await interpreter.interpret('select id from many.few');
  expect(few.opaque).toBe(false);
  expect(few.resources.filter(({ type }) => type === 'relation')).toHaveLength(34);
  expect(few.resources.filter(({ type }) => type === 'column')).toHaveLength(1);
  expect((await interpreter.interpret('select id from many.crowd')).opaque).toBe(true);
  expect((await interpreter.interpret('select id from only many.crowd')).opaque).toBe(false);
  await database.sql('drop schema many cascade');
});

test('after an opaque statement the session looks anew for where it stands', async () => {
  const { run, relations } = await session(new SharedCatalog());
  await run('set search_path = app');
  expect(await relations('select id from customers')).toEqual(['app.customers']);
  await run(`do $$begin perform set_config('search_path', 'hostile', false); end$$`);
  expect(await relations('select id from customers')).toEqual(['hostile.customers']);
});

test('what is prepared and declared is a template of its own text', async () => {
  const { interpreter } = await session(new SharedCatalog());
  const [prepared] = (
    await interpreter.interpret('prepare "as" (int) as /* é */ select name from app.customers where id = $1')
  ).statements;
  const control = prepared?.control;
  if (control?.kind !== 'prepare') throw new Error('not a PREPARE');
  expect(control.name).toBe('as');
  expect(control.inner.text).toBe('/* é */ select name from app.customers where id = $1');
  const alone = await interpreter.interpret(control.inner.text);
  expect(control.inner.resources).toEqual(alone.resources);
  expect(control.inner.hash).toBe(alone.hash);
});

test.each([
  ['rollback', true],
  ['commit; rollback', true],
  ['rollback to savepoint s', true],
  ['select 1', false],
  ['rollback; select 1', true],
  ['select 1; rollback', false],
  ['', true],
])('endsTransaction(%j) is %j', async (text, ends) => {
  const { interpreter } = await session(new SharedCatalog());
  expect(interpreter.endsTransaction(text)).toBe(ends);
});

describe('what the server would not read, or read otherwise', () => {
  const refusal = (text: string): StatementError => {
    const interpreter = createInterpreter({
      shared: new SharedCatalog(),
      ask: () => Promise.reject(new Error('not to be asked')),
      database: 'd',
      user: 'u',
    });
    try {
      void interpreter.interpret(text);
    } catch (error) {
      if (error instanceof StatementError) return error;
      throw error;
    }
    throw new Error(`${text.slice(0, 40)} was understood`);
  };

  test('positions count characters, not bytes or UTF-16 units', () => {
    expect(refusal("select 'é😀' from from").position).toBe(18);
    expect(refusal('selec').position).toBe(1);
  });

  test('texts with a NUL, with half a character, or too long are refused', () => {
    expect(refusal('select 1\0; drop table x').sqlstate).toBe('22021');
    expect(refusal("select '\ud800'").sqlstate).toBe('22021');
    expect(refusal(`select '${'x'.repeat(1024 * 1024)}'`).sqlstate).toBe('54000');
  });

  test('nesting that no stack holds is refused, and the parser lives', async () => {
    expect(refusal(`select ${'('.repeat(20_000)}1${')'.repeat(20_000)}`).sqlstate).toMatch(/^(42601|54001)$/);
    expect(refusal(`select ${'not '.repeat(9_000)} true`).sqlstate).toMatch(/^(42601|54001)$/);
    const { interpreter } = await session(new SharedCatalog());
    expect((await interpreter.interpret('select 1')).action).toBe('read');
  });
});

test('whatever is sent becomes a template or a StatementError', async () => {
  const words =
    "select insert into update delete from where set values with as ( ) , ; . * = app customers orders id email name $1 1 'x' \" ' -- /* */ $$ join on using group by order limit union all case when then end not null is in exists lateral create table drop alter role password copy to stdin merge matched returning window over partition cast :: [ ] array row é 😀 e'\\ u& prepare declare cursor for execute begin commit grant explain analyze".split(
      ' ',
    );
  const { interpreter } = await session(new SharedCatalog());
  const statements =
    readFileSync(join(import.meta.dirname, '../sql/cases/queries.yaml'), 'utf8').match(/(?<=statement: ).*/g) ?? [];
  const mutated = fc
    .tuple(fc.constantFrom(...statements), fc.nat(), fc.nat(20), fc.constantFrom(...words))
    .map(([text, at, length, word]) => {
      const start = at % (text.length + 1);
      return `${text.slice(0, start)} ${word} ${text.slice(start + length)}`;
    });
  const soup = fc.array(fc.constantFrom(...words), { maxLength: 25 }).map((chosen) => chosen.join(' '));
  let understood = 0;
  await fc.assert(
    fc.asyncProperty(fc.oneof(soup, mutated, fc.string({ unit: 'binary' })), async (text) => {
      try {
        const template = await interpreter.interpret(text);
        understood++;
        expect(template.text).toBe(text);
        expect(template.resources.length).toBeGreaterThan(0);
        expect(template.opaque).toBe(template.statements.some(({ facts }) => (facts.because?.length ?? 0) > 0));
      } catch (error) {
        expect(error).toBeInstanceOf(StatementError);
      }
    }),
    { numRuns: 1500, interruptAfterTimeLimit: 20_000 },
  );
  expect(understood).toBeGreaterThan(50);
});
