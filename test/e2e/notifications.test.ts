import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import type { WireClient } from '../support/wire.js';

/** What one session hears of NOTIFY in another: what it carries may be of any column, masked ones among them. */

const masks = {
  'masks.rego':
    'package policy.postgres\n\nmask contains {"code": "mail", "resource": "app.people.email", "with": "redact"} if input.version == 1\n',
};
let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
  database = await createDatabase({
    sql: "create schema app; create table app.people (email text); insert into app.people values ('ada@example.com')",
  });
  gateway = await startTestGateway({ database });
});
afterAll(async () => {
  await gateway?.close();
  await database?.drop();
});

/** The payload of the next notification. */
async function heard(client: WireClient): Promise<string> {
  for (;;) {
    const found = client.received.find(({ type }) => type === 'A');
    client.received.length = 0;
    if (found !== undefined) return found.body.toString('utf8', found.body.indexOf(0, 4) + 1, found.body.length - 1);
    await client.query('select 1');
  }
}

test('the payload of another session comes where nothing is masked, and not where something is', async () => {
  const client = await gateway.open();
  await client.query('listen moves');
  const tell = () => database.sql("select pg_notify('moves', email) from app.people");
  await tell();
  expect(await heard(client)).toBe('ada@example.com');
  await gateway.changePolicy(masks);
  await tell();
  expect(await heard(client)).toBe('');
  await client.end();
});

test("a session's own payload comes as it said it, whatever is masked", async () => {
  const client = await gateway.open();
  await client.query('listen own');
  await client.query("notify own, 'words of mine'");
  expect(await heard(client)).toBe('words of mine');
  await client.end();
});
