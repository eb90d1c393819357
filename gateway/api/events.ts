import type { ServerResponse } from 'node:http';
import type { ApprovalEvent, ApprovalRequest } from '../approvals/approvals.js';
import { maySeeRequest } from './access.js';
import type { ApiParts } from './parts.js';
import type { Caller } from './caller.js';
import { Problem } from './problem.js';
import type { App } from './server.js';

const streams_max = 500;
const streams_perPerson_max = 10;
/** Proxies and browsers give up on a connection that says nothing. */
const beat_ms = 15_000;
/** Somebody who reads so slowly has to connect again. */
const unread_bytes_max = 65_536;

interface Stream {
  readonly caller: Caller;
  readonly response: ServerResponse;
  readonly person: string;
  readonly expiry: NodeJS.Timeout;
}

/**
 * Server-sent events (WHATWG HTML, 9.2): what happened, to whoever may see it. An event says only which request or grant it
 * is about; its reader asks for the rest, and is asked again who they are.
 */
export class EventStreams {
  readonly #parts: ApiParts;
  readonly #streams = new Set<Stream>();
  readonly #beat: NodeJS.Timeout;
  readonly #unsubscribe: readonly ((() => void) | undefined)[];

  constructor(parts: ApiParts) {
    this.#parts = parts;
    this.#unsubscribe = [
      parts.approvers?.subscribe((event) => void this.#tell(event)),
      parts.revocations?.subscribe((fits) => {
        for (const { caller, response } of this.#streams) if (fits(caller.identity.principal)) response.end();
      }),
    ];
    this.#beat = setInterval(() => this.#beatAll(), beat_ms);
    this.#beat.unref();
  }

  open(caller: Caller, response: ServerResponse): void {
    const { principal, expires_ms } = caller.identity;
    const person = `${principal.issuer} ${principal.subject}`;
    const theirs = [...this.#streams].filter((stream) => stream.person === person).length;
    if (this.#streams.size >= streams_max || theirs >= streams_perPerson_max) {
      throw new Problem(429, 'too_many', 'too many event streams are open; close one');
    }
    response.writeHead(200, {
      ...Object.fromEntries(Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)])),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
    });
    response.write('retry: 2000\n\n');
    // A stream lives no longer than the token that opened it.
    const left_ms = Math.min(expires_ms - this.#parts.now(), 2 ** 31 - 1);
    const expiry = setTimeout(() => response.end(), left_ms);
    expiry.unref();
    const stream = { caller, response, person, expiry };
    this.#streams.add(stream);
    response.on('close', () => {
      clearTimeout(expiry);
      this.#streams.delete(stream);
    });
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe?.();
    clearInterval(this.#beat);
    for (const { response } of this.#streams) response.end();
  }

  async #tell(event: ApprovalEvent): Promise<void> {
    if (this.#streams.size === 0) return;
    let request: ApprovalRequest | undefined;
    try {
      request = await this.#parts.approvers?.get(event.id);
    } catch {
      // Without the state nobody can be told; readers ask again when they come back.
      return;
    }
    for (const stream of this.#streams) {
      const sees = request === undefined ? stream.caller.roles.has('auditor') : maySeeRequest(stream.caller, request);
      if (sees) this.#write(stream, `event: ${event.type}\ndata: ${JSON.stringify({ id: event.id })}\n\n`);
    }
  }

  #beatAll(): void {
    for (const stream of this.#streams) this.#write(stream, ': still here\n\n');
  }

  #write({ response }: Stream, text: string): void {
    if (response.writableLength > unread_bytes_max) response.destroy();
    else response.write(text);
  }
}

export function eventRoutes(app: App, streams: EventStreams): void {
  app.get('/events', (request, reply) => {
    for (const [name, value] of Object.entries(reply.getHeaders()))
      if (value !== undefined) reply.raw.setHeader(name, value);
    streams.open(request.caller, reply.raw);
    reply.hijack();
  });
}
