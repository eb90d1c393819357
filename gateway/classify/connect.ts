import { X509Certificate } from 'node:crypto';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import { ConfigError, UpstreamError } from '../errors.js';

/** Where the gateway listens for Postgres clients. */
export interface GatewayAddress {
  readonly host: string;
  readonly port: number;
  /** PEM; TLS with this certificate and no other. */
  readonly certificate?: string;
  /** TLS with a certificate that the system's authorities vouch for. */
  readonly tls?: boolean;
}

const connect_ms_max = 10_000;
/** How long one statement may take in the server. */
export const statement_ms_max = 5_000;
/** And how long its answer may take to come, the gateway's own work included. */
const answer_ms_max = 30_000;

/** Policy said no, or the server's own grants did: the command worked, and this is the answer. */
export class Refused extends Error {
  constructor(
    message: string,
    /** The codes of the decision, where it was policy. */
    readonly codes: readonly string[],
  ) {
    super(message);
    this.name = 'Refused';
  }
}

/** A client of the gateway like any other: what it asks is judged, masked and recorded. */
export interface Client {
  query(text: string, values?: readonly unknown[]): Promise<Answer>;
  close(): Promise<void>;
}

export interface Answer {
  /** Each column's name, and the OID of the relation it is read from unchanged: 0 where it is computed. */
  readonly fields: readonly { readonly name: string; readonly relation: number }[];
  readonly rows: readonly (readonly (string | null)[])[];
}

export async function connect(address: GatewayAddress, target: string, token: string): Promise<Client> {
  const encrypted = address.certificate !== undefined || address.tls === true;
  if (!encrypted && !/^(?:localhost|::1|127(?:\.\d{1,3}){3})$/.test(address.host))
    throw new ConfigError(
      `the gateway at ${address.host} listens without TLS: a token must not travel in clear off this machine. Give listen.postgres a certificate.`,
    );
  const client = new pg.Client({
    host: address.host,
    port: address.port,
    user: 'classify',
    password: token,
    database: target,
    application_name: 'sallyport classify',
    connectionTimeoutMillis: connect_ms_max,
    query_timeout: answer_ms_max,
    ...(encrypted ? { ssl: tlsOptions(address) } : {}),
  });
  // The connection's end is seen by the query that waits, or by the next.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    throw told(error) ?? new UpstreamError(`cannot connect to the gateway at ${where(address)}: ${reason(error)}`);
  }
  const query = async (text: string, values: readonly unknown[] = []): Promise<Answer> => {
    try {
      const result = await client.query<(string | null)[]>({
        text,
        values: [...values],
        rowMode: 'array',
        // As the server writes it: nothing is made of a value.
        types: { getTypeParser: () => (value: string | Buffer) => String(value) },
      });
      return { fields: result.fields.map(({ name, tableID }) => ({ name, relation: tableID })), rows: result.rows };
    } catch (error) {
      throw told(error) ?? error;
    }
  };
  return { query, close: () => client.end() };
}

const where = ({ host, port }: GatewayAddress): string => `${host}:${port}`;

/** What a connection's failure says, with the several addresses of a name in one. */
function reason(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reason).join('; ');
  return error instanceof Error ? error.message : String(error);
}

/** A refusal as such; undefined for everything else. */
function told(error: unknown): Refused | undefined {
  if (!(error instanceof pg.DatabaseError) || !/^(?:42501|28...)$/.test(error.code ?? '')) return undefined;
  return new Refused(error.message, codesOf(error.detail));
}

/** A refusal has its decision on the DETAIL line. */
function codesOf(detail: string | undefined): string[] {
  try {
    const { reasons } = JSON.parse(detail ?? '') as { reasons?: unknown };
    const codes = (Array.isArray(reasons) ? reasons : []).map((one) => (one as { code?: unknown } | null)?.code);
    return codes.filter((code): code is string => typeof code === 'string' && /^\w{1,80}$/.test(code));
  } catch {
    return [];
  }
}

function tlsOptions({ host, certificate }: GatewayAddress): ConnectionOptions {
  if (certificate === undefined) return { servername: host };
  // The file holds the very certificate that the gateway shows: that one is believed, whatever name it is for.
  const expected = new X509Certificate(certificate).fingerprint256;
  return {
    ca: certificate,
    allowPartialTrustChain: true,
    checkServerIdentity: (_, { fingerprint256 }) =>
      fingerprint256 === expected ? undefined : new Error('it shows another certificate than listen.postgres names'),
  };
}
