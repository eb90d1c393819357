import type { IncomingMessage, ServerResponse } from 'node:http';
import { IdentityError } from '../../errors.js';
import type { Client, Identity, Mount, Services, Target } from '../../protocol.js';
import {
  checkVersion,
  ClientGone,
  fail,
  goneProblem,
  nobodyThere,
  readBody,
  readFields,
  RequestRefusal,
  sendProblem,
  signIn,
  TargetPool,
  type Problem,
  refuseLeak,
} from '../../web/index.js';
import { Answer } from './answer.js';
import { Ended } from './call.js';
import { addressed, errorText, MessageRefusal, readMessage, rpc, type ClientRequest, type Message } from './codec.js';
import type { McpUpstream } from './config.js';
import { obligations, problemOf } from './enforce.js';
import { metadataOf, metadataPrefix, metadataUrl } from './metadata.js';
import { isObject, versions } from './methods.js';
import { ownerOf } from './principals.js';
import { promptFrom } from './prompt.js';
import { Pins } from './pins.js';
import { McpSession, type From } from './session.js';
import { Sessions } from './sessions.js';
import { isEventId } from './sse.js';
import { McpTarget } from './upstream.js';

/** `https://gateway/mcp/TARGET`: Streamable HTTP, whatever the server itself speaks. Each message is one operation. */

/** Clients listen for long without a byte in either direction: the kernel finds out who is gone. */
const keep_alive_ms = 30_000;
const message_bytes_max = 1_048_576;

export function mcpGate(services: Services): readonly Mount[] {
  const targets = new TargetPool<McpUpstream, McpTarget>((upstream, renewed) => new McpTarget(upstream, renewed));
  const sessions = new Sessions();
  const pins = new Pins(services);
  const exchanges = new Set<Exchange>();
  const gate: Mount = {
    prefix: '/mcp/',
    serve(request, response) {
      const exchange = new Exchange(request, response, { services, sessions, pins, targets });
      exchanges.add(exchange);
      void exchange.run().finally(() => exchanges.delete(exchange));
    },
    close: async () => {
      sessions.close();
      for (const exchange of exchanges) exchange.stop();
      targets.close();
    },
  };
  return [gate, metadataMount(services)];
}

function metadataMount(services: Services): Mount {
  return {
    prefix: metadataPrefix,
    serve(request, response) {
      const target = (request.url ?? '').slice(metadataPrefix.length);
      const known = request.method === 'GET' && services.target('mcp', target) !== undefined;
      const metadata = known ? metadataOf(request, target, services.issuers ?? []) : undefined;
      if (metadata === undefined) {
        const detail = 'there is no such MCP target';
        return sendProblem(response, { status: 404, code: 'unknown_target', title: 'Not found', detail });
      }
      const body = JSON.stringify(metadata);
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
        'cache-control': 'public, max-age=60',
        'x-content-type-options': 'nosniff',
      });
      response.end(body);
    },
    close: async () => undefined,
  };
}

interface Parts {
  readonly services: Services;
  readonly sessions: Sessions;
  readonly pins: Pins;
  readonly targets: TargetPool<McpUpstream, McpTarget>;
}

/** Who asks, and of which target. */
interface Admission {
  readonly identity: Identity;
  readonly token: string;
  readonly target: Target;
  readonly upstream: McpUpstream;
  readonly owner: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** One request over HTTP and its answer. */
class Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #parts: Parts;
  readonly #gone = new AbortController();
  #target = '';

  constructor(request: IncomingMessage, response: ServerResponse, parts: Parts) {
    this.#request = request;
    this.#response = response;
    this.#parts = parts;
    request.socket.setKeepAlive(true, keep_alive_ms);
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    response.once('close', () => this.#gone.abort(nobodyThere));
  }

  stop(): void {
    this.#response.destroy();
  }

  /** Never throws. */
  async run(): Promise<void> {
    const { log } = this.#parts.services;
    try {
      checkVersion(this.#request);
      await this.#run();
    } catch (error) {
      if (error instanceof Ended) return sendProblem(this.#response, goneProblem(error.end));
      if (error instanceof ClientGone || this.#response.destroyed || this.#response.writableEnded) return;
      const problem = this.#problem(error);
      if (error instanceof RequestRefusal) {
        log.info({ reason: error.reason, target: this.#target, client: this.#client().address }, 'request refused');
      } else if (problem.status >= 500) {
        log.error({ err: error, target: this.#target }, 'a request failed');
      }
      const { code, detail, more = {} } = problem;
      const text =
        error instanceof MessageRefusal
          ? errorText(error.id, error.rpc, `sallyport: ${detail}`, { code })
          : errorText(null, rpc.denied, `sallyport: ${detail}`, { code, ...more });
      sendProblem(this.#response, problem, { type: 'application/json', text });
    }
  }

  #problem(error: unknown): Problem {
    const problem = error instanceof IdentityError ? fail(error, this.#target) : problemOf(error, this.#target);
    const url = metadataUrl(this.#request, this.#target);
    if (problem.status !== 401 || url === undefined || this.#target === '') return problem;
    const challenge = problem.fields?.['www-authenticate'] ?? 'Bearer realm="sallyport"';
    return {
      ...problem,
      fields: { ...problem.fields, 'www-authenticate': `${challenge}, resource_metadata="${url}"` },
    };
  }

  async #run(): Promise<void> {
    const request = this.#request;
    this.#target = addressed(request.url ?? '');
    // Who asks comes first: nobody learns what is refused, or which targets there are, without a token.
    const { all: fields } = readFields(request.rawHeaders, true);
    const { token, identity } = await signIn(this.#parts.services, fields, request.socket, this.#client());
    const target = this.#find(this.#target);
    const upstream = target.upstream as McpUpstream;
    const admission: Admission = { identity, token, target, upstream, fields, owner: ownerOf(identity.principal) };
    const origin = fields.get('origin');
    if (origin !== undefined && !upstream.origins.has(origin))
      throw new RequestRefusal(403, 'origin', 'scripts of web pages of this origin may not ask (upstream.origins)');
    checkProtocol(fields.get('mcp-protocol-version'));
    switch (request.method) {
      case 'POST':
        return this.#post(admission);
      case 'GET':
        return this.#get(admission);
      case 'DELETE':
        this.#session(admission).close('ended by the client');
        this.#response.writeHead(204).end();
        return;
      default:
        throw new RequestRefusal(405, 'method', 'the method is none of POST, GET, DELETE');
    }
  }

  async #post(admission: Admission): Promise<void> {
    const { fields, token } = admission;
    const body = await readBody(this.#request, message_bytes_max);
    let message: Message;
    try {
      message = readMessage(body.bytes, fields);
    } finally {
      body.release();
    }
    refuseLeak([saidOf(message)], token);
    const answer = new Answer(this.#response, takes(fields, 'text/event-stream'));
    if (message.kind === 'request' && message.method === 'initialize') return this.#begin(admission, message, answer);
    const session = this.#session(admission);
    switch (message.kind) {
      case 'request':
        await session.request(message, answer, this.#from(session, admission, message));
        return;
      case 'notification':
        await session.notify(message, this.#from(session, admission, message));
        return answer.end();
      case 'response':
        await session.respond(message);
        return answer.end();
    }
  }

  async #begin(admission: Admission, message: ClientRequest, answer: Answer): Promise<void> {
    const { fields, target, upstream, owner } = admission;
    const { services, sessions, pins, targets } = this.#parts;
    if (fields.has('mcp-session-id'))
      throw new MessageRefusal(
        400,
        'session',
        'initialize begins a session: send it without Mcp-Session-Id',
        rpc.invalid,
        message.id,
      );
    sessions.room(owner);
    const { name } = target.input;
    const session = new McpSession({
      target: targets.of(target, upstream),
      name,
      log: services.log,
      firstSeen: pins.of(name),
      maskKey: () => services.maskKey?.(name) ?? missingKey(),
      ended: (ended) => sessions.remove(ended),
    });
    const id = sessions.add(session, name, owner, upstream.session_idle_ms);
    answer.field('mcp-session-id', id);
    let begun = false;
    try {
      begun = await session.request(message, answer, this.#from(session, admission, message, applicationOf(message)));
    } finally {
      if (!begun) session.close('not begun');
    }
  }

  async #get(admission: Admission): Promise<void> {
    const { fields } = admission;
    if (!takes(fields, 'text/event-stream'))
      throw new RequestRefusal(406, 'accept', 'a GET opens a stream of events: send Accept: text/event-stream');
    const lastEvent = fields.get('last-event-id');
    if (lastEvent !== undefined && !isEventId(lastEvent))
      throw new RequestRefusal(400, 'last_event_id', 'Last-Event-ID names no event');
    const session = this.#session(admission);
    const answer = new Answer(this.#response, true);
    if (!(await session.listen(answer, lastEvent, this.#from(session, admission))))
      throw new RequestRefusal(405, 'method', 'the server says nothing by itself');
  }

  #session({ fields, target, owner }: Admission): McpSession {
    const id = fields.get('mcp-session-id');
    if (id === undefined)
      throw new RequestRefusal(400, 'session', 'begin a session (initialize), and send its Mcp-Session-Id');
    const session = this.#parts.sessions.find(id, target.input.name, owner);
    // What clients take for: begin a new one.
    if (session === undefined)
      throw new RequestRefusal(404, 'session', 'there is no such session: begin a new one (initialize)');
    return session;
  }

  #from(session: McpSession, admission: Admission, message?: Message, application?: string): From {
    const { identity, token, target, fields } = admission;
    const { services } = this.#parts;
    const said = application ?? fields.get('user-agent');
    const use = session.uses.of(token, () =>
      services.openSession({
        identity,
        target,
        client: this.#client(),
        ...(said === undefined ? {} : { application: said }),
        ...(identity.prompt === undefined ? {} : { prompt: identity.prompt }),
        supports: obligations,
      }),
    );
    const meta = message !== undefined && 'meta' in message ? message.meta : {};
    return { use, prompt: promptFrom(meta, fields), gone: this.#gone.signal };
  }

  #find(name: string): Target {
    const target = this.#parts.services.target('mcp', name);
    if (target === undefined)
      throw new RequestRefusal(404, 'unknown_target', `there is no MCP target "${name}": ask /mcp/TARGET`);
    if (target.unavailable !== undefined)
      throw new RequestRefusal(503, 'target_unavailable', `target "${name}" is not available: ${target.unavailable}`);
    return target;
  }

  #client(): Client {
    const { remoteAddress = '', remotePort = 0 } = this.#request.socket;
    return { address: remoteAddress.replace(/^::ffff:/, ''), port: remotePort, confidential: true };
  }
}

function checkProtocol(version: string | undefined): void {
  if (version === undefined || (versions as readonly string[]).includes(version)) return;
  throw new RequestRefusal(400, 'version', `MCP-Protocol-Version is none of ${versions.join(', ')}`);
}

const takes = (fields: ReadonlyMap<string, string>, type: string): boolean =>
  (fields.get('accept') ?? '').split(',').some((one) => one.split(';')[0]!.trim().toLowerCase() === type);

function missingKey(): never {
  throw new Error('this gateway keeps no keys for masks');
}

/** What the client calls itself. */
function applicationOf({ params }: ClientRequest): string | undefined {
  const { name, version } = isObject(params['clientInfo']) ? params['clientInfo'] : {};
  if (typeof name !== 'string') return undefined;
  return `${name}${typeof version === 'string' ? ` ${version}` : ''}`.replace(/[^\x20-\x7e]/gu, '?').slice(0, 128);
}

/** What a message says to the server, where the token might stand. */
function saidOf(message: Message): string {
  return JSON.stringify(message.kind === 'response' ? [message.result, message.error] : message.params);
}
