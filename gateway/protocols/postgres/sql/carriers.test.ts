import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { createDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { createInterpreter, loadParser, SharedCatalog } from '../judging/interpreter.js';
import type { Ask, Interpreter } from '../judging/statement.js';

/** What the server's own catalogs hold of credentials, of other sessions and of large objects, by whatever road it is read. */

const known = {
  pg_foreign_server: 'select srvname, srvtype from pg_foreign_server',
  foreign_server_options: 'select foreign_server_name, option_name from information_schema.foreign_server_options',
  pg_user_mappings: 'select umid, srvname from pg_user_mappings',
  pg_foreign_data_wrapper: 'select fdwname from pg_foreign_data_wrapper',
  pg_foreign_table: 'select ftoptions from pg_foreign_table',
  pg_db_role_setting: 'select setrole from pg_db_role_setting',
  pg_roles: 'select rolname, rolsuper from pg_roles',
  pg_user: 'select usename from pg_user',
  pg_shadow: 'select usename from pg_shadow',
  pg_subscription: 'select subname, subenabled from pg_subscription',
  pg_stat_subscription: 'select * from pg_stat_subscription',
  pg_stat_ssl: 'select * from pg_stat_ssl',
  pg_stat_gssapi: 'select * from pg_stat_gssapi',
  pg_stat_replication: 'select * from pg_stat_replication',
  pg_stat_activity: 'select pid, state, wait_event from pg_stat_activity',
  pg_largeobject: 'select loid, pageno from pg_largeobject',
  pg_largeobject_metadata: 'select * from pg_largeobject_metadata',
  'a view without them': 'select rolname from app.roles',
  'a setting': 'show server_version',
};

const carrying: Readonly<Record<string, readonly string[]>> = {
  srvoptions: [
    'select srvoptions from pg_foreign_server',
    'table pg_foreign_server',
    'select s from pg_foreign_server s',
    'select to_jsonb(s) from pg_foreign_server s',
    'select 1 from pg_foreign_server where srvoptions is null',
    'select pg_options_to_table(srvoptions) from pg_foreign_server',
    'select * from information_schema._pg_foreign_servers',
    'select * from app.servers',
    'select name from app.servers where options is not null',
    'copy pg_foreign_server to stdout',
    'explain select srvoptions from pg_foreign_server',
  ],
  option_value: [
    'select * from information_schema.foreign_server_options',
    'select option_value from information_schema.user_mapping_options',
    'select * from information_schema.foreign_data_wrapper_options',
  ],
  fdwoptions: ['select fdwoptions from pg_foreign_data_wrapper'],
  umoptions: [
    'select umoptions from pg_user_mapping',
    'select * from pg_user_mappings',
    'select * from information_schema._pg_user_mappings',
  ],
  setconfig: ['select setconfig from pg_db_role_setting', 'table pg_db_role_setting'],
  rolconfig: ['select rolconfig from pg_roles', 'select config from app.roles'],
  useconfig: ['select * from pg_user', 'select useconfig from pg_shadow'],
  passwd: ['select passwd from pg_shadow'],
  rolpassword: ['select rolpassword from pg_authid', 'select * from pg_authid'],
  subconninfo: ['select subconninfo from pg_subscription', 'table pg_subscription'],
  conninfo: ['select * from pg_stat_wal_receiver'],
  query: ['select query from pg_stat_activity', 'select count(*) from pg_stat_activity where query like $$%x%$$'],
  pg_stat_get_activity: ['select pg_stat_get_activity(null)', 'select state from pg_stat_get_activity(null)'],
  pg_stat_get_backend_activity: ['select pg_stat_get_backend_activity(1)'],
  data: ['select data from pg_largeobject', 'select length(data) from pg_largeobject'],
  lo_get: ['select lo_get(1)'],
  loread: ['select loread(0, 1)'],
  lo_import: ['select lo_import($$/etc/passwd$$)'],
  primary_conninfo: ['show primary_conninfo', "select current_setting('primary_conninfo')"],
};

let database: TestDatabase;
let client: pg.Client;
let interpreter: Interpreter;

beforeAll(async () => {
  await loadParser();
  database = await createDatabase({
    sql: `create schema app;
      create view app.servers as select srvname as name, srvoptions as options from pg_foreign_server;
      create view app.roles as select rolname, rolconfig as config from pg_roles`,
  });
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const text = { getTypeParser: () => (value: string) => value };
  const ask: Ask = async (sql, values) =>
    (await client.query<(string | null)[]>({ text: sql, values: [...values], rowMode: 'array', types: text })).rows;
  interpreter = createInterpreter({ shared: new SharedCatalog(), ask, database: 'orders', user: 'postgres' });
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

test.each(Object.entries(known))('%s can be read by what it says of things: %s', async (_name, statement) => {
  const { statements } = await interpreter.interpret(statement);
  expect(statements.flatMap(({ facts }) => facts.because ?? [])).toEqual([]);
});

test.each(Object.entries(carrying).flatMap(([what, list]) => list.map((statement) => [what, statement] as const)))(
  '%s carries values, so that this is opaque: %s',
  async (what, statement) => {
    const { opaque, statements } = await interpreter.interpret(statement);
    expect(opaque).toBe(true);
    expect(statements.flatMap(({ facts }) => facts.because ?? []).join()).toMatch(new RegExp(`\\b${what}\\b`));
  },
);
