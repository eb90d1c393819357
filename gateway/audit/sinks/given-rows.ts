import pg from 'pg';
import { audit_records, type Rows } from './postgres.js';

/** A database that is given by URL, for a sink alone. */
export interface GivenDatabase {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** Absent: in clear. */
  readonly ssl?: { readonly rejectUnauthorized: boolean; readonly ca?: string | undefined };
}

const statement_ms_max = 10_000;

/** One connection, opened when it is needed and given up with the first error. Makes the table where there is none. */
export function givenRows({ ssl, ...place }: GivenDatabase): Rows {
  let open: Promise<pg.Client> | undefined;
  const connect = async () => {
    const client = new pg.Client({
      ...place,
      ssl: ssl === undefined ? false : { ...ssl, servername: place.host },
      application_name: 'sallyport audit',
      connectionTimeoutMillis: statement_ms_max,
      query_timeout: statement_ms_max,
      statement_timeout: statement_ms_max,
      keepAlive: true,
    });
    // Without a listener, a connection that breaks between two batches would end the process.
    client.on('error', () => (open = undefined));
    client.on('end', () => (open = undefined));
    await client.connect();
    try {
      await makeTable(client);
    } catch (error) {
      client.end().catch(() => undefined);
      throw error;
    }
    return client;
  };
  return {
    async query(text, values) {
      open ??= connect();
      const opening = open;
      try {
        return await (await opening).query(text, [...values]);
      } catch (error) {
        if (open === opening) open = undefined;
        void opening.then((client) => client.end()).catch(() => undefined);
        throw error;
      }
    },
    async close() {
      const closing = open;
      open = undefined;
      await closing?.then((client) => client.end()).catch(() => undefined);
    },
  };
}

/** A user that may only insert needs a table that somebody else made. */
async function makeTable(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ there: boolean }>(
    "select to_regclass('sallyport.audit_records') is not null as there",
  );
  if (rows[0]?.there === true) return;
  await client.query('create schema if not exists sallyport');
  await client.query(audit_records);
}
