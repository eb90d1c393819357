import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startRelay, type Witness } from '../support/relay.js';
import { errorOf, message, rows, type WireClient } from '../support/wire.js';

let database: TestDatabase;
let relay: Witness;
let gateway: TestGateway;
let client: WireClient;

beforeAll(async () => {
  database = await createDatabase({ sql: 'create schema app; create table app.t(id int, name text)' });
  relay = await startRelay(() => database);
  gateway = await startTestGateway({ database: { ...database, host: relay.host, port: relay.port } });
  client = await gateway.open();
});

afterAll(async () => {
  await client?.end();
  await gateway?.close();
  await relay?.close();
  await database?.drop();
});

/** Where the words stand in what went upstream since, in their order. */
async function sentBy(work: () => Promise<unknown>): Promise<string[]> {
  const before = Buffer.concat([...relay.heard]).length;
  await work();
  const sent = Buffer.concat([...relay.heard]).toString('latin1', before);
  return [...sent.matchAll(/'jit', 'off'|'jit', 'on'|with recursive path/g)].map(([words]) => words);
}

test('the catalog is read without compiling the read, where a Sync puts the setting back', async () => {
  expect(await sentBy(() => client.query('select reverse(name) from app.t'))).toEqual([
    "'jit', 'off'",
    'with recursive path',
  ]);
  expect(rows(await client.query('show jit'))).toEqual([['on']]);
});

test('within a transaction, and within a batch, it is put back behind the read', async () => {
  const around = ["'jit', 'off'", 'with recursive path', "'jit', 'on'"];
  await client.query('begin');
  expect(await sentBy(() => client.query('select left(name, 1) from app.t'))).toEqual(around);
  expect(rows(await client.query('show jit'))).toEqual([['on']]);
  await client.query('commit');
  const batch = (sql: string) => [message.parse(sql), message.bind([]), message.execute()];
  let answer: Awaited<ReturnType<WireClient['exchange']>> = [];
  const sent = await sentBy(async () => {
    answer = await client.exchange(
      ...batch('insert into app.t values (1)'),
      ...batch('select right(name, 1) from app.t'),
      ...batch("select current_setting('jit')"),
      message.sync(),
    );
  });
  expect(sent.slice(-around.length)).toEqual(around);
  expect(errorOf(answer)).toBeUndefined();
  expect(rows(answer).at(-1)).toEqual(['on']);
});

test.each([
  ['set local jit = off', 'off', 'commit', 'on'],
  ['set jit = off', 'off', 'rollback', 'on'],
  ['savepoint a; set local jit = off; rollback to a', 'on', 'commit', 'on'],
  ['set local jit = on', 'on', 'commit', 'on'],
  ['set jit = off', 'off', 'commit', 'off'],
])('what the client says of it holds: %s, then %s', async (said, inside, end, after) => {
  await client.query('begin');
  for (const part of said.split('; ')) expect(errorOf(await client.query(part))).toBeUndefined();
  // A name that nobody has asked for yet.
  await client.query(`select count(*) as c${String(Math.random()).slice(2)} from app.t where ${unasked()}`);
  expect(rows(await client.query('show jit'))).toEqual([[inside]]);
  await client.query(end);
  expect(rows(await client.query('show jit'))).toEqual([[after]]);
});

const names = ["initcap('a') = 'A'", "ascii('a') = 97", "repeat('a', 1) = 'a'", "rtrim('a') = 'a'", "btrim('a') = 'a'"];
const unasked = () => names.shift() ?? 'true';
