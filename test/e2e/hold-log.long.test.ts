import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { startEmbeddedPostgres, throwawaySettings, type EmbeddedPostgres } from '../../gateway/state/embedded.js';
import { startChildGateway, type ChildGateway } from '../support/child-gateway.js';
import type { TestDatabase } from '../support/postgres.js';
import { approve, person, refuse, startReplicas, whenEnded, whenWaiting, type Replicas } from '../support/replicas.js';
import { fields, message, shape, WireClient } from '../support/wire.js';

/** What was not approved has not run: a server that writes down every statement says so itself. */

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

approval contains {"code": "deletes_wait", "groups": ["dba"], "expires": _time} if input.operation.action == "delete"

_time := "1s" if contains(input.operation.postgres.statement, "expired")

else := "15m"
`;

const ada = person('https://people.example', 'ada', 'dba');

describe('the log of a server that writes down every statement', () => {
  let server: EmbeddedPostgres;
  let database: TestDatabase;
  let replicas: Replicas;
  let logged = '';
  let child: ChildGateway | undefined;

  beforeAll(async () => {
    server = await startEmbeddedPostgres({
      password: 'a password',
      settings: { ...throwawaySettings, log_statement: 'all' },
      onLog: (text) => (logged += text),
    });
    const { host, port, user, password } = server;
    const url = server.databaseUrl('postgres');
    const sql = async (text: string) => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      const { rows } = await client.query<Record<string, unknown>>(text);
      await client.end();
      return rows;
    };
    database = { host, port, user, password, database: 'postgres', url, sql, drop: () => server.stop() };
    await database.sql('create table kept (n int)');
    replicas = await startReplicas(1, { database, policy: { 'postgres.rego': policy } });
  });
  afterAll(async () => {
    await child?.kill();
    await replicas?.close();
    await server?.stop();
  });

  /** Everything that the server has logged until now. */
  async function log(): Promise<string> {
    // Until it has logged what was sent last.
    const last = `that is all ${randomUUID()}`;
    while (!logged.includes(last)) await database.sql(`select '${last}'`);
    return logged;
  }

  const agentOf = async ({ host, port }: ChildGateway) =>
    WireClient.open({ ...(await replicas.gateways[0]!.connection()), host, port });

  test('has what was approved, and nothing of what was refused, expired, cancelled, left, or lost with its gateway', async () => {
    const [home] = replicas.gateways;
    const { approvers } = home!.gateway;
    const held = async (agent: WireClient, name: string) => {
      agent.sendRaw(message.query(`delete from kept where '${name}' <> ''`));
      return (await whenWaiting(approvers)).id;
    };
    const agent = await home!.open();

    await approvers.answer(await held(agent, 'was approved'), ada, approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N C Z');

    await approvers.answer(await held(agent, 'was refused'), ada, refuse);
    expect(shape(await agent.readUntil('Z'))).toBe('N E Z');

    expect(await whenEnded(approvers, await held(agent, 'was expired'))).toMatchObject({ status: 'expired' });
    expect(shape(await agent.readUntil('Z'))).toBe('N E Z');

    const cancelled = await held(agent, 'was cancelled');
    await agent.read();
    connect({ host: home!.host, port: home!.port }).end(message.cancel(agent.processId, agent.secretKey));
    expect(await whenEnded(approvers, cancelled)).toMatchObject({ status: 'withdrawn', why: 'cancelled' });
    expect(shape(await agent.readUntil('Z'))).toBe('E Z');

    const left = await held(agent, 'was left');
    agent.socket.destroy();
    expect(await whenEnded(approvers, left)).toMatchObject({ status: 'withdrawn', why: 'client_gone' });

    child = await startChildGateway(home!, database);
    const lost = await agentOf(child);
    const orphan = await held(lost, 'was lost');
    await child.kill();
    await lost.closed();
    // As if the ten seconds had passed in which a replica may be silent.
    await replicas.state.sql(`update sallyport.replicas set beat = beat - interval '1 minute'
      where id = (select replica from sallyport.requests where id = '${orphan}')`);
    expect(await whenEnded(approvers, orphan)).toMatchObject({ status: 'withdrawn', why: 'replica_gone' });
    await expect(approvers.answer(orphan, ada, approve)).rejects.toMatchObject({ reason: 'ended' });

    const text = await log();
    expect(text).toContain('was approved');
    for (const name of ['refused', 'expired', 'cancelled', 'left', 'lost']) expect(text).not.toContain(`was ${name}`);
  });

  test.each(['stopped', 'killed'] as const)(
    'has nothing of what waited in a gateway that was %s and started again with the state it had: nobody can answer it',
    async (how) => {
      const home = replicas.gateways[0]!;
      const start = () => startChildGateway(home, database, { name: 'alone', state: 'own' });
      const headers = {
        authorization: `Bearer ${await home.token({ subject: 'ada', groups: ['dba'] })}`,
        'sallyport-client': 'test',
      };
      interface Request {
        readonly id: string;
        readonly status: string;
      }
      child = await start();
      const agent = await agentOf(child);
      agent.sendRaw(message.query(`delete from kept where '${how} meanwhile' <> ''`));
      // It has been told that it waits: so it does.
      const notice = fields((await agent.read()).body);
      const { id } = (JSON.parse(notice['D'] ?? '') as { hold: Request }).hold;
      const path = `/v1/approvals/${id}`;
      expect((await child.call(path, { headers })).json<Request>().status).toBe('waiting');
      await (how === 'killed' ? child.kill() : child.stop());
      await agent.closed();

      child = await start();
      const answer = await child.call(`${path}/approve`, { method: 'POST', headers, body: {} });
      expect([answer.status, answer.json()['code']]).toEqual([409, 'ended']);
      // Those that live sweep up what the dead left, with their next beat.
      let status = 'waiting';
      while (status === 'waiting') {
        await new Promise((resolve) => setImmediate(resolve));
        const told = await child.call(path, { headers });
        // A fast machine asks more often than one address may.
        if (told.status !== 429) status = told.json<Request>().status;
      }
      expect(status).toBe('withdrawn');
      // Whoever sends it again is asked about again.
      const next = await agentOf(child);
      next.sendRaw(message.query(`delete from kept where '${how} meanwhile' <> ''`));
      expect((await next.read()).type).toBe('N');
      next.socket.destroy();
      await child.stop();

      expect(await log()).not.toContain('meanwhile');
    },
    120_000,
  );
});
