import { afterEach, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, rows, type WireClient } from '../support/wire.js';

/** A session may go back to what it began as, and to nothing else. */

const policy = `package policy.postgres

allow contains {"code": "harmless"} if input.operation.action in {"connect", "session", "read"}
`;

let database: TestDatabase | undefined;
let gateway: TestGateway | undefined;
const clients: WireClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.end();
  await gateway?.close();
  await database?.drop();
});

async function open(role?: string): Promise<WireClient> {
  database = await createDatabase({});
  // From now on sessions in this database begin with another role.
  if (role !== undefined) await database.sql(`alter database ${database.database} set role = ${role}`);
  gateway = await startTestGateway({ database, policy: { 'postgres.rego': policy } });
  const client = await gateway.open();
  clients.push(client);
  return client;
}

const user = async (client: WireClient): Promise<string | undefined> =>
  rows(await client.query('select current_user'))[0]?.[0] ?? undefined;

test('where no role is set, there is none to be taken off', async () => {
  const client = await open();
  const before = await user(client);
  for (const text of ['set role none', `set local role 'none'`, 'reset role', 'set session authorization default'])
    expect(errorOf(await client.query(text))).toBeUndefined();
  expect(await user(client)).toBe(before);
});

test('a role that sessions begin with stays on', async () => {
  const client = await open('pg_monitor');
  expect(await user(client)).toBe('pg_monitor');
  for (const text of ['set role none', `set role 'none'`, 'reset role; set role none', 'begin; set local role none'])
    expect(errorOf(await client.query(text))?.['C']).toBe('42501');
  expect(errorOf(await client.query('reset role'))).toBeUndefined();
  expect(await user(client)).toBe('pg_monitor');
});
