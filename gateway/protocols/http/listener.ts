import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Decision } from '#engine';
import { UpstreamError } from '../../errors.js';
import type {
  Client,
  Enforced,
  Identity,
  Mount,
  Prompt,
  Services,
  SessionEnd,
  Submission,
  Target,
} from '../../protocol.js';
import {
  admit,
  answerFields,
  ClientGone,
  ConnectionSessions,
  fail,
  goneProblem,
  pass,
  promptOf,
  readBody,
  RequestRefusal,
  sendProblem,
  takeToken,
  type Fields,
  type Presented,
  type WebSession,
} from '../../web/index.js';
import { addressed, readFields, readRequest, type Addressed, type Request } from './codec.js';
import type { HttpUpstream } from './config.js';
import { limitProblem, obligations } from './enforce.js';
import { operationOf } from './operation.js';
import { HttpTarget } from './upstream.js';

/** `https://gateway/http/TARGET/…`: each request is one operation, from its first byte to its answer's last. */

const nothing: Enforced = {};
/** Clients wait for people without a byte in either direction: the kernel finds out who is gone. */
const keep_alive_ms = 30_000;

export function reverseGate(services: Services): Mount {
  const targets = new Map<string, HttpTarget>();
  const sessions = new ConnectionSessions();
  const exchanges = new Set<Exchange>();
  const targetOf = (name: string, upstream: HttpUpstream) => {
    let target = targets.get(name);
    if (target === undefined) targets.set(name, (target = new HttpTarget(upstream)));
    return target;
  };
  return {
    prefix: '/http/',
    serve(request, response) {
      const exchange = new Exchange(request, response, { services, sessions, targetOf });
      exchanges.add(exchange);
      void exchange.run().finally(() => exchanges.delete(exchange));
    },
    close: async () => {
      for (const exchange of exchanges) exchange.stop();
      for (const target of targets.values()) target.close();
    },
  };
}

interface Parts {
  readonly services: Services;
  readonly sessions: ConnectionSessions;
  readonly targetOf: (name: string, upstream: HttpUpstream) => HttpTarget;
}

/** One request and its answer. */
class Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #parts: Parts;
  readonly #gone = new AbortController();
  #ended: SessionEnd | undefined;
  #target = '';

  constructor(request: IncomingMessage, response: ServerResponse, parts: Parts) {
    this.#request = request;
    this.#response = response;
    this.#parts = parts;
    request.socket.setKeepAlive(true, keep_alive_ms);
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    response.once('close', () => this.#gone.abort());
  }

  stop(): void {
    this.#response.destroy();
  }

  /** Never throws. */
  async run(): Promise<void> {
    const { log } = this.#parts.services;
    try {
      await this.#run();
    } catch (error) {
      if (this.#ended !== undefined) return sendProblem(this.#response, goneProblem(this.#ended));
      if (error instanceof ClientGone || this.#response.destroyed) return;
      const problem = fail(error, this.#target);
      if (error instanceof RequestRefusal) {
        log.info({ reason: error.reason, target: this.#target, client: this.#client().address }, 'request refused');
      } else if (problem.status >= 500) {
        log.error({ err: error, target: this.#target }, 'a request failed');
      }
      sendProblem(this.#response, problem);
    }
  }

  async #run(): Promise<void> {
    const request = this.#request;
    const address = addressed(request.url ?? '');
    this.#target = address.target;
    // Who asks comes first: nobody learns what is refused, or which targets there are, without a token.
    const seen = readFields(request.rawHeaders, false);
    const presented = takeToken(seen.all);
    const { services } = this.#parts;
    const client = this.#client();
    const identity = await services.identify(presented.token, client);
    const target = this.#find(address.target);
    const upstream = target.upstream as HttpUpstream;
    const fields = fieldsFor(request.rawHeaders, upstream, presented);
    const body = await readBody(request, upstream.body_bytes_max);
    try {
      const read = readRequest(request.method ?? '', address, fields, body.bytes, upstream);
      refuseLeak(read, presented.token);
      const session = this.#session(identity, target, client, presented.token, seen.all.get('user-agent'));
      await this.#operate(session, read, upstream, address, promptOf(seen.all));
    } finally {
      body.release();
    }
  }

  async #operate(
    held: WebSession,
    request: Request,
    upstream: HttpUpstream,
    { target: name }: Addressed,
    prompt: Prompt | undefined,
  ): Promise<void> {
    const leave = held.enter((end) => {
      this.#ended = end;
      this.#gone.abort();
      sendProblem(this.#response, goneProblem(end));
    });
    try {
      const operation = operationOf(request, upstream);
      const circumstances = prompt === undefined ? {} : { prompt };
      const { submission, decision } = await admit(
        held.session,
        operation,
        circumstances,
        () => nothing,
        this.#gone.signal,
      );
      await this.#forward(request, this.#parts.targetOf(name, upstream), submission, decision);
    } finally {
      leave();
    }
  }

  /** Sends what was let through, and passes the answer on. The outcome is recorded, however it ends. */
  async #forward(request: Request, target: HttpTarget, submission: Submission, decision: Decision): Promise<void> {
    const { bytes: bytes_max, seconds } = decision.limits;
    let late = false;
    const timer =
      seconds === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            this.#gone.abort();
            sendProblem(this.#response, limitProblem(decision, this.#target, 'seconds'));
          }, seconds * 1_000);
    try {
      const answer = await target.send(request, this.#gone.signal);
      const code = String(answer.statusCode ?? 0);
      if (bytes_max !== undefined && Number(answer.headers['content-length'] ?? 0) > bytes_max) {
        answer.destroy();
        submission.settle({ status: 'error', code: 'limit_exceeded', bytes: 0 });
        sendProblem(this.#response, limitProblem(decision, this.#target, 'bytes'));
        return;
      }
      this.#head(answer, target, decision);
      const { bytes, how } = await pass(answer, this.#response, bytes_max);
      const status = how === 'whole' ? 'ok' : how === 'gone' ? 'cancelled' : how === 'cut' ? 'lost' : 'error';
      submission.settle({ status, bytes, code: late || how === 'limit' ? 'limit_exceeded' : code });
    } catch (error) {
      const cancelled = this.#gone.signal.aborted;
      submission.settle({ status: cancelled ? 'cancelled' : 'error', ...(late ? { code: 'limit_exceeded' } : {}) });
      if (cancelled) throw new ClientGone();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #head(answer: IncomingMessage, target: HttpTarget, decision: Decision): void {
    const status = answer.statusCode ?? 0;
    if (status < 200 || status > 599) {
      answer.destroy();
      throw new UpstreamError('the target answered with no status that there is');
    }
    const mounted = `/http/${this.#target}`;
    const fields = answerFields(answer.rawHeaders, (name, value) =>
      name === 'location' || name === 'content-location' ? (target.location(value, mounted) ?? value) : value,
    );
    fields.push(['x-sallyport-decision', decision.id]);
    this.#response.writeHead(status, fields.flat());
    this.#response.flushHeaders();
  }

  #session(identity: Identity, target: Target, client: Client, token: string, application?: string): WebSession {
    const { services, sessions } = this.#parts;
    return sessions.of(this.#request.socket, token, target.input.name, () =>
      services.openSession({
        identity,
        target,
        client,
        ...(application === undefined ? {} : { application }),
        ...(identity.prompt === undefined ? {} : { prompt: identity.prompt }),
        supports: obligations,
      }),
    );
  }

  #find(name: string): Target {
    const target = this.#parts.services.target('http', name);
    if (target === undefined) {
      throw new RequestRefusal(404, 'unknown_target', `there is no HTTP target "${name}": ask /http/TARGET/…`);
    }
    if (target.unavailable !== undefined) {
      throw new RequestRefusal(503, 'target_unavailable', `target "${name}" is not available: ${target.unavailable}`);
    }
    return target;
  }

  #client(): Client {
    const { remoteAddress = '', remotePort = 0 } = this.#request.socket;
    return { address: remoteAddress.replace(/^::ffff:/, ''), port: remotePort, confidential: true };
  }
}

/** What goes on: of the client's credentials none where the gateway has one, and never the token. */
function fieldsFor(raw: readonly string[], { credential }: HttpUpstream, { field }: Presented): Fields {
  const { forwarded, credentials, all } = readFields(raw, credential !== undefined);
  const without = new Map(forwarded);
  without.delete(field);
  if (credential !== undefined) without.delete(credential.name);
  return { forwarded: without, credentials: credentials.filter((name) => without.has(name)), all };
}

/** The token is for the gateway alone, wherever else in the request somebody put it. */
function refuseLeak({ path, query, fields, body }: Request, token: string): void {
  const inside =
    path.segments.some((segment) => segment.includes(token)) ||
    query.list.some(({ name, value = '' }) => name.includes(token) || value.includes(token)) ||
    [...fields.forwarded.values()].some((value) => value.includes(token)) ||
    body.bytes.includes(token);
  if (inside) {
    throw new RequestRefusal(
      400,
      'token_in_request',
      'your token stands in the request itself: it is for the gateway alone',
    );
  }
}
