import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Filter, Mask } from '#engine';
import { createDatabase, type TestDatabase, textRows } from '../../../../test/support/postgres.js';
import { RewriteRefusal } from '../enforcing/rewriting.js';
import { createInterpreter, loadParser, SharedCatalog } from '../judging/interpreter.js';
import type { Interpreter, Template } from '../judging/statement.js';

/** What functions in SQL touch is known out of their bodies, or they are unknown. */

const sql = `
  create schema app;
  set search_path = app, public;
  create table app.people (id int primary key, name text, email text, at date);
  create table app.orders (id int primary key, person int, note text);
  create view app.mails as select id, email as mail from app.people;
  create function app.shout(text) returns text language sql immutable as $$ select upper($1) || '!' $$;
  create function app.name_of(int) returns text language sql stable as $$ select name from app.people where id = $1 $$;
  create function app.email_of(wanted int) returns text language sql stable as $$ select email from people where id = wanted; $$;
  create function app.email_too(wanted int) returns text language sql stable begin atomic select email from app.people where id = wanted; end;
  create function app.twice(int) returns int language sql immutable return $1 * 2;
  create function app.names() returns setof text language sql stable as 'select name from app.people order by at';
  create function app.deep(int) returns text language sql stable as 'select app.shout(app.email_of($1))';
  create function app.mail_of(int) returns text language sql stable as 'select mail from app.mails where id = $1';
  create function app.counted(int) returns bigint language sql stable as 'select count(*) from app.orders where person = $1';

  create function app.volatile(int) returns int language sql as 'select $1';
  create function app.plain(int) returns int language plpgsql immutable as 'begin return $1; end';
  create function app.owned(int) returns int language sql stable security definer as 'select $1';
  create function app.placed(int) returns int language sql stable set search_path = app as 'select $1';
  create function app.defaulted(int, int default app.plain(1)) returns int language sql stable as 'select $1';
  create function app.listed(variadic int[]) returns int language sql stable as 'select 1';
  create function app.tabled() returns table (id int) language sql stable as 'select 1';
  create function app.several(int) returns int language sql stable as 'select 1; select $1';
  create function app.any(anyelement) returns int language sql stable as 'select 1';
  create function app.whole(app.people) returns text language sql stable as 'select $1.email';
  create function app.row_of(int) returns app.people language sql stable as 'select * from app.people where id = $1';
  create function app.outside(int) returns int language sql stable as 'select app.plain($1)';
  create function app.locking(int) returns int language sql stable as 'select id from app.people where id = $1 for update';
  create function app.locked(int) returns text language sql stable as 'select pg_advisory_lock($1)::text';
  create function app.ever(int) returns int language sql stable as 'select $1';
  create or replace function app.ever(int) returns int language sql stable as 'select app.ever($1 - 1)';
  create type app.handle as (n int);
  create function app.of_handle(app.handle) returns date language plpgsql as 'begin return null; end';
  create cast (app.handle as date) with function app.of_handle(app.handle) as assignment;
  create table app.handles (h app.handle);
  create function app.cast_to() returns date language sql stable as 'select h from app.handles';
  create type app.grip as (n int);
  create function app.of_grip(app.grip) returns text language sql stable as 'select email from app.people where id = $1.n';
  create cast (app.grip as text) with function app.of_grip(app.grip) as implicit;
  create domain app.held as app.grip;
  create table app.grips (id int, grip app.grip, held app.held, several app.grip[]);
  create function app.mixed(int) returns int language sql stable as 'select $1';
  create function app.mixed(bigint) returns int language plpgsql as 'begin return 1; end';
`;

let database: TestDatabase;
let client: pg.Client;
let interpreter: Interpreter;

beforeAll(async () => {
  await loadParser();
  database = await createDatabase({ sql });
  client = new pg.Client(database.url);
  await client.connect();
  await client.query('set search_path = app, public');
  interpreter = createInterpreter({
    shared: new SharedCatalog({ catalog_ms: 600_000 }),
    ask: textRows(client),
    database: 'postgres',
    user: 'postgres',
  });
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const because = ({ statements }: Template): string => statements.flatMap(({ facts }) => facts.because ?? []).join();

/** What is touched by way of functions. */
const behind = ({ resources }: Template): string[] =>
  resources
    .filter(({ via }) => via?.endsWith('()'))
    .map(({ name, access, use, via }) => [name, access, use, `by ${via ?? ''}`].filter(Boolean).join(' '));

describe('what the body touches is touched by the call', () => {
  for (const [text, touched] of [
    ['select app.shout(note) from app.orders', []],
    ['select app.twice(id) from app.orders', []],
    [
      'select app.name_of(1)',
      [
        'app.people read by app.name_of()',
        'app.people.id read predicate by app.name_of()',
        'app.people.name read output by app.name_of()',
      ],
    ],
    [
      'select email_of(person) from orders',
      [
        'app.people read by app.email_of()',
        'app.people.id read predicate by app.email_of()',
        'app.people.email read output by app.email_of()',
      ],
    ],
    [
      'select app.email_too(1)',
      [
        'app.people read by app.email_too()',
        'app.people.id read predicate by app.email_too()',
        'app.people.email read output by app.email_too()',
      ],
    ],
    [
      'select * from app.names() n',
      [
        'app.people read by app.names()',
        'app.people.name read output by app.names()',
        'app.people.at read order by app.names()',
      ],
    ],
    [
      'select 1 where app.counted(1) > 2',
      ['app.orders read by app.counted()', 'app.orders.person read predicate by app.counted()'],
    ],
  ] as const)
    test(text, async () => {
      const template = await interpreter.interpret(text);
      expect(because(template)).toBe('');
      expect(template.action).toBe('read');
      expect(behind(template)).toEqual(touched);
    });

  test('of a body within a body, and of a view', async () => {
    for (const [text, via] of [
      ['select app.deep(1)', 'app.deep()'],
      ['select app.mail_of(1)', 'app.mail_of()'],
    ] as const) {
      const template = await interpreter.interpret(text);
      expect(because(template)).toBe('');
      expect(behind(template)).toContain(`app.people.email read output by ${via}`);
    }
  });

  test('of every function that is named on the way', async () => {
    const { resources } = await interpreter.interpret('select app.deep(1)');
    const functions = resources.filter(({ type }) => type === 'function').map(({ name }) => name);
    expect(functions).toEqual(expect.arrayContaining(['app.deep', 'app.shout', 'app.email_of', 'pg_catalog.upper']));
  });
});

describe('other functions are unknown', () => {
  for (const text of [
    'select app.volatile(1)',
    'select app.plain(1)',
    'select app.owned(1)',
    'select app.placed(1)',
    'select app.defaulted(1)',
    'select app.listed(1, 2)',
    'select * from app.tabled()',
    'select app.several(1)',
    'select app.any(1)',
    'select app.whole(p) from app.people p',
    'select app.row_of(1)',
    'select app.outside(1)',
    'select app.locking(1)',
    'select app.locked(1)',
    'select app.ever(1)',
    'select app.cast_to()',
    'select app.mixed(1), app.mixed(2 + id) from app.orders where app.mixed($1) = 1',
  ])
    test(text, async () => {
      expect(because(await interpreter.interpret(text))).toContain('the body of function app.');
    });

  test('and so is one whose names may mean something else by the time that it runs', async () => {
    const text = "select set_config('search_path', 'other', true), email_of(1)";
    expect(because(await interpreter.interpret(text))).toContain('may mean something else');
  });

  test('names in a body mean what they do in the session', async () => {
    await client.query('begin; create temporary table people (id int, email text)');
    const own = createInterpreter({
      shared: new SharedCatalog({ catalog_ms: 600_000 }),
      ask: textRows(client),
      database: 'postgres',
      user: 'postgres',
    });
    const touched = behind(await own.interpret('select app.email_of(1)'));
    await client.query('rollback');
    expect(touched.join()).toMatch(/^pg_temp\S*\.people read by app.email_of\(\)/);
  });
});

describe('so is what the server runs unasked to make a text of a value', () => {
  for (const text of [
    'select upper(grip) from app.grips',
    "select id from app.grips where grip || 'x' like 'a%'",
    'select upper(held) from app.grips',
    "select array_to_string(several || array['x'], '') from app.grips",
    "select g.x from (select grip as x from app.grips) g where x ~ 'a'",
  ])
    test(text, async () => {
      expect(because(await interpreter.interpret(text))).toContain('app.of_grip');
    });
  test('but not where no such value is read', async () => {
    expect(because(await interpreter.interpret('select id from app.grips'))).toBe('');
  });
});

describe('masks and filters cannot be put into a body', () => {
  const masks: readonly Mask[] = [
    { resource: 'app.people.email', with: 'redact', scope: 'source', code: 'test_mask' },
    { resource: 'app.orders.note', with: 'redact', scope: 'output', code: 'test_mask' },
  ];
  const rewritten = async (text: string, filters: readonly Filter[] = []): Promise<string> => {
    try {
      return (await interpreter.rewrite(await interpreter.interpret(text), { masks, filters })).text;
    } catch (error) {
      if (error instanceof RewriteRefusal) return `${error.code}: ${error.message}`;
      throw error;
    }
  };

  for (const text of [
    'select app.email_of(1)',
    'select app.email_too(id) from app.people',
    'select 1 where app.deep(1) is null',
    'select app.mail_of(id) from app.mails',
    'insert into app.orders (id, person) values (1, length(app.email_of(1)))',
    'explain select app.email_of(1)',
  ])
    test(text, async () => {
      expect(await rewritten(text)).toMatch(
        /^mask_unenforceable: app\.\w+\(\) reads the masked column app\.people\.email in its body/,
      );
    });

  test('what a body does not read is no matter, and its arguments are masked', async () => {
    const sent = await rewritten('select app.name_of(id), app.shout(email) from app.people');
    expect(sent).toContain('select app.name_of(id), app.shout(email) from (SELECT');
    expect(sent).toContain(`CAST('***' AS text) AS "email"`);
  });

  test('what is made of a column that is masked on the way out is made of its mask', async () => {
    const sent = await rewritten('select app.shout(note) from app.orders where app.shout(note) is null');
    expect(sent).toMatch(
      /^select app\.shout\(note\) from \(SELECT.* AS "note", .* where app\.shout\("orders"\."sallyport\.\d"\) is null$/,
    );
  });

  test('rows that a filter hides', async () => {
    const filters = [{ resource: 'app.people', where: 'id > 5', code: 'test_filter' }];
    expect(await rewritten('select app.name_of(1)', filters)).toMatch(
      /^filter_unenforceable: the filter of app\.people/,
    );
  });
});

describe('what a body says holds for what is sent at once', () => {
  test('and is looked at again for whatever comes after; all else is remembered', async () => {
    let asks = 0;
    const ask = textRows(client);
    const own = createInterpreter({
      shared: new SharedCatalog({ catalog_ms: 600_000 }),
      ask: (text, values) => {
        asks++;
        return ask(text, values);
      },
      database: 'postgres',
      user: 'postgres',
      now: () => asks,
    });
    const call = 'select app.deep(1)';
    own.turn();
    const first = await own.interpret(call);
    const looks = asks;
    expect(await own.interpret(call)).toBe(first);
    await own.interpret('select lower(email) from app.people');
    expect(asks).toBe(looks + 1);
    own.turn();
    expect(await own.interpret('select lower(email) from app.people')).toMatchObject({ action: 'read' });
    expect(asks).toBe(looks + 1);
    expect(await own.interpret(call)).toBe(first);
    expect(asks).toBe(looks + 2);
    await client.query(
      `create or replace function app.shout(text) returns text language sql immutable as 'select lower($1)'`,
    );
    own.turn();
    const again = await own.interpret(call);
    expect(again.resources.map(({ name }) => name)).toContain('pg_catalog.lower');
    expect(first.resources.map(({ name }) => name)).not.toContain('pg_catalog.lower');
  });
});
