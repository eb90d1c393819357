import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import postgres from 'postgres';
import type { HoldEnd } from '../../gateway/protocol.js';
import { startHeld, type Held } from '../support/held.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { clientTest, libpq, runProgram } from './support.js';

/** Clients as they are, which know nothing of approvals: they wait, and are answered. */

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

approval contains {"code": "deletes_wait", "groups": ["dba"]} if input.operation.action == "delete"
`;

const approve: HoldEnd = { how: 'approved' };
const refuse: HoldEnd = { how: 'refused', by: 'ada@example.com', comment: 'not today' };
const group = 'a client that knows nothing of approvals';

describe(group, () => {
  let database: TestDatabase;
  let held: Held;

  beforeAll(async () => {
    database = await createDatabase({
      sql: 'create schema app; create table app.kept (n int); create table app.other (n int)',
    });
  });
  beforeEach(async () => {
    await database.sql('truncate app.kept, app.other; insert into app.kept select generate_series(1, 5)');
    held = await startHeld(database, policy);
  });
  afterEach(() => held?.close());
  afterAll(() => database?.drop());

  const place = () => ({ ...held.address, user: 'agent', password: 'a token', database: 'orders' });
  const psql = (...parameters: string[]) => runProgram('psql', ['-X', ...parameters], { env: libpq(place()) });

  clientTest(group, 'psql waits, says so, and shows the row count', async () => {
    const answered = psql('-c', 'delete from app.kept where n = 1');
    (await held.asked()).answer(approve);
    const { code, stdout, stderr } = await answered;
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'DELETE 1\n' });
    expect(stderr).toMatch(
      /^NOTICE: {2}waiting for an approval \(deletes_wait\): request h-1 may be answered by dba until/,
    );
  });

  clientTest(group, 'psql takes its request back on an interrupt', async () => {
    let interrupt: () => void = () => undefined;
    const answered = runProgram('psql', ['-X', '-c', 'delete from app.kept'], {
      env: libpq(place()),
      started: (child) => (interrupt = () => child.kill('SIGINT')),
    });
    const asked = await held.asked();
    interrupt();
    expect(await asked.withdrawn).toBe('cancelled');
    const { code, stderr } = await answered;
    expect(code).toBe(1);
    expect(stderr).toContain('ERROR:  canceling statement due to user request');
    expect(held.sent('delete from')).toBe(false);
  });

  test('postgres.js goes on with other connections, and gets its rows or the reason', async () => {
    const sql = postgres({ ...place(), max: 2, onnotice: () => undefined });
    const first = sql`delete from app.kept where n = ${1} returning n`.execute();
    (await held.asked()).answer(approve);
    expect([...(await first)]).toEqual([{ n: 1 }]);
    const second = sql`delete from app.kept where n = ${2}`.catch((error: unknown) => error);
    const asked = await held.asked();
    expect([...(await sql`select count(*)::int as n from app.kept`)]).toEqual([{ n: 4 }]);
    asked.answer(refuse);
    const refused = (await second) as postgres.PostgresError;
    expect(refused.code).toBe('42501');
    expect(refused.message).toContain('not today');
    await sql.end();
  });

  clientTest(group, 'psycopg waits, alone and in a pipeline', async () => {
    const probe = spawnSync('node', [join(import.meta.dirname, 'probe.mjs'), 'python'], { encoding: 'utf8' });
    const checked = runProgram('python3', [join(import.meta.dirname, 'holding_check.py')], {
      env: { ...libpq(place()), CLIENT_PACKAGES: probe.stdout.trim(), PYTHONDONTWRITEBYTECODE: '1' },
    });
    const people = (async () => {
      (await held.asked()).answer(approve);
      (await held.asked()).answer(approve);
      (await held.asked()).answer(refuse);
    })();
    expect(await checked).toEqual({ code: 0, stdout: 'done\n', stderr: '' });
    await people;
  });
});
