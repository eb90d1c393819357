import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { createDatabase, type TestDatabase, textRows } from '../../../../test/support/postgres.js';
import { createInterpreter, loadParser, SharedCatalog } from '../judging/interpreter.js';
import type { Interpreter } from '../judging/statement.js';

/** A database with extensions where people have them: in the schema public, on everybody's search_path. */

const sql = `
  create schema app;
  ${[
    'citext',
    'hstore',
    'pg_trgm',
    'uuid-ossp',
    'pgcrypto',
    'ltree',
    'unaccent',
    'fuzzystrmatch',
    'btree_gin',
    'btree_gist',
    'intarray',
    'cube',
    'earthdistance',
    'tablefunc',
    'moddatetime',
    'dblink',
    'lo',
  ]
    .map((name) => `create extension "${name}" schema public;`)
    .join('\n  ')}
  create domain app.mail as citext check (value like '%@%');
  create table app.people (id int primary key, name text, nick citext, mail app.mail, tags hstore, path ltree, at timestamptz default now(),
    token uuid default public.uuid_generate_v4(), unique (nick));
  create index on app.people using gin (name gin_trgm_ops);
  create trigger touched before update on app.people for each row execute function moddatetime(at);
  create view app.nicks as select id, nick, similarity(name, 'x') as like_x from app.people where nick = 'ann';
  create table app.objects (id int, picture oid);
  create trigger manage before update or delete on app.objects for each row execute function lo_manage(picture);
  -- Not an extension's, though it is called like one of its.
  create function app.similarity(text, int) returns real language plpgsql as 'begin return 1; end';
  create function app.gone(app.people) returns bool language plpgsql as 'begin return true; end';
  create function app.same(int, text) returns bool language plpgsql as 'begin return true; end';
  create operator public.~~ (leftarg = int, rightarg = text, function = app.same);
  create type app.pair as (a int, b int);
  create function app.pairs(app.pair, app.pair) returns bool language plpgsql as 'begin return true; end';
  create operator public.= (leftarg = app.pair, rightarg = app.pair, function = app.pairs);
  create function public.state(citext, citext) returns citext language plpgsql as 'begin return $1; end';
  create aggregate public.sum(citext) (sfunc = public.state, stype = citext);
  alter extension citext add aggregate public.sum(citext);
  create domain app.number as int check (value > 0);
  create domain app.numbers as int[];
  create function app.numbers(app.number, app.number) returns bool language plpgsql as 'begin return true; end';
  create operator public.<~> (leftarg = app.number, rightarg = app.number, function = app.numbers);
  create function app.text_is(text, int) returns bool language plpgsql as 'begin return true; end';
  create schema typed;
  create operator typed.= (leftarg = text, rightarg = int, function = app.text_is);
  create function public.strpos(text, int) returns int language plpgsql as 'begin return 1; end';
  create function public.repeat(app.number) returns int language plpgsql as 'begin return 1; end';
  create function public.repeat(app.mail, int) returns text language plpgsql as 'begin return $1; end';
  create function public.abs(app.number) returns int language plpgsql as 'begin return $1; end';
  create function public.array_length(app.number[], int) returns int language plpgsql as 'begin return $1; end';
  create function app.check_it(text) returns bool language plpgsql as 'begin return true; end';
  create domain public.initcap as text check (app.check_it(value));
  create or replace function public.soundex(text) returns text language plpgsql as 'begin return $1; end';
`;

let database: TestDatabase;
const clients: pg.Client[] = [];
let interpreter: Interpreter;
/** Of a session with operators on its path that take what the server's own of that name do not. */
let typed: Interpreter;

const session = async (path: string): Promise<Interpreter> => {
  const client = new pg.Client(database.url);
  await client.connect();
  clients.push(client);
  await client.query(`set search_path = ${path}`);
  return createInterpreter({
    shared: new SharedCatalog({ catalog_ms: 600_000 }),
    ask: textRows(client),
    database: 'postgres',
    user: 'postgres',
  });
};

beforeAll(async () => {
  await loadParser();
  database = await createDatabase({ sql });
  interpreter = await session('public');
  typed = await session('public, typed');
});
afterAll(async () => {
  for (const client of clients) await client.end();
  await database.drop();
});

const because = async (text: string, by = interpreter): Promise<readonly string[]> =>
  (await by.interpret(text)).statements.flatMap(({ facts }) => facts.because ?? []);

describe('what has nothing to do with the extensions is as it is without them', () => {
  for (const text of [
    "select relname from pg_class where oid = 'app.people'::regclass",
    "select name from pg_settings where name like 'sally%'",
    "select name from pg_settings where name ilike any (array['a%']) or name in ('a', 'b') or name not like 'x'",
    'select * from app.people where id = 1 and name between $1 and $2 order by name',
    "update app.people set name = 'x' where id = 1",
    "insert into app.people (id, name) values (1, 'x') on conflict (id) do update set name = excluded.name",
    "delete from app.people where name = 'x'",
    "select table_name from information_schema.tables where table_schema = 'app' and table_name <> 'p'",
    'select array[1, 2] <@ array[1]',
  ])
    test(text, async () => {
      expect(await because(text)).toEqual([]);
    });
});

describe('functions, operators and types of extensions that were looked through are known', () => {
  for (const text of [
    "select nick, upper(nick), nick || 'x' from app.people where nick = 'Ann' or nick like 'a%'",
    "select 'x'::citext, 'a@b'::app.mail, min(nick) from app.people group by nick",
    "select tags -> 'a', hstore('a', 'b'), tags ? 'a', (each(tags)).key from app.people where tags @> 'a=>1'",
    "select similarity(name, 'x'), name % 'x', name <-> 'x' from app.people where show_limit() > 0",
    "select digest(name, 'sha256'), crypt(name, gen_salt('bf')), encode(gen_random_bytes(4), 'hex') from app.people",
    'select uuid_generate_v4(), public.uuid_generate_v5(uuid_ns_url(), name) from app.people',
    "select subpath(path, 0, 1), path ~ 'a.*'::lquery, path <@ 'a' from app.people",
    "select unaccent(name), levenshtein(name, 'x'), metaphone(name, 4) from app.people",
    "select sort(array[2, 1]), array[1, 2] & array[2], array[1]::int[] @@ '1&2'::query_int",
    'select cube(array[1.0, 2.0]) <-> cube(array[1.0, 1.0]), normal_rand(1, 1, 1)',
    "update app.people set nick = 'b', mail = 'a@b', tags = tags || 'a=>1' where id = 1",
    "insert into app.people (id, nick, path) values (1, 'x', 'a.b')",
    'select * from app.nicks',
  ])
    test(text, async () => {
      expect(await because(text)).toEqual([]);
    });
});

describe("a function of an extension's beside the server's own counts where the arguments' types could lead to it", () => {
  for (const text of [
    "select replace(name, 'a', 'b'), translate(name, 'a', 'b'), split_part(name, 'a', 1) from app.people",
    "select strpos(name, 'a'), position('a' in name) from app.people where replace(replace(name, 'a', ''), 'b', '') = 'x'",
    "select regexp_replace(name, 'a', $1), regexp_match(name, $2) from app.people",
    "select regexp_split_to_table('a b', ' '), regexp_matches('a', 'a', 'g'), split_part('a', 'b', 1)",
    "select replace(s.x, 'a', 'b') from (select 'literal' as x) s",
    "select repeat(name, 2), repeat('x', 2), abs(-1) from app.people",
  ])
    test(text, async () => {
      expect(await because(text)).toEqual([]);
    });
  for (const [text, name] of [
    ["select replace(nick, 'a', 'b') from app.people", 'public.replace'],
    ["select replace(mail, 'a', 'b') from app.people", 'public.replace'],
    ["select replace('a'::citext, 'a', 'b')", 'public.replace'],
    ['select replace($1, $2, $3)', 'public.replace'],
    ["select replace(coalesce(name, nick), 'a', 'b') from app.people", 'public.replace'],
    ["select public.replace(name, 'a', 'b') from app.people", 'public.replace'],
    ['select strpos(name, 1) from app.people', 'public.strpos'],
    ['select strpos(name, id) from app.people', 'public.strpos'],
    ["select strpos(a => name, b => 'a') from app.people", 'public.strpos'],
    ['select array_length(array[1], 1)', 'public.array_length'],
  ] as const)
    test(`${text}: ${name}`, async () => {
      expect((await because(text)).join()).toContain(name);
    });
});

describe('what else an extension brings stays unknown', () => {
  for (const [text, name] of [
    ["select * from dblink('', 'select 1') as t(a int)", 'public.dblink'],
    ["select * from crosstab('select 1, 2, 3') as t(a int, b int)", 'public.crosstab'],
    ["select connectby('app.people', 'id', 'id', '1', 0)", 'public.connectby'],
    ['select set_limit(0.1)', 'public.set_limit'],
    ["select populate_record(null::app.people, 'a=>1')", 'public.populate_record'],
    ['delete from app.objects', 'public.lo_manage'],
  ] as const)
    test(text, async () => {
      expect((await because(text)).join()).toContain(name);
    });
});

describe("what somebody made is unknown, though it bears an extension's name or sits in one", () => {
  for (const [text, name] of [
    ["select app.similarity('x', 1)", 'app.similarity'],
    ['select soundex(name) from app.people', 'public.soundex'],
    ['select sum(nick) from app.people', 'public.sum'],
    ['select 1 from app.people where id like name', 'app.same'],
    ['select (row(1, 2)) = (null)', 'app.pairs'],
    ["select '(1,2)'::app.pair = '(1,2)'", 'app.pairs'],
    ['select p.gone from app.people p', 'gone'],
    // The server makes a domain's value of its base type's unasked.
    ['select 1 <~> 2', 'app.numbers'],
    ['select id <~> id from app.people', 'app.numbers'],
    // f(x) is a cast to the type f where no function takes the very x.
    ["select initcap('a')", 'app.check_it'],
  ] as const)
    test(text, async () => {
      expect((await because(text)).join()).toContain(name);
    });
});

describe('a value has the type that the server gives it, or none that is known', () => {
  for (const text of [
    // What a query hands out of a literal is text, whatever stands beside it then.
    "select s.x = 1 from (select 'a' as x) s",
    "with s as (values ('a')) select column1 = 1 from s",
    'select (select $$a$$) = 1',
    // A parameter is of the type that the client says.
    'select $1 = id from app.people',
  ])
    test(text, async () => {
      expect((await because(text, typed)).join()).toContain('app.text_is');
    });
  test('select id = 1 from app.people', async () => {
    expect(await because("select id = 1, name = 'x', id = '1' from app.people", typed)).toEqual([]);
  });
});
