import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startGate, type Gate } from '../support/gate.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { leaks, moments, ways } from '../support/moments.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { changes, policy, sql } from '../support/window.js';
import { errorOf, WireClient } from '../support/wire.js';

/**
 * Somebody changes the catalog around the gateway between any two messages that it sends to the server for one statement: from before it is
 * judged to after it has run. What was judged by the catalog before does not run by the one after.
 */

let database: TestDatabase;
let gate: Gate;
let gateway: TestGateway;
/** Goes around the gateway. */
let somebody: WireClient;

beforeAll(async () => {
  database = await createDatabase({ sql });
  gate = await startGate(database);
  const { host, port } = gate;
  gateway = await startTestGateway({ database: { ...database, host, port }, policy: { 'postgres.rego': policy } });
  somebody = await WireClient.open({ ...database });
  // What waits for the statement to end cannot be met by it.
  await somebody.query(`set lock_timeout = '20ms'`);
});
afterAll(async () => {
  await gateway?.close();
  await somebody?.end();
  await gate?.close();
  await database?.drop();
});

const searching = async (client: WireClient): Promise<WireClient> => {
  await client.query('set search_path = mine, app, public');
  return client;
};
const direct = async () => searching(await WireClient.open({ ...database, host: gate.host, port: gate.port }));
const through = async () => {
  const client = await searching(await gateway.open());
  // Definitions that come by the gateway end what it remembers.
  expect(errorOf(await client.query('alter table app.kid set (fillfactor = 90)'))).toBeUndefined();
  return client;
};

/** One of each kind: what is found by name, what a name says as it runs, what else it reaches. */
const kinds = ['a function that fits better', 'a view below a view', 'a child'];
const tried = kinds.flatMap((kind) =>
  changes
    .filter(([what]) => what === kind)
    .flatMap(([what, text, change, back]) =>
      ways.map((way) => ({ what, how: way.how, way, told: { text, change, back } })),
    ),
);
/** By the server alone: what is prepared keeps the function that it found, and no plan shows what one returns. */
const isMet = (what: string, how: string): boolean =>
  what !== 'a function that fits better' || !['prepared', 'prepared by SQL', 'explained'].includes(how);

test.each(tried)('$what, $how', async ({ what, how, way, told }) => {
  const { at } = await moments(gate, through, somebody, told, way);
  expect(at.length).toBeGreaterThan(3);
  expect(at.map((frames) => frames !== undefined && leaks(frames))).toEqual(at.map(() => false));
  // Something was refused, or could not be done meanwhile; and by the server alone it is met at some moment.
  expect(at.some((frames) => frames === undefined || errorOf(frames)?.['C'] === '40001')).toBe(true);
  if (!isMet(what, how)) return;
  const bare = await moments(gate, direct, somebody, told, way);
  expect(bare.at.some((frames) => frames !== undefined && leaks(frames))).toBe(true);
});
