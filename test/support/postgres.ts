import { randomBytes } from 'node:crypto';
import pg from 'pg';

/**
 * Databases for tests. All live in one server, which a run of the tests starts when the first asks for it
 * (global-setup.mjs) and which ends with the run.
 */
export interface TestServer {
  readonly host: string;
  readonly port: number;
  /** A superuser. */
  readonly user: string;
  readonly password: string;
}

export interface TestDatabase extends TestServer {
  readonly database: string;
  /** postgres://… as the superuser. */
  readonly url: string;
  /** Runs SQL (one or more statements) in it directly, not through any gateway; the rows of the last one. */
  sql(text: string): Promise<Record<string, unknown>[]>;
  /** Drops it, whoever is still connected. */
  drop(): Promise<void>;
}

export async function testServer(): Promise<TestServer> {
  const broker = process.env['SALLYPORT_TEST_POSTGRES'];
  if (broker === undefined)
    throw new Error(
      'run this with the jest.config.js of the repository: its globalSetup gives the tests their Postgres',
    );
  const answer = await fetch(broker);
  if (!answer.ok) throw new Error(`the tests' Postgres did not start: ${await answer.text()}`);
  return (await answer.json()) as TestServer;
}

/**
 * A database of one's own: empty, with what the SQL makes, or a copy of another, to which nobody may be connected. A copy
 * has equal OIDs.
 */
export async function createDatabase(options: { sql?: string; copyOf?: TestDatabase } = {}): Promise<TestDatabase> {
  const server = await testServer();
  const database = `test_${randomBytes(6).toString('hex')}`;
  const url = (name: string) =>
    `postgres://${server.user}:${server.password}@${server.host}:${String(server.port)}/${name}`;
  await query(
    url('postgres'),
    `create database ${database}${options.copyOf === undefined ? '' : ` template ${options.copyOf.database}`}`,
  );
  const made: TestDatabase = {
    ...server,
    database,
    url: url(database),
    sql: (text) => query(url(database), text),
    drop: async () => {
      await query(url('postgres'), `drop database if exists ${database} with (force)`);
    },
  };
  if (options.sql !== undefined) {
    await made.sql(options.sql).catch(async (error: unknown) => {
      await made.drop();
      throw error;
    });
  }
  return made;
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const result = (await client.query<Record<string, unknown>>(text)) as
      pg.QueryResult<Record<string, unknown>> | pg.QueryResult<Record<string, unknown>>[];
    return (Array.isArray(result) ? result.at(-1)?.rows : result.rows) ?? [];
  } finally {
    await client.end();
  }
}

/** How an interpreter asks a test's database: rows of text, as they come over the wire. */
export function textRows(client: pg.Client) {
  return async (text: string, values: readonly (string | null)[]): Promise<(string | null)[][]> =>
    (
      await client.query<(string | null)[]>({
        text,
        values: [...values],
        rowMode: 'array',
        types: { getTypeParser: () => (value: string) => value },
      })
    ).rows;
}
