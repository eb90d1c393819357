import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { chown, stat, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import pg from 'pg';
import { startEmbeddedPostgres, throwawaySettings } from '../../gateway/state/embedded.js';
import type { Certificate } from './certificates.js';
import { sslRequest } from './relay.js';

/**
 * A Postgres of one's own that speaks TLS, with a role for each way to sign in. In clear it only lets its superuser in.
 */
export interface TlsPostgres {
  readonly host: string;
  readonly port: number;
  readonly database: 'postgres';
  /** Of every role: `scram`, `md5`, `clear` (named after the way they sign in) and the superuser. */
  readonly password: string;
  /** Runs SQL as the superuser, in clear. */
  sql(text: string): Promise<Record<string, unknown>[]>;
  /** Whether a session is inside pg_sleep. */
  sleeping(): Promise<boolean>;
  /** From the next connection on, the server shows this certificate. */
  useCertificate(certificate: Certificate): Promise<void>;
  stop(): Promise<void>;
}

const reload_ms_max = 30_000;

/** First match wins; what matches none is refused. */
const hostBasedAuthentication = `
host    all postgres 127.0.0.1/32 scram-sha-256
hostssl all scram    127.0.0.1/32 scram-sha-256
hostssl all md5      127.0.0.1/32 md5
hostssl all clear    127.0.0.1/32 password
`;

export async function startTlsPostgres(certificate: Certificate): Promise<TlsPostgres> {
  const password = randomBytes(12).toString('hex');
  const server = await startEmbeddedPostgres({ password, settings: { ...throwawaySettings, max_connections: 30 } });
  const sql = async (text: string): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client({ connectionString: server.databaseUrl('postgres') });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  };

  /** Postgres insists on a key that is its own and that nobody else can read. */
  const put = async (name: string, content: string) => {
    const file = join(server.directory, name);
    const { uid, gid } = await stat(server.directory);
    await writeFile(file, content, { mode: 0o600 });
    await chown(file, uid, gid);
  };

  let certificates = 0;
  const useCertificate = async ({ certificate, key }: Certificate) => {
    const name = `server-${String(++certificates)}`;
    await put(`${name}.crt`, certificate);
    await put(`${name}.key`, key);
    await sql(`alter system set ssl_cert_file = '${name}.crt'`);
    await sql(`alter system set ssl_key_file = '${name}.key'`);
    await sql('alter system set ssl = on');
    await sql('select pg_reload_conf()');
    // The certificate is the last thing that a server looks at when it is told to read its files again.
    const { raw } = new X509Certificate(certificate);
    const deadline_ms = Date.now() + reload_ms_max;
    while (!(await shownCertificate(server))?.equals(raw)) {
      if (Date.now() > deadline_ms) throw new Error('Postgres does not take its new certificate');
    }
  };

  try {
    await sql(`create role scram login password '${password}'`);
    await sql(`create role clear login password '${password}'`);
    await sql(`create role md5 login password 'md5${createHash('md5').update(`${password}md5`).digest('hex')}'`);
    await put('pg_hba.conf', hostBasedAuthentication);
    await useCertificate(certificate);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    host: server.host,
    port: server.port,
    database: 'postgres',
    password,
    sql,
    sleeping: async () => (await sql("select from pg_stat_activity where wait_event = 'PgSleep'")).length > 0,
    useCertificate,
    stop: () => server.stop(),
  };
}

/** In DER; undefined while the server speaks no TLS. */
async function shownCertificate({ host, port }: { host: string; port: number }): Promise<Buffer | undefined> {
  const plain = connectTcp({ host, port });
  try {
    plain.write(sslRequest);
    const [answer] = (await once(plain, 'data')) as [Buffer];
    if (answer.toString() !== 'S') return undefined;
    const secure = connectTls({ socket: plain, rejectUnauthorized: false });
    await once(secure, 'secureConnect');
    return secure.getPeerX509Certificate()?.raw;
  } finally {
    plain.destroy();
  }
}
