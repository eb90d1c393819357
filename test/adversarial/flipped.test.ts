import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message, rows, type WireClient } from '../support/wire.js';

/** What a session has prepared, bound and declared under one revision is judged by the next when it runs. */
const open = { 'postgres.rego': 'package policy.postgres\n\nallow contains {"code": "all"} if input.version == 1\n' };
const closed = {
  'postgres.rego': `${open['postgres.rego']}
deny contains {"code": "closed"} if {
	some resource in input.operation.resources
	resource.name == "app.items"
}
`,
};
const sql = 'select v from app.items order by v';

interface Case {
  readonly what: string;
  /** Under the policy that allows; all of it is answered by ReadyForQuery as often as it says. */
  readonly before: readonly Buffer[];
  /** Under the one that denies. */
  readonly after: readonly Buffer[];
}

const execute = (portal = '') => [message.execute(portal), message.sync()];
const bound = (statement = '') => [message.bind([], { statement }), ...execute()];
const portal = [message.query('begin'), message.parse(sql), message.bind([], { portal: 'p' })];

const cases: readonly Case[] = [
  {
    what: 'a statement prepared in the protocol',
    before: [message.parse(sql, 's'), message.sync()],
    after: bound('s'),
  },
  {
    what: 'a statement prepared in SQL',
    before: [message.query(`prepare s as ${sql}`)],
    after: [message.query('execute s')],
  },
  {
    what: 'a statement of SQL, bound in the protocol',
    before: [message.query(`prepare s as ${sql}`)],
    after: bound('s'),
  },
  {
    what: 'a statement of the protocol, executed in SQL',
    before: [message.parse(sql, 's'), message.sync()],
    after: [message.query('execute s')],
  },
  {
    what: 'an EXECUTE that was prepared',
    before: [message.query(`prepare s as ${sql}`), message.parse('execute s', 'e'), message.sync()],
    after: bound('e'),
  },
  {
    what: 'EXPLAIN ANALYZE of a prepared statement',
    before: [message.query(`prepare s as ${sql}`)],
    after: [message.query('explain analyze execute s')],
  },
  { what: 'a portal that was bound', before: [...portal, message.sync()], after: execute('p') },
  {
    what: 'a portal that was suspended',
    before: [...portal, message.execute('p', 1), message.sync()],
    after: execute('p'),
  },
  { what: 'a portal, fetched in SQL', before: [...portal, message.sync()], after: [message.query('fetch all from p')] },
  {
    what: 'a cursor',
    before: [message.query(`begin; declare c cursor for ${sql}; fetch 1 from c`)],
    after: [message.query('fetch 1 from c')],
  },
  {
    what: 'a cursor, executed as a portal',
    before: [message.query(`begin; declare c cursor for ${sql}; fetch 1 from c`)],
    after: execute('c'),
  },
  {
    what: 'a cursor that is held',
    before: [message.query(`declare c cursor with hold for ${sql}`)],
    after: [message.query('fetch all from c')],
  },
  {
    what: 'a FETCH that was prepared',
    before: [
      message.query(`declare c cursor with hold for ${sql}`),
      message.parse('fetch all from c', 'f'),
      message.sync(),
    ],
    after: bound('f'),
  },
  { what: 'a text that was judged before', before: [message.query(sql)], after: [message.query(sql)] },
  {
    what: 'a temporary view',
    before: [message.query(`create temp view w as ${sql}`)],
    after: [message.query('select * from w')],
  },
];

describe('after a flip of policy', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  const clients: WireClient[] = [];

  beforeAll(async () => {
    database = await createDatabase({
      sql: 'create schema app; create table app.items (v int); insert into app.items values (1), (2), (3), (4)',
    });
    gateway = await startTestGateway({ database, policy: open });
    for (const { before } of cases) {
      const client = await gateway.open();
      clients.push(client);
      client.sendRaw(...before);
      for (const frame of before.filter((bytes) => bytes[0] === 0x51 || bytes[0] === 0x53)) {
        expect(frame.length).toBeGreaterThan(0);
        expect(errorOf(await client.readUntil('Z'))).toBeUndefined();
      }
    }
    expect(await gateway.changePolicy(closed)).toMatchObject({ type: 'activated' });
  });
  afterAll(async () => {
    for (const client of clients) client.socket.destroy();
    await gateway?.close();
    await database?.drop();
  });

  test.each(cases.map((each, index) => [each.what, each, index] as const))(
    '%s is refused',
    async (_what, { after }, index) => {
      const client = clients[index]!;
      const answer = await client.exchange(...after);
      expect(errorOf(answer)).toMatchObject({ C: '42501', M: expect.stringContaining('denied by policy') as unknown });
      expect(rows(answer)).toEqual([]);
      await client.query('rollback');
      expect(rows(await client.query('select 7'))).toEqual([['7']]);
    },
  );
});
