import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Decision } from '#engine';
import { ProtocolError } from '../../errors.js';
import type {
  Client,
  Enforced,
  Identity,
  Mount,
  Obligation,
  Prompt,
  Services,
  Session,
  SessionEnd,
  Submission,
  Target,
} from '../../protocol.js';
import {
  admit,
  ClientGone,
  ConnectionSessions,
  fail,
  goneProblem,
  promptOf,
  readBody,
  readFields,
  RequestRefusal,
  sendProblem,
  takeToken,
  type Passed,
  type Problem,
  type WebSession,
} from '../../web/index.js';
import { passMasked, passWhole, readable } from './answer.js';
import { addressed, readRequest, type KubernetesRequest } from './codec.js';
import type { KubernetesUpstream } from './config.js';
import { fieldMasks, MaskRefusal, type FieldMasks } from './masking.js';
import { operationOf } from './operation.js';
import { statusOf } from './enforce.js';
import { KubernetesTarget } from './upstream.js';

/** `https://gateway/kubernetes/TARGET`: an API server, of which each request is one operation. */

const obligations: ReadonlySet<Obligation> = new Set(['mask', 'approval', 'limit.bytes', 'limit.seconds']);
const nothing: Enforced = {};
/** Of an object; the API server itself takes no more than 3 MiB. */
const body_bytes_max = 3_145_728;
/** Watches and waits for people are quiet for long: the kernel finds out who is gone. */
const keep_alive_ms = 30_000;

export function kubernetesGate(services: Services): Mount {
  const targets = new Map<string, KubernetesTarget>();
  const sessions = new ConnectionSessions();
  const exchanges = new Set<Exchange>();
  const targetOf = (name: string, upstream: KubernetesUpstream) => {
    let target = targets.get(name);
    if (target === undefined) targets.set(name, (target = new KubernetesTarget(upstream)));
    return target;
  };
  return {
    prefix: '/kubernetes/',
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
  readonly targetOf: (name: string, upstream: KubernetesUpstream) => KubernetesTarget;
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
      if (this.#ended !== undefined) return this.#refuse(goneProblem(this.#ended));
      if (error instanceof ClientGone || this.#response.destroyed) return;
      const problem = fail(error, this.#target);
      if (problem.status >= 500) log.error({ err: error, target: this.#target }, 'a request failed');
      else if (error instanceof ProtocolError)
        log.info({ reason: problem.code, target: this.#target, client: this.#client().address }, 'request refused');
      this.#refuse(problem);
    }
  }

  /** As the API server would say it. */
  #refuse(problem: Problem): void {
    sendProblem(this.#response, problem, { type: 'application/json', text: statusOf(problem) });
  }

  async #run(): Promise<void> {
    const request = this.#request;
    const { target: name, rest } = addressed(request.url ?? '');
    this.#target = name;
    // Who asks comes first: nobody learns what is refused, or which targets there are, without a token.
    const { all } = readFields(request.rawHeaders.filter(notUpgrading(request.rawHeaders)), true);
    const { token } = takeToken(all);
    const { services } = this.#parts;
    const client = this.#client();
    const identity = await services.identify(token, client);
    if (request.headers.upgrade !== undefined)
      throw new RequestRefusal(
        501,
        'streams',
        'exec, attach, cp and port-forward are not carried by this gateway yet: nothing was sent to the cluster',
      );
    const target = this.#find(name);
    const body = await readBody(request, body_bytes_max);
    try {
      const read = readRequest(request.method ?? '', rest, request.rawHeaders, body.bytes);
      refuseLeak(read, token);
      const session = this.#session(identity, target, client, token, all.get('user-agent'));
      await this.#operate(session, read, target.upstream as KubernetesUpstream, promptOf(all));
    } finally {
      body.release();
    }
  }

  async #operate(
    held: WebSession,
    request: KubernetesRequest,
    upstream: KubernetesUpstream,
    prompt: Prompt | undefined,
  ): Promise<void> {
    const { session } = held;
    const leave = held.enter((end) => {
      this.#ended = end;
      this.#gone.abort();
      this.#refuse(goneProblem(end));
    });
    try {
      let masks: FieldMasks | undefined;
      const enforce = (decision: Decision): Enforced => {
        try {
          masks = this.#masksOf(decision, request);
          return nothing;
        } catch (error) {
          if (error instanceof MaskRefusal || error instanceof RequestRefusal)
            return { refusal: { code: 'mask_unenforceable', message: error.message } };
          throw error;
        }
      };
      const circumstances = { ...(prompt === undefined ? {} : { prompt }), withhold: withoutObject };
      const { submission, decision } = await admit(
        session,
        operationOf(request, upstream),
        circumstances,
        enforce,
        this.#gone.signal,
      );
      const target = this.#parts.targetOf(this.#target, upstream);
      await this.#forward({ request, target, session, masks, submission, decision });
    } finally {
      leave();
    }
  }

  #masksOf({ masks }: Decision, request: KubernetesRequest): FieldMasks | undefined {
    const { info } = request;
    if (!info.isResource) return undefined;
    const { services } = this.#parts;
    const own = fieldMasks(masks, info, () => {
      const key = services.maskKey?.(this.#target);
      if (key === undefined) throw new MaskRefusal('this gateway keeps no keys for masks');
      return key;
    });
    own?.check(request);
    return own;
  }

  /** Sends what was let through, and passes the answer on. The outcome is recorded, however it ends. */
  async #forward(admitted: {
    readonly request: KubernetesRequest;
    readonly target: KubernetesTarget;
    readonly session: Session;
    readonly masks: FieldMasks | undefined;
    readonly submission: Submission;
    readonly decision: Decision;
  }): Promise<void> {
    const { request, target, session, masks, submission, decision } = admitted;
    const { bytes: bytes_max, seconds } = decision.limits;
    let late = false;
    const timer =
      seconds === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            this.#refuse(limited('seconds', seconds));
            this.#gone.abort();
          }, seconds * 1_000);
    try {
      const changed = masks === undefined ? {} : readable(request.fields.get('accept'));
      const answer = await target.send(request, changed, session.principal, this.#gone.signal);
      const code = String(answer.statusCode ?? 0);
      if (answer.statusCode === 101 || (answer.statusCode ?? 0) < 200) {
        answer.destroy();
        throw new ProtocolError('the API server answered in another protocol');
      }
      const watch = request.info.isResource && request.info.verb === 'watch';
      const { bytes, how } =
        masks === undefined
          ? await passWhole(answer, this.#response, bytes_max)
          : await passMasked(answer, this.#response, masks, { watch, bytes_max });
      if (how === 'limit') this.#refuse(limited('bytes', bytes_max ?? 0));
      submission.settle({
        status: outcomes[how],
        bytes,
        code: late || how === 'limit' ? 'limit_exceeded' : code,
      });
    } catch (error) {
      const cancelled = this.#gone.signal.aborted;
      submission.settle({ status: cancelled ? 'cancelled' : 'error', ...(late ? { code: 'limit_exceeded' } : {}) });
      if (cancelled) throw new ClientGone();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #session(
    identity: Identity,
    target: Target,
    client: Client,
    token: string,
    application: string | undefined,
  ): WebSession {
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
    const target = this.#parts.services.target('kubernetes', name);
    if (target === undefined)
      throw new RequestRefusal(
        404,
        'unknown_target',
        `there is no Kubernetes target "${name}": ask /kubernetes/TARGET/…`,
      );
    if (target.unavailable !== undefined)
      throw new RequestRefusal(503, 'target_unavailable', `target "${name}" is not available: ${target.unavailable}`);
    return target;
  }

  #client(): Client {
    const { remoteAddress = '', remotePort = 0 } = this.#request.socket;
    return { address: remoteAddress.replace(/^::ffff:/, ''), port: remotePort, confidential: true };
  }
}

const outcomes = { whole: 'ok', gone: 'cancelled', cut: 'lost', limit: 'error' } as const satisfies Record<
  Passed['how'],
  string
>;

const limited = (limit: 'bytes' | 'seconds', amount: number): Problem => ({
  status: 403,
  code: 'limit_exceeded',
  title: 'Stopped by policy',
  detail: `stopped by policy: the answer has more than ${amount} ${limit}`,
});

/** A record has what was done to which object; the object itself only where nothing of it may be a masked value. */
const withoutObject = (own: unknown): Readonly<Record<string, unknown>> => {
  const { object: _, command: __, ...rest } = own as Readonly<Record<string, unknown>>;
  return rest;
};

/** Of Node's name, value, name, value: without what asks for another protocol, which is answered once it is known who asks. */
function notUpgrading(raw: readonly string[]): (value: string, index: number) => boolean {
  return (_, index) => {
    const name = raw[index - (index % 2)]!.toLowerCase();
    return name !== 'upgrade' && name !== 'connection';
  };
}

/** The token is for the gateway alone, wherever else in the request somebody put it. */
function refuseLeak({ address, fields, body }: KubernetesRequest, token: string): void {
  const inside =
    address.text.includes(encodeURIComponent(token)) ||
    [...fields.values()].some((value) => value.includes(token)) ||
    body.bytes.includes(token);
  if (inside)
    throw new RequestRefusal(
      400,
      'token_in_request',
      'your token stands in the request itself: it is for the gateway alone',
    );
}
