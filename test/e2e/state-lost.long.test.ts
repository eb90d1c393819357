import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { approve, person, startReplicas, whenWaiting, type Replicas } from '../support/replicas.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startValve, type Valve } from '../support/valve.js';
import { errorOf, message, rows, shape } from '../support/wire.js';

/** A gateway that loses its state: what needs it is refused, the rest goes on, and nothing that was answered is missed. */

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

approval contains {"code": "deletes_wait", "groups": ["dba"]} if input.operation.action == "delete"
`;

const counting = `${policy}
deny contains {"code": "spent"} if input.usage.writes.day >= 100
`;

const ada = person('https://people.example', 'ada', 'dba');

describe('a gateway that loses its state', () => {
  let database: TestDatabase;
  let replicas: Replicas;
  let valve: Valve;
  let gateway: TestGateway;

  beforeAll(async () => {
    database = await createDatabase({
      sql: 'create table kept (n int); insert into kept select generate_series(1, 5)',
    });
    const files = { 'postgres.rego': policy };
    replicas = await startReplicas(1, { database, policy: files });
    valve = await startValve(replicas.state);
    const url = new URL(replicas.state.url);
    url.host = `${valve.host}:${String(valve.port)}`;
    gateway = await startTestGateway({
      database,
      policy: files,
      config: { state: { directory: './.sallyport', postgres: url.href } },
    });
    await gateway.gateway.database.ready(20_000);
  });
  afterAll(async () => {
    valve?.set('open');
    await gateway?.close();
    await valve?.close();
    await replicas?.close();
    await database?.drop();
  });

  const code = (frames: Parameters<typeof errorOf>[0]) =>
    (JSON.parse(errorOf(frames)?.['D'] ?? '{}') as { reasons?: { code: string }[] }).reasons?.[0]?.code;
  const isBack = async () => {
    const { database: state } = gateway.gateway;
    while (
      !(await state.query('select 1').then(
        () => true,
        () => false,
      ))
    )
      await new Promise(setImmediate);
  };

  test.each(['shut', 'stuck'] as const)(
    '%s: what needs it is refused, the rest goes on, and an answer from elsewhere is not missed',
    async (how) => {
      const waiting = await gateway.open();
      const agent = await gateway.open();
      waiting.sendRaw(message.query('delete from kept where n = 1 returning n'));
      const { id } = await whenWaiting(replicas.gateways[0]!.gateway.approvers);
      // Others see the request a moment before the gateway knows that it is kept: until then, losing the state refuses it.
      expect((await waiting.read()).type).toBe('N');
      valve.set(how);
      await replicas.gateways[0]!.gateway.approvers.answer(id, ada, approve);
      expect(code(await agent.query('delete from kept'))).toBe('approval_unavailable');
      expect(rows(await agent.query('select count(*) > 0 from kept'))).toEqual([['t']]);
      valve.set('open');
      expect(shape(await waiting.readUntil('Z'))).toMatch(/^T( D)? C Z$|^C Z$/);
      expect(await database.sql('select n from kept where n = 1')).toEqual([]);
      await waiting.end();
      await agent.end();
    },
  );

  test('where policy counts, nothing is let through on a guess until it is back', async () => {
    await isBack();
    const agent = await gateway.open();
    await gateway.changePolicy({ 'postgres.rego': counting });
    expect(shape(await agent.query('insert into kept values (9)'))).toBe('C Z');
    valve.set('shut');
    expect(code(await agent.query('insert into kept values (9)'))).toBe('usage_unavailable');
    valve.set('open');
    await isBack();
    expect(shape(await agent.query('insert into kept values (9)'))).toBe('C Z');
    expect(await database.sql('select count(*)::int as n from kept where n = 9')).toEqual([{ n: 2 }]);
    await agent.end();
  });
});
