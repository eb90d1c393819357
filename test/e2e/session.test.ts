import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';

const policy = {
  'postgres.rego': `package policy.postgres

allow contains {"code": "connect"} if input.operation.action in {"connect", "session"}

allow contains {"code": "reads"} if {
	input.operation.action == "read"
	not input.operation.opaque
}

allow contains {"code": "writes"} if {
	input.operation.action in {"write", "define"}
	not input.operation.opaque
}

deny contains {"code": "secrets", "message": "app.secrets is not for agents"} if {
	some resource in input.operation.resources
	resource.type == "relation"
	resource.name == "app.secrets"
}
`,
};

describe('one statement, end to end', () => {
  let database: TestDatabase;
  let gateway: TestGateway;

  beforeAll(async () => {
    database = await createDatabase({
      sql: `create schema app;
        create table app.orders (id int primary key, region text not null, amount numeric(10,2));
        insert into app.orders select n, case when n % 2 = 0 then 'EU' else 'US' end, n * 1.5 from generate_series(1, 100) n;
        create table app.secrets (id int, value text); insert into app.secrets values (1, 'hidden');`,
    });
    gateway = await startTestGateway({ database, policy });
  });
  afterAll(async () => {
    await gateway?.close();
    await database?.drop();
  });

  async function client(): Promise<pg.Client> {
    const client = new pg.Client(await gateway.connection());
    await client.connect();
    return client;
  }

  test('a simple query that policy allows is answered by the server', async () => {
    const agent = await client();
    const answer = await agent.query("select count(*)::int as n from app.orders where region = 'EU'");
    expect(answer.rows).toEqual([{ n: 50 }]);
    await agent.end();
  });

  test('an extended query with parameters is answered by the server', async () => {
    const agent = await client();
    const answer = await agent.query('select id, amount from app.orders where id = $1', [7]);
    expect(answer.rows).toEqual([{ id: 7, amount: '10.50' }]);
    const named = { name: 'by-id', text: 'select region from app.orders where id = $1' };
    for (const id of [1, 2, 3]) {
      expect((await agent.query({ ...named, values: [id] })).rows).toEqual([{ region: id % 2 === 0 ? 'EU' : 'US' }]);
    }
    await agent.end();
  });

  test('a denial is an error with a decision id and reasons, and the session goes on', async () => {
    const agent = await client();
    for (const query of [
      { text: 'select * from app.secrets' },
      { text: 'select * from app.secrets where id = $1', values: [1] },
    ]) {
      const error: pg.DatabaseError = await agent.query(query).then(
        () => {
          throw new Error('it was let through');
        },
        (error: unknown) => error as pg.DatabaseError,
      );
      expect(error.code).toBe('42501');
      expect(error.message).toContain('app.secrets is not for agents');
      const detail = JSON.parse(error.detail!) as Record<string, unknown>;
      expect(detail).toMatchObject({ outcome: 'deny', target: 'orders', reasons: [{ code: 'secrets' }] });
      expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    }
    await agent.end();
  });

  test('a denial inside a transaction fails the transaction, as any error does', async () => {
    const agent = await client();
    await agent.query('begin');
    await agent.query("insert into app.orders values (1000, 'EU', 1)");
    await expect(agent.query('select * from app.secrets')).rejects.toMatchObject({ code: '42501' });
    await expect(agent.query('select 1')).rejects.toMatchObject({ code: '25P02' });
    await agent.query('rollback');
    expect((await agent.query('select count(*)::int n from app.orders where id = 1000')).rows).toEqual([{ n: 0 }]);
    await agent.end();
  });
});
