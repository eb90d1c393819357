import { hash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';

/** What is masked for clients stands in no record either, by whatever road a client names it; and the rest still does. */

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

deny contains {"code": "no_deletes"} if input.operation.action == "delete"

mask contains {"resource": resource.name, "with": data.masks[label], "code": "pii"} if {
	some resource in input.operation.resources
	label := data.classification[input.target.name][resource.name]
	not "clear" in input.principal.roles
}
`;
const data = `classification:
  orders:
    app.people.email: pii
    app.people.phone: pii
masks:
  pii: redact
`;

const canary = 'ada.canary@example.com';
const number = '4917612345';

/** Statements with the canary in them, in whatever way it can meet a masked column. */
const statements = [
  `select id from app.people where email = '${canary}'`,
  `select id from app.people where email = E'${canary}' -- for ${canary}`,
  `select id from app.people where email = $$${canary}$$`,
  `select id from app.people where lower(email) like '%${canary}'`,
  `select id from app.people where email in ('x', '${canary}')`,
  `select id from app.people where '${canary}' = email`,
  `select id from app.people where phone = ${number}`,
  `select email = '${canary}' from app.people`,
  `select case email when '${canary}' then 1 end from app.people`,
  `select * from (select email as id from app.people) x where x.id = '${canary}'`,
  `with x(region) as (select email from app.people) select 1 from x where region = '${canary}'`,
  `select 1 from app.people p (a, b, c, d) where b = '${canary}'`,
  `select 1 from app.people p join app.notes n on n.text = p.email where n.text = '${canary}'`,
  `select 1 from app.people p, app.notes n where n.text = p.email and n.text = '${canary}'`,
  `select 1 from app.mails where mail = '${canary}'`,
  `select id from app.people where (region, email) = ('EU', '${canary}')`,
  `select id from app.people order by email = '${canary}'`,
  `select count(*) filter (where email = '${canary}') from app.people`,
  `select 1 from app.people group by email having email = '${canary}'`,
  `insert into app.people (id, email) values (100, '${canary}')`,
  `insert into app.people values (101, '${canary}', 'EU', ${number})`,
  `insert into app.people (id) values (1) on conflict (id) do update set email = '${canary}'`,
  `update app.people set email = '${canary}' where id = 7`,
  `update app.people set phone = ${number} where region = 'EU'`,
  `merge into app.people p using (values ('${canary}')) v(e) on p.email = v.e when matched then do nothing`,
  `delete from app.people where email = '${canary}'`,
  `explain select 1 from app.people where email = '${canary}'`,
  `copy (select 1 from app.people where email = '${canary}') to stdout`,
  `prepare by_email as select 1 from app.people where email = '${canary}'`,
  `declare some cursor with hold for select 1 from app.people where email = '${canary}'`,
  `do $$ begin perform '${canary}'; end $$`,
  `select 1; select id from app.people where email = '${canary}'`,
];

describe('values of masked columns', () => {
  let database: TestDatabase;
  let gateway: TestGateway;

  beforeAll(async () => {
    database = await createDatabase({
      sql: `create schema app;
        create table app.people (id int primary key, email text, region text, phone bigint);
        create table app.notes (id int, text text);
        create view app.mails as select id, email as mail from app.people;`,
    });
    gateway = await startTestGateway({ database, policy: { 'postgres.rego': policy, 'data.yaml': data } });
  });
  afterAll(async () => {
    await gateway?.close();
    await database?.drop();
  });

  async function connected<T>(roles: string[], use: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ ...(await gateway.connection({ roles })), ssl: false });
    await client.connect();
    try {
      return await use(client);
    } finally {
      await client.end();
    }
  }

  interface Intent {
    readonly hash: string;
    readonly resources: unknown;
    readonly result: { readonly outcome: string };
    readonly personal: {
      readonly operation: { statement: string; parameters?: string[]; database: string; user: string; withheld?: true };
    };
  }
  const intents = async () =>
    ((await gateway.records()).filter(({ kind }) => kind === 'intent') as unknown as readonly Intent[]).filter(
      // A connect's record may come behind the first query.
      ({ personal }) => personal.operation.statement !== '',
    );
  /** The record of what the client does now: it may be written a moment later. */
  async function recordOf(act: () => Promise<unknown>): Promise<Intent> {
    const before = (await intents()).length;
    await act().catch(() => undefined);
    for (;;) {
      const now = await intents();
      if (now.length > before) return now.at(-1)!;
      await new Promise(setImmediate);
    }
  }

  test('stand in no record, as literals or as parameters, let through or refused', async () => {
    const before = (await intents()).length;
    for (const roles of [['agent'], ['clear']])
      await connected(roles, async (client) => {
        for (const text of statements) {
          await client.query(text).catch(() => undefined);
          const [values, prepared] = parameterised(text);
          if (values.length > 0) await client.query(prepared, values).catch(() => undefined);
        }
        await client.query(`prepare mail (text) as select 1 from app.people where email = $1`).catch(() => undefined);
        await client.query(`execute mail('${canary}')`).catch(() => undefined);
      });
    const all = await gateway.records();
    expect((await intents()).length - before).toBeGreaterThan(2 * statements.length);
    const telling = all.filter((record) => [canary, number].some((value) => JSON.stringify(record).includes(value)));
    expect(telling.map(({ kind, result, personal }) => JSON.stringify([kind, result, personal]))).toEqual([]);
  });

  test('leave what is certainly about something else', async () => {
    await connected(['agent'], async (client) => {
      const read = await recordOf(() =>
        client.query(`select email from app.people where id = 42 and region = 'EU' and email = 'x' limit 7`),
      );
      expect(read.personal.operation.statement).toBe(
        `select email from app.people where id = 42 and region = 'EU' and email = '***' limit 7`,
      );
      const text = 'select id from app.people where email = $1 and id = $2';
      const { statement, parameters, withheld } = (await recordOf(() => client.query(text, [canary, 42]))).personal
        .operation;
      expect([statement, parameters?.[1], withheld]).toEqual([text, '42', true]);
      expect(parameters?.[0]).toMatch(/^withheld:[\w-]{22}\.[\w-]{43}$/);
    });
  });

  test('do not touch what has none of them', async () => {
    await connected(['agent'], async (client) => {
      const text = `select text from app.notes where text = 'free' -- why`;
      const { operation } = (await recordOf(() => client.query(text))).personal;
      expect([operation.statement, operation.withheld]).toEqual([text, undefined]);
    });
  });

  test('cannot be found out by trying hashes: equal operations have equal ones, and nobody else can make them', async () => {
    const hashes: string[] = [];
    await connected(['agent'], async (client) => {
      for (const value of ['a', 'a', 'b']) {
        const text = `select id from app.people where email = '${value}'`;
        hashes.push((await recordOf(() => client.query(text))).hash);
      }
      expect(hashes[0]).toBe(hashes[1]);
      expect(hashes[0]).not.toBe(hashes[2]);
    });
    const { resources, personal } = (await intents()).at(-1)!;
    const { database: name, user } = personal.operation;
    const text = `select id from app.people where email = 'b'`;
    const plain = hash('sha256', JSON.stringify([name, user, text, resources]));
    expect(hashes).not.toContain(plain);
  });
});

/** The same with parameters in place of the canary. */
function parameterised(text: string): [string[], string] {
  if (text.includes('$$') || text.includes('--') || text.includes(';')) return [[], text];
  const values: string[] = [];
  const prepared = text.replaceAll(/'[^']*canary[^']*'|4917612345/gu, (literal) => {
    values.push(literal.replaceAll("'", ''));
    return `$${values.length}`;
  });
  return [values, prepared];
}
