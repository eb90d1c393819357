import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebSocket } from 'ws';
import type { Decision, Operation } from '#engine';
import { noKinds, type Kinds } from '../../content/index.js';
import { ProtocolError } from '../../errors.js';
import type {
  Client,
  Enforced,
  Identity,
  Obligation,
  Prompt,
  Result,
  Services,
  Session,
  SessionEnd,
  Submission,
  Target,
} from '../../protocol.js';
import {
  admit,
  ClientGone,
  fail,
  goneProblem,
  promptOf,
  readBody,
  readFields,
  RequestRefusal,
  sendProblem,
  sha256,
  takeToken,
  type ConnectionSessions,
  type Passed,
  type Problem,
  type WebSession,
} from '../../web/index.js';
import type { Address } from './address.js';
import { passMasked, passText, readable, readableText } from './answer.js';
import { addressed, readRequest, type KubernetesRequest } from './codec.js';
import type { KubernetesUpstream } from './config.js';
import { statusOf } from './enforce.js';
import { sentAddress } from './entered.js';
import { fieldMasks, MaskRefusal, type FieldMasks } from './masking.js';
import { operationOf } from './operation.js';
import { accept, type Upgrade } from './streams/accept.js';
import { contentOf, isText } from './streams/content.js';
import { readHandshake, spdyRefusal, type Handshake } from './streams/handshake.js';
import { Again, refusalOf, type Refusals, type Refused } from './streams/refusals.js';
import { ChannelRelay } from './streams/relay.js';
import type { KubernetesTarget } from './upstream.js';

const obligations: ReadonlySet<Obligation> = new Set(['mask', 'approval', 'limit.bytes', 'limit.seconds']);
const nothing: Enforced = {};
const stars = '***';
/** Of an object; the API server itself takes no more than 3 MiB. */
const body_bytes_max = 3_145_728;
/** Watches and waits for people are quiet for long: the kernel finds out who is gone. */
const keep_alive_ms = 30_000;

export interface Parts {
  readonly services: Services;
  readonly sessions: ConnectionSessions;
  readonly targetOf: (name: string, upstream: KubernetesUpstream) => KubernetesTarget;
  readonly refusals: Refusals;
}

/** One request and its answer, or the stream that it becomes. */
export class Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #parts: Parts;
  readonly #gone = new AbortController();
  #ended: SessionEnd | undefined;
  #target = '';
  readonly #upgrade: Upgrade | undefined;
  #relay: ChannelRelay | undefined;
  /** What to keep a refusal of this handshake under. */
  #refusedAs: ((refused: Refused) => void) | undefined;

  /** @param upgrade Where it asks for another protocol; then the response is one that was made for its connection. */
  constructor(request: IncomingMessage, response: ServerResponse, parts: Parts, upgrade?: Upgrade) {
    this.#request = request;
    this.#response = response;
    this.#parts = parts;
    this.#upgrade = upgrade;
    upgrade?.socket.once('close', () => this.#gone.abort()).on('error', () => undefined);
    request.socket.setKeepAlive(true, keep_alive_ms);
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    response.once('close', () => this.#gone.abort());
  }

  stop(): void {
    this.#response.destroy();
    this.#upgrade?.socket.destroy();
  }

  /** Never throws. */
  async run(): Promise<void> {
    const { log } = this.#parts.services;
    try {
      await this.#run();
    } catch (error) {
      if (this.#relay !== undefined) return void log.error({ err: error, target: this.#target }, 'a stream failed');
      if (this.#ended !== undefined) return this.#refuse(goneProblem(this.#ended));
      if (error instanceof ClientGone || this.#response.destroyed) return;
      if (error instanceof Again) return this.#refuse(error.refused.problem, error.refused.text);
      const problem = fail(error, this.#target);
      if (problem.status >= 500) log.error({ err: error, target: this.#target }, 'a request failed');
      else if (error instanceof ProtocolError)
        log.info({ reason: problem.code, target: this.#target, client: this.#client().address }, 'request refused');
      this.#refusedAs?.({ problem });
      this.#refuse(problem);
    }
  }

  /** As the API server would say it. */
  #refuse(problem: Problem, text = statusOf(problem)): void {
    sendProblem(this.#response, problem, { type: 'application/json', text });
  }

  /** The same, whether or not it has become a stream. */
  #stopWith(problem: Problem, code: string): void {
    if (this.#relay === undefined) this.#refuse(problem);
    else this.#relay.stop(problem, { status: 'cancelled', code });
  }

  async #run(): Promise<void> {
    const request = this.#request;
    const { target: name, rest } = addressed(request.url ?? '');
    this.#target = name;
    // Who asks comes first: nobody learns what is refused, or which targets there are, without a token.
    const raw = request.rawHeaders.filter(notUpgrading(request.rawHeaders));
    const { all } = readFields(raw, true);
    const { token } = takeToken(all);
    const { services } = this.#parts;
    const client = this.#client();
    const identity = await services.identify(token, client);
    const target = this.#find(name);
    const session = () => this.#session(identity, target, client, token, all.get('user-agent'));
    const upstream = target.upstream as KubernetesUpstream;
    if (this.#upgrade !== undefined) {
      const read = readRequest(request.method ?? '', rest, raw, Buffer.alloc(0));
      refuseLeak(read, token);
      return this.#operate(session(), read, upstream, promptOf(all), this.#handshake(read, token));
    }
    const body = await readBody(request, body_bytes_max);
    try {
      const read = readRequest(request.method ?? '', rest, request.rawHeaders, body.bytes);
      refuseLeak(read, token);
      await this.#operate(session(), read, upstream, promptOf(all));
    } finally {
      body.release();
    }
  }

  /** Throws RequestRefusal. */
  #handshake({ info, address }: KubernetesRequest, token: string): Handshake {
    if (!info.isResource) throw new RequestRefusal(400, 'upgrade', 'only connections to pods take another protocol');
    const handshake = readHandshake(this.#request, info);
    const { refusals } = this.#parts;
    if (handshake.kind === 'websocket')
      this.#refusedAs = (refused) => refusals.keep(token, this.#target, address.text, refused);
    else {
      const before = refusals.take(token, this.#target, address.text);
      if (before !== undefined) throw new Again(before);
    }
    return handshake;
  }

  async #operate(
    held: WebSession,
    request: KubernetesRequest,
    upstream: KubernetesUpstream,
    prompt: Prompt | undefined,
    handshake?: Handshake,
  ): Promise<void> {
    const { session } = held;
    const leave = held.enter((end) => {
      this.#ended = end;
      this.#stopWith(goneProblem(end), end.code);
      this.#gone.abort();
    });
    try {
      const operation = operationOf(request, upstream);
      let masks: Masks = unmasked;
      const address = sentAddress(request);
      const sent = address === request.address ? nothing : { sent: sha256(address.text) };
      const enforce = (decision: Decision): Enforced => {
        try {
          masks = this.#masksOf(decision, request, operation);
          return sent;
        } catch (error) {
          if (error instanceof MaskRefusal || error instanceof RequestRefusal)
            return { refusal: { code: 'mask_unenforceable', message: error.message } };
          throw error;
        }
      };
      const circumstances = { ...(prompt === undefined ? {} : { prompt }), withhold: withoutObject };
      if (handshake?.kind === 'spdy' && session.decide(operation, circumstances).outcome !== 'deny') throw spdyRefusal;
      const { submission, decision } = await admit(session, operation, circumstances, enforce, this.#gone.signal);
      const target = this.#parts.targetOf(this.#target, upstream);
      await this.#forward({ request, address, target, session, masks, submission, decision, handshake });
    } finally {
      leave();
    }
  }

  /** Throws MaskRefusal, or RequestRefusal for a request that masks and their fields do not go with. */
  #masksOf({ masks }: Decision, request: KubernetesRequest, { action }: Operation): Masks {
    const { info, body } = request;
    const text = masks.filter(({ resource }) => isText(resource));
    // What clients find out of the API itself is nobody's data.
    const kinds = action === 'session' ? noKinds : contentOf(text, info.isResource ? info : undefined);
    if (kinds !== noKinds && body.bytes.includes(stars))
      throw new RequestRefusal(
        422,
        'masked_value_written',
        'the object holds *** as it was masked for you: written back, it would take the place of the value; send only the fields that you change',
      );
    if (!info.isResource) return { fields: undefined, kinds };
    const { services } = this.#parts;
    const others = masks.filter(({ resource }) => !isText(resource));
    const fields = fieldMasks(others, info, () => {
      const key = services.maskKey?.(this.#target);
      if (key === undefined) throw new MaskRefusal('this gateway keeps no keys for masks');
      return key;
    });
    fields?.check(request);
    return { fields, kinds };
  }

  /** Sends what was let through, and passes the answer on. The outcome is recorded, however it ends. */
  async #forward(admitted: Admitted): Promise<void> {
    const { submission, decision, handshake } = admitted;
    const { seconds } = decision.limits;
    let late = false;
    const timer =
      seconds === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            this.#stopWith(limited('seconds', seconds), 'limit_exceeded');
            this.#gone.abort();
          }, seconds * 1_000);
    try {
      const result =
        handshake?.kind === 'websocket'
          ? await this.#stream(admitted, handshake.protocols)
          : await this.#answer(admitted);
      submission.settle(late ? { ...result, code: 'limit_exceeded' } : result);
    } catch (error) {
      const cancelled = this.#gone.signal.aborted;
      submission.settle({ status: cancelled ? 'cancelled' : 'error', ...(late ? { code: 'limit_exceeded' } : {}) });
      if (cancelled) throw new ClientGone();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A request that has one answer. */
  async #answer({ request, target, session, masks, decision }: Admitted): Promise<Result> {
    const bytes_max = decision.limits.bytes;
    const { fields, kinds } = masks;
    const changed = fields === undefined ? readableText(request, kinds) : readable(request.fields.get('accept'));
    const answer = await target.send(request, changed, session.principal, this.#gone.signal);
    const code = String(answer.statusCode ?? 0);
    if (answer.statusCode === 101 || (answer.statusCode ?? 0) < 200) {
      answer.destroy();
      throw new ProtocolError('the API server answered in another protocol');
    }
    const watch = request.info.isResource && request.info.verb === 'watch';
    const { bytes, how } =
      fields === undefined
        ? await passText(answer, this.#response, kinds, bytes_max)
        : await passMasked(answer, this.#response, fields, { watch, bytes_max, kinds });
    if (how === 'limit') this.#refuse(limited('bytes', bytes_max ?? 0));
    return { status: outcomes[how], bytes, code: how === 'limit' ? 'limit_exceeded' : code };
  }

  /** A request that becomes a stream, unless the API server answers it. */
  async #stream(admitted: Admitted, protocols: readonly string[]): Promise<Result> {
    const { request, address, target, session, masks, decision } = admitted;
    const { bytes } = decision.limits;
    const { signal } = this.#gone;
    const { answer, socket: upstream } = await target.dial(request, address, protocols, session.principal, signal);
    if (answer !== undefined) {
      const { problem, text } = await refusalOf(answer, masks.kinds);
      this.#refusedAs?.({ problem, text });
      this.#refuse(problem, text);
      return { status: 'error', code: String(problem.status) };
    }
    let client: WebSocket;
    try {
      client = await accept(this.#request, this.#response, this.#upgrade!, upstream.protocol);
    } catch (error) {
      upstream.terminate();
      throw error;
    }
    this.#relay = new ChannelRelay({
      client,
      upstream,
      kinds: masks.kinds,
      terminal: request.running?.terminal === true,
      bytes_max: bytes,
      exceeded: () => limited('bytes', bytes ?? 0),
    });
    upstream.resume();
    return this.#relay.done;
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

/** What is masked in an answer: fields of objects, and patterns in text. */
interface Masks {
  readonly fields: FieldMasks | undefined;
  readonly kinds: Kinds;
}
const unmasked: Masks = { fields: undefined, kinds: noKinds };

interface Admitted {
  readonly request: KubernetesRequest;
  /** As it is sent. */
  readonly address: Address;
  readonly target: KubernetesTarget;
  readonly session: Session;
  readonly masks: Masks;
  readonly submission: Submission;
  readonly decision: Decision;
  readonly handshake: Handshake | undefined;
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
  const { object: _, command: __, commands: ___, ...rest } = own as Readonly<Record<string, unknown>>;
  return rest;
};

/** SPDY's own field comes once for each version. */
const ofUpgrades: ReadonlySet<string> = new Set(['upgrade', 'connection', 'x-stream-protocol-version']);

/** Of Node's name, value, name, value: without what asks for another protocol, which is answered once it is known who asks. */
function notUpgrading(raw: readonly string[]): (value: string, index: number) => boolean {
  return (_, index) => {
    const name = raw[index - (index % 2)]!.toLowerCase();
    return !ofUpgrades.has(name);
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
