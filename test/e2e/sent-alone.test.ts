import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message, rows, shape, WireClient, type Frame } from '../support/wire.js';

/**
 * Where policy masks anything, the statements of a simple query go to the server as messages of the extended protocol, each behind a look
 * at the catalog, and a COPY as its query. The client sees what the server answers to a Query: byte by byte, beside a database with the same OIDs.
 */

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

mask contains {"resource": "app.people.ssn", "with": "redact", "code": "pii"} if {
	some resource in input.operation.resources
	resource.name == "app.people.ssn"
}
`;

const sql = `create schema app;
  create table app.people (id int primary key, ssn text);
  create table app.t (id int primary key, v text);
  insert into app.t values (1, 'a'), (2, 'b');
  create table app.child (id int primary key, t int references app.t deferrable initially deferred);
  create table app.also (id int);
  create table app.typed (short char(4), long varchar(12));
  create rule r as on insert to app.also do also select id, v from app.t;
  create table app.instead (id int);
  create rule r as on insert to app.instead do instead select id, v from app.t;
  create table app.noted (id int);
  create function app.note() returns trigger language plpgsql as $$ begin raise notice '%', new.id; return null; end $$;
  create constraint trigger late after insert on app.noted deferrable initially deferred for each row execute function app.note();
  create function app.name() returns text language sql volatile as $$ select set_config('application_name', 'other', false) $$`;

let one: TestDatabase;
let other: TestDatabase;
let gateway: TestGateway;
let direct: WireClient;
let through: WireClient;

beforeAll(async () => {
  one = await createDatabase({ sql });
  other = await createDatabase({ copyOf: one });
  gateway = await startTestGateway({ database: other, policy: { 'postgres.rego': policy } });
  direct = await WireClient.open({ ...one });
  through = await gateway.open();
});
afterAll(async () => {
  await direct?.end();
  await through?.end();
  await gateway?.close();
  await one?.drop();
  await other?.drop();
});

/** Without where in the server's source it was said, and the context in a function, which is withheld. */
const compared = (frames: readonly Frame[]): string[] =>
  frames.map(({ type, body }) =>
    type === 'E' || type === 'N'
      ? `${type} ${body.toString('latin1').split('\0').filter((field) => !/^[WFLR]/.test(field)).join(' ')}`
      : `${type} ${body.toString('latin1')}`,
  ); // prettier-ignore

/** Values that some form of COPY writes otherwise than they are. */
const awkward = String.raw`select E'a\tb\nc\\d\r\v\f\b\x01,"''' as "q,""u", null as n, '' as e, 'nil' as p, '\N' as x, 'é€😀;|' as u, 1.5 as d, true as b, '{a,b}'::text[] as l from app.t`;

test.each<readonly [what: string, ...texts: string[]]>([
  ['rows', 'select v from app.t order by id', 'table app.t', 'select from app.t', `select null, 'x', 1.5 from app.t`],
  ['semicolons and comments', ';;select v from app.t', 'select v from app.t; -- x', '/* x */ select v from app.t;;'],
  ['what no Query may have', 'select v from app.t where id = $1'],
  ['an error before rows', 'select 1 / 0 from app.t', `select 'x'::int from app.t`, 'insert into app.t values (1)'],
  ['an error among rows', 'select 1 / (id - 2) from app.t', 'copy (select 1 / (id - 2) from app.t) to stdout'],
  ['a name that is cut', `select id as ${'n'.repeat(70)} from app.t`],
  ['a constraint that fails with the end', 'insert into app.child values (1, 9)'],
  ['the same behind rows', 'insert into app.child values (1, 9) returning id'],
  ['the same in a prepared statement', 'prepare p as insert into app.child values (1, 9)', 'execute p'],
  ['a notice at the end', 'insert into app.noted values (1)', 'insert into app.noted values (2) returning id'],
  ['a setting that is reported', 'select app.name()'],
  ['a rule that selects as well', 'insert into app.also values (1)'],
  ['a rule that selects instead', 'insert into app.instead values (1)'],
  ['the same in a prepared insert', 'prepare q as insert into app.also values (1)', 'execute q'],
  ['a cursor outside of a transaction', 'declare c cursor for select v from app.t', 'fetch all from c'],
  ['one that stays', 'declare h cursor with hold for select v from app.t', 'fetch all from h', 'close h'],
  ['one in a transaction', 'begin', 'declare c cursor for select v from app.t', 'fetch all from c', 'commit'],
  ['a binary cursor', 'begin', 'declare c binary cursor for select id from app.t', 'fetch all from c', 'rollback'],
  ['an isolation that comes too late', 'begin', 'select v from app.t', 'set transaction isolation level serializable', 'rollback'],
  ['one that does not', 'begin', 'set transaction isolation level serializable', 'select v from app.t', 'commit'],
  ['a transaction that has failed', 'begin', 'select 1 / (id - 2) from app.t', 'select v from app.t', 'rollback'],
  ['copies', 'copy app.t to stdout', 'copy app.t to stdout (format binary)'],
  ['a clock that runs out', `set statement_timeout = '2s'`, 'select pg_sleep(60) from app.t', 'reset statement_timeout'],
  ['tables out of rows', 'create temp table made as select v from app.t', 'select v into temp more from app.t', 'discard all'],
  ['a table of its source\'s name', 'create temp table t as select * from app.t', 'create temp table u as select * from t', 'drop table t, u'],
  ['plans', 'explain (costs off) select v from app.t', 'explain (analyze, costs off, timing off, summary off, buffers off) select v from app.t', 'explain (analyze) select 1 / (id - 2) from app.t'],
  ['several statements', 'select 1; select v from app.t order by id; select 2', `insert into app.t values (3, 'c'); update app.t set v = 'd' where id = 3 returning v; delete from app.t where id = 3`],
  ['an error among them', 'select 1; select 1 / 0 from app.t; select 2', 'select 1; select nosuch from app.t', `select 'é€😀'; select nosuch from app.t`],
  ['a transaction in a string', 'begin; select v from app.t order by id; rollback', 'begin isolation level repeatable read; select v from app.t order by id; commit', 'select 1 from app.t; commit; select 2 from app.t'],
  ['a savepoint that there is no transaction for', 'select v from app.t; savepoint a'],
  ['a constraint that fails with the end of a string', 'insert into app.child values (1, 9); select 1', 'select 1; insert into app.child values (1, 9)'],
  ['what Npgsql sends with a connection that goes back', 'set search_path = app', 'prepare z as select v from t order by id', 'SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP', 'execute z', 'show search_path', 'deallocate z'],
  ['what deadpool does', 'CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES;', 'select v from app.t order by id'],
  ['no role', 'set role none', 'select v from app.t order by id', 'reset role'],
  ['settings in a string', `set application_name = 'x'; select v from app.t order by id; reset application_name`, 'show application_name; select v from app.t'],
  ['cursors in a string', 'begin; declare c cursor for select v from app.t; fetch all from c; commit', 'select 1; declare c cursor for select v from app.t; fetch 1 from c'],
  ['a binary cursor in a string', 'begin; declare c binary cursor for select id from app.t; fetch all from c; commit'],
  ['one whose plan knows more of a type than its text', 'prepare p as (select short from app.typed limit 3) except (select long from app.typed)', 'execute p', 'deallocate p'],
  ['a statement that is prepared and run in a string', 'prepare p as select v from app.t where id = $1; execute p(1)', 'execute p(2)', `execute p('1')`, 'execute p(1 + 1)', 'execute p(null)', 'execute p', 'deallocate p', 'execute p(1)'],
  ['several copies', 'copy app.t to stdout; copy (select v from app.t) to stdout csv; select 1', 'begin; copy app.t to stdout; commit', 'select 1; copy (select nosuch from app.t) to stdout'],
  ['what cannot be copied', 'copy app.nosuch to stdout', 'copy app.t (nosuch) to stdout', 'copy app.t (id, id) to stdout', 'copy (select 1/0) to stdout', `copy app.t to stdout (delimiter 'ab')`, 'copy app.t to stdout (nosuch)', `copy app.t to stdout (format 'TEXT')`, 'copy (insert into app.t values (8)) to stdout'],
  ['columns and copies of what writes', 'copy app.t (v) to stdout', 'copy app.t (v, id) to stdout csv header', 'copy (insert into app.t values (9) returning id) to stdout', 'copy (delete from app.t where id > 2 returning *) to stdout csv', `copy app.t to stdout (encoding 'latin1')`],
  ['copies of other texts', '/* a ( */ copy /* ) */ (select 1 from app.t -- )\n) to stdout', 'copy (with x as (select 1) select * from x, app.t) to stdout', 'copy (table app.t) to stdout', 'copy (values (1), (2)) to stdout'],
  ['copies without rows or columns', ...['text', 'csv', 'binary'].flatMap((format) => [`copy (select from app.t) to stdout (format ${format})`, `copy (select 1 from app.t where false) to stdout (format ${format})`]), 'copy (select null from app.t where false) to stdout csv header'],
  ['copies of whatever needs escapes', ...['text', 'csv', 'binary'].map((format) => `copy (${awkward}) to stdout (format ${format})`), `copy (${awkward}) to stdout (header)`, `copy (${awkward}) to stdout csv header`],
  ['copies in other forms', `copy (${awkward}) to stdout (delimiter '|', null 'x')`, `copy (${awkward}) to stdout (format csv, header, force_quote *, null 'nil', quote '''', escape '\\', delimiter ';')`, `copy (${awkward}) to stdout (format csv, header true, force_quote (n, p), null 'nil')`],
  ['copies of a dot behind a backslash', `copy (select '\\.' from app.t) to stdout csv`, `copy (select '\\.', 1 from app.t) to stdout csv`, `copy (select '' from app.t) to stdout csv`],
  ['copies of long rows', `copy (select repeat('x', 100000), repeat(E'\\n', 70000) from app.t) to stdout`],
])('%s', async (_what, ...texts) => {
  for (const text of texts) {
    expect([text, ...compared(await through.query(text))]).toEqual([text, ...compared(await direct.query(text))]);
  }
}); // prettier-ignore

const data = (...lines: string[]) => [...lines.map((line) => message.copyData(`${line}\n`)), message.copyDone()];

test.each<readonly [what: string, text: string, ...data: Buffer[]]>([
  ['rows', 'copy app.t from stdin', ...data('21\ta', '22\tb')],
  ['none', 'copy app.t from stdin', ...data()],
  ['a row that is none', 'copy app.t from stdin', ...data('23\ta', 'x\tb', '24\tc')],
  ['a row that is there', 'copy app.t from stdin', ...data('1\ta')],
  ['a constraint that fails with the end', 'copy app.child from stdin', ...data('11\t9')],
  ['a notice at the end', 'copy app.noted from stdin', ...data('11')],
  ['a table that is not there', 'copy app.nosuch from stdin', ...data('1')],
  ['what the client gives up', 'copy app.t from stdin', message.copyData('25\ta\n'), message.copyFail('no more')],
  ['among others', 'select 1; copy app.t from stdin; select v from app.t order by id', ...data('26\ta')],
  ['two', 'copy app.t from stdin; copy app.also from stdin', ...data('27\ta'), ...data('1')],
  ['two of which one fails', 'copy app.t from stdin; copy app.also from stdin', ...data('28\ta'), ...data('x')],
  ['in a transaction', 'begin; copy app.t from stdin; commit', ...data('29\ta')],
  ['an error behind it', 'copy app.t from stdin; select 1 / 0 from app.t', ...data('30\ta')],
])('what is copied in: %s', async (_what, text, ...data) => {
  for (const query of [text, 'select * from app.t order by id'])
    expect(compared(await through.exchange(message.query(query), ...(query === text ? data : [])))).toEqual(
      compared(await direct.exchange(message.query(query), ...(query === text ? data : []))),
    );
  for (const client of [through, direct])
    expect(errorOf(await client.query('delete from app.t where id > 2'))).toBeUndefined();
});

test('that a commit failed is said in the place of the end, and recorded', async () => {
  const answer = await through.query('insert into app.child values (7, 9)');
  expect([shape(answer), errorOf(answer)?.['C']]).toEqual(['E Z', '23503']);
  expect(await other.sql('select id from app.child')).toEqual([]);
  const last = (await gateway.records()).at(-1);
  expect(JSON.stringify(last)).toContain('23503');
});

test('the server holds the statement of the look alone, and a client that drops all gets another', async () => {
  for (let round = 0; round < 3; round++) {
    expect(rows(await through.query('select v from app.t order by id'))).toEqual([['a'], ['b']]);
    const name = rows(await through.query('select min(name) from pg_prepared_statements'))[0]?.[0];
    expect(name).toMatch(/^sallyport_[0-9a-f]{12}_look_/);
    await through.query(['deallocate all', 'discard all', `deallocate ${name}`][round]!);
  }
  expect(rows(await through.query('select v from app.t order by id'))).toEqual([['a'], ['b']]);
});
