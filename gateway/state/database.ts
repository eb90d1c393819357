import pg from 'pg';
import type { Logger } from 'pino';
import { GatewayError, StateError } from '../errors.js';
import type { Home, Place } from './home.js';
import { Listening, soon } from './listening.js';
import { migrate, shippedMigrations, type Migration } from './migrate.js';

/**
 * The gateway's own database. Nothing is opened until somebody needs it. What it cannot do in time is a StateError;
 * while it is known to be lost, every call is refused at once, and it comes back by itself.
 */
export interface Database extends Queries {
  /** One transaction, read committed. What `work` throws rolls it back and is thrown on. */
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
  /**
   * Calls `heard` with each payload, and `missed` whenever there may have been some that nobody heard: at the first
   * connection, and after each that was lost. Returns what ends it.
   */
  listen(channel: string, heard: (payload: string) => void, missed: () => void): () => void;
  /** Heard by every replica, this one included, once the statement is committed. At most 7 999 bytes. */
  notify(channel: string, payload: string): Promise<void>;
  /** Opens it, in the background and for as long as it takes. Does nothing the second time. */
  start(): void;
  /** Resolves when it can be used; rejects with StateError after `patience_ms`. Starts it. */
  ready(patience_ms?: number): Promise<void>;
  /** Whether somebody has needed it. */
  readonly started: boolean;
  /** Whether it answered when it was last asked. */
  readonly healthy: boolean;
  close(): Promise<void>;
}

export interface Queries {
  /** Rejects with StateError, whatever went wrong. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
}

export interface DatabaseOptions {
  readonly home: Home;
  readonly log: Logger;
  /** What a statement may take, with the wait for a connection. */
  readonly wait_ms_max?: number;
  readonly connections_max?: number;
  readonly migrations?: readonly Migration[];
  /** Done once: after the migrations, and before anybody else's first statement. */
  readonly first?: (queries: Queries) => Promise<void>;
}

const migration_ms_max = 60_000;
const retry_ms = 500;
const silence_ms_max = 5_000;

export function openDatabase(options: DatabaseOptions): Database {
  return new PostgresDatabase(options);
}

class PostgresDatabase implements Database {
  readonly #options: DatabaseOptions;
  readonly #wait_ms_max: number;
  readonly #listening: Listening;
  #pool: pg.Pool | undefined;
  #opening: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Who waits for the first opening. */
  #waiting: (() => void)[] = [];
  #complaint: string | undefined;
  #prepared = false;
  #closed = false;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#wait_ms_max = options.wait_ms_max ?? 2_000;
    this.#listening = new Listening({
      log: options.log,
      connect: async () => this.#client(await options.home.open(), this.#wait_ms_max),
    });
  }

  get started(): boolean {
    return this.#opening !== undefined;
  }

  get healthy(): boolean {
    return this.#pool !== undefined;
  }

  start(): void {
    this.#opening ??= this.#open();
  }

  async ready(patience_ms = this.#wait_ms_max): Promise<void> {
    if (this.#closed) throw new StateError('the gateway stops');
    this.start();
    if (this.#pool !== undefined) return;
    // Known to be lost: whoever asks is told at once, and not after the time that it would take to find out again.
    if (this.#complaint !== undefined && patience_ms <= this.#wait_ms_max) throw this.#unavailable();
    await new Promise<void>((settle, refuse) => {
      const timer = setTimeout(() => refuse(this.#unavailable()), patience_ms);
      this.#waiting.push(() => {
        clearTimeout(timer);
        settle();
      });
    });
    if (this.#pool === undefined) throw this.#unavailable();
  }

  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return this.#with((client) => run<Row>(client, text, values));
  }

  async transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T> {
    return this.#with(async (client) => {
      const queries: Queries = { query: (text, values = []) => this.#bounded(run(client, text, values)) };
      await queries.query('begin');
      try {
        const result = await work(queries);
        await queries.query('commit');
        return result;
      } catch (error) {
        if (error instanceof GatewayError && !(error instanceof StateError)) await queries.query('rollback');
        throw error;
      }
    }, true);
  }

  listen(channel: string, heard: (payload: string) => void, missed: () => void): () => void {
    return this.#listening.add(channel, heard, missed);
  }

  async notify(channel: string, payload: string): Promise<void> {
    await this.query('select pg_notify($1, $2)', [channel, payload]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#tellWaiting();
    await this.#listening.close();
    const pool = this.#pool;
    this.#pool = undefined;
    await this.#opening?.catch(() => undefined);
    if (pool !== undefined) await soon(pool.end());
    await this.#options.home.close();
  }

  /** Runs `work` on a connection. One on which something went wrong is not used again. */
  async #with<T>(work: (client: pg.PoolClient) => Promise<T>, own = false): Promise<T> {
    await this.ready();
    const pool = this.#pool;
    if (pool === undefined) throw this.#unavailable();
    let client: pg.PoolClient | undefined;
    let broken = true;
    try {
      client = await pool.connect();
      // One that breaks while it is lent out says so to whoever waits for its answer; without a listener it would also end
      // the process.
      client.on('error', ignore);
      const result = await (own ? work(client) : this.#bounded(work(client)));
      broken = false;
      return result;
    } catch (error) {
      if (error instanceof GatewayError && !(error instanceof StateError)) {
        broken = false;
        throw error;
      }
      if (isLoss(error)) this.#lost(pool, error);
      throw error instanceof StateError ? error : stateError(error);
    } finally {
      client?.release(broken);
      client?.off('error', ignore);
    }
  }

  async #bounded<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, refuse) => {
      timer = setTimeout(() => refuse(new Late()), this.#wait_ms_max);
    });
    try {
      return await Promise.race([work, late]);
    } catch (error) {
      throw error instanceof GatewayError || error instanceof Late ? error : stateError(error);
    } finally {
      clearTimeout(timer);
      work.catch(() => undefined);
    }
  }

  async #open(): Promise<void> {
    try {
      const { home, log } = this.#options;
      const place = await home.open();
      await this.#migrate(place);
      const { host, port } = place;
      if (this.#closed) return;
      const pool = new pg.Pool({
        ...this.#settings(place, this.#wait_ms_max),
        max: this.#options.connections_max ?? 10,
        connectionTimeoutMillis: this.#wait_ms_max,
        idleTimeoutMillis: 30_000,
      });
      // An idle connection that breaks would else end the process.
      pool.on('error', (error) => this.#lost(pool, error));
      this.#pool = pool;
      if (this.#complaint === undefined) log.info({ host, port }, 'the state database is open');
      else log.info({ host, port }, 'the state database is back');
      this.#complaint = undefined;
      this.#listening.start();
      this.#tellWaiting();
    } catch (error) {
      this.#complain(error);
      this.#again();
    }
  }

  async #migrate(place: Place): Promise<void> {
    const client = this.#client(place, migration_ms_max);
    // Without a listener, a connection that breaks between two statements would end the process.
    client.on('error', () => undefined);
    try {
      await client.connect();
      const migrations = this.#options.migrations ?? (await shippedMigrations());
      for (const { number, name } of await migrate(client, migrations)) {
        this.#options.log.info({ number, migration: name }, 'the state database was migrated');
      }
      if (this.#prepared) return;
      await this.#options.first?.({
        query: async <Row extends object>(text: string, values: readonly unknown[] = []) =>
          (await client.query<Row>(text, [...values])).rows,
      });
      this.#prepared = true;
    } finally {
      client.end().catch(() => undefined);
    }
  }

  #lost(pool: pg.Pool, error: unknown): void {
    if (this.#pool !== pool) return;
    this.#pool = undefined;
    pool.end().catch(() => undefined);
    this.#complain(error);
    this.#again();
  }

  #complain(error: unknown): void {
    const message = messageOf(error);
    if (this.#complaint === message) return;
    if (this.#complaint === undefined && !this.#closed) {
      this.#options.log.error(
        { err: error, home: this.#options.home.name },
        'the state database cannot be used: what needs it is refused until it can',
      );
    }
    this.#complaint = message;
  }

  #again(): void {
    if (this.#closed) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#opening = this.#open();
    }, retry_ms);
    this.#retry.unref();
  }

  #tellWaiting(): void {
    for (const tell of this.#waiting.splice(0)) tell();
  }

  #unavailable(): StateError {
    return new StateError('the state database cannot be used', {
      retryable: true,
      ...(this.#complaint === undefined ? {} : { detail: this.#complaint }),
    });
  }

  #client(place: Place, statement_ms_max: number): pg.Client {
    return new pg.Client({
      ...this.#settings(place, statement_ms_max),
      connectionTimeoutMillis: this.#wait_ms_max,
    });
  }

  #settings({ host, port, database, user, password, ssl }: Place, statement_ms_max: number): pg.ClientConfig {
    return {
      host,
      port,
      database,
      user,
      password: password ?? '',
      ssl: ssl === undefined ? false : { ...ssl, ...(host.startsWith('/') ? {} : { servername: host }) },
      application_name: 'sallyport',
      // Before this side gives up: a statement that waits for a lock is told apart from a server that says nothing.
      statement_timeout: Math.ceil(statement_ms_max * 0.75),
      idle_in_transaction_session_timeout: 10_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: silence_ms_max,
      // A receipt that was used up stays used up, whatever the server's own default is.
      options: '-c synchronous_commit=on',
    };
  }
}

const ignore = (): void => undefined;

async function run<Row extends object>(
  client: pg.PoolClient,
  text: string,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  return (await client.query<Row>(text, [...values])).rows;
}

/** Nothing came back in time: neither an answer nor the server's own time-out. */
class Late extends Error {
  constructor() {
    super('the state database does not answer');
  }
}

/** Whether the database as a whole is out of reach. A statement that it refuses, or that waits for a lock, is not that. */
function isLoss(error: unknown): boolean {
  const at = error instanceof StateError ? error.cause : error;
  const code = (at as { code?: unknown }).code;
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/u.test(code)) return true;
  return /^(08|28|3D|53|57P|58|XX)|^25006$/u.test(code);
}

function stateError(error: unknown): StateError {
  return new StateError('the state database cannot be used', {
    detail: messageOf(error),
    cause: error,
    retryable: true,
  });
}

const messageOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
};
