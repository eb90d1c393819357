import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Mask } from '#engine';
import { createDatabase, type TestDatabase, textRows } from '../../../../test/support/postgres.js';
import { RewriteRefusal } from '../enforcing/rewriting.js';
import { createInterpreter, loadParser, SharedCatalog } from '../judging/interpreter.js';
import { StatementError, type Interpreter } from '../judging/statement.js';

/** What definitions tell of rows. Policy masks what is classified among a statement's resources, as the starter policy does. */

const sql = `
  create schema app;
  create domain app.code as text;
  create domain app.short as app.code;
  create type app.pair as (first app.code, second int);
  create table app.customers (id int primary key, name text, email text, code app.code, pair app.pair, twin text generated always as (email) stored);
  create table app.probes (guess text, note text, id int unique);
  create table app.events (id int, payload text) partition by range (id);
  create table app.events_a partition of app.events for values from (0) to (10);
  create table app.events_b (id int, payload text);
  create table app.documents (id int, body text);
  create table app.contracts () inherits (app.documents);
  create view app.contacts as select id, name, email from app.customers;
`;
const classified = new Set([
  'app.customers.email',
  'app.customers.code',
  'app.customers.pair',
  'app.events.payload',
  'app.documents.body',
]);

let database: TestDatabase;
let client: pg.Client;
let interpreter: Interpreter;

beforeAll(async () => {
  await loadParser();
  database = await createDatabase({ sql });
  client = new pg.Client(database.url);
  await client.connect();
  interpreter = createInterpreter({
    shared: new SharedCatalog({ catalog_ms: 600_000 }),
    ask: textRows(client),
    database: 'orders',
    user: 'postgres',
  });
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

/** The code of the refusal, or what leaves. */
async function outcome(text: string): Promise<string> {
  const template = await interpreter.interpret(text);
  const masks = [...new Set(template.resources.map(({ name }) => name))]
    .filter((name) => classified.has(name))
    .map((resource): Mask => ({ resource, with: 'redact', scope: 'source', code: 'pii' }));
  try {
    return (await interpreter.rewrite(template, { masks, filters: [] })).text;
  } catch (error) {
    if (error instanceof RewriteRefusal) return error.code;
    throw error;
  }
}

describe('a definition that is tried on the values of a masked column is refused', () => {
  for (const text of [
    "alter domain app.code add check (value not like 'a%')",
    "alter domain app.code add constraint c check (value not like 'a%') not valid",
    'alter domain app.code validate constraint c',
    'alter domain app.code set not null',
    'alter table app.customers alter column email set not null',
    'alter table app.customers add constraint c not null email',
    "alter table app.customers add check (email like 'a%')",
    "alter table app.customers add column low bool generated always as (email < 'm') stored",
    'alter table app.customers add unique (email)',
    'alter table app.customers add primary key (email, id)',
    'alter table app.customers add unique using index customers_pkey',
    'alter table app.customers add exclude using btree (email with =)',
    'alter table app.customers add exclude using btree ((lower(email)) with =)',
    'alter table app.customers alter column email type int using length(email)',
    'alter table app.customers alter column name type text using email',
    'alter table app.customers alter column email type int',
    'alter table app.customers validate constraint c',
    'alter table app.probes add foreign key (guess) references app.customers (email)',
    'alter table app.probes add foreign key (guess) references app.customers (email) not valid',
    'alter table app.customers add foreign key (email) references app.probes (guess)',
    'create table app.more (guess text references app.customers (email))',
    'create table app.more (guess text, foreign key (guess) references app.customers (email))',
    'create unique index on app.customers (email)',
    'create index on app.customers (name) include (email)',
    'alter table app.events_a alter column payload set not null',
    'alter table app.events attach partition app.events_b for values from (10) to (20)',
    'cluster app.customers using customers_email',
    'cluster app.customers',
    'alter table app.customers cluster on customers_email',
  ])
    test(text, async () => {
      expect(await outcome(text)).toBe('mask_unenforceable');
    });
});

describe('a definition that parts a masked column from its name is refused', () => {
  for (const text of [
    'alter table app.events detach partition app.events_a',
    'alter table app.contracts no inherit app.documents',
    'alter table app.customers set schema public',
    'alter table app.customers rename to clients',
    'alter table app.customers rename column email to mail',
    'alter table app.events_a rename column payload to load',
    'alter table app.events_a rename to elsewhere',
    'alter table app.customers alter column twin drop expression',
  ])
    test(text, async () => {
      expect(await outcome(text)).toBe('mask_unenforceable');
    });

  test('and so is another name for a schema, whatever is in it', async () => {
    const { opaque } = await interpreter.interpret('alter schema app rename to other');
    expect(opaque).toBe(true);
  });
});

describe('other definitions leave as they came', () => {
  for (const text of [
    'alter table app.customers alter column name set not null',
    'alter table app.customers add unique (name)',
    'alter table app.customers add column more text',
    'alter table app.customers rename column name to label',
    'alter table app.customers alter column email drop not null',
    'alter table app.customers drop column name',
    'alter table app.probes add foreign key (id) references app.customers',
    'create unique index on app.customers (name)',
    'alter table app.probes rename to guesses',
    'alter table app.probes set schema public',
    'alter domain app.code drop constraint c',
    'alter domain app.code set default 1',
    "alter domain app.short add check (value <> '')",
    'create table app.more (id int references app.customers)',
    'cluster app.probes using probes_id_key',
    'alter table app.probes cluster on probes_id_key',
  ])
    test(text, async () => {
      expect(await outcome(text)).toBe(text);
    });
});

describe("another database's name", () => {
  for (const [text, position] of [
    ['select other.app.customers.email from app.customers', 8],
    ['select name from other.app.customers', 18],
    ["select 'ä', other.app.customers.* from app.customers", 13],
    ['insert into other.app.customers (id) values (1)', 13],
    ['select other.pg_catalog.lower(name) from app.customers', undefined],
    ['select name::other.pg_catalog.text from app.customers', undefined],
  ] as const)
    test(`is refused as the server does it: ${text}`, async () => {
      const server = await client.query(text).catch((error: unknown) => error as pg.DatabaseError);
      expect(server).toMatchObject({ code: '0A000' });
      const said = await Promise.resolve()
        .then(() => interpreter.interpret(text))
        .catch((error: unknown) => error);
      expect(said).toBeInstanceOf(StatementError);
      const { sqlstate, message } = said as StatementError;
      expect({ sqlstate, message }).toEqual({ sqlstate: '0A000', message: (server as pg.DatabaseError).message });
      if (position !== undefined) {
        expect((said as StatementError).position).toBe(position);
        expect((server as pg.DatabaseError).position).toBe(String(position));
      }
    });

  test('is fine where it is its own', async () => {
    const text = 'select orders.app.customers.name from orders.app.customers';
    expect(await outcome(text)).toBe(text);
  });
});
