import type { IncomingMessage } from 'node:http';
import { UpstreamError } from '../../errors.js';
import { ask, readAnswer, secretsOf, Sought, UpstreamAgents, warningsOf, type Pooled } from '../../web/index.js';
import type { HttpServer, McpUpstream } from './config.js';
import type { Connection, Listening, Receiver } from './connection.js';
import { placeOf } from './operation.js';
import { readEvents } from './sse.js';
import { StdioConnection } from './stdio.js';

/** The guarded server: its connections, and the credential that nobody else has. */
export class McpTarget implements Pooled {
  readonly upstream: McpUpstream;
  readonly #agents: UpstreamAgents | undefined;
  readonly #renewed: () => Promise<McpTarget | undefined>;

  /** @param renewed where the credential was refused: the same server, with another one */
  constructor(upstream: McpUpstream, renewed: () => Promise<McpTarget | undefined>) {
    this.upstream = upstream;
    this.#renewed = renewed;
    this.#agents = upstream.kind === 'http' ? new UpstreamAgents(upstream) : undefined;
  }

  /** For one session. Throws UpstreamError where a program cannot be started. */
  connect(receiver: Receiver, said: (line: string) => void): Connection {
    const { upstream } = this;
    return upstream.kind === 'http'
      ? new HttpConnection({ server: upstream, agents: this.#agents! }, receiver, () => this.#another())
      : new StdioConnection(upstream, receiver, said);
  }

  async #another(): Promise<Side | undefined> {
    const other = await this.#renewed();
    return other?.upstream.kind === 'http' ? { server: other.upstream, agents: other.#agents! } : undefined;
  }

  retire(): void {
    this.#agents?.retire();
  }

  close(): void {
    this.#agents?.close();
  }
}

/** The server as it is asked: with which credential, and over which connections. */
interface Side {
  readonly server: HttpServer;
  readonly agents: UpstreamAgents;
}

/**
 * Streamable HTTP: every message is a POST of its own, and what belongs to a request comes back on it.
 *
 * @see https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#streamable-http
 */
class HttpConnection implements Connection {
  #side: Side;
  readonly #another: () => Promise<Side | undefined>;
  readonly #receiver: Receiver;
  readonly #over = new AbortController();
  #session: string | undefined;
  #version: string | undefined;

  constructor(side: Side, receiver: Receiver, another: () => Promise<Side | undefined>) {
    this.#side = side;
    this.#another = another;
    this.#receiver = receiver;
  }

  agreed(version: string): void {
    this.#version = version;
  }

  async send(text: string, origin?: object, trace?: string, signal?: AbortSignal): Promise<void> {
    if (signal !== undefined) return this.#post(text, signal, origin, trace);
    // All sessions share the target's connections: none is kept by an answer without end.
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), this.#side.server.timeout_ms);
    try {
      await this.#post(text, over.signal, origin, trace);
    } finally {
      clearTimeout(timer);
    }
  }

  async #post(text: string, signal: AbortSignal, origin?: object, trace?: string): Promise<void> {
    const fields = { 'content-type': 'application/json', ...(trace === undefined ? {} : { traceparent: trace }) };
    const answer = await this.#ask('POST', text, fields, signal);
    const status = answer.statusCode ?? 0;
    const started = answer.headers['mcp-session-id'];
    if (this.#session === undefined && typeof started === 'string' && /^[\x21-\x7e]{1,1024}$/.test(started))
      this.#session = started;
    if (status === 202 || status === 204) return void answer.resume();
    this.#refuseOthers(answer);
    await this.#read(answer, origin);
  }

  async listen(origin: object, lastEvent: string | undefined, signal: AbortSignal): Promise<Listening | undefined> {
    const answer = await this.#ask('GET', '', lastEvent === undefined ? {} : { 'last-event-id': lastEvent }, signal);
    if (answer.statusCode === 405) {
      answer.resume();
      return undefined;
    }
    this.#refuseOthers(answer);
    return { over: this.#read(answer, origin).catch(() => undefined) };
  }

  close(): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    if (this.#session === undefined) return;
    // The server is told, and may know nothing of it (405).
    const signal = AbortSignal.timeout(farewell_ms_max);
    void this.#ask('DELETE', '', {}, signal).then(
      (answer) => answer.resume(),
      () => undefined,
    );
  }

  async #ask(
    method: 'POST' | 'GET' | 'DELETE',
    text: string,
    fields: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const answer = await this.#once(method, text, fields, signal);
    if (answer.statusCode !== 401 || this.#side.server.credential === undefined) return answer;
    // Nothing was done: it may be asked once more, where there is another credential by now. The session goes on with that.
    const other = await this.#another();
    if (other === undefined) return answer;
    answer.destroy();
    this.#side = other;
    return this.#once(method, text, fields, signal);
  }

  #once(
    method: 'POST' | 'GET' | 'DELETE',
    text: string,
    fields: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const { server, agents } = this.#side;
    const standard = server.port === (server.protocol === 'https:' ? 443 : 80);
    const place = placeOf(server);
    const { credential } = server;
    const over = method === 'DELETE' ? [] : [this.#over.signal];
    return ask(
      {
        origin: server,
        method,
        path: server.path,
        fields: {
          host: standard ? place.slice(0, place.lastIndexOf(':')) : place,
          accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
          ...fields,
          ...(this.#session === undefined ? {} : { 'mcp-session-id': this.#session }),
          ...(this.#version === undefined ? {} : { 'mcp-protocol-version': this.#version }),
          ...(credential === undefined ? {} : { [credential.name]: credential.value }),
        },
        body: Buffer.from(text),
        timeout_ms: server.timeout_ms,
        signal: AbortSignal.any([...over, ...(signal === undefined ? [] : [signal])]),
        secrets: credential && Sought.of(secretsOf(credential.value)),
      },
      agents,
    );
  }

  #refuseOthers(answer: IncomingMessage): void {
    const { statusCode: status = 0 } = answer;
    if (status === 200) return;
    answer.destroy();
    if (status === 404 && this.#session !== undefined) {
      this.#receiver.gone('the server ended the session');
    }
    throw new UpstreamError(`the server answered with status ${status}`);
  }

  async #read(answer: IncomingMessage, origin: object | undefined): Promise<void> {
    const type = (answer.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
    const { answer_bytes_max: bytes_max } = this.#side.server;
    const take = (text: string, id?: string) =>
      this.#receiver.message(text, origin, id, warningsOf(answer).warnings !== undefined);
    try {
      if (type === 'text/event-stream') {
        for await (const { data, id } of readEvents(answer, bytes_max)) if (data !== '') await take(data, id);
      } else if (type === 'application/json') {
        await take((await readAnswer(answer, bytes_max)).toString('utf8'));
      } else {
        throw new UpstreamError('the server answered with neither JSON nor events');
      }
    } catch (error) {
      if (error instanceof UpstreamError) throw error;
      throw new UpstreamError('the answer of the server broke off', { cause: error });
    } finally {
      answer.destroy();
    }
  }
}

const farewell_ms_max = 5_000;
