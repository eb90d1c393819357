import * as codec from './codec.js';
import { backend } from './codec.js';
import { UpstreamError } from '../../errors.js';
import type { Upstream } from './upstream.js';

/** A connection that nobody has asked anything of for so long is closed. */
const idle_ms_max = 30_000;
const answer_ms_max = 10_000;
/** Questions that wait for others. */
const waiting_max = 1_000;

type Rows = (string | null)[][];

/**
 * A connection of the gateway's own to the server, beside those of clients: for what a transaction with an older snapshot cannot be asked. It
 * is opened with the first question, shared by all sessions of one target, database and role, and asked one thing after the other.
 */
export class Onlooker {
  readonly #connect: () => Promise<Upstream>;
  readonly #unused: () => void;
  #connection: Promise<Connection> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #idle: NodeJS.Timeout | undefined;

  /** @param unused Told when nobody has asked anything for a while. */
  constructor(connect: () => Promise<Upstream>, unused: () => void) {
    this.#connect = connect;
    this.#unused = unused;
  }

  /** The rows of one statement, by itself. Throws UpstreamError. */
  async ask(sql: string, values: readonly (string | null)[]): Promise<Rows> {
    if (this.#waiting >= waiting_max) throw new UpstreamError('too many sessions wait for a look at the catalog');
    this.#waiting++;
    clearTimeout(this.#idle);
    const answer = this.#last.then(() => this.#ask(sql, values));
    this.#last = answer.catch(() => undefined);
    try {
      return await answer;
    } finally {
      if (--this.#waiting === 0) this.#idle = setTimeout(() => this.#rest(), idle_ms_max).unref();
    }
  }

  async #ask(sql: string, values: readonly (string | null)[]): Promise<Rows> {
    // It may have been closed since it was asked last.
    if (this.#connection !== undefined && (await this.#connection).isOver) this.close();
    this.#connection ??= this.#connect().then((upstream) => new Connection(upstream));
    try {
      return await (await this.#connection).ask(sql, values);
    } catch (error) {
      this.close();
      throw error instanceof UpstreamError ? error : new UpstreamError('the catalog could not be looked at', { cause: error }); // prettier-ignore
    }
  }

  #rest(): void {
    this.close();
    this.#unused();
  }

  close(): void {
    clearTimeout(this.#idle);
    const connection = this.#connection;
    this.#connection = undefined;
    void connection?.then(
      (known) => known.close(),
      () => undefined,
    );
  }
}

class Connection {
  readonly #upstream: Upstream;
  readonly #reader = new codec.FrameReader();
  #rows: Rows = [];
  #failure: Error | undefined;
  #settle: ((error?: Error) => void) | undefined;
  isOver = false;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
    const { socket } = upstream;
    socket.on('data', (chunk: Buffer) => this.#data(chunk));
    socket.on('error', () => this.#ended());
    socket.on('close', () => this.#ended());
    socket.unref();
    socket.resume();
    if (upstream.rest.length > 0) this.#data(upstream.rest);
  }

  ask(sql: string, values: readonly (string | null)[]): Promise<Rows> {
    const { socket } = this.#upstream;
    this.#rows = [];
    this.#failure = undefined;
    return new Promise<Rows>((resolve, reject) => {
      const timer = setTimeout(() => this.#settle?.(new UpstreamError('the look at the catalog took too long')), answer_ms_max);
      this.#settle = (error) => {
        clearTimeout(timer);
        this.#settle = undefined;
        if (error === undefined) resolve(this.#rows);
        else reject(error);
      };
      if (this.isOver) return this.#ended();
      socket.write(Buffer.concat([codec.parse('', sql), codec.bind('', '', values), codec.execute(''), codec.sync]));
    });
  } // prettier-ignore

  close(): void {
    const { socket } = this.#upstream;
    this.isOver = true;
    if (socket.writable) socket.end(codec.terminate);
    setTimeout(() => socket.destroy(), 1_000).unref();
  }

  #data(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
      while (this.#reader.next()) this.#frame();
    } catch (error) {
      this.#settle?.(error as Error);
    }
  }

  #frame(): void {
    const reader = this.#reader;
    if (reader.type === backend.dataRow) this.#rows.push(codec.decodeTextRow(reader));
    else if (reader.type === backend.errorResponse)
      this.#failure = new UpstreamError(`the catalog could not be looked at: ${codec.decodeFields(reader).get('M') ?? ''}`);
    else if (reader.type === backend.readyForQuery) this.#settle?.(this.#failure);
  } // prettier-ignore

  #ended(): void {
    this.isOver = true;
    this.#settle?.(new UpstreamError('the server closed the connection'));
  }
}

/** By target, database and role. */
export class Onlookers {
  readonly #all = new Map<string, Onlooker>();

  of(target: string, database: string, user: string, connect: () => Promise<Upstream>): Onlooker {
    const key = JSON.stringify([target, database, user]);
    let onlooker = this.#all.get(key);
    if (onlooker === undefined) {
      onlooker = new Onlooker(connect, () => this.#all.delete(key));
      this.#all.set(key, onlooker);
    }
    return onlooker;
  }

  close(): void {
    for (const onlooker of this.#all.values()) onlooker.close();
    this.#all.clear();
  }
}
