import { rootCertificates } from 'node:tls';
import pg from 'pg';
import { isLoopback } from '../../config/loopback.js';
import { UpstreamError } from '../../errors.js';
import { detailsOf, refused, type Json, type Outcome } from './outcome.js';
import { hostOf, textOf, type Order } from './order.js';

/** query: one statement by the extended protocol, in a connection of its own that ends with it. */

const rows_default = 100;
export const rows_max = 1_000;
const bytes_max = 1_048_576;
const connect_ms_max = 30_000;

const builtin: Readonly<Record<string, number>> = pg.types.builtins;
const numbers: ReadonlySet<number> = new Set([
  builtin['INT2']!,
  builtin['INT4']!,
  builtin['OID']!,
  builtin['FLOAT4']!,
  builtin['FLOAT8']!,
]);
const documents: ReadonlySet<number> = new Set([builtin['JSON']!, builtin['JSONB']!]);

export async function query(order: Order): Promise<Outcome> {
  const { arguments: args, signal, waiting } = order;
  const most = (args['rows_max'] as number | undefined) ?? rows_default;
  const client = new pg.Client(connectionOf(order));
  // An error between two answers: the query fails with it, or nothing is lost by it.
  client.on('error', () => undefined);
  client.on('notice', ({ message, detail }) => {
    const details = detailsOf(detail);
    if ('hold' in details) waiting(message ?? 'waiting for an approval', details);
  });
  const leave = () => void client.end().catch(() => undefined);
  signal.addEventListener('abort', leave, { once: true });
  try {
    await client.connect();
    return await new Promise<Outcome>((resolve, reject) => {
      const statement = withTrace(textOf(args, 'sql'), order.prompt.trace);
      client.once('end', () => reject(new UpstreamError('the connection ended before the answer was whole')));
      client.query(
        new BoundedQuery({ text: statement, rows: most, values: valuesOf(args['parameters']) }, (error, found) =>
          error === undefined ? resolve({ value: found }) : reject(error),
        ),
      );
    });
  } catch (error) {
    return failureOf(error as Error);
  } finally {
    signal.removeEventListener('abort', leave);
    leave();
  }
}

function connectionOf({ target, place, token, prompt }: Order): pg.ClientConfig {
  const host = hostOf(place);
  // On this machine it leaves nowhere.
  if (!target.tls && !isLoopback(host))
    throw new UpstreamError('the gateway takes Postgres clients without TLS: a token is not sent there');
  return {
    ...{ host, port: target.port, database: target.name, user: 'sallyport', password: token },
    ...{ application_name: 'sallyport mcp', connectionTimeoutMillis: connect_ms_max },
    ssl: target.tls ? { ca: [...(place.ca === undefined ? [] : [place.ca]), ...rootCertificates], servername: host } : false, // prettier-ignore
    ...(prompt.id === undefined ? {} : { options: `-c sallyport.prompt=${prompt.id}` }),
    // As text: what JSON can hold is made of it below.
    types: { getTypeParser: () => (value: string) => value },
  };
}

/** In the form of sqlcommenter, on a line of its own: the statement may end in a comment. */
const withTrace = (sql: string, trace: string | undefined): string =>
  trace === undefined ? sql : `${sql}\n/*traceparent='${trace}'*/`;

/** Text, as every type takes it; the server knows which it is. */
const valuesOf = (given: unknown): (string | null)[] =>
  ((given as unknown[] | undefined) ?? []).map((value) =>
    value === null || typeof value === 'string' ? value : JSON.stringify(value),
  );

function failureOf(error: Error): Outcome {
  const { code, detail, hint } = error as pg.DatabaseError;
  if (error instanceof pg.DatabaseError) {
    const details = { ...detailsOf(detail), ...detailsOf(hint) };
    if ('decision' in details) return refused('denied', error.message, { ...details, sqlstate: code });
    return refused(code ?? 'error', error.message, {
      ...(detail === undefined ? {} : { detail }),
      ...(hint === undefined ? {} : { hint }),
    });
  }
  return refused('unreachable', `the target could not be asked: ${error.message}`);
}

interface Field {
  readonly name: string;
  readonly dataTypeID: number;
}

/** The driver's own query, that takes one portion of the rows and leaves the others with the server. */
class BoundedQuery extends pg.Query {
  readonly #done: (error: Error | undefined, found: Json) => void;
  #fields: readonly Field[] = [];
  readonly #rows: unknown[][] = [];
  #tag: string | undefined;
  #bytes = 0;
  #truncated = false;

  constructor(
    config: pg.QueryConfig & { readonly rows: number },
    done: (error: Error | undefined, found: Json) => void,
  ) {
    super(config as pg.QueryConfig);
    this.#done = done;
  }

  handleRowDescription({ fields }: { readonly fields: readonly Field[] }): void {
    this.#fields = fields;
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    this.#bytes += fields.reduce((bytes, value) => bytes + (value?.length ?? 4), 0);
    if (this.#bytes > bytes_max) this.#truncated = true;
    else this.#rows.push(fields.map((value, index) => valueOf(value, this.#fields[index]?.dataTypeID)));
  }

  /** There are more rows than were asked for: what was read is kept, the others are not. */
  handlePortalSuspended(connection: { sync(): void }): void {
    this.#truncated = true;
    connection.sync();
  }

  handleCommandComplete({ text }: { readonly text: string }, connection: { sync(): void }): void {
    this.#tag = text;
    connection.sync();
  }

  handleEmptyQuery(connection: { sync(): void }): void {
    connection.sync();
  }

  handleError(error: Error): void {
    this.#done(error, {});
  }

  handleReadyForQuery(): void {
    this.#done(undefined, {
      columns: this.#fields.map(({ name }) => name),
      rows: this.#rows,
      row_count: this.#rows.length,
      truncated: this.#truncated,
      ...(this.#tag === undefined ? {} : { tag: this.#tag }),
    });
  }
}

/** What a double does not hold stays text. */
function valueOf(value: string | null, type: number | undefined): unknown {
  if (value === null || type === undefined) return value;
  if (type === builtin['BOOL']) return value === 't';
  if (numbers.has(type)) return Number.isFinite(Number(value)) ? Number(value) : value;
  if (!documents.has(type)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
