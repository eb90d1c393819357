import type { Client } from 'pg';
import type { Logger } from 'pino';

/**
 * LISTEN on a connection of its own. One that breaks, or that says nothing when it is asked, is replaced; whoever listens
 * is then told that something may have been missed.
 */
interface Listener {
  readonly channel: string;
  readonly heard: (payload: string) => void;
  readonly missed: () => void;
}

const retry_ms = 250;
const ask_every_ms = 5_000;
const answer_ms_max = 2_000;
const farewell_ms_max = 1_000;

export class Listening {
  readonly #parts: { readonly log: Logger; readonly connect: () => Promise<Client> };
  readonly #listeners = new Set<Listener>();
  #client: Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #started = false;
  #closed = false;
  /** What the present connection was asked last. */
  #asked: Promise<unknown> = Promise.resolve();

  constructor(parts: { readonly log: Logger; readonly connect: () => Promise<Client> }) {
    this.#parts = parts;
  }

  add(channel: string, heard: (payload: string) => void, missed: () => void): () => void {
    if (!/^[a-z_]{1,60}$/u.test(channel)) throw new Error(`"${channel}" is no name for a channel`);
    const listener = { channel, heard, missed };
    this.#listeners.add(listener);
    // On a connection that is there: nothing can have been missed once it listens.
    if (this.#client !== undefined) this.#ask(this.#client, `listen ${channel}`).then(missed, () => undefined);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    void this.#connect();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    if (client !== undefined) await soon(client.end());
  }

  async #connect(): Promise<void> {
    if (this.#closed) return;
    let client: Client | undefined;
    try {
      const made = await this.#parts.connect();
      client = made;
      made.on('error', () => this.#lost(made));
      made.on('end', () => this.#lost(made));
      made.on('notification', ({ channel, payload = '' }) => this.#heard(channel, payload));
      await made.connect();
      this.#client = made;
      this.#asked = Promise.resolve();
      for (const channel of new Set([...this.#listeners].map((one) => one.channel))) {
        await this.#ask(made, `listen ${channel}`);
      }
      for (const { missed } of [...this.#listeners]) missed();
      this.#watch(made);
    } catch {
      // Why it is out of reach is said by the database itself.
      if (client !== undefined) this.#client = client;
      this.#lost(client);
    }
  }

  #heard(channel: string, payload: string): void {
    for (const listener of [...this.#listeners]) {
      if (listener.channel !== channel) continue;
      try {
        listener.heard(payload);
      } catch (error) {
        this.#parts.log.error({ err: error, channel }, 'a notification was not understood');
      }
    }
  }

  /** A connection takes one statement after another. */
  #ask(client: Client, statement: string): Promise<unknown> {
    const answer = this.#asked.then(() => client.query(statement));
    this.#asked = answer.catch(() => undefined);
    return answer;
  }

  /** Half a connection says nothing and breaks nothing: it is asked. */
  #watch(client: Client): void {
    if (this.#closed || this.#client !== client) return;
    this.#timer = setTimeout(() => {
      const late = setTimeout(() => this.#lost(client), answer_ms_max);
      this.#ask(client, 'select 1').then(
        () => {
          clearTimeout(late);
          this.#watch(client);
        },
        () => {
          clearTimeout(late);
          this.#lost(client);
        },
      );
    }, ask_every_ms);
    this.#timer.unref();
  }

  #lost(client: Client | undefined): void {
    if (this.#closed || this.#client !== client) return;
    this.#client = undefined;
    clearTimeout(this.#timer);
    client?.end().catch(() => undefined);
    this.#timer = setTimeout(() => void this.#connect(), retry_ms);
    this.#timer.unref();
  }
}

/** Whoever leaves does not wait for a server that says nothing. */
export async function soon(ending: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((settle) => (timer = setTimeout(settle, farewell_ms_max)));
  await Promise.race([ending.catch(() => undefined), late]);
  clearTimeout(timer);
}
