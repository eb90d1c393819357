import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseDocument } from 'yaml';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import type { Frame } from '../support/wire.js';
import { comparable, shapeOf } from './compare.js';
import { bytesOf, open, run, type Cut, type Exchange, type Server } from './exchange.js';
import { binaryExchange, textExchange, valuesOf, type TypeCase } from './types.js';

/**
 * The corpus: each exchange goes to the server and through the gateway, with a policy that allows everything, and what
 * comes back is compared byte for byte. compare.ts says what may differ.
 *
 * Answers are recorded in the corpus in short; RECORD=1 writes those of exchanges that have none.
 */

const folder = join(import.meta.dirname, 'corpus');
const read = (file: string) => {
  const document = parseDocument(readFileSync(join(folder, file), 'utf8'));
  if (document.errors.length > 0) throw new Error(`${file}: ${String(document.errors[0])}`);
  return document;
};
const files = readdirSync(folder).filter((file) => file.endsWith('.yaml') && file !== 'types.yaml');
const corpus = files.map((file) => ({ file, exchanges: read(file).toJS() as Exchange[] }));
const types = read('types.yaml').toJS() as TypeCase[];

const recording = process.env['RECORD'] === '1';
/** A byte takes a turn of the event loop of both ends: longer exchanges would take longer than they tell. */
const cut_bytes_max = 1_000;

let origin: TestDatabase;
const clones: TestDatabase[] = [];
let gateway: TestGateway;
let direct: Server;
let sides: Readonly<Record<Cut, Server>>;
let oids_max: number;
const recorded = new Map<Exchange, string>();

beforeAll(async () => {
  origin = await createDatabase({ sql: readFileSync(join(import.meta.dirname, 'fixture.sql'), 'utf8') });
  const [highest] = await origin.sql(
    'select greatest((select max(oid::bigint) from pg_class), (select max(oid::bigint) from pg_type))::int as oid',
  );
  oids_max = Number(highest?.['oid']);
  for (let count = 0; count < 3; count++) clones.push(await createDatabase({ copyOf: origin }));
  const [first, second, third] = clones as [TestDatabase, TestDatabase, TestDatabase];
  gateway = await startTestGateway({ database: second });
  const { host, port, user, password } = first;
  direct = { host, port, user, password, database: first.database };
  const through = await gateway.connection({ expiresIn: 1_800 });
  sides = { whole: through, bytes: { ...through, database: `${through.database}/${third.database}` } };
});

afterAll(async () => {
  await gateway?.close();
  for (const database of [...clones, ...(origin === undefined ? [] : [origin])]) await database.drop();
  if (recording) corpus.forEach(record);
});

/** The server's answer, after the gateway gave the same to the whole and to the cut exchange. */
async function same(exchange: Exchange, cuts: readonly Cut[]): Promise<Frame[]> {
  const expected = await run(exchange, direct, 'whole');
  if (recording && exchange.answer === undefined) recorded.set(exchange, shapeOf(expected));
  for (const cut of cuts) {
    const answer = await run(exchange, sides[cut], cut);
    const lines = comparable(expected, answer, oids_max);
    expect(lines.gateway).toEqual(lines.direct);
  }
  return expected;
}

for (const { file, exchanges } of corpus) {
  describe(file.replace('.yaml', ''), () => {
    test.each(exchanges.map((exchange) => [exchange.name, exchange] as const))('%s', async (_, exchange) => {
      const answer = await same(exchange, bytesOf(exchange) <= cut_bytes_max ? ['whole', 'bytes'] : ['whole']);
      expect(shapeOf(answer)).toBe(recorded.get(exchange) ?? exchange.answer);
    });
  });
}

describe('values of the type', () => {
  test.each(types.map((type) => [type.type, type] as const))('%s, in text and in binary', async (_, type) => {
    const answer = await same(textExchange(type), ['whole']);
    const values = valuesOf(answer, type);
    expect(values.text).toHaveLength(type.values.length);
    if (type.binary === false) return;
    expect(values.binary).toHaveLength(type.values.length);
    await same(binaryExchange(type, values.binary), ['whole']);
  });
});

test('a greeting is the same from the AuthenticationOk on, but for the key of cancellation', async () => {
  const parameters = {
    application_name: 'conformance',
    client_encoding: 'UTF8',
    options: '-c datestyle=german -c extra_float_digits=1',
  };
  const greeting = async (server: Server) => {
    const client = await open(server, parameters);
    await client.end();
    const from = client.received.findIndex(({ type, body }) => type === 'R' && body.readInt32BE(0) === 0);
    return client.received
      .slice(from)
      .filter(({ type }) => type !== 'K')
      .map(({ type, body }) => `${type} ${body.toString('latin1')}`);
  };
  const expected = await greeting(direct);
  expect(expected.filter((line) => line.startsWith('S ')).length).toBeGreaterThan(10);
  expect(await greeting(sides.whole)).toEqual(expected);
});

test('the corpus has at least 200 exchanges, each with a name of its own and its recorded answer', () => {
  const all = corpus.flatMap(({ file, exchanges }) => exchanges.map((exchange) => ({ file, ...exchange })));
  const names = all.map(({ file, name }) => `${file}: ${name}`);
  expect(names.length + types.length).toBeGreaterThanOrEqual(200);
  expect(new Set(names).size).toBe(names.length);
  if (!recording) expect(all.filter(({ answer }) => answer === undefined).map(({ name }) => name)).toEqual([]);
});

/** Writes the answers of this run to exchanges that have none, comments and order kept. */
function record({ file, exchanges }: (typeof corpus)[number]): void {
  const document = read(file);
  exchanges.forEach((exchange, index) => {
    const shape = recorded.get(exchange);
    if (shape !== undefined) document.setIn([index, 'answer'], shape);
  });
  writeFileSync(join(folder, file), document.toString({ lineWidth: 0, flowCollectionPadding: false }));
}
