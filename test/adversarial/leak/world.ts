import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { parse } from 'yaml';
import { startTestGateway, type TestGateway } from '../../support/gateway.js';
import type { TestDatabase, TestServer } from '../../support/postgres.js';
import { WireClient } from '../../support/wire.js';
import type { Variant } from './canaries.js';
import type { Role } from './corpus.js';
import { makeData, schema, type Data } from './data.js';
import type { Open } from './exchange.js';
import { digestSql, grantSql, keepSql, restoreSql } from './state.js';

/** A database with the fixture, and what is known of it. */
export interface Filled {
  readonly variant: Variant;
  readonly data: Data;
  readonly database: string;
  /** Runs SQL as its owner, behind whatever stands in front of it. */
  sql(text: string): Promise<Record<string, unknown>[]>;
  /** Of everything that a statement could change. */
  digest(): Promise<string>;
  /** Makes it again as it was, by the shortest way that does it. */
  restore(): Promise<void>;
  /** Makes it anew, down to the place of every row and what the planner knows: both databases are equal then in all but values. */
  renew(): Promise<void>;
}

export interface World {
  readonly a: Filled;
  readonly b: Filled;
  /** Words that the corpus leaves open. */
  readonly words: Readonly<Record<string, string>>;
  readonly newest: number;
  /** Columns that the policy masks, as RowDescription has them. */
  readonly columns: ReadonlySet<string>;
  /** To the server itself. */
  direct(filled: Filled, as?: Upstream): Subject;
  /** Through a gateway of this process, which signs in to the server as `upstream`. */
  gateway(filled: Filled, upstream: Upstream): Promise<Subject>;
  close(): Promise<void>;
}

export type Upstream = 'superuser' | 'least privileged';

export interface Subject {
  open(role: Role): Open;
  close(): Promise<void>;
}

const policy = (name: string): string => readFileSync(new URL(`./policy/${name}`, import.meta.url), 'utf8');
/** Both files of the policy, for whoever wants to run another gateway under it. */
export const policyFiles = (): string =>
  ['data.yaml', 'postgres.rego'].map((name) => `# ${name}\n${policy(name)}`).join('\n');

const roles: Readonly<Record<Role, readonly string[]>> = {
  reader: ['readonly'],
  writer: ['readonly', 'writer'],
  builder: ['readonly', 'writer', 'builder'],
};

/** Builds both databases in a server. The gateways that are opened later belong to the caller. */
export async function makeWorld(server: TestServer): Promise<World> {
  const mark = randomBytes(4).toString('hex');
  const agent = { user: `leak_agent_${mark}`, password: randomBytes(8).toString('hex') };
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop())
      await closer().catch(() => undefined);
  };
  const run = async (database: string, text: string) => {
    const client = new pg.Client({ ...server, database });
    await client.connect();
    try {
      const result = (await client.query(text)) as pg.QueryResult | pg.QueryResult[];
      return ((Array.isArray(result) ? result.at(-1)?.rows : result.rows) ?? []) as Record<string, unknown>[];
    } finally {
      await client.end();
    }
  };
  try {
    await run('postgres', `create role ${agent.user} login password '${agent.password}'`);
    closers.push(() => run('postgres', `drop role if exists ${agent.user}`));
    // The schema first, and once: objects have equal numbers in both.
    const empty = `leak_${mark}_empty`;
    await run('postgres', `create database ${empty}`);
    closers.push(() => run('postgres', `drop database if exists ${empty} with (force)`));
    await run(empty, `${schema()};\n${grantSql(agent.user)}`);
    const fill = async (variant: Variant): Promise<Filled> => {
      const data = makeData(variant);
      const kept = `leak_${mark}_${variant}_kept`;
      const database = `leak_${mark}_${variant}`;
      await run('postgres', `create database ${kept} template ${empty}`);
      closers.push(() => run('postgres', `drop database if exists ${kept} with (force)`));
      await run(kept, `${data.sql};\n${keepSql}`);
      await run(kept, 'analyze');
      let owner: pg.Client | undefined;
      let overheard: pg.Client | undefined;
      const listen = async () => {
        owner = await connect(server, database);
        overheard = await connect(server, database);
        await overheard.query(data.overheard);
      };
      const recreate = async () => {
        await owner?.end().catch(() => undefined);
        await overheard?.end().catch(() => undefined);
        await run('postgres', `drop database if exists ${database} with (force)`);
        await run('postgres', `create database ${database} template ${kept}`);
        await listen();
      };
      await recreate();
      closers.push(async () => {
        await owner?.end().catch(() => undefined);
        await overheard?.end().catch(() => undefined);
        await run('postgres', `drop database if exists ${database} with (force)`);
      });
      const digest = async () =>
        String(((await owner?.query(digestSql))?.rows[0] as { digest: string } | undefined)?.digest);
      const first = await digest();
      return {
        variant,
        data,
        database,
        sql: async (text) => ((await owner?.query(text))?.rows ?? []) as Record<string, unknown>[],
        digest,
        renew: recreate,
        async restore() {
          try {
            if ((await digest()) === first) return;
            await owner?.query(restoreSql(agent.user));
            if ((await digest()) === first) return;
          } catch {
            // What was done to it can't be undone from within.
          }
          await run('postgres', `drop role if exists leak_made; alter role ${server.user} reset all`);
          await run('postgres', 'alter system reset all');
          await recreate();
        },
      };
    };
    const a = await fill('a');
    const b = await fill('b');
    const [known] = await a.sql(`select (select ssn from app.customers where id = 3) as guess,
      (select tax_code from app.customers where id = 3) as hashed, (select left(ssn, 1) from app.customers where id = 1) as first,
      current_setting('data_directory') as folder,
      (select 'pg_toast.' || t.relname from pg_class c join pg_class t on t.oid = c.reltoastrelid where c.oid = 'app.customers'::regclass) as toast`);
    const masked = Object.keys(
      (parse(policy('data.yaml')) as { classification: { orders: object } }).classification.orders,
    );
    const found =
      await a.sql(`with masked as (select a.attrelid, a.attnum from pg_attribute a join pg_class c on c.oid = a.attrelid
        where concat(c.relnamespace::regnamespace, '.', c.relname, '.', a.attname) in (${masked.map((name) => `'${name}'`).join(', ')}))
      select attrelid || '.' || attnum as key from masked
      -- Generated columns carry what they are computed from.
      union select d.adrelid || '.' || d.adnum from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
        join pg_depend p on p.classid = 'pg_attrdef'::regclass and p.objid = d.oid and p.refclassid = 'pg_class'::regclass
        join masked m on m.attrelid = p.refobjid and m.attnum = p.refobjsubid where a.attgenerated <> '' `);
    const [last] = await a.sql(
      `select greatest((select max(oid) from pg_class), (select max(oid) from pg_type))::bigint::int as newest`,
    );
    return {
      a,
      b,
      newest: Number(last?.['newest']),
      columns: new Set(found.map(({ key }) => String(key))),
      words: known as Record<string, string>,
      direct: ({ database }, as) => ({
        open: () => (parameters) =>
          WireClient.open({ ...server, ...(as === 'least privileged' ? agent : {}), database, parameters }),
        close: async () => undefined,
      }),
      async gateway({ database }, upstream) {
        const account = upstream === 'superuser' ? {} : agent;
        const gateway: TestGateway = await startTestGateway({
          database: { ...server, ...account, database } as TestDatabase,
          // One key for both databases: what is keyed has to be equal where values are.
          config: { masks: { key: 'a key for nothing but this corpus' } },
          policy: { 'postgres.rego': policy('postgres.rego'), 'data.yaml': policy('data.yaml') },
        });
        return {
          open: (role) => (parameters) => gateway.open({ token: { roles: roles[role], expiresIn: 3_000 }, parameters }),
          close: () => gateway.close(),
        };
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function connect(server: TestServer, database: string): Promise<pg.Client> {
  const client = new pg.Client({ ...server, database });
  // It is cut off whenever its database is made anew.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
