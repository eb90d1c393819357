import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { approve, person, refuse, startReplicas, whenEnded, whenWaiting, type Replicas } from '../support/replicas.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message, shape } from '../support/wire.js';

/** Two gateways over one state: what waits on one is answered on the other. */

const policy = (about: string) => `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

_deletes(name) if {
	some resource in input.operation.resources
	resource.access == "delete"
	resource.name == name
}

approval contains {"code": "deletes_wait", "groups": ["dba"], "reason": "${about}"} if _deletes("app.kept")

approval contains {"code": "two_of_them", "groups": ["dba"], "quorum": 2} if _deletes("app.both")

approval contains {"code": "soon_over", "groups": ["dba"], "expires": "1s"} if _deletes("app.soon")

deny contains {"code": "spent", "message": "a hundred a day"} if {
	some resource in input.operation.resources
	resource.name == "app.spent"
	input.usage.writes.day >= 100
}

taint contains {"code": "saw_people", "label": "people"} if {
	some resource in input.operation.resources
	resource.name == "app.people"
}

deny contains {"code": "tainted", "message": "who has read people writes nothing outside"} if {
	"people" in input.session.taint
	some resource in input.operation.resources
	resource.name == "app.outside"
}
`;

const issuer = 'https://people.example';
const ada = person(issuer, 'ada', 'dba');
const bo = person(issuer, 'bo', 'dba');

describe('two gateways over one state', () => {
  let database: TestDatabase;
  let replicas: Replicas;

  beforeAll(async () => {
    database = await createDatabase({
      sql: `create schema app; create table app.kept (n int); create table app.both (n int); create table app.soon (n int);
        create table app.spent (n int); create table app.people (n int); create table app.outside (n int);
        insert into app.kept select generate_series(1, 9)`,
    });
    replicas = await startReplicas(2, { database, policy: { 'postgres.rego': policy('look') } });
  });
  afterAll(async () => {
    await replicas?.close();
    await database?.drop();
  });

  const sides = () => {
    const [one, other] = replicas.gateways;
    return { one: one!, here: one!.gateway.approvers, there: other!.gateway.approvers };
  };
  const left = async () => Number((await database.sql('select count(*)::int as n from app.kept'))[0]?.['n']);
  const code = (frames: Parameters<typeof errorOf>[0]) =>
    (JSON.parse(errorOf(frames)?.['D'] ?? '{}') as { reasons?: { code: string }[] }).reasons?.[0]?.code;

  test('what is held on one is approved and refused on the other', async () => {
    const { one, there } = sides();
    const agent = await one.open();
    agent.sendRaw(message.query('delete from app.kept where n = 1'));
    const first = await whenWaiting(there);
    expect((await there.answer(first.id, ada, approve)).status).toBe('approved');
    expect(shape(await agent.readUntil('Z'))).toBe('N C Z');
    expect(await left()).toBe(8);
    agent.sendRaw(message.query('delete from app.kept where n = 2'));
    const second = await whenWaiting(there);
    await there.answer(second.id, ada, refuse);
    const frames = await agent.readUntil('Z');
    expect(code(frames)).toBe('approval_refused');
    expect(errorOf(frames)?.['M']).toContain('ada refused: not tonight');
    expect(await left()).toBe(8);
    await agent.end();
  });

  test('a quorum is made of answers on both', async () => {
    const { one, here, there } = sides();
    const agent = await one.open();
    agent.sendRaw(message.query('delete from app.both'));
    const { id } = await whenWaiting(there);
    expect((await there.answer(id, ada, approve)).status).toBe('waiting');
    await expect(here.answer(id, ada, approve)).rejects.toMatchObject({ reason: 'answered_already' });
    expect((await here.answer(id, bo, approve)).status).toBe('approved');
    expect(shape(await agent.readUntil('Z'))).toBe('N C Z');
    await agent.end();
  });

  test('of two answers at once, one on each, one counts, and at most one operation runs', async () => {
    const { one, here, there } = sides();
    await database.sql('insert into app.kept select generate_series(100, 149)');
    const agent = await one.open();
    for (let n = 100; n < 150; n++) {
      agent.sendRaw(message.query(`delete from app.kept where n = ${String(n)}`));
      const { id } = await whenWaiting(there);
      const outcomes = await Promise.allSettled([
        here.answer(id, ada, n % 2 === 0 ? approve : refuse),
        there.answer(id, bo, n % 2 === 0 ? refuse : approve),
      ]);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const approved = (await here.get(id))?.status === 'approved';
      expect(shape(await agent.readUntil('Z'))).toBe(approved ? 'N C Z' : 'N E Z');
      expect(await database.sql(`select n from app.kept where n = ${String(n)}`)).toHaveLength(approved ? 0 : 1);
    }
    await agent.end();
    await database.sql('delete from app.kept where n >= 100');
  });

  test('a request expires once, whoever notices', async () => {
    const { one, here, there } = sides();
    const agent = await one.open();
    agent.sendRaw(message.query('delete from app.soon'));
    const { id } = await whenWaiting(there);
    expect((await whenEnded(there, id)).status).toBe('expired');
    expect(code(await agent.readUntil('Z'))).toBe('approval_expired');
    await expect(here.answer(id, ada, approve)).rejects.toMatchObject({ reason: 'ended' });
    const ends = async () =>
      (await Promise.all(replicas.gateways.map((gateway) => gateway.records())))
        .flat()
        .filter((record) => record['kind'] === 'hold_end' && record['hold_id'] === id);
    // It is recorded once it is committed, which may be a moment after the other side knows.
    while ((await ends()).length === 0) await new Promise((resolve) => setImmediate(resolve));
    await agent.end();
    expect(await ends()).toHaveLength(1);
  });

  test('a client that goes on one is gone on the other at once', async () => {
    const { one, there } = sides();
    const agent = await one.open();
    const before = await left();
    agent.sendRaw(message.query('delete from app.kept'));
    const { id } = await whenWaiting(there);
    // It has been told that it waits.
    expect((await agent.read()).type).toBe('N');
    agent.socket.destroy();
    expect(await whenEnded(there, id)).toMatchObject({ status: 'withdrawn', why: 'client_gone' });
    await expect(there.answer(id, ada, approve)).rejects.toMatchObject({ reason: 'ended' });
    expect(await left()).toBe(before);
  });

  test('a budget of a hundred lets a hundred of two hundred through that come at once, and a restart forgets none', async () => {
    const agents = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        replicas.gateways[index % 2]!.open({ token: { subject: 'agent:many' } }),
      ),
    );
    const insert = message.query('insert into app.spent values (1)');
    const outcomes = await Promise.all(
      agents.map(async (agent) => {
        agent.sendRaw(...Array.from({ length: 10 }, () => insert));
        const seen: string[] = [];
        for (let n = 0; n < 10; n++) seen.push(shape(await agent.readUntil('Z')));
        await agent.end();
        return seen;
      }),
    );
    const passed = outcomes.flat().filter((seen) => seen === 'C Z');
    expect(outcomes.flat().filter((seen) => seen === 'E Z')).toHaveLength(100);
    expect(passed).toHaveLength(100);
    expect(await database.sql('select count(*)::int as n from app.spent')).toEqual([{ n: 100 }]);
    await replicas.add();
    const later = await replicas.gateways.at(-1)!.open({ token: { subject: 'agent:many' } });
    expect(code(await later.query('insert into app.spent values (1)'))).toBe('spent');
    await later.end();
  });

  test('what was seen on one is known on the other before its first row has come', async () => {
    const [one, other] = replicas.gateways;
    const reader = await one!.open({ token: { subject: 'agent:reader' } });
    const writer = await other!.open({ token: { subject: 'agent:reader' } });
    const write = 'insert into app.outside values (1)';
    expect(shape(await writer.query(write))).toBe('C Z');
    reader.sendRaw(message.query('select n from app.people'));
    await reader.readUntil('T');
    expect(code(await writer.query(write))).toBe('tainted');
    await reader.end();
    await writer.end();
  });

  test('a new policy has what waits judged anew: asked again, let through, or refused, and an old answer is none', async () => {
    const { one, here, there } = sides();
    const agent = await one.open();
    const wait = () => agent.sendRaw(message.query('delete from app.kept where n = 3'));
    wait();
    const old = await whenWaiting(there);
    await one.changePolicy({ 'postgres.rego': policy('look twice') });
    expect(await whenEnded(there, old.id)).toMatchObject({ status: 'withdrawn', why: 'policy_changed' });
    await expect(there.answer(old.id, ada, approve)).rejects.toMatchObject({ reason: 'ended' });
    const anew = await whenWaiting(here);
    expect(anew.id).not.toBe(old.id);
    expect(anew.revision).not.toBe(old.revision);
    await there.answer(anew.id, ada, approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N×2 C Z');
    wait();
    await whenWaiting(here);
    await one.changePolicy({
      'postgres.rego': `package policy.postgres\n\nallow contains {"code": "everything"} if input.version == 1\n\ndeny contains {"code": "no_more", "message": "no deletes at all"} if input.operation.action == "delete"\n`,
    });
    expect(code(await agent.readUntil('Z'))).toBe('no_more');
    await one.changePolicy({ 'postgres.rego': policy('look') });
    await agent.end();
  });
});
