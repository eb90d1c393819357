import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { ApprovalRequest, AnswerInput } from '../../gateway/approvals/index.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { startRelay, type Witness } from '../support/relay.js';

/** The whole way: a driver's statement waits in a gateway with its own state, and another person answers. */

const policy = {
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

approval contains {"code": "deletes_wait", "groups": ["dba"]} if {
	some resource in input.operation.resources
	resource.access == "delete"
}
`,
};

const deletion = 'delete from app.kept where n <= $1 returning n';

describe('a statement that people answer', () => {
  let database: TestDatabase;
  let relay: Witness;
  let gateway: TestGateway;
  let agent: pg.Client;

  beforeAll(async () => {
    database = await createDatabase({
      sql: 'create schema app; create table app.kept (n int); insert into app.kept select generate_series(1, 5)',
    });
    relay = await startRelay(() => database);
    gateway = await startTestGateway({
      database: { ...database, host: relay.host, port: relay.port },
      policy,
      config: {
        listen: { postgres: '127.0.0.1:0', https: '127.0.0.1:0' },
        console: { url: 'https://gateway.example:8443/' },
      },
    });
    agent = new pg.Client(await gateway.connection({ subject: 'agent:bot', groups: ['agents'] }));
    agent.on('error', () => undefined);
    await agent.connect();
  });
  afterAll(async () => {
    await agent?.end().catch(() => undefined);
    await gateway?.close();
    await relay?.close();
    await database?.drop();
  });

  /** The request that waits, once one does. */
  async function waiting(): Promise<ApprovalRequest> {
    const { approvers } = gateway.gateway;
    const look = async () => (await approvers.list({ status: 'waiting' }))[0];
    let told: () => void = () => undefined;
    const stop = approvers.subscribe(() => told());
    try {
      for (;;) {
        const event = new Promise<void>((resolve) => (told = resolve));
        const request = await look();
        if (request !== undefined) return request;
        await event;
      }
    } finally {
      stop();
    }
  }

  async function answer(kind: AnswerInput['kind'], id: string, comment?: string): Promise<void> {
    const principal = {
      subject: 'ada@example.com',
      issuer: gateway.idp.issuer,
      kind: 'human' as const,
      groups: ['dba'],
      roles: [],
      attributes: {},
      token: { expires: new Date(Date.now() + 60_000).toISOString() },
    };
    const who = { principal, expires_ms: Date.now() + 60_000 };
    await gateway.gateway.approvers.answer(id, who, {
      kind,
      through: 'api',
      ...(comment === undefined ? {} : { comment }),
    });
  }

  const left = async () => Number((await database.sql('select count(*)::int as n from app.kept'))[0]?.['n']);

  test('its client is told where it can be answered; approved, it gets its rows as if nothing had been, and what was given is used up', async () => {
    const told = new Promise<{ message?: string | undefined; detail?: string | undefined }>((resolve) =>
      agent.once('notice', resolve),
    );
    const answered = agent.query(deletion, [1]);
    const request = await waiting();
    const link = `https://gateway.example:8443/console/approvals/${request.id}`;
    const notice = await told;
    expect(notice.message).toContain(link);
    expect(JSON.parse(notice.detail ?? '')).toMatchObject({ hold: { id: request.id, link } });
    expect(request.operation?.postgres).toMatchObject({ parameters: ['1'] });
    await answer('approve', request.id);
    expect(await answered).toMatchObject({ rowCount: 1, rows: [{ n: 1 }] });
    const again = agent.query(deletion, [1]);
    const second = await waiting();
    expect(second.id).not.toBe(request.id);
    await answer('approve', second.id);
    expect((await again).rowCount).toBe(0);
  });

  test('refused, it fails with who and why, and the server has seen nothing of it', async () => {
    const answered = agent
      .query("delete from app.kept where n = 2 or 'never sent' = 'x'")
      .catch((error: unknown) => error);
    const request = await waiting();
    await answer('refuse', request.id, 'not tonight');
    const error = (await answered) as pg.DatabaseError;
    expect(error.code).toBe('42501');
    expect(error.message).toContain('not tonight');
    expect(JSON.parse(error.detail ?? '')).toMatchObject({
      outcome: 'deny',
      hold: { id: request.id },
      reasons: [{ code: 'approval_refused' }],
      comment: 'not tonight',
    });
    expect(relay.heard.some((bytes) => bytes.includes('never sent'))).toBe(false);
    expect(await left()).toBe(4);
  });

  test('a client that goes takes its request back', async () => {
    const other = new pg.Client(await gateway.connection({ subject: 'agent:bot', groups: ['agents'] }));
    other.on('error', () => undefined);
    await other.connect();
    other.query('delete from app.kept').catch(() => undefined);
    const { id } = await waiting();
    const ended = new Promise<void>((resolve) => {
      const stop = gateway.gateway.approvers.subscribe((event) => {
        if (event.id !== id || event.type !== 'ended') return;
        stop();
        resolve();
      });
    });
    await other.end();
    await ended;
    expect((await gateway.gateway.approvers.get(id))?.status).toBe('withdrawn');
    await expect(answer('approve', id)).rejects.toThrow();
    expect(await left()).toBe(4);
  });

  test('a gateway that ends while it waits runs nothing', async () => {
    const lost = agent.query('delete from app.kept').catch((error: unknown) => error);
    await waiting();
    await gateway.close();
    expect(await lost).toMatchObject({ code: '57P01' });
    expect(relay.heard.some((bytes) => bytes.includes('Qdelete') || bytes.includes('delete from app.kept\0'))).toBe(
      false,
    );
    expect(await left()).toBe(4);
  });
});
