import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startGate, type Gate } from '../support/gate.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { byAnOlderSnapshot, leaks, moments, ways, waysIn, type Case, type Way } from '../support/moments.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { approve, person, whenAsked } from '../support/replicas.js';
import { changes, changesIn, furthers, policy, sql } from '../support/window.js';
import { errorOf, WireClient } from '../support/wire.js';

/**
 * Somebody changes the catalog around the gateway between any two messages that it sends to the server for one statement: from before it is
 * judged to after it has run. What was judged by the catalog before does not run by the one after.
 */

let database: TestDatabase;
let home: TestDatabase;
let gate: Gate;
let gateway: TestGateway;
/** Goes around the gateway. */
let somebody: WireClient;

beforeAll(async () => {
  database = await createDatabase({ sql });
  home = await createDatabase();
  gate = await startGate(database);
  const { host, port } = gate;
  gateway = await startTestGateway({
    database: { ...database, host, port },
    policy: { 'postgres.rego': policy },
    config: { state: { directory: './.sallyport', postgres: home.url } },
  });
  somebody = await WireClient.open({ ...database });
  // What waits for the statement to end cannot be met by it.
  await somebody.query(`set lock_timeout = '20ms'`);
});
afterAll(async () => {
  await gateway?.close();
  await somebody?.end();
  await gate?.close();
  await database?.drop();
  await home?.drop();
});

const searching = async (client: WireClient): Promise<WireClient> => {
  await client.query('set search_path = mine, app, public');
  return client;
};
const openedBy = ({ client }: Way) => ({ parameters: { application_name: client ?? 'any' } });
const direct = (way: Way) => async () =>
  searching(await WireClient.open({ ...database, host: gate.host, port: gate.port, ...openedBy(way) }));
const through = (way: Way) => async () => {
  const client = await searching(await gateway.open(openedBy(way)));
  // Definitions that come by the gateway end what it remembers.
  expect(errorOf(await client.query('alter table app.kid set (fillfactor = 90)'))).toBeUndefined();
  return client;
};

/** One of each kind: what is found by name, what a name says as it runs, what else it reaches. */
const kinds = ['a function that fits better', 'a view below a view', 'a child', 'a trigger'];
const tried = kinds.flatMap((kind) =>
  changes
    .filter(([what]) => what === kind)
    .flatMap(([what, text, change, back]) =>
      ways
        .filter(({ isRead }) => isRead !== true || text.startsWith('select'))
        .map((way) => ({ what, how: way.how, way, told: { text, change, back } })),
    ),
);
const triedIn = changesIn.flatMap(([what, text, change, back]) =>
  waysIn.map((way) => ({ what, how: way.how, way, told: { text, change, back } })),
);
/** What is bound, what is kept until it was compared behind, and what is asked for as rows. PREPARE locks what it writes. */
const bySnapshot = ['several in a string', 'extended', 'prepared by SQL, extended', 'copied', 'copied, extended', 'as a table', 'limited']; // prettier-ignore
const triedFurther = furthers
  .filter(([what]) => !what.endsWith('policy'))
  .flatMap(([what, text, change, back]) =>
    ways
      .filter(
        ({ isRead, how }) =>
          bySnapshot.includes(how) && (text.startsWith('select') || (isRead !== true && !how.startsWith('prepared'))),
      )
      .map(byAnOlderSnapshot)
      .map((way) => ({ what, how: way.how, way, told: { text, change, back } })),
  );
/** By the server alone: what is prepared keeps the function that it found, and no plan shows what one returns, or a trigger puts. */
const kept = [
  'prepared',
  'prepared by SQL',
  'prepared by SQL, with an argument to compute',
  'prepared by SQL, extended',
];
const isMet = (what: string, how: string): boolean => {
  if (how === 'explained') return what !== 'a function that fits better' && what !== 'a trigger';
  return what !== 'a function that fits better' || !kept.includes(how);
};

/** Views over views are read in several round trips: there are many moments. */
const met_ms_max = 180_000;

test.each(tried)(
  '$what, $how',
  async ({ what, how, way, told }) => {
    await met(way, told, isMet(what, how));
  },
  met_ms_max,
);

test.each(triedIn)('copied in, $how: $what', async ({ way, told }) => {
  await met(way, told, true);
});

test.each(triedFurther)('$what, $how', async ({ way, told }) => {
  await met(way, told, true);
});

/** It is approved once its effect is there, or could not be measured. */
const held: Way = {
  how: 'run before it is approved',
  client: 'held',
  run: async (client, text) => {
    const { approvers } = gateway.gateway;
    const done = client.query(text);
    const asked = whenAsked(approvers, async () => {
      const [request] = await approvers.list({ status: 'waiting' });
      return request?.effect === undefined ? undefined : request.id;
    });
    const id = await Promise.race([asked, done.then(() => undefined)]);
    if (id !== undefined) await approvers.answer(id, person('https://people.example', 'ada', 'dba'), approve);
    return done;
  },
};
test.each(changes.filter(([what]) => what === 'a trigger' || what === 'a rule'))(
  '%s, run before it is approved',
  async (_what, text, change, back) => {
    await met(held, { text, change, back }, false);
  },
  met_ms_max,
);

async function met(way: Way, told: Case, isMet: boolean): Promise<void> {
  const { at } = await moments(gate, through(way), somebody, told, way);
  expect(at.length).toBeGreaterThan(3);
  expect(at.map((frames) => frames !== undefined && leaks(frames))).toEqual(at.map(() => false));
  // Something was refused, or could not be done meanwhile; and by the server alone it is met at some moment.
  expect(at.some((frames) => frames === undefined || errorOf(frames)?.['C'] === '40001')).toBe(true);
  if (!isMet) return;
  const bare = await moments(gate, direct(way), somebody, told, way);
  expect(bare.at.some((frames) => frames !== undefined && leaks(frames))).toBe(true);
}
