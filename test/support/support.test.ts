import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { startTestGateway, type TestGateway } from './gateway.js';
import { createIdentityProvider } from './idp.js';
import { createDatabase, type TestDatabase } from './postgres.js';
import { errorOf, message, rows, shape, WireClient, WireError } from './wire.js';

describe("the tests' own tools", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase({
      sql: "create table t (id int, name text); insert into t values (1, 'ä'), (2, null)",
    });
  });
  afterAll(() => database.drop());

  test('the wire client signs in with SCRAM and reads every frame', async () => {
    const client = await WireClient.open(database);
    const answer = await client.query('select * from t order by id');
    expect(shape(answer)).toBe('T D×2 C Z');
    expect(rows(answer)).toEqual([
      ['1', 'ä'],
      ['2', null],
    ]);
    expect(client.settings.get('server_encoding')).toBe('UTF8');
    expect(client.processId).toBeGreaterThan(0);
    await client.end();
  });

  test('the wire client speaks the extended protocol, frames glued together', async () => {
    const client = await WireClient.open(database);
    const answer = await client.exchange(
      message.parse('select name from t where id = $1'),
      message.bind(['1']),
      message.describe('P'),
      message.execute(),
      message.sync(),
    );
    expect(shape(answer)).toBe('1 2 T D C Z');
    const failed = await client.exchange(message.parse('selec'), message.sync());
    expect(errorOf(failed)).toMatchObject({ C: '42601', V: 'ERROR' });
    await client.end();
  });

  test("a refused sign-in is a WireError with the server's fields", async () => {
    await expect(WireClient.open({ ...database, password: 'wrong' })).rejects.toMatchObject({ fields: { C: '28P01' } });
    await expect(WireClient.open({ ...database, password: 'wrong' })).rejects.toBeInstanceOf(WireError);
  });

  test('each database is empty but for what its test put there', async () => {
    const other = await createDatabase();
    expect(await other.sql("select count(*)::int as n from pg_class where relname = 't'")).toEqual([{ n: 0 }]);
    await other.drop();
  });

  test("the identity provider's tokens verify against its keys, and after a rotation too", async () => {
    const idp = await createIdentityProvider();
    const early = await idp.issueToken({ subject: 'agent:early' });
    await idp.rotate();
    const late = await idp.issueToken({ claims: { kind: undefined } });
    const keys = createLocalJWKSet({ keys: [...idp.jwks.keys] });
    const { payload } = await jwtVerify(early, keys, { issuer: idp.issuer, audience: idp.audience });
    expect(payload).toMatchObject({ sub: 'agent:early', groups: ['agents'] });
    expect((await jwtVerify(late, keys)).payload).not.toHaveProperty('kind');
    await idp.rotate({ keepOld: false });
    await expect(jwtVerify(late, createLocalJWKSet({ keys: [...idp.jwks.keys] }))).rejects.toThrow();
  });
});

describe('a gateway for tests', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  beforeAll(async () => {
    database = await createDatabase({ sql: 'create table t as select 42 as answer' });
    gateway = await startTestGateway({ database });
  });
  afterAll(async () => {
    await gateway.close();
    await database.drop();
  });

  test('lets a statement through, and records it', async () => {
    const client = await gateway.open();
    expect(rows(await client.query('select answer from t'))).toEqual([['42']]);
    await client.end();
    const intents = (await gateway.records()).filter(({ kind }) => kind === 'intent');
    expect(intents.length).toBeGreaterThan(0);
  });

  test('denies it once its policy was changed, on the connection that is open', async () => {
    const client = await gateway.open();
    const event = await gateway.changePolicy({
      'postgres.rego':
        'package policy.postgres\n\nallow contains {"code": "connect"} if input.operation.action == "connect"\n',
    });
    expect(event).toMatchObject({ type: 'activated' });
    expect(errorOf(await client.query('select answer from t'))).toMatchObject({ C: '42501' });
    await client.end();
  });
});
