import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { startHeld, type Held } from '../support/held.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, fields, message, rows, shape, type Frame, type WireClient } from '../support/wire.js';

/** An operation that waits for people waits in its client's own connection, and nothing of it reaches the server before the yes. */

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

_touches(name) if {
	some resource in input.operation.resources
	resource.name == name
	resource.type == "relation"
}

_deletes if {
	some resource in input.operation.resources
	resource.access == "delete"
}

approval contains {"code": "deletes_wait", "groups": ["dba"], "reason": "deletes are looked at"} if {
	_deletes
	_touches("app.kept")
}

approval contains {"code": "may_lock", "groups": ["dba"], "in_transaction": true} if {
	_deletes
	_touches("app.locked")
}

approval contains {"code": "reads_wait", "groups": ["dba"]} if _touches("app.quiet")
`;

const deletion = 'delete from app.kept where n <= 3';
const approve = { how: 'approved' } as const;
const refuse = { how: 'refused', by: 'ada@example.com', comment: 'not today' } as const;

describe('an operation that waits for people', () => {
  let database: TestDatabase;
  let held: Held;
  let agent: WireClient;

  beforeAll(async () => {
    database = await createDatabase({
      sql: `create schema app;
        create table app.kept (n int); create table app.locked (n int); create table app.other (n int);
        create table app.quiet (n int); insert into app.quiet select generate_series(1, 3);`,
    });
  });
  beforeEach(async () => {
    await agent?.end();
    await held?.close();
    await database.sql(
      'truncate app.kept, app.locked, app.other; insert into app.kept select generate_series(1, 5); insert into app.locked select generate_series(1, 5)',
    );
    held = await startHeld(database, policy);
    agent = await held.open();
  });
  afterAll(async () => {
    await agent?.end();
    await held?.close();
    await database?.drop();
  });

  const left = async () => Number((await database.sql('select count(*)::int as n from app.kept'))[0]?.['n']);
  const reason = (frames: readonly Frame[]) => {
    const error = errorOf(frames);
    const detail = JSON.parse(error?.['D'] ?? '{}') as { reasons?: { code: string }[]; hold?: { id: string } };
    return [error?.['C'], detail.reasons?.[0]?.code, detail.hold?.id];
  };

  test('is told of at once, and runs as if it came then once it is approved', async () => {
    agent.sendRaw(message.query(deletion));
    const asked = await held.asked();
    const notice = fields((await agent.read()).body);
    expect(notice['S']).toBe('NOTICE');
    expect(notice['M']).toMatch(
      /^waiting for an approval \(deletes are looked at\): request h-1 may be answered by dba until .*Z, 15 min from now: https:\/\/gateway\.example\/console\/holds\/h-1$/,
    );
    expect(JSON.parse(notice['D'] ?? '')).toMatchObject({ outcome: 'hold', hold: { id: 'h-1' }, groups: ['dba'] });
    expect(held.sent('delete from')).toBe(false);
    asked.answer(approve);
    const frames = await agent.readUntil('Z');
    expect(shape(frames)).toBe('C Z');
    expect(frames[0]?.body.toString()).toBe('DELETE 3\0');
    expect(await left()).toBe(2);
    // What was given is used up.
    agent.sendRaw(message.query(deletion));
    (await held.asked()).answer(refuse);
    expect(shape(await agent.readUntil('Z'))).toBe('N E Z');
  });

  test.each([
    ['refused', refuse, 'approval_refused', 'not approved: ada@example.com refused: not today'],
    ['expired', { how: 'expired' } as const, 'approval_expired', 'not approved: nobody answered in time'],
    [
      'withdrawn',
      { how: 'withdrawn', why: 'the policy changed' } as const,
      'approval_withdrawn',
      'not approved: the request was withdrawn: the policy changed',
    ],
  ])('%s: nothing runs, and the session goes on', async (_name, end, code, said) => {
    agent.sendRaw(message.query(`insert into app.other values (1); ${deletion}`));
    (await held.asked()).answer(end);
    const frames = await agent.readUntil('Z');
    expect(shape(frames)).toBe('N E Z');
    expect(reason(frames)).toEqual(['42501', code, 'h-1']);
    expect(errorOf(frames)?.['M']).toBe(said);
    expect(held.sent('delete from')).toBe(false);
    expect(held.sent('insert into app.other')).toBe(false);
    expect(rows(await agent.query('select count(*) from app.kept'))).toEqual([['5']]);
  });

  test('a cancel request ends the wait and takes the request back', async () => {
    agent.sendRaw(message.query(deletion));
    const asked = await held.asked();
    await agent.read();
    const other = connect(held.address);
    other.end(message.cancel(agent.processId, agent.secretKey));
    const frames = await agent.readUntil('Z');
    expect(reason(frames).slice(0, 2)).toEqual(['57014', 'approval_withdrawn']);
    expect(await asked.withdrawn).toBe('cancelled');
    expect(held.sent('delete from')).toBe(false);
    expect(rows(await agent.query('select count(*) from app.kept'))).toEqual([['5']]);
  });

  test.each([
    ['says good-bye', (client: WireClient) => client.sendRaw(message.terminate()), 'client_gone'],
    [
      'says good-bye behind other messages',
      (client: WireClient) => client.sendRaw(message.query('select 1'), message.sync(), message.terminate()),
      'client_gone',
    ],
    ['ends its half of the connection', (client: WireClient) => client.socket.end(), 'client_gone'],
    ['is gone', (client: WireClient) => client.socket.destroy(), 'client_gone'],
    ['is thrown out', () => held.kill(), 'session_ended'],
    ['loses its gateway', () => void held.close(), 'shutdown'],
  ])('a client that %s takes its request back', async (_name, leave, why) => {
    agent.sendRaw(message.query(deletion));
    const asked = await held.asked();
    await agent.read();
    leave(agent);
    expect(await asked.withdrawn).toBe(why);
    await agent.closed();
    expect(held.sent('delete from')).toBe(false);
    expect(await left()).toBe(5);
    // An answer that comes too late answers nothing.
    asked.answer(approve);
    expect(await left()).toBe(5);
  });

  test('in a batch what came before is answered first, and what comes behind waits too', async () => {
    agent.sendRaw(
      message.parse('select 7'),
      message.bind(),
      message.execute(),
      message.parse(`${deletion} returning n`),
      message.bind(),
      message.describe('P'),
      message.execute(),
      message.parse('select 8'),
      message.bind(),
      message.execute(),
      message.sync(),
    );
    const asked = await held.asked();
    expect(shape(await agent.readUntil('N'))).toBe('1 2 D C 1 2 T N');
    asked.answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('D×3 C 1 2 D C Z');
    expect(await left()).toBe(2);
  });

  test('the server keeps no lock and no clock while a statement with parameters waits', async () => {
    await agent.query("set statement_timeout = '3s'");
    agent.sendRaw(
      message.parse('delete from app.kept where n = any($1) returning n'),
      message.bind(['{1,2}']),
      message.describe('P'),
      message.execute(),
      message.sync(),
    );
    const asked = await held.asked();
    expect(shape(await agent.readUntil('N'))).toBe('1 2 T N');
    expect(asked.operation.postgres).toMatchObject({ parameters: ['{1,2}'] });
    await database.sql('begin; lock table app.kept in access exclusive mode; select pg_sleep(3.5); commit');
    asked.answer(approve);
    const frames = await agent.readUntil('Z');
    expect(shape(frames)).toBe('D×2 C Z');
    expect(await left()).toBe(3);
  });

  test('a time-out of the server in an open batch ends the wait, and the session goes on', async () => {
    await agent.query("set statement_timeout = '2s'");
    agent.sendRaw(
      message.parse('select 7'),
      message.bind(),
      message.execute(),
      message.parse(deletion),
      message.bind(),
      message.execute(),
      message.parse('insert into app.other values (1)'),
      message.bind(),
      message.execute(),
      message.sync(),
    );
    const asked = await held.asked();
    expect(await asked.withdrawn).toBe('batch_failed');
    const frames = await agent.readUntil('Z');
    expect(shape(frames)).toBe('1 2 D C 1 2 N E Z');
    expect(errorOf(frames)?.['C']).toBe('57014');
    expect(frames.at(-1)?.body.toString()).toBe('I');
    // Too late: there is nothing left that it could let run.
    asked.answer(approve);
    expect(rows(await agent.query('select count(*) from app.kept'))).toEqual([['5']]);
    expect(held.sent('insert into app.other')).toBe(false);
  });

  test('refused in a batch, the rest of it is skipped and what came before is undone', async () => {
    agent.sendRaw(
      message.parse(deletion),
      message.bind(),
      message.execute(),
      message.parse('insert into app.other values (1)'),
      message.bind(),
      message.execute(),
      message.sync(),
    );
    (await held.asked()).answer(refuse);
    const frames = await agent.readUntil('Z');
    expect(shape(frames)).toBe('1 2 N E Z');
    expect(reason(frames)[1]).toBe('approval_refused');
    expect(held.sent('insert into app.other')).toBe(false);
    expect(await database.sql('select n from app.other')).toEqual([]);
  });

  test.each([
    ['begin; insert into app.other values (1)'],
    ['begin; select n from app.other for update'],
    ['begin; lock table app.other in share mode'],
    ['begin; select pg_advisory_lock(1)'],
  ])('is not asked for where the transaction keeps locks: %s', async (before) => {
    await agent.query(before);
    const frames = await agent.query(deletion);
    expect(reason(frames).slice(0, 2)).toEqual(['42501', 'approval_in_transaction']);
    expect(frames.at(-1)?.body.toString()).toBe('E');
    expect(held.requests).toBe(0);
    await agent.query('rollback');
    // The transaction is over, and its locks are.
    agent.sendRaw(message.query(deletion));
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N C Z');
  });

  test('nor in a batch that has written', async () => {
    const frames = await agent.exchange(
      message.parse('insert into app.other values (1)'),
      message.bind(),
      message.execute(),
      message.parse(deletion),
      message.bind(),
      message.execute(),
      message.sync(),
    );
    expect(reason(frames)[1]).toBe('approval_in_transaction');
    expect(await database.sql('select n from app.other')).toEqual([]);
  });

  test('a transaction that has only read may wait, and one that policy lets', async () => {
    await agent.query('begin; select n from app.other');
    agent.sendRaw(message.query(deletion));
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N C Z');
    agent.sendRaw(message.query('delete from app.locked where n = 1'));
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N C Z');
    await agent.query('commit');
    expect(await left()).toBe(2);
  });

  test('EXECUTE and FETCH wait for what they run', async () => {
    // What PREPARE names is asked for like what runs: it is the same statement.
    agent.sendRaw(message.query(`prepare gone as ${deletion}`));
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N C Z');
    agent.sendRaw(message.query('execute gone'));
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N C Z');
    agent.sendRaw(message.query('begin; declare c cursor for select n from app.quiet'));
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N C×2 Z');
    agent.sendRaw(message.query('fetch 2 from c'));
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N T D×2 C Z');
    agent.sendRaw(message.query('fetch 2 from c'));
    (await held.asked()).answer(refuse);
    expect(shape(await agent.readUntil('Z'))).toBe('N E Z');
  });

  test('COPY in both directions waits before its data does', async () => {
    agent.sendRaw(message.query('copy app.quiet to stdout'));
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N H d×3 c C Z');
    agent.sendRaw(message.query('copy app.quiet from stdin'), message.copyData('4\n'), message.copyDone());
    (await held.asked()).answer(approve);
    expect(shape(await agent.readUntil('Z'))).toBe('N G C Z');
  });

  test('other sessions go on meanwhile, and an unchanged driver just waits', async () => {
    const client = new pg.Client({ ...held.address, user: 'agent', database: 'orders', password: 'a token' });
    await client.connect();
    const notices: (string | undefined)[] = [];
    client.on('notice', (notice) => notices.push(notice.message));
    const answer = client.query('delete from app.kept where n = $1 returning n', [4]);
    const asked = await held.asked();
    expect(rows(await agent.query('select count(*) from app.kept'))).toEqual([['5']]);
    asked.answer(approve);
    expect(await answer).toMatchObject({ rowCount: 1, rows: [{ n: 4 }] });
    expect(notices).toHaveLength(1);
    await client.end();
  });
});
