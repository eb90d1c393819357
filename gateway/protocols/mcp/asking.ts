import type { Submission } from '../../protocol.js';
import type { ClientResponse } from './codec.js';
import { errorText, MessageRefusal, resultText, rpc, type Id } from './codec.js';
import type { Connection } from './connection.js';

/** What the server asked and the client has not answered. The client knows it under an id of the gateway's, and answers once. */
export class Asking {
  readonly #open = new Map<string, Open>();
  readonly #timeout_ms: number;
  #last = 0;

  constructor(timeout_ms: number) {
    this.#timeout_ms = timeout_ms;
  }

  get full(): boolean {
    return this.#open.size >= asked_max;
  }

  /** @returns The id under which the client is asked. */
  add(
    serverId: Id,
    { submission, seconds_max }: { readonly submission: Submission; readonly seconds_max: number | undefined },
    connection: Connection,
  ): string {
    const id = `server-${++this.#last}`;
    const timer = setTimeout(
      () => {
        this.#end(id, 'cancelled');
        void connection
          .send(errorText(serverId, rpc.internal, 'the client did not answer in time'))
          .catch(() => undefined);
      },
      Math.min(this.#timeout_ms, (seconds_max ?? Infinity) * 1_000),
    );
    this.#open.set(id, { serverId, submission, timer });
    return id;
  }

  /** The client answers: nothing but what it was asked. Throws MessageRefusal, and UpstreamError where it cannot be told. */
  async answer(response: ClientResponse, connection: Connection): Promise<void> {
    const { id, result, error } = response;
    const open = typeof id === 'string' ? this.#open.get(id) : undefined;
    if (open === undefined || typeof id !== 'string')
      throw new MessageRefusal(400, 'response_unasked', 'nobody asked what this answers', rpc.invalid, id);
    const text =
      result === undefined
        ? errorText(open.serverId, error?.code ?? rpc.internal, error?.message ?? 'the client refused')
        : resultText(open.serverId, result);
    const bytes = Buffer.byteLength(text);
    this.#end(id, result === undefined ? 'error' : 'ok', bytes);
    await connection.send(text);
  }

  /** The server takes it back; gives the id under which the client knows it. */
  withdraw(serverId: unknown): string | undefined {
    for (const [id, open] of this.#open) {
      if (open.serverId !== serverId) continue;
      this.#end(id, 'cancelled');
      return id;
    }
    return undefined;
  }

  close(): void {
    for (const id of [...this.#open.keys()]) this.#end(id, 'lost');
  }

  #end(id: string, status: 'ok' | 'error' | 'cancelled' | 'lost', bytes = 0): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    clearTimeout(open.timer);
    this.#open.delete(id);
    open.submission.settle({ status, bytes });
  }
}

interface Open {
  readonly serverId: Id;
  readonly submission: Submission;
  readonly timer: NodeJS.Timeout;
}

const asked_max = 64;
